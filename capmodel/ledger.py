"""The accuracy ledger: how right past plans were, season by season, and what that asks of the next.

This module answers: which seasons were judged, and must the next plan's intervals be wider than its
model says? The ledger is a CSV that only grows. Its season errors are observations of the season's
luck, with one degree of freedom for each season, never for each service.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from capmodel import documents
from capmodel.errors import InputError, Problem

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FEWEST_SEASONS", "NOMINAL", "PRIOR_DF", "Entry", "Ledger", "Widening", "widening_of"]

PRIOR_DF: Final = 4.0
"""Weight of the prior that a plan's spread is right [degrees of freedom]; `assumed`."""
NOMINAL: Final = 0.80
"""Share of seasons that P10 to P90 promises [ratio]."""
FEWEST_SEASONS: Final = 3
"""Seasons from which on their own spread counts by itself, not only mixed with the prior."""
METRIC: Final = "season_peak"


@dataclass(frozen=True, slots=True)
class Entry:
    """One season of one driver (or root service): what was planned, and what happened."""

    season: str
    metric: str
    service: str
    unit: str
    planned: float
    """The planning point: the likeliest scenario's P50."""
    forecast: float
    """The mixture's P50."""
    p10: float
    p90: float
    actual: float
    ape: float
    bias: float
    in_p80: bool
    pit: float
    """Planned probability of at most the actual [ratio]."""
    score: float
    """Its normal score: in standard deviations of the planned logarithm."""
    plan_hash: str
    made_on: date


@dataclass(frozen=True, slots=True)
class Widening:
    """By how much a root's season luck is wider than the model says."""

    service: str
    scale_x: float
    """Multiplies the log standard deviation [ratio], 1 or more."""
    df: float
    """Degrees of freedom behind it: one for each season, and the prior's where it has a part."""
    seasons: int
    covered: float
    """Share of the seasons inside P10 to P90 [ratio]."""

    @property
    def widens(self) -> bool:
        """Whether anything changes."""
        return self.scale_x > 1


@dataclass(frozen=True, slots=True)
class Ledger:
    """Entries in the order in which they were made.

    Examples
    --------
    >>> Ledger().widening("checkouts").scale_x
    1.0
    """

    entries: tuple[Entry, ...] = ()
    source: str = ""
    """File that it was read from, '' for none."""
    digest: str = field(init=False, default="")

    def __post_init__(self) -> None:
        """Take the digest of what it holds."""
        object.__setattr__(self, "digest", documents.sha256_hex(self.to_csv()))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a ledger.

        Raises
        ------
        InputError
            With every problem of the file: columns, numbers, dates, and a season and plan that
            stand there twice.
        """
        file = Path(path)
        try:
            rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError.of(
                str(path), got=str(error), expected="a ledger's CSV", do="Name the ledger's file."
            ) from error
        return cls(entries=_entries(rows, file), source=file.name)

    def appended(self, entries: Sequence[Entry]) -> Self:
        """Return the ledger with further entries.

        Raises
        ------
        InputError
            For each entry whose season, service and plan stand in it already.
        """
        known = {_key(entry) for entry in self.entries}
        problems = [
            Problem(
                where=f"ledger, season {entry.season}",
                got=f"{entry.service} of plan {entry.plan_hash[:12]} a second time",
                expected="each plan judged once a season: entries are never replaced",
                do="Leave it out, or judge another plan.",
            )
            for entry in entries
            if _key(entry) in known
        ]
        if problems:
            raise InputError(problems)
        return type(self)(entries=(*self.entries, *entries), source=self.source)

    @classmethod
    def append_to(cls, path: str | Path, entries: Sequence[Entry]) -> Self:
        """Add entries to a file, whole or not at all; a file that is not there is begun.

        Raises
        ------
        InputError
            As :meth:`read` and :meth:`appended`, and where the file cannot be written.
        """
        file = Path(path)
        old = cls.read(file) if file.exists() else cls(source=file.name)
        grown = old.appended(entries)
        documents.write_text_atomic(path, grown.to_csv())
        return grown

    def to_csv(self) -> str:
        """Return the ledger as CSV with a header, one line for each entry."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(f.name for f in fields(Entry))
        for entry in self.entries:
            writer.writerow(_cell(value) for value in asdict(entry).values())
        return text.getvalue()

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each entry."""
        import pandas as pd  # noqa: PLC0415  kept out of import time

        return pd.DataFrame(
            [asdict(entry) for entry in self.entries], columns=[f.name for f in fields(Entry)]
        )

    def widening(self, service: str) -> Widening:
        """Return what the seasons of one root ask of its next intervals.

        Where a season was judged with several plans, the last entry counts.
        """
        last = {
            entry.season: entry
            for entry in self.entries
            if entry.service == service and entry.metric == METRIC
        }
        scores = [entry.score for entry in last.values()]
        return widening_of(service, scores, hits=sum(entry.in_p80 for entry in last.values()))


def widening_of(service: str, scores: Sequence[float], *, hits: int) -> Widening:
    """Return how much wider the season's luck is than planned, from past normal scores.

    With K seasons of scores z, ``s^2 = (4 + sum z^2) / (4 + K)``: the posterior scale under a
    scaled inverse chi-squared prior of 4 degrees of freedom at 1, the same weight that every prior
    of the demand model has, with 4 + K degrees of freedom. From three seasons on it is at least
    ``mean z^2``, with the K degrees of freedom of the seasons alone: the prior may widen what the
    seasons show, never narrow it. It is at least 1, and 1 where the seasons missed by no
    more than was promised (``mean z^2 <= 1`` and P10 to P90 held at least 80 % of them).

    Parameters
    ----------
    service
        Whose.
    scores
        Normal score of each season's actual in its plan, K of them.
    hits
        How many lay inside P10 to P90.

    References
    ----------
    Gelman, A., et al. (2013). Bayesian Data Analysis, 3rd ed., section 2.6.

    Examples
    --------
    >>> calm = widening_of("checkouts", [0.3, -0.8, 1.1, -0.2], hits=4)
    >>> wild = widening_of("checkouts", [2.0, -1.9, 2.3, -2.2], hits=0)
    >>> calm.scale_x, round(wild.scale_x, 2)
    (1.0, 2.11)
    """
    k = len(scores)
    if not k:
        return Widening(service, 1.0, PRIOR_DF, 0, math.nan)
    total = sum(z * z for z in scores)
    covered = hits / k
    square, df = (PRIOR_DF + total) / (PRIOR_DF + k), PRIOR_DF + k
    if k >= FEWEST_SEASONS and total / k > square:
        square, df = total / k, float(k)
    if total <= k and covered >= NOMINAL:
        square = 1.0
    return Widening(service, math.sqrt(max(square, 1.0)), df, k, covered)


def _key(entry: Entry) -> tuple[str, str, str, str]:
    return entry.season, entry.metric, entry.service, entry.plan_hash


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _entries(rows: list[dict[str, Any]], file: Path) -> tuple[Entry, ...]:
    wanted = [f.name for f in fields(Entry)]
    if rows and list(rows[0]) != wanted:
        raise InputError.of(
            str(file),
            got=f"columns {', '.join(map(str, rows[0]))}",
            expected=f"columns {', '.join(wanted)}",
            do="Name a ledger that capmodel retro --ledger wrote.",
        )
    entries: list[Entry] = []
    problems: list[Problem] = []
    for line, row in enumerate(rows, start=2):
        try:
            entries.append(_entry(row))
        except (TypeError, ValueError, KeyError) as error:
            problems.append(
                Problem(
                    where=f"{file.name}:{line}",
                    got=str(error),
                    expected="an entry as capmodel retro --ledger writes it",
                    do="Restore the file from version control: entries are never edited.",
                )
            )
    if problems:
        raise InputError(problems)
    _refuse_twice(entries, file)
    return tuple(entries)


def _refuse_twice(entries: list[Entry], file: Path) -> None:
    keys = [_key(entry) for entry in entries]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise InputError(
            Problem(
                where=file.name,
                got=f"{service} of season {season}, plan {plan[:12]}, more than once",
                expected="each plan judged once a season",
                do="Remove the later line.",
            )
            for season, _, service, plan in twice
        )


def _entry(row: dict[str, Any]) -> Entry:
    numbers = ("planned", "forecast", "p10", "p90", "actual", "ape", "bias", "pit", "score")
    values = {name: float(row[name]) for name in numbers}
    wrong = [name for name, value in values.items() if not math.isfinite(value)]
    if wrong:
        message = f"{wrong[0]} {row[wrong[0]]}"
        raise ValueError(message)
    if row["in_p80"] not in {"yes", "no"}:
        message = f"in_p80 {row['in_p80']!r}"
        raise ValueError(message)
    return Entry(
        season=str(row["season"]),
        metric=str(row["metric"]),
        service=str(row["service"]),
        unit=str(row["unit"]),
        in_p80=row["in_p80"] == "yes",
        plan_hash=str(row["plan_hash"]),
        made_on=date.fromisoformat(str(row["made_on"])),
        **values,
    )

"""What every dated table shares: a checked header, whole rows, and findings about their age."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from capmodel.errors import InputError, Problem, nearest

if TYPE_CHECKING:
    from capmodel.schema import Findings

__all__ = ["STALE_AFTER_DAYS", "Dated", "age_findings", "by_column", "header_problems"]

STALE_AFTER_DAYS: Final = 180
"""A row older than this at the plan's date is stale [days]."""


class Dated(Protocol):
    """A row with its key, its date and its source."""

    @property
    def key(self) -> tuple[str, ...]:
        """What identifies the row."""

    @property
    def as_of(self) -> dt.date:
        """Date of the source, or of its reading."""

    @property
    def source(self) -> str:
        """Who says so."""


def header_problems(
    header: Sequence[str], *, known: Collection[str], needed: Collection[str], where: str
) -> list[Problem]:
    """Return columns that are unknown, twice or missing."""
    problems = []
    for column in header:
        if column not in known:
            close = nearest(column, known)
            problems.append(
                Problem(
                    where=where,
                    got=f'unknown column "{column}"',
                    expected=f"columns out of: {', '.join(known)}",
                    do=f'Did you mean "{close}"?' if close else "Remove the column.",
                )
            )
    twice = sorted({column for column in header if list(header).count(column) > 1})
    if twice:
        problems.append(
            Problem(
                where=where,
                got=f"column {', '.join(twice)} more than once",
                expected="each column once",
                do="Remove the surplus column.",
            )
        )
    missing = [column for column in needed if column not in header]
    if missing:
        problems.append(
            Problem(
                where=where,
                got=f"no column {', '.join(missing)}" if header else "an empty file",
                expected=f"the columns {', '.join(needed)}",
                do="Add the header line and these columns.",
            )
        )
    return problems


def by_column(cells: Sequence[str], header: Sequence[str], *, where: str) -> dict[str, str]:
    """Return the cells of a row by column, trimmed.

    Raises
    ------
    InputError
        For another number of cells than of columns.
    """
    if len(cells) != len(header):
        raise InputError.of(
            where,
            got=f"{len(cells)} cells",
            expected=f"{len(header)}, one for each column of the header",
            do="Quote text that holds commas, and keep empty cells.",
        )
    return dict(zip(header, (cell.strip() for cell in cells), strict=True))


def age_findings(
    rows: Iterable[tuple[Dated, str, Mapping[str, Any]]], *, as_of: dt.date, of: str
) -> Findings:
    """Return warnings about rows whose source is old at a date, or dated after it.

    Parameters
    ----------
    rows
        Each row with what it is called in a message and what names it in data.
    as_of
        The plan's as-of date.
    of
        ``"price"`` or ``"quota"``: codes are ``stale_OF`` and ``OF_after_as_of``.
    """
    # The schema module brings numpy; a lookup does not need it.
    from capmodel.schema import Finding, Findings  # noqa: PLC0415

    items = []
    for row, called, named in sorted(rows, key=lambda found: found[0].key):
        age = (as_of - row.as_of).days
        if 0 <= age <= STALE_AFTER_DAYS:
            continue
        late = age < 0
        text = (
            f"is dated {-age} days after the plan's date {as_of}"
            if late
            else f"is {age} days old at {as_of}; more than {STALE_AFTER_DAYS} is stale"
        )
        data = {"as_of": row.as_of.isoformat(), "age_days": age, "source": row.source}
        items.append(
            Finding(
                code=f"{of}_after_as_of" if late else f"stale_{of}",
                severity="warning",
                service="",
                message=f"{called} ({row.as_of}, {row.source}) {text}",
                data={**named, **data},
            )
        )
    return Findings(tuple(items))

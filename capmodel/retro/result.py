"""The retrospective of a season: frames, sentences, a ledger row, a page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from capmodel import documents
from capmodel.errors import InputError, require_known

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from capmodel.ledger import Entry

__all__ = ["FRAMES", "Retro"]

FRAMES: Final = (
    "peaks", "days", "scores", "coverage", "decomposition", "limits", "money", "findings",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Retro:
    """A frozen plan against what happened.

    ``frames`` hold the parts by name (see :meth:`to_frame`), ``meta`` what was compared.
    """

    frames: Mapping[str, pd.DataFrame]
    meta: Mapping[str, Any]

    def to_frame(self, name: str = "peaks") -> pd.DataFrame:
        """Return one of the frames.

        Parameters
        ----------
        name
            ``peaks``: each node's season peak. ``days``: each root's days. ``scores``: WAPE and
            bias over days. ``coverage``: how often P10 to P90 held. ``decomposition``: driver,
            fan-out, per request, headroom. ``limits``: planned and actual order of breaking.
            ``money``, ``findings``.

        Raises
        ------
        InputError
            For an unknown name, naming the nearest.
        """
        require_known("to_frame", name, self.frames)
        return self.frames[name].copy()

    def headline(self) -> str:
        """Return how wrong the plan was, why, whether its intervals held, and what broke."""
        from capmodel.retro.sentences import headline_of  # noqa: PLC0415  text only when asked

        return "\n".join(headline_of(self.frames, self.meta))

    def entries(
        self, *, season: str | None = None, made_on: date | None = None
    ) -> tuple[Entry, ...]:
        """Return the ledger's rows: one for each root whose season was seen whole.

        Parameters
        ----------
        season
            The season's name; None: the year in which it starts.
        made_on
            The day of the retrospective; None: the day after the last actual.

        Raises
        ------
        InputError
            For a plan that was not frozen before its season, and where no root was seen whole.
        """
        from capmodel.ledger import Entry  # noqa: PLC0415  read only when asked

        if not self.meta["frozen_before"]:
            raise InputError.of(
                "ledger",
                got=f"a plan that was {self.meta['frozen_words']}",
                expected="a plan frozen before its season: only those were tested by it",
                do="Freeze plans with capmodel freeze before the season starts.",
            )
        peaks = self.frames["peaks"]
        rows = peaks[(peaks["kind"] == "root") & peaks["whole"].astype(bool)]
        if rows.empty:
            raise InputError.of(
                "ledger",
                got="no root whose season was seen whole",
                expected="the whole season of at least one root: a gap may hide the peak",
                do="Append when the season is over, or close the gaps of the actuals.",
            )
        return tuple(
            Entry(
                season=season or str(self.meta["season"]["start"])[:4],
                metric="season_peak",
                service=str(row["service"]),
                unit=str(row["quantity"]),
                planned=float(row["planned"]),
                forecast=float(row["peak_p50"]),
                p10=float(row["peak_p10"]),
                p90=float(row["peak_p90"]),
                actual=float(row["actual"]),
                ape=float(row["ape"]),
                bias=float(row["bias"]),
                in_p80=bool(row["inside_p80"]),
                pit=float(row["pit"]),
                score=float(self.meta["scores"][row["service"]]),
                plan_hash=str(self.meta["plan_hash"]),
                made_on=made_on or date.fromisoformat(self.meta["made_on"]),
            )
            for row in rows.to_dict("records")
            if math.isfinite(self.meta["scores"][row["service"]])
        )

    def plot(self, of: str | None = None, *, ax: Axes | None = None) -> Axes:
        """Draw the ribbon: the forecast's band, the actual days, and the residual below.

        Parameters
        ----------
        of
            The root; None: the first.
        ax
            Axes to draw on; None makes a figure of its own.
        """
        from capmodel import plots  # noqa: PLC0415  matplotlib only when drawn

        return plots.draw_ribbon(self.frames, ax, of=of)

    def to_markdown(self, path: str | Path | None = None) -> str:
        """Return the retrospective for a wiki or pull request, written where a path is given."""
        from capmodel.retro.pages import to_markdown  # noqa: PLC0415  text only when asked

        text = to_markdown(self)
        if path is not None:
            documents.write_text_atomic(path, text)
        return text

    def to_html(self, path: str | Path | None = None) -> str:
        """Return one self-contained page with the ribbons, written where a path is given."""
        from capmodel.retro.pages import to_html  # noqa: PLC0415  text only when asked

        text = to_html(self)
        if path is not None:
            documents.write_text_atomic(path, text)
        return text

    def to_json(self) -> str:
        """Return the frames and what was compared as canonical JSON."""
        frames = {
            name: [{k: _plain(v) for k, v in row.items()} for row in frame.to_dict("records")]
            for name, frame in self.frames.items()
        }
        return documents.canonical_json({"frames": frames, "meta": dict(self.meta)}) + "\n"

    def __repr__(self) -> str:
        return self.headline()


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

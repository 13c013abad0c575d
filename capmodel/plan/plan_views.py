"""How a plan is shown: figures, pages, a workbook, a memo, one page for a service's owner.

Everything is read from the plan's frames; nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capmodel import documents
from capmodel.plan.frames_callers import nodes_around
from capmodel.plan.frames_limits import MIXTURE
from capmodel.plan.memo import memo_of
from capmodel.plan.sentences import headline_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from capmodel.plots import Marks
    from capmodel.report import PageForm

__all__ = ["PlanViews"]


class PlanViews:
    """The views of a plan; :class:`capmodel.plan.planset.PlanSet` holds what they show."""

    __slots__ = ()

    if TYPE_CHECKING:
        frames: Mapping[str, pd.DataFrame]
        meta: Mapping[str, Any]
        environment: Mapping[str, str]

        @property
        def hash(self) -> str:
            """The plan's hash."""

        def headline(self) -> str:
            """Return the plan in sentences."""

    @property
    def _main(self) -> str:
        """The likeliest scenario: what is shown where one has to be chosen."""
        ranked = sorted(self.meta["scenarios"], key=lambda s: -float(s["weight"]))
        return str(ranked[0]["name"])

    def plot(
        self,
        name: str = "limits",
        *,
        ax: Axes | None = None,
        scenario: str | None = None,
        of: str | None = None,
    ) -> Axes:
        """Draw a figure of the plan.

        One of demand, lifts, limits, orders, tripwires, waterfall, tornado and grid.
        """
        from capmodel import plots  # noqa: PLC0415  matplotlib only when drawn

        shown = scenario or (MIXTURE if name in {"limits", "waterfall"} else self._main)
        return plots.plot(name, self.frames, ax=ax, scenario=shown, of=of, marks=self._marks())

    def _marks(self) -> Marks:
        from capmodel.plots import Marks  # noqa: PLC0415

        return Marks(
            season_x=self.meta["season_x"],
            freeze=tuple((f["start"], f["end"]) for f in self.meta["freeze"]),
            as_of=str(self.meta["as_of"]),
            axes=tuple(self.meta.get("grid") or ()),
        )

    def to_html(self, path: str | Path | None = None) -> str:
        """Return the review as one self-contained page, and write it where a path is given."""
        from capmodel import report  # noqa: PLC0415

        text = report.to_html(
            self.frames,
            **self._told(),
            marks=self._marks(),
            notes=self.meta["notes"],
        )
        if path is not None:
            documents.write_text_atomic(path, text)
        return text

    def to_markdown(self, path: str | Path | None = None) -> str:
        """Return the summary for a pull request or wiki, and write it where a path is given."""
        from capmodel import report  # noqa: PLC0415

        text = report.to_markdown(
            self.frames,
            **self._told(),
            notes=self.meta["notes"],
        )
        if path is not None:
            documents.write_text_atomic(path, text)
        return text

    def _told(self) -> dict[str, Any]:
        """Return what every report of the whole plan takes beside the frames."""
        return {
            "title": self.meta["title"],
            "headline": headline_of(self.frames, self.meta),
            "provenance": self.provenance(),
            "scenarios": {s["name"]: float(s["weight"]) for s in self.meta["scenarios"]},
        }

    def to_service_page(
        self, service: str, path: str | Path | None = None, *, form: PageForm = "md"
    ) -> str:
        """Return one page for a service's owner, and write it where a path is given.

        Every number on it stands in a frame of the plan; its key, ``frame.column``, stands beside
        it (HTML, ``data-key``) or below its table (Markdown).

        Raises
        ------
        InputError
            For a service that the plan does not hold, naming the nearest.
        """
        from capmodel import report  # noqa: PLC0415

        text = report.to_service_page(
            self.frames,
            service=service,
            nodes=nodes_around(self.meta["topology"], service),
            provenance=self.provenance(),
            scenarios={s["name"]: float(s["weight"]) for s in self.meta["scenarios"]},
            form=form,
        )
        if path is not None:
            documents.write_text_atomic(path, text)
        return text

    def to_xlsx(self, path: str | Path) -> None:
        """Write the plan as a workbook: numbers as numbers, totals beside their sums as formulas.

        Sheets: Summary, Scenarios, Services, Orders, Assumptions, then the cost lines and the
        waterfall that the totals are sums of. The same plan gives the same bytes.

        Raises
        ------
        InputError
            Where openpyxl is not installed.
        """
        from capmodel import report  # noqa: PLC0415

        report.write_xlsx(self.frames, path, **self._told())

    def to_memo(self, path: str | Path | None = None) -> str:
        """Return the decision memo as Markdown, and write it where a path is given."""
        text = memo_of(self.frames, self.meta, plan_hash=self.hash)
        if path is not None:
            documents.write_text_atomic(path, text)
        return text

    def provenance(self) -> dict[str, str]:
        """Return what the plan rests on: hash, as-of date, seed, inputs, versions."""
        inputs = {f"input {name}": digest for name, digest in sorted(self.meta["inputs"].items())}
        return {
            "plan hash": self.hash,
            "as_of": str(self.meta["as_of"]),
            "seed": str(self.meta["seed"]),
            "draws per scenario": str(self.meta["draws"]),
            **inputs,
            **dict(sorted(self.environment.items())),  # as a saved plan holds it
        }

    def __repr__(self) -> str:
        return self.headline()

    def _repr_html_(self) -> str:
        from html import escape  # noqa: PLC0415

        lines = "".join(f"<p>{escape(line)}</p>" for line in headline_of(self.frames, self.meta))
        limits = self.frames["limits"]
        shown = limits[limits["scenario"] == MIXTURE].head(20)
        columns = ["node", "limit", "utilization_p50", "p_saturate", "first_hard_breach", "status"]
        return lines + str(shown[columns].to_html(index=False))

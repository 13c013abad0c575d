"""The plan as Markdown for a pull request or a wiki: a summary, the rest folded away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pandas as pd

from capmodel.report.decide import breaks_first, demand, season_totals
from capmodel.report.evidence import evidence, provenance
from capmodel.report.order_book import orders
from capmodel.report.pay import cost, risk
from capmodel.report.provide import databases, partners, services
from capmodel.report.views import Cell, Column, Material, Note, Table, make_material, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from capmodel.plots import Marks

__all__ = ["escape", "table_lines", "to_markdown"]

_SENTENCES: Final = 6
_ORDERS: Final = 8
_LADDER: Final = 8
_RISKS: Final = 6
_SCENARIOS: Final = 5
_DETAIL_ROWS: Final = 20  # a comment of 65,536 characters holds them all
_DETAILS: Final = (
    demand, breaks_first, services, databases, partners, risk, cost, orders, evidence, provenance,
)  # fmt: skip
# Backslash first: it escapes the others. Angle brackets and ampersands as entities, so that no
# name becomes markup.
_ESCAPES: Final = (
    ("\\", "\\\\"), ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "\\`"),
    ("*", "\\*"), ("_", "\\_"), ("[", "\\["), ("]", "\\]"),
)  # fmt: skip


def to_markdown(  # noqa: PLR0913  named parts of a report
    frames: Mapping[str, pd.DataFrame],
    *,
    title: str,
    headline: Sequence[str],
    provenance: Mapping[str, str],
    scenarios: Sequence[str] | Mapping[str, float] | None = None,
    marks: Marks | None = None,
    notes: Mapping[str, str] | None = None,
) -> str:
    """Return a summary of at most 60 lines, followed by the tables in ``<details>``.

    Parameters
    ----------
    frames, title, headline, provenance, scenarios, marks, notes
        As `to_html` takes them.

    Returns
    -------
    str
        GitHub-flavoured Markdown; equal input gives equal bytes.
    """
    material = make_material(
        frames, title=title, headline=headline, provenance=provenance, scenarios=scenarios,
        marks=marks, notes=notes,
    )  # fmt: skip
    lines = [*_summary(material), *_details(material)]
    return "\n".join(lines) + "\n"


def _summary(material: Material) -> list[str]:
    lines = [f"# {escape(material.title)}", ""]
    if "as_of" in material.provenance:
        lines += [f"As of {escape(material.provenance['as_of'])}.", ""]
    lines += [f"- {escape(sentence)}" for sentence in material.headline[:_SENTENCES]]
    lines += _rest(len(material.headline), _SENTENCES, "sentences")
    lines += ["", "## The ask", "", *_orders(material)]
    lines += ["", "## What breaks first", "", *_ladder(material)]
    lines += ["", "## Risk", "", *_risks(material)]
    lines += ["", "## Season cost", "", *_totals(material)]
    return lines


def _orders(material: Material) -> list[str]:
    frame = material.frame("orders")
    if frame.empty:
        return ["Nothing has to be ordered."]
    columns = (
        Column("id", "No."), Column("item", "For"), Column("action", "Decision"),
        Column("from", "From"), Column("to", "To"), Column("latest_by", "Ask by, latest"),
        Column("in_place_by", "In place by"), Column("usd", "Cost", "usd", "USD"),
        Column("state", "State", "name"), Column("status", "Status"),
    )  # fmt: skip
    lines = table_lines(table(frame.head(_ORDERS), columns, caption=""))
    return lines + _rest(len(frame), _ORDERS, "orders")


def _ladder(material: Material) -> list[str]:
    frame = material.deciding("limits")
    if frame.empty:
        return ["The plan holds no limit."]
    columns = (
        Column("node", "Node"), Column("limit", "Limit"),
        Column("binds_at_x", "Binds at, times today", "x"),
        Column("breaks_at_x", "Breaks at", "x"),
        Column("utilization_p50", "Used P50", "ratio"),
        Column("p_saturate", "Chance to saturate", "ratio", error="mc_se"),
        Column("first_policy_breach", "First over policy"), Column("status", "Status"),
    )  # fmt: skip
    lines = table_lines(table(frame.head(_LADDER), columns, caption=""))
    return lines + _rest(len(frame), _LADDER, "limits")


def _risks(material: Material) -> list[str]:
    frame = material.deciding("risk")
    if frame.empty:
        return ["The plan holds no risk figures."]
    columns = (
        Column("tier", "Tier"), Column("scenario", "Scenario"),
        Column("risk", "Target, at most", "ratio"),
        Column("p_any", "Before orders", "ratio", error="mc_se"),
        Column("p_any_after_orders", "After orders", "ratio"), Column("status", "Status"),
    )  # fmt: skip
    lines = table_lines(table(frame.head(_RISKS), columns, caption=""))
    return lines + _rest(len(frame), _RISKS, "tiers")


def _totals(material: Material) -> list[str]:
    totals = season_totals(material)
    if not totals:
        return ["The plan holds no costs."]
    # The scenario that decides must be among the rows shown.
    names = [s for s in totals if s != material.decides][: _SCENARIOS - 1]
    names += [s for s in totals if s == material.decides]
    frame = pd.DataFrame({"scenario": names, "usd": [totals[s] for s in names]})
    columns = (Column("scenario", "Scenario"), Column("usd", "Season total", "usd", "USD"))
    lines = table_lines(table(frame, columns, caption=""))
    return lines + _rest(len(totals), len(names), "scenarios")


def _rest(total: int, shown: int, what: str) -> list[str]:
    return [f"{total - shown} more {what} in the full report."] if total > shown else []


def _details(material: Material) -> list[str]:
    lines: list[str] = []
    for part in _DETAILS:
        section = part(material)
        lines += ["", f"<details><summary>{escape(section.title)}</summary>", ""]
        for paragraph in material.notes.get(section.anchor, "").splitlines():
            lines += [escape(paragraph), ""]
        for block in section.blocks:
            if isinstance(block, Table):
                lines += [f"**{escape(block.caption)}**", "", *table_lines(block), ""]
            elif isinstance(block, Note):
                lines += [escape(block.text), ""]
        lines.append("</details>")
    return lines


def table_lines(shown: Table) -> list[str]:
    """Return a table as Markdown, 'No rows.' where it is empty; more than 20 rows are counted."""
    if not shown.rows:
        return ["No rows."]
    heads = [escape(f"{c.title} [{c.unit}]" if c.unit else c.title) for c in shown.columns]
    rows = (*shown.rows, *shown.more)
    lines = [
        f"| {' | '.join(heads)} |",
        f"|{'|'.join('---:' if c.numeric else '---' for c in shown.columns)}|",
        *(f"| {' | '.join(_text(cell) for cell in row)} |" for row in rows[:_DETAIL_ROWS]),
    ]
    rest = len(rows) - _DETAIL_ROWS + shown.left_out
    if rest > 0:
        lines += ["", f"{rest} more rows in {shown.frame or 'the full report'}."]
    return lines


def _text(cell: Cell) -> str:
    return escape(" ".join(cell.text.split()))


def escape(text: str) -> str:
    """Return text on one line in which nothing is markup."""
    text = " ".join(str(text).split())
    for character, written in _ESCAPES:
        text = text.replace(character, written)
    return text

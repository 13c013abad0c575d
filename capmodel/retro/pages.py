"""The retrospective as Markdown and as one page that loads nothing."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from capmodel.plots.labels import humanize, number, percent, usd

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.retro.result import Retro

__all__ = ["to_html", "to_markdown"]

TABLES: Final = {
    "peaks": (
        "service", "quantity", "planned", "peak_p10", "peak_p50", "peak_p90", "actual", "date",
        "ape", "bias", "pit", "inside_p80",
    ),
    "scores": ("service", "days", "n_days", "wape", "bias", "p80_coverage"),
    "coverage": ("of", "hits", "n", "coverage", "coverage_low", "coverage_high", "reads"),
    "decomposition": (
        "service", "total", "unit", "step", "planned_factor", "actual_factor", "change", "to",
    ),
    "limits": (
        "node", "limit", "unit", "planned_rank", "planned_p50", "provisioned", "actual",
        "utilization", "short_from", "short_minutes", "actual_rank",
    ),
    "money": (
        "pool", "planned_nodes", "actual_nodes_mean", "hours_seen", "planned_usd", "actual_usd",
        "over_usd",
    ),
    "findings": ("severity", "code", "service", "message"),
}  # fmt: skip
"""Frame to the columns that a reader is shown; frames without rows are left out."""
TITLES: Final = {
    "peaks": "How far off were the peaks?",
    "scores": "How far off were the days?",
    "coverage": "Did the intervals hold?",
    "decomposition": "Why: driver, fan-out, per request, headroom (in this order)",
    "limits": "What was to break first, and what did",
    "money": "Nodes and money",
    "findings": "What is doubtful about the actuals",
}
SHARES: Final = (
    "ape", "bias", "pit", "wape", "p80_coverage", "coverage", "coverage_low", "coverage_high",
    "utilization",
)  # fmt: skip
WORDS: Final = {
    "ape": "APE", "wape": "WAPE", "pit": "PIT", "n": "n", "n_days": "Days judged",
    "peak_p10": "P10", "peak_p50": "P50", "peak_p90": "P90", "inside_p80": "Inside P10-P90",
    "p80_coverage": "Inside P10-P90", "planned_p50": "Planned P50", "to": "Total",
}  # fmt: skip
ROWS: Final = 30
STYLE: Final = """\
body{font:15px/1.5 system-ui,-apple-system,'Segoe UI',Arial,sans-serif;color:#1f2933;
max-width:1080px;margin:2rem auto;padding:0 1rem}h1{font-size:1.5rem}
h2{font-size:1.1rem;margin-top:2rem}.wide{overflow-x:auto}table{border-collapse:collapse;font-size:13px}
th,td{padding:.25rem .5rem;border-bottom:1px solid #d5dbe1;text-align:left;white-space:nowrap}
td.n{text-align:right;font-variant-numeric:tabular-nums}footer{color:#5f6b76;font-size:12px;
margin-top:2rem;overflow-wrap:anywhere}@media print{body{margin:0;max-width:none}}"""


def to_markdown(result: Retro) -> str:
    """Return the sentences and the tables as GitHub Markdown."""
    lines = [f"# Retrospective: {_escape(str(result.meta['title']))}", ""]
    lines += [f"- {_escape(line)}" for line in result.headline().splitlines()]
    for name, frame in _shown(result):
        lines += ["", f"## {TITLES[name]}", "", *_table(frame.head(ROWS), _escape)]
        if len(frame) > ROWS:
            lines += ["", f"({len(frame) - ROWS} more rows in the frame `{name}`)"]
    return "\n".join([*lines, "", _provenance(result), ""])


def _shown(result: Retro) -> list[tuple[str, pd.DataFrame]]:
    return [
        (name, result.frames[name][list(columns)])
        for name, columns in TABLES.items()
        if len(result.frames[name])
    ]


def _table(frame: pd.DataFrame, escape: Callable[[str], str]) -> list[str]:
    names = [_heading(name) for name in frame.columns]
    right = [_is_number(frame[name].tolist()) for name in frame.columns]
    lines = [
        f"| {' | '.join(names)} |",
        f"| {' | '.join('---:' if r else '---' for r in right)} |",
    ]
    for row in frame.itertuples(index=False):
        cells = [escape(_cell(name, value)) for name, value in zip(frame.columns, row, strict=True)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _heading(name: str) -> str:
    return WORDS.get(name, humanize(name))


def _cell(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_usd"):
        return usd(value, signed=name == "over_usd")
    if name == "change":
        return f"{value:+,f}"
    if isinstance(value, float) and math.isnan(value):
        return "-"
    if name in SHARES:
        return percent(value)
    return number(value) if isinstance(value, float | int | Decimal) else str(value)


def _is_number(values: Sequence[Any]) -> bool:
    return all(isinstance(v, float | int | Decimal) and not isinstance(v, bool) for v in values)


def _escape(text: str) -> str:
    for mark, safe in (("\\", "\\\\"), ("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("_", "\\_")):
        text = text.replace(mark, safe)
    return text


def _provenance(result: Retro) -> str:
    meta = result.meta
    return (
        f"Plan {meta['plan_hash']}, as of {meta['as_of']}, {meta['frozen_words']}. Actuals "
        f"{meta['actuals']}, compared as {meta['basis']}. Season {meta['season']['start']} to "
        f"{meta['season']['end']}."
    )


def to_html(result: Retro) -> str:
    """Return one page: sentences, a ribbon for each root, tables, provenance."""
    from capmodel import plots  # noqa: PLC0415  matplotlib only when drawn

    title = html.escape(f"Retrospective: {result.meta['title']}")
    parts = [f"<h1>{title}</h1>", "<ul>"]
    parts += [f"<li>{html.escape(line)}</li>" for line in result.headline().splitlines()]
    parts.append("</ul>")
    for root in dict.fromkeys(result.frames["days"]["service"]):
        svg = plots.ribbon_svg(result.frames, of=str(root))
        parts.append(svg.replace(' xmlns="http://www.w3.org/2000/svg"', "", 1))
    for name, frame in _shown(result):
        parts += [f"<h2>{html.escape(TITLES[name])}</h2>", '<div class="wide"><table>']
        parts.append(_row("th", [(_heading(c), False) for c in frame.columns]))
        for row in frame.itertuples(index=False):
            cells = [
                (_cell(column, value), _is_number([value]))
                for column, value in zip(frame.columns, row, strict=True)
            ]
            parts.append(_row("td", cells))
        parts.append("</table></div>")
    parts.append(f"<footer>{html.escape(_provenance(result))}</footer>")
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def _row(tag: str, cells: Sequence[tuple[str, bool]]) -> str:
    inside = "".join(
        f"<{tag}{' class=n' if right else ''}>{html.escape(text)}</{tag}>" for text, right in cells
    )
    return f"<tr>{inside}</tr>"

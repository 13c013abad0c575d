"""What changed and whether it may, as one comment on a pull request: at most 60 lines.

This module answers: do the gates hold, which inputs differ, and which figures moved, the most
important first? It takes frames and text and computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from capmodel.plots.labels import exact, is_missing, number, percent, usd
from capmodel.report.markdown import escape

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST_LINES", "change_comment"]

MOST_LINES: Final = 60
_SENTENCES: Final = 4
_GATES: Final = 12
_INPUTS: Final = 6
_ROWS: Final = 14
_RESULTS: Final = ("FAIL", "STALE", "WAIVED", "PASS")
_STATUSES: Final = ("GREEN", "AMBER", "RED")
_FRAMES: Final = (
    "cost", "nodes", "databases", "orders", "limits", "services", "risk", "demand",
)  # fmt: skip
"""What a reviewer asks first."""
_RATIO: Final = "ratio"
_HEADS: Final = ("What", "Figure", "Old", "New", "Change", "Status", "Cause")


def change_comment(
    changes: pd.DataFrame | None,
    *,
    title: str,
    inputs: pd.DataFrame | None = None,
    gates: pd.DataFrame | None = None,
    lead: Sequence[str] = (),
) -> str:
    """Return the comment: gates, inputs that differ, changed rows, the rest folded away.

    Parameters
    ----------
    changes
        Rows of a diff, with their causes; None: there is nothing to compare with.
    title
        The plan's title.
    inputs
        Inputs that differ: ``input, old, new``.
    gates
        Rows of gate results; None: no rules were applied.
    lead
        Sentences under the title, such as how many gates failed, and warnings.

    Returns
    -------
    str
        GitHub-flavoured Markdown of at most 60 lines.
    """
    lines = [f"### {escape(title)}", ""]
    lines += [f"- {escape(sentence)}" for sentence in lead[:_SENTENCES]]
    if gates is not None:
        lines += ["", *_gates(gates)]
    if changes is None:
        return "\n".join(lines) + "\n"
    lines += ["", *_inputs(inputs)]
    rows = _ranked(changes)
    lines += ["", *_head(rows)]
    rest = rows[_ROWS:]
    if rest:
        room = MOST_LINES - len(lines) - 7
        shown = rest[: max(room, 0)]
        lines += ["", f"<details><summary>{len(rest)} more changed figures</summary>", ""]
        lines += _table(_HEADS, shown)
        left = len(rest) - len(shown)
        lines += [f"{left} more: capmodel diff OLD NEW --format csv" if left else "", "</details>"]
    return "\n".join(lines) + "\n"


def _gates(gates: pd.DataFrame) -> list[str]:
    ranked = sorted(gates.to_dict("records"), key=lambda row: _RESULTS.index(row["result"]))
    rows = [
        (
            row["gate"], row["scope"], row["threshold"], _value(row["baseline"], row["unit"]),
            _value(row["value"], row["unit"]), _signed(row["change_x"]), row["result"],
            row["waiver_until"], row["detail"],
        )
        for row in ranked
    ]  # fmt: skip
    heads = ("Gate", "Scope", "Threshold", "Was", "Is", "Change", "Result", "Waived until", "Why")
    lines = _table(heads, rows[:_GATES])
    left = rows[_GATES:]
    return lines + ([f"{len(left)} more gates, {left[-1][6]} among them."] if left else [])


def _inputs(inputs: pd.DataFrame | None) -> list[str]:
    if inputs is None or inputs.empty:
        return ["No recorded input differs."]
    rows = inputs.to_dict("records")
    lines = [
        f"- {escape(row['input'])}: {escape(row['old'])} → {escape(row['new'])}"
        for row in rows[:_INPUTS]
    ]
    left = len(rows) - _INPUTS
    return ["**Inputs that differ**", *lines, *([f"- {left} more"] if left > 0 else [])]


def _head(rows: Sequence[Sequence[str]]) -> list[str]:
    return _table(_HEADS, rows[:_ROWS]) if rows else ["No figure changed."]


def _ranked(changes: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return the rows as text: worse statuses first, then by what is asked first, then by size."""
    records = sorted(changes.to_dict("records"), key=_importance)
    return [
        (
            f"{row['frame']}: {row['key']}",
            row["metric"],
            _value(row["old"], row["unit"]),
            _value(row["new"], row["unit"]),
            _change(row),
            _statuses(row),
            row["cause"],
        )
        for row in records
    ]


def _importance(row: Mapping[Any, Any]) -> tuple[object, ...]:
    size = row["delta_x"]
    large = -abs(float(size)) if not is_missing(size) else 0.0
    status = row["metric"] == "status"
    worse = status and _rank(row["new"]) > _rank(row["old"])
    order = 0 if worse else 1 if status else 2 + _FRAMES.index(str(row["frame"]))
    return (order, large, str(row["key"]), str(row["metric"]))


def _rank(status: object) -> int:
    return _STATUSES.index(str(status)) if status in _STATUSES else -1


def _statuses(row: Mapping[Any, Any]) -> str:
    old, new = row["status_old"], row["status_new"]
    if is_missing(old) and is_missing(new):
        return ""
    return str(old) if old == new else f"{old or '-'} → {new or '-'}"


def _change(row: Mapping[Any, Any]) -> str:
    delta, unit = row["delta"], row["unit"]
    if is_missing(delta):
        return ""
    if unit == _RATIO:
        return _minus(f"{100 * float(delta):+.1f} percentage points")
    words = f"{usd(delta, signed=True)} USD" if unit == "USD" else _value(delta, unit)
    signed = words if float(delta) < 0 or words.startswith("+") else f"+{words}"
    share = _signed(row["delta_x"])
    return _minus(f"{signed} ({share})" if share else signed)


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def _signed(share: Any) -> str:
    if is_missing(share):
        return ""
    return _minus(f"{100 * float(share):+.1f} %")


def _value(value: object, unit: object) -> str:
    if is_missing(value):
        return "-"
    if isinstance(value, str):
        return value
    if unit == "USD":
        return f"{usd(value)} USD"
    if unit == _RATIO:
        return percent(value)
    text = number(value, None) if isinstance(value, float) else exact(value)
    return f"{text} {unit}".rstrip()


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table; columns that hold nothing are left away."""
    kept = [i for i in range(len(heads)) if any(row[i] for row in rows)]
    return [
        f"| {' | '.join(heads[i] for i in kept)} |",
        f"|{'|'.join('---' for _ in kept)}|",
        *(f"| {' | '.join(escape(row[i]) for i in kept)} |" for row in rows),
    ]

"""A result for standard output: a table to read, Markdown to paste, CSV and JSON to go on with.

CSV and JSON hold every column and nine significant digits; tables hold the columns that a reader
needs, five digits, and ratios as percent. Nothing is computed here.
"""

from __future__ import annotations

import csv
import io
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import click

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMATS", "Format", "in_format", "say", "sections", "table"]

Format = Literal["table", "json", "csv", "md"]
FORMATS: Final[tuple[Format, ...]] = ("table", "json", "csv", "md")

_DIGITS: Final = 5
_PERCENT: Final = (
    "p_", "utilization", "wape", "bias", "skill", "better_", "coverage", "peak_error",
    "peak_abs_error", "above_", "ape",
)  # fmt: skip
"""Columns that begin so are ratios, shown as percent."""


def say(text: str) -> None:
    """Print a result; a reader who closes the pipe early has read enough."""
    try:
        click.echo(text.rstrip("\n"))
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes standard output once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def in_format(frame: pd.DataFrame, form: Format, *, columns: Sequence[str] | None = None) -> str:
    """Return a frame as text.

    Parameters
    ----------
    frame
        What is shown.
    form
        ``table``, ``md``, ``csv`` or ``json`` (a list of records).
    columns
        The columns of ``table`` and ``md``; None: all.
    """
    if form == "json":
        return _json(frame)
    if form == "csv":
        return _csv(frame)
    shown = frame if columns is None else frame[list(columns)]
    return _markdown(shown) if form == "md" else table(shown)


def sections(
    frames: Mapping[str, pd.DataFrame], form: Format, *, columns: Mapping[str, Sequence[str]]
) -> str:
    """Return several frames as text, each under its name; not for CSV, which holds one table."""
    if form == "json":
        inside = ",".join(f'"{name}":{_json(frame)}' for name, frame in sorted(frames.items()))
        return "{" + inside + "}"
    mark = "## " if form == "md" else ""
    parts = [
        f"{mark}{name}\n\n{in_format(frame, form, columns=columns.get(name))}"
        for name, frame in frames.items()
    ]
    return "\n\n".join(parts)


def table(frame: pd.DataFrame) -> str:
    """Return a frame as aligned text, '(no rows)' where it is empty.

    Examples
    --------
    >>> import pandas as pd
    >>> print(table(pd.DataFrame({"node": ["core-db"], "peak_p50": [4275.0], "p_any": [0.021]})))
    node     peak_p50  p_any
    core-db     4,275   2.1%
    """
    if frame.empty:
        return "(no rows)"
    names, cells, numeric = _cells(frame)
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in (names, *cells)
    ]
    return "\n".join(lines)


def _markdown(frame: pd.DataFrame) -> str:
    if frame.empty:
        return "(no rows)"
    names, cells, numeric = _cells(frame)
    rows = [names, ["---:" if right else "---" for right in numeric], *cells]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows
    )


def _cells(frame: pd.DataFrame) -> tuple[list[str], list[list[str]], list[bool]]:
    """Return (names, rows of text, whether each column is of numbers)."""
    names = [str(name) for name in frame.columns]
    columns = [
        [cell_text(value, percent=name.startswith(_PERCENT)) for value in frame[name].tolist()]
        for name in names
    ]
    numeric = [all(map(_is_number, frame[name].tolist())) for name in names]
    return names, [list(row) for row in zip(*columns, strict=True)], numeric


def _is_number(value: Any) -> bool:
    from decimal import Decimal  # noqa: PLC0415

    return value is None or (
        isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    )


def cell_text(value: Any, *, percent: bool = False) -> str:
    """Return a cell for a reader; '-' where there is no value.

    Examples
    --------
    >>> [cell_text(v) for v in (4275.0, 0.00156, 123456.7, float("nan"), True, "RED")]
    ['4,275', '0.00156', '123,457', '-', 'yes', 'RED']
    >>> cell_text(1.06875, percent=True)
    '106.9%'
    """
    from decimal import Decimal  # noqa: PLC0415

    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return f"{value:,.2f}"
    if isinstance(value, float) and percent and math.isfinite(value):
        return f"{value:.1%}"
    if isinstance(value, float):
        return _number(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "none" if value > 0 else str(value)
    if value == 0:
        return "0"
    decimals = max(_DIGITS - 1 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _csv(frame: pd.DataFrame) -> str:
    from capmodel.plots.labels import exact  # noqa: PLC0415  pandas

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(str, frame.columns))
    writer.writerows([exact(value) for value in row] for row in frame.itertuples(index=False))
    return text.getvalue()


def _json(frame: pd.DataFrame) -> str:
    from capmodel.documents import canonical_json  # noqa: PLC0415  numpy

    return canonical_json(frame.to_dict("records"))

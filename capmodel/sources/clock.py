"""Clock times without a zone → moments.

Autumn's repeated hour cannot be told apart without a zone, and rows have no order, so both of its
hours get the mean of the rows that carry its time. Spring's missing hour never was: rows that carry
it have no place on the grid and are left out. Both are findings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from capmodel.history.localtime import check_tz
from capmodel.history.reading import TAG_SEPARATOR
from capmodel.schema import QUANTITIES, Finding

__all__ = ["localized"]


def localized(frame: pd.DataFrame, *, tz: str) -> tuple[pd.DataFrame, list[Finding]]:
    """Return the frame with its naive ``time`` (datetime64) read as clock time in `tz`.

    Parameters
    ----------
    frame
        Long frame with a naive datetime column ``time``.
    tz
        IANA zone of the clock.

    Returns
    -------
    frame, findings
        ``time`` is UTC; findings ``nonexistent_hour`` and ``ambiguous_hour`` where they apply.

    Examples
    --------
    >>> times = pd.to_datetime(["2026-11-01 00:00", "2026-11-01 01:00", "2026-11-01 02:00"])
    >>> frame = pd.DataFrame({"service": "api", "time": times, "rps": [1.0, 2.0, 3.0]})
    >>> localized(frame, tz="America/New_York")[0]["rps"].tolist()  # 01:00 came twice
    [1.0, 3.0, 2.0, 2.0]
    """
    check_tz(tz)
    naive = pd.DatetimeIndex(frame["time"])
    first = naive.tz_localize(tz, ambiguous=np.ones(len(naive), dtype=bool), nonexistent="NaT")
    second = naive.tz_localize(tz, ambiguous=np.zeros(len(naive), dtype=bool), nonexistent="NaT")
    never = np.asarray(first.isna())
    twice = np.asarray(first != second) & ~never
    notes = []
    if never.any():
        text = "clock times that the spring change skips: they never were and are left out"
        notes.append(_finding("nonexistent_hour", naive[never], tz, text))
    if twice.any():
        text = "clock times that came twice in autumn: both hours get the mean of their rows"
        notes.append(_finding("ambiguous_hour", naive[twice], tz, text))
    once = frame[~(never | twice)].assign(time=first[~(never | twice)].tz_convert("UTC"))
    if not twice.any():
        return once.reset_index(drop=True), notes
    means = _one_row_each(frame[twice])
    copies = [
        means.assign(
            time=pd.DatetimeIndex(means["time"])
            .tz_localize(tz, ambiguous=np.full(len(means), summer))
            .tz_convert("UTC")
        )
        for summer in (True, False)
    ]
    return pd.concat([once, *copies], ignore_index=True), notes


def _one_row_each(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of the rows of each service, class and time; their tags are joined."""
    keys = [name for name in ("service", "class", "time") if name in rows.columns]
    rest = [name for name in rows.columns if name not in keys]
    rules: dict[str, Any] = {name: "mean" if name in QUANTITIES else "first" for name in rest}
    if "tag" in rules:
        rules["tag"] = lambda tags: TAG_SEPARATOR.join(sorted(set(tags.dropna()) - {""}))
    text = {name: rows[name].astype(object) for name in ("service", "class", "tag") if name in rows}
    # Sorted by every column, so that the mean has the same bits in any row order.
    ordered = rows.assign(**text).sort_values([*keys, *rest])
    return ordered.groupby(keys, as_index=False, dropna=False).agg(rules)[list(rows.columns)]


def _finding(code: str, times: pd.DatetimeIndex, tz: str, text: str) -> Finding:
    days = sorted(set(times.strftime("%Y-%m-%d")))
    listed = ", ".join(days[:5]) + (", …" if len(days) > 5 else "")  # noqa: PLR2004
    message = f"{len(times)} rows ({listed}, {tz}) have {text}"
    return Finding(code, "warning", "", message, {"rows": len(times), "days": days, "tz": tz})

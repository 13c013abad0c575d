"""Dense arrays → the long frame that ``History.from_frame`` reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from capmodel.history.arrays import Bools, Floats, Ints
from capmodel.history.localtime import Axis
from capmodel.history.reading import TAG_SEPARATOR
from capmodel.schema import QUANTITIES

__all__ = ["long_frame"]

Values = Mapping[tuple[str, str], Floats]


def long_frame(
    axis: Axis, services: tuple[str, ...], values: Values, tags: Mapping[str, Bools]
) -> pd.DataFrame:
    """Return one row per service, class and step, sorted; gaps are rows of NaN.

    A service has rows for the classes in which it has any value; one without any value has rows
    of class ''. ``class`` and ``tag`` are there when the history has any.
    """
    classes = sorted({c for _, c in values})
    if classes == [""]:
        return _block(axis, services, values, tags, rows=np.arange(len(services)))
    blocks, left = [], np.ones(len(services), dtype=bool)
    for name in classes:
        seen = np.any(
            [~np.isnan(a).all(axis=1) for (_, c), a in values.items() if c == name], axis=0
        )
        left &= ~seen
        own = {key: array for key, array in values.items() if key[1] == name}
        rows = np.flatnonzero(seen)
        blocks.append(_block(axis, services, own, tags, rows=rows, service_class=name))
    empty = np.flatnonzero(left)
    blocks.append(_block(axis, services, {}, tags, rows=empty, service_class=""))
    order = [name for name in QUANTITIES if any(name == quantity for quantity, _ in values)]
    frame = pd.concat([block for block in blocks if len(block)], ignore_index=True)
    keys = [name for name in frame.columns if name not in QUANTITIES]
    frame = frame.reindex(columns=[*keys, *order])
    return frame.sort_values(["service", "class", "time"], kind="stable", ignore_index=True)


def _block(
    axis: Axis,
    services: tuple[str, ...],
    values: Values,
    tags: Mapping[str, Bools],
    *,
    rows: Ints,
    service_class: str | None = None,
) -> pd.DataFrame:
    """Return the long rows of one class for the services at `rows`."""
    times = axis.times().tz_localize(None) if axis.labels else axis.times()
    columns: dict[str, Any] = {
        "service": np.repeat(np.array(services, dtype=object)[rows], axis.n_steps),
        "time": times[np.tile(np.arange(axis.n_steps), len(rows))],
    }
    if service_class is not None:
        columns["class"] = service_class
    if tags:
        columns["tag"] = _tag_text({tag: mask[rows] for tag, mask in tags.items()})
    for name in QUANTITIES:
        for (quantity, _), array in values.items():
            if quantity == name:
                columns[name] = array[rows].ravel()
    return pd.DataFrame(columns)


def _tag_text(tags: Mapping[str, Bools]) -> npt.NDArray[np.object_]:
    """Return the tags of each cell as text, several joined by commas, '' for none."""
    shape = next(iter(tags.values())).shape
    text = np.full(shape, "", dtype=object)
    for tag, mask in sorted(tags.items()):
        text[mask] = np.where(text[mask] == "", tag, text[mask] + TAG_SEPARATOR + tag)
    return text.ravel()

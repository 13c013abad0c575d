"""Array helpers that the findings share: totals over classes, runs of cells, blocks of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from capmodel.schema import DEMAND_QUANTITIES

__all__ = ["Runs", "demand_of", "runs_of", "sorted_median", "total_over_classes", "totals"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def total_over_classes(parts: Iterable[Floats]) -> Floats:
    """Return the sum of a quantity over its classes, NaN where a class has a gap.

    A class counts as 0 before its first and after its last observation (it did not exist then),
    so a class born late does not hide the years before it; a gap in between stays a gap.

    Parameters
    ----------
    parts
        One array per class, each of shape (S, T).

    Examples
    --------
    >>> total_over_classes([np.array([[1.0, 2.0, np.nan]]), np.array([[np.nan, 5.0, 6.0]])])
    array([[1., 7., 6.]])
    """
    total, anything = np.zeros(()), np.zeros((), dtype=bool)
    for part in parts:
        seen = ~np.isnan(part)
        begun = np.logical_or.accumulate(seen, axis=1)
        over = ~np.logical_or.accumulate(seen[:, ::-1], axis=1)[:, ::-1]
        total = total + np.where(~begun | over, 0.0, part)
        anything = anything | (begun & ~over)
    return np.where(anything, total, np.nan)


def totals(values: Mapping[tuple[str, str], Floats]) -> dict[str, Floats]:
    """Return each quantity as a whole: as measured, or else the sum over its classes, (S, T)."""
    found: dict[str, Floats] = {}
    for name in dict.fromkeys(quantity for quantity, _ in values):
        whole = values.get((name, ""))
        parts = [array for (quantity, _), array in values.items() if quantity == name]
        found[name] = total_over_classes(parts) if whole is None else whole
    return found


def demand_of(whole: Mapping[str, Floats]) -> Floats | None:
    """Return each service's demand, in its own unit: events, requests, else all queries, (S, T).

    None when no quantity of the history is a demand.
    """
    parts = [whole[name] for name in DEMAND_QUANTITIES if name in whole]
    queries = [whole[name] for name in ("qps_read", "qps_write") if name in whole]
    if queries:
        parts.append(total_over_classes(queries))
    if not parts:
        return None
    found = np.array(parts[0])
    for part in parts[1:]:
        empty = np.isnan(found).all(axis=1)
        found[empty] = part[empty]
    return found


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of True cells along time: row, first step and length of each, in row order."""

    row: Ints
    first: Ints
    length: Ints

    def keep(self, which: Bools) -> Runs:
        """Return the runs selected by a mask."""
        return Runs(self.row[which], self.first[which], self.length[which])

    @classmethod
    def none(cls) -> Runs:
        """Return no runs."""
        empty = np.zeros(0, dtype=np.int64)
        return cls(empty, empty, empty)

    def at(self, row: int) -> Runs:
        """Return the same runs in another row."""
        return Runs(np.full_like(self.row, row), self.first, self.length)

    def spans(self) -> list[tuple[int, int]]:
        """Return first step and end (exclusive) of each run."""
        return list(zip(self.first.tolist(), (self.first + self.length).tolist(), strict=True))

    def without(self, others: Runs) -> Runs:
        """Return the runs that overlap none of `others`."""
        overlap = (
            (self.row[:, None] == others.row)
            & (self.first[:, None] < others.first + others.length)
            & (others.first < (self.first + self.length)[:, None])
        )
        return self.keep(~overlap.any(axis=1))

    def __add__(self, other: Runs) -> Runs:
        pairs = zip(
            (self.row, self.first, self.length),
            (other.row, other.first, other.length),
            strict=True,
        )
        return Runs(*(np.concatenate(pair) for pair in pairs))


def runs_of(mask: Bools) -> Runs:
    """Return the runs of True along the last axis of a mask of shape (S, T).

    Examples
    --------
    >>> runs_of(np.array([[True, True, False, True]]))
    Runs(row=array([0, 0]), first=array([0, 3]), length=array([2, 1]))
    """
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), dtype=np.int8)
    padded[:, 1:-1] = mask
    change = np.diff(padded, axis=1)
    row, first = np.nonzero(change == 1)
    end = np.nonzero(change == -1)[1]
    return Runs(row, first, end - first)


def sorted_median(values: Floats, *, axis: int) -> Floats:
    """Return the median over the observed cells along `axis`, NaN where none is.

    ``np.nanmedian`` gives the same but is some twenty times slower on short axes.

    Examples
    --------
    >>> sorted_median(np.array([[3.0, np.nan, 1.0], [np.nan, np.nan, np.nan]]), axis=1)
    array([ 2., nan])
    """
    ordered = np.moveaxis(np.sort(values, axis=axis), axis, 0)  # NaN sorts last
    count = np.sum(~np.isnan(ordered), axis=0)
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0)[None], axis=0)[0]
    high = np.take_along_axis(ordered, np.minimum(count // 2, len(ordered) - 1)[None], axis=0)[0]
    return np.where(count > 0, (low + high) / 2, np.nan)

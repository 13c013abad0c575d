"""Changes in a series: piecewise constant levels under noise, outliers and gaps.

This module answers: when did a series step, by how much, and how sure is that? It knows arrays
only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from capmodel.regression.censored import survival
from capmodel.regression.steps import median, scaled_mad

__all__ = ["ChangePoint", "change_points", "group_median", "long_run_scale"]


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A step in a series: first index after it, its size and the size's standard error."""

    index: int
    size: float
    se: float


def group_median(
    values: np.ndarray,
    group: np.ndarray,
    n_groups: int,
    *,
    min_count: int = 1,
    at_limit: np.ndarray | None = None,
) -> np.ndarray:
    """Return the median of each group, NaN for groups with fewer than `min_count` values.

    Values `at_limit` are lower bounds: where a group has some, its median is that of the
    product-limit distribution, NaN if more than half of it lies beyond the largest exact value.
    They do not count towards `min_count`.

    Examples
    --------
    >>> group_median(np.array([1.0, 9.0, 2.0, 5.0]), np.array([0, 0, 0, 2]), 3)
    array([ 2., nan,  5.])
    """
    # Sorted by value, then stably by group: for 16 bits that is a radix sort, as fast as counting.
    order = np.argsort(values)
    short = n_groups <= np.iinfo(np.int16).max
    order = order[np.argsort(group[order].astype(np.int16 if short else int), kind="stable")]
    ordered = values[order]
    count = np.bincount(group, minlength=n_groups)
    first = np.cumsum(count) - count
    enough = count >= max(min_count, 1)
    low = first[enough] + (count[enough] - 1) // 2
    high = first[enough] + count[enough] // 2
    middle = np.full(n_groups, np.nan)
    middle[enough] = (ordered[low] + ordered[high]) / 2
    if at_limit is not None and at_limit.any():
        held = np.bincount(group[at_limit], minlength=n_groups)
        for g in np.flatnonzero(held):
            rows = order[first[g] : first[g] + count[g]]
            exact = count[g] - held[g] >= max(min_count, 1)
            middle[g] = _bounded_median(values[rows], at_limit[rows]) if exact else np.nan
    return middle


def _bounded_median(values: np.ndarray, at_limit: np.ndarray) -> float:
    found = survival(values, at_limit)
    reached = median(np.append(values[found.order], np.inf), np.append(found.mass, found.left))
    return reached if np.isfinite(reached) else float("nan")


def long_run_scale(x: np.ndarray) -> float:
    """Return the standard deviation that means of `x` behave by, blind to steps and outliers.

    From the mean squares of first and second-lag differences, taken as an AR(1) process:
    ``1 + φ = s₂²/s₁²``, ``σ² = s₁²/(2(1 − φ))``, long-run variance ``σ²(1 + φ)/(1 − φ)``. φ is held
    in [0, 0.9]. A step spoils one or two differences in n, and differences beyond three scaled
    MADs are left out, so it cannot hide itself.

    Examples
    --------
    >>> x = np.random.default_rng(1).normal(0, 0.1, 4000) + (np.arange(4000) > 2000)
    >>> bool(0.08 < long_run_scale(x) < 0.13)
    True
    """
    one, two = _trimmed_square(np.diff(x)), _trimmed_square(x[2:] - x[:-2])
    if one <= 0:
        return 0.0
    phi = float(np.clip(two / one - 1, 0.0, 0.9))
    return float(np.sqrt(one / (2 * (1 - phi)) * (1 + phi) / (1 - phi)))


def _trimmed_square(difference: np.ndarray) -> float:
    kept = difference[np.abs(difference) <= 3 * scaled_mad(difference)]
    return float(np.mean(kept**2)) if len(kept) else 0.0


def change_points(
    x: np.ndarray,
    *,
    min_size: float,
    min_segment: int = 10,
    evidence: float = 5.0,
) -> tuple[ChangePoint, ...]:
    """Find the steps of a piecewise constant series with noise, outliers and gaps.

    Binary segmentation: a segment is cut where the sum of squares falls most, if the fall divided
    by the long-run variance exceeds ``evidence · ln n`` (the price of one location and one level in
    a BIC, with room for what is not normal). Then neighbours that differ by less than `min_size`,
    or without that evidence, are merged again, weakest first.

    Parameters
    ----------
    x
        Series, shape (N,); NaN is a gap.
    min_size
        Smallest step reported, in units of `x`.
    min_segment
        Fewest values between two steps.
    evidence
        Multiple of ln n that a cut has to gain.

    Returns
    -------
    tuple of ChangePoint
        Index of the first value after each step in `x`, its size (difference of segment means)
        and the size's standard error.

    References
    ----------
    Vostrikova (1981), Soviet Math. Dokl. 24; Yao (1988), Stat. Prob. Letters 6, 181–189 (Schwarz
    criterion for the number of change points).

    Examples
    --------
    >>> x = np.random.default_rng(3).normal(0, 0.02, 120)
    >>> x[80:] += 0.18
    >>> [step.index for step in change_points(x, min_size=0.05)]
    [80]
    """
    known = np.flatnonzero(np.isfinite(x))
    if len(known) < 2 * min_segment:
        return ()
    sigma = max(long_run_scale(x[known]), min_size / 100)
    clean = _clip_outliers(x[known], sigma=sigma)
    threshold = evidence * np.log(len(clean)) * sigma**2
    cuts = _merge(
        clean, _segment(clean, min_segment, threshold), min_size=min_size, threshold=threshold
    )
    edges = [0, *cuts, len(clean)]
    steps = []
    for before, cut, after in zip(edges, cuts, edges[2:], strict=False):
        size = clean[cut:after].mean() - clean[before:cut].mean()
        se = sigma * np.sqrt(1 / (cut - before) + 1 / (after - cut))
        steps.append(ChangePoint(int(known[cut]), float(size), float(se)))
    return tuple(steps)


def _clip_outliers(x: np.ndarray, *, sigma: float) -> np.ndarray:
    # One day of broken metrics must not buy a cut; a step survives, the running median follows it.
    half = 5
    padded = np.pad(x, half, mode="reflect")
    middle = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)
    return np.asarray(np.clip(x, middle - 3 * sigma, middle + 3 * sigma))


def _segment(x: np.ndarray, min_segment: int, threshold: float) -> list[int]:
    cuts: list[int] = []
    todo = [(0, len(x))]
    while todo:
        start, stop = todo.pop()
        cut, gain = _best_cut(x[start:stop], min_segment)
        if gain > threshold:
            cuts.append(start + cut)
            todo += [(start, start + cut), (start + cut, stop)]
    return sorted(cuts)


def _best_cut(x: np.ndarray, min_segment: int) -> tuple[int, float]:
    """Return the position and the fall in the sum of squares of the best single cut."""
    n = len(x)
    if n < 2 * min_segment:
        return 0, 0.0
    position = np.arange(min_segment, n - min_segment + 1)
    left = np.cumsum(x - x.mean())[position - 1]
    gain = left**2 * n / (position * (n - position))
    best = int(np.argmax(gain))
    return int(position[best]), float(gain[best])


def _merge(x: np.ndarray, cuts: list[int], *, min_size: float, threshold: float) -> list[int]:
    while cuts:
        edges = [0, *cuts, len(x)]
        margin = []
        for before, cut, after in zip(edges, cuts, edges[2:], strict=False):
            size = abs(x[cut:after].mean() - x[before:cut].mean())
            gain = size**2 * (cut - before) * (after - cut) / (after - before)
            margin.append(min(size / min_size, gain / threshold))
        weakest = int(np.argmin(margin))
        if margin[weakest] >= 1:
            break
        cuts = cuts[:weakest] + cuts[weakest + 1 :]
    return cuts

"""Which load drives a resource: the one that predicts it best on rows the line has not seen.

This module answers: does CPU follow transactions, or logical reads, or neither? Which resource then
binds is :mod:`capmodel.usage.binding`'s question.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from capmodel.errors import InputError, Problem
from capmodel.laws.arguments import whole
from capmodel.regression import mm_nnls

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Driver", "DriverChoice", "best_driver"]

Floats = npt.NDArray[np.float64]

_CONSTANT: Final = 0.02


@dataclass(frozen=True, slots=True)
class Driver:
    """How well a load explains a resource.

    ``r2`` is the squared correlation of usage with the least-squares line on all rows, as anybody
    would compute it; ``r2_out`` the share of the variance that robust lines explain in the blocks
    left out of them, below 0 where the mean of the other blocks does better; ``mae_x`` the mean
    absolute error in those blocks over mean usage [ratio]. ``behind`` is the mean squared error
    above the best driver's, as a share of the variance, with ``behind_low`` and ``behind_high`` its
    95 % interval over blocks. ``reason`` says why a candidate was not judged.
    """

    name: str
    r2: float
    r2_out: float
    mae_x: float
    behind: float
    behind_low: float
    behind_high: float
    reason: str


@dataclass(frozen=True, slots=True)
class DriverChoice:
    """The candidates, best first, and the one to use.

    ``best`` is None where no candidate predicts at least ``min_r2`` of the variance. ``sure`` says
    whether every other candidate is behind by more than its interval.
    """

    drivers: tuple[Driver, ...]
    best: str | None
    sure: bool
    n_used: int

    @property
    def verdict(self) -> str:
        """The choice in words."""
        figures = ", ".join(
            f"{driver.name} {driver.reason or f'{driver.r2_out:.2f}'}" for driver in self.drivers
        )
        if self.best is None:
            return f"no candidate explains the usage (r2 on rows left out: {figures})"
        doubt = "" if self.sure else ", but not surely better than the next"
        return f"{self.best} drives the usage{doubt} (r2 on rows left out: {figures})"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per candidate, best first."""
        import pandas as pd  # noqa: PLC0415  frames only

        fields = ("name", "r2", "r2_out", "mae_x", "behind", "behind_low", "behind_high", "reason")
        return pd.DataFrame([{f: getattr(d, f) for f in fields} for d in self.drivers])


def best_driver(
    usage: npt.ArrayLike,
    candidates: Mapping[str, npt.ArrayLike],
    *,
    blocks: int = 10,
    min_r2: float = 0.5,
) -> DriverChoice:
    """Choose the load that predicts a resource best on rows left out of the fit.

    Every candidate gets robust lines ``usage = idle + Σ per_load · load``, each fitted without one
    block of consecutive rows and judged on it: neighbours in time are alike, so rows left out at
    random would flatter. All candidates are judged on the same rows.

    Parameters
    ----------
    usage
        The resource, rows in order of time, shape (T,); NaN is a gap.
    candidates
        Loads by name, each (T,), or (T, K) for several loads taken together (reads and writes).
    blocks
        Consecutive blocks, from 3.
    min_r2
        Least share of the variance left out that the best candidate has to predict.

    Returns
    -------
    DriverChoice

    Raises
    ------
    InputError
        For no candidates, other lengths than the usage's, negative or infinite numbers, or fewer
        than ten complete rows per block.

    References
    ----------
    Stone, M. (1974), J. R. Statist. Soc. B 36, 111–147 (cross-validatory choice); Burman, Chow &
    Nolan (1994), Biometrika 81, 351–358 (blocks, for dependent data).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> reads = rng.uniform(50_000, 200_000, 400)
    >>> transactions = reads / 40_000 * rng.lognormal(0, 0.5, 400)
    >>> cores = 0.3 + 2e-5 * reads * rng.lognormal(0, 0.05, 400)
    >>> choice = best_driver(cores, {"transactions": transactions, "logical_reads": reads})
    >>> choice.best, choice.sure
    ('logical_reads', True)
    """
    y, loads = _checked(usage, candidates, blocks)
    usable = np.isfinite(y)
    for load in loads.values():
        usable &= np.isfinite(load).all(axis=1)
    n = int(np.count_nonzero(usable))
    if n < 10 * blocks:
        raise InputError.of(
            "usage and candidates",
            got=f"{n} rows without a gap",
            expected=f"at least {10 * blocks}, ten per block",
            do="Leave out the candidate with gaps, add rows, or take fewer blocks.",
        )
    y = y[usable]
    block = np.arange(n) * blocks // n
    errors = {name: _left_out(y, load[usable], block) for name, load in loads.items()}
    return _choose(y, {name: load[usable] for name, load in loads.items()}, errors, block, min_r2)


def _checked(
    usage: npt.ArrayLike, candidates: Mapping[str, npt.ArrayLike], blocks: int
) -> tuple[Floats, dict[str, Floats]]:
    y = np.asarray(usage, dtype=np.float64)
    problems = whole("blocks", blocks, least=3)
    if not candidates:
        problems.append(Problem("candidates", "none", "loads by name", "Give at least one."))
    loads: dict[str, Floats] = {}
    for name, value in {"usage": y, **candidates}.items():
        array = np.asarray(value, dtype=np.float64)
        where = "usage" if array is y else f"candidates, {name}"
        wrong = array.shape[:1] != y.shape[:1] or array.ndim not in ((1,) if array is y else (1, 2))
        if wrong:
            problems.append(Problem(where, f"shape {array.shape}", "one row per value", "Align."))
        elif np.isinf(array).any() or np.any(array < 0):
            got = f"{float(np.nanmin(array)):g} to {float(np.nanmax(array)):g}"
            problems.append(Problem(where, got, "finite numbers of at least 0", "Correct them."))
        elif array is not y:
            loads[name] = array.reshape(len(y), -1)
    if problems:
        raise InputError(problems)
    return y, loads


def _left_out(y: Floats, load: Floats, block: npt.NDArray[np.int64]) -> Floats | None:
    """Return the errors in each block of lines fitted without it, None for a constant load."""
    if np.all(np.std(load, axis=0) <= _CONSTANT * np.mean(load, axis=0)):
        return None
    design = np.column_stack([np.ones(len(y)), load])
    error = np.empty_like(y)
    for b in range(int(block.max()) + 1):
        out = block == b
        error[out] = y[out] - design[out] @ mm_nnls(design[~out], y[~out]).value
    return error


def _choose(
    y: Floats,
    loads: Mapping[str, Floats],
    errors: Mapping[str, Floats | None],
    block: npt.NDArray[np.int64],
    min_r2: float,
) -> DriverChoice:
    square = {name: e**2 for name, e in errors.items() if e is not None}
    variance = float(np.mean(_off_the_others(y, block) ** 2))
    ranked = sorted(square, key=lambda name: float(np.mean(square[name])))
    drivers = [
        Driver(
            name=name,
            r2=_squared_correlation(y, loads[name]),
            r2_out=1 - float(np.mean(square[name])) / variance if variance > 0 else math.nan,
            mae_x=float(np.mean(np.sqrt(square[name])) / np.mean(y)) if y.any() else math.nan,
            **_behind(square[name] - square[ranked[0]], block, variance),
            reason="",
        )
        for name in ranked
    ]
    best = drivers[0].name if drivers and drivers[0].r2_out >= min_r2 else None
    drivers += [
        Driver(name, *(math.nan,) * 6, reason="was constant")
        for name in loads
        if name not in square
    ]
    sure = best is not None and all(d.behind_low > 0 or d.reason for d in drivers[1:])
    return DriverChoice(drivers=tuple(drivers), best=best, sure=sure, n_used=len(y))


def _off_the_others(y: Floats, block: npt.NDArray[np.int64]) -> Floats:
    """Return each value less the mean of the other blocks: the error of knowing no load at all."""
    count, total = np.bincount(block), np.bincount(block, weights=y)
    mean = (total.sum() - total) / (count.sum() - count)
    return np.asarray(y - mean[block])


def _behind(difference: Floats, block: npt.NDArray[np.int64], variance: float) -> dict[str, float]:
    """Return the mean difference of squared errors, as a share, and its interval over blocks."""
    if variance <= 0:
        return dict.fromkeys(("behind", "behind_low", "behind_high"), math.nan)
    per_block = np.bincount(block, weights=difference) / np.bincount(block) / variance
    n = len(per_block)
    half = float(stdtrit(n - 1, 0.975) * np.std(per_block, ddof=1) / math.sqrt(n))
    mean = float(np.mean(difference)) / variance
    return {"behind": mean, "behind_low": mean - half, "behind_high": mean + half}


def _squared_correlation(y: Floats, load: Floats) -> float:
    design = np.column_stack([np.ones(len(y)), load])
    left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    total = float(np.sum((y - y.mean()) ** 2))
    return 1 - float(np.sum(left**2)) / total if total > 0 else math.nan

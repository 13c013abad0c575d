"""A pool of simple forecasters for short or undated series, combined by backtest.

This module answers: what do the next hours of a series look like when there is no calendar to lean
on, and how far off may that be? It works on arrays: many series side by side, each with as much
past as it has.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from capmodel.demand.pool_members import (
    LEAST_TRAINING,
    QUICK,
    THOROUGH,
    WEEK,
    Member,
    Past,
    Repeat,
    Scale,
    backtest_origins,
    expect,
    steps_needed,
    whole_days,
)
from capmodel.errors import InputError, Problem

__all__ = ["AutoregressivePool", "LeftOut", "PoolForecast"]

AT_ONCE: Final = 256
"""Series forecast side by side: bounds the memory at about 100 MB."""
MOST_GAPS: Final = 0.5
"""A series with more gaps is refused [ratio]."""
BLOCK: Final = 6
"""Steps ahead that share a spread and a multiple: a quarter of a day [steps]."""
PRIOR_DF: Final = 4.0
"""Weight of the whole horizon's spread against a block's own [origins]; `assumed`."""
ROUNDING: Final = 1e-9
"""A rank that exceeds a whole number by less is that number."""
PERFECT: Final = 1e-9
"""Errors are compared after adding this share of the series' mean size: none divides by zero."""
SHOWN: Final = 5
"""Series that a message lists by position."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A member that some series are too short for."""

    member: str
    needs: int
    """Steps before the earliest backtest origin [steps]."""
    series: tuple[int, ...]
    """Positions of the series that are too short."""

    def __str__(self) -> str:
        shown = ", ".join(str(s) for s in self.series[:SHOWN])
        more = f" and {len(self.series) - SHOWN} more" if len(self.series) > SHOWN else ""
        return (
            f"{self.member} needs {self.needs} steps before the backtests; without it: series "
            f"{shown}{more}"
        )


@dataclass(frozen=True, slots=True, eq=False)
class PoolForecast:
    """What the pool expects of S series over H steps; NaN for a refused series."""

    median: np.ndarray
    """Shape (H, S) [unit of the series]."""
    quantiles: tuple[float, ...]
    bands: np.ndarray
    """Quantiles of each step, shape (Q, H, S) [unit of the series]."""
    members: tuple[str, ...]
    weights: np.ndarray
    """Share of each member, 0 where it was left out, shape (M, S)."""
    member_errors: np.ndarray
    """Backtest mean absolute error of each member, NaN where left out, shape (M, S)."""
    errors: np.ndarray
    """Backtest mean absolute error of the combination, weighted by other origins, shape (S,)."""
    n_origins: np.ndarray
    """Backtests of each series, shape (S,)."""
    n_bridged: np.ndarray
    """Gaps that were bridged for the lags, never judged, shape (S,)."""
    left_out: tuple[LeftOut, ...]
    refused: Mapping[int, str]
    """Position of each series set aside, and the reason."""
    notes: tuple[str, ...]
    """What limits the bands."""


class AutoregressivePool(BaseModel):
    """Least-squares autoregressions, repeated cycles and mean weeks, combined by their backtests.

    For undated or short hourly series. Every member forecasts as of several past origins; with E_m
    its mean absolute error there, and n_m the number of members of its family,

    ``w_m ~ exp(-kappa (E_m / min E - 1)) / n_m``,  ``median = sum_m w_m f_m``.

    The bands are split-conformal: the spread of a quarter of a day ahead is the root mean squared
    backtest error of the combination there, and the multiple of it that belongs to a quantile is
    read off errors at origins that had no part in their own weights and spread. The multiples are
    those of all series forecast together; medians and spreads are each series' own. The bands are
    symmetric about the median: a tail then rests on twice as many errors.

    References
    ----------
    Bates, J. M., & Granger, C. W. J. (1969). The combination of forecasts. Operational Research
    Quarterly 20(4), 451-468.
    Box, G. E. P., & Jenkins, G. M. (1976). Time series analysis: forecasting and control, chapter 9
    (multiplicative seasonal models). Holden-Day.
    Lei, J., et al. (2018). Distribution-free predictive inference for regression. Journal of the
    American Statistical Association 113(523), 1094-1111, section 2.2 (split conformal) and 5.2
    (locally weighted).

    Examples
    --------
    >>> import numpy as np
    >>> hours = np.arange(28 * 24)
    >>> calls = 100 + 50 * np.sin(2 * np.pi * hours / 24)
    >>> forecast = AutoregressivePool().forecast_pool(calls[:, None], 24)
    >>> forecast.median[[6, 18], 0].round()
    array([150.,  50.])
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    thorough: bool = False
    """More lag sets, ridges and differences, at about four times the cost."""
    scales: Annotated[tuple[Scale, ...], Field(min_length=1)] = ("log", "linear")
    """Scales of the autoregressions; "log" needs values of 0 or more."""
    kappa: Annotated[float, Field(ge=0)] = 4.0
    """Sharpness of the combination; 0 weighs families alike, large values select."""
    origins: Annotated[int, Field(ge=1)] = 14
    """Most backtest origins of a series: every weekday twice where the history is long enough."""

    @property
    def members(self) -> Mapping[str, Member]:
        """The forecasters that compete, by name."""
        offered = THOROUGH if self.thorough else QUICK
        return MappingProxyType(
            {
                name: member
                for name, member in offered.items()
                if isinstance(member, Repeat) or member.scale in self.scales
            }
        )

    def forecast_pool(
        self,
        values: np.ndarray,
        horizon: int,
        *,
        quantiles: Sequence[float] = (0.025, 0.5, 0.975),
    ) -> PoolForecast:
        """Forecast the steps after the last row.

        A gap is bridged for the members to look back on, by what the steps before it let expect
        (an autoregression fitted on the whole series); it is never a target of a fit and never
        judged. With six or more gaps at its end a series is forecast from its last value.

        Parameters
        ----------
        values
            Hourly steps by series, shape (T, S); NaN for gaps. A shorter series is aligned at the
            end, NaN before its first value; series of one length are fitted together.
        horizon
            H, 1 or more [steps].
        quantiles
            Inside (0, 1).

        Returns
        -------
        PoolForecast
            ``refused`` names the series that cannot be forecast, with the reason; the others go on.

        Raises
        ------
        InputError
            When an argument is none of the above, or no series can be forecast.
        """
        from threadpoolctl import threadpool_limits  # noqa: PLC0415  imported where it is used

        levels = _checked(values, horizon, quantiles)
        values = np.asarray(values, dtype=float)
        refused = _refused(values, horizon, scales=self.scales)
        if len(refused) == values.shape[1]:
            raise InputError(
                Problem(f"series {s}", reason, "a series to forecast", "Leave it out or mend it.")
                for s, reason in refused.items()
            )
        with threadpool_limits(limits=1, user_api="blas"):
            parts = [
                _forecast_part(
                    values[start:stop, columns],
                    columns,
                    spec=self,
                    ahead=(len(values) - stop, len(values) - stop + horizon),
                )
                for start, stop, columns in _groups(values, refused)
            ]
        return _assembled(
            parts,
            _multiples(parts, levels),
            members=self.members,
            n_series=values.shape[1],
            refused=refused,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """The forecast of series of one length; K origins, B blocks of steps ahead."""

    columns: np.ndarray
    """Positions of the S series."""
    names: tuple[str, ...]
    """Members that forecast, m of them."""
    origins: tuple[int, ...]
    """Of the backtests [steps]."""
    median: np.ndarray
    """Shape (H, S)."""
    weights: np.ndarray
    """Shape (m, S)."""
    member_errors: np.ndarray
    """Shape (m, S)."""
    misses: np.ndarray
    """Actual - combination, NaN where nothing was seen, shape (H, K, S)."""
    judges: np.ndarray
    """Row k marks the origins that weigh the members of origin k, shape (K, K)."""
    is_held_out: np.ndarray
    """Whether the judges of an origin share no step with it, shape (K,)."""
    floor: np.ndarray
    """0 for a series that was never below, shape (S,)."""
    negligible: np.ndarray
    """An error that is rounding, shape (S,)."""
    n_bridged: np.ndarray
    """Shape (S,)."""


def _checked(values: np.ndarray, horizon: int, quantiles: Sequence[float]) -> tuple[float, ...]:
    """Return the quantiles; raise what is wrong with any argument."""
    problems = []
    shape = np.shape(values)
    if len(shape) != 2 or not shape[1]:  # noqa: PLR2004  time by series
        problems.append(
            Problem("values", f"shape {shape}", "shape (T, S)", "Put series side by side.")
        )
    if horizon < 1:
        problems.append(Problem("horizon", str(horizon), "1 or more steps", "Write horizon=48."))
    problems += [
        Problem("quantiles", str(q), "a probability inside (0, 1)", "Write 0.95 for 95 %.")
        for q in quantiles
        if not 0 < q < 1
    ]
    if problems:
        raise InputError(problems)
    return tuple(float(q) for q in quantiles)


def _refused(values: np.ndarray, horizon: int, *, scales: tuple[Scale, ...]) -> dict[int, str]:
    """Return the position of each series that cannot be forecast, and why."""
    seen = ~np.isnan(values)
    length = len(values) - seen.argmax(axis=0)
    gaps = 1 - seen.sum(axis=0) / np.maximum(length, 1)
    late = seen[::-1].argmax(axis=0)
    needed = np.array([whole_days(horizon + x) + LEAST_TRAINING for x in late])
    has_log = "log" in scales
    tests = (
        (~seen.any(axis=0), "no value at all: leave it out"),
        (np.isinf(values).any(axis=0), "an infinite value: give NaN for a gap"),
        (
            has_log & (values < 0).any(axis=0),
            'a value below 0, which has no logarithm: use scales=("linear",)',
        ),
        (
            length - late < needed,
            f"too few steps from first to last value for a horizon of {horizon}: shorten it",
        ),
        (~seen[-WEEK:].any(axis=0), f"no value in the last {WEEK} steps: it may have ended"),
        (gaps > MOST_GAPS, f"more than {MOST_GAPS:.0%} gaps: give it a coarser step"),
    )
    refused: dict[int, str] = {}
    for failed, reason in tests:
        refused |= {int(s): reason for s in np.flatnonzero(failed) if int(s) not in refused}
    return dict(sorted(refused.items()))


def _groups(
    values: np.ndarray, refused: Mapping[int, str]
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield the first step, the end and the positions of series alike in both, in bounded chunks.

    Gaps at the end move it: the forecast then looks further ahead, and its errors are judged there.
    Fewer steps than a block are bridged instead, so that a late sample makes no group of its own.
    """
    seen = ~np.isnan(values)
    late = seen[::-1].argmax(axis=0)
    spans = np.stack([seen.argmax(axis=0), len(values) - np.where(late < BLOCK, 0, late)])
    kept = np.array([s for s in range(values.shape[1]) if s not in refused])
    for start, stop in np.unique(spans[:, kept], axis=1).T:
        alike = kept[(spans[0, kept] == start) & (spans[1, kept] == stop)]
        for chunk in range(0, len(alike), AT_ONCE):
            yield int(start), int(stop), alike[chunk : chunk + AT_ONCE]


def _judges(origins: tuple[int, ...], horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which origins judge the members of each, shape (K, K), and whether they are apart.

    Those whose steps ahead are all others; every origin where there is none.
    """
    distance = np.abs(np.subtract.outer(origins, origins))
    judges = np.asarray(distance >= horizon)
    is_held_out = np.asarray(judges.any(axis=1))
    return (judges | ~is_held_out[:, None]).astype(float), is_held_out


def _forecast_part(
    values: np.ndarray, columns: np.ndarray, *, spec: AutoregressivePool, ahead: tuple[int, int]
) -> _Part:
    """Let every member forecast the steps `ahead` as of every origin, and combine them."""
    n_steps, (skip, horizon) = len(values), ahead
    origins = backtest_origins(n_steps, horizon, most=spec.origins)
    members = {n: m for n, m in spec.members.items() if steps_needed(m) <= origins[0]}
    past = Past.of(values, origins=(*origins, n_steps), scales=spec.scales)
    actual = np.stack([values[origin + skip : origin + horizon] for origin in origins], axis=1)
    expected, summed = [], []
    for member in members.values():
        path = expect(member, past, horizon=horizon)[skip:]
        expected.append(path)
        summed.append(np.nansum(np.abs(path[:, :-1] - actual), axis=0))
    count = (~np.isnan(actual)).sum(axis=0)
    judges, is_held_out = _judges(origins, horizon)
    families = [member.family for member in members.values()]
    prior = np.array([1 / families.count(family) for family in families])[:, None, None]
    size = np.nanmean(np.abs(values), axis=0)
    negligible = PERFECT * np.where(size > 0, size, 1.0)

    def weigh(by: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return each member's error and weight by the marked origins, shape (m, rows, S)."""
        error = by @ np.stack(summed) / np.maximum(by @ count, 1)
        above = (error + negligible) / (error.min(axis=0) + negligible) - 1
        share = prior * np.exp(-spec.kappa * above)
        return error, share / share.sum(axis=0)

    misses = actual
    for path, weight in zip(expected, weigh(judges)[1], strict=True):
        misses = misses - weight * path[:, :-1]
    member_errors, weights = (x[:, 0] for x in weigh(np.ones((1, len(origins)))))
    return _Part(
        columns=columns,
        names=tuple(members),
        origins=origins,
        median=sum(w * path[:, -1] for w, path in zip(weights, expected, strict=True)),
        weights=weights,
        member_errors=member_errors,
        misses=misses,
        judges=judges,
        is_held_out=is_held_out,
        floor=past.floor,
        negligible=negligible,
        n_bridged=np.isnan(values).sum(axis=0),
    )


def _spread(misses: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Return the root mean squared error of each block by the marked origins, shape (B, rows, S).

    ``s_b^2 = (4 s^2 + n_b r_b^2) / (4 + n_b)``: the block's own mean square r_b^2 over its n_b
    origins, held to that of the whole horizon, s^2, as under a scaled inverse chi-squared prior
    (Gelman et al. 2013, Bayesian data analysis, 3rd ed., section 2.6).
    """
    starts = np.arange(0, len(misses), BLOCK)
    seen = ~np.isnan(misses)
    squares = by @ np.add.reduceat(np.where(seen, misses, 0.0) ** 2, starts)
    counts = np.add.reduceat(seen, starts, dtype=float)
    n_origins, counts = by @ (counts > 0), by @ counts
    own = squares / np.maximum(counts, 1)
    whole = squares.sum(axis=0) / np.maximum(counts.sum(axis=0), 1)
    return np.asarray(np.sqrt((PRIOR_DF * whole + n_origins * own) / (PRIOR_DF + n_origins)))


def _scores(part: _Part) -> list[np.ndarray]:
    """Return |miss| / spread of each block where the spread comes from other origins.

    A series that every origin met exactly has no spread, and says nothing about the others.
    """
    spread = np.repeat(_spread(part.misses, part.judges), BLOCK, axis=0)[: len(part.misses)]
    counts = part.is_held_out | ~part.is_held_out.any()
    known = ~np.isnan(part.misses) & (spread > part.negligible) & counts[:, None]
    ratio = np.abs(np.divide(part.misses, spread, out=np.zeros_like(spread), where=known))
    return [
        ratio[start : start + BLOCK][known[start : start + BLOCK]]
        for start in range(0, len(ratio), BLOCK)
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Multiples:
    """How many spreads above the median each quantile lies."""

    quantiles: tuple[float, ...]
    by_block: np.ndarray
    """Shape (Q, B), negative below the median [ratio]."""
    notes: tuple[str, ...]


def _multiples(parts: Sequence[_Part], quantiles: tuple[float, ...]) -> _Multiples:
    """Read the multiples of the spread off the scores of all series.

    The central band of probability ``|2 q - 1|`` takes the score of rank
    ``ceil((n + 1) |2 q - 1|)`` of n (Lei et al. 2018, algorithm 2), over all series.
    """
    judged = [part for part in parts if part.is_held_out.any()]
    notes = []
    if not judged:
        notes.append("too few origins to hold any out: the bands rest on errors already fitted")
    blocks = [np.sort(np.concatenate(b)) for b in zip(*map(_scores, judged or parts), strict=True)]
    by_block = np.zeros((len(quantiles), len(blocks)))
    for i, q in enumerate(quantiles):
        for b, scores in enumerate(blocks):
            rank = math.ceil((len(scores) + 1) * abs(2 * q - 1) - ROUNDING)
            if rank and len(scores):
                by_block[i, b] = math.copysign(scores[min(rank, len(scores)) - 1], q - 0.5)
            if rank > len(scores):
                notes.append(f"quantile {q:g} lies beyond the errors seen: the largest stands in")
    return _Multiples(quantiles, by_block, tuple(dict.fromkeys(notes)))


def _banded(part: _Part, by_block: np.ndarray) -> np.ndarray:
    """Return the quantiles of each step, shape (Q, H, S)."""
    spread = _spread(part.misses, np.ones((1, len(part.origins))))[:, 0]
    offset = np.repeat(by_block[:, :, None] * spread, BLOCK, axis=1)[:, : len(part.median)]
    return np.asarray(np.maximum(part.median + offset, part.floor))


def _left_out(parts: Sequence[_Part], members: Mapping[str, Member]) -> Iterator[LeftOut]:
    for name, member in members.items():
        without = [part.columns for part in parts if name not in part.names]
        if without:
            series = np.sort(np.concatenate(without)).tolist()
            yield LeftOut(name, steps_needed(member), tuple(series))


def _assembled(
    parts: Sequence[_Part],
    multiples: _Multiples,
    *,
    members: Mapping[str, Member],
    n_series: int,
    refused: Mapping[int, str],
) -> PoolForecast:
    """Put the parts back in the order of the series."""
    names, n_quantiles = tuple(members), len(multiples.quantiles)
    horizon = len(parts[0].median)
    median = np.full((horizon, n_series), np.nan)
    bands = np.full((n_quantiles, horizon, n_series), np.nan)
    weights, member_errors = (np.full((len(names), n_series), np.nan) for _ in range(2))
    errors = np.full(n_series, np.nan)
    n_origins, n_bridged = (np.zeros(n_series, dtype=int) for _ in range(2))
    for part in parts:
        at = part.columns
        rows = np.array([names.index(name) for name in part.names])[:, None]
        median[:, at] = part.median
        bands[:, :, at] = _banded(part, multiples.by_block)
        weights[:, at] = 0.0
        weights[rows, at], member_errors[rows, at] = part.weights, part.member_errors
        n_seen = (~np.isnan(part.misses)).sum(axis=(0, 1))
        errors[at] = np.nansum(np.abs(part.misses), axis=(0, 1)) / np.maximum(n_seen, 1)
        n_origins[at], n_bridged[at] = len(part.origins), part.n_bridged
    return PoolForecast(
        median=median,
        quantiles=multiples.quantiles,
        bands=bands,
        members=names,
        weights=weights,
        member_errors=member_errors,
        errors=errors,
        n_origins=n_origins,
        n_bridged=n_bridged,
        left_out=tuple(_left_out(parts, members)),
        refused=dict(refused),
        notes=multiples.notes,
    )

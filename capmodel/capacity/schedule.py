"""Windows of many services and pools that share one risk, beside what other rows ask anyway.

This module answers: how many pods or nodes does each window of a tier's services and pools need, so
that a season exceeds any of them within the tier's risk? A quiet week sized at the season's own
quantile would spend that risk again in every week; and a window that the rows for the planned
utilization or a lost zone provide for anyway spends none of it.

Shapes: S scenarios, D draws, W windows, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from capmodel.capacity.replicas import ceil_units
from capmodel.capacity.risk import row_quantiles
from capmodel.capacity.union import TAIL, union_sizes

if TYPE_CHECKING:
    from capmodel.topology import Hold

__all__ = ["Ask", "Need", "WindowSizes", "exceedance", "mixture_values", "window_sizes"]

CAPPED: Final = 0.8
"""Share of a tier's risk that the season's order may leave for windows to be held below it."""

SPARE: Final = 0.05
"""Share of a tier's risk for all windows together that other rows hold anyway [ratio]."""

NEVER: Final = 1e-9
"""A window that is less likely to exceed what stands is not looked at again."""


@dataclass(frozen=True, slots=True, eq=False)
class Need:
    """Unrounded need of each window under one hold row, in the asked units: ``scale * values``."""

    values: np.ndarray
    """Shape (W, S, D); rows that differ by their scale alone share it."""
    scale: float = 1.0

    def of(self, window: int) -> np.ndarray:
        """Return a window's need, shape (S, D) [pods or nodes]."""
        return np.asarray(self.scale * self.values[window])


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """A service's pods or a pool's nodes."""

    kind: Literal["pods", "nodes"]
    unit: str
    needs: Callable[[Sequence[Hold]], Sequence[Need]]
    """What each row asks."""
    whole: Callable[[float, Hold], float]
    """Units to provision for a need under a row."""
    least: float = 0.0
    """Declared minimum [pods or nodes]."""
    most: np.ndarray | float = np.inf
    """What is ordered for the whole season, shape (W,), inf for windows outside of it: no window
    takes more where the risk allows it."""

    def most_of(self, window: int) -> float:
        """Return what is ordered in a window; inf where nothing is."""
        most = np.asarray(self.most)
        return float(most[window] if most.ndim else most)


@dataclass(frozen=True, slots=True, eq=False)
class WindowSizes:
    """Whole units of each window of a service or pool."""

    kind: Literal["pods", "nodes"]
    unit: str
    units: np.ndarray
    """Shape (W,) [pods or nodes]; inf where no number suffices."""
    p50: np.ndarray
    """The same at the window's P50 under the row that asks, shape (W,)."""
    holds: tuple[Hold | None, ...]
    """The row that asks, W of them; None where the declared minimum is above every row."""


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """What one hold row asks of one service or pool."""

    hold: Hold
    units: np.ndarray
    """Shape (W,); -inf where it asks for nothing beyond the other rows."""
    p50: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class _Open:
    """A window that a row at the tier's risk may decide."""

    ask: int
    window: int
    hold: Hold
    need: np.ndarray
    over: float
    """How likely the need exceeds what the other rows ask."""


def window_sizes(
    asks: Sequence[Ask],
    holds: Sequence[Hold],
    *,
    weights: np.ndarray,
    risk: float,
    others: Sequence[np.ndarray] = (),
) -> tuple[list[WindowSizes], float]:
    """Return the units of every window such that a season exceeds any of them within the risk.

    Rows at a fixed quantile take each window's own. Rows at ``1-risk`` share the risk over all
    windows of all services and pools, by :func:`capmodel.capacity.union.union_sizes`. A window
    that the fixed rows hold anyway needs no share: those least likely above them, by
    :func:`exceedance`, are left out while their sum is at most ``SPARE * risk``, which is taken off
    the risk of the rest. Where the season's order itself leaves at most ``CAPPED * risk``, no
    window takes more than that order, and the others share what is left of the risk.

    Parameters
    ----------
    asks
        The services and pools of one tier.
    holds
        The policy's rows that are promised to the tier.
    weights
        Probability of each scenario, shape (S,).
    risk
        Accepted probability that a season exceeds any window.
    others
        Needs of the tier's limits that are provided for the whole season, shape (S, D) each: they
        share the risk of the row at saturation.

    Returns
    -------
    tuple
        Sizes in the order of the asks, and the probability, at most, that a season which is not
        among the draws exceeds any of them without a failure; nan without a row at saturation.
    """
    rows: list[list[_Row]] = []
    opened: list[_Open] = []
    spent = 0.0
    for position, ask in enumerate(asks):
        own, found, held = _rows_of(ask, holds, position, weights=weights)
        rows.append(own)
        opened += found
        spent += held
    opened, left_out = _without_the_held(opened, SPARE * risk - spent)
    spent += left_out
    beyond = _beyond_the_order(asks, opened, weights)
    capped = beyond <= CAPPED * risk
    spent += beyond if capped else 0.0
    p_any = np.nan
    for hold in dict.fromkeys(hold for hold in holds if hold.quantile == "1-risk"):
        members = [one for one in opened if one.hold == hold]
        beside = others if hold.at_saturation else ()
        union = _share(asks, rows, members, beside, weights=weights, risk=risk - spent)
        p_any = spent + union if hold.at_saturation else p_any
    sizes = [_required(ask, own) for ask, own in zip(asks, rows, strict=True)]
    if capped:
        sizes = [
            replace(size, units=np.minimum(size.units, ask.most))
            for ask, size in zip(asks, sizes, strict=True)
        ]
    return sizes, float(p_any)


def _beyond_the_order(asks: Sequence[Ask], opened: Sequence[_Open], weights: np.ndarray) -> float:
    """Return how often any window needs more than what is ordered for the season."""
    over = [
        ceil_units(one.need) > asks[one.ask].most_of(one.window)
        for one in opened
        if one.hold.at_saturation and np.isfinite(asks[one.ask].most_of(one.window))
    ]
    if not over:
        return 0.0
    return float(weights @ np.logical_or.reduce(over).mean(axis=1))


def _rows_of(
    ask: Ask, holds: Sequence[Hold], position: int, *, weights: np.ndarray
) -> tuple[list[_Row], list[_Open], float]:
    """Return a unit's rows, the windows that rows at the risk may decide, and what the rest risks.

    Rows come in the policy's order.
    """
    fixed = [hold.quantile for hold in holds if hold.quantile != "1-risk"]
    levels = (0.5, 1 - TAIL, *fixed)
    needs = dict(zip(holds, ask.needs(holds), strict=True))
    known = {id(need.values): need.values for need in needs.values()}
    known = {key: mixture_values(values, levels, weights) for key, values in known.items()}
    rows, windows = [], range(len(next(iter(needs.values())).values))
    for hold, need in needs.items():
        at = dict(zip(levels, need.scale * known[id(need.values)], strict=True))
        units = np.full(len(windows), -np.inf)
        if hold.quantile != "1-risk":
            units = _whole(ask, hold, at[hold.quantile])
        rows.append(_Row(hold, units, _whole(ask, hold, at[0.5])))
    stands = np.maximum.reduce([np.full(len(windows), ask.least), *(row.units for row in rows)])
    opened, held = [], 0.0
    for hold, need in needs.items():
        if hold.quantile != "1-risk":
            continue
        over = np.ones(len(windows))  # what stands is not judged under a failure
        if hold.at_saturation:
            start = known[id(need.values)][1]
            over = _exceedance(need.values, stands / need.scale, start, weights)
        opened += [_Open(position, w, hold, need.of(w), float(over[w])) for w in windows
                   if over[w] > NEVER]  # fmt: skip
        held += float(over[over <= NEVER].sum())
    return rows, opened, held


def _without_the_held(opened: Sequence[_Open], spare: float) -> tuple[list[_Open], float]:
    """Return the windows without those least likely to be decided, and the sum of the latter."""
    ranked = sorted(opened, key=lambda one: one.over)
    total = np.cumsum([one.over for one in ranked])
    count = int(np.searchsorted(total, spare, side="right"))
    return ranked[count:], float(total[count - 1]) if count else 0.0


def _whole(ask: Ask, hold: Hold, needs: np.ndarray) -> np.ndarray:
    return np.array([ask.whole(float(need), hold) for need in needs])


def _share(
    asks: Sequence[Ask],
    rows: Sequence[Sequence[_Row]],
    members: Sequence[_Open],
    others: Sequence[np.ndarray],
    *,
    weights: np.ndarray,
    risk: float,
) -> float:
    """Write the sizes of open windows into their rows; return how often any is exceeded."""
    if not members:
        return 0.0
    needs = np.stack([*(one.need for one in members), *others])
    union = union_sizes(needs, weights, risk)
    for one, size in zip(members, union.sizes[: len(members)], strict=True):
        (row,) = (row for row in rows[one.ask] if row.hold == one.hold)
        row.units[one.window] = asks[one.ask].whole(float(size), one.hold)
    return union.p_any


def _required(ask: Ask, rows: Sequence[_Row]) -> WindowSizes:
    """Return what the row that asks the most asks; of equals the policy's first."""
    units = np.stack([row.units for row in rows])
    best = units.argmax(axis=0)
    windows = np.arange(units.shape[1])
    asked, p50 = units[best, windows], np.stack([row.p50 for row in rows])[best, windows]
    return WindowSizes(
        kind=ask.kind,
        unit=ask.unit,
        units=np.maximum(asked, ask.least),
        p50=np.maximum(p50, ask.least),
        holds=tuple(
            rows[k].hold if asks else None for k, asks in zip(best, asked >= ask.least, strict=True)
        ),
    )


def mixture_values(
    needs: np.ndarray, quantiles: Sequence[float], weights: np.ndarray
) -> np.ndarray:
    """Return quantiles of each window's need over the mixture, shape (Q, W), from (W, S, D).

    The values of :func:`capmodel.capacity.risk.mixture_quantile`, for all windows at once.
    """
    each = np.repeat(weights / needs.shape[2], needs.shape[2])
    return row_quantiles(needs.reshape(len(needs), -1), quantiles, each)


def exceedance(needs: np.ndarray, units: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return how likely each window's need exceeds some units, beyond the draws by their tail.

    Formula: the larger of the draws' share above the units and, above P95,
    ``0.05 * exp(-(units - P95) / mean excess over P95)``, the tail of
    :func:`capmodel.capacity.union.union_sizes`.

    Parameters
    ----------
    needs
        Shape (W, S, D) [pods or nodes].
    units
        Shape (W,) [the same].
    weights
        Probability of each scenario, shape (S,).

    Examples
    --------
    P95 of 1 to 100 is 95, the mean excess of 96 to 100 over it is 3:

    >>> one = np.arange(1.0, 101.0)[None, None]
    >>> exceedance(one, np.array([90.0]), np.ones(1)).round(6).tolist()
    [0.1]
    >>> round(float(exceedance(one, np.array([110.0]), np.ones(1))[0] / (0.05 * np.exp(-5))), 9)
    1.0
    """
    start = mixture_values(needs, (1 - TAIL,), weights)[0]
    return _exceedance(needs, units, start, weights)


def _exceedance(
    needs: np.ndarray, units: np.ndarray, start: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return :func:`exceedance` where P95 of each window is known, shape (W,)."""
    flat = needs.reshape(len(needs), -1)
    draws = needs.shape[2]
    each = np.repeat(weights / draws, draws)
    share = (flat > units[:, None]) @ each
    over = flat > start[:, None]
    mass = over @ each
    with np.errstate(invalid="ignore", divide="ignore"):  # an infinite need has no tail
        excess = np.where(over, flat - start[:, None], 0.0) @ each / mass
        tail = TAIL * np.exp(-(units - start) / np.where(mass > 0, excess, 0.0))
    judged = (units > start) & np.isfinite(units)
    return np.asarray(np.where(judged, np.fmax(share, tail), share))

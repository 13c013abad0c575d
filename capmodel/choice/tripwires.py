"""Order part now, look at the run rate, order the rest: which wires to hang, and what they save.

This module answers: with the same accepted risk over both stages, how much need be ordered today,
above which run rate is how much more ordered on the day of the look, and how many units does that
take on average beside ordering everything now at full risk?

*Equal conditional risk.* Whatever the run rate R turns out to be, the units ordered by then are
exceeded with the same probability, the accepted one: ``q(R)`` is the size of the need given R
(:mod:`capmodel.choice.conditional`). Where the need has log-sd v before the look and w after it,
one order takes about ``exp(z v)`` units and two take ``exp((v^2 - w^2) / 2 + z w)``, z the normal
quantile of the risk: .13, .07 and 2 % save 11 %. (Equal density at the margin instead of equal risk
would save a trifle more and promise less in the busiest seasons.)

*What is ordered now* is the smallest ``q(R)`` that the paths show where waiting costs nothing; at a
late price of k times today's, the ``1 - 1/k`` quantile of q(R), the newsvendor's; and where a late
order is refused with probability r, so much that ``(1 - r) a + r P(need > now)`` is the accepted
risk with some a above 0: of all such the cheapest.

Nothing is extrapolated: below the smallest run rate of the paths the first order stands, above the
largest the wires end, and a new plan is due.

Shapes: S scenarios, D draws. Path (s, d) has weight ``weights[s] / D``. Units are whole steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from capmodel.capacity.replicas import SLACK
from capmodel.choice.conditional import Conditional, conditional_need

__all__ = ["Ask", "Late", "Lattice", "Tripwires", "Wire", "tripwires"]

MOST_WIRES: Final = 12
"""More rungs than this are joined: a planner watches a few numbers."""

JOINED: Final = 0.002
"""Rungs are joined as long as that adds at most this share of the expected units [ratio]."""

FINEST: Final = 96
"""Rungs before any are joined."""

GRID: Final = 257
"""Run rates, evenly in logs, at which sizes are taken."""

CANDIDATES: Final = 33
"""First orders that are compared where waiting has a price."""


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """A need and how often it may be exceeded: one hold row of the policy."""

    need: np.ndarray
    """Units, unrounded, shape (S, D); inf where no number suffices."""
    exceedance: float
    """Accepted probability that the need exceeds what stands."""
    is_risk: bool = False
    """Whether this is the row at saturation, whose size continues the draws by their tail."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """Which numbers of units can be ordered."""

    standing: float = 0.0
    """Units that stand already."""
    step: int = 1
    """Units come in multiples of this (zones)."""
    least: int = 1
    """Smallest order [units]."""
    spare: int = 0
    """Units beside what is needed, a multiple of the step."""

    def whole(self, need: np.ndarray) -> np.ndarray:
        """Return the units that hold an unrounded need."""
        return np.asarray(self.step * np.ceil(need / self.step - SLACK) + self.spare)

    @property
    def rung(self) -> int:
        """Smallest order in whole steps [units]."""
        return self.step * math.ceil(self.least / self.step)


@dataclass(frozen=True, slots=True)
class Late:
    """What waiting costs: assumed, and nothing unless it is stated."""

    price_x: float = 1.0
    """Price of a unit ordered at the look / ordered now [ratio]."""
    p_refused: float = 0.0
    """Probability that an order at the look is refused."""


@dataclass(frozen=True, slots=True)
class Wire:
    """Above a run rate, order more."""

    above: float
    """The wire fires where the run rate is above this [the run rate's unit]."""
    before: float
    after: float
    """Units that stand before and after the order."""
    p_fires: float
    p_short_if_refused: float
    """Probability that the need at the risk row exceeds the first order, where this is the last
    wire that fires: what a refusal then risks; NaN where it never is."""


@dataclass(frozen=True, slots=True, eq=False)
class Tripwires:
    """Two orders instead of one."""

    now: float
    """Units that stand after the first order."""
    wires: tuple[Wire, ...]
    """By rising run rate and units."""
    expected_units: float
    """Mean units that stand after both orders."""
    expected_cost: float
    """The same with late units at their price [units of today's price]."""
    short: np.ndarray
    """Paths whose need at a risk row exceeds the units, the wires by other draws, (S, D) bool."""
    p_short: float
    """The risk of both stages: the probability of such a path, refused orders counted."""
    laws: tuple[Conditional, ...]
    """One per ask."""
    asked: int
    """The ask that sizes the middle of the run rates."""
    needed: tuple[np.ndarray, np.ndarray]
    """Run rates, rising, and the largest of what the asks need at each [units, unrounded]."""

    @property
    def law(self) -> Conditional:
        """What the run rate says about that ask."""
        return self.laws[self.asked]

    @property
    def low(self) -> float:
        """Smallest run rate of the paths."""
        return self.laws[0].low

    @property
    def high(self) -> float:
        """Largest run rate of the paths."""
        return self.laws[0].high

    def units(self, run_rate: np.ndarray) -> np.ndarray:
        """Return the units that stand after the look, at each run rate."""
        above = np.array([wire.above for wire in self.wires])
        stands = np.array([self.now, *(wire.after for wire in self.wires)])
        return np.asarray(stands[np.searchsorted(above, run_rate, side="left")])


def tripwires(
    asks: Sequence[Ask],
    run_rate: np.ndarray,
    weights: np.ndarray,
    *,
    lattice: Lattice | None = None,
    late: Late | None = None,
) -> Tripwires | None:
    """Return the first order and the wires that keep every ask whatever the run rate.

    Parameters
    ----------
    asks
        The policy's rows; the largest of what they ask stands.
    run_rate
        What will have been read on each path by the look, shape (S, D) [any unit].
    weights
        Probability of each scenario, shape (S,).
    lattice
        Which numbers of units there are; None: any whole number.
    late
        What waiting costs; None: nothing.

    Returns
    -------
    Tripwires or None
        None where the run rate says nothing (it is the same on every path), where no number of
        units keeps an ask, or where a refusal risks more than is accepted even of the largest
        first order.

    Examples
    --------
    Log-sd .13 before the look and .07 after it, 2 % accepted:

    >>> rng = np.random.default_rng(0)
    >>> rate = np.exp(np.sqrt(0.13**2 - 0.07**2) * rng.standard_normal((1, 4000)))
    >>> need = 1000 * rate * np.exp(0.07 * rng.standard_normal(rate.shape))
    >>> found = tripwires([Ask(need, 0.02, is_risk=True)], rate, np.ones(1))
    >>> one_shot = float(np.quantile(need, 0.98))
    >>> round(found.expected_units / one_shot, 2), round(found.p_short, 2)
    (0.91, 0.01)
    """
    lattice, late = lattice or Lattice(), late or Late()
    laws = [conditional_need(ask.need, run_rate, weights) for ask in asks]
    known = tuple(law for law in laws if law is not None)
    if not known or len(known) < len(laws):
        return None
    law = _Laws(tuple(asks), known, np.asarray(run_rate, dtype=np.float64), weights, lattice, late)
    best: Tripwires | None = None
    for now in law.candidates():
        found = law.at(now)
        if found is not None and (best is None or found.expected_cost < best.expected_cost):
            best = found
    return best


@dataclass(frozen=True, slots=True, eq=False)
class _Laws:
    """What is known of all asks, and what each first order makes of it."""

    asks: tuple[Ask, ...]
    laws: tuple[Conditional, ...]
    run_rate: np.ndarray
    weights: np.ndarray
    lattice: Lattice
    late: Late

    @property
    def each(self) -> np.ndarray:
        """Weight of each path, shape (S, D)."""
        scenarios, draws = self.run_rate.shape
        return np.broadcast_to((self.weights / draws)[:, None], (scenarios, draws))

    def grid(self) -> np.ndarray:
        """Return run rates from the smallest to the largest of the paths."""
        grid = np.geomspace(self.laws[0].low, self.laws[0].high, GRID)
        grid[0], grid[-1] = self.laws[0].low, self.laws[0].high  # free of rounding
        return grid

    def sizes(self, at: np.ndarray, kept: float) -> np.ndarray:
        """Return what each ask needs at run rates, rising, shape (asks, len(at))."""
        rows = [
            law.size(at, kept * ask.exceedance if ask.is_risk else ask.exceedance, tail=ask.is_risk)
            for ask, law in zip(self.asks, self.laws, strict=True)
        ]
        return np.maximum.accumulate(np.stack(rows), axis=1)

    def first(self, smallest: float) -> float:
        """Return what stands after a first order of at least some units: none, or a whole one."""
        standing, rung = self.lattice.standing, self.lattice.rung
        if smallest <= standing:
            return standing
        spare = self.lattice.spare
        return max(smallest, float(self.lattice.whole(np.array(standing + rung - spare))))

    def candidates(self) -> list[float]:
        """Return the first orders to compare: the smallest alone where waiting costs nothing."""
        raw = self.sizes(self.grid(), 1.0).max(axis=0)
        if not np.isfinite(raw).all():
            return []
        floor, top = (float(x) for x in self.lattice.whole(raw[[0, -1]]))
        smallest = self.first(floor)
        if self.late.price_x <= 1 and self.late.p_refused <= 0:
            # Later orders are multiples of a rung: where it is several steps, the start matters.
            steps = self.lattice.rung // self.lattice.step
            return [self.first(smallest + k * self.lattice.step) for k in range(steps)]
        # A refusal may ask for more than any run rate does: up to what the season needs alone.
        most = max(float(ask.need[np.isfinite(ask.need)].max()) for ask in self.asks)
        most = max(float(self.lattice.whole(np.array(most))), top, smallest)
        stride = max(math.ceil((most - smallest) / self.lattice.step / (CANDIDATES - 1)), 1)
        more = np.arange(smallest, most + 1, stride * self.lattice.step)
        return [self.first(float(x)) for x in (*more, most)]

    def at(self, now: float) -> Tripwires | None:
        """Return the wires beside a first order; None where it leaves too much to a refusal."""
        kept = self._kept(now)
        if kept is None:
            return None
        grid = self.grid()
        rows = self.sizes(grid, kept)
        raw = rows.max(axis=0)
        if not np.isfinite(raw).all():
            return None
        rungs = self._rungs(now, float(self.lattice.whole(raw[-1:])[0]))
        stands, above = self._joined(rungs, grid, raw)
        now = float(stands[0])
        wires = tuple(self._wire(now, stands, above, k) for k in range(len(above)))
        units = stands[np.searchsorted(above, self.run_rate, side="left")]
        expected = float((self.each * units).sum())
        short, refused = self._short(stands, kept), self.late.p_refused
        risked = self._exceeds(now)
        return Tripwires(
            now=now,
            wires=wires,
            expected_units=expected,
            expected_cost=now + self.late.price_x * (expected - now),
            short=short,
            p_short=float((self.each * ((1 - refused) * short + refused * risked)).sum()),
            laws=self.laws,
            asked=int(rows[:, GRID // 2].argmax()),
            needed=(grid, raw),
        )

    def _kept(self, now: float) -> float | None:
        """Return the share of the accepted risk that is left beside refused orders."""
        refused = self.late.p_refused
        if refused <= 0:
            return 1.0
        shares = []
        for ask in (a for a in self.asks if a.is_risk):
            short = float((self.each * (self.lattice.whole(ask.need) > now)).sum())
            shares.append((ask.exceedance - refused * short) / (1 - refused) / ask.exceedance)
        least = min(shares, default=1.0)
        return min(least, 1.0) if least > 0 else None

    def _rungs(self, now: float, top: float) -> np.ndarray:
        """Return the units that may stand after the look, from the first order upward."""
        if top <= now:
            return np.array([now])
        # The first late order brings the whole to a multiple of the step.
        start = float(self.lattice.whole(np.array(max(now - self.lattice.spare, 0.0))))
        stride = self.lattice.rung * max(math.ceil((top - now) / self.lattice.rung / FINEST), 1)
        later = np.arange(start + stride, top + stride, stride)
        return np.concatenate([[now], later[: int(np.argmax(later >= top)) + 1]])

    def _joined(
        self, rungs: np.ndarray, grid: np.ndarray, raw: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return rungs and the run rates above which each is left, some rungs joined to the next.

        Joining a rung orders more than is needed where it would have been enough: those go first
        that cost least.
        """
        # The largest run rate that a number of units still holds, by the line between grid points.
        held = (rungs[:-1] - self.lattice.spare) * (1 + 1e-12)
        above = np.exp(_last_within(held, raw, np.log(grid)))
        rates = np.sort(self.run_rate, axis=None)
        order = np.argsort(self.run_rate, axis=None, kind="stable")
        reached = np.concatenate([[0.0], np.cumsum(self.each.ravel()[order])])
        below = reached[np.searchsorted(rates, above, side="right")]
        chance = np.diff(np.concatenate([[0.0], below, [1.0]]))
        stands, limits, chances = list(rungs), list(above), list(chance)
        budget = JOINED * float(chance @ rungs)
        while limits:
            cost = [chances[k] * (stands[k + 1] - stands[k]) for k in range(len(limits))]
            k = int(np.argmin(cost))
            if cost[k] > budget and len(limits) <= MOST_WIRES:
                break
            budget -= cost[k]
            chances[k + 1] += chances[k]
            del stands[k], limits[k], chances[k]
        return np.array(stands), np.array(limits)

    def _wire(self, now: float, stands: np.ndarray, above: np.ndarray, k: int) -> Wire:
        fires = self.run_rate > above[k]
        last = fires & (self.run_rate <= above[k + 1]) if k + 1 < len(above) else fires
        p_last = float(self.each[last].sum())
        short = float(self.each[last & self._exceeds(now)].sum())
        return Wire(
            above=float(above[k]),
            before=float(stands[k]),
            after=float(stands[k + 1]),
            p_fires=float(self.each[fires].sum()),
            p_short_if_refused=short / p_last if p_last > 0 else math.nan,
        )

    def _exceeds(self, units: np.ndarray | float) -> np.ndarray:
        """Return the paths whose need at a risk row exceeds what stands, shape (S, D)."""
        exceeds = np.zeros(self.run_rate.shape, dtype=bool)
        for ask in self.asks:
            if ask.is_risk:
                exceeds |= self.lattice.whole(ask.need) > units
        return exceeds

    def _short(self, stands: np.ndarray, kept: float) -> np.ndarray:
        """Return the paths that exceed what stands, each on the rung that other draws put it on."""
        rows = [
            law.size_left_out(kept * a.exceedance if a.is_risk else a.exceedance, tail=a.is_risk)
            for a, law in zip(self.asks, self.laws, strict=True)
        ]
        rung = np.searchsorted(stands, self.lattice.whole(np.max(rows, axis=0)))
        return self._exceeds(stands[np.minimum(rung, len(stands) - 1)])


def _last_within(held: np.ndarray, raw: np.ndarray, log_grid: np.ndarray) -> np.ndarray:
    """Return the largest log run rate at which sizes, rising along the grid, are still held."""
    after = np.searchsorted(raw, held, side="right")
    inside = np.clip(after, 1, len(raw) - 1)
    low, high = raw[inside - 1], raw[inside]
    share = np.divide(held - low, high - low, out=np.zeros_like(held), where=high > low)
    at = log_grid[inside - 1] + np.clip(share, 0, 1) * (log_grid[inside] - log_grid[inside - 1])
    # What holds no run rate of the paths is left at all of them.
    return np.asarray(np.where(after == 0, np.nextafter(log_grid[0], -np.inf) - 1e-9, at))

"""Was the decision right? Past seasons provided for at an accepted risk, judged by what came.

This module answers: had capacity been ordered before each past season so that the season exceeds it
with the accepted probability, how often was it exceeded, and what did it cost beside perfect
foresight and beside last peak × 1.3? Seasons are the unit, not hours: the hours of one season share
their luck, so a hundred hours above are one exceedance.

What is ordered is a rate in the demand's own unit: usage, pods and nodes are judged by
:mod:`capmodel.backtest.replay`, which needs a whole estate.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.accuracy import binomial_interval
from capmodel.backtest.tasks import demand_only, seen_by_models
from capmodel.capacity.union import union_sizes
from capmodel.cost import cents, season_hours
from capmodel.demand import Batched
from capmodel.errors import InputError, Problem
from capmodel.history import local_cube

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.backtest.origins import Origin
    from capmodel.demand import DemandForecast
    from capmodel.demand.protocol import DemandModel
    from capmodel.events import Events
    from capmodel.history import History

__all__ = ["DecisionBacktest", "SeasonDecision", "decide"]

YEAR_DAYS: Final = 364
"""Last season is as many days earlier: weekdays stay."""
MOST_MISSING: Final = 0.1
"""A season of which more was not measured is not judged [ratio]."""


@dataclass(frozen=True, slots=True)
class SeasonDecision:
    """One season: what was ordered before it, what came, and what a rule would have ordered."""

    season: str
    as_of: dt.date
    capacity: float
    """What was ordered [the demand's unit]."""
    actual_peak: float
    """Busiest interval that came [the demand's unit]."""
    short_min: float
    """Minutes above what was ordered [min]."""
    rule_capacity: float
    """Last season's peak times the factor [the demand's unit]."""
    rule_short_min: float
    usd: Decimal
    """What was ordered over the season [USD]."""
    foresight_usd: Decimal
    """The season's own peak over the season [USD]."""
    rule_usd: Decimal

    @property
    def exceeded(self) -> bool:
        """Whether the season exceeded what was ordered."""
        return self.actual_peak > self.capacity

    @property
    def rule_exceeded(self) -> bool:
        """Whether it exceeded what the rule would have ordered."""
        return self.actual_peak > self.rule_capacity


@dataclass(frozen=True, slots=True, eq=False)
class DecisionBacktest:
    """Past decisions at one accepted risk."""

    risk: float
    rule_x: float
    decisions: tuple[SeasonDecision, ...]

    @property
    def exceeded(self) -> int:
        """Seasons that exceeded what was ordered."""
        return sum(one.exceeded for one in self.decisions)

    @property
    def exceedance(self) -> tuple[float, float, float]:
        """Share of seasons exceeded and its 95 % interval (Clopper and Pearson 1934) [ratio]."""
        return _share(self.exceeded, len(self.decisions))

    @property
    def rule_exceedance(self) -> tuple[float, float, float]:
        """The same of the rule of thumb [ratio]."""
        return _share(sum(one.rule_exceeded for one in self.decisions), len(self.decisions))

    @property
    def over_foresight_usd(self) -> Decimal:
        """What was ordered beyond perfect foresight, all seasons together [USD]."""
        return sum((one.usd - one.foresight_usd for one in self.decisions), Decimal("0.00"))

    @property
    def rule_over_foresight_usd(self) -> Decimal:
        """The same of the rule of thumb [USD]."""
        return sum((one.rule_usd - one.foresight_usd for one in self.decisions), Decimal("0.00"))

    def to_frame(self) -> pd.DataFrame:
        """Return one row per season."""
        import pandas as pd  # noqa: PLC0415

        return pd.DataFrame(
            [
                {
                    "season": one.season,
                    "as_of": one.as_of.isoformat(),
                    "actual_peak": one.actual_peak,
                    "capacity": one.capacity,
                    "exceeded": one.exceeded,
                    "short_min": one.short_min,
                    "over_foresight_usd": one.usd - one.foresight_usd,
                    "rule_capacity": one.rule_capacity,
                    "rule_exceeded": one.rule_exceeded,
                    "rule_short_min": one.rule_short_min,
                    "rule_over_foresight_usd": one.rule_usd - one.foresight_usd,
                }
                for one in self.decisions
            ]
        )

    def headline(self) -> str:
        """Return both in words: how often exceeded, how many USD over."""
        n = len(self.decisions)
        rows = (
            ("planned", self.exceedance, self.over_foresight_usd),
            (f"last peak x {self.rule_x:g}", self.rule_exceedance, self.rule_over_foresight_usd),
        )
        return "\n".join(
            f"{name}: {share:.1%} of {n} seasons exceeded ({low:.1%} to {high:.1%}"
            f"{f', accepted {self.risk:.1%}' if name == 'planned' else ''}), "
            f"{usd:,.2f} USD over perfect foresight"
            for name, (share, low, high), usd in rows
        )

    def __repr__(self) -> str:
        return self.headline()


def _share(hits: int, n: int) -> tuple[float, float, float]:
    low, high = binomial_interval(hits, n)
    return hits / n, float(low), float(high)


def decide(  # noqa: PLR0913  keyword-only past the history
    history: History,
    *,
    seasons: Sequence[Origin],
    events: Events | None = None,
    model: DemandModel | None = None,
    risk: float = 0.02,
    rule_x: float = 1.3,
    usd_per_unit_hour: Decimal | float = 1,
    draws: int = 1000,
    seed: int = 0,
) -> DecisionBacktest:
    """Order for each past season from the days before its cut alone, and judge it.

    Ordered is what the season's busiest interval exceeds with probability `risk` on joint paths, by
    the tail that sizes plans (:func:`capmodel.capacity.union.union_sizes`); several services share
    one pool, so their sum is provided for.

    Parameters
    ----------
    history
        Demand of one service, or of several that share a pool; one quantity.
    seasons
        Cut, first day and end (exclusive) of each season. The season before it is that 364 days
        earlier.
    events
        The calendar; None: no events.
    model
        The demand model; None: `Batched`.
    risk
        Accepted probability that the season exceeds what is ordered [ratio].
    rule_x
        Factor of the rule of thumb on last season's peak [ratio].
    usd_per_unit_hour
        Price of one unit of the demand's rate, provided for an hour [USD].
    draws, seed
        Paths, and their stream.

    Raises
    ------
    InputError
        For a risk outside (0, 1), no seasons, a season of which more than a tenth was not measured,
        and one without the season before it.
    """
    _check(seasons, risk)
    demand = demand_only(history)
    price = Decimal(str(usd_per_unit_hour))
    decisions = []
    for origin in seasons:
        came = _span(demand, origin.start, origin.end, name=str(origin))
        shift = dt.timedelta(YEAR_DAYS)
        last = _span(demand, origin.start - shift, origin.end - shift, name=f"before {origin}")
        forecast = _forecast(model or Batched(), history, origin, events, draws=draws, seed=seed)
        capacity = _ordered(forecast, risk=risk)
        rule = float(np.nanmax(last)) * rule_x
        hours = season_hours(origin.start, origin.end, tz=history.business_tz)
        bills = [
            cents(Decimal(repr(units)) * Decimal(hours) * price)
            for units in (capacity, float(np.nanmax(came)), rule)
        ]
        decisions.append(
            SeasonDecision(
                season=f"{origin.start} to {origin.end - dt.timedelta(1)}",
                as_of=origin.cut,
                capacity=capacity,
                actual_peak=float(np.nanmax(came)),
                short_min=_minutes_above(came, capacity),
                rule_capacity=rule,
                rule_short_min=_minutes_above(came, rule),
                usd=bills[0],
                foresight_usd=bills[1],
                rule_usd=bills[2],
            )
        )
    return DecisionBacktest(risk=risk, rule_x=rule_x, decisions=tuple(decisions))


def _check(seasons: Sequence[Origin], risk: float) -> None:
    problems = []
    if not 0 < risk < 1:
        problems.append(
            Problem("risk", str(risk), "a probability in (0, 1)", "Write 0.02 for 2 %.")
        )
    if not seasons:
        problems.append(
            Problem("seasons", "none", "one or more past seasons", "Name their days as origins.")
        )
    if problems:
        raise InputError(problems)


def _span(demand: History, start: dt.date, end: dt.date, *, name: str) -> np.ndarray:
    """Return the sum over services by local day and slot, shape (N, H) [the demand's unit]."""
    quantity = demand.demand_quantity(demand.services[0])
    dates, cube = local_cube(
        demand.array(quantity), start=demand.start, step_min=demand.step_min, tz=demand.business_tz
    )
    inside = (dates >= np.datetime64(start)) & (dates < np.datetime64(end))
    total = cube[inside].sum(axis=2)
    days = (end - start).days
    missing = 1 - np.isfinite(total).sum() / (days * cube.shape[1])
    if missing > MOST_MISSING:
        raise InputError.of(
            f"season, {name}",
            got=f"{missing:.0%} of {start} to {end} not measured",
            expected=f"at most {MOST_MISSING:.0%}, in the season and in the one before it",
            do="Leave this season out.",
        )
    return np.asarray(total)


def _minutes_above(values: np.ndarray, capacity: float) -> float:
    return float((values > capacity).sum() * 24 * 60 / values.shape[1])


def _forecast(
    model: DemandModel,
    history: History,
    origin: Origin,
    events: Events | None,
    *,
    draws: int,
    seed: int,
) -> DemandForecast:
    """Return the forecast of a season by what was known before its cut."""
    fit = model.fit(seen_by_models(history, origin), events=events)
    return fit.forecast(origin.start, origin.end, draws=draws, seed=seed)


def _ordered(forecast: DemandForecast, *, risk: float) -> float:
    """Return what a new season exceeds with the accepted probability."""
    total = np.zeros((1, 1, 1))
    for name in forecast.services:
        total = total + forecast.paths(name)
    peak = np.nanmax(total, axis=(1, 2))
    size = float(union_sizes(peak[None, None, :], np.ones(1), risk).sizes[0])
    if not math.isfinite(size):
        raise InputError.of(
            f"forecast of {', '.join(forecast.services)}",
            got="paths without a finite peak",
            expected="a forecast of every path",
            do="Check the history before the cut.",
        )
    return size

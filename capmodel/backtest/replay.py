"""Last season once more: the plan that would have been made then, held against what arrived.

This module answers: from the history alone, cut nine and two weeks before the season, what would
the plan have named and ordered; and how would it have fared beside what ran and last peak × 1.3, in
minutes short and USD?
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.backtest.observed import Observed, observed_loads
from capmodel.backtest.past_season import PastSeason, past_season
from capmodel.backtest.replayed import Provided, Replay
from capmodel.backtest.shortfall import (
    bill,
    hindsight,
    recorded_bill,
    recorded_shortfall,
    rule_of_thumb,
    shortfall,
)
from capmodel.backtest.standing import (
    as_learnt,
    ordered,
    recorded,
    standing_estate,
    todays,
    without,
)
from capmodel.cost import season_hours
from capmodel.demand import DemandFit
from capmodel.errors import InputError
from capmodel.plan import CapacityModel
from capmodel.plan.request import Horizon, PlanRequest, Sampling, Setting
from capmodel.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.backtest.shortfall import Shortfall
    from capmodel.capacity.estate import Estate
    from capmodel.catalog import Catalog
    from capmodel.events import Events
    from capmodel.history import History
    from capmodel.plan import CapacityFit, PlanSet, Study
    from capmodel.topology import Topology

__all__ = ["RULE_X", "WEEKS_BEFORE", "replay"]

WEEKS_BEFORE: Final = (9, 2)
"""When plans are made: eight weeks of recommended lead and one in place early; the last look."""
RULE_X: Final = 1.3
"""Last peak and 30 % on top, the rule of thumb that a plan has to beat [ratio]."""
WEEK: Final = dt.timedelta(weeks=1)


@dataclass(frozen=True, slots=True, eq=False)
class _Past:
    """The study's past, read once."""

    study: Study
    history: History
    fine: History | None
    events: Events
    season: PastSeason
    topology: Topology
    left_out: tuple[str, ...]
    """Services that were born since."""

    def until(self, day: dt.date) -> History:
        """Return the history before a day."""
        return self.history.between(str(self.history.axis.local_text(0))[:10], day)

    def fit(self, until: dt.date) -> CapacityFit:
        """Return the fit of what was known before a day."""
        accept = self.study.history.accept if self.study.history else ()
        model = CapacityModel(topology=self.topology, events=self.events, usage=self.study.usage)
        return model.fit(
            self.until(until),
            fine=_before(self.fine, until),
            accept=accept,
            observations=self.study.read_observations(),
            units=self.study.read_units(),
        )


def replay(
    study: Study,
    *,
    year: int | None = None,
    weeks_before: Sequence[int] = WEEKS_BEFORE,
    rule_x: float = RULE_X,
) -> Replay:
    """Plan a past season from the history before it, and judge the plans by what arrived.

    Each plan is made as of `weeks_before` the season from the history up to that day alone: one
    scenario, the fitted trend and the lifts seen until then, no growth from finance, no merchant's
    launch. Topology, policy, prices and lead times are the study's; pods and nodes of "today" are
    those recorded then, and levels of demand are the history's, whatever is declared of today.
    Orders that were too late on the plan's day are not in place. What arrived is the drivers'
    measured traffic, by the minute where minutes exist and else by hour means, so that minutes
    short are a lower bound; usage per request is that known after the season.

    Parameters
    ----------
    study
        A study with a history of the season and a year before it.
    year
        The year in which the season starts; None: the last whole one.
    weeks_before
        When the plans are made [weeks before the season].
    rule_x
        What the rule of thumb multiplies last season's peak by [ratio].

    Raises
    ------
    InputError
        For a study without history or topology, a season that the history does not hold, weeks that
        are not positive, and an event in the season that nobody had seen.

    Examples
    --------
    >>> import capmodel as cm
    >>> study = cm.Study.read("data/fixtures/shop/study.yaml")
    >>> replay(study, year=2025).headline()  # doctest: +SKIP
    """
    past = _read(study, year, weeks_before)
    season = past.season
    known = replace(past.fit(season.end), last_day=None)
    judge = _Judge(
        past=past,
        known=known,
        seen=observed_loads(known, past.history, past.fine, start=season.start, end=season.end),
        last=observed_loads(
            known, past.history, past.fine, start=season.last_start, end=season.last_end
        ),
    )
    days = [season.start - weeks * WEEK for weeks in weeks_before]
    made = [_planned(past, day) for day in days]
    stood = made[0].stood
    names = [f"plan, {weeks} weeks before" for weeks in weeks_before]
    return Replay(
        season=season,
        provided=(
            *(judge.plan(name, one) for name, one in zip(names, made, strict=True)),
            *judge.ran(stood),
            judge.rule(stood, rule_x),
            judge.foresight(stood),
        ),
        plans={name: one.plan for name, one in zip(names, made, strict=True)},
        as_of=dict(zip(names, days, strict=True)),
        stood=judge.as_it_stood(stood),
        by_minute=judge.seen.by_minute,
        missing_h=judge.seen.missing_h,
        left_out=past.left_out,
        undated=_undated(study),
        no_precedent={name: one.no_precedent for name, one in zip(names, made, strict=True)},
    )


def _read(study: Study, year: int | None, weeks_before: Sequence[int]) -> _Past:
    if not weeks_before or min(weeks_before) < 1:
        raise InputError.of(
            "replay.weeks_before",
            got=list(weeks_before),
            expected="whole weeks before the season, at least 1",
            do="The usual choice is 9 and 2.",
        )
    history, fine = study.read_history()
    topology = study.read_topology()
    if history is None or topology is None or study.demand is not None:
        raise InputError.of(
            "replay",
            got=f"a study {_lacks(history, topology)}",
            expected="a history of the season and a topology that it ran on",
            do="Add history: {base: FILE} and topology: FILE to the study.",
        )
    events = study.make_events(history.start.astype(object).year)
    season = past_season(study, history, events, year=year)
    unborn = _unborn(topology, history, season.start - max(weeks_before) * WEEK)
    kept = [name for name in history.services if name not in unborn]
    return _Past(
        study=study,
        history=history.select(kept),
        fine=None if fine is None else fine.select([n for n in fine.services if n in kept]),
        events=events,
        season=season,
        topology=as_learnt(without(topology, unborn), history),
        left_out=tuple(unborn),
    )


def _undated(study: Study) -> tuple[str, ...]:
    """Return the tables that carry no date, and are taken as known when the plans were made."""
    files = study.history
    named = {} if files is None else {"load tests": files.observations, "units": files.units}
    return tuple(name for name, path in named.items() if path is not None)


def _lacks(history: History | None, topology: Topology | None) -> str:
    if history is None:
        return "without history"
    return "without topology" if topology is None else "whose demand is given, not learnt"


def _unborn(topology: Topology, history: History, day: dt.date) -> list[str]:
    """Return services that the history knows, but not yet before a day."""
    first = str(history.axis.local_text(0))[:10]
    before = history.between(first, day)
    return [
        name
        for name in topology.services
        if name in history.services and history.measured(name) and not before.measured(name)
    ]


def _before(fine: History | None, day: dt.date) -> History | None:
    if fine is None or fine.start >= fine.axis.instant(day, where="replay"):
        return None
    return fine.between(str(fine.axis.local_text(0))[:10], day)


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """A plan as of a day of the past, and the topology that stood that day."""

    plan: PlanSet
    stood: Topology
    no_precedent: tuple[str, ...]


def _planned(past: _Past, as_of: dt.date) -> _Made:
    """Return the plan made on a day from what was known then."""
    fit = past.fit(as_of)
    season, study = past.season, past.study
    days = np.arange(np.datetime64(as_of), np.datetime64(season.end))
    request = _request(past, replace(fit, last_day=None), days)
    estate = standing_estate(fit, request, past.topology, days)
    stood = todays(past.topology, recorded(estate, past.until(as_of)))
    lift = _unseen(fit, days)
    plan = replace(fit, topology=stood).plan(
        Scenario(name="own history", lift=lift),
        start=as_of,
        end=season.end,
        season=(season.start, season.end),
        seed=study.seed,
        draws=study.draws,
        as_of=as_of,
        orders=season.orders,
        catalog=study.read_catalog(),
        quotas=study.read_quotas(),
        title=f"{study.title}: as of {as_of}",
    )
    return _Made(plan=plan, stood=stood, no_precedent=tuple(lift))


def _unseen(fit: CapacityFit, days: np.ndarray) -> dict[str, dict[str, float]]:
    """Return a lift of 1 for every event day that a root had not seen: nobody could know better."""
    lift: dict[str, dict[str, float]] = {}
    for event in {e.name: e for day in days for e in fit.events.acting(day)}.values():
        for root in fit.roots:
            demand = fit.demand
            if not isinstance(demand, DemandFit) or root not in demand.services:
                continue
            if demand.effect(root, event.name) is None:
                lift.setdefault(event.name, {})[root] = 1.0
    return lift


def _request(past: _Past, fit: CapacityFit, days: np.ndarray) -> PlanRequest:
    """Return a request that holds these days, for estates; nothing is drawn with it."""
    study = past.study
    start, end = days[0].astype(dt.date), days[-1].astype(dt.date) + dt.timedelta(1)
    return PlanRequest.of(
        fit,
        [Scenario(name="what came")],
        horizon=Horizon.of(start, end),
        sampling=Sampling(seed=study.seed),
        setting=Setting(
            as_of=start,
            orders=past.season.orders,
            catalog=study.read_catalog(),
            quotas=study.read_quotas(),
        ),
    )


def _too_late(orders: pd.DataFrame, as_of: str) -> pd.Series[bool]:
    """Return which orders can no longer be asked for, or wait for one that cannot, by row."""
    late = orders["latest_by"].astype(str).lt(as_of) & (orders["latest_by"] != "")
    needs = orders["depends_on"].str.split(", ")
    while True:
        waits = late | needs.map(set(orders.loc[late, "id"]).intersection).astype(bool)
        if (waits == late).all():
            return late
        late = waits


@dataclass(frozen=True, slots=True, eq=False)
class _Judge:
    """Holds ways to provide against what arrived."""

    past: _Past
    known: CapacityFit
    seen: Observed
    last: Observed

    @property
    def _catalog(self) -> Catalog:
        return self.past.study.read_catalog()

    @property
    def _hours(self) -> float:
        season = self.past.season
        return season_hours(season.start, season.end, tz=self.past.study.business_tz)

    def _estate(self, topology: Topology, seen: Observed) -> Estate:
        days = np.arange(seen.dates.min(), seen.dates.max() + 1)
        request = _request(self.past, self.known, days)
        return standing_estate(self.known, request, topology, seen.dates)

    def _of(self, name: str, topology: Topology) -> Provided:
        return Provided(
            name=name,
            topology=topology,
            shortfall=self.as_it_stood(topology),
            usd=bill(topology, catalog=self._catalog, hours=self._hours),
            too_late=(),
        )

    def as_it_stood(self, topology: Topology) -> Shortfall:
        """Return what would have happened with the same all through the season."""
        return shortfall([(self._estate(topology, self.seen), self.seen)])

    def plan(self, name: str, made: _Made) -> Provided:
        """Return what a plan's orders made of what stood, each from the day it is in place.

        Those that were too late on the plan's day are left out. The bill is the plan's own: what is
        ordered, all through the season.
        """
        orders = made.plan.to_frame("orders")
        as_of = str(made.plan.meta["as_of"])
        late = _too_late(orders, as_of)
        placed, topology = orders[~late], made.stood
        stood = []
        for day, end in self._stages(placed):
            done = placed[placed["in_place_by"].astype(str) <= str(day)]
            topology = ordered(made.stood, done, catalog=self._catalog)
            seen = self.seen.take(slice(*np.searchsorted(self.seen.dates, [day, end])))
            if len(seen.minutes):
                stood.append((self._estate(topology, seen), seen))
        final = ordered(made.stood, placed, catalog=self._catalog)
        return Provided(
            name=name,
            topology=final,
            shortfall=shortfall(stood),
            usd=bill(final, catalog=self._catalog, hours=self._hours),
            too_late=tuple(orders.loc[late, "action"]),
        )

    def _stages(self, placed: pd.DataFrame) -> list[tuple[np.datetime64, np.datetime64]]:
        """Return the spans of the season between the days on which orders come into place."""
        first = np.datetime64(self.past.season.start)
        end = np.datetime64(self.past.season.end)
        days = {np.datetime64(day) for day in placed["in_place_by"] if day}
        starts = sorted({first, *(day for day in days if first < day < end)})
        return list(zip(starts, [*starts[1:], end], strict=True))

    def ran(self, stood: Topology) -> tuple[Provided, ...]:
        """Return what the recorded pods were; nothing where none were recorded."""
        season = self.past.season
        estate = self._estate(stood, self.seen)
        record = recorded(estate, self.past.history.between(season.start, season.end))
        if all(np.isnan(pods).all() for pods in record.pods.values()):
            return ()
        usd = recorded_bill(stood, record, catalog=self._catalog, hours=self._hours)
        held = recorded_shortfall(estate, self.seen, record)
        return (Provided("what ran", stood, held, usd, ()),)

    def rule(self, stood: Topology, x: float) -> Provided:
        """Return last season's peak times a factor."""
        season = self.past.season
        estate = self._estate(stood, self.last)
        record = recorded(estate, self.past.history.between(season.last_start, season.last_end))
        topology = rule_of_thumb(
            stood,
            estate_of=self._estate,
            last=self.last,
            record=record,
            catalog=self._catalog,
            x=x,
        )
        return self._of(f"last peak x {x:g}", topology)

    def foresight(self, stood: Topology) -> Provided:
        """Return what the policy asks for the traffic that came."""
        topology = hindsight(stood, estate_of=self._estate, seen=self.seen, catalog=self._catalog)
        return self._of("perfect foresight", topology)

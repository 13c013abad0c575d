"""Print how past capacity decisions fared: real seasons and planted ones, seasons as the unit.

Run it where capmodel is installed, with the shared data in CAPMODEL_DATA::

    python benchmarks/decisions.py                 # 1,000 planted seasons a world: ten CPU minutes
    python benchmarks/decisions.py --seasons 50    # a glance

Capacity is ordered nine weeks before each season for a risk of 2 %, from the days before alone, and
held against the season's busiest hour. Beside it: last season's peak times 1.3, and perfect
foresight (the season's own peak). The price is one USD per unit and hour. Planted shops
(``planted.planted_season``) have two past Black Fridays; how much their event years differ varies
from shop to shop around the figure in the first column.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Iterator, Sequence

import numpy as np
from accuracy_tables import markdown
from planted import FIRST, HOURS, SEASON, TRAIN_END, PlantedFleet, calendar, planted_season
from tasks import bikes, comed
from threadpoolctl import threadpool_limits

from capmodel.accuracy import binomial_interval
from capmodel.backtest import DecisionBacktest, Origin, SeasonDecision, decide
from capmodel.events import Events
from capmodel.history import History

WEEKS = 9
RISK = 0.02
GOAL = (0.01, 0.03)
LUCKS = (0.05, 0.10, 0.20)
"""Median log standard deviation of what an event's year adds; the model's prior says 0.10."""
DECIDING = 0.10


def hourly(name: str, days: np.ndarray, hours: np.ndarray) -> History:
    """Return one series as a history."""
    return History(
        services=(name,),
        start=days[0].astype("datetime64[s]"),
        step_min=60,
        values={("rps", ""): hours.reshape(1, -1)},
        tags={},
        business_tz="UTC",
    )


def origin(start: dt.date, end: dt.date) -> Origin:
    """Return a season that is ordered for nine weeks before."""
    return Origin(cut=start - dt.timedelta(weeks=WEEKS), start=start, end=end)


def real() -> Iterator[tuple[str, DecisionBacktest]]:
    """Yield the real series: summers and winters of ComEd's load, the autumn of bikes 2012."""
    for name, days, cube in comed():
        last = days[-1].astype(dt.date)
        spans = [
            span
            for year in range(2012, last.year + 1)
            for span in (
                (dt.date(year, 6, 1), dt.date(year, 9, 1)),
                (dt.date(year, 12, 1), dt.date(year + 1, 3, 1)),
            )
            if span[1] <= last
        ]
        events = Events.country("US", 2010, 2019)
        seasons = [origin(*span) for span in spans]
        yield name, decide(hourly(name, days, cube), seasons=seasons, events=events, risk=RISK)
    for name, days, cube in bikes():
        seasons = [origin(dt.date(2012, 9, 1), dt.date(2012, 12, 1))]
        events = Events.us_retail(2011, 2012)
        yield name, decide(hourly(name, days, cube), seasons=seasons, events=events, risk=RISK)


def planted(seed: int, luck: float, *, draws: int, risk: float = RISK) -> SeasonDecision:
    """Return the decision on one planted season."""
    fleet = planted_season(seed, luck=luck)
    season = Origin(cut=TRAIN_END.astype(dt.date), start=SEASON[0].astype(dt.date),
                    end=SEASON[1].astype(dt.date))  # fmt: skip
    (decision,) = decide(
        history(fleet), seasons=[season], events=calendar(), risk=risk, draws=draws, seed=seed
    ).decisions
    return decision


def history(fleet: PlantedFleet) -> History:
    """Return a fleet as a history, with what came after the cut."""
    return hourly("shop", FIRST + np.arange(1), fleet.values.reshape(-1, HOURS))


def row(
    name: str, decisions: Sequence[SeasonDecision], goal: tuple[float, float] | None
) -> list[str]:
    """Return one world's figures."""
    n = len(decisions)
    hits = sum(one.exceeded for one in decisions)
    rule = sum(one.rule_exceeded for one in decisions)
    low, high = binomial_interval(hits, n)
    kept = "" if goal is None else ("kept" if goal[0] <= hits / n <= goal[1] else "not kept")
    over = sum(one.usd - one.foresight_usd for one in decisions)
    rule_over = sum(one.rule_usd - one.foresight_usd for one in decisions)
    base = sum(one.foresight_usd for one in decisions)
    return [
        name,
        str(n),
        f"{hits / n:.1%}",
        f"{float(low):.1%} to {float(high):.1%}",
        "" if goal is None else f"{goal[0]:.0%} to {goal[1]:.0%}",
        kept,
        f"{over / base:+.1%}",
        f"{rule / n:.1%}",
        f"{rule_over / base:+.1%}",
    ]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Capacity decisions on past seasons.")
    parser.add_argument("--seasons", type=int, default=1000, help="planted seasons a world")
    parser.add_argument("--draws", type=int, default=1000, help="paths")
    given = parser.parse_args()
    rows = []
    with threadpool_limits(limits=1):
        for name, result in real():
            print(result.to_frame().to_string(index=False))
            print(result.headline(), end="\n\n")
            rows.append(row(name, result.decisions, None))
        for luck in LUCKS:
            found = []
            for seed in range(given.seasons):
                found.append(planted(seed, luck, draws=given.draws))
                if seed % 100 == 99:
                    print(f"luck {luck}: {seed + 1} seasons", file=sys.stderr, flush=True)
            rows.append(row(f"planted, luck {luck:.2f}", found, GOAL if luck == DECIDING else None))
    heads = [
        "seasons of", "n", f"exceeded (risk {RISK:.0%})", "95 % interval", "goal", "verdict",
        "USD over foresight", "last peak x 1.3 exceeded", "its USD over foresight",
    ]  # fmt: skip
    print(markdown(heads, rows))


if __name__ == "__main__":
    main()

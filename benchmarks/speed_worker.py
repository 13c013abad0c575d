"""Do one job of ``speed.py`` in a process of its own and print what it took, as JSON.

This script answers: what do a fleet's forecast, a weekly append and Prophet cost? ``speed.py`` runs
it::

    python speed_worker.py JOB FOLDER [--services S] [--quantiles Q ...] [--workers W]
                           [--order service|time] [--row R]

FOLDER holds ``history.npy`` (services by local hours, float32) and ``week.npy`` (the week after),
which the job ``make`` writes. Imports and a first short fit are not counted; reading the history
is. CPU seconds are user and system time, child processes included: Prophet fits in one. Peak
memory is the process's largest resident set.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from peer_worker import DAY, RSS_UNITS_PER_MB, WARM_UP_HOURS, Series, cpu_seconds, quiet

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.demand.fleet import FleetFit

TZ = "America/New_York"
HORIZON_DAYS = 90
WEEK_DAYS = 7
PLANTED_AT_A_TIME = 250
READ_AT_A_TIME = 256
"""Services read at a time: 18 MB."""
WARM_UP_SERVICES = 8
WARM_UP_DAYS = 70
"""Ends on an ordinary day [days]."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one job took."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    series: int
    """How many series the job was about."""
    packages: str
    """Names and versions."""
    load: float
    """Load of the machine over the last minute, when the job ended."""


def taken(cpu_s: float, wall_s: float, series: int, *packages: str) -> Taken:
    """Return what a job took, with the process's peak and the versions of packages."""
    with_versions = ", ".join(f"{name} {version(name)}" for name in packages)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / RSS_UNITS_PER_MB
    return Taken(cpu_s, wall_s, peak, series, with_versions, os.getloadavg()[0])


@dataclass(slots=True)
class Clock:
    """CPU and wall time since it was made."""

    cpu: float
    wall: float

    @classmethod
    def started(cls) -> Clock:
        """Return a clock that begins now."""
        return cls(cpu_seconds(), time.perf_counter())

    def read(self) -> tuple[float, float]:
        """Return CPU and wall seconds."""
        return cpu_seconds() - self.cpu, time.perf_counter() - self.wall


def make(folder: Path, given: argparse.Namespace) -> Taken:
    """Write the planted services, each another one, in blocks."""
    from planted import FIRST, TRAIN_END, planted_fleet  # noqa: PLC0415  not for Prophet

    clock, hours = Clock.started(), int((TRAIN_END - FIRST).astype(int)) * DAY
    count, format_ = given.services, np.lib.format
    history = format_.open_memmap(folder / "history.npy", "w+", np.float32, (count, hours))
    week = format_.open_memmap(folder / "week.npy", "w+", np.float32, (count, WEEK_DAYS * DAY))
    for at in range(0, count, PLANTED_AT_A_TIME):
        n = min(PLANTED_AT_A_TIME, count - at)
        values = planted_fleet(at, n).values
        history[at : at + n] = values[:, :hours]
        week[at : at + n] = values[:, hours : hours + WEEK_DAYS * DAY]
    history.flush()
    week.flush()
    return taken(*clock.read(), count, "numpy")


def blocks(folder: Path) -> Iterator[np.ndarray]:
    """Yield the history, read from the file block by block and not mapped."""
    with (folder / "history.npy").open("rb") as file:
        np.lib.format.read_magic(file)
        (count, hours), _, dtype = np.lib.format.read_array_header_1_0(file)
        for at in range(0, count, READ_AT_A_TIME):
            n = min(READ_AT_A_TIME, count - at)
            yield np.fromfile(file, dtype, n * hours).reshape(n, hours)


def fitted(values: np.ndarray | Iterator[np.ndarray], given: argparse.Namespace) -> FleetFit:
    """Return the fit of local hours."""
    from planted import FIRST, calendar  # noqa: PLC0415  not for Prophet

    from capmodel.demand import Batched  # noqa: PLC0415  not for Prophet

    return Batched().fit_fleet(
        values,
        start=str(FIRST),
        business_tz=TZ,
        events=calendar(),
        quantiles=given.quantiles,
        workers=given.workers,
    )


def warm_up(folder: Path, given: argparse.Namespace) -> None:
    """Load what a fit and a forecast load once, on a few services and weeks."""
    head = next(blocks(folder))[:WARM_UP_SERVICES, : WARM_UP_DAYS * DAY]
    fitted(head.copy(), given).forecast(1)


def imports(_: Path, given: argparse.Namespace) -> Taken:
    """Load all that a fit needs."""
    clock = Clock.started()
    shape = (WARM_UP_SERVICES, WARM_UP_DAYS * DAY)
    fitted(np.random.default_rng(0).random(shape) + 1, given).forecast(1)
    return taken(*clock.read(), 0, "capmodel", "numpy", "scipy", "pandas", "holidays")


def arrays(folder: Path, given: argparse.Namespace) -> Taken:
    """Forecast all services from blocks of the file."""
    warm_up(folder, given)
    clock = Clock.started()
    forecast = fitted(blocks(folder), given).forecast(HORIZON_DAYS)
    spent = clock.read()
    check(forecast.values)
    return taken(*spent, forecast.values.shape[1], "capmodel", "numpy")


def frame(folder: Path, given: argparse.Namespace) -> Taken:
    """Forecast all services from one long frame that stands in memory."""
    from planted import calendar  # noqa: PLC0415  not for Prophet

    from capmodel.demand import Batched  # noqa: PLC0415  not for Prophet
    from capmodel.demand.fleet_input import blocks_of_frame  # noqa: PLC0415  not for Prophet

    warm_up(folder, given)
    rows = long_frame(folder, given.order)
    clock = Clock.started()
    values, start, services = blocks_of_frame(rows, business_tz=TZ, value="rps")
    fit = Batched().fit_fleet(
        values, start=start, business_tz=TZ, events=calendar(), services=services
    )
    forecast = fit.forecast(HORIZON_DAYS)
    spent = clock.read()
    check(forecast.values)
    return taken(*spent, len(services), "capmodel", "pandas", "numpy")


def long_frame(folder: Path, order: str) -> pd.DataFrame:
    """Return the history as rows of service, time and value, by service or by time."""
    import pandas as pd  # noqa: PLC0415  not for Prophet's baseline
    from planted import FIRST  # noqa: PLC0415  not for Prophet

    values = np.concatenate(list(blocks(folder)))
    count, hours = values.shape
    code = np.arange(count, dtype=np.int16)
    first = pd.Timestamp(FIRST, tz=TZ).tz_convert("UTC")
    time_of_row = pd.date_range(first, periods=hours, freq="h").as_unit("us").asi8
    if order == "service":
        code, time_of_row = np.repeat(code, hours), np.tile(time_of_row, count)
    else:
        code, time_of_row = np.tile(code, hours), np.repeat(time_of_row, count)
        values = np.ascontiguousarray(values.T)
    names = pd.Index([f"service_{i}" for i in range(count)])
    columns = {
        "service": pd.Categorical.from_codes(code, names, validate=False),
        "time": pd.DatetimeIndex(time_of_row.view("datetime64[us]"), tz="UTC"),
        "rps": values.reshape(-1),
    }
    return pd.DataFrame(columns, copy=False)


def append(folder: Path, given: argparse.Namespace) -> Taken:
    """Add a week to a fit; the fit itself is not counted, and its data is gone by then."""
    week = np.load(folder / "week.npy")
    head = fitted(next(blocks(folder))[:8], given)
    head.append(week[:8], days=WEEK_DAYS)  # loads what is loaded once
    fit = fitted(blocks(folder), given)
    clock = Clock.started()
    grown = fit.append(week, days=WEEK_DAYS)
    spent = clock.read()
    check(grown.forecast(1).values)
    return taken(*spent, len(week), "capmodel", "numpy")


def check(values: np.ndarray) -> None:
    """Raise unless every service has a forecast of every hour."""
    if not np.isfinite(values).all():
        raise SystemExit(f"{np.isnan(values).any(axis=(0, 2)).sum()} services have no forecast")


def prophet(folder: Path, given: argparse.Namespace) -> Taken:
    """Forecast one service with Prophet as it comes, 1,000 samples, no holidays."""
    return prophet_of(folder, given.row, holidays=None)


def prophet_events(folder: Path, given: argparse.Namespace) -> Taken:
    """Forecast one service with Prophet, told each event day of our calendar as a holiday."""
    import pandas as pd  # noqa: PLC0415  Prophet brings it
    from planted import calendar  # noqa: PLC0415  the calendar that ours gets

    days = list(calendar())
    when = pd.to_datetime([day.date for day in days])
    holidays = pd.DataFrame({"holiday": [day.name for day in days], "ds": when})
    return prophet_of(folder, given.row, holidays=holidays)


def prophet_of(folder: Path, row: int, *, holidays: pd.DataFrame | None) -> Taken:
    """Fit Prophet to one service of the file and forecast it."""
    from planted import FIRST  # noqa: PLC0415  planted days

    train = np.load(folder / "history.npy", mmap_mode="r")[row].astype(float)
    none = np.array([])
    with quiet():
        head = Series(train[-WARM_UP_HOURS:], FIRST, DAY, none, none)
        with contextlib.suppress(Exception):
            prophet_forecast(head, None)
        clock = Clock.started()
        series = Series(train, FIRST, HORIZON_DAYS * DAY, none, none)
        forecast = prophet_forecast(series, holidays)
        spent = clock.read()
    check(forecast.to_numpy()[None])
    return taken(*spent, 1, "prophet", "cmdstanpy", "pandas", "numpy")


def prophet_forecast(series: Series, holidays: pd.DataFrame | None) -> pd.DataFrame:
    """Return Prophet's forecast and its interval."""
    import pandas as pd  # noqa: PLC0415  Prophet brings it
    from prophet import Prophet  # noqa: PLC0415  one job's alone

    count = len(series.train)
    time_of_row = pd.date_range(
        pd.Timestamp(series.start), periods=count + series.horizon, freq="h"
    )
    model = Prophet(holidays=holidays)
    model.fit(pd.DataFrame({"ds": time_of_row[:count], "y": series.train}))
    found = model.predict(pd.DataFrame({"ds": time_of_row[count:]}))
    return found[["yhat_lower", "yhat", "yhat_upper"]]


JOBS: dict[str, Callable[[Path, argparse.Namespace], Taken]] = {
    job.__name__: job for job in (make, imports, arrays, frame, append, prophet, prophet_events)
}


def main() -> None:
    """Do the job and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--quantiles", type=float, nargs="+", default=[0.5, 0.9, 0.95, 0.99])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--order", choices=("service", "time"), default="service")
    parser.add_argument("--row", type=int, default=0)
    given = parser.parse_args()
    print(json.dumps(asdict(JOBS[given.job](given.folder, given))))


if __name__ == "__main__":
    main()

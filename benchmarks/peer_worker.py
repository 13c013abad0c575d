"""Forecast the series of one file with one peer, in a process of the peer's own.

This script answers: what does the peer say, and what does it cost? ``peers.py`` runs it, with the
interpreter of the environment in which the peer is installed, so it imports nothing of capmodel::

    python peer_worker.py METHOD SOURCE TARGET

SOURCE (.npz): ``train`` (S, T) with NaN in gaps, ``start`` (datetime64, the first local hour),
``horizon`` [hours], ``holiday`` (K,) names and ``holiday_day`` (K,) days. TARGET (.npz):
``forecast`` (S, H), ``cpu_s`` (S,) [CPU seconds], ``peak_mb`` [MB], ``versions`` (text) and
``failed`` (S,), the error of a series that the peer could not forecast (its forecast is NaN).

Imports and a first short fit are not counted. CPU seconds are user and system time, child processes
included: Prophet fits in one. The process is thrown away, so no peer's warnings, loggers, random
state or temporary files reach anybody else.
"""

from __future__ import annotations

import contextlib
import logging
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

DAY, WEEK = 24, 168
WARM_UP_HOURS = 8 * WEEK
LOG_OFFSET = 0.01
"""Keeps the logarithm of an empty hour finite [series' mean]: the same as in our own model."""
# ru_maxrss counts KiB on Linux and bytes on macOS.
RSS_UNITS_PER_MB = 1e6 if sys.platform == "darwin" else 1e6 / 1024


@dataclass(frozen=True, eq=False)
class Series:
    """One series to forecast."""

    train: np.ndarray
    """Hours, shape (T,), NaN in gaps."""
    start: np.datetime64
    """First local hour."""
    horizon: int
    """Hours."""
    holiday: np.ndarray
    """Names, shape (K,)."""
    holiday_day: np.ndarray
    """Days, shape (K,), datetime64[D]."""


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of the children that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_mb() -> float:
    """Return the largest resident set of this process [MB]."""
    status = Path("/proc/self/status")
    if status.exists():
        # ru_maxrss of Linux begins with what the parent used before this program replaced it.
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return float(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / RSS_UNITS_PER_MB


def filled(train: np.ndarray) -> np.ndarray:
    """Return hours whose gaps hold the value a week before, at the beginning a week after."""
    weeks = np.full((-(-len(train) // WEEK), WEEK), np.nan)
    weeks.reshape(-1)[: len(train)] = train
    for i in range(1, len(weeks)):
        weeks[i] = np.where(np.isnan(weeks[i]), weeks[i - 1], weeks[i])
    for i in range(len(weeks) - 1, 0, -1):
        weeks[i - 1] = np.where(np.isnan(weeks[i - 1]), weeks[i], weeks[i - 1])
    out: np.ndarray = weeks.reshape(-1)[: len(train)]
    return out


def naive(series: Series) -> np.ndarray:
    """Return the last week, repeated."""
    return np.asarray(np.resize(filled(series.train)[-WEEK:], series.horizon))


def prophet(series: Series) -> np.ndarray:
    """Return the forecast of Prophet as it comes."""
    from prophet import Prophet  # noqa: PLC0415  only where it is installed

    model = Prophet()
    model.fit(_frame(series))
    return np.asarray(model.predict(_future(series))["yhat"], dtype=float)


def tuned(series: Series) -> np.ndarray:
    """Return the forecast of Prophet as an expert sets it up for hourly traffic.

    Logarithms, a daily curve of its own for weekdays, Saturdays and Sundays, a stiff trend that may
    bend until shortly before the end, a short yearly season, the country's holidays.
    """
    from prophet import Prophet  # noqa: PLC0415  only where it is installed

    mean = float(np.nanmean(series.train))
    frame = _with_conditions(_frame(series))
    frame["y"] = np.log(frame["y"] / mean + LOG_OFFSET)
    model = Prophet(
        changepoint_range=0.95,
        changepoint_prior_scale=0.01,
        yearly_seasonality=4,
        weekly_seasonality=True,
        daily_seasonality=False,
        holidays=_holidays(series),
    )
    for name in ("weekday", "saturday", "sunday"):
        model.add_seasonality(name, period=1, fourier_order=10, condition_name=f"is_{name}")
    model.fit(frame)
    log = np.asarray(model.predict(_with_conditions(_future(series)))["yhat"], dtype=float)
    return np.asarray(mean * np.maximum(np.exp(log) - LOG_OFFSET, 0.0))


def mstl(series: Series) -> np.ndarray:
    """Return statsforecast's MSTL with daily and weekly seasons; gaps filled."""
    from statsforecast.models import MSTL  # type: ignore[import-not-found]  # noqa: PLC0415

    model = MSTL(season_length=[DAY, WEEK])
    return np.asarray(model.forecast(filled(series.train), series.horizon)["mean"], dtype=float)


def mfles(series: Series) -> np.ndarray:
    """Return statsforecast's MFLES with daily and weekly seasons; gaps filled."""
    from statsforecast.models import MFLES  # noqa: PLC0415  only where it is installed

    model = MFLES(season_length=[DAY, WEEK])
    return np.asarray(model.forecast(filled(series.train), series.horizon)["mean"], dtype=float)


METHODS: dict[str, tuple[Callable[[Series], np.ndarray], tuple[str, ...]]] = {
    "naive": (naive, ("numpy",)),
    "prophet": (prophet, ("prophet", "cmdstanpy", "pandas", "numpy")),
    "tuned": (tuned, ("prophet", "cmdstanpy", "pandas", "numpy")),
    "mstl": (mstl, ("statsforecast", "pandas", "numpy")),
    "mfles": (mfles, ("statsforecast", "pandas", "numpy")),
}
"""Name to forecast and the packages that it rests on."""


def _hours(first: np.datetime64, count: int) -> pd.DataFrame:
    """Return Prophet's frame of naive local hours."""
    import pandas as pd  # noqa: PLC0415  not for the naive forecast

    return pd.DataFrame({"ds": pd.date_range(pd.Timestamp(first), periods=count, freq="h")})


def _frame(series: Series) -> pd.DataFrame:
    return _hours(series.start, len(series.train)).assign(y=series.train)


def _future(series: Series) -> pd.DataFrame:
    return _hours(series.start + np.timedelta64(len(series.train), "h"), series.horizon)


def _with_conditions(frame: pd.DataFrame) -> pd.DataFrame:
    day = frame["ds"].dt.dayofweek
    return frame.assign(is_weekday=day < 5, is_saturday=day == 5, is_sunday=day == 6)


def _holidays(series: Series) -> pd.DataFrame | None:
    import pandas as pd  # noqa: PLC0415  not for the naive forecast

    if not len(series.holiday):
        return None
    days = pd.to_datetime(series.holiday_day.astype("datetime64[s]"))
    return pd.DataFrame({"holiday": series.holiday.astype(str), "ds": days})


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what peers print and warn about, and remove the files that they leave."""
    logging.disable(logging.CRITICAL)
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before
            logging.disable(logging.NOTSET)


def run(method: str, many: list[Series]) -> dict[str, np.ndarray]:
    """Forecast one series after the other and return the fields of TARGET."""
    forecast, packages = METHODS[method]
    rows, cpu, failed = [], [], []
    with quiet():
        first = many[0]
        head = first.train[-WARM_UP_HOURS:]
        with contextlib.suppress(Exception):
            forecast(Series(head, first.start, DAY, first.holiday[:0], first.holiday_day[:0]))
        for series in many:
            started, error = cpu_seconds(), ""
            try:
                row = forecast(series)
            except Exception as raised:  # noqa: BLE001  one failure must not cost the others
                row, error = np.full(series.horizon, np.nan), repr(raised)
            cpu.append(cpu_seconds() - started)
            rows.append(row)
            failed.append(error)
    return {
        "forecast": np.stack(rows),
        "cpu_s": np.array(cpu),
        "peak_mb": np.array(peak_mb()),
        "versions": np.array(", ".join(f"{name} {version(name)}" for name in packages)),
        "failed": np.array(failed),
    }


def main() -> None:
    """Read SOURCE, forecast, write TARGET."""
    method, source, target = sys.argv[1:]
    with np.load(source) as given:
        many = [
            Series(
                train=train,
                start=given["start"][()],
                horizon=int(given["horizon"]),
                holiday=given["holiday"],
                holiday_day=given["holiday_day"],
            )
            for train in given["train"]
        ]
    answer = run(method, many)
    # numpy types the fields of savez as options too.
    np.savez(target, **answer)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()

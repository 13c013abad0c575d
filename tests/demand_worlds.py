"""Planted worlds for the demand tests: multiplicative, on local days, unlike the model's form."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import numpy as np
import pandas as pd

from capmodel.events import Events, thanksgiving
from capmodel.history import History

TZ = "America/New_York"
LIFTS = {
    "thanksgiving_eve": (-1, 1.3),
    "thanksgiving": (0, 2.2),
    "black_friday": (1, 4.0),
    "black_friday_saturday": (2, 2.6),
    "black_friday_sunday": (3, 2.4),
    "cyber_monday": (4, 5.0),
    "cyber_tuesday": (5, 1.8),
}
WEEK = np.array([1.0, 0.97, 0.98, 1.0, 1.06, 1.15, 1.12])


def calendar() -> Events:
    """Return the retail calendar of the worlds' years."""
    return Events.us_retail(2022, 2027)


def planted(
    start: str,
    end: str,
    *,
    growth: float = 1.30,
    noise: float = 0.03,
    seed: int = 0,
    level: float = 3000.0,
    lifts: Mapping[str, tuple[int, float]] = LIFTS,
) -> pd.Series:
    """Return hourly demand in UTC: yearly growth, week, evening peak, evening-weighted lifts.

    A lift is the ratio of local-day *sums*, planted as ``1 + c * w(hour)`` with a bell w around
    20:30 that is cut off at midnight; noise is AR(1) by the hour with the given log sd.
    """
    index = pd.date_range(start, end, freq="h", tz="UTC", inclusive="left")
    local = index.tz_convert(TZ)
    hour = local.hour.to_numpy().astype(float)
    date = local.tz_localize(None).to_numpy().astype("datetime64[D]")
    years = (index - pd.Timestamp("2023-01-01", tz="UTC")).to_numpy() / np.timedelta64(365, "D")
    day = 0.35 + np.exp(-0.5 * ((hour - 20.5) / 3.2) ** 2)
    day += 0.55 * np.exp(-0.5 * ((hour - 13) / 3.0) ** 2)
    season = 1 + 0.06 * np.cos(2 * np.pi * (local.day_of_year.to_numpy() - 340) / 365.25)
    y = level * growth**years * day * WEEK[local.day_of_week.to_numpy()] * season
    bell = np.exp(-0.5 * ((hour - 20.5) / 4.0) ** 2)
    for year in range(2022, 2028):
        for offset, lift in lifts.values():
            on = date == np.datetime64(thanksgiving(year) + dt.timedelta(offset), "D")
            if on.any():
                y[on] *= 1 + (lift - 1) * y[on].sum() / (y[on] * bell[on]).sum() * bell[on]
    return pd.Series(y * np.exp(_ar1(len(y), noise, seed)), index=index)


def _ar1(n: int, sd: float, seed: int, phi: float = 0.9) -> np.ndarray:
    from scipy.signal import lfilter

    steps = np.random.default_rng(seed).standard_normal(n) * sd * np.sqrt(1 - phi**2)
    return np.asarray(lfilter([1.0], [1.0, -phi], steps))


def history_of(series: Mapping[str, pd.Series], *, quantity: str = "per_min") -> History:
    """Return the history of some series on all hours from the first to the last."""
    first = min(one.index[0] for one in series.values())
    last = max(one.index[-1] for one in series.values())
    index = pd.date_range(first, last, freq="h")
    return History(
        services=tuple(sorted(series)),
        start=index[0].tz_localize(None).to_datetime64(),
        step_min=60,
        values={(quantity, ""): np.stack([series[name].reindex(index) for name in sorted(series)])},
        tags={},
        business_tz=TZ,
    )


def local_day_sum(series: pd.Series, day: str) -> float:
    """Return the sum over a local day."""
    local = series.tz_convert(TZ)
    return float(local[day].sum())


def local_dates(series: pd.Series) -> np.ndarray:
    """Return each hour's local date as ISO text."""
    return np.asarray(pd.DatetimeIndex(series.index).tz_convert(TZ).strftime("%Y-%m-%d"))

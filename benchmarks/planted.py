"""A planted retail fleet: multiplicative, with truths that the model does not share the form of.

This module answers: what would a shop's services have carried, had we known every cause? Profiles
are sums of bells, growth bends and jumps, days err by AR(1), incidents lift or sink hours, and each
event differs between its years: partly for all services alike, partly for each.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

from capmodel.events import Events, thanksgiving

HOURS = 24
FIRST = np.datetime64("2022-10-03")
TRAIN_END = np.datetime64("2024-10-03")
SEASON = (np.datetime64("2024-11-15"), np.datetime64("2024-12-15"))
LAST = np.datetime64("2024-12-29")
DATES = np.arange(FIRST, LAST)
EVENT_DAYS = {
    "thanksgiving_eve": (-1, 0.25),
    "thanksgiving": (0, 0.45),
    "black_friday": (1, 1.0),
    "black_friday_saturday": (2, 0.65),
    "black_friday_sunday": (3, 0.6),
    "cyber_monday": (4, 0.9),
    "cyber_tuesday": (5, 0.3),
}
"""Days from Thanksgiving, and share of the service's largest log lift."""


@dataclass(frozen=True, eq=False)
class PlantedFleet:
    """Hourly demand on local days."""

    values: np.ndarray
    """Shape (S, N * 24), as measured: with gaps."""
    truth: np.ndarray
    """The same without gaps."""
    groups: dict[str, str]
    """Service to storefront or back office."""

    @property
    def services(self) -> list[str]:
        """Names, one a row."""
        return sorted(self.groups)


def calendar() -> Events:
    """Return the retail calendar of the planted years."""
    return Events.us_retail(2022, 2025)


def planted_fleet(seed: int, n: int = 60) -> PlantedFleet:
    """Return a fleet; about three services in five are storefronts with lifts of 1.5 to 5."""
    rng = np.random.default_rng(seed)
    day = np.arange(len(DATES))
    log = np.log(rng.lognormal(5, 1.5, (n, 1, 1)))
    log = log + _growth(rng, day, n)[:, :, None] + _days(rng, n)[:, :, None]
    log = log + _profiles(rng, n) + _season(rng, n)[:, :, None]
    is_store = rng.random(n) < 0.6
    lift = np.where(is_store, np.log(rng.uniform(1.5, 5.0, n)), rng.normal(0.03, 0.03, n))
    log = log + _events(rng, lift)
    log = log + 0.03 * rng.standard_normal(log.shape)
    _incidents(rng, log)
    truth = np.exp(log)
    truth = rng.poisson(truth * 60) / 60
    truth = truth.reshape(n, -1)
    values = truth.copy()
    values[rng.random(values.shape) < 0.01] = np.nan
    names = [f"service_{i:02d}" for i in range(n)]
    groups = {
        name: "storefront" if store else "back office"
        for name, store in zip(names, is_store, strict=True)
    }
    return PlantedFleet(values=values, truth=truth, groups=groups)


def _growth(rng: np.random.Generator, day: np.ndarray, n: int) -> np.ndarray:
    """Yearly growth around 20 % with bends, now and then a step."""
    years = day / 365.25
    out = rng.normal(0.2, 0.12, (n, 1)) * years
    for s in range(n):
        for _ in range(rng.integers(0, 3)):
            at = rng.uniform(0.1, 1.9)
            out[s] += rng.normal(0, 0.15) * np.clip(years - at, 0, None)
        if rng.random() < 0.2:
            out[s] += rng.normal(0, 0.15) * (years > rng.uniform(0.1, 1.7))
    return out


def _days(rng: np.random.Generator, n: int) -> np.ndarray:
    """AR(1) of days: a part that all services share, a part of their own."""
    out = np.zeros((n, len(DATES)))
    for t in range(1, len(DATES)):
        shock = 0.015 * rng.standard_normal() + 0.02 * rng.standard_normal(n)
        out[:, t] = 0.8 * out[:, t - 1] + shock
    return out


def _profiles(rng: np.random.Generator, n: int) -> np.ndarray:
    """Two bells a day on a floor, other weights at the weekend, shape (n, N, 24)."""
    hour = np.arange(HOURS)
    weekday = (DATES.astype(int) + 3) % 7
    centre, width = rng.uniform(9, 21, (n, 2)), rng.uniform(2, 5, (n, 2))
    distance = (hour - centre[:, :, None] + 12) % 24 - 12
    bells = np.exp(-0.5 * (distance / width[:, :, None]) ** 2)
    weights = rng.uniform(0.3, 1.5, (n, 2, 2))
    shape = 0.3 + np.einsum("skh,skw->swh", bells, weights)
    level = 1 + rng.normal(0, 0.08, (n, 7))
    return np.asarray(np.log(shape[:, (weekday >= 5).astype(int)] * level[:, weekday, None]))


def _season(rng: np.random.Generator, n: int) -> np.ndarray:
    """One bell a year, at a day of its own, and a broad run-up to the holidays."""
    day_of_year = (DATES - DATES.astype("datetime64[Y]")).astype(float)
    at = rng.uniform(0, 365, (n, 1))
    distance = (day_of_year - at + 182.5) % 365 - 182.5
    out = rng.normal(0, 0.12, (n, 1)) * np.exp(-0.5 * (distance / 50) ** 2)
    holidays = np.abs(rng.normal(0.1, 0.05, (n, 1))) * ((day_of_year > 319) & (day_of_year < 357))
    return np.asarray(out + holidays)


def _events(rng: np.random.Generator, lift: np.ndarray) -> np.ndarray:
    """Evening-weighted event days; each year's luck is half shared, half the service's own."""
    out = np.zeros((len(lift), len(DATES), HOURS))
    centre = rng.normal(17, 3, (len(lift), 1))
    bell = 0.6 + 0.8 * np.exp(-0.5 * ((np.arange(HOURS) - centre) / 4) ** 2)
    bell /= bell.max(axis=1, keepdims=True)
    for year in (2022, 2023, 2024):
        shared = rng.normal(0, 0.05)
        for offset, share in EVENT_DAYS.values():
            date = np.datetime64(thanksgiving(year) + dt.timedelta(offset), "D")
            t = int((date - FIRST).astype(int))
            luck = shared + rng.normal(0, 0.05, len(lift))
            out[:, t] = (lift * share * (1 + luck))[:, None] * bell
    return out


def _incidents(
    rng: np.random.Generator, log: np.ndarray, *, end: np.datetime64 = TRAIN_END
) -> None:
    """Bursts that nobody announced and outages, in place, before a day."""
    flat = log.reshape(len(log), -1)
    hours = int((end - FIRST).astype(int)) * HOURS
    for s in range(len(flat)):
        for _ in range(rng.poisson(4)):
            at, length = rng.integers(0, hours - 48), rng.integers(4, 48)
            flat[s, at : at + length] += abs(rng.normal(0.3, 0.15))
        for _ in range(rng.poisson(1.5)):
            at, length = rng.integers(0, hours - 12), rng.integers(1, 8)
            flat[s, at : at + length] += np.log(rng.uniform(0.1, 0.5))


def planted_season(seed: int, *, luck: float) -> PlantedFleet:
    """Return one storefront whose event years differ by a luck that differs from shop to shop.

    The log standard deviation of a year's luck is itself log-normal over shops, with the median
    `luck` and a log spread of 0.5; a year's luck is heavy-tailed (Student with 5 degrees of
    freedom). Bursts that nobody announces and outages go on in the judged season.
    """
    rng = np.random.default_rng((seed, 77))
    n = 1
    day = np.arange(len(DATES))
    log = np.log(rng.lognormal(5, 1.5, (n, 1, 1)))
    log = log + _growth(rng, day, n)[:, :, None] + _days(rng, n)[:, :, None]
    log = log + _profiles(rng, n) + _season(rng, n)[:, :, None]
    lift = np.log(rng.uniform(1.5, 5.0, n))
    own_luck = luck * np.exp(0.5 * rng.standard_normal())
    bell = 0.6 + 0.8 * np.exp(-0.5 * ((np.arange(HOURS) - rng.normal(17, 3)) / 4) ** 2)
    bell /= bell.max()
    for year in (2022, 2023, 2024):
        year_luck = own_luck * rng.standard_t(5) * np.sqrt(3 / 5)
        for offset, share in EVENT_DAYS.values():
            date = np.datetime64(thanksgiving(year) + dt.timedelta(offset), "D")
            log[:, int((date - FIRST).astype(int))] += (lift * share + year_luck)[:, None] * bell
    log = log + 0.03 * rng.standard_normal(log.shape)
    _incidents(rng, log, end=LAST)
    truth = rng.poisson(np.exp(log) * 60).reshape(n, -1) / 60
    return PlantedFleet(values=truth, truth=truth, groups={"shop": "storefront"})

"""Sample paths of demand: three levels of luck, drawn by name, kept apart until they are used.

This module answers: which futures are consistent with a fit? A path is

    demand = shape * exp(level + drift + shock)

with *season* luck (``drift``: the trend's error; ``shock``: how an event's year differs), *service*
luck (``level``: the error of today's level) and *day* luck (inside ``shape``: residuals of whole
past weeks, the same weeks for every service, so that correlation survives). A quantile of each hour
is not the quantile of the peak, and quantiles of services never add up: ask paths.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.demand.horizon import check_horizon
from capmodel.demand.luck import EventLuck, mixed, normal_scores
from capmodel.demand.shapes import Dice, HourLuck, Shape
from capmodel.demand.uncertainty import DRIFT_DAYS
from capmodel.demand.windows import EventWindow
from capmodel.errors import InputError, nearest
from capmodel.history.localtime import hours_in, local_days, midnights
from capmodel.schema import Basis, order_statistic, rng_for

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Z_975",
    "DemandForecast",
    "Outlook",
    "RootPaths",
    "draw_root",
    "draw_weeks",
    "normal_scores",
]

WEEK: Final = 7
Z_975: Final = 1.959963984540054
"""Standard normal quantile of 0.975."""
FRAME_QUANTILES: Final = {"p10": 0.10, "p50": 0.50, "p90": 0.90, "p95": 0.95}


@dataclass(frozen=True, slots=True, eq=False)
class RootPaths:
    """One forecast root (a driver, or a service without calls): D draws, N local days, H slots."""

    service: str
    quantity: str
    dates: np.ndarray
    """Local days, shape (N,), datetime64[D]."""
    event: tuple[str, ...]
    """Event day's name or '', N of them."""
    shape: np.ndarray
    """Hour means at the fitted median level with day noise, shape (D or 1, N, H) [`quantity`].

    The luck of windowed events is in it: it strikes some hours of a day only.
    """
    level: np.ndarray
    """Log error of today's level, shape (D,)."""
    drift: np.ndarray
    """Log error of the trend since today, shape (D or 1, N); dropped when growth is given."""
    shock: np.ndarray
    """Log error of the whole-day event's lift this year, (D or 1, N); 0 on other days."""
    to_growth: np.ndarray
    """Log of the fitted level at the day's counterpart last season over the one on the day, (N,).

    ``shape * exp(to_growth) * g`` is the counterpart's level times g; NaN where there is none.
    """
    lift_x: np.ndarray
    """Lift of the day by its event, shape (N,) [ratio]; of the window where a windowed event names
    the day; 1 on ordinary days."""
    basis: Basis
    windows: tuple[EventWindow, ...] = ()
    """Windowed events, on days with and without another event."""

    def demand(self) -> np.ndarray:
        """Return the paths with every factor applied, shape (D, N, H) [`quantity`]."""
        log = self.level[:, None] + self.drift + self.shock
        return np.asarray(self.shape * np.exp(log)[:, :, None])


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """What a fit knows about one service on the days of a horizon, before any draw."""

    service: str
    quantity: str
    dates: np.ndarray
    event: tuple[str, ...]
    luck: tuple[str, ...]
    """Name of the shock shared by the days of one whole-day event in one year, else ''."""
    days_ahead: np.ndarray
    """Days since the last observed one, shape (N,)."""
    shape: Shape
    """What draws the hours of each day."""
    level_sd: float
    level_df: float
    drift_sd: float
    drift_df: float
    shock_sd: np.ndarray
    shock_df: np.ndarray
    coefficient_sd: np.ndarray
    luck_shared: float
    """Share of the shocks' variance that all services have in common [ratio]."""
    drift_shared: float
    """The same of the trend's error [ratio]."""
    to_growth: np.ndarray
    lift_x: np.ndarray
    windows: tuple[EventWindow, ...]
    basis: Basis


def draw_weeks(dates: np.ndarray, past: np.ndarray, *, draws: int, seed: int) -> np.ndarray:
    """Return which past day stands for each future day on each path, shape (D, N).

    Every future week (from Monday) takes one whole past week, the same for all services: the
    block bootstrap of Künsch (1989) with blocks of calendar weeks.

    Parameters
    ----------
    dates
        Future local days, shape (N,).
    past
        Consecutive past local days, shape (R,), at least 13 of them.
    draws, seed
        Number of paths; the stream is named ("days",).

    References
    ----------
    Künsch, H. R. (1989). The jackknife and the bootstrap for general stationary observations.
    Annals of Statistics 17(3), 1217-1241.
    """
    monday = (past.astype(int) + 3) % WEEK == 0
    starts = np.flatnonzero(monday[: len(past) - WEEK + 1])
    weekday = (dates.astype(int) + 3) % WEEK
    week = (dates.astype(int) + 3) // WEEK
    week = week - week[0]
    rng = rng_for(seed, "days")
    chosen = starts[rng.integers(0, len(starts), size=(int(week[-1]) + 1, draws))]
    return np.asarray(chosen[week] + weekday[:, None]).T


def draw_root(outlook: Outlook, *, source: np.ndarray, seed: int, draws: int) -> RootPaths:
    """Draw the paths of one service.

    Parameters
    ----------
    outlook
        Medians and spreads.
    source
        Past day for each path and future day, from :func:`draw_weeks`, shape (D, N).
    seed, draws
        Streams are named ("level", service), ("drift", service), ("shock", service, event) and, for
        services that are counted, ("counts", service); those that all services share ("season",
        "drift"), ("season", "shock", event).
    """
    rng = rng_for(seed, "level", outlook.service)
    level = outlook.level_sd * normal_scores(rng, draws) * _t_scale(rng, outlook.level_df, draws)
    drift = _drift(outlook, seed=seed, draws=draws)
    shock = _shock(outlook, seed=seed, draws=draws)
    dice = Dice(
        source=source,
        luck=level[:, None] + drift + shock,
        rng=rng_for(seed, "counts", outlook.service),
        hours=_hour_luck(outlook, seed=seed, draws=draws),
    )
    return RootPaths(
        service=outlook.service,
        quantity=outlook.quantity,
        dates=outlook.dates,
        event=outlook.event,
        shape=outlook.shape.draw(dice),
        level=level,
        drift=drift,
        shock=shock,
        to_growth=outlook.to_growth,
        lift_x=outlook.lift_x,
        basis=outlook.basis,
        windows=outlook.windows,
    )


def _t_scale(rng: np.random.Generator, df: float, draws: int) -> np.ndarray:
    """Return ``sqrt(df / chi2_df)``: the variance itself is known from few observations."""
    return np.sqrt(df / rng.chisquare(df, draws))


def _drift(outlook: Outlook, *, seed: int, draws: int) -> np.ndarray:
    """Draw a random walk from the last observed day: sd ``drift_sd * sqrt(days / 90)``, (D, N)."""
    rng = rng_for(seed, "drift", outlook.service)
    scale = outlook.drift_sd * _t_scale(rng, outlook.drift_df, draws)
    step = np.sqrt(np.diff(np.maximum(outlook.days_ahead, 0), prepend=0) / DRIFT_DAYS)
    shape = (draws, len(step))
    common = rng_for(seed, "season", "drift").standard_normal(shape)
    walk = mixed(common, rng.standard_normal(shape), outlook.drift_shared) * step
    return np.asarray(np.cumsum(walk, axis=1) * scale[:, None])


def _shock(outlook: Outlook, *, seed: int, draws: int) -> np.ndarray:
    """Draw how much each whole-day event differs this year, with its effect's error, (D, N)."""
    shock = np.zeros((draws, len(outlook.dates)))
    for luck in dict.fromkeys(outlook.luck):
        if not luck:
            continue
        drawn = _event_luck(outlook, luck, seed=seed, draws=draws)
        for n in (i for i, name in enumerate(outlook.luck) if name == luck):
            shock[:, n] = drawn.shock(
                outlook.shock_sd[n], outlook.shock_df[n], outlook.coefficient_sd[n]
            )
    return shock


def _hour_luck(outlook: Outlook, *, seed: int, draws: int) -> tuple[HourLuck, ...]:
    """Draw the same of each windowed event, which strikes the hours that it covers."""
    drawn = {
        luck: _event_luck(outlook, luck, seed=seed, draws=draws)
        for luck in dict.fromkeys(window.luck for window in outlook.windows)
    }
    return tuple(
        HourLuck(w.day, w.slots, drawn[w.luck].shock(w.shock_sd, w.shock_df, w.coefficient_sd))
        for w in outlook.windows
    )


def _event_luck(outlook: Outlook, luck: str, *, seed: int, draws: int) -> EventLuck:
    shared = outlook.luck_shared
    return EventLuck.of(outlook.service, luck, shared=shared, seed=seed, draws=draws)


@dataclass(frozen=True, slots=True, eq=False)
class DemandForecast:
    """A forecast of every service over a horizon, as paths that are drawn when asked for.

    The same seed draws the same paths each time, so every answer is about the same futures.
    """

    services: tuple[str, ...]
    business_tz: str
    dates: np.ndarray
    """Local days, shape (N,), datetime64[D]."""
    draws: int
    seed: int
    draw: Callable[[str], RootPaths]
    """Draws the paths of a service."""

    def paths(self, service: str) -> np.ndarray:
        """Return a service's paths, shape (D, N, 24) [its quantity].

        Raises
        ------
        InputError
            When the service is not in the forecast, naming the nearest.
        """
        if service not in self.services:
            near = nearest(service, self.services)
            raise InputError.of(
                "service",
                got=f'"{service}"',
                expected=f"one of {len(self.services)} forecast services",
                do=f'Did you mean "{near}"?' if near else "See the forecast's `services`.",
            )
        return self.draw(service).demand()

    def quantile(self, q: float) -> pd.DataFrame:
        """Return each hour's quantile over the paths: time (UTC) x service [each its quantity].

        Not for adding up: the sum of quantiles is not the quantile of the sum, and the quantile of
        each hour is not the quantile of the peak.

        Raises
        ------
        InputError
            When `q` is not inside (0, 1).
        """
        q = _checked(q)
        return self._wide(
            {name: _hour_quantiles(self.paths(name), (q,))[0] for name in self.services}
        )

    def mean(self) -> pd.DataFrame:
        """Return each hour's mean over the paths: time (UTC) x service; means do add up."""
        return self._wide({name: self.paths(name).mean(axis=0) for name in self.services})

    def peak(
        self, q: float, *, window: tuple[str | dt.date, str | dt.date] | None = None
    ) -> pd.Series:
        """Return the quantile of the busiest hour, by service, over paths.

        Parameters
        ----------
        q
            Probability in (0, 1); the answer is one of the paths' peaks (an order statistic).
        window
            Local days (start, end exclusive) inside the horizon; None means all of it.

        Returns
        -------
        pandas.Series
            Indexed by service [each its quantity].
        """
        frame = self.peaks((q,), window=window)
        return frame.set_index("service")["peak"].rename(f"peak_p{100 * q:g}")

    def peaks(
        self,
        quantiles: Sequence[float] = (0.5, 0.8, 0.95),
        *,
        window: tuple[str | dt.date, str | dt.date] | None = None,
    ) -> pd.DataFrame:
        """Return quantiles of the busiest hour with the error that the number of paths leaves.

        Parameters
        ----------
        quantiles
            Probabilities in (0, 1).
        window
            Local days (start, end exclusive) inside the horizon; None means all of it.

        Returns
        -------
        pandas.DataFrame
            service, quantile, peak, mc_low, mc_high [each service's quantity]. The last two hold
            the true quantile of the model with 95 % confidence: order statistics at
            ``q +- 1.96 sqrt(q (1 - q) / draws)`` (Serfling 1980, section 2.6.1).

        References
        ----------
        Serfling, R. J. (1980). Approximation theorems of mathematical statistics. Wiley.
        """
        import pandas as pd  # noqa: PLC0415  kept out of import time

        chosen = [_checked(q) for q in quantiles]
        keep = self._days_of(window)
        rows: list[tuple[str, float, float, float, float]] = []
        for name in self.services:
            highest = self.paths(name)[:, keep].max(axis=(1, 2))
            for q in chosen:
                error = Z_975 * np.sqrt(q * (1 - q) / len(highest))
                at = (q, max(q - error, 0.5 / len(highest)), min(q + error, 1.0))
                peak, low, high = (float(highest[order_statistic(highest, x)]) for x in at)
                rows.append((name, q, peak, low, high))
        return pd.DataFrame(rows, columns=["service", "quantile", "peak", "mc_low", "mc_high"])

    def _days_of(self, window: tuple[str | dt.date, str | dt.date] | None) -> np.ndarray:
        """Return which days of the horizon lie in a window, shape (N,) bool."""
        if window is None:
            return np.ones(len(self.dates), dtype=bool)
        days = check_horizon(*window)
        keep = (self.dates >= days[0]) & (self.dates <= days[-1])
        if keep.sum() < len(days):
            raise InputError.of(
                "window",
                got=f"{days[0]} to {days[-1]}",
                expected=f"days within {self.dates[0]} to {self.dates[-1]}",
                do="Forecast a longer horizon.",
            )
        return np.asarray(keep)

    def to_frame(self) -> pd.DataFrame:
        """Return the forecast as a long frame: service, time (UTC), p10, p50, p90, p95."""
        import pandas as pd  # noqa: PLC0415  kept out of import time

        index, day, hour = self._hours()
        parts = []
        for name in self.services:
            values = _hour_quantiles(self.paths(name), tuple(FRAME_QUANTILES.values()))
            columns = dict(zip(FRAME_QUANTILES, values[:, day, hour], strict=True))
            parts.append(pd.DataFrame({"service": name, "time": index, **columns}))
        return pd.concat(parts, ignore_index=True)

    def _hours(self) -> tuple[pd.DatetimeIndex, np.ndarray, np.ndarray]:
        """Return each UTC hour with its local day and hour; the repeated hour comes twice."""
        import pandas as pd  # noqa: PLC0415  kept out of import time

        first = midnights(self.dates[:1], self.business_tz)[0]
        count = int(hours_in(self.dates, self.business_tz).sum())
        local = local_days(first, count, 60, self.business_tz)
        index = pd.date_range(pd.Timestamp(first, tz="UTC"), periods=count, freq="h", name="time")
        day = np.minimum(local.day_of_step, len(self.dates) - 1)
        return index.as_unit("us"), day, local.hour_of_step

    def _wide(self, values: dict[str, np.ndarray]) -> pd.DataFrame:
        import pandas as pd  # noqa: PLC0415  kept out of import time

        index, day, hour = self._hours()
        columns = {name: hours[day, hour] for name, hours in values.items()}
        return pd.DataFrame(columns, index=index).rename_axis(columns="service")


def _checked(q: float) -> float:
    if not 0 < q < 1:
        raise InputError.of(
            "q",
            got=q,
            expected="a probability inside (0, 1)",
            do=f"Did you mean {q / 100:g}?" if 1 < q < 100 else "Write 0.95 for P95.",  # noqa: PLR2004
        )
    return float(q)


def _hour_quantiles(paths: np.ndarray, quantiles: tuple[float, ...]) -> np.ndarray:
    """Return order statistics of each hour over the paths, shape (Q, N, 24)."""
    draws = len(paths)
    # The same definition as schema.order_statistic, for all hours at once.
    at = [min(max(int(np.ceil(q * draws - 1e-9)) - 1, 0), draws - 1) for q in quantiles]
    by_hour = np.ascontiguousarray(paths.reshape(draws, -1).T)
    by_hour.partition(sorted(set(at)), axis=1)
    return by_hour[:, at].T.reshape(len(at), *paths.shape[1:])

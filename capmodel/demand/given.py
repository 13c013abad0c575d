"""Demand that comes from elsewhere: somebody's quantiles, or a level that somebody states.

This module answers: how do a given p10, p50 and p90, or a declared peak minute, become the same
paths that a fit would hand out? It learns nothing; what it is given is `assumed`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.demand.design import HOURS, event_names_on
from capmodel.demand.horizon import check_horizon
from capmodel.demand.paths import RootPaths, normal_scores
from capmodel.demand.windows import unknown_windows
from capmodel.errors import InputError, Problem, nearest
from capmodel.history.localtime import check_tz, hours_in, local_days, midnights
from capmodel.schema import DEMAND_QUANTITIES, rng_for

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.events import Events

__all__ = ["Z_90", "GivenDemand", "declared_roots"]

Z_90: Final = 1.2815515655446004
"""Standard normal quantile of 0.9."""
COLUMNS: Final = ("service", "time", "p10", "p50", "p90")
QUANTILES: Final = ("p10", "p50", "p90")


@dataclass(frozen=True, slots=True, eq=False)
class GivenDemand:
    """Hourly p10, p50 and p90 of demand from anybody's forecast.

    A path is one standard normal number u for the whole horizon, mapped through each hour's
    split log-normal distribution,

    ``demand = p50 * (p90 / p50) ** (u / 1.2816)`` for u >= 0, ``p50 * (p50 / p10) ** (u / 1.2816)``
    else, so that every hour has exactly the given quantiles. Hours therefore move together: with
    only marginal quantiles known, that is the assumption under which a peak is not understated.
    """

    services: tuple[str, ...]
    quantities: tuple[str, ...]
    business_tz: str
    dates: np.ndarray
    """Consecutive local days, shape (N,), datetime64[D]."""
    values: np.ndarray
    """p10, p50, p90 by local hour, NaN where not given, shape (3, N, 24, S)."""
    spring_hours: np.ndarray
    """Local hours that do not exist (the spring clock change), shape (N, 24) bool."""
    events: Events | None = None
    """Names the days; changes no number."""

    @classmethod
    def read(
        cls, path: str | Path, *, business_tz: str, events: Events | None = None
    ) -> GivenDemand:
        """Read a CSV or Parquet file; see :meth:`from_frame`.

        Raises
        ------
        InputError
            When the file cannot be read.
        """
        import pandas as pd  # noqa: PLC0415  kept out of import time

        path = Path(path)
        try:
            is_csv = path.suffix.lower() == ".csv"
            frame = pd.read_csv(path) if is_csv else pd.read_parquet(path)
            if is_csv and "time" in frame:
                frame["time"] = _parsed(frame["time"])
        except (OSError, ValueError) as error:
            raise InputError.of(
                str(path),
                got=f"{type(error).__name__}: {error}",
                expected="a readable CSV or Parquet file",
                do="Check the path and the format.",
            ) from error
        return cls.from_frame(frame, business_tz=business_tz, events=events)

    @classmethod
    def from_frame(
        cls, df: pd.DataFrame, *, business_tz: str, events: Events | None = None
    ) -> GivenDemand:
        """Take a long frame of hourly quantiles.

        Parameters
        ----------
        df
            Columns service, time (tz-aware start of the hour), p10, p50, p90, and optionally
            quantity (``per_min`` or ``rps``; ``per_min`` where the column is missing).
        business_tz
            IANA zone of the local days.
        events
            Names the days of the paths; None leaves them without names.

        Raises
        ------
        InputError
            With every problem found: a missing column, naive or repeated times, values that are
            negative, missing or out of order, an unknown quantity.

        Examples
        --------
        >>> import pandas as pd
        >>> hours = pd.date_range("2026-11-30", periods=24, freq="h", tz="UTC")
        >>> df = pd.DataFrame(
        ...     {"service": "checkouts", "time": hours, "p10": 80.0, "p50": 100.0, "p90": 150.0}
        ... )
        >>> given = GivenDemand.from_frame(df, business_tz="UTC")
        >>> (root,) = given.roots(["checkouts"], "2026-11-30", "2026-12-01", draws=999)
        >>> [round(float(q)) for q in np.quantile(root.demand()[:, 0, 0], [0.1, 0.5, 0.9])]
        [80, 100, 150]
        """
        tz = check_tz(business_tz)
        if problems := _frame_problems(df, tz=tz):
            raise InputError(problems)
        services = tuple(sorted(df["service"].astype(str).unique()))
        code = {name: i for i, name in enumerate(services)}
        column = df["service"].astype(str).map(code).to_numpy(dtype=int)
        clock = df["time"].dt.tz_convert(tz).dt.tz_localize(None).to_numpy()
        date = clock.astype("datetime64[D]")
        dates = np.arange(date.min(), date.max() + 1)
        day = (date - dates[0]).astype(int)
        hour = (clock.astype("datetime64[h]") - date).astype(int)
        cells = (day * HOURS + hour) * len(services) + column
        size = len(dates) * HOURS * len(services)
        times = np.bincount(cells, minlength=size)
        values = np.full((len(QUANTILES), size), np.nan)
        for row, name in zip(values, QUANTILES, strict=True):
            total = np.bincount(cells, weights=df[name].to_numpy(dtype=float), minlength=size)
            row[times > 0] = total[times > 0] / times[times > 0]  # the repeated hour: its mean
        quantity = _quantities(df, services)
        return cls(
            services=services,
            quantities=tuple(quantity[name] for name in services),
            business_tz=tz,
            dates=dates,
            values=values.reshape(len(QUANTILES), len(dates), HOURS, len(services)),
            spring_hours=~_existing_hours(dates, tz),
            events=events,
        )

    def roots(
        self,
        services: Iterable[str],
        start: str | dt.date,
        end: str | dt.date,
        *,
        seed: int = 0,
        draws: int = 1000,
        lifts: Mapping[str, Mapping[str, float]] | None = None,
    ) -> tuple[RootPaths, ...]:
        """Return the sample paths of some services.

        Parameters
        ----------
        services
            Names, all of them given.
        start, end
            Local days, end exclusive; every hour must be given.
        seed, draws
            The stream of a service is named ("given", service).
        lifts
            Must be empty: what the given quantiles say about events is not separable.

        Returns
        -------
        tuple of RootPaths
            Growth cannot be applied (``to_growth`` is NaN) and neither can a lift (``lift_x`` is
            NaN on event days): both are inside the given numbers already.

        Raises
        ------
        InputError
            With every problem found: unknown services, hours that are not given, lifts.
        """
        names = tuple(services)
        dates = check_horizon(start, end)
        if problems := self._root_problems(names, dates, lifts=lifts or {}):
            raise InputError(problems)
        event = _names(self.events, dates)
        rows = (dates - self.dates[0]).astype(int)
        out = []
        for name in names:
            column = self.services.index(name)
            low, middle, high = self.values[..., column][:, rows]
            u = normal_scores(rng_for(seed, "given", name), draws)
            shape = _split_log_normal(u, low=low, middle=middle, high=high)
            # The skipped hour of spring holds no demand, it is an hour that does not happen.
            shape[:, self.spring_hours[rows]] = 0.0
            flat = np.zeros((1, len(dates)))
            out.append(
                RootPaths(
                    service=name,
                    quantity=self.quantities[column],
                    dates=dates,
                    event=event,
                    shape=shape,
                    level=np.zeros(draws),
                    drift=flat,
                    shock=flat,
                    to_growth=np.full(len(dates), np.nan),
                    lift_x=np.where([bool(e) for e in event], np.nan, 1.0),
                    basis="assumed",
                    windows=unknown_windows(self.events, dates, slots=HOURS, lift_x=np.nan),
                )
            )
        return tuple(out)

    def _root_problems(
        self,
        names: tuple[str, ...],
        dates: np.ndarray,
        *,
        lifts: Mapping[str, Mapping[str, float]],
    ) -> list[Problem]:
        problems = []
        if lifts:
            problems.append(
                Problem(
                    "lifts",
                    f"lifts for {', '.join(sorted(lifts))}",
                    "none: the given quantiles hold the events already",
                    "Put the lift into the given numbers.",
                )
            )
        inside = (dates >= self.dates[0]) & (dates <= self.dates[-1])
        for name in names:
            if name not in self.services:
                near = nearest(name, self.services)
                problems.append(
                    Problem(
                        f'service "{name}"',
                        "no given demand of this name",
                        f"one of {len(self.services)} given services",
                        f'Did you mean "{near}"?' if near else "Add it to the given frame.",
                    )
                )
                continue
            rows = (dates[inside] - self.dates[0]).astype(int)
            known = self.values[..., self.services.index(name)][:, rows]
            hole = np.isnan(known).any(axis=0) & ~self.spring_hours[rows]
            bad = dates[~inside].tolist() + dates[inside][hole.any(axis=1)].tolist()
            if bad:
                problems.append(
                    Problem(
                        f"{name}: {min(bad)}",
                        f"{len(bad)} local days with hours that are not given",
                        "every hour of the horizon",
                        "Give the missing hours or shorten the horizon.",
                    )
                )
        return problems


def _parsed(time: pd.Series) -> pd.Series:
    import pandas as pd  # noqa: PLC0415  kept out of import time

    text = time.astype(str)
    has_zone = text.str.contains(r"(?:[zZ]|[+-]\d{2}:?\d{2})$")
    return pd.to_datetime(text, utc=True) if has_zone.all() else pd.to_datetime(text)


def _off_the_hour(time: pd.Series, tz: str) -> bool:
    clock = time.dt.tz_convert(tz).dt.tz_localize(None)
    return bool((clock != clock.dt.floor("h")).any())


def _frame_problems(df: pd.DataFrame, *, tz: str) -> list[Problem]:
    missing = [name for name in COLUMNS if name not in df.columns]
    if missing or not len(df):
        return [
            Problem(
                "given demand",
                f"columns {', '.join(map(str, df.columns)) or 'none'}, {len(df)} rows",
                f"rows with columns {', '.join(COLUMNS)}",
                f"Add {', '.join(missing) or 'rows'}.",
            )
        ]
    return [*_time_problems(df, tz=tz), *_value_problems(df)]


def _time_problems(df: pd.DataFrame, *, tz: str) -> list[Problem]:
    import pandas as pd  # noqa: PLC0415  kept out of import time

    problems = []
    if not isinstance(df["time"].dtype, pd.DatetimeTZDtype):
        problems.append(
            Problem(
                "given demand: time",
                f"dtype {df['time'].dtype}",
                "timestamps with a time zone",
                "Use .dt.tz_localize(zone), or write the offset into the file.",
            )
        )
    elif _off_the_hour(df["time"], tz):
        problems.append(
            Problem(
                "given demand: time", "times off the hour", "starts of hours", "Average to hours."
            )
        )
    repeated = df.duplicated(["service", "time"])
    if repeated.any():
        first = df[repeated].iloc[0]
        problems.append(
            Problem(
                f"given demand: {first['service']} at {first['time']}",
                f"{int(repeated.sum())} repeated rows",
                "one row per service and hour",
                "Remove the duplicates.",
            )
        )
    return problems


def _value_problems(df: pd.DataFrame) -> list[Problem]:
    import pandas as pd  # noqa: PLC0415  kept out of import time

    problems = []
    values = df[list(QUANTILES)]
    if not all(pd.api.types.is_numeric_dtype(kind) for kind in values.dtypes):
        text = ", ".join(f"{name} {kind}" for name, kind in values.dtypes.items())
        return [Problem("given demand", text, "numbers", "Remove units and separators.")]
    p10, p50, p90 = (values[name].to_numpy(dtype=float) for name in QUANTILES)
    # p10 = p50 = p90 = 0 is an hour without demand; a zero below a positive p50 has no logarithm.
    ordered = (p10 > 0) & (p10 <= p50) & (p50 <= p90) & np.isfinite(p90)
    good = ordered | ((p10 == 0) & (p50 == 0) & (p90 == 0))
    if not good.all():
        first = df[~good].iloc[0]
        problems.append(
            Problem(
                f"given demand: {first['service']} at {first['time']}",
                f"p10 {first['p10']}, p50 {first['p50']}, p90 {first['p90']} "
                f"({int((~good).sum())} such rows)",
                "0 < p10 <= p50 <= p90, or all three 0",
                "Order the quantiles; give a small p10 instead of 0.",
            )
        )
    unknown = sorted(set(df.get("quantity", pd.Series(dtype=str))) - set(DEMAND_QUANTITIES))
    if unknown:
        problems.append(
            Problem(
                "given demand: quantity",
                ", ".join(map(str, unknown)),
                " or ".join(DEMAND_QUANTITIES),
                "Convert the values and name the unit.",
            )
        )
    return problems


def _quantities(df: pd.DataFrame, services: tuple[str, ...]) -> dict[str, str]:
    if "quantity" not in df:
        return dict.fromkeys(services, DEMAND_QUANTITIES[0])
    kinds: dict[str, set[str]] = {name: set() for name in services}
    for name, kind in zip(df["service"].astype(str), df["quantity"], strict=True):
        kinds[name].add(str(kind))
    problems = [
        Problem(name, ", ".join(sorted(found)), "one quantity per service", "Convert one of them.")
        for name, found in kinds.items()
        if len(found) > 1
    ]
    if problems:
        raise InputError(problems)
    return {name: found.pop() for name, found in kinds.items()}


def _existing_hours(dates: np.ndarray, tz: str) -> np.ndarray:
    """Return which local hours exist, shape (N, 24) bool: all but the skipped ones of spring."""
    start = midnights(dates[:1], tz)[0]
    days = local_days(start, int(hours_in(dates, tz).sum()), 60, tz)
    exists = np.zeros((len(dates), HOURS), dtype=bool)
    exists[np.minimum(days.day_of_step, len(dates) - 1), days.hour_of_step] = True
    return exists


def _names(events: Events | None, dates: np.ndarray) -> tuple[str, ...]:
    return ("",) * len(dates) if events is None else event_names_on(events, dates)


def _split_log_normal(
    u: np.ndarray, *, low: np.ndarray, middle: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Map standard normals through each hour's split log-normal, shape (D, *middle.shape)."""
    positive = middle > 0
    safe = np.where(positive, middle, 1.0)
    up = np.log(np.where(positive, high, 1.0) / safe) / Z_90
    down = np.log(safe / np.where(positive, low, 1.0)) / Z_90
    above, below = np.maximum(u, 0.0), np.minimum(u, 0.0)
    log = above[:, None, None] * up + below[:, None, None] * down
    return np.asarray(np.where(positive, middle, 0.0) * np.exp(log))


def declared_roots(  # noqa: PLR0913  every option is a plain, named number
    declared: Mapping[str, tuple[float, float]],
    start: str | dt.date,
    end: str | dt.date,
    *,
    seed: int = 0,
    draws: int = 1000,
    events: Events | None = None,
    quantity: Mapping[str, str] | None = None,
) -> tuple[RootPaths, ...]:
    """Return flat paths for drivers whose peak minute today is declared.

    ``demand = today * exp(sigma_log * u)`` on every day, u one standard normal per path; one slot a
    day, since only the peak is known. Growth multiplies today's level, a lift multiplies the day,
    that of a windowed event too: the busiest minute may lie in it.

    Parameters
    ----------
    declared
        Driver to (today's event-free peak minute [its quantity], log standard deviation).
    start, end
        Local days, end exclusive.
    seed, draws
        The stream of a driver is named ("level", driver).
    events
        Names the days, so that a scenario's lifts find them.
    quantity
        Driver to ``per_min`` (the default) or ``rps``.

    Raises
    ------
    InputError
        For a level that is not positive, a negative spread, or an unknown quantity.

    Examples
    --------
    >>> (root,) = declared_roots({"checkouts": (4800.0, 0.1)}, "2026-11-01", "2026-12-01")
    >>> root.shape.shape, round(float(np.median(root.demand()[:, 0, 0])))
    ((1, 30, 1), 4800)
    """
    dates = check_horizon(start, end)
    units = quantity or {}
    problems = []
    for name, (today, sigma_log) in declared.items():
        unit = units.get(name, DEMAND_QUANTITIES[0])
        checks = (
            (np.isfinite(today) and today > 0, "today", today, "a positive level"),
            (np.isfinite(sigma_log) and sigma_log >= 0, "sigma_log", sigma_log, "0 or more"),
            (unit in DEMAND_QUANTITIES, "quantity", unit, " or ".join(DEMAND_QUANTITIES)),
        )
        problems += [
            Problem(f"{name}.{field}", str(got), expected, "Change the declared value.")
            for good, field, got, expected in checks
            if not good
        ]
    if problems:
        raise InputError(problems)
    event = _names(events, dates)
    flat = np.zeros((1, len(dates)))
    return tuple(
        RootPaths(
            service=name,
            quantity=units.get(name, DEMAND_QUANTITIES[0]),
            dates=dates,
            event=event,
            shape=np.full((1, len(dates), 1), float(today)),
            level=sigma_log * normal_scores(rng_for(seed, "level", name), draws),
            drift=flat,
            shock=flat,
            to_growth=np.zeros(len(dates)),
            lift_x=np.ones(len(dates)),
            basis="assumed",
            windows=unknown_windows(events, dates, slots=1, lift_x=1.0),
        )
        for name, (today, sigma_log) in declared.items()
    )

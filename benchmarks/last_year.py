"""Is the model ever much worse than last year's same weekday? Daily series, up to eight origins.

This module answers: does growth stay damped where history does not support it? Multiplying last
year by its growth is worse than plain last year on most real series, so plain last year (lag 364)
is the yardstick: the mean WAPE over origins may exceed its by 5 %.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from tasks import bikes, comed, data_dir, traffic
from threadpoolctl import threadpool_limits

from capmodel.accuracy import wape
from capmodel.demand import Batched
from capmodel.history import History

LAG = 364
LEAST_TRAIN_DAYS = 380
MOST_TRAIN_DAYS = 1461
HORIZON_DAYS = 90
ORIGINS = 8
GOAL = 1.05


def by_day(dates: pd.Series, values: pd.Series) -> pd.Series:
    """Return daily means on every date from the first to the last, gaps as NaN."""
    mean = pd.Series(values.to_numpy(dtype=float), index=pd.DatetimeIndex(dates))
    mean = mean.groupby(level=0).mean()
    return mean.reindex(pd.date_range(mean.index[0], mean.index[-1], freq="D"))


def daily_series() -> Iterator[tuple[str, pd.Series]]:
    """Yield every shared series of more than a year by the day."""
    wiki = pd.read_csv(data_dir() / "wikipedia_pageviews_r" / "example_wp_log_R.csv")
    yield "wikipedia", by_day(pd.to_datetime(wiki["ds"]), np.exp(wiki["y"]))
    (path,) = (data_dir() / "bitcoin_daily_transactions").glob("*.csv*")
    bitcoin = pd.read_csv(path)
    yield "bitcoin", by_day(pd.to_datetime(bitcoin["ts"]), bitcoin["y"])
    for i, path in enumerate(sorted((data_dir() / "website_visits_cienciadedatos").glob("*.csv"))):
        visits = pd.read_csv(path)
        dates = pd.to_datetime(visits["date"], dayfirst=True, format="mixed")
        yield f"visits {i + 1}", by_day(dates, visits["users"])
    for reader in (comed, bikes, traffic):
        for name, days, cube in reader():
            seen = (~np.isnan(cube)).sum(axis=1)
            mean = np.nansum(cube, axis=1) / np.maximum(seen, 1)
            yield name, pd.Series(np.where(seen > 0, mean, np.nan), index=pd.DatetimeIndex(days))


def origins(n_days: int) -> list[int]:
    """Return positions of the first forecast day, evenly spread."""
    last = n_days - HORIZON_DAYS
    if last <= LEAST_TRAIN_DAYS:
        return [n_days - 30]  # a short series: one month, after all that is known
    first = max(LEAST_TRAIN_DAYS, min(2 * LAG + 3, last))
    return sorted({int(x) for x in np.linspace(first, last, ORIGINS)})


def errors(series: pd.Series, at: int) -> tuple[float, float]:
    """Return the WAPE of the model's median and of lag 364 after an origin."""
    values = series.to_numpy()
    start = max(at - MOST_TRAIN_DAYS, 0)
    horizon = min(HORIZON_DAYS, len(values) - at)
    history = History(
        services=("series",),
        start=np.datetime64(series.index[start], "s"),
        step_min=1440,
        values={("rps", ""): values[None, start:at]},
        tags={},
        business_tz="UTC",
    )
    first = series.index[at].date()
    forecast = (
        Batched()
        .fit(history)
        .forecast(first, (series.index[at] + pd.Timedelta(days=horizon)).date())
    )
    median = np.median(forecast.paths("series").mean(axis=2), axis=0)
    actual, lagged = values[at : at + horizon], values[at - LAG : at - LAG + horizon]
    actual = np.where(np.isnan(lagged), np.nan, actual)
    return float(wape(actual, median)), float(wape(actual, np.nan_to_num(lagged)))


def main() -> None:
    """Print one row per series."""
    print("| daily series | days | origins | WAPE, ours | WAPE, lag 364 | ratio | goal ≤ 1.05 |")
    print("|---|---|---|---|---|---|---|")
    with threadpool_limits(limits=1, user_api="blas"):
        for name, series in daily_series():
            pairs = np.array([errors(series, at) for at in origins(len(series))])
            ours, lag = np.nanmean(pairs, axis=0)
            verdict = "reached" if ours <= GOAL * lag else "not reached"
            print(
                f"| {name} | {len(series):,} | {len(pairs)} | {ours:.3f} | {lag:.3f} "
                f"| {ours / lag:.2f} | {verdict} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

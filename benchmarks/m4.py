"""Print the accuracy of the autoregressive pool on M4 Hourly beside the competition's own rows.

This module answers: how good is :class:`capmodel.demand.pool.AutoregressivePool` on 414 hourly
series without dates, 48 hours ahead, and what does it cost? Run it as ``python benchmarks/m4.py``
with ``CAPMODEL_DATA`` naming the folder of real data. Members' weights and the bands rest on the
training parts alone. The recomputed Naive2 and sNaive prove the scorer.
"""

from __future__ import annotations

import csv
import gzip
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from capmodel import accuracy
from capmodel.demand.pool import AutoregressivePool

HORIZON = 48
SEASON = 24
INTERVAL = (0.025, 0.975)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Row:
    """What one method reached; NaN where it was not published or does not apply."""

    method: str
    smape: float
    mase: float
    owa: float
    msis: float = np.nan
    """Of the central 95 % interval."""
    coverage: float = np.nan
    """Share of hours inside the interval [ratio]."""
    cpu_ms: float = np.nan
    """Per series."""


PUBLISHED = (
    Row("Naive2 (published)", 18.383, 2.395, 1.000),
    Row("sNaive (published)", 13.912, 1.193, 0.628),
    Row("FFORMA (published)", 11.506, 0.819, 0.484, 18.51),
    Row("Smyl, the winner (published)", 9.328, 0.893, 0.440, 7.93),
    Row("Doornik et al., best on Hourly (published)", 8.913, 0.801, 0.410, 6.14),
)
"""Makridakis, Spiliotis & Assimakopoulos (2020), International Journal of Forecasting 36(1), 54-74;
hourly rows from the organisers' repository, Mcompetitions/M4-methods."""


@dataclass(frozen=True, slots=True, eq=False)
class Hourly:
    """The 414 series."""

    train: tuple[Floats, ...]
    """700 or 960 steps each."""
    actual: Floats
    """The 48 steps after, shape (414, 48)."""
    scale: Floats
    """Mean absolute difference to the day before over the training part, shape (414,)."""
    naive2: Floats
    """Shape (414, 48)."""


def read(folder: Path) -> Hourly:
    """Read both parts of the competition's Hourly set."""
    past, future = (_rows(folder / f"Hourly-{part}.csv.gz") for part in ("train", "test"))
    train = tuple(past.values())
    return Hourly(
        train=train,
        actual=np.stack([future[name] for name in past]),
        scale=np.array([accuracy.seasonal_scale(y, SEASON) for y in train]),
        naive2=np.stack([accuracy.naive2(y, HORIZON, SEASON) for y in train]),
    )


def _rows(path: Path) -> dict[str, Floats]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        return {
            row[0]: np.array([float(x) for x in row[1:] if x not in ("", "NA")]) for row in rows
        }


def aligned(train: tuple[Floats, ...]) -> Floats:
    """Return the series side by side, aligned at the end, NaN before their first step."""
    values = np.full((max(map(len, train)), len(train)), np.nan)
    for s, y in enumerate(train):
        values[len(values) - len(y) :, s] = y
    return values


def judge(method: str, data: Hourly, forecast: Floats, interval: Floats | None = None) -> Row:
    """Score a forecast, shape (414, 48), and the ends of its interval, shape (2, 414, 48)."""
    naive_smape = float(accuracy.smape(data.actual, data.naive2).mean())
    naive_mase = float(accuracy.mase(data.actual, data.naive2, scale=data.scale).mean())
    smape = float(accuracy.smape(data.actual, forecast).mean())
    mase = float(accuracy.mase(data.actual, forecast, scale=data.scale).mean())
    owa = accuracy.owa(smape, mase, naive2_smape=naive_smape, naive2_mase=naive_mase)
    if interval is None:
        return Row(method, smape, mase, owa)
    low, high = interval
    score = accuracy.msis(data.actual, low, high, scale=data.scale)
    inside = (low <= data.actual) & (data.actual <= high)
    return Row(method, smape, mase, owa, float(score.mean()), float(inside.mean()))


def forecast_row(data: Hourly, *, thorough: bool) -> Row:
    """Forecast with one setting of the pool and judge it; CPU is the process's own."""
    spec = AutoregressivePool(thorough=thorough)
    values = aligned(data.train)
    started = time.process_time()
    forecast = spec.forecast_pool(values, HORIZON, quantiles=INTERVAL)
    cpu_ms = (time.process_time() - started) / len(data.train) * 1e3
    name = f"AutoregressivePool(thorough={thorough})"
    row = judge(name, data, forecast.median.T, forecast.bands.transpose(0, 2, 1))
    return Row(name, row.smape, row.mase, row.owa, row.msis, row.coverage, cpu_ms)


def show(rows: list[Row]) -> None:
    """Print the table."""
    print(f"{'M4 Hourly, 414 series, 48 hours':<45}{'sMAPE':>8}{'MASE':>8}{'OWA':>8}", end="")
    print(f"{'MSIS95':>8}{'inside':>8}{'CPU ms':>8}")
    for row in rows:
        cells = [f"{x:8.3f}" for x in (row.smape, row.mase, row.owa)]
        for value, text in (
            (row.msis, f"{row.msis:8.2f}"),
            (row.coverage, f"{row.coverage:8.1%}"),
            (row.cpu_ms, f"{row.cpu_ms:8.2f}"),
        ):
            cells.append(f"{'':8}" if np.isnan(value) else text)
        print(f"{row.method:<45}{''.join(cells)}".rstrip())


def main() -> None:
    """Read, forecast, judge and print."""
    data = read(Path(os.environ.get("CAPMODEL_DATA", "../shared/data")) / "m4_hourly")
    snaive = np.stack([accuracy.seasonal_naive(y, HORIZON, SEASON) for y in data.train])
    rows = [
        *PUBLISHED,
        judge("Naive2", data, data.naive2),
        judge("sNaive", data, snaive),
        forecast_row(data, thorough=False),
        forecast_row(data, thorough=True),
    ]
    show(rows)


if __name__ == "__main__":
    main()

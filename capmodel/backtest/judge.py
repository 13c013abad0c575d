"""One forecast of one task, judged: rows for the frames of a result.

This module answers: how good is this forecast in all, near and far, on event days, at its
quantiles and at the peak?
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from capmodel.accuracy import bias, coverage, mae, pinball, wape
from capmodel.errors import ModelError
from capmodel.schema import order_statistic

if TYPE_CHECKING:
    from capmodel.backtest.tasks import Task

__all__ = [
    "BUCKETS",
    "EVENT_DAYS",
    "ORDINARY_DAYS",
    "PEAK_QUANTILES",
    "Judged",
    "TaskForecast",
    "judge",
    "label",
    "read_paths",
]

BUCKETS: Final = (
    ("day 1", 1, 1),
    ("days 2-7", 2, 7),
    ("days 8-28", 8, 28),
    ("days 29-90", 29, 90),
    ("days 91+", 91, 10**6),
)
"""Horizon buckets: name, first and last day since the cut."""
EVENT_DAYS: Final = "event days"
ORDINARY_DAYS: Final = "ordinary days"
PEAK_QUANTILES: Final = (0.5, 0.8, 0.95)
"""Quantiles of the peak that are compared with the busiest hour."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class TaskForecast:
    """What a model says of a task's judged hours."""

    point: np.ndarray
    """Median, shape (M,)."""
    quantiles: dict[float, np.ndarray]
    """By probability, each of shape (M,); empty for a forecast without quantiles."""
    peak: dict[float, float]
    """Quantiles of the busiest judged hour; the point forecast's own at 0.5 without paths."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Rows of one model on one task, one tuple for each frame."""

    score: Row
    buckets: tuple[Row, ...]
    quantiles: tuple[Row, ...]
    peak: Row


def label(q: float) -> str:
    """Return a quantile's name.

    Examples
    --------
    >>> label(0.95), label(0.999)
    ('p95', 'p99.9')
    """
    return f"p{100 * q:g}"


def read_paths(paths: np.ndarray, task: Task, quantiles: Sequence[float]) -> TaskForecast:
    """Return the quantiles of the judged hours and of their maximum, from one draw of paths.

    Quantiles are order statistics (:func:`capmodel.schema.order_statistic`). The peak is that of
    the judged hours alone: an hour that was not measured cannot have been the busiest one either.

    Parameters
    ----------
    paths
        Shape (D, N, H).
    task
        Names the judged hours.
    quantiles
        Probabilities.

    Raises
    ------
    ModelError
        When the paths are not those of the task's days, or not finite where they are judged.
    """
    wanted = (len(task.window.dates), task.slots)
    if paths.ndim != 3 or paths.shape[1:] != wanted:  # noqa: PLR2004  draws, days, hours
        raise ModelError.of(
            f"forecast of {task.service}",
            got=f"paths of shape {paths.shape}",
            expected=f"(draws, {wanted[0]} days, {wanted[1]} hours)",
            do="See RootPaths.demand.",
        )
    hours = paths.reshape(len(paths), -1)[:, task.position]
    if not np.isfinite(hours).all():
        bad = int((~np.isfinite(hours)).any(axis=0).sum())
        raise ModelError.of(
            f"forecast of {task.service}",
            got=f"{bad} of {hours.shape[1]} judged hours missing or infinite on some path",
            expected="finite paths",
            do="The model has no forecast for these hours.",
        )
    peak = hours.max(axis=1)
    values = np.quantile(hours, (0.5, *quantiles), axis=0, method="inverted_cdf")
    return TaskForecast(
        point=values[0],
        quantiles=dict(zip(quantiles, values[1:], strict=True)),
        peak={q: float(peak[order_statistic(peak, q)]) for q in PEAK_QUANTILES},
    )


def judge(task: Task, forecast: TaskForecast, *, model: str) -> Judged:
    """Return every measure of a forecast of a task."""
    key = {"origin": str(task.window.origin.cut), "model": model, "service": task.service}
    everything = np.ones(len(task.actual), dtype=bool)
    return Judged(
        score={
            **key,
            "quantity": task.quantity,
            **_measures(task, forecast, everything),
            "n_left_out": task.n_left_out,
            "scale": task.scale,
        },
        buckets=tuple(
            {**key, "bucket": name, **_measures(task, forecast, hours)}
            for name, hours in _buckets(task)
        ),
        quantiles=tuple(
            {**key, **_quantile(task, q, values)} for q, values in forecast.quantiles.items()
        ),
        peak={**key, **_peak(task, forecast)},
    )


def _measures(task: Task, forecast: TaskForecast, hours: np.ndarray) -> Row:
    """Return the measures of a point forecast over some of the judged hours."""
    actual, point = task.actual[hours], forecast.point[hours]
    error, naive = float(mae(actual, point)), float(mae(actual, task.naive[hours]))
    return {
        "n_hours": len(actual),
        "mae": error,
        "wape": float(wape(actual, point)),
        "bias": float(bias(actual, point)),
        # Without a scale, or against an error of 0, there is no ratio to speak of.
        "mase": error / task.scale if task.scale > 0 else np.nan,
        "mae_naive": naive,
        "skill": 1 - error / naive if naive > 0 else np.nan,
    }


def _buckets(task: Task) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the judged hours of each bucket that has any; event days only where there are some."""
    ahead = task.window.day_ahead[task.day]
    is_event = np.array([bool(name) for name in task.window.event])[task.day]
    named = [(name, (ahead >= first) & (ahead <= last)) for name, first, last in BUCKETS]
    if is_event.any():
        named += [(EVENT_DAYS, is_event), (ORDINARY_DAYS, ~is_event)]
    yield from ((name, hours) for name, hours in named if hours.any())


def _quantile(task: Task, q: float, values: np.ndarray) -> Row:
    share = coverage(task.actual, values)
    loss = float(pinball(task.actual, values, q))
    mean = float(np.abs(task.actual).mean())
    return {
        "q": q,
        "n_hours": len(task.actual),
        "n_covered": int((task.actual <= values).sum()),
        "coverage": float(share.share),
        "coverage_low": float(share.low),
        "coverage_high": float(share.high),
        "pinball": loss,
        "pinball_x": loss / mean if mean > 0 else np.nan,
    }


def _peak(task: Task, forecast: TaskForecast) -> Row:
    at = int(task.actual.argmax())
    actual = float(task.actual[at])
    day, slot = divmod(int(task.position[at]), task.slots)
    hour = f" {slot:02d}:00" if task.slots > 1 else ""
    row: Row = {
        "actual": actual,
        "local_time": f"{task.window.dates[day]}{hour}",
        "event": task.window.event[day],
    }
    peak = {q: forecast.peak.get(q, np.nan) for q in PEAK_QUANTILES}
    row |= {label(q): value for q, value in peak.items()}
    for q, value in peak.items():
        error = value / actual - 1 if actual > 0 else np.nan
        row[f"error_{label(q)}"] = error
    # 1 and 0 rather than yes and no: without a quantile there is no answer.
    for q, value in peak.items():
        row[f"above_{label(q)}"] = np.nan if np.isnan(value) else float(actual > value)
    return row

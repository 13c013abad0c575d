"""The backtest: every model at every cut, fitted on the days before it, judged on days after it.

This module answers: which of these models predicts these services best, and do its quantiles hold?
It fits and draws; what a forecast is worth stands in :mod:`.judge`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.backtest.judge import Judged, TaskForecast, judge, read_paths
from capmodel.backtest.origins import Day, Origin, Origins, place
from capmodel.backtest.result import REFERENCE, BacktestResult
from capmodel.backtest.tasks import (
    Refusal,
    Task,
    Window,
    demand_only,
    make_tasks,
    seen_by_models,
)
from capmodel.demand.protocol import DemandModel
from capmodel.errors import CapmodelError, InputError, Problem
from capmodel.history import History

if TYPE_CHECKING:
    from capmodel.demand.protocol import FittedDemand
    from capmodel.events import Events

__all__ = ["Progress", "backtest"]

QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)

Progress = Callable[[int, int, str], None]
"""Told of steps done, steps in all, and what comes next; a step is a service, fitted or judged."""


@dataclass(frozen=True, slots=True)
class _Draws:
    """How futures are drawn and read."""

    quantiles: tuple[float, ...]
    draws: int
    seed: int


def backtest(  # noqa: PLR0913  every option is a plain, named value
    models: Mapping[str, DemandModel],
    history: History,
    *,
    events: Events | None = None,
    origins: Origins = 3,
    horizon_days: int = 90,
    train_days: int | None = None,
    window: tuple[Day, Day] | None = None,
    quantiles: Sequence[float] = QUANTILES,
    draws: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> BacktestResult:
    """Judge models on the past: fit before a cut, forecast, compare with what happened.

    At every cut each model sees ``history.between(first, cut)`` and nothing later; the calendar of
    events is known. Hours that were not measured or are masked (:meth:`History.masked`) are not
    judged. The weekly seasonal naive is always judged too: skill is measured against it. A model
    or a service that fails is a row of ``refused``; the others go on.

    Parameters
    ----------
    models
        Name to model; the name of the reference, ``weekly_seasonal_naive``, is taken.
    history
        What was measured; not modified.
    events
        The calendar, past and future; None means none.
    origins
        How many rolling cuts (:func:`rolling_origins`), or which: :class:`Origin`
        (:func:`event_origin`), or the first day that models do not see.
    horizon_days
        Judged days after each cut; not used where an origin or `window` says which.
    train_days
        Days seen before each cut; None: all of them. Not used where an :class:`Origin` says.
    window
        Judged local days (start, end exclusive) after all the cuts, which are then named one by
        one: the same season seen from further and further away.
    quantiles
        Probabilities in (0, 1) whose coverage and pinball loss are wanted.
    draws, seed
        Sample paths per service, and their seed; every quantile is read from one draw.
    progress
        Called after every service that was fitted or judged.

    Returns
    -------
    BacktestResult
        Frames ``summary``, ``scores``, ``buckets``, ``quantiles``, ``peaks``, ``refused``.

    Raises
    ------
    InputError
        For arguments that do not fit, all of them together.

    References
    ----------
    Tashman, L. J. (2000). Out-of-sample tests of forecasting accuracy: an analysis and review.
    International Journal of Forecasting 16(4), 437-450.

    Examples
    --------
    >>> import pandas as pd
    >>> from capmodel.demand import Batched
    >>> time = pd.date_range("2026-01-01", periods=150 * 24, freq="h", tz="UTC")
    >>> level = 1 + 0.002 * np.arange(len(time)) / 24  # 0.2 % more every day
    >>> rps = level * (100 + 50 * np.sin(2 * np.pi * (time.hour - 8) / 24))
    >>> history = History.from_frame(
    ...     pd.DataFrame({"service": "api", "time": time, "rps": rps}), business_tz="UTC"
    ... )
    >>> result = backtest({"batched": Batched()}, history, origins=2, horizon_days=28, draws=100)
    >>> bool(result.summary.set_index("model").loc["batched", "skill"] > 0.5)
    True
    """
    _check(models, history, quantiles=quantiles, draws=draws)
    reading = _Draws(quantiles=tuple(map(float, quantiles)), draws=draws, seed=seed)
    placed = place(
        history, origins, horizon_days=horizon_days, train_days=train_days, window=window
    )
    demand = demand_only(history)
    steps = _Steps(progress, 2 * len(placed) * len(models) * len(history.services))
    judged: list[Judged] = []
    refusals: list[Refusal] = []
    for origin in placed:
        train = seen_by_models(history, origin)
        tasks, unusable = make_tasks(demand, train, Window.of(origin, events))
        refusals += unusable
        for outcome in _reference(tasks):
            _sort(outcome, judged, refusals)
        for name, model in models.items():
            steps.say(f"{name} at {origin.cut}")
            fitted = _fit(model, train, events)
            steps.done(len(history.services))
            for outcome in _outcomes(name, fitted, tasks, reading):
                _sort(outcome, judged, refusals)
                steps.done(1)
            steps.done(len(history.services) - len(tasks))
    return BacktestResult.of(
        tuple(models), judged, refusals, origins=placed, quantiles=reading.quantiles
    )


class _Steps:
    """Counts for whoever watches."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._count = 0
        self._doing = ""

    def say(self, doing: str) -> None:
        self._doing = doing
        self.done(0)

    def done(self, steps: int) -> None:
        self._count += steps
        if self._progress is not None:
            self._progress(self._count, self._total, self._doing)


def _sort(outcome: Judged | Refusal, judged: list[Judged], refusals: list[Refusal]) -> None:
    if isinstance(outcome, Refusal):
        refusals.append(outcome)
    else:
        judged.append(outcome)


def _check(
    models: Mapping[str, object], history: object, *, quantiles: Sequence[float], draws: object
) -> None:
    problems = []
    if not isinstance(history, History):
        raise InputError.of(
            "backtest", got=type(history).__name__, expected="a History", do="History.from_frame"
        )
    if not models or REFERENCE in models:
        names = ", ".join(models) or "none"
        expected = f"one or more models, none of them called {REFERENCE}"
        problems.append(
            Problem("models", names, expected, "The weekly seasonal naive is always judged.")
        )
    problems += [
        Problem(f"models.{name}", type(model).__name__, "a demand model", "Give Batched(), say.")
        for name, model in models.items()
        if not isinstance(model, DemandModel) or isinstance(model, type)
    ]
    wrong = [q for q in quantiles if not 0 < q < 1]
    if wrong or len(set(quantiles)) < len(quantiles):
        problems.append(
            Problem(
                "quantiles",
                str(list(quantiles)),
                "distinct probabilities inside (0, 1)",
                "Write 0.95 for P95.",
            )
        )
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        problems.append(Problem("draws", str(draws), "a whole number, 1 or more", "Use 1000."))
    if problems:
        raise InputError(problems)


def _reference(tasks: tuple[Task, ...]) -> Iterator[Judged | Refusal]:
    for task in tasks:
        if np.isnan(task.naive).any():
            reason = f"{task.service}: some hour of the week was never measured before the cut"
            yield _refusal(task, REFERENCE, "forecast", reason)
        else:
            peak = {0.5: float(task.naive.max())}
            forecast = TaskForecast(point=task.naive, quantiles={}, peak=peak)
            yield judge(task, forecast, model=REFERENCE)


def _fit(model: DemandModel, train: History, events: Events | None) -> FittedDemand | str:
    """Return the fit, or why there is none."""
    try:
        return model.fit(train, events=events)
    except Exception as error:  # noqa: BLE001  one model never stops the others
        return _reason(error)


def _outcomes(
    name: str, fitted: FittedDemand | str, tasks: tuple[Task, ...], reading: _Draws
) -> Iterator[Judged | Refusal]:
    """Yield what became of every task under one model."""
    if isinstance(fitted, str):
        yield from (_refusal(task, name, "fit", fitted) for task in tasks)
        return
    reasons = {finding.service: finding.message for finding in fitted.refused}
    services = set(fitted.services) & {task.service for task in tasks}
    draw = _drawing(fitted, tasks[0].window.origin, reading) if services else None
    for task in tasks:
        if draw is None or task.service not in services:
            reason = reasons.get(task.service, f"{task.service}: not fitted")
            yield _refusal(task, name, "fit", reason)
            continue
        try:
            forecast = read_paths(draw(task.service), task, reading.quantiles)
        except Exception as error:  # noqa: BLE001  one service never stops the others
            yield _refusal(task, name, "forecast", _reason(error))
        else:
            yield judge(task, forecast, model=name)


def _drawing(fitted: FittedDemand, origin: Origin, reading: _Draws) -> Callable[[str], np.ndarray]:
    """Return what draws the paths of a service, shape (D, N, H).

    A forecast of all services is refused where one of them lacks a precedent; then each is asked
    on its own.
    """
    try:
        forecast = fitted.forecast(origin.start, origin.end, seed=reading.seed, draws=reading.draws)
    except Exception:  # noqa: BLE001  whatever it is, it comes back where it belongs

        def alone(service: str) -> np.ndarray:
            (root,) = fitted.roots(
                [service], origin.start, origin.end, seed=reading.seed, draws=reading.draws
            )
            return root.demand()

        return alone
    return forecast.paths


def _refusal(task: Task, model: str, stage: str, reason: str) -> Refusal:
    return Refusal(str(task.window.origin.cut), model, task.service, stage, reason)


def _reason(error: Exception) -> str:
    """Return the message of an error of ours; of others also the type, which says most."""
    text = " ".join(str(error).split())
    return text if isinstance(error, CapmodelError) else f"{type(error).__name__}: {text}"

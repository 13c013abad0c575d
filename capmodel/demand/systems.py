"""The normal equations of a window, factorised once for all services that share it.

This module answers: which linear systems do a fit and its backtests solve? They depend on the
calendar and on the penalties only, never on a service, so every chunk of a fleet uses the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from capmodel.demand.design import Rows, Window, gram
from capmodel.demand.penalties import CONFIGURATIONS, REFERENCE, Configuration

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["Backtests", "Segment", "Solver", "Systems", "backtest_windows", "judged", "trained"]

BACKTEST_DAYS: Final = 120
"""A season is planned four months ahead: a level that serves three may fail by then [days]."""
BACKTEST_SHIFT_DAYS: Final = 28
BACKTESTS: Final = 3
SHORTEST_TRAINING: Final = 0.4
"""A cut-off that leaves less of the window for training is not used [ratio]."""
FEWEST_TRAINING_DAYS: Final = 14
EVENT_BLOCKS: Final = ("event", "public_weekday")


@dataclass(frozen=True, slots=True)
class Backtests:
    """The backtests of one training window [days from its start]."""

    cuts: tuple[int, ...]
    """Each fits the days before it and is judged on the `days` after it."""
    days: int
    n_days: int

    @property
    def edges(self) -> tuple[int, ...]:
        """Where segments begin and end, so that every fit and judgement is a sum of segments."""
        ends = (cut + self.days for cut in self.cuts)
        return tuple(sorted({0, *self.cuts, *ends, self.n_days}))


def backtest_windows(n_days: int) -> Backtests:
    """Return three cut-offs four weeks apart, judged on 120 days, fewer in a short window."""
    days = min(BACKTEST_DAYS, n_days // 4)
    shift = min(BACKTEST_SHIFT_DAYS, max(days // 3, 1))
    cuts = [n_days - days - k * shift for k in range(BACKTESTS)]
    least = max(SHORTEST_TRAINING * n_days, FEWEST_TRAINING_DAYS)
    return Backtests(cuts=tuple(sorted(c for c in cuts if c >= least)), days=days, n_days=n_days)


@dataclass(frozen=True, slots=True, eq=False)
class Solver:
    """The Cholesky factor of one positive definite system, made in float64."""

    factor: tuple[np.ndarray, bool]

    @classmethod
    def of(cls, system: np.ndarray, dtype: DTypeLike) -> Solver:
        """Factorise a symmetric matrix; the factor is then kept in `dtype`."""
        factor, lower = cho_factor(system, check_finite=False)
        return cls((np.asfortranarray(factor, dtype=dtype), bool(lower)))

    def __call__(self, rhs: np.ndarray) -> np.ndarray:
        """Return the solutions, one a column."""
        return np.asarray(cho_solve(self.factor, rhs, check_finite=False))


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Days between two edges of the backtests."""

    start: int
    stop: int
    rows: Rows
    events: np.ndarray
    """Positions of the days with an event, counted from the window's start."""
    event_rows: Rows
    quiet_gram: np.ndarray
    """Gram matrix of the ordinary days over the quiet columns."""


@dataclass(frozen=True, slots=True, eq=False)
class Systems:
    """A window, its penalties, and every factor that a fit of any service needs.

    Backtests fit and judge ordinary days only, on the columns that say something about them (the
    *quiet* ones): an event that a training part has not seen says nothing about a trend, and the
    days' own effects are free enough that leaving the days out is the same as fitting them.
    """

    window: Window
    dtype: Any
    """Type of the data passes: float64 for plans, float32 for fleets."""
    penalties: np.ndarray
    """Ridge diagonals, shape (C, p)."""
    prior: np.ndarray
    """Share of each configuration before any backtest, shape (C,)."""
    gram: np.ndarray
    """``X'X`` over all days and columns, shape (p, p)."""
    reference_penalty: np.ndarray
    reference: Solver
    """All columns under the reference configuration: fills gaps."""
    final: tuple[Solver, ...]
    """All columns, by configuration."""
    backtests: Backtests
    segments: tuple[Segment, ...]
    quiet: np.ndarray
    """Positions of the quiet columns."""
    training: tuple[tuple[Solver, ...], ...]
    """Quiet columns, by cut-off and configuration."""
    judged: tuple[np.ndarray, ...]
    """Quiet Gram matrix of the days on which each cut-off is judged."""

    @classmethod
    def of(
        cls, window: Window, configurations: Sequence[Configuration], *, dtype: DTypeLike = float
    ) -> Systems:
        """Factorise the systems of a window: one for each configuration and cut-off."""
        design = window.design
        penalties = np.array([design.penalties(c) for c in configurations])
        shares = np.array([c.share for c in configurations])
        reference = design.penalties(CONFIGURATIONS[REFERENCE])
        quiet = np.flatnonzero(~design.mask(*EVENT_BLOCKS))
        backtests = backtest_windows(len(window.names))
        segments = tuple(_segment(window, *pair, quiet=quiet) for pair in pairwise(backtests.edges))
        whole = gram(design, window.rows)
        return cls(
            window=window,
            dtype=np.dtype(dtype),
            penalties=penalties,
            prior=shares / shares.sum(),
            gram=whole,
            reference_penalty=reference,
            reference=Solver.of(whole + np.diag(reference), dtype),
            final=tuple(Solver.of(whole + np.diag(p), dtype) for p in penalties),
            backtests=backtests,
            segments=segments,
            quiet=quiet,
            training=tuple(
                tuple(
                    Solver.of(
                        _quiet_gram(segments, trained(segments, cut)) + np.diag(p[quiet]), dtype
                    )
                    for p in penalties
                )
                for cut in backtests.cuts
            ),
            judged=tuple(
                _quiet_gram(segments, judged(segments, cut, backtests.days)).astype(dtype)
                for cut in backtests.cuts
            ),
        )

    @property
    def day_leverage(self) -> np.ndarray:
        """The event's hours times the variance factor of its mean effect, shape (E,).

        The hours of an occurrence err together, so that it counts as one observation of 24-fold
        weight, or as many as a window has hours.
        """
        design = self.window.design
        count = len(design.event_names)
        each = list(range(count))
        means = np.array([design.of_event(e).start for e in each], dtype=np.intp)
        unit = np.zeros((design.p, count), dtype=self.dtype)
        unit[means, each] = 1.0
        solved = self.reference(unit)
        return np.asarray(design.event_columns.hours * solved[means, each], dtype=float)


def _segment(window: Window, start: int, stop: int, *, quiet: np.ndarray) -> Segment:
    days = np.arange(start, stop)
    events = days[~window.ordinary[start:stop]]
    whole, special = window.part(days), window.part(events)
    ordinary = gram(window.design, whole) - gram(window.design, special)
    return Segment(
        start=start,
        stop=stop,
        rows=whole,
        events=events,
        event_rows=special,
        quiet_gram=ordinary[np.ix_(quiet, quiet)],
    )


def _quiet_gram(segments: Sequence[Segment], positions: Sequence[int]) -> np.ndarray:
    return np.asarray(sum(segments[i].quiet_gram for i in positions))


def trained(segments: Sequence[Segment], cut: int) -> list[int]:
    """Return the positions of the segments before a cut-off."""
    return [i for i, part in enumerate(segments) if part.stop <= cut]


def judged(segments: Sequence[Segment], cut: int, days: int) -> list[int]:
    """Return the positions of the segments on which a cut-off is judged."""
    return [i for i, p in enumerate(segments) if p.start >= cut and p.stop <= cut + days]

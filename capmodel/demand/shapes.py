"""How the hours of a future day scatter around what is expected of them.

This module answers: given today's luck of season and level, which hours may a day have? A fit in
logs repeats the residuals of whole past weeks; services that are counted draw events
(:mod:`.clumping`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from capmodel.demand.scale import LOG_OFFSET

__all__ = ["Dice", "HourLuck", "LogShape", "Shape"]


@dataclass(frozen=True, slots=True, eq=False)
class HourLuck:
    """Luck of an event that covers some hours of a day."""

    day: int
    hours: slice
    log: np.ndarray
    """Shape (D,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Dice:
    """What the days of one service are drawn with: D paths, N days."""

    source: np.ndarray
    """Past day that stands for each future day, the same for every service, shape (D, N)."""
    luck: np.ndarray
    """Log luck of level, trend and events on each day, shape (D, N)."""
    rng: np.random.Generator
    """The service's own stream."""
    hours: tuple[HourLuck, ...] = ()
    """Luck of windowed events, which belongs into the shape of the day."""

    def strike(self, values: np.ndarray) -> None:
        """Multiply hours, shape (D, N, 24), by the luck of windowed events, in place."""
        for luck in self.hours:
            values[:, luck.day, luck.hours] *= np.exp(luck.log)[:, None]


class Shape(Protocol):
    """The hours of one service's days, before the luck of level, trend and events."""

    def draw(self, dice: Dice) -> np.ndarray:
        """Draw hour means that `dice.luck` has yet to multiply, shape (D, N, 24) [quantity]."""


@dataclass(frozen=True, slots=True, eq=False)
class LogShape:
    """Medians times the residuals of past weeks."""

    mean: float
    """Unit of the log series [the quantity's unit]."""
    log_median: np.ndarray
    """Median of ``log(demand / mean + offset)``, shape (N, 24)."""
    factor: np.ndarray
    """What assumed lifts multiply the hours by, shape (N, 24) [ratio]."""
    residual: np.ndarray
    """Log residuals of past days, out-of-sample size, shape (R, 24)."""

    def draw(self, dice: Dice) -> np.ndarray:
        """Draw hour means, shape (D, N, 24); the same past weeks as every other service."""
        # exp before the paths are drawn: past residuals are few, so their factors are reused.
        noise = np.exp(self.residual)[dice.source]
        noise *= np.exp(self.log_median)
        noise -= LOG_OFFSET
        np.maximum(noise, 0.0, out=noise)
        noise *= self.mean * self.factor
        dice.strike(noise)
        return np.asarray(noise)

"""Every penalty of the batched demand model, by name, in one place.

This module answers: how strongly is each block of the design held back, and which trend
configurations compete? A penalty is the ridge ``lambda`` of a coefficient in units of the
standardised series ``z`` (so that one table serves every service), multiplied by the column's own
weight, which grows with frequency. A block pinned to zero carries :data:`PINNED`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["CONFIGURATIONS", "PENALTIES", "PINNED", "REFERENCE", "Configuration"]

PINNED: Final = 1e9
"""Penalty that leaves a coefficient at zero for every practical purpose."""

PENALTIES: Final[Mapping[str, float]] = MappingProxyType(
    {
        "intercept": 1e-6,  # free; the tiny penalty keeps the system positive definite
        "linear": 1.0,  # per configuration
        "hinge": 1.0,  # per configuration
        "ramp": 1.0,  # per configuration
        "day_of_week": 0.3,
        "hour_of_day": 0.3,
        "hour_of_week": 10.0,  # deviations from day of week + hour of day: weaker evidence
        "yearly": 100.0,  # per configuration
        "yearly_weekend": 30.0,  # x k**2
        "yearly_hour": 300.0,  # x k**2 of the yearly harmonic
        # Shrinking a peak toward zero is the dangerous direction, so the day's own effect is
        # almost free: with two past events 0.1 / (2 x 24) of the log lift is lost. The hour shape
        # is held back with growing frequency, because a true shape is smoother than 24 hours of
        # noise.
        # A window of L hours carries L / 24 of the penalty, so that it loses as little of its own.
        "event": 0.1,  # x max(1, k / 2)**2 for the k-th half period of the day, or of the window
        "public_weekday": 4.0,  # what public holidays on a weekday share, hour by hour
    }
)
"""Penalty of each block; a configuration overrides the trend blocks and the year's."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """One way to let the level move: which trend blocks are free, and how free."""

    name: str
    linear: float
    hinge: float
    ramp: float
    share: float
    """Weight before any backtest, relative to the others."""
    yearly: float = 100.0
    """x k**2 for the k-th harmonic: smooth, or two years are memorised."""

    def penalty_of(self, block: str) -> float:
        """Return this configuration's penalty of a block."""
        if block in ("linear", "hinge", "ramp", "yearly"):
            return float(getattr(self, block))
        return PENALTIES[block]


def _configurations(*rows: Configuration) -> Mapping[str, Configuration]:
    return MappingProxyType({row.name: row for row in rows})


CONFIGURATIONS: Final[Mapping[str, Configuration]] = _configurations(
    # A level that moves within a fortnight and a free yearly curve would trade with each other.
    Configuration(
        "quick_level", linear=PINNED, hinge=PINNED, ramp=30.0, share=1 / 9, yearly=1000.0
    ),
    Configuration("local_level", linear=PINNED, hinge=PINNED, ramp=300.0, share=1 / 9),
    Configuration("smooth_level", linear=PINNED, hinge=PINNED, ramp=1000.0, share=1 / 9),
    Configuration("smooth_trend", linear=1.0, hinge=300.0, ramp=PINNED, share=1 / 6),
    Configuration("local_trend", linear=1.0, hinge=30.0, ramp=PINNED, share=1 / 6),
    Configuration("damped_trend", linear=30.0, hinge=PINNED, ramp=1000.0, share=1 / 6),
    Configuration("linear", linear=1.0, hinge=PINNED, ramp=PINNED, share=1 / 6),
)
"""The trend configurations that compete in every fit and are combined by their backtests.

The three pure levels have a third of the prior weight between them, each way to trend a sixth: a
level is not likelier because it is offered in three speeds.
"""

REFERENCE: Final = "local_level"
"""The configuration under which gaps are filled and outliers are clipped: it follows any level."""

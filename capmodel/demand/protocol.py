"""What a demand model is to the rest of the house: something that fits, then draws futures.

This module answers: which methods must a model offer so that a backtest can judge it and a plan can
build on it? :class:`capmodel.demand.Batched` and every adapter offer these.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from capmodel.demand.paths import DemandForecast, RootPaths
    from capmodel.events import Events
    from capmodel.history import History
    from capmodel.schema import Findings

__all__ = ["DemandModel", "FittedDemand", "Lifts"]

Lifts = Mapping[str, Mapping[str, float]]
"""Event day (or span) to service to the assumed lift, of a window over its hours [ratio]."""


class FittedDemand(Protocol):
    """A fitted model of the demand of some services."""

    @property
    def services(self) -> tuple[str, ...]:
        """Services that were fitted."""

    @property
    def refused(self) -> Findings:
        """Services set aside, each with its reason."""

    @property
    def findings(self) -> Findings:
        """Everything noticed, the refused services included."""

    def forecast(
        self,
        start: str | dt.date,
        end: str | dt.date,
        *,
        seed: int = 0,
        draws: int = 1000,
        lifts: Lifts | None = None,
    ) -> DemandForecast:
        """Forecast every service over local days, end exclusive."""

    def roots(
        self,
        services: Iterable[str],
        start: str | dt.date,
        end: str | dt.date,
        *,
        seed: int = 0,
        draws: int = 1000,
        lifts: Lifts | None = None,
    ) -> tuple[RootPaths, ...]:
        """Return the sample paths of some services, their factors kept apart."""


@runtime_checkable
class DemandModel(Protocol):
    """A specification that can be fitted to a history; fitting returns a new object."""

    def fit(self, history: History, *, events: Events | None = None) -> FittedDemand:
        """Fit every service that carries demand."""

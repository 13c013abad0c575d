"""The effect of one event on one service: its own, or borrowed where it has seen none.

This module answers: by how much does this event change this service's day, and on whose evidence?
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from capmodel.demand.cohort import Cohort
from capmodel.demand.counts import CountCohort, CountedEvent
from capmodel.demand.event_columns import effect_hours
from capmodel.demand.lending import Lender
from capmodel.demand.uncertainty import PRIOR_DF, SHOCK_PRIOR_SD
from capmodel.events.days import DAY_HOURS, OBSERVED
from capmodel.schema import Basis, worst_basis

if TYPE_CHECKING:
    import numpy as np

__all__ = ["EventEffect", "event_effect"]


@dataclass(frozen=True, slots=True, eq=False)
class EventEffect:
    """The fitted effect of one event on one service."""

    terms: np.ndarray
    """Log effect by the event's terms (``event_hour_terms``), shape (b,)."""
    n_events: int
    """Own past occurrences."""
    shock_sd: float
    """Log standard deviation between years."""
    shock_df: float
    coefficient_sd: float
    """Log standard error of the effect."""
    basis: Basis
    donors: tuple[str, ...]
    left_out_error: float = math.nan
    """How far off its own years were, each predicted from the others [log]; NaN below two."""
    besides: np.ndarray | float = 0.0
    """Log effect by hour of the day that no term holds, shape (24,) or one number."""

    def hours(self, start_hour: int = 0, end_hour: int = DAY_HOURS) -> np.ndarray:
        """Return the log effect by local hour of a day on which it covers these, shape (24,).

        Zero outside. What public holidays on weekdays share is in it for counted services only.
        """
        return effect_hours(self.terms, start_hour, end_hour, besides=self.besides)

    def grown(self, yearly_x: float, years: float) -> EventEffect:
        """Return the effect with every hour's lift times ``yearly_x ** years``; `assumed`."""
        terms = self.terms.copy()
        terms[0] += years * math.log(yearly_x)  # the other terms have mean zero
        return replace(self, terms=terms, basis="assumed")


def event_effect(
    part: Cohort | CountCohort, column: int, event: str, *, lender: Lender | None
) -> EventEffect | None:
    """Return an event's effect: own, else lent by the fleet, else that of the day it stands for.

    A holiday "observed" on another date than its own, not seen before, is taken to act like the
    holiday itself.
    """
    found = _own(part, column, event, lender=lender)
    if found is None:
        found = _lent(part, column, event, lender=lender)
    if found is None and event.endswith(OBSERVED):
        base = _own(part, column, event.removesuffix(OBSERVED), lender=lender)
        if base is not None:
            found = replace(base, n_events=0, basis="borrowed", donors=(part.services[column],))
    return found


def _lent(
    part: Cohort | CountCohort, column: int, event: str, *, lender: Lender | None
) -> EventEffect | None:
    """Return what the fleet lends."""
    if isinstance(part, CountCohort):
        return _counted(part.models[column].events.get(event))
    lent = lender.event(part.services[column], event) if lender is not None else None
    if lent is None:
        return None
    return EventEffect(
        terms=lent.coefficients,
        n_events=0,
        shock_sd=SHOCK_PRIOR_SD,
        shock_df=PRIOR_DF,
        coefficient_sd=lent.sd,
        basis="borrowed",
        donors=lent.donors,
    )


def _counted(event: CountedEvent | None) -> EventEffect | None:
    """Return the effect on a service that is counted; its years differ as the prior says."""
    if event is None:
        return None
    return EventEffect(
        terms=event.terms,
        besides=event.besides,
        n_events=event.n,
        shock_sd=SHOCK_PRIOR_SD,
        shock_df=PRIOR_DF,
        coefficient_sd=event.sd,
        basis=event.basis,
        donors=event.donors,
    )


def _own(
    part: Cohort | CountCohort, column: int, event: str, *, lender: Lender | None
) -> EventEffect | None:
    """Return what the service itself has seen."""
    if isinstance(part, CountCohort):
        seen = part.models[column].events.get(event)
        return _counted(seen) if seen is not None and seen.n > 0 else None
    if event not in part.design.event_names:
        return None
    e = part.design.event_names.index(event)
    spread = part.spread
    if spread.n[column, e] == 0:
        return None
    lent = lender.event(part.services[column], event) if lender is not None else None
    name = part.services[column]
    leans = part.is_borrowing or bool(spread.pooled[column, e])
    donors = tuple(d for d in lent.donors if d != name) if lent is not None and leans else ()
    return EventEffect(
        terms=part.event_terms(e, column),
        n_events=int(spread.n[column, e]),
        left_out_error=spread.left_out_error(e, column),
        shock_sd=float(spread.shock_sd[column, e]),
        shock_df=float(spread.shock_df[column, e]),
        coefficient_sd=float(spread.coefficient_sd[column, e]),
        basis=worst_basis(
            [
                "borrowed" if donors and part.is_borrowing else "fitted",
                "censored" if spread.censored[column, e] else "fitted",
            ]
        ),
        donors=donors,
    )

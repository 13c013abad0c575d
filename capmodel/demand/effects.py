"""The effect of one event on one service: its own, or borrowed where it has seen none.

This module answers: by how much does this event change this service's day, and on whose evidence?
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capmodel.demand.cohort import Cohort
from capmodel.demand.lending import Lender
from capmodel.demand.uncertainty import PRIOR_DF, SHOCK_PRIOR_SD
from capmodel.events.days import OBSERVED
from capmodel.schema import Basis, worst_basis

if TYPE_CHECKING:
    import numpy as np

__all__ = ["EventEffect", "event_effect"]


@dataclass(frozen=True, slots=True, eq=False)
class EventEffect:
    """The fitted effect of one event on one service."""

    hours: np.ndarray
    """Log effect by hour, without what public holidays on weekdays share, shape (24,)."""
    n_events: int
    """Own past occurrences."""
    shock_sd: float
    """Log standard deviation between years."""
    shock_df: float
    coefficient_sd: float
    """Log standard error of the effect."""
    basis: Basis
    donors: tuple[str, ...]


def event_effect(
    cohort: Cohort, column: int, event: str, *, lender: Lender | None
) -> EventEffect | None:
    """Return an event's effect: own, else lent by the fleet, else that of the day it stands for.

    A holiday "observed" on another date than its own, not seen before, is taken to act like the
    holiday itself.
    """
    own = _own(cohort, column, event, lender=lender)
    if own is not None:
        return own
    lent = lender.event(cohort.services[column], event) if lender is not None else None
    if lent is not None:
        return EventEffect(
            hours=lent.hours,
            n_events=0,
            shock_sd=SHOCK_PRIOR_SD,
            shock_df=PRIOR_DF,
            coefficient_sd=lent.sd,
            basis="borrowed",
            donors=lent.donors,
        )
    if event.endswith(OBSERVED):
        base = _own(cohort, column, event.removesuffix(OBSERVED), lender=lender)
        if base is not None:
            return EventEffect(
                hours=base.hours,
                n_events=0,
                shock_sd=base.shock_sd,
                shock_df=base.shock_df,
                coefficient_sd=base.coefficient_sd,
                basis="borrowed",
                donors=(cohort.services[column],),
            )
    return None


def _own(cohort: Cohort, column: int, event: str, *, lender: Lender | None) -> EventEffect | None:
    if event not in cohort.design.event_names:
        return None
    e = cohort.design.event_names.index(event)
    spread = cohort.spread
    if spread.n[column, e] == 0:
        return None
    lent = lender.event(cohort.services[column], event) if lender is not None else None
    name = cohort.services[column]
    leans = cohort.is_borrowing or bool(spread.pooled[column, e])
    donors = tuple(d for d in lent.donors if d != name) if lent is not None and leans else ()
    return EventEffect(
        hours=cohort.event_hours(e, column),
        n_events=int(spread.n[column, e]),
        shock_sd=float(spread.shock_sd[column, e]),
        shock_df=float(spread.shock_df[column, e]),
        coefficient_sd=float(spread.coefficient_sd[column, e]),
        basis=worst_basis(
            [
                "borrowed" if donors and cohort.is_borrowing else "fitted",
                "censored" if spread.censored[column, e] else "fitted",
            ]
        ),
        donors=donors,
    )

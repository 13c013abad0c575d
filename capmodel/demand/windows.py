"""Windowed events on the days of a horizon: which hours they cover, and what is known of them.

This module answers: how does a sale from 18:00 to 22:00 change a day's hours? Its lift is the ratio
of the sums over its hours; hours outside keep what the day has without it. Windows of one hour
multiply each other, and the event of the day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capmodel.demand.event_columns import events_on
from capmodel.demand.uncertainty import PRIOR_DF

if TYPE_CHECKING:
    import numpy as np

    from capmodel.events import Events

__all__ = ["EventWindow", "unknown_windows"]


@dataclass(frozen=True, slots=True)
class EventWindow:
    """A windowed event on one day of a horizon."""

    day: int
    """Position of the day."""
    event: str
    span: str
    start_slot: int
    """First slot of the day that it covers: its local hour, 0 where a day has one slot."""
    end_slot: int
    lift_x: float
    """Its slots' demand with it / without it, as in the paths [ratio]; NaN where not known."""
    luck: str = ""
    """Name of the shock that all parts of the event share in one year."""
    shock_sd: float = 0.0
    """Log standard deviation between years."""
    shock_df: float = PRIOR_DF
    coefficient_sd: float = 0.0
    """Log standard error of the effect."""

    @property
    def slots(self) -> slice:
        """What it covers of its day."""
        return slice(self.start_slot, self.end_slot)


def unknown_windows(
    events: Events | None, dates: np.ndarray, *, slots: int, lift_x: float
) -> tuple[EventWindow, ...]:
    """Return the windows of a horizon for paths that no event was fitted in.

    Parameters
    ----------
    events
        The calendar; None: there are none.
    dates
        Local days, shape (N,), datetime64[D].
    slots
        Slots of a day: 24, or one, which a window then covers whole: its busiest minute may lie
        in the window.
    lift_x
        Lift of every window [ratio]: 1 where the paths hold none, NaN where it is not known.
    """
    if events is None:
        return ()
    return tuple(
        EventWindow(
            day=n,
            event=event.name,
            span=event.span,
            start_slot=event.start_hour if slots > 1 else 0,
            end_slot=event.end_hour if slots > 1 else 1,
            lift_x=lift_x,
        )
        for n, several in enumerate(events_on(events, dates))
        for event in several
        if event.is_windowed
    )

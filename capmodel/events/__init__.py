"""Holidays, retail days and campaigns: which local days are events, and what names each.

This module answers: which event is this day, and which day of last season does it compare with?
Days are local dates of the business; the module knows no time zone, no traffic and no effect.

Every named day is its own event (``black_friday`` and ``cyber_monday`` share nothing but the tag),
because models give each its own effect. A day may carry several events; `Events.primary` says
which one names it, by the tag, in this order:

1. any tag of the user's own (``custom``, ``flash``, …),
2. ``retail_peak``: the five days from Thanksgiving to Cyber Monday, and Prime Day,
3. ``public_holiday`` on its own date,
4. ``retail``: the smaller retail days (Christmas Eve, Mother's Day, …),
5. ``public_holiday`` observed on another date (names that end in ``_observed``): on 2027-12-24
   shops see Christmas Eve, whatever the federal calendar observes,
6. events that cover some hours of the day only (*windows*, ``.add(name, start, end=...)``).

Within one rank the alphabetically first name wins.

Of the events of whole days only the one that names the day *acts* on it: Christmas Eve, not also
Christmas observed. Windows act besides it: on a Black Friday with a sale in the evening both count
(`Events.acting`).

`Events.counterpart` gives the day of last season that a day compares with:

1. where the day is an event's, that event's occurrence nearest to 364 days earlier, at least 300
   and at most 428 days earlier; events are tried in the order above. (Easter and the moon move a
   day by less; beyond that it is another quarter, and growth is by the year.)
2. else, in the Thanksgiving season (from 7 days before Thanksgiving to 7 days after Cyber Monday)
   of a calendar that has the American Thanksgiving, the day as far from last year's Thanksgiving:
   364 or 371 days earlier;
3. else the same weekday 364 days earlier.

Ordinary days just outside the season may so meet one of last year's event days; compare trend
levels there, not the days' own traffic.
"""

from __future__ import annotations

from capmodel.events.calendar import Events
from capmodel.events.days import EventDay
from capmodel.events.rules import thanksgiving

__all__ = ["EventDay", "Events", "thanksgiving"]

"""The calendar: what a date is called, and which day of last season it compares with."""

from __future__ import annotations

import datetime as dt
import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from capmodel.errors import InputError, nearest
from capmodel.events.days import DAY_HOURS, PUBLIC_HOLIDAY, EventDay, day_name
from capmodel.events.rules import country_days, snake, thanksgiving, us_retail_days
from capmodel.events.windows import MOST_DAYS, local_day, shown, window_parts

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["Events"]

_YEAR: Final = 364  # days: the same weekday
_NEAR: Final = 64  # days: an occurrence counts as last season's 300 to 428 days earlier
_BEFORE_SEASON: Final = 7  # days before Thanksgiving
_AFTER_SEASON: Final = 4 + 7  # days after Thanksgiving: a week after Cyber Monday


@dataclass(frozen=True, slots=True)
class Events:
    """A calendar of events, sorted by date.

    Examples
    --------
    >>> events = Events.us_retail(2023, 2027).add("launch", "2026-11-20", days=3)
    >>> str(events.dates_of("cyber_monday")[3])
    '2026-11-30'
    >>> events.primary("2026-11-21").name
    'launch_day_2'
    >>> str(events.counterpart("2024-12-02"))
    '2023-11-27'
    """

    days: tuple[EventDay, ...] = ()

    def __post_init__(self) -> None:
        """Sort the days: by date, then by what names the date."""
        order = sorted(self.days, key=lambda day: (day.date, day.rank, day.name))
        object.__setattr__(self, "days", tuple(order))

    @classmethod
    def none(cls) -> Events:
        """Return a calendar without events.

        Examples
        --------
        >>> len(Events.none())
        0
        """
        return cls()

    @classmethod
    def us_retail(cls, first_year: int, last_year: int) -> Events:
        """Return the public holidays and retail days of the United States.

        Public holidays (federal, with observed days) come from the ``holidays`` package; the days
        around Thanksgiving, Christmas and New Year, Valentine's Day and Mother's Day are rules of
        our own; Prime Day is in the calendar for 2019 to 2025, as dated facts. Later Prime Days
        are not guessed; add them: ``.add("prime_day", "2026-06-23", days=4)``.

        Parameters
        ----------
        first_year, last_year
            Calendar years, both inclusive, from 1942 to 2100.

        Raises
        ------
        InputError
            For years out of order or out of range.

        References
        ----------
        5 U.S.C. § 6103 (federal holidays); Public Law 77-379 (Thanksgiving).

        Examples
        --------
        >>> [day.name for day in Events.us_retail(2026, 2026).on("2026-11-27")]
        ['black_friday']
        """
        return cls(tuple(us_retail_days(first_year, last_year)))

    @classmethod
    def country(
        cls, code: str, first_year: int, last_year: int, *, subdiv: str | None = None
    ) -> Events:
        """Return the public holidays of a country, by the ``holidays`` package.

        Names are English where the package has them, else as in the country, in snake_case. A
        holiday of several days in a row is one span: ``eid_al_fitr_holiday``,
        ``eid_al_fitr_holiday_day_2``, … Dates by the moon in years to come are estimates.

        Parameters
        ----------
        code
            ISO 3166-1 code, such as ``NZ``.
        first_year, last_year
            Calendar years, both inclusive.
        subdiv
            Code of a state, province or region, such as ``AUK``.

        Raises
        ------
        InputError
            For an unknown country or subdivision (the nearest is named), or years out of order.

        Examples
        --------
        >>> waitangi = Events.country("NZ", 2026, 2026, subdiv="AUK").on("2026-02-06")
        >>> waitangi[0].name, waitangi[0].public
        ('waitangi_day', True)
        """
        return cls(tuple(country_days(code, first_year, last_year, subdiv=subdiv)))

    def add(
        self,
        name: str,
        start: str | dt.date,
        *,
        days: int | None = None,
        end: str | dt.date | None = None,
        tag: str = "custom",
    ) -> Events:
        """Return a calendar with one more occurrence of an event of your own.

        Its days are named `name`, ``name_day_2``, … (``prime_day``, ``prime_day_2``), and their
        span is `name`. Adding the same
        name in another year adds an occurrence, which is what lets a model learn its effect.
        Another occurrence of a known event keeps that event's tag.

        With an `end` the event is a window of the wall clock: it covers the hours from `start` to
        before `end`. A window that crosses midnight has a part on each local day, named like the
        days of a longer event, each with an effect of its own.

        Parameters
        ----------
        name
            snake_case.
        start
            First local day, a date or ISO text; with an `end` the local time on the hour
            (``"2026-11-20T18:00"``), a date then meaning its midnight.
        days
            Length [days], 1 where neither this nor `end` is given.
        end
            Local time on the hour at which a window ends, ISO text or a datetime without a zone.
        tag
            Group whose effect stands in while the event has no history of its own.

        Raises
        ------
        InputError
            For a name that is not snake_case, a start that is no date, fewer than one day, both
            `days` and `end`, a window that is empty or off the hour or has a time zone, a name that
            the calendar already has on that date, or a known event with another tag.

        Examples
        --------
        >>> launch = Events.none().add("launch", "2025-11-21", days=2)
        >>> launch = launch.add("launch", "2026-11-20", days=3)
        >>> launch.names
        ('launch', 'launch_day_2', 'launch_day_3')
        >>> [str(date) for date in launch.dates_of("launch_day_2")]
        ['2025-11-22', '2026-11-21']
        >>> sale = Events.none().add("night_sale", "2026-11-20T22:00", end="2026-11-21T02:00")
        >>> [(day.name, day.start_hour, day.end_hour) for day in sale]
        [('night_sale', 22, 24), ('night_sale_day_2', 0, 2)]
        """
        where = f"event {name}"
        _check_names(name, tag)
        parts = _parts(name, start, days=days, end=end)
        known = next((day.tag for day in self.days if name in (day.name, day.span)), tag)
        if tag not in (known, "custom"):
            raise InputError.of(
                f"{where}: tag",
                got=f'"{tag}"',
                expected=f'"{known}", the tag of its other occurrences',
                do="Leave the tag out, or give the event a name of its own.",
            )
        public = known == PUBLIC_HOLIDAY
        new = [
            EventDay(day_name(name, i), date, name, known, public, first, last)
            for i, (date, first, last) in enumerate(parts)
        ]
        for day in new:
            if any(other.name == day.name for other in self.on(day.date)):
                raise InputError.of(
                    f"{where}: {day.date}",
                    got=f"{day.name} on a date where the calendar already has it",
                    expected="one occurrence of a name per date",
                    do="Leave it out, or give the event a name of its own.",
                )
        return Events((*self.days, *new))

    def __iter__(self) -> Iterator[EventDay]:
        """Iterate over the days, by date."""
        return iter(self.days)

    def __len__(self) -> int:
        """Return the number of event days."""
        return len(self.days)

    @property
    def names(self) -> tuple[str, ...]:
        """The distinct names of event days, sorted."""
        return tuple(sorted({day.name for day in self.days}))

    @property
    def spans(self) -> tuple[str, ...]:
        """The distinct spans, sorted."""
        return tuple(sorted({day.span for day in self.days}))

    def dates_of(self, name: str) -> tuple[dt.date, ...]:
        """Return the dates of the event day with this name, ascending.

        Raises
        ------
        InputError
            For a name that the calendar lacks; the nearest is named.
        """
        dates = tuple(day.date for day in self.days if day.name == name)
        if not dates:
            close = nearest(name, self.names)
            raise InputError.of(
                "event",
                got=f'the unknown name "{name}"',
                expected=f"one of the calendar's {len(self.names)} names",
                do=f'Did you mean "{close}"?' if close else f"Add it: .add({name!r}, date).",
            )
        return dates

    def on(self, date: str | dt.date | np.datetime64) -> tuple[EventDay, ...]:
        """Return the events of a date, the one that names it first."""
        day = _date(date, where="date")
        low = bisect_left(self.days, day, key=lambda d: d.date)
        high = bisect_left(self.days, day + dt.timedelta(1), lo=low, key=lambda d: d.date)
        return self.days[low:high]

    def primary(self, date: str | dt.date | np.datetime64) -> EventDay | None:
        """Return the event that names a date, None on ordinary days.

        Examples
        --------
        >>> [day.name for day in Events.us_retail(2027, 2027).on("2027-12-24")]
        ['christmas_eve', 'christmas_observed']
        >>> Events.us_retail(2027, 2027).primary("2027-12-24").name
        'christmas_eve'
        """
        return next(iter(self.on(date)), None)

    def acting(self, date: str | dt.date | np.datetime64) -> tuple[EventDay, ...]:
        """Return the events that change a date's demand: the primary one, and every window.

        Examples
        --------
        >>> events = Events.us_retail(2027, 2027).add(
        ...     "flash_sale", "2027-12-24T18:00", end="2027-12-24T22:00"
        ... )
        >>> [day.name for day in events.on("2027-12-24")]
        ['christmas_eve', 'christmas_observed', 'flash_sale']
        >>> [day.name for day in events.acting("2027-12-24")]
        ['christmas_eve', 'flash_sale']
        """
        return tuple(day for i, day in enumerate(self.on(date)) if i == 0 or day.is_windowed)

    def between(
        self, start: str | dt.date | np.datetime64, end: str | dt.date | np.datetime64
    ) -> Events:
        """Return the events from `start` to before `end`.

        Raises
        ------
        InputError
            When the end is before the start.
        """
        first, last = _date(start, where="start"), _date(end, where="end")
        if last < first:
            got, do = f"{first} to {last}", "Swap the two dates."
            raise InputError.of("start, end", got=got, expected="an end after the start", do=do)
        return Events(tuple(day for day in self.days if first <= day.date < last))

    def counterpart(self, day: str | dt.date | np.datetime64) -> dt.date:
        """Return the day of last season that a day compares with (see the module for the rule).

        Examples
        --------
        >>> events = Events.us_retail(2023, 2026)
        >>> for day in ("2026-11-30", "2024-12-02", "2024-12-08", "2025-12-25", "2026-10-07"):
        ...     print(day, events.counterpart(day))
        2026-11-30 2025-12-01
        2024-12-02 2023-11-27
        2024-12-08 2023-12-03
        2025-12-25 2024-12-25
        2026-10-07 2025-10-08
        """
        date = _date(day, where="day")
        year_ago = date - dt.timedelta(_YEAR)
        for event in self.on(date):
            near = [
                (abs((other - year_ago).days), other)
                for other in self.dates_of(event.name)
                if abs((other - year_ago).days) <= _NEAR
            ]
            if near:
                return min(near)[1]
        offset = (date - thanksgiving(date.year)).days
        in_season = -_BEFORE_SEASON <= offset <= _AFTER_SEASON
        if in_season and self._has_us_thanksgiving():
            return thanksgiving(date.year - 1) + dt.timedelta(offset)
        return year_ago

    def _has_us_thanksgiving(self) -> bool:
        return any(
            day.name in ("thanksgiving", "thanksgiving_day")
            and day.date == thanksgiving(day.date.year)
            for day in self.days
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per event day.

        Columns: date (ISO text), name, span, tag, public, start_hour, end_hour (local).

        Examples
        --------
        >>> frame = Events.none().add("launch", "2026-11-20").to_frame()
        >>> print(frame.to_csv(index=False).splitlines()[1])
        2026-11-20,launch,launch,custom,False,0,24
        """
        import pandas as pd  # noqa: PLC0415  kept out of import time

        columns = ["date", "name", "span", "tag", "public", "start_hour", "end_hour"]
        rows = [
            [d.date.isoformat(), d.name, d.span, d.tag, d.public, d.start_hour, d.end_hour]
            for d in self.days
        ]
        return pd.DataFrame(rows, columns=columns)


def _date(value: object, *, where: str) -> dt.date:
    """Return a local date given as a date, ISO text or numpy day."""
    day = local_day(value)
    if day is None:
        do = "Write the local date."
        raise InputError.of(where, got=repr(value), expected="a date like 2026-11-30", do=do)
    return day


def _check_names(name: str, tag: str) -> None:
    for what, text in (("name", name), ("tag", tag)):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", text):
            raise InputError.of(
                f"event {name}: {what}",
                got=f'"{text}"',
                expected="lower-case letters, digits and _",
                do=f'Write "{snake(text)}".' if snake(text)[:1].isalpha() else "Rename it.",
            )


def _parts(
    name: str, start: object, *, days: object, end: object
) -> tuple[tuple[dt.date, int, int], ...]:
    """Return (local day, first hour, hour before which it ends) of each day of an event."""
    where = f"event {name}"
    if end is not None:
        if days is not None:
            raise InputError.of(
                f"{where}: days, end",
                got=f"days {days!r} and end {shown(end)}",
                expected="one of the two",
                do="Leave days out: the end says how long the event lasts.",
            )
        return window_parts(start, end, where=where)
    first = local_day(start)
    if first is None:
        raise InputError.of(
            f"{where}: start",
            got=shown(start),
            expected="a date like 2026-11-30, or a time together with an end",
            do='Write the local date; for some hours of it add end="2026-11-30T22:00".',
        )
    length = 1 if days is None else days
    if isinstance(length, bool) or not isinstance(length, int) or not 1 <= length <= MOST_DAYS:
        expected, do = f"a whole number from 1 to {MOST_DAYS}", "Write the length in days."
        raise InputError.of(f"{where}: days", got=repr(days), expected=expected, do=do)
    return tuple((first + dt.timedelta(i), 0, DAY_HOURS) for i in range(length))

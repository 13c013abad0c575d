"""Where event days come from: retail rules of our own, and the `holidays` package.

This module answers: on which dates do these events fall in these years?
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from capmodel.errors import InputError, nearest
from capmodel.events.days import OBSERVED, PUBLIC_HOLIDAY, EventDay, day_name

if TYPE_CHECKING:
    import holidays

__all__ = ["country_days", "snake", "thanksgiving", "us_retail_days"]

# Names in the holidays package -> the names retailers use.
_US_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "martin_luther_king_jr_day": "martin_luther_king_day",
        "washingtons_birthday": "presidents_day",
        "juneteenth_national_independence_day": "juneteenth",
        "thanksgiving_day": "thanksgiving",
        "christmas_day": "christmas",
        "new_years_day": "new_year",
    }
)
# Days from Thanksgiving -> name and tag. The five days from Thanksgiving to Cyber Monday are the
# peak; retailers count them together as the "Cyber 5".
_THANKSGIVING_DAYS: Final = (
    (-1, "thanksgiving_eve", "retail"),
    (0, "thanksgiving", "retail_peak"),
    (1, "black_friday", "retail_peak"),
    (2, "black_friday_saturday", "retail_peak"),
    (3, "black_friday_sunday", "retail_peak"),
    (4, "cyber_monday", "retail_peak"),
    (5, "cyber_tuesday", "retail"),
)
_FIXED_DAYS: Final = (
    (2, 14, "valentines_day"),
    (12, 24, "christmas_eve"),
    (12, 26, "day_after_christmas"),
    (12, 31, "new_years_eve"),
)
# First day and number of days of Amazon Prime Day in the United States, as Amazon announced each
# (press.aboutamazon.com; 2020 was moved to October by the pandemic, 2025 was the first of four
# days). Years to come are not guessed: add them once announced.
_PRIME_DAYS: Final = (
    (dt.date(2019, 7, 15), 2),
    (dt.date(2020, 10, 13), 2),
    (dt.date(2021, 6, 21), 2),
    (dt.date(2022, 7, 12), 2),
    (dt.date(2023, 7, 11), 2),
    (dt.date(2024, 7, 16), 2),
    (dt.date(2025, 7, 8), 4),
)
# Thanksgiving is the fourth Thursday of November since 1942 (55 Stat. 862, 1941-12-26).
_FIRST_RETAIL_YEAR: Final = 1942
_LAST_YEAR: Final = 2100


def thanksgiving(year: int) -> dt.date:
    """Return Thanksgiving Day of the United States: the fourth Thursday of November.

    Examples
    --------
    >>> str(thanksgiving(2026))
    '2026-11-26'
    """
    return _nth_weekday(year, 11, weekday=3, nth=4)


def _nth_weekday(year: int, month: int, *, weekday: int, nth: int) -> dt.date:
    """Return the nth Monday (weekday 0) to Sunday (6) of a month."""
    first = dt.date(year, month, 1)
    return first + dt.timedelta((weekday - first.weekday()) % 7 + 7 * (nth - 1))


def _retail_days(years: range) -> Iterator[EventDay]:
    for year in years:
        for offset, name, tag in _THANKSGIVING_DAYS:
            date = thanksgiving(year) + dt.timedelta(offset)
            yield EventDay(name, date, name, tag, public=name == "thanksgiving")
        for month, day, name in _FIXED_DAYS:
            yield EventDay(name, dt.date(year, month, day), name, "retail", public=False)
        mothers_day = _nth_weekday(year, 5, weekday=6, nth=2)
        yield EventDay("mothers_day", mothers_day, "mothers_day", "retail", public=False)
    for first, length in _PRIME_DAYS:
        for i in range(length if first.year in years else 0):
            name, date = day_name("prime_day", i), first + dt.timedelta(i)
            yield EventDay(name, date, "prime_day", "retail_peak", public=False)


def us_retail_days(first_year: int, last_year: int) -> list[EventDay]:
    """Return the public holidays and retail days of the United States (`Events.us_retail`)."""
    years = _years(first_year, last_year, earliest=_FIRST_RETAIL_YEAR, latest=_LAST_YEAR)
    days = list(_retail_days(years))
    taken = {(day.name, day.date) for day in days}
    for name, date in _public_holidays(_calendar("US", subdiv=None), years):
        base = name.removesuffix(OBSERVED)
        known = _US_NAMES.get(base, base) + name.removeprefix(base)
        if (known, date) not in taken:  # Thanksgiving is a peak day first
            days.append(EventDay(known, date, known, PUBLIC_HOLIDAY, public=True))
    return days


def country_days(
    code: str, first_year: int, last_year: int, *, subdiv: str | None
) -> list[EventDay]:
    """Return the public holidays of a country (`Events.country`)."""
    calendar = _calendar(code, subdiv=subdiv)
    years = _years(first_year, last_year, earliest=calendar.start_year, latest=calendar.end_year)
    return [
        EventDay(name, date, span, PUBLIC_HOLIDAY, public=True)
        for name, span, date in _numbered(_public_holidays(calendar, years))
    ]


def _calendar(code: str, *, subdiv: str | None) -> holidays.HolidayBase:
    """Return the package's calendar of a country, in English where it can."""
    import holidays  # noqa: PLC0415  costs 60 ms, which only calendars should pay

    known = holidays.list_supported_countries()
    if code not in known:
        from holidays.registry import COUNTRIES  # noqa: PLC0415

        by_name = {name.replace("_", " "): codes[1] for name, codes in COUNTRIES.items()}
        name = nearest(str(code).lower(), by_name) if len(str(code)) > 3 else None  # noqa: PLR2004
        close = by_name[name] if name else nearest(str(code).upper(), known)
        raise InputError.of(
            "country",
            got=f'"{code}"',
            expected="an ISO 3166-1 code such as NZ",
            do=f'Did you mean "{close}"?' if close else "Look the code up.",
        )
    plain = holidays.country_holidays(code)
    if subdiv is not None:
        regions = {*plain.subdivisions, *plain.subdivisions_aliases}
        if subdiv not in regions:
            close = nearest(str(subdiv), regions) or nearest(str(subdiv).upper(), regions)
            raise InputError.of(
                "subdiv",
                got=f'"{subdiv}"',
                expected=f"a subdivision of {code}: {', '.join(plain.subdivisions) or 'none'}",
                do=f'Did you mean "{close}"?' if close else "Use one of these, or leave it out.",
            )
    languages = [lang for lang in plain.supported_languages if lang.startswith("en")]
    language = "en_US" if "en_US" in languages else next(iter(languages), None)
    return holidays.country_holidays(code, subdiv=subdiv, language=language)


def _public_holidays(calendar: holidays.HolidayBase, years: range) -> list[tuple[str, dt.date]]:
    """Return (name, date) of every public holiday of these years, by date."""
    first, last = dt.date(years[0], 1, 1), dt.date(years[-1], 12, 31)
    dates = calendar[first:last]  # type: ignore[index]  # a calendar slices by dates
    return [(snake(name), date) for date in sorted(dates) for name in calendar.get_list(date)]


def _numbered(days: Iterable[tuple[str, dt.date]]) -> Iterator[tuple[str, str, dt.date]]:
    """Yield (name, span, date), with the days of a holiday of several days numbered."""
    length: dict[tuple[str, dt.date], int] = {}
    for name, date in days:
        length[name, date] = 1 + length.get((name, date - dt.timedelta(1)), 0)
        yield day_name(name, length[name, date] - 1), name, date


def snake(name: str) -> str:
    """Return a holiday's name in snake_case, observed days with ``_observed`` at the end.

    Examples
    --------
    >>> snake("New Year's Day (observed)"), snake("Day off (substituted from 01/04/2026)")
    ('new_years_day_observed', 'day_off')
    """
    base, *notes = re.split(r"[()]", name)
    observed = any("observed" in note for note in notes)
    # Only a note that names the holiday stays: "Chinese New Year (Spring Festival)".
    kept = [n for n in notes if not re.search(r"observed|estimated|[0-9]", n)]
    text = (
        " ".join([base, *kept])
        .casefold()
        .replace("'", "")
        .replace("\N{RIGHT SINGLE QUOTATION MARK}", "")
    )
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = "_".join(re.findall(r"[a-z0-9]+", letters) or re.findall(r"\w+", text))
    return words + (OBSERVED if observed else "")


def _years(first: int, last: int, *, earliest: int, latest: int) -> range:
    given: tuple[tuple[str, object], ...] = (("first_year", first), ("last_year", last))
    for name, year in given:
        if not isinstance(year, int) or not earliest <= year <= latest:
            expected = f"a year from {earliest} to {latest}"
            do = "Write it as a number, such as 2026."
            raise InputError.of(name, got=repr(year), expected=expected, do=do)
    if last < first:
        got, do = f"{first} to {last}", "Swap the two years."
        expected = "a last year not before the first"
        raise InputError.of("first_year, last_year", got=got, expected=expected, do=do)
    return range(first, last + 1)

"""Demand that no history grows into: launches, marketing pushes, a merchant who joins.

This module answers: how much does each of them add to a root in each hour of each day? What is
added follows growth, `demand_x`, lifts and the mix: none of them multiplies it again. It has no
luck of its own: every path gets the same, as stated.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from capmodel.errors import InputError, Problem
from capmodel.history.localtime import hours_in, local_days, midnights
from capmodel.scenario.base import Level, Source, Spec

if TYPE_CHECKING:
    from capmodel.demand.paths import RootPaths
    from capmodel.scenario.core import Scenario

__all__ = [
    "Added",
    "Launch",
    "Onboarding",
    "Push",
    "Timetable",
    "added_to",
    "events_per_slot",
    "launch_problems",
    "sharpened",
    "with_added",
]

HOURS = 24


class Launch(Level):
    """Something new from a day on: a step, a linear ramp to full size, then perhaps a decay.

    ``level * min((k + 1) / ramp_days, 1) * 2^(-(k - full) / half_life_days)`` on day k after the
    start, with ``full`` the first day at full size; the hours follow the root's ordinary day.

    Examples
    --------
    >>> tv = Launch(
    ...     name="tv", root="checkouts", start="2026-11-20", per_min=300, ramp_days=3, source="plan"
    ... )
    >>> days = np.arange(np.datetime64("2026-11-19"), np.datetime64("2026-11-24"))
    >>> tv.share(days).round(3).tolist()
    [0.0, 0.333, 0.667, 1.0, 1.0]
    """

    name: Annotated[str, Field(min_length=1)]
    root: str
    start: dt.date
    """First local day."""
    end: dt.date | None = None
    """Local day on which nothing is left, exclusive; None: it stays."""
    ramp_days: Annotated[int, Field(ge=0)] = 0
    """Days until full size, the last of them full [days]; 0: full from the first day."""
    half_life_days: Annotated[float, Field(gt=0)] | None = None
    """Days after which half is left, counted from the first full one [days]; None: no decay."""
    together: bool = False
    """Whether it is meant to run beside another launch of the same root."""
    source: Source

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end is not None and self.end <= self.start:
            msg = f"end {self.end} is not after start {self.start}"
            raise ValueError(msg)
        return self

    def share(self, dates: np.ndarray) -> np.ndarray:
        """Return each day's share of full size, shape (N,) [ratio]."""
        k = (dates - np.datetime64(self.start)).astype(float)
        share = _ramp(k, self.ramp_days)
        if self.half_life_days is not None:
            full = max(self.ramp_days, 1) - 1
            share = share * np.exp2(-np.maximum(k - full, 0.0) / self.half_life_days)
        ended = False if self.end is None else dates >= np.datetime64(self.end)
        return np.where(ended, 0.0, share)

    @property
    def words(self) -> str:
        """Name and span in words."""
        return f"{self.name} from {self.start}" + (f" to {self.end}" if self.end else " on")

    def overlaps(self, other: Launch) -> bool:
        """Return whether both run on some day."""
        first, last = sorted((self, other), key=lambda one: one.start)
        return first.end is None or last.start < first.end


class Push(Spec):
    """A marketing push: a message to many, of whom a share comes, most of them at once.

    ``reach * response`` arrivals in all, ``reach * response * (1 - 2^(-t / half_life_hours))`` of
    them within t hours of the start.

    Examples
    --------
    >>> push = Push(
    ...     name="app",
    ...     root="checkouts",
    ...     start="2026-11-27T09:00",
    ...     reach=2e6,
    ...     response=0.01,
    ...     half_life_hours=2,
    ...     source="CRM, spring push",
    ... )
    >>> push.arrivals, float(push.arrived(2.0))
    (20000.0, 10000.0)
    """

    name: Annotated[str, Field(min_length=1)]
    root: str
    start: dt.datetime
    """Local time at which it is sent."""
    reach: Annotated[float, Field(gt=0)]
    """People who get it."""
    response: Annotated[float, Field(gt=0)]
    """Events of the root per person reached [ratio], at most 1."""
    half_life_hours: Annotated[float, Field(gt=0)]
    """Hours after which half of the arrivals have come [h]."""
    source: Source

    @model_validator(mode="after")
    def _plausible(self) -> Self:
        if self.start.tzinfo is not None:
            msg = f"start {self.start.isoformat()}: write the local time, without an offset"
            raise ValueError(msg)
        return self

    @field_validator("response")
    @classmethod
    def _a_share(cls, response: float) -> float:
        if response > 1:
            msg = f"events per person reached, at most 1; did you mean {response / 100:g}?"
            raise ValueError(msg)
        return response

    @property
    def arrivals(self) -> float:
        """Events that it brings in all."""
        return self.reach * self.response

    def arrived(self, hours: float | np.ndarray) -> np.ndarray:
        """Return the events that have come so many hours after the start [h]."""
        halves = np.maximum(hours, 0.0) / self.half_life_hours
        return np.asarray(-self.arrivals * np.expm1(-np.log(2) * halves))


class Onboarding(Level):
    """A merchant's volume from a day on, counted once.

    With ``in_history_since`` the history holds the merchant from that day on, and a day counts

    - nothing where the root follows its fitted trend (or `demand_x`): today's level has it;
    - nothing where growth is stated and the day's counterpart last season lies on or after
      ``in_history_since``: last season's level has it, and grows;
    - the whole volume where growth is stated and the counterpart lies before it: last season times
      growth has no such merchant.

    Without it the volume is added from ``start``, whatever growth says. The hours follow the root's
    ordinary day; neither growth nor lifts multiply the volume.
    """

    name: Annotated[str, Field(min_length=1)]
    root: str
    start: dt.date
    """First local day with volume."""
    ramp_days: Annotated[int, Field(ge=0)] = 0
    """Days until full size, the last of them full [days]; 0: full from the first day."""
    in_history_since: dt.date | None = None
    """First local day on which the history holds the volume; None: it never does."""
    source: Source

    @model_validator(mode="after")
    def _once(self) -> Self:
        if self.in_history_since is not None and self.in_history_since < self.start:
            msg = f"in_history_since {self.in_history_since} is before start {self.start}"
            raise ValueError(msg)
        return self

    def share(self, dates: np.ndarray, before: np.ndarray | None) -> np.ndarray:
        """Return each day's share of the volume that nothing else counts, shape (N,) [ratio].

        Parameters
        ----------
        dates
            Local days, shape (N,).
        before
            Counterparts last season where growth is stated, shape (N,); None: the level is today's.
        """
        share = _ramp((dates - np.datetime64(self.start)).astype(float), self.ramp_days)
        if self.in_history_since is None:
            return share
        if before is None:
            return np.zeros_like(share)
        return np.where(before >= np.datetime64(self.in_history_since), 0.0, share)


def _ramp(k: np.ndarray, ramp_days: int) -> np.ndarray:
    """Return the share of full size on day k after the start: 0 before, linear, then 1."""
    return np.where(k < 0, 0.0, np.minimum((k + 1) / max(ramp_days, 1), 1.0))


def launch_problems(scenario: str, launches: tuple[Launch, ...]) -> list[Problem]:
    """Return the launches that overlap, twice under one name or without saying so."""
    problems = []
    for one, other in combinations(launches, 2):
        if one.root != other.root or not one.overlaps(other):
            continue
        twice = one.name == other.name
        if twice or not (one.together or other.together):
            days = " and ".join(launch.words for launch in (one, other))
            problems.append(
                Problem(
                    where=f"{scenario}.launches.{other.name}",
                    got=f"overlapping launches of {one.root}: {days}",
                    expected="launches one after the other, or meant to run together",
                    do="Keep one of the two."
                    if twice
                    else "State an end, or together: true if both are meant.",
                )
            )
    return problems


@dataclass(frozen=True, slots=True, eq=False)
class Timetable:
    """The hours of the horizon as the clock counts them, and last season's days beside them."""

    dates: np.ndarray
    """Local days, shape (N,)."""
    counterparts: np.ndarray
    """Each day's counterpart last season, shape (N,), datetime64[D]."""
    day: np.ndarray
    """Day of each elapsed hour, shape (T,)."""
    hour: np.ndarray
    """Local hour of each elapsed hour, shape (T,)."""
    start: np.datetime64
    """First instant in UTC."""
    business_tz: str

    @classmethod
    def of(cls, dates: np.ndarray, counterparts: np.ndarray, *, business_tz: str) -> Self:
        """Return the timetable of consecutive local days."""
        start = midnights(dates[:1], business_tz)[0]
        days = local_days(start, int(hours_in(dates, business_tz).sum()), 60, business_tz)
        return cls(
            dates=dates,
            counterparts=counterparts,
            day=np.minimum(days.day_of_step, len(dates) - 1),
            hour=days.hour_of_step,
            start=start,
            business_tz=business_tz,
        )

    @property
    def hours(self) -> np.ndarray:
        """How often each local hour comes: 1, 2 in autumn, 0 in spring, shape (N, 24)."""
        return self.by_slot(np.ones(len(self.day)))

    def by_slot(self, values: np.ndarray) -> np.ndarray:
        """Return sums of elapsed hours' values by day and local hour, shape (N, 24)."""
        total = np.zeros((len(self.dates), HOURS))
        np.add.at(total, (self.day, self.hour), values)
        return total

    def elapsed(self, local: dt.datetime) -> np.ndarray:
        """Return hours from a local time to the beginning of each elapsed hour, shape (T,) [h]."""
        from zoneinfo import ZoneInfo  # noqa: PLC0415  only where something is sent

        at = local.replace(tzinfo=ZoneInfo(self.business_tz)).astimezone(dt.UTC)
        since = np.datetime64(at.replace(tzinfo=None)) - self.start.astype("datetime64[us]")
        return np.asarray(np.arange(len(self.day)) - since / np.timedelta64(1, "h"))


@dataclass(frozen=True, slots=True, eq=False)
class Added:
    """What a scenario adds to one root, before any path."""

    mean: np.ndarray
    """Mean of each hour, shape (N, H) [the root's quantity]."""
    pushed: np.ndarray
    """The part of it that pushes bring, shape (N, H)."""
    pushed_minute: np.ndarray
    """Busiest minute of that part in each hour, shape (N, H)."""


def added_to(scenario: Scenario, root: RootPaths, timetable: Timetable) -> Added | None:
    """Return what launches, onboarding and pushes add to a root, None where nothing does.

    Parameters
    ----------
    scenario
        The assumptions.
    root
        Paths before any scenario: they say what an ordinary day looks like.
    timetable
        Hours and counterparts of the root's days.
    """
    name, slots = root.service, root.shape.shape[2]
    launches = [one for one in scenario.launches if one.root == name]
    joined = [one for one in scenario.onboarding if one.root == name]
    pushes = [one for one in scenario.pushes if one.root == name]
    if not launches and not joined and not pushes:
        return None
    before = timetable.counterparts if scenario.states_growth(name) else None
    daily = np.zeros(len(root.dates))
    for launch in launches:
        daily += launch.level(root.quantity) * launch.share(root.dates)
    for merchant in joined:
        daily += merchant.level(root.quantity) * merchant.share(root.dates, before)
    pushed, minute = np.zeros((2, len(root.dates), slots))
    for push in pushes:
        mean, busiest = _pushed(push, root, timetable)
        pushed, minute = pushed + mean, minute + busiest
    steady = daily[:, None] * ordinary_hours(root)[None, :]
    return Added(mean=steady + pushed, pushed=pushed, pushed_minute=minute)


def ordinary_hours(root: RootPaths) -> np.ndarray:
    """Return the hours of the root's ordinary day, the busiest 1, shape (H,) [ratio].

    The mean of its event-free days over paths; of all days where the horizon has no such day.
    """
    windowed = {window.day for window in root.windows}
    calm = [i for i, event in enumerate(root.event) if not event and i not in windowed]
    days = root.shape[:, calm] if calm else root.shape
    hours = days.mean(axis=(0, 1))
    busiest = float(hours.max())
    return np.asarray(hours / busiest if busiest > 0 else np.ones(len(hours)))


def _pushed(push: Push, root: RootPaths, timetable: Timetable) -> tuple[np.ndarray, np.ndarray]:
    """Return a push's mean of each hour and its busiest minute in it [the root's quantity]."""
    since = timetable.elapsed(push.start)
    came = push.arrived(since + 1.0) - push.arrived(since)
    first = np.maximum(since, 0.0)  # of an hour, the minute nearest to the start is the busiest
    sent = since > -1.0
    minute = push.arrived(first + 1 / 60) - push.arrived(first)
    hours = np.maximum(timetable.hours, 1.0)
    mean = timetable.by_slot(came / 60) / hours
    busiest = np.zeros_like(mean)
    np.maximum.at(busiest, (timetable.day, timetable.hour), np.where(sent, minute, 0.0))
    if root.shape.shape[2] == 1:  # a busiest minute whose hour is not known: peaks are added
        busiest = busiest.max(axis=1, keepdims=True)
        mean = busiest
    unit = 1.0 if root.quantity == "per_min" else 1 / 60
    return mean * unit, busiest * unit


def with_added(root: RootPaths, added: Added | None, factor: np.ndarray) -> RootPaths:
    """Return a root whose paths hold what is added: ``shape + added / factor``.

    The factor of the scenario multiplies the shape afterwards, and leaves the added part as stated.
    """
    if added is None:
        return root
    return replace(root, shape=root.shape + added.mean[None, :, :] / factor[:, :, None])


def sharpened(
    burst: np.ndarray, root: RootPaths, added: Added | None, factor: np.ndarray
) -> np.ndarray:
    """Return the burst with the first minutes of pushes, which no ordinary hour has.

    A push that halves within the hour peaks higher above the hour's mean than ordinary traffic:
    its busiest minute counts in full, beside the burst of the rest.

    Parameters
    ----------
    burst
        Busiest minute / mean of the hour, broadcastable to (D, N, H) [ratio].
    root, added, factor
        Paths that hold what is added, and the scenario's factor, shape (D, N).
    """
    if added is None or not added.pushed.any() or root.shape.shape[2] == 1:
        return burst
    total = root.shape * factor[:, :, None]
    excess = np.maximum(added.pushed_minute - added.pushed * burst, 0.0)
    return np.asarray(burst + excess / np.where(total > 0, total, 1.0))


def events_per_slot(root: RootPaths, timetable: Timetable) -> np.ndarray:
    """Return the events of one unit of level over each slot, shape (N, H).

    Raises
    ------
    InputError
        When the root is declared as a busiest minute: no total of a day follows from it.
    """
    if root.shape.shape[2] == 1:
        raise InputError.of(
            root.service,
            got="a level declared as a busiest minute, of which no total of a day follows",
            expected="a root with hours: a history",
            do="State growth_yoy_x instead of an anchor.",
        )
    return np.asarray(timetable.hours * (60.0 if root.quantity == "per_min" else 3600.0))

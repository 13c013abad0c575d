"""Relief of a limit that only somebody else can raise: ask for more, shed, or let calls wait.

This module answers: how much has to be asked for, does leaving out a share of the calls suffice,
and how long would the calls above the limit queue?
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capmodel.capacity.databases import status_of
from capmodel.capacity.remedies import Remedy
from capmodel.capacity.replicas import SLACK

if TYPE_CHECKING:
    from capmodel.schema import Basis

__all__ = ["Backlog", "QuotaPressure", "backlog_of", "quota_remedies", "to_ask_for"]


@dataclass(frozen=True, slots=True)
class QuotaPressure:
    """A limit, its load at the season's P50 peak and today, and what its owner allows.

    ``load``, ``today``, ``hard`` in the limit's unit; ``needed`` what keeps policy and risk;
    ``shed_max`` the largest share of calls that may be left out [ratio], 0 for none; ``waits``
    whether calls may queue.
    """

    load: float
    today: float
    hard: float
    policy_x: float
    needed: float
    lead_days: int
    basis: Basis
    shed_max: float = 0.0
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Backlog:
    """What queues in front of a limit, per hour at the peak."""

    per_hour: float
    """Calls that wait after an hour at the peak."""
    oldest_s: float
    """How long the last of them waits [s]."""
    drain_s: float
    """Time until none waits once load is today's [s]; inf where today's load fills the limit."""


def to_ask_for(needed: float, *, load: float, ask_x: float) -> float:
    """Return the value to ask for: what is needed, and no less than `ask_x` times the P50 load.

    Parameters
    ----------
    needed, load
        What keeps policy and risk, and the P50 of the likeliest scenario [the limit's unit].
    ask_x
        Margin of a request that takes weeks and is made once [ratio].

    Examples
    --------
    >>> to_ask_for(115, load=84.0, ask_x=1.5)
    126.0
    """
    return float(math.ceil(max(needed, ask_x * load) - SLACK))


def backlog_of(load: float, *, hard: float, today: float) -> Backlog:
    """Return what queues during an hour at the peak, and how long it takes to drain afterwards.

    Formulas: ``(load - hard) * 3600`` calls; the last of them waits ``backlog / hard``; they drain
    in ``backlog / (hard - today)`` (a fluid queue: Kleinrock 1976, *Queueing Systems*, vol. 2,
    §2.7).

    Parameters
    ----------
    load, hard, today
        Calls per second at the peak, the limit, and afterwards [1/s].

    Examples
    --------
    >>> backlog = backlog_of(84.0, hard=80.0, today=67.2)
    >>> backlog.per_hour, backlog.oldest_s, round(backlog.drain_s)
    (14400.0, 180.0, 1125)
    """
    waiting = max(load - hard, 0.0) * 3600.0
    spare = hard - today
    drain = waiting / spare if spare > 0 else math.inf
    return Backlog(per_hour=waiting, oldest_s=waiting / hard, drain_s=drain if waiting else 0.0)


def quota_remedies(pressure: QuotaPressure, *, ask: float) -> tuple[Remedy, ...]:
    """Return raising, shedding and queueing, each with what it leaves.

    Parameters
    ----------
    pressure
        The limit and its load.
    ask
        The value to ask for, :func:`to_ask_for` [the limit's unit].
    """
    found = [_raise(pressure, ask)]
    if pressure.shed_max > 0:
        found.append(_shed(pressure))
    if pressure.waits:
        found.append(_queue(pressure))
    return tuple(found)


def _raise(pressure: QuotaPressure, ask: float) -> Remedy:
    after = pressure.load / max(ask, pressure.hard)
    return Remedy(
        remedy="raise the quota",
        from_value=f"{pressure.hard:,.6g}",
        to_value=f"{max(ask, pressure.hard):,.6g}",
        utilization_after=after,
        status_after=status_of(after, policy_x=pressure.policy_x),
        usd_season=None,
        lead_days=pressure.lead_days,
        basis=pressure.basis,
    )


def _shed(pressure: QuotaPressure) -> Remedy:
    after = pressure.load * (1 - pressure.shed_max) / pressure.hard
    status = status_of(after, policy_x=pressure.policy_x)
    words = "" if status == "GREEN" else ", not enough"
    return Remedy(
        remedy=f"leave out {pressure.shed_max:.3g} of the calls{words}",
        from_value=f"{pressure.load:,.6g}",
        to_value=f"{pressure.load * (1 - pressure.shed_max):,.6g}",
        utilization_after=after,
        status_after=status,
        usd_season=None,
        lead_days=0,
        basis=pressure.basis,
    )


def _queue(pressure: QuotaPressure) -> Remedy:
    backlog = backlog_of(pressure.load, hard=pressure.hard, today=pressure.today)
    drain = (
        "never drains" if math.isinf(backlog.drain_s) else f"drain {backlog.drain_s / 60:.3g} min"
    )
    after = min(pressure.load, pressure.hard) / pressure.hard
    return Remedy(
        remedy="let calls wait",
        from_value="0",
        to_value=f"{backlog.per_hour:,.6g} waiting per hour at the peak, oldest "
        f"{backlog.oldest_s:.3g} s, {drain}",
        utilization_after=after,
        status_after=status_of(after, policy_x=pressure.policy_x),
        usd_season=None,
        lead_days=0,
        basis=pressure.basis,
    )

"""Target utilization from a service-level objective.

This module answers: how busy may a pod's cores, or a pool's slots, be on average so that requests
still meet their SLO, with some load to spare; and what does an autoscaler have to be told?

The queue is that of one pod or one pool. Random balancing over pods gives every pod a queue of its
own: take the pod's cores, never the cluster's.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from capmodel.errors import InputError
from capmodel.laws.arguments import number, raise_any, whole
from capmodel.laws.slo_rules import Rule, Station, rule_bound

__all__ = [
    "RuleBound",
    "TargetUtilization",
    "hpa_target_percent",
    "target_utilization",
    "utilization_after_zone_loss",
    "utilization_before_zone_loss",
]

CONFIRMED_WITHIN = 0.15
"""Largest relative difference between an observed and a predicted p99 that confirms a target."""

_RATIO = "Write 0.8 for 80 %."


@dataclass(frozen=True, slots=True)
class RuleBound:
    """The largest utilization at which one rule of the SLO holds."""

    rule: str
    utilization: float
    """Short-term utilization [ratio]."""


@dataclass(frozen=True, slots=True)
class TargetUtilization:
    """A target utilization and where it comes from. Advisory until :meth:`confirmed`."""

    utilization: float
    """Target for the monitored mean (hourly, say): short_term / burst_x [ratio]."""
    short_term: float
    """``min(raw / sensitivity_x, hard_cap)`` [ratio]."""
    raw: float
    """What the SLO alone allows in the short term: the smallest of the bounds [ratio]."""
    bounds: tuple[RuleBound, ...]
    """One for each rule, in the order given."""
    binds: str
    """The rule that decides, or the hard cap."""
    station: Station
    burst_x: float
    sensitivity_x: float
    hard_cap: float
    advisory: bool = True
    """Until a load test or a p99 history confirms the queue's prediction."""
    confirmation_error: float | None = None
    """``observed / predicted − 1`` of the last comparison [ratio]."""

    def confirmed(self, *, observed_p99_s: float, predicted_p99_s: float) -> TargetUtilization:
        """Return a copy that is no longer advisory if the prediction was within 15 %.

        Parameters
        ----------
        observed_p99_s
            Measured p99 of the response [s], from a load test or a history.
        predicted_p99_s
            What ``station.response_percentile(0.99, utilization=...)`` says for the utilization
            of that measurement [s].

        Raises
        ------
        InputError
            A time that is not above 0.

        Examples
        --------
        >>> from capmodel.laws import ResponsePercentile, Station
        >>> station = Station(servers=4, service_s=0.02)
        >>> target = target_utilization(station, [ResponsePercentile(0.99, 0.16)])
        >>> predicted = station.response_percentile(0.99, utilization=0.6)
        >>> target.confirmed(observed_p99_s=0.11, predicted_p99_s=predicted).advisory
        False
        >>> target.confirmed(observed_p99_s=0.20, predicted_p99_s=predicted).advisory
        True
        """
        raise_any(
            [
                *number("observed_p99_s", observed_p99_s, "Give seconds.", above=0),
                *number("predicted_p99_s", predicted_p99_s, "Give seconds.", above=0),
            ]
        )
        error = observed_p99_s / predicted_p99_s - 1
        return dataclasses.replace(
            self, advisory=abs(error) > CONFIRMED_WITHIN, confirmation_error=error
        )

    def explain(self) -> str:
        """Return the derivation, a line for each step.

        Examples
        --------
        >>> from capmodel.laws import Station, WaitProbability
        >>> station = Station(servers=8, service_s=0.01)
        >>> print(target_utilization(station, [WaitProbability(0.2)], burst_x=1.25).explain())
        P(wait) <= 0.2: at most 0.6513
        with 1.1 x the load still inside the SLO: 0.5921
        hard cap: 0.8500
        P(wait) <= 0.2 binds: 0.5921 in the short term
        bursts of 1.25 x the monitored mean: target 0.4737 (advisory)
        """
        spared = self.raw / self.sensitivity_x
        target = f"{self.utilization:.4f} ({'advisory' if self.advisory else 'confirmed'})"
        return "\n".join(
            [
                *(f"{bound.rule}: at most {bound.utilization:.4f}" for bound in self.bounds),
                f"with {self.sensitivity_x:g} x the load still inside the SLO: {spared:.4f}",
                f"hard cap: {self.hard_cap:.4f}",
                f"{self.binds} binds: {self.short_term:.4f} in the short term",
                f"bursts of {self.burst_x:g} x the monitored mean: target {target}",
            ]
        )


def target_utilization(
    station: Station,
    slo: Sequence[Rule],
    *,
    burst_x: float = 1.0,
    sensitivity_x: float = 1.10,
    hard_cap: float = 0.85,
) -> TargetUtilization:
    """Return the mean utilization at which the SLO still holds in bursts, with load to spare.

    1. ``raw``: the largest ρ at which every rule holds, solved on M/M/c or, with another scv, on
       the approximations of G/G/c.
    2. ``short_term = min(raw / sensitivity_x, hard_cap)``: the SLO still holds at sensitivity_x
       times the load, and the cap stands for what no queue knows (hyper-threads, garbage
       collection). Percentile rules alone allow many cores to be 95 % busy and more, where any
       error of the forecast saturates them.
    3. ``utilization = short_term / burst_x``: the rules bound the short-term load, the target is
       compared with a mean over a longer time.

    Parameters
    ----------
    station
        The queue.
    slo
        Rules, at least one: :class:`~capmodel.laws.WaitProbability`,
        :class:`~capmodel.laws.MeanResponse`, :class:`~capmodel.laws.WaitPercentile`,
        :class:`~capmodel.laws.ResponsePercentile`.
    burst_x
        Short-term load / mean load over the monitored time [ratio], from 1.
    sensitivity_x
        Load at which the SLO must still hold / planned load [ratio], from 1.
    hard_cap
        Largest short-term utilization [ratio], in (0, 1).

    Returns
    -------
    TargetUtilization
        Advisory until confirmed.

    Raises
    ------
    InputError
        No rule; an argument outside its range.
    ModelError
        A rule that fails even on idle servers.

    References
    ----------
    Kleinrock, L. (1975). Queueing Systems, volume 1, section 3.5; Allen, A. O. (1990). Probability,
    Statistics, and Queueing Theory, 2nd edition, section 5.3.

    Examples
    --------
    >>> from capmodel.laws import ResponsePercentile, Station, WaitProbability
    >>> station = Station(servers=8, service_s=0.010)
    >>> target = target_utilization(station, [WaitProbability(0.2), ResponsePercentile(0.99, 0.08)])
    >>> round(target.raw, 4), round(target.utilization, 4), target.binds
    (0.6513, 0.5921, 'P(wait) <= 0.2')
    """
    raise_any(
        [
            *number("burst_x", burst_x, "Short-term load / mean load; 1 for none.", least=1),
            *number("sensitivity_x", sensitivity_x, "Write 1.1 for +10 % load.", least=1),
            *number("hard_cap", hard_cap, _RATIO, above=0, below=1),
        ]
    )
    if not slo:
        raise InputError.of(
            "slo",
            got="no rule",
            expected="at least one rule",
            do="Name an SLO, or declare the target utilization.",
        )
    bounds = tuple(RuleBound(str(rule), rule_bound(rule, station)) for rule in slo)
    tightest = min(bounds, key=lambda bound: bound.utilization)
    spared = tightest.utilization / sensitivity_x
    short_term = min(spared, hard_cap)
    return TargetUtilization(
        utilization=short_term / burst_x,
        short_term=short_term,
        raw=tightest.utilization,
        bounds=bounds,
        binds=tightest.rule if spared <= hard_cap else f"hard cap {hard_cap:g}",
        station=station,
        burst_x=burst_x,
        sensitivity_x=sensitivity_x,
        hard_cap=hard_cap,
    )


def hpa_target_percent(
    target_utilization: float, *, limit_cores: float, request_cores: float
) -> int:
    """Return the target as an autoscaler reads it: percent of the CPU *request*, rounded down.

    ``100 · u · limit / request``. It exceeds 100 where a pod may use more than it requests.

    Parameters
    ----------
    target_utilization
        Of the effective cores [ratio], in (0, 1].
    limit_cores
        Effective cores of a pod: its limit, or its burst share of the node.
    request_cores
        CPU request of a pod [cores].

    Raises
    ------
    InputError
        An argument outside its range; a target below one percent of the request.

    References
    ----------
    Kubernetes documentation, Horizontal Pod Autoscaling: ``averageUtilization`` is a percentage of
    the requested value.

    Examples
    --------
    >>> hpa_target_percent(0.70, limit_cores=2.0, request_cores=1.0)
    140
    """
    cores = "Give cores of one pod."
    raise_any(
        [
            *number("target_utilization", target_utilization, _RATIO, above=0, most=1),
            *number("limit_cores", limit_cores, cores, above=0),
            *number("request_cores", request_cores, cores, above=0),
        ]
    )
    exact = 100 * target_utilization * limit_cores / request_cores
    percent = math.floor(exact + 1e-9)  # 139.99999999999997 is 140
    if percent < 1:
        raise InputError.of(
            "request_cores",
            got=f"{request_cores:g} cores for a target of {exact:.3g} % of them",
            expected="a target of at least 1 % of the request",
            do="Lower the request toward what the pod uses.",
        )
    return percent


def utilization_after_zone_loss(rho: float, *, zones: int, lost: int = 1) -> float:
    """Return the utilization of the zones that remain, ``ρ·z/(z − lost)`` [ratio].

    The lost zones' load is spread evenly. Above 1 they cannot carry it; the number is returned as
    it is.

    Parameters
    ----------
    rho
        Utilization with all zones [ratio].
    zones
        z, equal zones.
    lost
        Zones that fail, fewer than `zones`.

    Raises
    ------
    InputError
        A negative or infinite utilization; zones that are not whole, or none left.

    Examples
    --------
    >>> utilization_after_zone_loss(0.5, zones=3)
    0.75
    """
    return rho * zones / _zones_left(rho, zones, lost)


def utilization_before_zone_loss(rho: float, *, zones: int, lost: int = 1) -> float:
    """Return what all zones may be used so that the rest stay at `rho`, ``ρ·(z − lost)/z`` [ratio].

    Parameters and errors are those of :func:`utilization_after_zone_loss`, whose inverse it is.

    Examples
    --------
    >>> utilization_before_zone_loss(0.75, zones=3)
    0.5
    """
    return rho * _zones_left(rho, zones, lost) / zones


def _zones_left(rho: float, zones: int, lost: int) -> int:
    problems = [
        *number("rho", rho, _RATIO, least=0),
        *whole("zones", zones),
        *whole("lost", lost, least=0),
    ]
    raise_any(problems)
    if lost >= zones:
        raise InputError.of(
            "lost",
            got=f"{lost} of {zones} zones",
            expected="at least one zone left",
            do="Plan another region for the loss of every zone.",
        )
    return zones - lost

"""A queue and the rules of a service-level objective for it.

This module answers: at which utilization of a pod's cores, or of a pool's slots, does one rule of
an SLO just hold?
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from capmodel.errors import ModelError
from capmodel.laws.arguments import number, raise_any, root
from capmodel.laws.erlang import erlang_c
from capmodel.laws.ggc import cautious_wait
from capmodel.laws.ggc_percentiles import (
    ggc_response_percentile,
    ggc_response_tail,
    ggc_wait_percentile,
    ggc_wait_tail,
)

__all__ = [
    "MeanResponse",
    "ResponsePercentile",
    "Rule",
    "Station",
    "WaitPercentile",
    "WaitProbability",
    "rule_bound",
]

_FULL: Final = 1 - 1e-12
"""Where a bound is no longer looked for: above it the queue has no steady state to speak of."""

_QUANTILE = "Write 0.99 for the 99th percentile."
_RATIO = "Write 0.8 for 80 %."


@dataclass(frozen=True, slots=True)
class Station:
    """One queue in front of servers: a pod's cores, or a pool's slots.

    For the CPU queue `service_s` is CPU per request and `servers` the effective cores (the limit
    if set, else the pod's burst share of its node). For a worker or connection pool `service_s` is
    the holding time and `servers` the slots.

    A queue has whole servers. Of c effective cores the queue gets ``max(1, ⌊c⌋)``; the utilization
    that these may have is then a ratio of all c. Above one core that is on the safe side, because
    more servers may be busier. Below one core the quota stretches each request to S/c on one
    server.

    Raises
    ------
    InputError
        Servers or service time not above 0, a negative scv, or both scv 0 (nothing varies, nothing
        waits: no bound follows).

    Examples
    --------
    >>> Station(servers=2.5, service_s=0.02).queue_servers
    2
    >>> Station(servers=0.5, service_s=0.02).queue_service_s
    0.04
    """

    servers: float
    """c, effective cores or slots."""
    service_s: float
    """S, mean CPU per request, or mean holding time [s]."""
    service_scv: float = 1.0
    """cs², variance / mean² of the service time, from low load; 1 is exponential."""
    arrival_scv: float = 1.0
    """ca², variance / mean² of the time between arrivals; 1 is Poisson."""

    def __post_init__(self) -> None:
        scv = "Give variance / mean²; 1 for exponential times."
        problems = [
            *number("servers", self.servers, "Give effective cores, or slots.", above=0),
            *number("service_s", self.service_s, "Give the mean service time in s.", above=0),
            *number("service_scv", self.service_scv, scv, least=0),
            *number("arrival_scv", self.arrival_scv, scv, least=0),
        ]
        if not problems:
            spread = self.arrival_scv + self.service_scv
            problems = number("arrival_scv + service_scv", spread, scv, above=0)
        raise_any(problems)

    @property
    def queue_servers(self) -> int:
        """Whole servers of the queue, ``max(1, ⌊c⌋)``."""
        return max(1, math.floor(self.servers + 1e-9))  # 2.9999999999999996 cores are 3

    @property
    def queue_service_s(self) -> float:
        """Service time on one of them [s]: S, or S/c with less than one core."""
        return self.service_s / min(self.servers, 1.0)

    @property
    def exact(self) -> bool:
        """Whether the bounds are those of M/M/c, not of an approximation."""
        return self.arrival_scv == self.service_scv == 1 and self.servers == self.queue_servers

    def mean_response(self, *, utilization: float) -> float:
        """Return the mean response [s] at this utilization, from :func:`cautious_wait`."""
        _check_utilization(utilization)
        return self.queue_service_s + _mean_wait(self, utilization)

    def wait_percentile(self, q: float, *, utilization: float) -> float:
        """Return the q-quantile of the wait [s] at this utilization."""
        _check_utilization(utilization)
        return ggc_wait_percentile(
            q,
            servers=self.queue_servers,
            load=utilization * self.queue_servers,
            service_s=self.queue_service_s,
            arrival_scv=self.arrival_scv,
            service_scv=self.service_scv,
        )

    def response_percentile(self, q: float, *, utilization: float) -> float:
        """Return the q-quantile of the response [s] at this utilization.

        Examples
        --------
        >>> round(Station(servers=4, service_s=0.02).response_percentile(0.99, utilization=0.75), 6)
        0.120126
        """
        _check_utilization(utilization)
        return ggc_response_percentile(
            q,
            servers=self.queue_servers,
            load=utilization * self.queue_servers,
            service_s=self.queue_service_s,
            arrival_scv=self.arrival_scv,
            service_scv=self.service_scv,
        )


def _check_utilization(utilization: float) -> None:
    raise_any(number("utilization", utilization, _RATIO, least=0, below=1))


def _mean_wait(station: Station, utilization: float) -> float:
    return cautious_wait(
        servers=station.queue_servers,
        load=utilization * station.queue_servers,
        service_s=station.queue_service_s,
        arrival_scv=station.arrival_scv,
        service_scv=station.service_scv,
    )


@dataclass(frozen=True, slots=True)
class WaitProbability:
    """At most this share of the requests waits: ``P(W > 0) <= at_most``.

    Erlang's C, whatever the scv: it hardly depends on the law of the service time. Bursty arrivals
    (ca² > 1) wait more often than it says; add a percentile rule for them.
    """

    at_most: float

    def __post_init__(self) -> None:
        raise_any(number("at_most", self.at_most, "Write 0.05 for 5 %.", above=0, below=1))

    def __str__(self) -> str:
        return f"P(wait) <= {self.at_most:g}"


@dataclass(frozen=True, slots=True)
class MeanResponse:
    """The mean response is at most this multiple of an idle server's, ``mean R <= k·S``."""

    at_most_x: float

    def __post_init__(self) -> None:
        do = "A multiple of the service time: 1.2 accepts a wait of 20 % of it."
        raise_any(number("at_most_x", self.at_most_x, do, above=1))

    def __str__(self) -> str:
        return f"mean response <= {self.at_most_x:g} x service"


@dataclass(frozen=True, slots=True)
class WaitPercentile:
    """The q-quantile of the wait is at most this long [s]."""

    q: float
    at_most_s: float

    def __post_init__(self) -> None:
        raise_any(
            [
                *number("q", self.q, _QUANTILE, above=0, below=1),
                *number("at_most_s", self.at_most_s, "Give seconds.", least=0),
            ]
        )

    def __str__(self) -> str:
        return f"p{100 * self.q:g} wait <= {self.at_most_s:g} s"


@dataclass(frozen=True, slots=True)
class ResponsePercentile:
    """The q-quantile of the response time is at most this long [s]."""

    q: float
    at_most_s: float

    def __post_init__(self) -> None:
        raise_any(
            [
                *number("q", self.q, _QUANTILE, above=0, below=1),
                *number("at_most_s", self.at_most_s, "Give seconds.", above=0),
            ]
        )

    def __str__(self) -> str:
        return f"p{100 * self.q:g} response <= {self.at_most_s:g} s"


Rule = WaitProbability | MeanResponse | WaitPercentile | ResponsePercentile


def rule_bound(rule: Rule, station: Station) -> float:
    """Return the largest short-term utilization at which one rule holds [ratio].

    Parameters
    ----------
    rule
        Of the SLO.
    station
        The queue: M/M/c is exact, another scv is approximated.

    Raises
    ------
    ModelError
        The rule fails even on idle servers.

    Examples
    --------
    >>> round(rule_bound(MeanResponse(2.0), Station(servers=1, service_s=0.02)), 12)
    0.5
    """
    excess = _excess(rule, station)
    if excess(0.0) >= 0:
        raise ModelError.of(
            str(rule),
            got=f"a service time of {station.queue_service_s:g} s "
            f"(variance / mean² {station.service_scv:g}), which breaks it on idle servers",
            expected="a rule that some utilization meets",
            do="Shorten the service time, or relax the rule.",
        )
    return _FULL if excess(_FULL) <= 0 else root(excess, 0.0, _FULL)


def _excess(rule: Rule, station: Station) -> Callable[[float], float]:
    """Return by how much the rule is broken at a utilization: bounded, rising, 0 at the bound."""
    c, service_s = station.queue_servers, station.queue_service_s
    scv = {"arrival_scv": station.arrival_scv, "service_scv": station.service_scv}
    match rule:
        case WaitProbability(at_most):
            return lambda rho: erlang_c(servers=c, load=rho * c) - at_most
        case MeanResponse(at_most_x):
            wait = (at_most_x - 1) * service_s
            return lambda rho: (1 - rho) * (_mean_wait(station, rho) - wait)
        case WaitPercentile(q, at_most_s):
            return lambda rho: (
                ggc_wait_tail(at_most_s, servers=c, load=rho * c, service_s=service_s, **scv)
                - (1 - q)
            )
        case ResponsePercentile(q, at_most_s):
            return lambda rho: (
                ggc_response_tail(at_most_s, servers=c, load=rho * c, service_s=service_s, **scv)
                - (1 - q)
            )

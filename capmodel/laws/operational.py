"""Operational laws: exact relations between counts and times, without any assumed distribution.

This module answers: how busy is a resource, what does one request cost, how many requests are in
flight, and what can a closed system reach at best?
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from capmodel.errors import InputError, Problem
from capmodel.laws.arguments import Floats, number, raise_any, whole

__all__ = [
    "BottleneckBounds",
    "bottleneck_bounds",
    "forced_flow",
    "interactive_response",
    "little",
    "service_demand",
    "utilization",
]

_DENNING = "Check the measurement and its unit."


def utilization(*, throughput: float, service_s: float, servers: int = 1) -> float:
    """Return the utilization law ``U = X·S / c`` [ratio].

    Above 1 the stated throughput cannot be served; the number is returned as it is.

    Parameters
    ----------
    throughput
        X, completions [1/s].
    service_s
        S, service time per completion [s].
    servers
        c, servers that share the work.

    Raises
    ------
    InputError
        A negative or infinite argument; servers that are not a whole number.

    References
    ----------
    Denning, P. J., & Buzen, J. P. (1978). The operational analysis of queueing network models.
    ACM Computing Surveys 10(3), 225-261, section 2.

    Examples
    --------
    >>> utilization(throughput=250, service_s=0.02, servers=8)
    0.625
    """
    raise_any(
        [
            *number("throughput", throughput, _DENNING, least=0),
            *number("service_s", service_s, _DENNING, least=0),
            *whole("servers", servers),
        ]
    )
    return throughput * service_s / servers


def forced_flow(*, throughput: float, visits: float) -> float:
    """Return the forced flow law ``X_k = V_k·X`` [1/s]: calls that a resource sees.

    Parameters
    ----------
    throughput
        X, completions of the system [1/s].
    visits
        V_k, calls to the resource per completion.

    Raises
    ------
    InputError
        A negative or infinite argument.

    References
    ----------
    Denning & Buzen (1978), see :func:`utilization`.

    Examples
    --------
    >>> forced_flow(throughput=40, visits=2.5)
    100.0
    """
    raise_any(
        [
            *number("throughput", throughput, _DENNING, least=0),
            *number("visits", visits, _DENNING, least=0),
        ]
    )
    return throughput * visits


def service_demand(*, busy_servers: float, throughput: float) -> float:
    """Return the service demand law ``D = U/X`` [server-seconds per request].

    With busy cores for U this is what one request costs in core-seconds.

    Parameters
    ----------
    busy_servers
        U, mean number of busy servers: utilization × servers.
    throughput
        X, completions of the system [1/s], above 0.

    Raises
    ------
    InputError
        A negative or infinite argument; no throughput.

    References
    ----------
    Denning & Buzen (1978), see :func:`utilization`.

    Examples
    --------
    Eight cores at 42 % for 300 s and 51,000 completions:

    >>> round(service_demand(busy_servers=0.42 * 8, throughput=51_000 / 300), 16)
    0.0197647058823529
    """
    raise_any(
        [
            *number("busy_servers", busy_servers, _DENNING, least=0),
            *number("throughput", throughput, "Without completions no demand is defined.", above=0),
        ]
    )
    return busy_servers / throughput


def little(
    *,
    in_flight: float | None = None,
    throughput: float | None = None,
    response_s: float | None = None,
) -> float:
    """Return the one that is not given of Little's law ``L = X·R``.

    It holds for anything that requests enter and leave: a queue, a pool, connections, a service.

    Parameters
    ----------
    in_flight
        L, mean number inside.
    throughput
        X, entries or exits [1/s].
    response_s
        R, mean time inside [s].

    Raises
    ------
    InputError
        Not exactly two given; a negative or infinite one; a division by 0.

    References
    ----------
    Little, J. D. C. (1961). A proof for the queuing formula L = λW. Operations Research 9(3),
    383-387.

    Examples
    --------
    >>> little(throughput=200, response_s=0.05)
    10.0
    >>> little(in_flight=10, throughput=200)
    0.05
    """
    named = {"in_flight": in_flight, "throughput": throughput, "response_s": response_s}
    given = {name: value for name, value in named.items() if value is not None}
    if len(given) != len(named) - 1:
        raise InputError.of(
            "little",
            got=", ".join(given) or "nothing",
            expected="two of in_flight, throughput and response_s",
            do="Leave out the one that is asked for.",
        )
    divisor = None if in_flight is None else next(name for name in given if name != "in_flight")
    problems: list[Problem] = []
    for name, value in given.items():
        least, above = (None, 0.0) if name == divisor else (0.0, None)
        problems += number(name, value, _DENNING, least=least, above=above)
    raise_any(problems)
    if in_flight is None:
        return given["throughput"] * given["response_s"]
    return in_flight / given[str(divisor)]


def interactive_response(*, customers: float, throughput: float, think_s: float) -> float:
    """Return the interactive response time law ``R = N/X − Z`` [s].

    Parameters
    ----------
    customers
        N, users of the closed system.
    throughput
        X, completions of the system [1/s], above 0.
    think_s
        Z, mean time between an answer and the user's next request [s].

    Raises
    ------
    InputError
        A negative or infinite argument; no throughput; more throughput than N users who think for
        Z seconds can offer, which says that one of the three was measured wrongly.

    References
    ----------
    Denning & Buzen (1978), see :func:`utilization`.

    Examples
    --------
    >>> interactive_response(customers=60, throughput=50, think_s=1.0)
    0.19999999999999996
    """
    raise_any(
        [
            *number("customers", customers, _DENNING, least=0),
            *number("throughput", throughput, _DENNING, above=0),
            *number("think_s", think_s, _DENNING, least=0),
        ]
    )
    response_s = customers / throughput - think_s
    if response_s < 0:
        raise InputError.of(
            "throughput",
            got=f"{throughput:g}/s from {customers:g} customers who think for {think_s:g} s",
            expected=f"at most {customers / think_s:g}/s",
            do="Measure the three over the same interval, with the real think time.",
        )
    return response_s


@dataclass(frozen=True, slots=True, eq=False)
class BottleneckBounds:
    """What a closed system can reach at best: asymptotic bounds and the knee between them."""

    throughput_most: Floats
    """Upper bound of X [1/s], shape of customers."""
    response_least_s: Floats
    """Lower bound of R [s], shape of customers."""
    knee_customers: float
    """N*, where the two asymptotes meet: more customers than that must queue."""
    bottleneck: int
    """Index of the largest demand."""


def bottleneck_bounds(
    demands_s: npt.ArrayLike, *, customers: npt.ArrayLike, think_s: float = 0.0
) -> BottleneckBounds:
    """Return the asymptotic bounds of a closed single-class system.

    ``X(N) <= min(1/D_max, N/(D + Z))``, ``R(N) >= max(D, N·D_max − Z)``,
    ``N* = (D + Z)/D_max`` with ``D = Σ D_k``.

    Parameters
    ----------
    demands_s
        D_k, service demand at each single-server resource [s], shape (K,).
    customers
        N, shape (...).
    think_s
        Z [s].

    Raises
    ------
    InputError
        Negative or infinite arguments; no demand at all.

    References
    ----------
    Denning & Buzen (1978), see :func:`utilization`; Lazowska, E. D., Zahorjan, J., Graham, G. S.,
    & Sevcik, K. C. (1984). Quantitative System Performance, chapter 5.

    Examples
    --------
    >>> bounds = bottleneck_bounds([0.010, 0.025, 0.040], customers=[1, 40], think_s=0.5)
    >>> round(bounds.knee_customers, 9), bounds.bottleneck
    (14.375, 2)
    >>> bounds.throughput_most.round(4).tolist()
    [1.7391, 25.0]
    """
    problems = [
        *number("demands_s", demands_s, "Give seconds per request at each resource.", least=0),
        *number("customers", customers, "Give a number of users or requests.", least=0),
        *number("think_s", think_s, "Give seconds; 0 for none.", least=0),
    ]
    raise_any(problems)
    demand = np.atleast_1d(np.asarray(demands_s, dtype=float))
    raise_any(number("largest of demands_s", demand.max(), "Name a resource that works.", above=0))
    n = np.asarray(customers, dtype=float)
    most, total = float(demand.max()), float(demand.sum())
    return BottleneckBounds(
        throughput_most=np.minimum(1 / most, n / (total + think_s)),
        response_least_s=np.maximum(total, n * most - think_s),
        knee_customers=(total + think_s) / most,
        bottleneck=int(np.argmax(demand)),
    )

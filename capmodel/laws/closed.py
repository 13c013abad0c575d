"""Closed and open networks of queues: a fixed number of users, or several classes of requests.

This module answers: what throughput and response does a load test with N users reach, and how do
classes of requests slow each other down?

A queueing centre is one server with exponential or processor-shared service; a delay centre holds
requests without making them wait (a network, a remote call). Demands are seconds per request at a
centre, visits × service time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from capmodel.errors import InputError, ModelError, Problem
from capmodel.laws.arguments import Floats, number, raise_any, whole

__all__ = [
    "ClosedNetwork",
    "FinitePopulation",
    "MulticlassNetwork",
    "closed_mva",
    "finite_population",
    "multiclass_mva",
    "open_network",
    "schweitzer_mva",
]

_DEMANDS = "Give seconds per request at each centre."
_THINK = "Give seconds; 0 for none."
MOST_STATES = 200_000
"""Populations that :func:`multiclass_mva` goes through at most, in some ten seconds."""


@dataclass(frozen=True, slots=True)
class FinitePopulation:
    """Steady state of M/M/c//N."""

    throughput: float
    """X, completions [1/s]."""
    response_s: float
    """R, mean time of waiting and service [s]."""
    utilization: float
    """Share of the servers that is busy, ``X·S/c`` [ratio]."""
    in_flight: float
    """L, mean number of customers waiting or served."""
    all_busy_probability: float
    """Share of time in which all servers are busy [probability]."""


def finite_population(
    *, servers: int, service_s: float, customers: int, think_s: float
) -> FinitePopulation:
    """Return throughput and response of N customers who think, queue and are served: M/M/c//N.

    A birth-death process: ``λ_n = (N − n)/Z``, ``μ_n = min(n, c)/S``, ``X = Σ μ_n p_n``,
    ``R = L/X``. The weights are multiplied outwards from the most probable state, so nothing
    overflows. Without think time every customer is always in the system: ``X = min(N, c)/S``.

    Parameters
    ----------
    servers
        c.
    service_s
        S, mean service time [s], above 0.
    customers
        N.
    think_s
        Z, mean think time [s], from 0.

    Raises
    ------
    InputError
        Servers or customers not whole; a negative or infinite time.

    References
    ----------
    Kleinrock, L. (1975). Queueing Systems, volume 1, section 3.9.

    Examples
    --------
    >>> state = finite_population(servers=4, service_s=0.1, customers=40, think_s=1.0)
    >>> round(state.throughput, 6), round(state.response_s, 6)
    (34.309796, 0.165848)
    """
    raise_any(
        [
            *whole("servers", servers),
            *whole("customers", customers),
            *number("service_s", service_s, "Give the mean service time in seconds.", above=0),
            *number("think_s", think_s, _THINK, least=0),
        ]
    )
    if think_s == 0:
        p = np.zeros(int(customers) + 1)
        p[-1] = 1.0
    else:
        p = _birth_death(int(servers), service_s / think_s, int(customers))
    n = np.arange(len(p))
    throughput = float(np.minimum(n, servers) @ p) / service_s
    in_flight = float(n @ p)
    return FinitePopulation(
        throughput=throughput,
        response_s=in_flight / throughput,
        utilization=throughput * service_s / servers,
        in_flight=in_flight,
        all_busy_probability=float(p[int(servers) :].sum()),
    )


def _birth_death(servers: int, service_per_think: float, customers: int) -> Floats:
    """Probabilities of 0 to N customers in the system, from the mode outwards."""
    n = np.arange(1, customers + 1)
    with np.errstate(over="ignore", under="ignore"):
        up = (customers - n + 1) * service_per_think / np.minimum(n, servers)  # falls with n
        mode = int(np.count_nonzero(up >= 1))
        above = np.cumprod(up[mode:])
        below = np.cumprod(1 / up[:mode][::-1])[::-1]
    weights = np.concatenate([below, [1.0], above])
    return np.asarray(weights / weights.sum())


@dataclass(frozen=True, slots=True, eq=False)
class ClosedNetwork:
    """Steady state of a closed network with one class of customers."""

    throughput: float
    """X [1/s]."""
    response_s: float
    """R, sum over the centres, without think time [s]."""
    residence_s: Floats
    """R_k, waiting and service at each centre [s], shape (K,)."""
    queue_length: Floats
    """Q_k, mean number at each centre, served one included, shape (K,)."""
    utilization: Floats
    """``X·D_k`` [ratio], shape (K,); at a delay centre the mean number inside."""


def closed_mva(
    demands_s: npt.ArrayLike,
    *,
    customers: int,
    think_s: float = 0.0,
    delay: npt.ArrayLike | None = None,
) -> ClosedNetwork:
    """Return the exact mean values of a closed network with one class.

    ``R_k(n) = D_k(1 + Q_k(n − 1))`` (a delay centre: D_k), ``X = n/(Z + ΣR_k)``, ``Q_k = X·R_k``
    for n = 1 to N.

    Parameters
    ----------
    demands_s
        D_k [s], shape (K,).
    customers
        N.
    think_s
        Z [s].
    delay
        Which centres are delay centres, shape (K,); default none.

    Raises
    ------
    InputError
        Negative or infinite arguments, shapes that differ, customers not whole; neither demand nor
        think time.

    References
    ----------
    Reiser, M., & Lavenberg, S. S. (1980). Mean-value analysis of closed multichain queuing
    networks. Journal of the ACM 27(2), 313-322.

    Examples
    --------
    >>> state = closed_mva([0.010, 0.025, 0.040], customers=10, think_s=0.5)
    >>> round(state.throughput, 6), round(state.response_s, 6)
    (15.783353, 0.133579)
    """
    demand, waits = _centres(demands_s, customers, think_s, delay)
    queue = np.zeros(len(demand))
    residence, throughput = demand, 0.0
    for n in range(1, int(customers) + 1):
        residence = demand * (1 + queue * waits)
        throughput = n / (think_s + float(residence.sum()))
        queue = throughput * residence
    return _closed(demand, residence, throughput)


def schweitzer_mva(
    demands_s: npt.ArrayLike,
    *,
    customers: int,
    think_s: float = 0.0,
    delay: npt.ArrayLike | None = None,
) -> ClosedNetwork:
    """Return Schweitzer's approximate mean values of a closed network with one class.

    As :func:`closed_mva` with ``Q_k(N − 1)`` replaced by ``Q_k(N)·(N − 1)/N``, iterated until no
    queue changes by more than 1e-14 of the customers. Its cost does not grow with N; its
    throughput is a few percent low near the knee.

    Parameters and errors are those of :func:`closed_mva`.

    Raises
    ------
    ModelError
        The iteration does not settle in 1,000,000 steps: thousands of customers at centres whose
        demands are almost equal.

    References
    ----------
    Schweitzer, P. J. (1979). Approximate analysis of multiclass closed networks of queues.
    International Conference on Stochastic Control and Optimization, Amsterdam.

    Examples
    --------
    >>> round(schweitzer_mva([0.010, 0.025, 0.040], customers=10, think_s=0.5).throughput, 6)
    15.592621
    """
    demand, waits = _centres(demands_s, customers, think_s, delay)
    seen = waits * (customers - 1) / customers
    queue = np.full(len(demand), customers / len(demand))
    for _ in range(1_000_000):
        residence = demand * (1 + queue * seen)
        throughput = customers / (think_s + float(residence.sum()))
        before, queue = queue, throughput * residence
        if np.max(np.abs(queue - before)) <= 1e-14 * customers:
            return _closed(demand, residence, throughput)
    raise ModelError.of(
        "schweitzer_mva",
        got=f"queues that still move after 1,000,000 steps, {customers} customers",
        expected="queues that settle",
        do="Use closed_mva, which is exact and does not iterate to a fixed point.",
    )


def _closed(demand: Floats, residence: Floats, throughput: float) -> ClosedNetwork:
    return ClosedNetwork(
        throughput=throughput,
        response_s=float(residence.sum()),
        residence_s=residence,
        queue_length=throughput * residence,
        utilization=throughput * demand,
    )


def _centres(
    demands_s: npt.ArrayLike, customers: int, think_s: float, delay: npt.ArrayLike | None
) -> tuple[Floats, Floats]:
    """Return the demands, and 1 where requests wait for each other, 0 at delay centres."""
    raise_any(
        [
            *number("demands_s", demands_s, _DEMANDS, least=0),
            *whole("customers", customers),
            *number("think_s", think_s, _THINK, least=0),
        ]
    )
    demand = np.asarray(demands_s, dtype=float)
    raise_any(_shape_problems(demand, 1, delay))
    total = float(demand.sum()) + think_s
    raise_any(number("demands_s and think_s together", total, _DEMANDS, above=0))
    return demand, _waits(demand, delay)


def _waits(demand: Floats, delay: npt.ArrayLike | None) -> Floats:
    held = np.zeros(demand.shape[-1]) if delay is None else np.asarray(delay, dtype=float)
    return 1.0 - held


def _shape_problems(demand: Floats, ndim: int, delay: npt.ArrayLike | None) -> list[Problem]:
    problems = []
    shape = "(centres,)" if ndim == 1 else "(classes, centres)"
    if demand.ndim != ndim:
        do = "Give one number for each centre" + (" and class." if ndim > 1 else ".")
        problems.append(Problem("demands_s", f"shape {demand.shape}", f"shape {shape}", do))
    elif delay is not None:
        held = np.asarray(delay)
        if held.shape != demand.shape[-1:] or held.dtype != np.bool_:
            wanted = f"{demand.shape[-1]} values, true or false"
            do = "Say for each centre whether it is a delay centre."
            problems.append(Problem("delay", f"{held.dtype} of shape {held.shape}", wanted, do))
    return problems


@dataclass(frozen=True, slots=True, eq=False)
class MulticlassNetwork:
    """Steady state of a network with several classes of requests."""

    throughput: Floats
    """X_c [1/s], shape (C,)."""
    response_s: Floats
    """R_c, sum over the centres, without think time [s], shape (C,)."""
    residence_s: Floats
    """Waiting and service of each class at each centre [s], shape (C, K)."""
    queue_length: Floats
    """Mean number of each class at each centre, shape (C, K)."""
    utilization: Floats
    """``Σ_c X_c·D_ck`` [ratio], shape (K,); at a delay centre the mean number inside."""


def multiclass_mva(
    demands_s: npt.ArrayLike,
    *,
    customers: npt.ArrayLike,
    think_s: npt.ArrayLike,
    delay: npt.ArrayLike | None = None,
) -> MulticlassNetwork:
    """Return the exact mean values of a closed network with several classes.

    ``R_ck(n) = D_ck(1 + Q_k(n − e_c))`` (a delay centre: D_ck), ``X_c = n_c/(Z_c + Σ_k R_ck)``,
    ``Q_k = Σ_c X_c·R_ck`` for every population n up to N. Its cost is ``Π(N_c + 1)``.

    Parameters
    ----------
    demands_s
        D_ck [s], shape (C, K).
    customers
        N_c, shape (C,); a class with 0 is told the response that its first customer would see.
    think_s
        Z_c [s], shape (C,).
    delay
        Which centres are delay centres, shape (K,); default none.

    Raises
    ------
    InputError
        Negative or infinite arguments, shapes that differ, customers not whole; a class with
        neither demand nor think time.
    ModelError
        More than 200,000 populations.

    References
    ----------
    Reiser & Lavenberg (1980), see :func:`closed_mva`.

    Examples
    --------
    >>> state = multiclass_mva(
    ...     [[0.005, 0.020], [0.015, 0.060]], customers=[12, 4], think_s=[0.4, 1.0]
    ... )
    >>> state.throughput.round(6).tolist()
    [26.080688, 3.39539]
    """
    demand, think, counts = _classes(demands_s, customers, think_s, delay)
    waits = _waits(demand, delay)
    shape = tuple(n + 1 for n in counts)
    if (states := math.prod(shape)) > MOST_STATES:
        raise ModelError.of(
            "customers",
            got=f"{states:,} populations to go through",
            expected=f"at most {MOST_STATES:,}",
            do="Merge classes, or use open_network for those with many customers.",
        )
    queues = np.zeros((*shape, demand.shape[1]))
    throughput, present = np.zeros(len(counts)), np.zeros(len(counts), dtype=bool)
    one_less = np.eye(len(counts), dtype=int)
    for index in np.ndindex(shape):
        n = np.array(index)
        present = n > 0
        before = np.where(present[:, None], n - one_less, n)
        seen = queues[tuple(before.T)]
        residence = demand * (1 + seen * waits)
        cycle = think + residence.sum(axis=1)
        throughput = np.where(present, n / np.where(present, cycle, 1.0), 0.0)
        queues[index] = throughput @ residence
    # What the first customer of a class that has none would meet: the queues as they are.
    absent = demand * (1 + queues[tuple(counts)] * waits)
    residence = np.where(present[:, None], residence, absent)
    return _multiclass(demand, residence, throughput)


def open_network(
    demands_s: npt.ArrayLike, *, arrivals: npt.ArrayLike, delay: npt.ArrayLike | None = None
) -> MulticlassNetwork:
    """Return the mean values of an open network with several classes of Poisson arrivals.

    ``U_k = Σ_c λ_c·D_ck``, ``R_ck = D_ck/(1 − U_k)`` (a delay centre: D_ck), ``R_c = Σ_k R_ck``.

    Parameters
    ----------
    demands_s
        D_ck [s], shape (C, K).
    arrivals
        λ_c [1/s], shape (C,).
    delay
        Which centres are delay centres, shape (K,); default none.

    Raises
    ------
    InputError
        Negative or infinite arguments, shapes that differ; a centre that is fully busy or more.

    References
    ----------
    Baskett, F., Chandy, K. M., Muntz, R. R., & Palacios, F. G. (1975). Open, closed, and mixed
    networks of queues with different classes of customers. Journal of the ACM 22(2), 248-260.

    Examples
    --------
    >>> state = open_network([[0.005, 0.020], [0.015, 0.060]], arrivals=[20, 5])
    >>> state.utilization.round(3).tolist(), state.response_s.round(6).tolist()
    ([0.175, 0.7], [0.072727, 0.218182])
    """
    raise_any(
        [
            *number("demands_s", demands_s, _DEMANDS, least=0),
            *number("arrivals", arrivals, "Give requests per second of each class.", least=0),
        ]
    )
    demand, rate = np.asarray(demands_s, dtype=float), np.asarray(arrivals, dtype=float)
    raise_any(_shape_problems(demand, 2, delay) or _length_problems("arrivals", rate, len(demand)))
    waits = _waits(demand, delay)
    busy = rate @ demand
    full = [
        Problem(
            f"centre {k}",
            f"utilization {busy[k]:.4g}",
            "less than 1: its queue grows without end otherwise",
            "Lower the arrivals or the demands, or split the centre.",
        )
        for k in np.flatnonzero((busy >= 1) & (waits > 0))
    ]
    if full:
        raise InputError(full)
    return _multiclass(demand, demand / (1 - busy * waits), rate)


def _classes(
    demands_s: npt.ArrayLike,
    customers: npt.ArrayLike,
    think_s: npt.ArrayLike,
    delay: npt.ArrayLike | None,
) -> tuple[Floats, Floats, list[int]]:
    raise_any(
        [
            *number("demands_s", demands_s, _DEMANDS, least=0),
            *number("customers", customers, "Give a whole number for each class.", least=0),
            *number("think_s", think_s, _THINK, least=0),
        ]
    )
    demand, think = np.asarray(demands_s, dtype=float), np.asarray(think_s, dtype=float)
    counts = np.asarray(customers, dtype=float)
    problems = _shape_problems(demand, 2, delay)
    if not problems:
        problems += _length_problems("customers", counts, len(demand))
        problems += _length_problems("think_s", think, len(demand))
    raise_any(problems)
    for c, (n, own) in enumerate(zip(counts, demand.sum(axis=1) + think, strict=True)):
        problems += whole(f"class {c} customers", n, least=0)
        problems += number(f"class {c} demands_s and think_s together", own, _DEMANDS, above=0)
    raise_any(problems)
    return demand, think, [int(n) for n in counts]


def _length_problems(where: str, values: Floats, classes: int) -> list[Problem]:
    if values.shape == (classes,):
        return []
    do = "Give one number for each class, in the order of demands_s."
    return [Problem(where, f"shape {values.shape}", f"shape ({classes},)", do)]


def _multiclass(demand: Floats, residence: Floats, throughput: Floats) -> MulticlassNetwork:
    return MulticlassNetwork(
        throughput=throughput,
        response_s=residence.sum(axis=1),
        residence_s=residence,
        queue_length=throughput[:, None] * residence,
        utilization=throughput @ demand,
    )

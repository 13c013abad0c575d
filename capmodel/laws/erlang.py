"""Queues of exact Markov form: M/M/c without and with waiting room.

This module answers: how often and how long do requests wait for one of c equal servers when
arrivals are Poisson and service times exponential, and how many servers keep waiting rare?

``load`` is the offered load ``a = λS`` in Erlangs, the mean number of busy servers; utilization is
``a/c``. Functions of the load take a number or an array and return the same.
"""

from __future__ import annotations

import math

import numpy as np

from capmodel.errors import Problem
from capmodel.laws.arguments import (
    F,
    Floats,
    as_given,
    decreasing_root,
    number,
    raise_any,
    unstable,
    whole,
)

__all__ = [
    "erlang_b",
    "erlang_c",
    "halfin_whitt",
    "halfin_whitt_inverse",
    "min_servers",
    "mmc_queue_length",
    "mmc_response_percentile",
    "mmc_response_tail",
    "mmc_wait",
    "mmc_wait_percentile",
    "mmc_wait_tail",
    "square_root_servers",
]

_ERLANGS = "Load is rate × service time, in Erlangs."
_SERVICE = "Give the mean service time in seconds."
_TIME = "Give a time in seconds."
_QUANTILE = "Write 0.99 for the 99th percentile."
_PROBABILITY = "Write 0.05 for 5 %."
_BLOCK_CELLS = 65_536
_NEGLIGIBLE = 1e-22  # of the sum so far: 100,000 smaller terms do not reach the last digit


def erlang_b(*, servers: int, load: F) -> F:
    """Return Erlang's loss formula [probability]: a request finds all servers busy and leaves.

    ``1/B = Σ_{j=0..c} c(c−1)…(c−j+1) / a^j``, the recursion ``1/B_k = 1 + k/(a·B_{k−1})`` written
    out. The sum has positive terms only and stops where the rest cannot change the last digit, so
    it is safe and quick at 100,000 servers. B below 1e-308 is returned as 0.

    Parameters
    ----------
    servers
        c, from 0.
    load
        a = λS [Erlang], shape (...); may exceed the servers.

    Raises
    ------
    InputError
        Servers not whole; a negative or infinite load.

    References
    ----------
    Erlang, A. K. (1917). Solution of some problems in the theory of probabilities of significance
    in automatic telephone exchanges. Elektroteknikeren 13, 5-13.

    Examples
    --------
    >>> round(erlang_b(servers=10, load=8.0), 15)
    0.121661064252952
    """
    raise_any([*whole("servers", servers, least=0), *number("load", load, _ERLANGS, least=0)])
    return as_given(_loss(int(servers), np.asarray(load, dtype=float)), load)


def _loss(servers: int, load: Floats) -> Floats:
    if servers == 0:
        return np.ones_like(load)
    flat = load.reshape(-1, 1)
    total, term = np.ones(len(flat)), np.ones(len(flat))
    block = max(1, _BLOCK_CELLS // max(1, len(flat)))
    block = min(block, 64 + int(16 * math.sqrt(servers)))
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        for start in range(0, servers, block):
            left = np.arange(servers - start, max(servers - start - block, 0), -1.0)
            terms = term[:, None] * np.cumprod(left / flat, axis=1)
            total += terms.sum(axis=1)
            term = terms[:, -1]
            if not np.any(term > _NEGLIGIBLE * total):  # an infinite sum is done too
                break
        # inf · 0 in a late block: the sum was infinite before.
        return np.asarray(1 / np.where(np.isnan(total), np.inf, total)).reshape(load.shape)


def erlang_c(*, servers: int, load: F) -> F:
    """Return Erlang's delay formula [probability]: a request of M/M/c has to wait.

    ``C = B / (1 − ρ(1 − B))`` with ``ρ = a/c``.

    Parameters
    ----------
    servers
        c, from 1.
    load
        a = λS [Erlang], shape (...), below the servers.

    Raises
    ------
    InputError
        Servers not whole; a negative or infinite load, or one that the servers cannot carry.

    References
    ----------
    Erlang (1917), see :func:`erlang_b`.

    Examples
    --------
    >>> round(erlang_c(servers=10, load=8.0), 15)
    0.409180150796444
    """
    raise_any(_queue_problems(servers, load))
    return as_given(_delay(int(servers), np.asarray(load, dtype=float)), load)


def _delay(servers: int, load: Floats) -> Floats:
    loss = _loss(servers, load)
    return np.asarray(loss / ((servers - load) / servers + load / servers * loss))


def _queue_problems(servers: int, load: float | Floats) -> list[Problem]:
    return whole("servers", servers) or unstable(int(servers), load)


def mmc_wait(*, servers: int, load: F, service_s: float) -> F:
    """Return the mean wait of M/M/c, ``Wq = C·S/(c − a)`` [s]; the mean response is S more.

    Parameters
    ----------
    servers, load
        See :func:`erlang_c`.
    service_s
        S, mean service time [s].

    Raises
    ------
    InputError
        As :func:`erlang_c`; a negative or infinite service time.

    References
    ----------
    Kleinrock, L. (1975). Queueing Systems, volume 1, section 3.5.

    Examples
    --------
    >>> round(mmc_wait(servers=4, load=3.0, service_s=1.0), 15)
    0.509433962264151
    """
    raise_any([*_queue_problems(servers, load), *number("service_s", service_s, _SERVICE, least=0)])
    a = np.asarray(load, dtype=float)
    return as_given(_delay(int(servers), a) * service_s / (servers - a), load)


def mmc_queue_length(*, servers: int, load: F) -> F:
    """Return the mean number that waits in M/M/c, ``Lq = a·C/(c − a)``.

    Parameters and errors are those of :func:`erlang_c`; it is Little's law of :func:`mmc_wait`.

    Examples
    --------
    >>> mmc_queue_length(servers=1, load=0.5)
    0.5
    """
    raise_any(_queue_problems(servers, load))
    a = np.asarray(load, dtype=float)
    return as_given(a * _delay(int(servers), a) / (servers - a), load)


def mmc_wait_tail(t_s: F, *, servers: int, load: float, service_s: float) -> F:
    """Return ``P(W > t) = C·exp(−(c − a)t/S)`` [probability].

    Parameters
    ----------
    t_s
        t [s], shape (...), from 0.
    servers, load
        See :func:`erlang_c`.
    service_s
        S, mean service time [s], above 0.

    Raises
    ------
    InputError
        As :func:`erlang_c`; a negative or infinite time, or a service time of 0.

    References
    ----------
    Kleinrock (1975), see :func:`mmc_wait`.

    Examples
    --------
    >>> mmc_wait_tail(0.0, servers=1, load=0.5, service_s=1.0)
    0.5
    """
    _check_tail(t_s, servers, load, service_s)
    t = np.asarray(t_s, dtype=float)
    rate = (servers - load) / service_s
    return as_given(erlang_c(servers=servers, load=float(load)) * np.exp(-rate * t), t_s)


def mmc_wait_percentile(q: float, *, servers: int, load: F, service_s: float) -> F:
    """Return the q-quantile of the wait, ``max(0, S·ln(C/(1 − q))/(c − a))`` [s].

    Parameters
    ----------
    q
        0.99 for the 99th percentile.
    servers, load
        See :func:`erlang_c`.
    service_s
        S, mean service time [s].

    Raises
    ------
    InputError
        As :func:`mmc_wait`; q outside (0, 1).

    References
    ----------
    Kleinrock (1975), see :func:`mmc_wait`.

    Examples
    --------
    >>> round(mmc_wait_percentile(0.99, servers=10, load=8.0, service_s=1.0), 11)
    1.85578521628
    """
    raise_any(
        [
            *_queue_problems(servers, load),
            *number("service_s", service_s, _SERVICE, least=0),
            *number("q", q, _QUANTILE, above=0, below=1),
        ]
    )
    a = np.asarray(load, dtype=float)
    over = np.maximum(_delay(int(servers), a) / (1 - q), 1.0)
    return as_given(service_s * np.log(over) / (servers - a), load)


def mmc_response_tail(t_s: F, *, servers: int, load: float, service_s: float) -> F:
    """Return ``P(R > t)`` [probability] of M/M/c, service included.

    With t in units of S and ``d = c − a``:
    ``e^(−t)·(1 + C/(d − 1)) − C/(d − 1)·e^(−dt)``, and ``e^(−t)(1 + Ct)`` for d = 1, computed in
    one form that does not cancel near d = 1.

    Parameters and errors are those of :func:`mmc_wait_tail`.

    References
    ----------
    Kleinrock (1975), see :func:`mmc_wait`.

    Examples
    --------
    A single server's response is exponential with rate ``(1 − ρ)/S``:

    >>> bool(np.isclose(mmc_response_tail(3.0, servers=1, load=0.5, service_s=1.0), np.exp(-1.5)))
    True
    """
    _check_tail(t_s, servers, load, service_s)
    wait_probability = erlang_c(servers=servers, load=float(load))
    wait_rate = (servers - load) / service_s
    t = np.asarray(t_s, dtype=float)
    return as_given(sum_tail(t, wait_probability, wait_rate, 1 / service_s), t_s)


def sum_tail(t: Floats, wait_probability: float, wait_rate: float, service_rate: float) -> Floats:
    """Return ``P(W + V > t)``: V exponential, W 0 or, with the given probability, exponential.

    With rates η of the wait and μ of the service:
    ``e^(−μt) + C·μ·e^(−min(μ,η)t)·(1 − e^(−|μ−η|t))/|μ−η|``; the last quotient tends to t.

    Examples
    --------
    >>> round(float(sum_tail(np.array(1.0), 1.0, 1.0, 1.0)), 12)  # Erlang-2: 2/e
    0.735758882343
    """
    gap = abs(service_rate - wait_rate)
    slower = min(service_rate, wait_rate)
    both = t if gap == 0 else -np.expm1(-gap * t) / gap
    return np.asarray(
        np.exp(-service_rate * t) + wait_probability * service_rate * np.exp(-slower * t) * both
    )


def mmc_response_percentile(q: float, *, servers: int, load: float, service_s: float) -> float:
    """Return the q-quantile of the response time of M/M/c [s].

    Parameters
    ----------
    q
        0.99 for the 99th percentile.
    servers, load
        See :func:`erlang_c`; a number.
    service_s
        S, mean service time [s], above 0.

    Raises
    ------
    InputError
        As :func:`mmc_wait_tail`; q outside (0, 1).

    References
    ----------
    The root of :func:`mmc_response_tail`.

    Examples
    --------
    >>> round(mmc_response_percentile(0.99, servers=10, load=8.0, service_s=1.0), 11)
    4.94611132761
    """
    raise_any(number("q", q, _QUANTILE, above=0, below=1))
    _check_tail(0.0, servers, load, service_s)
    wait_probability = erlang_c(servers=servers, load=float(load))
    wait_rate, rate = (servers - load) / service_s, 1 / service_s

    def excess(t: float) -> float:
        return float(sum_tail(np.asarray(t), wait_probability, wait_rate, rate)) - (1 - q)

    return decreasing_root(excess, service_s)


def _check_tail(t_s: float | Floats, servers: int, load: float, service_s: float) -> None:
    raise_any(
        [
            *_queue_problems(servers, load),
            *number("service_s", service_s, _SERVICE, above=0),
            *number("t_s", t_s, _TIME, least=0),
        ]
    )


def min_servers(load: float, *, wait_probability: float) -> int:
    """Return the smallest c of M/M/c with ``C(c, a) <= wait_probability``, exactly.

    Parameters
    ----------
    load
        a = λS [Erlang].
    wait_probability
        Largest accepted probability of waiting, in (0, 1).

    Returns
    -------
    int
        At least 1, and above the load.

    Raises
    ------
    InputError
        A negative or infinite load; a probability outside (0, 1).

    References
    ----------
    Erlang's delay formula, see :func:`erlang_c`; the square-root rule only says where to look.

    Examples
    --------
    >>> min_servers(100.0, wait_probability=0.05)
    119
    """
    raise_any(
        [
            *number("load", load, _ERLANGS, least=0),
            *number("wait_probability", wait_probability, _PROBABILITY, above=0, below=1),
        ]
    )
    a = np.asarray(load, dtype=float)
    few = math.floor(load)  # too few: the queue would grow without end
    step = max(1, math.ceil(math.sqrt(load)))
    while _delay(few + step, a) > wait_probability:
        few, step = few + step, 2 * step
    enough = few + step
    while enough - few > 1:
        middle = (few + enough) // 2
        if _delay(middle, a) > wait_probability:
            few = middle
        else:
            enough = middle
    return enough


def halfin_whitt(beta: float) -> float:
    """Return the limit of the probability of waiting, ``[1 + β·Φ(β)/φ(β)]⁻¹``.

    The limit of many servers with ``c = a + β√a``; at a finite c use :func:`erlang_c`.

    Parameters
    ----------
    beta
        β, spare servers in units of √a, from 0.

    Raises
    ------
    InputError
        A negative or infinite β: without spare servers there is no steady state.

    References
    ----------
    Halfin, S., & Whitt, W. (1981). Heavy-traffic limits for queues with many exponential servers.
    Operations Research 29(3), 567-588, proposition 1.

    Examples
    --------
    >>> round(halfin_whitt(1.0), 14)
    0.22336127479826
    """
    raise_any(number("beta", beta, "Spare servers in units of √load.", least=0))
    below = math.erfc(-beta / math.sqrt(2)) / 2
    density = math.exp(-(beta**2) / 2) / math.sqrt(2 * math.pi)
    return density / (density + beta * below)


def halfin_whitt_inverse(wait_probability: float) -> float:
    """Return the β at which :func:`halfin_whitt` gives this probability of waiting.

    Parameters
    ----------
    wait_probability
        In [1e-300, 1).

    Raises
    ------
    InputError
        A probability outside that range.

    References
    ----------
    Halfin & Whitt (1981), see :func:`halfin_whitt`.

    Examples
    --------
    >>> round(halfin_whitt_inverse(0.2), 12)
    1.061516275419
    """
    raise_any(number("wait_probability", wait_probability, _PROBABILITY, least=1e-300, below=1))
    return decreasing_root(lambda beta: halfin_whitt(beta) - wait_probability, 1.0)


def square_root_servers(load: float, *, wait_probability: float) -> int:
    """Return the square-root rule ``⌈a + β√a⌉`` with Halfin and Whitt's β.

    It explains why spare servers grow as the root of the load. Never size with it: it can be one
    or two servers short of :func:`min_servers`, which is exact and as quick.

    Parameters and errors are those of :func:`min_servers`, for probabilities from 1e-300.

    References
    ----------
    Halfin & Whitt (1981), see :func:`halfin_whitt`.

    Examples
    --------
    >>> square_root_servers(5.0, wait_probability=0.01), min_servers(5.0, wait_probability=0.01)
    (11, 12)
    """
    raise_any(number("load", load, _ERLANGS, least=0))
    spare = halfin_whitt_inverse(wait_probability) * math.sqrt(load)
    return max(1, math.ceil(load + spare))

"""The Universal Scalability Law: throughput and latency against concurrency, and both inverses.

This module answers: what does a system with contention `alpha` and coherency delay `beta` deliver
at N users, threads or nodes; at which N does it peak; and which N belongs to a throughput or to a
latency? It holds the law itself; coefficients are fitted elsewhere.

``X(N) = gamma N / (1 + alpha (N − 1) + beta N (N − 1))``: `gamma` is X(1); with ``beta = 0`` the
law is Amdahl's. Times are in seconds where throughput is in 1/s.

References
----------
Gunther (2007), *Guerrilla Capacity Planning*, Springer, chapters 4–6 (the law, its peak).
Amdahl (1967), AFIPS Spring Joint Computer Conference, 483–485. Little (1961), Operations Research
9, 383–387 (X·R = N). The inverses are the exact roots of the law's quadratics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from capmodel.errors import InputError, Problem
from capmodel.laws.arguments import F, Floats, as_given, number, raise_any

__all__ = [
    "UslPeak",
    "amdahl_limit",
    "usl_concurrency_at_latency",
    "usl_concurrency_at_throughput",
    "usl_latency",
    "usl_peak",
    "usl_throughput",
    "usl_throughput_at_latency",
]

_ROUNDING = 1e-12
"""Share of a bound by which an argument may overstep it: the bound itself, computed."""


@dataclass(frozen=True, slots=True)
class UslPeak:
    """The highest throughput of a curve: `x` at concurrency `n`; `n` is inf where it is a limit."""

    n: float
    x: float


def usl_throughput(n: F, *, alpha: float, beta: float, gamma: float) -> F:
    """Return the throughput ``X(N) = gamma N / (1 + alpha (N − 1) + beta N (N − 1))``.

    Parameters
    ----------
    n
        Concurrency > 0 [users, threads, nodes or mean in flight], any shape.
    alpha
        Contention, the serial share [ratio, 0–1].
    beta
        Coherency delay per pair [ratio, 0–1].
    gamma
        Throughput at N = 1 [1/s, or the unit of the answer].

    Returns
    -------
    float or numpy.ndarray
        Throughput [unit of `gamma`], shape of `n`.

    Raises
    ------
    InputError
        For coefficients outside their range, or n that is not finite and positive.

    References
    ----------
    Gunther (2007), *Guerrilla Capacity Planning*, chapter 6.

    Examples
    --------
    >>> round(usl_throughput(20, alpha=0.02671591, beta=7.690945e-4, gamma=995.6486), 4)
    11063.6338
    """
    raise_any([*_load("n", n), *_coefficients(alpha, beta, gamma)])
    at = np.asarray(n, dtype=float)
    return as_given(gamma * at / _slowdown(at, alpha, beta), n)


def usl_latency(n: F, *, alpha: float, beta: float, gamma: float) -> F:
    """Return the latency ``R(N) = (1 + alpha (N − 1) + beta N (N − 1)) / gamma``, which is N/X(N).

    Parameters
    ----------
    n
        Concurrency > 0, any shape. With think time users are not concurrency: give the mean number
        in flight.
    alpha, beta, gamma
        As in :func:`usl_throughput`.

    Returns
    -------
    float or numpy.ndarray
        Mean latency [s where `gamma` is in 1/s], shape of `n`.

    Raises
    ------
    InputError
        For coefficients outside their range, or n that is not finite and positive.

    References
    ----------
    Gunther (2007), chapter 6, and Little (1961) for R = N/X.

    Examples
    --------
    >>> round(usl_latency(20, alpha=0.02671591, beta=7.690945e-4, gamma=995.6486), 9)
    0.001807724
    """
    raise_any([*_load("n", n), *_coefficients(alpha, beta, gamma)])
    return as_given(_slowdown(np.asarray(n, dtype=float), alpha, beta) / gamma, n)


def usl_peak(*, alpha: float, beta: float, gamma: float) -> UslPeak:
    """Return the peak ``N* = sqrt((1 − alpha)/beta)``, ``X* = X(N*)``.

    Without coherency delay (beta = 0) there is no peak: N* is inf and X* the limit gamma/alpha,
    see :func:`amdahl_limit`. A curve that falls from the first user on (N* < 1) peaks at N = 1.

    Parameters
    ----------
    alpha, beta, gamma
        As in :func:`usl_throughput`.

    Returns
    -------
    UslPeak
        ``n`` [unit of N], not rounded, and ``x`` [unit of `gamma`].

    Raises
    ------
    InputError
        For coefficients outside their range.

    References
    ----------
    Gunther (2007), *Guerrilla Capacity Planning*, chapter 6 (where N* is rounded down).

    Examples
    --------
    >>> peak = usl_peak(alpha=0.02671591, beta=7.690945e-4, gamma=995.6486)
    >>> round(peak.n, 6), round(peak.x, 4)
    (35.573775, 12342.8524)
    >>> usl_peak(alpha=0.05, beta=0.0, gamma=20.0)
    UslPeak(n=inf, x=400.0)
    """
    raise_any(_coefficients(alpha, beta, gamma))
    if beta == 0:
        return UslPeak(math.inf, amdahl_limit(alpha=alpha, gamma=gamma))
    n = max(math.sqrt((1 - alpha) / beta), 1.0)
    return UslPeak(n, float(gamma * n / _slowdown(np.asarray(n), alpha, beta)))


def amdahl_limit(*, alpha: float, gamma: float) -> float:
    """Return the limit gamma/alpha of throughput for N → inf without coherency delay.

    Parameters
    ----------
    alpha, gamma
        As in :func:`usl_throughput`.

    Returns
    -------
    float
        Limit [unit of `gamma`]; inf for alpha = 0.

    Raises
    ------
    InputError
        For coefficients outside their range.

    References
    ----------
    Amdahl (1967), AFIPS Spring Joint Computer Conference, 483–485.

    Examples
    --------
    >>> amdahl_limit(alpha=0.05, gamma=20.0)
    400.0
    """
    raise_any(_coefficients(alpha, 0.0, gamma))
    return gamma / alpha if alpha > 0 else math.inf


def usl_concurrency_at_throughput(x: F, *, alpha: float, beta: float, gamma: float) -> F:
    """Return the smaller N with X(N) = x: the branch below the peak, on which systems are run.

    With ``q = gamma/x − alpha + beta``: ``N = 2 (1 − alpha)/(q + sqrt(q² − 4 beta (1 − alpha)))``,
    the root of the law's quadratic in the form that loses no digits for small beta; for beta = 0 it
    is ``(1 − alpha)/(gamma/x − alpha)``.

    Parameters
    ----------
    x
        Throughput > 0, at most X* (below the limit where beta = 0) [unit of `gamma`], any shape.
    alpha, beta, gamma
        As in :func:`usl_throughput`; alpha < 1.

    Returns
    -------
    float or numpy.ndarray
        Concurrency, shape of `x`; never rounded. Below 1 where x < gamma.

    Raises
    ------
    InputError
        For throughput that the curve never reaches, for alpha = 1 (throughput never rises), or
        coefficients outside their range.

    References
    ----------
    Gunther (2007), *Guerrilla Capacity Planning*, chapter 6, solved for N.

    Examples
    --------
    >>> fit = dict(alpha=0.02671591, beta=7.690945e-4, gamma=995.6486)
    >>> round(usl_concurrency_at_throughput(11048, **fit), 8)
    19.92389964
    """
    raise_any([*_load("x", x), *_coefficients(alpha, beta, gamma)])
    wanted = np.asarray(x, dtype=float)
    top = usl_peak(alpha=alpha, beta=beta, gamma=gamma)
    reached = wanted <= top.x * (1 + _ROUNDING) if beta > 0 else wanted < top.x
    if alpha == 1 or not np.all(reached):
        raise InputError.of(
            "x",
            got=f"throughput {np.max(wanted):.6g}",
            expected=f"at most {top.x:.6g}" if beta > 0 else f"less than {top.x:.6g}",
            do="The curve never delivers this: plan another system, not another concurrency."
            if alpha < 1
            else "With alpha = 1 throughput never rises with N: there is no lower branch.",
        )
    q = gamma - (alpha - beta) * wanted
    root = np.sqrt(np.maximum(q**2 - 4 * beta * (1 - alpha) * wanted**2, 0.0))
    return as_given(2 * (1 - alpha) * wanted / (q + root), x)


def usl_concurrency_at_latency(r: F, *, alpha: float, beta: float, gamma: float) -> F:
    """Return the N with R(N) = r: how many may be in flight before the mean latency exceeds r.

    ``N = (beta − alpha + sqrt((alpha − beta)² − 4 beta (1 − alpha − gamma r)))/(2 beta)``, and
    ``1 + (gamma r − 1)/alpha`` for beta = 0.

    Parameters
    ----------
    r
        Mean latency [s where `gamma` is in 1/s], more than that of an empty system, any shape.
    alpha, beta, gamma
        As in :func:`usl_throughput`; not both alpha and beta 0.

    Returns
    -------
    float or numpy.ndarray
        Concurrency, shape of `r`; below 1 where r < 1/gamma.

    Raises
    ------
    InputError
        For a latency below that of an empty system, or coefficients outside their range.

    References
    ----------
    Gunther (2007), *Guerrilla Capacity Planning*, chapter 6, with Little's law, solved for N.

    Examples
    --------
    >>> fit = dict(alpha=0.02671591, beta=7.690945e-4, gamma=995.6486)
    >>> round(usl_concurrency_at_latency(0.03, **fit), 6)
    177.698345
    """
    raise_any([*_load("r", r), *_coefficients(alpha, beta, gamma)])
    if alpha == beta == 0:
        raise InputError.of(
            "alpha, beta",
            got="both 0",
            expected="contention or coherency delay",
            do="Without either, latency is 1/gamma at every N: any N has it, or none.",
        )
    slope = alpha - beta
    # With more coherency delay than contention the curve dips between N = 0 and 1/2.
    least = (1 - alpha - (slope**2 / (4 * beta) if slope < 0 else 0.0)) / gamma
    if not np.all(np.asarray(r) > least):
        raise InputError.of(
            "r",
            got=f"latency {np.min(r):.6g}",
            expected=f"more than {least:.6g}",
            do="An empty system is slower than this.",
        )
    excess = gamma * np.asarray(r, dtype=float) - (1 - alpha)
    root = np.sqrt(np.maximum(slope**2 + 4 * beta * excess, 0.0))
    # Either form is exact; each loses digits where the other does not.
    return as_given(2 * excess / (slope + root) if slope > 0 else (root - slope) / (2 * beta), r)


def usl_throughput_at_latency(r: F, *, alpha: float, beta: float, gamma: float) -> F:
    """Return the throughput at the concurrency whose mean latency is r: ``X = N(r)/r``.

    Parameters
    ----------
    r, alpha, beta, gamma
        As in :func:`usl_concurrency_at_latency`.

    Returns
    -------
    float or numpy.ndarray
        Throughput [unit of `gamma`], shape of `r`. Past the peak it falls with r.

    Raises
    ------
    InputError
        As :func:`usl_concurrency_at_latency`.

    References
    ----------
    Little (1961), Operations Research 9, 383–387.

    Examples
    --------
    >>> fit = dict(alpha=0.02671591, beta=7.690945e-4, gamma=995.6486)
    >>> round(usl_throughput_at_latency(0.03, **fit), 6)
    5923.278171
    """
    n = usl_concurrency_at_latency(r, alpha=alpha, beta=beta, gamma=gamma)
    return as_given(np.asarray(n) / np.asarray(r), r)


def _slowdown(n: Floats, alpha: float, beta: float) -> Floats:
    return np.asarray(1 + alpha * (n - 1) + beta * n * (n - 1))


def _load(where: str, values: F) -> list[Problem]:
    return number(where, values, "Leave out the rows without load.", above=0)


def _coefficients(alpha: float, beta: float, gamma: float) -> list[Problem]:
    bounded = "Give the coefficients of a bounded fit."
    return [
        *number("alpha", alpha, bounded, least=0, most=1),
        *number("beta", beta, bounded, least=0, most=1),
        *number("gamma", gamma, "Give the throughput at N = 1.", above=0),
    ]

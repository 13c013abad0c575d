"""Least squares of the scaling curves: USL in its box, the two-line bound, M/M/c//N.

This module answers: which coefficients of a curve are nearest to measured throughputs? It knows
arrays only; rows are weighted, and whoever calls has checked them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Final

import numpy as np

from capmodel.laws.closed import finite_population

__all__ = [
    "TINY_SHARE",
    "finite_population_fit",
    "finite_population_throughput",
    "two_line_fit",
    "two_line_throughput",
    "usl_curve",
    "usl_fit",
    "usl_jacobian",
    "usl_peaks",
    "usl_refit",
]

TINY_SHARE: Final = 1e-9
"""What changes throughput by less than this share is rounding."""

_START_ALPHA: Final = (1e-4, 0.01, 0.1, 0.5)
_START_BETA: Final = (1e-8, 1e-5, 1e-3, 0.05)
_STEPS: Final = 100
_EXACT: Final = 1e-13
_STUCK: Final = 1e12
_LEVEL: Final = 1e-13
_FINALISTS: Final = 16
_CELLS: Final = 200_000


def usl_curve(theta: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return USL throughput for coefficients (…, 3) at n (N,) or (…, N), shape (…, N)."""
    alpha, beta, gamma = (theta[..., k, None] for k in range(3))
    return np.asarray(gamma * n / (1 + alpha * (n - 1) + beta * n * (n - 1)))


def usl_jacobian(theta: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return the derivatives of :func:`usl_curve` by alpha, beta and gamma, shape (…, N, 3)."""
    alpha, beta, gamma = (theta[..., k, None] for k in range(3))
    slowdown = 1 + alpha * (n - 1) + beta * n * (n - 1)
    curve = gamma * n / slowdown
    by_alpha = -curve * (n - 1) / slowdown
    return np.stack([by_alpha, by_alpha * n, curve / gamma], axis=-1)


def usl_peaks(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return N* and X* of many curves (B, 3), each (B,), as :func:`capmodel.laws.usl_peak` does.

    Without coherency delay N* is inf and X* the limit gamma/alpha, inf for alpha = 0.
    """
    alpha, beta, gamma = theta.T
    bends = beta > 0
    n = np.sqrt((1 - alpha) / np.where(bends, beta, 1.0))
    n = np.where(bends, np.maximum(n, 1.0), np.inf)
    limit = np.where(alpha > 0, gamma / np.where(alpha > 0, alpha, 1.0), np.inf)
    at_peak = usl_curve(theta, np.where(bends, n, 1.0)[:, None])[:, 0]
    return n, np.where(bends, at_peak, limit)


def usl_fit(n: np.ndarray, x: np.ndarray, weights: np.ndarray, *, amdahl: bool) -> np.ndarray:
    """Fit ``X(N) = gamma N/(1 + alpha (N − 1) + beta N (N − 1))`` by bounded least squares.

    ``0 ≤ alpha ≤ 1``, ``0 ≤ beta ≤ 1``, ``gamma > 0``; 16 starts on a grid, each with the gamma
    that suits it best; variables in units of what the range of n can show. The trust region stays
    inside the box, so :func:`usl_refit` goes the last steps, on to a bound where the optimum is
    one.

    Parameters
    ----------
    n, x
        Concurrency ≥ 1 and throughput, shape (N,).
    weights
        Of squared residuals, shape (N,).
    amdahl
        Hold beta at 0.

    Returns
    -------
    numpy.ndarray
        alpha, beta, gamma, shape (3,).
    """
    from scipy.optimize import least_squares  # noqa: PLC0415  the package loads faster without it

    unit = float(np.max(x))
    root = np.sqrt(weights)
    free = [0, 2] if amdahl else [0, 1, 2]
    scale = np.array([1.0 / np.max(n), 1.0 / np.max(n) ** 2, 1.0])

    def full(part: np.ndarray) -> np.ndarray:
        theta = np.zeros(3)
        theta[free] = part
        return theta

    def residual(part: np.ndarray) -> np.ndarray:
        return np.asarray(root * (usl_curve(full(part), n) - x / unit))

    def jacobian(part: np.ndarray) -> np.ndarray:
        return np.asarray(root[:, None] * usl_jacobian(full(part), n)[:, free])

    found = []
    betas = (0.0,) if amdahl else _START_BETA
    for alpha, beta in product(_START_ALPHA, betas):
        shape = usl_curve(np.array([alpha, beta, 1.0]), n)
        gamma = (weights * shape) @ (x / unit) / ((weights * shape) @ shape)
        solved = least_squares(
            residual,
            np.array([alpha, beta, gamma])[free],
            jac=jacobian,
            bounds=(np.array([0.0, 0.0, 1e-12])[free], np.array([1.0, 1.0, np.inf])[free]),
            x_scale=scale[free],
        )
        found.append((float(solved.cost), full(np.asarray(solved.x))))
    best = min(found, key=lambda entry: entry[0])[1]
    start = best * np.array([1.0, 1.0, unit])
    exact = usl_refit(n, x[None], weights[None], start=start, amdahl=amdahl, tolerance=_EXACT)
    return np.asarray(exact[0])


def usl_refit(
    n: np.ndarray,
    x: np.ndarray,
    weights: np.ndarray,
    *,
    start: np.ndarray,
    amdahl: bool,
    tolerance: float = 1e-6,
) -> np.ndarray:
    """Fit many throughput series at the same n at once, from a good start.

    Levenberg–Marquardt in the box: a coefficient at a bound that the gradient pushes against is
    held there, steps are cut at the bounds, and no step that raises the sum of squares is taken.

    Parameters
    ----------
    n
        Concurrency, shape (N,).
    x, weights
        Throughput and weights of squared residuals (0 leaves a row out), shape (B, N).
    start
        Coefficients to start every series from, shape (3,).
    amdahl
        Hold beta at 0.
    tolerance
        Relative size of the steps at which a series is done.

    Returns
    -------
    numpy.ndarray
        alpha, beta, gamma of each series, shape (B, 3).

    References
    ----------
    Moré (1978), Lecture Notes in Mathematics 630, 105–116.
    """
    top = np.array([1.0, 0.0 if amdahl else 1.0, np.inf])
    size = max(_CELLS // len(n), 1)
    blocks = [slice(first, first + size) for first in range(0, len(x), size)]
    theta = np.concatenate(
        [_descend(n, x[block], weights[block], start, top, tolerance) for block in blocks]
    )
    # What slows the largest n by less than a billionth is a coefficient at its bound.
    largest = float(np.max(n))
    visible = np.array([TINY_SHARE / largest, TINY_SHARE / largest**2, 0.0])
    return np.asarray(np.where(theta < visible, 0.0, theta))


def _descend(
    n: np.ndarray,
    x: np.ndarray,
    weights: np.ndarray,
    start: np.ndarray,
    high: np.ndarray,
    tolerance: float,
) -> np.ndarray:
    low = np.array([0.0, 0.0, start[2] * 1e-12])
    theta = np.tile(np.clip(start, low, high), (len(x), 1))
    rss = _rss(theta, n, x, weights)
    damping = np.full(len(x), 1e-3)
    active = np.arange(len(x))
    for _ in range(_STEPS):
        here, w = theta[active], weights[active]
        jacobian = usl_jacobian(here, n)
        weighted = jacobian * w[..., None]
        gradient = np.einsum("bnk,bn->bk", weighted, usl_curve(here, n) - x[active])
        hessian = np.einsum("bnk,bnl->bkl", weighted, jacobian)
        held = ((here <= low) & (gradient > 0)) | ((here >= high) & (gradient < 0))
        step = _damped_step(hessian, np.where(held, 0.0, gradient), held, damping[active])
        moved = np.clip(here + step, low, high)
        lower = _rss(moved, n, x[active], w)
        # Level counts as lower: the last digits of the sum are rounding, those of the step are not.
        better = lower <= rss[active] * (1 + _LEVEL)
        size = np.max(np.abs(moved - here) / np.maximum(np.abs(here), 1e-12), axis=1)
        theta[active] = np.where(better[:, None], moved, here)
        rss[active] = np.where(better, lower, rss[active])
        damping[active] *= np.where(better, 0.1, 10.0)
        active = active[(size > tolerance) & (damping[active] < _STUCK)]
        if not len(active):
            break
    return theta


def _damped_step(
    hessian: np.ndarray, gradient: np.ndarray, held: np.ndarray, damping: np.ndarray
) -> np.ndarray:
    diagonal = np.einsum("bkk->bk", hessian)
    scale = np.sqrt(np.where(held | (diagonal <= 0), 1.0, diagonal))
    # A held coefficient leaves the system: its row and column become those of the identity.
    apart = held[:, :, None] | held[:, None, :]
    system = np.where(apart, 0.0, hessian) / (scale[:, :, None] * scale[:, None, :])
    system[:, range(3), range(3)] = np.where(held, 1.0, 1.0 + damping[:, None])
    return np.asarray(-np.linalg.solve(system, (gradient / scale)[..., None])[..., 0] / scale)


def _rss(theta: np.ndarray, n: np.ndarray, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.asarray(np.sum(weights * (usl_curve(theta, n) - x) ** 2, axis=1))


def two_line_throughput(
    n: np.ndarray, *, slope: np.ndarray | float, ceiling: np.ndarray | float
) -> np.ndarray:
    """Return ``min(slope · n, ceiling)``; slopes and ceilings (B, 1) give lines (B, N)."""
    return np.minimum(slope * n, ceiling)


def two_line_fit(n: np.ndarray, x: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Fit ``min(slope · n, ceiling)`` by weighted least squares: slope and ceiling, exactly.

    Between two neighbouring n the sum of squares is a parabola in slope and ceiling: its minimum
    lies where both parts are fitted alone, if the knee then falls between those n, or else with the
    knee on one of the n. Every such place is tried. Without a plateau in the data the knee is the
    largest n: the ceiling is what was reached, no more is known.

    Parameters
    ----------
    n, x, weights
        Concurrency, throughput and weights of squared residuals, shape (N,).

    References
    ----------
    Hudson (1966), Journal of the American Statistical Association 61, 1097–1129.
    """
    order = np.argsort(n, kind="stable")
    n, x, weights = n[order], x[order], weights[order]
    last = np.r_[np.flatnonzero(np.diff(n)), len(n) - 1]  # the last row of each level
    knee = n[last]
    nn, nx, one_x, one = (np.cumsum(weights * part) for part in (n * n, n * x, x, np.ones(len(n))))
    after_x, after = one_x[-1] - one_x[last], one[-1] - one[last]
    bent = (nx[last] + knee * after_x) / (nn[last] + knee**2 * after)
    slope = np.r_[bent, (nx[last] / nn[last])[:-1]]
    ceiling = np.r_[bent * knee, after_x[:-1] / after[:-1]]
    # Sums of squares by cumulative sums lose digits: they name the few that are computed in full.
    split = np.searchsorted(n, ceiling / slope, side="right")
    s_nn, s_nx, s_x, s_one = (np.r_[0.0, part][split] for part in (nn, nx, one_x, one))
    rising = slope**2 * s_nn - 2 * slope * s_nx
    level = ceiling**2 * (one[-1] - s_one) - 2 * ceiling * (one_x[-1] - s_x)
    few = np.argsort(rising + level, kind="stable")[:_FINALISTS]
    lines = two_line_throughput(n, slope=slope[few, None], ceiling=ceiling[few, None])
    best = few[np.argmin((lines - x) ** 2 @ weights)]
    return float(slope[best]), float(ceiling[best])


def finite_population_throughput(
    n: np.ndarray, *, service_s: float, servers: int, think_s: float
) -> np.ndarray:
    """Return M/M/c//N throughput at n customers, shape (N,).

    Between whole numbers it is linear: customers that come and go are a mixture of both. Without
    think time that is ``min(n, c)/S`` at every n.
    """
    if think_s == 0:
        return np.asarray(np.minimum(n, servers) / service_s)
    whole, index = np.unique(np.r_[np.floor(n), np.ceil(n)].astype(int), return_inverse=True)
    exact = np.array(
        [
            finite_population(
                servers=servers, service_s=service_s, customers=int(k), think_s=think_s
            ).throughput
            if k
            else 0.0
            for k in whole
        ]
    )
    below, above = exact[index[: len(n)]], exact[index[len(n) :]]
    return np.asarray(below + (n - np.floor(n)) * (above - below))


def finite_population_fit(
    n: np.ndarray, x: np.ndarray, weights: np.ndarray, *, think_s: float, near: tuple[float, float]
) -> tuple[float, int]:
    """Fit the service time and the whole number of servers of M/M/c//N by weighted least squares.

    The best service time of each c, by bounded search; c by multiples and then single steps, as
    long as the sum of squares falls.

    Parameters
    ----------
    n, x, weights
        Customers, throughput and weights of squared residuals, shape (N,).
    think_s
        Mean think time [s].
    near
        Service time [s] and servers to search around, from the two-line bound.

    Returns
    -------
    tuple
        Service time [s] and servers.
    """
    found: dict[int, tuple[float, float]] = {}
    most = int(np.ceil(np.max(n)))

    def rss_of(servers: int) -> float:
        if servers not in found:
            found[servers] = _best_service_s(
                n, x, weights, think_s=think_s, near_s=near[0] * servers / near[1], servers=servers
            )
        return found[servers][0]

    middle = min(max(round(near[1]), 1), most)
    best = min(_around(middle, most), key=rss_of)
    while (step := min(_beside(best, most), key=rss_of)) != best:
        best = step
    return found[best][1], best


def _around(middle: int, most: int) -> list[int]:
    return sorted({min(max(round(middle * x), 1), most) for x in (0.25, 0.5, 1.0, 2.0, 4.0)})


def _beside(servers: int, most: int) -> list[int]:
    # Itself first: a tie must not move on.
    return [servers, *(c for c in (servers - 1, servers + 1) if 1 <= c <= most)]


def _best_service_s(
    n: np.ndarray,
    x: np.ndarray,
    weights: np.ndarray,
    *,
    think_s: float,
    near_s: float,
    servers: int,
) -> tuple[float, float]:
    """Return the sum of squares and the service time that are best for a number of servers."""
    if think_s == 0:
        busy = np.minimum(n, servers)
        rate = float((weights * busy) @ x / ((weights * busy) @ busy))
        return float(weights @ (rate * busy - x) ** 2), 1 / rate
    from scipy.optimize import minimize_scalar  # noqa: PLC0415  the package loads faster without it

    rss = _rss_by_log_service(n, x, weights, think_s=think_s, servers=servers)
    middle = np.log(near_s)
    solved = minimize_scalar(
        rss, bounds=(middle - 3, middle + 3), method="bounded", options={"xatol": 1e-6}
    )
    return float(solved.fun), float(np.exp(solved.x))


def _rss_by_log_service(
    n: np.ndarray, x: np.ndarray, weights: np.ndarray, *, think_s: float, servers: int
) -> Callable[[float], float]:
    def rss(log_s: float) -> float:
        curve = finite_population_throughput(
            n, service_s=float(np.exp(log_s)), servers=servers, think_s=think_s
        )
        return float(weights @ (curve - x) ** 2)

    return rss

"""Measures of quantiles and intervals, and how sure a share is.

This module answers: do the quantiles of a forecast hold, at what width, and how much do so many
cases prove? Shapes and gaps are those of :mod:`capmodel.accuracy`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from capmodel.accuracy.arrays import Bools, Floats, check_probability, divide, paired, seen_sum

__all__ = [
    "Share",
    "binomial_interval",
    "clustered_share",
    "coverage",
    "msis",
    "pinball",
]

Method = Literal["clopper_pearson", "wilson"]


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """A share of cases with its confidence interval [ratio]."""

    share: Floats
    """Hits / n; NaN where n is 0."""
    low: Floats
    high: Floats
    n: npt.NDArray[np.int64]
    """Cases that were judged."""


def msis(
    actual: npt.ArrayLike,
    lower: npt.ArrayLike,
    upper: npt.ArrayLike,
    *,
    scale: npt.ArrayLike,
    alpha: float = 0.05,
) -> Floats:
    """Return the mean scaled interval score of a central ``1 - alpha`` interval [ratio].

    ``mean(u - l + 2/alpha (l - y)+ + 2/alpha (y - u)+) / scale``: narrow is good, and a miss costs
    2/alpha times its distance.

    Parameters
    ----------
    actual, lower, upper
        Shape (..., H); NaN actuals are left out.
    scale
        From :func:`seasonal_scale`, shape (...).
    alpha
        Probability outside the interval, in (0, 1).

    References
    ----------
    Gneiting, T., & Raftery, A. E. (2007). Strictly proper scoring rules, prediction, and
    estimation. Journal of the American Statistical Association 102(477), 359-378, section 6.2;
    scaled as in Makridakis et al. (2020), see :func:`smape`.
    """
    check_probability("alpha", alpha)
    y, low, seen = paired(actual, lower)
    _, high, _ = paired(actual, upper)
    miss = np.maximum(low - y, 0.0) + np.maximum(y - high, 0.0)
    score = high - low + 2 / alpha * miss
    return divide(divide(seen_sum(score, seen), seen.sum(axis=-1)), np.asarray(scale, dtype=float))


def pinball(actual: npt.ArrayLike, quantile: npt.ArrayLike, q: float) -> Floats:
    """Return the quantile loss ``mean(max(q (y - f), (q - 1)(y - f)))`` [unit of the series].

    For q = 0.5 it is half the mean absolute error.

    Parameters
    ----------
    actual, quantile
        Shape (..., H); NaN actuals are left out.
    q
        Probability in (0, 1) of the forecast quantile.

    References
    ----------
    Koenker, R., & Bassett, G. (1978). Regression quantiles. Econometrica 46(1), 33-50, eq. 2.5;
    Gneiting & Raftery (2007), section 6.1, see :func:`msis`.
    """
    check_probability("q", q)
    y, f, seen = paired(actual, quantile)
    error = y - f
    loss = np.maximum(q * error, (q - 1) * error)
    return divide(seen_sum(loss, seen), seen.sum(axis=-1))


def coverage(
    actual: npt.ArrayLike,
    upper: npt.ArrayLike,
    *,
    lower: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Share:
    """Return the share of actuals at or below a quantile, or inside an interval.

    The confidence interval is binomial: it takes steps for independent. The steps of one series
    err together, so judge several series by :func:`clustered_share`.

    Parameters
    ----------
    actual, upper
        Shape (..., H); NaN actuals are left out.
    lower
        Lower end of the interval; None: everything below `upper` counts.
    level
        Of the confidence interval.

    Examples
    --------
    >>> share = coverage([1.0, 2.0, 3.0, np.nan], [2.0, 2.0, 2.0, 2.0])
    >>> round(float(share.share), 3), int(share.n)
    (0.667, 3)
    """
    y, high, seen = paired(actual, upper)
    inside = _at_least(high, y, seen)
    if lower is not None:
        _, low, _ = paired(actual, lower)
        inside *= _at_least(y, low, seen)
    n = seen.sum(axis=-1)
    hits = seen_sum(inside, seen)
    ends = binomial_interval(hits, n, level=level)
    return Share(divide(hits, n), *ends, np.asarray(n, dtype=np.int64))


def binomial_interval(
    hits: npt.ArrayLike,
    n: npt.ArrayLike,
    *,
    level: float = 0.95,
    method: Method = "clopper_pearson",
) -> tuple[Floats, Floats]:
    """Return the confidence interval of a binomial share: low and high [ratio].

    Parameters
    ----------
    hits, n
        Hits and cases, broadcast together; fractions are allowed (effective sample sizes).
    level
        Confidence level in (0, 1).
    method
        ``clopper_pearson`` never covers less than `level`; ``wilson`` covers it on average. No
        cases give the interval from 0 to 1.

    References
    ----------
    Clopper, C. J., & Pearson, E. S. (1934). The use of confidence or fiducial limits illustrated
    in the case of the binomial. Biometrika 26(4), 404-413; Wilson, E. B. (1927). Probable
    inference, the law of succession, and statistical inference. Journal of the American
    Statistical Association 22(158), 209-212.

    Examples
    --------
    >>> low, high = binomial_interval(2, 20)
    >>> round(float(low), 4), round(float(high), 4)
    (0.0123, 0.317)
    """
    from scipy.special import betaincinv, ndtri  # noqa: PLC0415  the package loads faster so

    check_probability("level", level)
    k, cases = np.broadcast_arrays(np.asarray(hits, dtype=float), np.asarray(n, dtype=float))
    tail = (1 - level) / 2
    if method == "wilson":
        z2 = float(ndtri(1 - tail)) ** 2
        share = divide(k, cases)
        middle = (k + z2 / 2) / (cases + z2)
        half = np.sqrt(z2 * (cases * share * (1 - share) + z2 / 4)) / (cases + z2)
        low, high = middle - half, middle + half
        # The ends are exact at none and at all; rounding would put them beside.
        low, high = np.where(k <= 0, 0.0, low), np.where(k >= cases, 1.0, high)
    else:
        rest = cases - k
        low = np.where(k > 0, betaincinv(np.where(k > 0, k, 1.0), rest + 1, tail), 0.0)
        high = np.where(rest > 0, betaincinv(k + 1, np.where(rest > 0, rest, 1.0), 1 - tail), 1.0)
    none = cases <= 0
    return np.where(none, 0.0, low), np.where(none, 1.0, high)


def clustered_share(hits: npt.ArrayLike, n: npt.ArrayLike, *, level: float = 0.95) -> Share:
    """Return a share over clusters whose cases err together, with an honest interval.

    The interval is Clopper-Pearson's for the effective number of cases
    ``p (1 - p) / var(p) * (t_(N-1) / t_(G-1))^2``, where ``var(p)`` is the spread between clusters:
    Korn and Graubard's. It is at most the number of cases; where nothing varies (none or all hit),
    each cluster counts once.

    Parameters
    ----------
    hits, n
        Hits and cases of each cluster, shape (G,): for example hours by service and window.
    level
        Confidence level in (0, 1).

    References
    ----------
    Korn, E. L., & Graubard, B. I. (1998). Confidence intervals for proportions with small expected
    number of positive counts estimated from survey data. Survey Methodology 24(2), 193-201.

    Examples
    --------
    >>> four = clustered_share([90, 100, 95, 85], [100, 100, 100, 100])
    >>> alone = coverage(np.arange(400.0), np.full(400, 369.0))  # 370 of 400, were they independent
    >>> [round(float(x), 2) for x in (four.share, four.low, four.high, alone.low, alone.high)]
    [0.93, 0.75, 0.99, 0.89, 0.95]
    """
    from scipy.special import stdtrit  # noqa: PLC0415  the package loads faster without it

    check_probability("level", level)
    k, cases = np.asarray(hits, dtype=float), np.asarray(n, dtype=float)
    k, cases = k[cases > 0], cases[cases > 0]
    total, groups = float(cases.sum()), len(cases)
    if not groups:
        empty = np.asarray(np.nan)
        return Share(empty, np.asarray(0.0), np.asarray(1.0), np.asarray(0))
    share = float(k.sum()) / total
    spread = float(np.sum((k - share * cases) ** 2)) / total**2 * groups / max(groups - 1, 1)
    effective = float(groups)
    if groups > 1 and 0 < share < 1:
        tail = 1 - (1 - level) / 2
        narrower = float(stdtrit(total - 1, tail) / stdtrit(groups - 1, tail)) ** 2
        effective = total if spread == 0 else share * (1 - share) / spread * narrower
        effective = min(effective, total)
    low, high = binomial_interval(share * effective, effective, level=level)
    return Share(np.asarray(share), low, high, np.asarray(int(total)))


def _at_least(high: Floats, low: Floats, seen: Bools) -> Floats:
    """Return 1 where high >= low, 0 where not, NaN where a seen step has no forecast."""
    missing = np.isnan(high) | np.isnan(low)
    return np.where(seen & missing, np.nan, (high >= low).astype(float))

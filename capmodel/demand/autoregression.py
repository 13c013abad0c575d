"""Autoregression of many series at once, by least squares.

This module answers: how does each series lean on its own past hours, and where does that carry it
next? The batched regression asks it of its residuals for the first weeks; the pool for short
histories asks it of the series themselves (:mod:`.pool`).

Least squares, not Yule-Walker: the autocovariances of the latter taper the sample at both ends,
which costs most where the lags of a week meet a few weeks of data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from capmodel.errors import InputError, Problem

__all__ = ["AutoregressionFit", "extend_ar", "fit_ar", "fit_ar_at"]

BOUND: Final = 2.0
"""How far a forecast may leave the mean, in multiples of the farthest value seen on that side."""
CHUNK_BYTES: Final = 2_000_000
"""Lagged copies held at once: about what the processor's second cache holds."""
ROUNDING: Final = 1e-12
"""A variance below this share of the mean square is rounding: the series is constant."""


@dataclass(frozen=True, slots=True, eq=False)
class AutoregressionFit:
    """``z_t - mean = sum_l coefficients_l (z_(t-l) - mean) + e_t``, for S series."""

    lags: tuple[int, ...]
    """Steps back, rising, L of them [steps]."""
    coefficients: np.ndarray
    """Shape (S, L) [ratio]."""
    mean: np.ndarray
    """Weighted mean of what was seen, shape (S,) [unit of z]; NaN for a series of gaps alone."""
    lowest: np.ndarray
    """Smallest value seen, shape (S,) [unit of z]."""
    highest: np.ndarray
    """Largest value seen, shape (S,) [unit of z]."""
    n_rows: np.ndarray
    """Rows that the equations rest on, shape (S,); with none the coefficients are zero."""


def fit_ar(
    z: np.ndarray, *, lags: tuple[int, ...], ridge: float, weight: np.ndarray | None = None
) -> AutoregressionFit:
    """Fit one autoregression per series by ridge-penalised least squares.

    Minimises, over the rows t whose target and lags were all seen,

    ``sum_t w_t (d_t - sum_l c_l d_(t-l))^2 + ridge * v * sum_l c_l^2``,  ``d = z - mean``,

    with mean and v the weighted mean and variance of what was seen: `ridge` counts rows of a series
    of unit variance, so the forecast of ``a + b z`` is ``a + b`` times that of z. A row with a gap
    in its target or in a lag is left out.

    Parameters
    ----------
    z
        Series side by side, NaN for gaps, shape (T, S); float32 halves the cost, and its products
        are rounded to 7 digits (the sums of blocks and the equations are float64 all the same).
    lags
        Steps back, distinct, smallest 1 or more [steps].
    ridge
        Weight of the penalty, above 0 [rows].
    weight
        Of each row, by the time of its target, 0 or more, shape (T, S) [ratio]; None means 1.

    Returns
    -------
    AutoregressionFit
        One row of coefficients per series.

    Raises
    ------
    InputError
        When lags, ridge or a shape is none of the above.

    References
    ----------
    Hoerl, A. E., & Kennard, R. W. (1970). Ridge regression: biased estimation for nonorthogonal
    problems. Technometrics 12(1), 55-67.
    Hamilton, J. D. (1994). Time series analysis, section 5.2 (conditional maximum likelihood of an
    autoregression is least squares). Princeton University Press.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.sin(2 * np.pi * np.arange(480) / 24)[:, None]
    >>> fit = fit_ar(z, lags=(1, 24), ridge=0.01)
    >>> extend_ar(fit, z[-24:], 24)[1:4, 0].round(2)
    array([0.26, 0.5 , 0.71])
    """
    return fit_ar_at(z, lags=lags, ridge=ridge, weight=weight, origins=(len(z),))


def fit_ar_at(
    z: np.ndarray,
    *,
    lags: tuple[int, ...],
    ridge: float,
    origins: tuple[int, ...],
    recent: int | None = None,
    weight: np.ndarray | None = None,
) -> AutoregressionFit:
    """Fit as of several origins in one pass: rows between origins are multiplied out once.

    The fit as of origin c is that of :func:`fit_ar` on ``z[:c]``, or on ``z[c - recent : c]``.

    Parameters
    ----------
    z, lags, ridge, weight
        As in :func:`fit_ar`.
    origins
        Rows that each fit may see, rising, E of them [steps].
    recent
        Steps before the origin that count; None means all.

    Returns
    -------
    AutoregressionFit
        Arrays of E * S series: all series as of the first origin, then of the second, and so on.
    """
    _check(z, lags=lags, ridge=ridge, origins=origins, weight=weight)
    lags, n_series = tuple(sorted(lags)), z.shape[1]
    seen = ~np.isnan(z)
    spans = [(0 if recent is None else max(c - recent, 0), c) for c in origins]
    total = np.where(seen, z, 0.0).sum(axis=0, dtype=float)
    reference = total / np.maximum(seen.sum(axis=0), 1)
    centred = np.where(seen, z - reference, 0.0)
    shift, variance = _moments(centred, seen if weight is None else seen * weight, spans=spans)
    lowest, highest = _range(z, seen, spans=spans)
    row_weight = _row_weight(seen, weight, lags=lags)
    coefficients = np.empty((len(spans), n_series, len(lags)))
    for part in _parts(n_series, (len(lags) + 2) * len(z) * z.dtype.itemsize):
        products = _products(
            centred[:, part].T.astype(z.dtype, order="C"),
            None if row_weight is None else row_weight[:, part].T.astype(z.dtype, order="C"),
            lags=lags,
            spans=spans,
        )
        known = np.nan_to_num(shift[:, part])
        coefficients[:, part] = _solved(products, known, ridge * variance[:, part])
    rows = [slice(min(start + lags[-1], stop), stop) for start, stop in spans]
    if row_weight is None:
        n_rows = np.repeat([row.stop - row.start for row in rows], n_series)
    else:
        n_rows = np.concatenate([(row_weight[row] > 0).sum(axis=0) for row in rows])
    return AutoregressionFit(
        lags=lags,
        coefficients=coefficients.reshape(-1, len(lags)),
        mean=(reference + shift).ravel(),
        lowest=lowest.ravel(),
        highest=highest.ravel(),
        n_rows=n_rows,
    )


def extend_ar(
    fit: AutoregressionFit,
    z_tail: np.ndarray,
    horizon: int,
    *,
    damp: float = 1.0,
    bound: float = BOUND,
) -> np.ndarray:
    """Forecast step by step, each from the steps before it.

    ``d_(T+h) = damp * sum_l c_l d_(T+h-l)`` with ``d = z - mean``, kept at each step between
    `bound` times the lowest and `bound` times the highest deviation that the fit has seen. No
    coefficients can make it diverge; a stable autoregression never comes near the bound.

    Parameters
    ----------
    fit
        Coefficients of S series.
    z_tail
        The last steps before the forecast, at least the largest lag, shape (>= max lag, S) [unit of
        z]; a gap counts as the mean.
    horizon
        H, 0 or more [steps].
    damp
        Factor per step, in [0, 1]; below 1 the forecast returns to the mean sooner.
    bound
        See above, 1 or more [ratio].

    Returns
    -------
    ndarray
        Shape (H, S) [unit of z]; NaN for a series that the fit has not seen.

    Raises
    ------
    InputError
        When the tail is too short or of another number of series, or a number out of its range.
    """
    reach = fit.lags[-1]
    is_long = z_tail.ndim == 2 and len(z_tail) >= reach  # noqa: PLR2004  time by series
    _raise(
        (
            is_long and z_tail.shape[1] == len(fit.mean),
            "z_tail",
            f"shape {z_tail.shape}",
            f"shape ({reach} or more, {len(fit.mean)})",
        ),
        (horizon >= 0, "horizon", horizon, "0 or more steps"),
        (0 <= damp <= 1, "damp", damp, "a factor in [0, 1]"),
        (bound >= 1, "bound", bound, "a multiple, 1 or more"),
    )
    past = z_tail[len(z_tail) - reach :] - fit.mean
    path = np.zeros((reach + horizon, z_tail.shape[1]))
    path[:reach] = np.where(np.isnan(past), 0.0, past)
    low = bound * np.nan_to_num(fit.lowest - fit.mean)
    high = bound * np.nan_to_num(fit.highest - fit.mean)
    coefficients = np.ascontiguousarray(damp * fit.coefficients.T)
    back = reach - np.array(fit.lags)
    for h in range(horizon):
        step = np.einsum("ls,ls->s", coefficients, path[back + h])
        np.clip(step, low, high, out=path[reach + h])
    return np.asarray(path[reach:] + fit.mean)


def _check(
    z: np.ndarray,
    *,
    lags: tuple[int, ...],
    ridge: float,
    origins: tuple[int, ...],
    weight: np.ndarray | None,
) -> None:
    is_grid = z.ndim == 2 and z.dtype in (np.float32, np.float64)  # noqa: PLR2004  time by series
    is_rising = all(0 < a < b for a, b in pairwise((*origins, len(z) + 1)))
    weighs = weight is None or (weight.shape == z.shape and bool((weight >= 0).all()))
    shown = None if weight is None else f"shape {weight.shape}, least {weight.min(initial=0):g}"
    _raise(
        (is_grid, "z", f"{z.dtype} of shape {z.shape}", "float64 or float32, shape (T, S)"),
        (not np.isinf(z).any(), "z", "an infinite value", "finite values, NaN for gaps"),
        (
            bool(lags) and min(lags) > 0 and len(set(lags)) == len(lags),
            "lags",
            lags,
            "distinct steps back, 1 or more",
        ),
        (0 < ridge < np.inf, "ridge", ridge, "a number of rows above 0"),
        (bool(origins) and is_rising, "origins", origins, f"rising steps in 1 to {len(z)}"),
        (weighs, "weight", shown, f"0 or more, shape {z.shape}"),
    )


def _raise(*tests: tuple[bool, str, object, str]) -> None:
    """Raise one error for all the tests (good, argument, got, expected) that failed."""
    problems = [
        Problem(f"autoregression, {name}", str(got), expected, f"Change {name}.")
        for good, name, got, expected in tests
        if not good
    ]
    if problems:
        raise InputError(problems)


def _row_weight(
    seen: np.ndarray, weight: np.ndarray | None, *, lags: tuple[int, ...]
) -> np.ndarray | None:
    """Return each row's weight, zero where its target or a lag is a gap; None when all are 1."""
    if seen.all():
        return weight
    good = seen.copy()
    for lag in lags:
        good[lag:] &= seen[:-lag]
    return good if weight is None else good * weight


def _span_sums(values: np.ndarray, *, spans: list[tuple[int, int]]) -> np.ndarray:
    """Return the sum of each span's rows, shape (E, S)."""
    total = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=total[1:])
    return np.stack([total[stop] - total[start] for start, stop in spans])


def _moments(
    centred: np.ndarray, weight: np.ndarray, *, spans: list[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted mean and variance of each span, shape (E, S); NaN where none was seen.

    A variance that is rounding alone becomes 1: the penalty then holds the coefficients at 0.
    """
    count = _span_sums(weight, spans=spans)
    weighted = centred * weight
    first, second = _span_sums(weighted, spans=spans), _span_sums(weighted * centred, spans=spans)
    nothing = np.full(count.shape, np.nan)
    mean = np.divide(first, count, out=nothing.copy(), where=count > 0)
    square = np.divide(second, count, out=nothing, where=count > 0)
    variance = square - mean**2
    return mean, np.where(variance > ROUNDING * square, variance, 1.0)


def _range(
    z: np.ndarray, seen: np.ndarray, *, spans: list[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and the largest value of each span, shape (E, S)."""
    whole = bool(seen.all())
    low = z if whole else np.where(seen, z, np.inf)
    high = z if whole else np.where(seen, z, -np.inf)
    return (
        np.stack([low[start:stop].min(axis=0, initial=np.inf) for start, stop in spans]),
        np.stack([high[start:stop].max(axis=0, initial=-np.inf) for start, stop in spans]),
    )


def _parts(n_series: int, bytes_each: int) -> Iterator[slice]:
    """Yield the series in chunks whose lagged copies fit the cache."""
    width = max(CHUNK_BYTES // bytes_each, 1)
    for start in range(0, n_series, width):
        yield slice(start, min(start + width, n_series))


def _products(
    z: np.ndarray,
    weight: np.ndarray | None,
    *,
    lags: tuple[int, ...],
    spans: list[tuple[int, int]],
) -> np.ndarray:
    """Return the weighted cross-products of (lags, target, 1) over the rows of each span.

    Parameters
    ----------
    z
        Series by time, gaps 0, shape (S, T).
    weight
        Shape (S, T), 0 where the target or a lag is a gap.

    Returns
    -------
    ndarray
        Shape (E, S, L + 2, L + 2), summed over blocks of rows in float64.
    """
    reach, size = lags[-1], len(lags) + 2
    rows = [(start + reach, stop) for start, stop in spans]
    edges = sorted({edge for start, stop in rows if start < stop for edge in (start, stop)})
    total = np.zeros((len(z), size, size))
    if not edges:
        return np.stack([total] * len(rows))
    first, last = edges[0], edges[-1]
    columns = np.ones((len(z), size, last - first), dtype=z.dtype)
    for i, lag in enumerate((*lags, 0)):
        columns[:, i] = z[:, first - lag : last - lag]
    until = {first: total}
    for start, stop in pairwise(edges):
        block = columns[:, :, start - first : stop - first]
        left = block if weight is None else block * weight[:, None, start:stop]
        total = total + left @ block.transpose(0, 2, 1)
        until[stop] = total
    return np.stack(
        [
            until[stop] - until[start] if start < stop else np.zeros_like(total)
            for start, stop in rows
        ]
    )


def _solved(products: np.ndarray, mean: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Return the coefficients, shape (E, S, L), of products taken about another mean.

    ``sum w (x_i - m)(x_j - m) = sum w x_i x_j - m (sum w x_i + sum w x_j) + m^2 sum w``.
    """
    sums, m = products[..., -1], mean[..., None, None]
    about = products - m * (sums[..., :, None] + sums[..., None, :]) + m**2 * sums[..., -1:, None]
    n_lags = products.shape[-1] - 2
    gram = about[..., :n_lags, :n_lags] + penalty[..., None, None] * np.eye(n_lags)
    return np.asarray(np.linalg.solve(gram, about[..., :n_lags, n_lags, None])[..., 0])

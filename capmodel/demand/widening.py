"""Season luck that is wider than the model says, because past seasons were.

This module answers: how do a root's paths look when its season errors, and nothing else, are drawn
from a wider distribution?
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from capmodel.demand.paths import RootPaths
from capmodel.schema import rng_for

__all__ = ["widened"]


def widened(path: RootPaths, *, scale_x: float, df: float, seed: int) -> RootPaths:
    """Return a root's paths with its season luck multiplied, path by path.

    ``level, drift, shock -> x (level, drift, shock)`` with ``x = scale_x * sqrt(df / chi2_df)``
    drawn for each path: normal luck becomes Student's t, because the scale is known from few
    seasons. Medians stay. Paths whose spread is in the hours alone (a given forecast) are stretched
    about their medians in the same way.

    Parameters
    ----------
    path
        Paths of one root.
    scale_x
        Posterior scale of the season luck over the model's [ratio].
    df
        Degrees of freedom behind it.
    seed
        The stream is named ("ledger", service).

    References
    ----------
    Gelman, A., et al. (2013). Bayesian Data Analysis, 3rd ed., section 2.6.
    """
    from scipy.special import gammaincinv  # noqa: PLC0415  the package loads faster without it

    draws = len(path.level)
    rng = rng_for(seed, "ledger", path.service)
    chi2 = 2 * gammaincinv(df / 2, (rng.permutation(draws) + 0.5) / draws)
    x = scale_x * np.sqrt(df / chi2)
    if path.level.any() or path.drift.any() or path.shock.any():
        return replace(
            path,
            level=path.level * x,
            drift=_times(path.drift, x),
            shock=_times(path.shock, x),
        )
    if len(path.shape) == 1:
        return path
    middle = np.median(path.shape, axis=0, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        stretched = middle * (path.shape / middle) ** x[:, None, None]
    return replace(path, shape=np.where(middle > 0, stretched, path.shape))


def _times(luck: np.ndarray, x: np.ndarray) -> np.ndarray:
    return luck * x[:, None] if luck.any() else luck

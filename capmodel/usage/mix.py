"""The mix of request classes: what was seen, and how far another mix lies from it.

This module answers: are these proportions of requests among those that the fit has seen? Prices per
class are told apart only by mixes that varied; a holiday mix outside them is extrapolation, however
ordinary the total.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

__all__ = ["Mix", "mix_of"]

_EDGE: Final = 0.999
"""Share of rows whose mix counts as seen; the rest may be noise of rare classes."""

_LEAST_SD: Final = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Mix:
    """Shares of the request classes over the rows of a fit.

    ``mean`` (E,) and ``covariance`` (E, E) describe them; ``root`` (E, E) turns a deviation of
    shares into standard deviations (the Moore–Penrose root of the covariance; shares sum to 1, so
    one direction is void). ``seen`` is the distance below which 99.9 % of rows lie.
    """

    mean: np.ndarray
    covariance: np.ndarray
    root: np.ndarray
    seen: float

    def distance(self, loads: np.ndarray) -> np.ndarray:
        """Return the distance of each row's mix, relative to the farthest seen, shape (T,) [ratio].

        The Mahalanobis distance (Mahalanobis 1936) of the shares from their mean, divided by the
        distance that 99.9 % of the fit's rows keep: up to 1 is inside.

        Parameters
        ----------
        loads
            Requests by class, shape (T, E) [1/s].
        """
        return self.standard_distance(loads) / self.seen

    def standard_distance(self, loads: np.ndarray) -> np.ndarray:
        """Return the Mahalanobis distance of each row's mix [standard deviations], shape (T,)."""
        total = loads.sum(axis=1, keepdims=True)
        share = np.divide(loads, total, out=np.tile(self.mean, (len(loads), 1)), where=total > 0)
        return np.asarray(np.linalg.norm((share - self.mean) @ self.root, axis=1))


def mix_of(loads: np.ndarray) -> Mix | None:
    """Return the mixes of rows, None with fewer than two classes.

    Parameters
    ----------
    loads
        Requests by class, shape (T, E) [1/s].

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> share = 0.5 + 0.02 * rng.standard_normal(2000)
    >>> mix = mix_of(100 * np.column_stack([share, 1 - share]))
    >>> mix.distance(np.array([[50.0, 50.0], [70.0, 30.0]])).round(1).tolist()
    [0.0, 3.2]
    """
    if loads.shape[1] < 2:  # noqa: PLR2004  one class has no mix
        return None
    total = loads.sum(axis=1)
    share = loads[total > 0] / total[total > 0, None]
    mean = share.mean(axis=0)
    covariance = np.cov(share.T)
    values, vectors = np.linalg.eigh(covariance)
    # Directions that never varied: the least step away from them is far.
    sd = np.sqrt(np.maximum(values, 0.0))
    void = np.argmin(sd)
    inverse = 1 / np.maximum(sd, _LEAST_SD)
    inverse[void] = 0.0
    mix = Mix(mean=mean, covariance=covariance, root=vectors * inverse, seen=1.0)
    seen = float(np.quantile(mix.standard_distance(share), _EDGE))
    return replace(mix, seen=max(seen, 1.0))

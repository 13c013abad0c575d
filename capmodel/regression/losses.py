"""What a row does to a robust line: Huber's clipped pull, the bisquare's that ends in nothing.

This module answers: how much does a row with this residual count? It works on arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from capmodel.regression.steps import ROUNDING, Pull, Residuals, scaled_mad

__all__ = ["Bisquare", "Huber", "bisquare_pull", "huber_pull"]


@dataclass(frozen=True, slots=True, eq=False)
class Huber:
    """Huber's ψ at the scale of the residuals it is given: ``ψ(r) = clip(r, ±k·s)``."""

    k: float
    row_weight: np.ndarray | None

    def pull(self, at: Residuals) -> Pull:
        """Return what every row does."""
        return huber_pull(at.residual, self.k, scaled_mad(at.residual, weight=self.row_weight))


@dataclass(frozen=True, slots=True, eq=False)
class Bisquare:
    """Tukey's ψ at a given scale: ``ψ(r) = r(1 − u²)²``, ``u = r/(c·s)``, 0 for ``|u| > 1``."""

    c: float
    scale: float

    def pull(self, at: Residuals) -> Pull:
        """Return what every row does."""
        return bisquare_pull(at.residual, self.c, self.scale)


def huber_pull(residual: np.ndarray, k: float, scale: float) -> Pull:
    """Return Huber's pull; ψ' is 1 up to the cut and 0 beyond."""
    cut = max(k * scale, ROUNDING)
    size = np.abs(residual)
    return Pull(
        score=np.clip(residual, -cut, cut),
        weight=cut / np.maximum(size, cut),
        slope=(size <= cut).astype(float),
        scale=scale,
        cut=cut,
    )


def bisquare_pull(residual: np.ndarray, c: float, scale: float) -> Pull:
    """Return the bisquare's pull; ψ' is ``(1 − u²)(1 − 5u²)`` up to the cut and 0 beyond."""
    cut = max(c * scale, ROUNDING)
    square = np.square(residual / cut)
    inner = np.maximum(1 - square, 0.0)
    weight = inner**2
    return Pull(
        score=residual * weight,
        weight=weight,
        slope=inner * (1 - 5 * square),
        scale=scale,
        cut=cut,
    )

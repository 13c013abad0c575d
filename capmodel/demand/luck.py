"""Luck that is drawn by name: the same stream, the same futures, whoever else is drawn.

This module answers: how much does an event differ this year, for one service and for all alike?
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from capmodel.schema import rng_for

__all__ = ["EventLuck", "mixed", "normal_scores"]


def normal_scores(rng: np.random.Generator, draws: int) -> np.ndarray:
    """Return standard normal draws that are a permutation of evenly spaced quantiles.

    Their sample quantiles are those of the normal distribution, with no sampling noise; the
    order is random, so different streams are independent.
    """
    from scipy.special import ndtri  # noqa: PLC0415  the package loads faster without it

    return np.asarray(ndtri((rng.permutation(draws) + 0.5) / draws))


def mixed(common: np.ndarray, own: np.ndarray, share: float) -> np.ndarray:
    """Return standard normal draws of which `share` of the variance is the common ones'."""
    return np.asarray(np.sqrt(share) * common + np.sqrt(1 - share) * own)


@dataclass(frozen=True, slots=True, eq=False)
class EventLuck:
    """One event's luck in one year, of one service, over D paths.

    How much it differs this year and the error of its fitted effect both stem from single seasons,
    this one and the past ones, so both are shared by services to the same degree.
    """

    season: np.ndarray
    """Standard normal, shape (D,)."""
    coefficient: np.ndarray
    """Standard normal, shape (D,)."""
    uniform: np.ndarray
    """Of the variance, which is itself not known, shape (D,)."""

    @classmethod
    def of(cls, service: str, name: str, *, shared: float, seed: int, draws: int) -> EventLuck:
        """Draw it.

        Parameters
        ----------
        service
            Whose.
        name
            Span and year of the event.
        shared
            Share of the variance that all services have in common [ratio].
        seed, draws
            Streams are named ("season", "shock", name) and ("shock", service, name).
        """
        streams = rng_for(seed, "season", "shock", name), rng_for(seed, "shock", service, name)
        common, own = ((normal_scores(rng, draws), normal_scores(rng, draws)) for rng in streams)
        return cls(
            season=mixed(common[0], own[0], shared),
            coefficient=mixed(common[1], own[1], shared),
            uniform=streams[0].random(draws),
        )

    def shock(self, sd: float, df: float, coefficient_sd: float) -> np.ndarray:
        """Return the log errors of an event of these spreads, shape (D,)."""
        from scipy.special import gammaincinv  # noqa: PLC0415  the package loads faster without it

        chi2 = 2 * gammaincinv(df / 2, self.uniform)
        return np.asarray(sd * self.season * np.sqrt(df / chi2) + coefficient_sd * self.coefficient)

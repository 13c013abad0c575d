"""Compare the usual laws of scaling: USL, Amdahl, the two-line bound and M/M/c//N.

This module answers: which shape fits measured throughput best, how far apart are the others where
it matters, and does the best one rest on what was measured? The winner is shipped with the
disagreement.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from capmodel.errors import InputError
from capmodel.laws.arguments import number
from capmodel.schema import Finding, Findings
from capmodel.usage.linear import extrapolation_log_sd
from capmodel.usage.scaling_laws import LAWS, ScalingModel, fit_law
from capmodel.usage.scaling_rows import ENOUGH_N, ScalingRows, scaling_rows

__all__ = ["ScalingComparison", "ScalingModel", "compare_scaling"]

_RIVAL_X: Final = 1.5
"""A law whose leave-one-out error is within this factor of the smallest is a rival [ratio]."""

_BETTER_X: Final = 1.05
"""The winner's leave-one-out error may exceed the smallest by this without a word [ratio]."""

_DISAGREE_X: Final = 1.15
"""Ceilings of rivals further apart than this disagree [ratio]."""

_NORMAL_95: Final = 1.6448536269514722


@dataclass(frozen=True, slots=True, eq=False)
class ScalingComparison:
    """The usual laws side by side.

    Attributes
    ----------
    models
        Every law, best first; those that could not be fitted last.
    loo_winner
        The law with the smallest leave-one-out error.
    rows
        The measurements used, and what was dropped by reason.
    findings
        What is doubtful: laws that disagree, a knee that was not seen, a law not fitted.
    """

    models: tuple[ScalingModel, ...]
    loo_winner: str
    rows: ScalingRows
    findings: Findings

    @property
    def winner(self) -> ScalingModel:
        """The law with the smallest AICc; by leave-one-out error where no AICc can be had."""
        return self.models[0]

    @property
    def rivals(self) -> tuple[ScalingModel, ...]:
        """The winner, and every law whose leave-one-out error is within 1.5 times the smallest."""
        return _rivals(self.models)

    @property
    def n_max_seen(self) -> float:
        """The largest concurrency measured."""
        return float(self.rows.n[-1])

    def get(self, name: str) -> ScalingModel:
        """Return a law by name.

        Raises
        ------
        InputError
            For a name that is none of the four.
        """
        for model in self.models:
            if model.name == name:
                return model
        raise InputError.of(
            "name", got=f'"{name}"', expected=f"one of: {', '.join(LAWS)}", do="Name a law."
        )

    def predict(self, n: npt.ArrayLike) -> pd.DataFrame:
        """Predict throughput by the winner, with the range of its rivals.

        Parameters
        ----------
        n
            Concurrency > 0, shape (M,) or a number.

        Returns
        -------
        pandas.DataFrame
            ``n``, ``x`` (the winner), ``low`` and ``high`` (of all rivals; widened by a log
            standard deviation of 0.10·ln(n/n_max) beyond the range seen; until the knee was seen,
            low is there not above what was reached), ``extrapolating``.

        Raises
        ------
        InputError
            For n that is not finite and positive.
        """
        problems = number("n", n, "Leave out the rows without load.", above=0)
        if problems:
            raise InputError(problems)
        at = np.atleast_1d(np.asarray(n, dtype=float))
        all_x = np.stack([model.throughput(at) for model in self.rivals])
        wider = np.exp(_NORMAL_95 * extrapolation_log_sd(at, self.n_max_seen))
        low = all_x.min(axis=0) / wider
        beyond = at > self.n_max_seen
        if not self.winner.knee_seen:
            reached = self.winner.throughput(np.array([self.n_max_seen]))
            low = np.where(beyond, np.minimum(low, reached), low)
        return pd.DataFrame(
            {
                "n": at,
                "x": self.winner.throughput(at),
                "low": low,
                "high": all_x.max(axis=0) * wider,
                "extrapolating": beyond | (at < self.rows.n[0]),
            }
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per law, best first."""
        rows = [
            {
                "model": model.name,
                "winner": model is self.winner,
                **{
                    name: getattr(model, name)
                    for name in (
                        "aicc",
                        "loo_rmse",
                        "worst",
                        "knee_n",
                        "ceiling_x",
                        "knee_seen",
                        "refused",
                    )
                },
                "parameters": _parameter_text(model),
            }
            for model in self.models
        ]
        return pd.DataFrame(rows)

    def explain(self) -> str:
        """Return, as text, the winner, every law's evidence and the disagreement."""
        lines = [
            f"{self.winner.title} fits best: {_parameter_text(self.winner)}; "
            f"knee N = {self.winner.knee_n:.4g}, ceiling {self.winner.ceiling_x:.5g}"
            + ("" if self.winner.knee_seen else " (not seen)")
        ]
        for model in self.models:
            if model.refused:
                lines.append(f"  {model.title}: not fitted, {model.refused}")
                continue
            lines.append(
                f"  {model.title}: AICc {model.aicc:.2f}, leave-one-out {model.loo_rmse:.4g}, "
                f"worst row {model.worst:.1%}, knee {model.knee_n:.4g}, "
                f"ceiling {model.ceiling_x:.5g}" + ("" if model.knee_seen else " (not seen)")
            )
        dropped = ", ".join(f"{count} {reason}" for reason, count in self.rows.dropped.items())
        lines.append(
            f"  rows used {len(self.rows.n)} at {self.rows.n_distinct} different N, "
            f"{self.rows.n[0]:g} to {self.rows.n[-1]:g}; dropped: {dropped or 'none'}"
        )
        lines += [f"  {finding.code}: {finding.message}" for finding in self.findings]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return self.to_frame().to_html(index=False)


def compare_scaling(
    n: npt.ArrayLike,
    x: npt.ArrayLike,
    *,
    think_s: float = 0.0,
    weights: npt.ArrayLike | None = None,
    min_n: float = 1.0,
) -> ScalingComparison:
    """Fit the usual laws of scaling to measured throughput and compare them.

    USL (alpha, beta, gamma), Amdahl's law (beta = 0), the two-line bound ``min(n/(S + Z), c/S)``
    and M/M/c//N with a whole number of servers; by the corrected Akaike criterion ``AICc = m
    ln(rss/m) + 2k + 2k(k + 1)/(m − k − 1)`` with k counting the scatter, and by the error at an n
    that was left out of the fit (all of its rows; beyond 20 distinct n, every 20th together).

    Parameters
    ----------
    n
        Concurrency, shape (N,): mean in flight, or users of a closed test.
    x
        Throughput [1/s], shape (N,).
    think_s
        Mean think time Z of the users [s]; 0 where n is in flight.
    weights
        Weights of squared residuals, shape (N,): replicates behind a row, or 1/sd².
    min_n
        Rows with n below are dropped, with a count.

    Returns
    -------
    ScalingComparison
        Laws best first. One that cannot be fitted says why; the others go on.

    Raises
    ------
    InputError
        For arrays that do not match, values that are no measurement, or fewer than 4 distinct n.

    References
    ----------
    Hurvich and Tsai (1989), Biometrika 76, 297–307 (AICc). Denning and Buzen (1978), ACM Computing
    Surveys 10, 225–261 (asymptotic bounds). Gunther (2007), *Guerrilla Capacity Planning*.

    Examples
    --------
    >>> users = np.array([1, 2, 3, 4, 6, 8, 16, 32])
    >>> pool = np.minimum(users, 4) / 0.025 * [1.01, 0.99, 1.0, 0.99, 1.0, 1.01, 1.0, 0.99]
    >>> found = compare_scaling(users, pool)
    >>> found.winner.title, round(found.winner.knee_n, 2)
    ('two-line bound', 4.03)
    """
    problems = number("think_s", think_s, "Give seconds; 0 for none.", least=0)
    if problems:
        raise InputError(problems)
    rows = scaling_rows(n, x, weights=weights, min_n=min_n)
    fitted = [fit_law(name, rows, think_s) for name in LAWS]
    usable = [model for model in fitted if not model.refused]
    by_aicc = any(math.isfinite(model.aicc) for model in usable)
    usable.sort(key=lambda model: (model.aicc if by_aicc else model.loo_rmse, model.loo_rmse))
    models = (*usable, *(model for model in fitted if model.refused))
    loo_winner = min(usable, key=lambda model: model.loo_rmse).name
    findings = Findings(tuple(_doubts(models, loo_winner, rows)))
    return ScalingComparison(models, loo_winner, rows, findings)


def _rivals(models: tuple[ScalingModel, ...]) -> tuple[ScalingModel, ...]:
    least = min(model.loo_rmse for model in models)
    return tuple(
        model
        for model in models
        if model is models[0] or (not model.refused and model.loo_rmse <= _RIVAL_X * least)
    )


def _doubts(
    models: tuple[ScalingModel, ...], loo_winner: str, rows: ScalingRows
) -> Iterator[Finding]:
    winner = models[0]
    if rows.dropped:
        left = ", ".join(f"{count} {reason}" for reason, count in rows.dropped.items())
        yield Finding("scaling_rows_dropped", "info", "", f"dropped: {left}", dict(rows.dropped))
    for model in models:
        if model.refused:
            message = f"{model.title} was not fitted: {model.refused}"
            yield Finding("scaling_not_fitted", "warning", "", message)
    if not winner.knee_seen:
        message = (
            f"{winner.title} has its knee at N = {winner.knee_n:.4g}, of which N "
            f"{rows.n[0]:g} to {rows.n[-1]:g} do not show both sides: its ceiling is extrapolated"
        )
        yield Finding("scaling_knee_not_seen", "warning", "", message)
    if rows.n_distinct < ENOUGH_N:
        message = f"{rows.n_distinct} different N, fewer than {ENOUGH_N}: the choice is weak"
        yield Finding("scaling_few_n", "warning", "", message)
    least = min(model.loo_rmse for model in models)
    if winner.loo_rmse > _BETTER_X * least:
        message = f"{LAWS[loo_winner].title} predicts an n that was left out better"
        yield Finding("scaling_criteria_disagree", "info", "", message)
    ceilings = {model.title: model.ceiling_x for model in _rivals(models)}
    if max(ceilings.values()) > _DISAGREE_X * min(ceilings.values()):
        shown = ", ".join(f"{title} {ceiling:.5g}" for title, ceiling in ceilings.items())
        message = f"laws that fit about as well have different ceilings: {shown}"
        yield Finding("scaling_laws_disagree", "warning", "", message, dict(ceilings))


def _parameter_text(model: ScalingModel) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in model.parameters.items())

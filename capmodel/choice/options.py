"""Options for one limit, side by side: risk, cost on either side, regret, percentile.

This module answers: of several sizes, which is the cheapest within the accepted risk, which has the
least expected regret over the scenario mixture, at which percentile of the need does each stand,
and what would it cost to have too much or too little of it? Paths that no option serves are counted
and named by scenario; they are in every probability and in no sum of USD.

Shapes: S scenarios, D draws. Path (s, d) has weight ``weights[s] / D``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.capacity.replicas import ceil_units
from capmodel.capacity.risk import mixture_value, probability, standard_error
from capmodel.capacity.union import weight_problems
from capmodel.choice.regret import Losses, losses_of, newsvendor_quantile
from capmodel.cost import cents
from capmodel.errors import InputError, Problem
from capmodel.schema import order_statistic

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Option", "Options", "Unserved", "options_table", "risk_options"]

BEYOND: Final = 2.0
"""An option is outside the risk where its probability passes it by so many standard errors,"""

DOUBT_X: Final = 0.1
"""and by at most this share of the risk: few draws are no reason to accept more of it [ratio]."""

_AXES: Final = 2


@dataclass(frozen=True, slots=True)
class Option:
    """One size, judged on every path; USD are expectations over the mixture."""

    units: float
    over_today_x: float
    """Units / today's [ratio]."""
    p_saturate: float
    """Probability that the need exceeds the units, paths that no option serves included."""
    mc_se: float
    """Monte-Carlo standard error of `p_saturate`."""
    stands_at: float
    """Probability that the need is at most the units: the percentile at which the option stands."""
    over_usd: Decimal
    """Expected cost of units that stand unused."""
    under_usd: Decimal
    """Expected cost of units that are missing, paths of infinite need left out."""
    loss_usd: Decimal
    """Their sum."""
    regret_usd: Decimal
    """Expected loss above that of the best option on each path."""
    regret_p95_usd: Decimal
    """P95 of that over the paths of finite need."""
    regret_beyond_usd: Decimal
    """The part of `regret_usd` on paths that need more than the largest option."""
    within_risk: bool
    """`p_saturate` is at most the risk, but for its standard error: two of them, at most a tenth of
    the risk."""
    cheapest_within_risk: bool
    least_regret: bool


@dataclass(frozen=True, slots=True)
class Unserved:
    """Paths of one scenario that no option serves."""

    scenario: str
    above_largest: int
    """Draws that need more than the largest option [draws]."""
    infeasible: int
    """Draws that no number of units serves [draws]."""


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """Options for one limit by rising units."""

    rows: tuple[Option, ...]
    risk: float
    unit: str
    unserved: tuple[Unserved, ...]
    """Scenarios with paths that no option serves."""
    p_above_largest: float
    """Probability of a finite need above the largest option."""
    p_infeasible: float
    """Probability that no number of units suffices."""
    newsvendor_q: float | None
    """Quantile of least expected loss by the critical ratio; None where a breach has a price."""
    newsvendor_units: float | None
    """The need at that quantile, be it an option or not [units]; inf where none suffices."""

    @property
    def least_regret(self) -> Option:
        """The option of least expected regret; of equals the smallest."""
        return next(row for row in self.rows if row.least_regret)

    @property
    def cheapest_within_risk(self) -> Option | None:
        """The smallest option within the risk; None where none is."""
        return next((row for row in self.rows if row.cheapest_within_risk), None)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per option."""
        import pandas as pd  # noqa: PLC0415  arrays need no frame

        return pd.DataFrame([asdict(row) for row in self.rows])

    def sentences(self) -> tuple[str, ...]:
        """Return the choice in words: both picks with their costs, and what no option serves."""
        chosen, least = self.cheapest_within_risk, self.least_regret
        text = [
            f"Within {self.risk:.1%} risk: {_words(chosen, self.unit)}."
            if chosen
            else f"No option is within {self.risk:.1%} risk.",
            f"Least expected regret: {_words(least, self.unit)}.",
        ]
        text += [
            f"{row.scenario}: {row.above_largest} draws need more than the largest option, "
            f"{row.infeasible} more than any number of units."
            for row in self.unserved
        ]
        return tuple(text)


def _words(option: Option, unit: str) -> str:
    return (
        f"{option.units:,.0f} {unit} at P{100 * option.stands_at:.1f}, expected USD "
        f"{option.over_usd:,} for too much and {option.under_usd:,} for too little"
    )


def risk_options(
    need: np.ndarray, weights: np.ndarray, risks: Sequence[float] = (0.05, 0.02, 0.01)
) -> np.ndarray:
    """Return the whole units that keep each risk on these paths, rising and without repeats.

    Parameters
    ----------
    need
        Season's need, shape (S, D) [units].
    weights
        Probability of each scenario, shape (S,).
    risks
        Accepted probabilities of saturation.

    Returns
    -------
    numpy.ndarray
        Finite sizes only: a risk that no number of units keeps has no option.

    Examples
    --------
    >>> risk_options(np.arange(1.0, 101.0)[None], np.ones(1)).tolist()
    [95.0, 98.0, 99.0]
    """
    need, weights = _checked(need, weights)
    if not all(0 < risk < 1 for risk in risks):
        raise InputError.of(
            "risks", got=list(risks), expected="probabilities in (0, 1)", do="Write 0.02 for 2 %."
        )
    units = ceil_units([mixture_value(need, 1 - risk, weights) for risk in risks])
    return np.unique(units[np.isfinite(units)])


def options_table(  # noqa: PLR0913  keyword-only past the arrays
    need: np.ndarray,
    weights: np.ndarray,
    options: Sequence[float] | np.ndarray,
    *,
    today: float,
    risk: float,
    over_usd_per_unit: Decimal | float,
    under_usd_per_unit: Decimal | float = 0,
    under_usd_per_breach: Decimal | float = 0,
    unit: str = "units",
    scenarios: Sequence[str] | None = None,
) -> Options:
    """Return the options judged on the same paths.

    Parameters
    ----------
    need
        Season's need, shape (S, D) [units]; inf where no number of units suffices.
    weights
        Probability of each scenario, shape (S,).
    options
        Sizes to compare, for example :func:`risk_options` and today's; sorted, repeats dropped.
    today
        Units that stand today.
    risk
        Accepted probability of saturation.
    over_usd_per_unit, under_usd_per_unit, under_usd_per_breach
        Cost of a unit that stands unused over the season, of a unit that is missing, of a season
        that exceeds the size at all [USD].
    unit
        Word for the units in sentences.
    scenarios
        Names; ``scenario 1`` and so on by default.

    Raises
    ------
    InputError
        Naming every argument that is wrong.

    Examples
    --------
    >>> table = options_table(
    ...     np.arange(1.0, 101.0)[None], np.ones(1), [80, 90, 98], today=60, risk=0.02,
    ...     over_usd_per_unit=10, under_usd_per_unit=90, unit="pods",
    ... )  # fmt: skip
    >>> table.least_regret.units, table.cheapest_within_risk.units, table.newsvendor_units
    (90.0, 98.0, 90.0)
    >>> print(table.sentences()[1])
    Least expected regret: 90 pods at P90.0, expected USD 400.50 for too much and 49.50 for too
    little.
    """
    need, weights = _checked(need, weights)
    names = tuple(scenarios or (f"scenario {s + 1}" for s in range(len(need))))
    sizes = _checked_sizes(options, today=today, risk=risk, named=len(names) == len(need))
    over, per_unit, per_breach = (
        float(usd) for usd in (over_usd_per_unit, under_usd_per_unit, under_usd_per_breach)
    )
    losses = losses_of(
        need,
        sizes,
        over_usd_per_unit=over,
        under_usd_per_unit=per_unit,
        under_usd_per_breach=per_breach,
    )
    above = np.isfinite(need) & (need > sizes[-1])
    infeasible = np.isinf(need)
    q = None
    if not per_breach:
        q = newsvendor_quantile(over_usd_per_unit=over, under_usd_per_unit=per_unit)
    return Options(
        rows=_rows(need, weights, sizes, losses, today=today, risk=risk),
        risk=risk,
        unit=unit,
        unserved=tuple(
            Unserved(name, int(a.sum()), int(i.sum()))
            for name, a, i in zip(names, above, infeasible, strict=True)
            if (a | i).any()
        ),
        p_above_largest=probability(above, weights),
        p_infeasible=probability(infeasible, weights),
        newsvendor_q=q,
        newsvendor_units=None if q is None else mixture_value(need, q, weights),
    )


def _rows(
    need: np.ndarray,
    weights: np.ndarray,
    sizes: np.ndarray,
    losses: Losses,
    *,
    today: float,
    risk: float,
) -> tuple[Option, ...]:
    """Return one row per size; the smallest within the risk and that of least regret are marked."""
    hits = [need > size for size in sizes]
    p = np.array([probability(hit, weights) for hit in hits])
    errors = np.array([standard_error(hit, weights) for hit in hits])
    within = p <= risk + np.minimum(BEYOND * errors, DOUBT_X * risk)
    regret = [_mean(path, weights) for path in losses.regret_usd]
    finite, above = np.isfinite(need), np.isfinite(need) & (need > sizes[-1])
    rows = []
    for k, size in enumerate(sizes):
        over_usd = _usd(_mean(losses.over_usd[k], weights))
        under_usd = _usd(_mean(losses.under_usd[k], weights))
        beyond = np.where(above, losses.regret_usd[k], 0.0)
        row = Option(
            units=float(size),
            over_today_x=float(size) / today,
            p_saturate=float(p[k]),
            mc_se=float(errors[k]),
            stands_at=1.0 - float(p[k]),
            over_usd=over_usd,
            under_usd=under_usd,
            loss_usd=over_usd + under_usd,
            regret_usd=_usd(regret[k]),
            regret_p95_usd=_usd(_p95(losses.regret_usd[k], weights, finite)),
            regret_beyond_usd=_usd(_mean(beyond, weights)),
            within_risk=bool(within[k]),
            cheapest_within_risk=bool(within[k]) and not within[:k].any(),
            least_regret=regret[k] <= min(regret) and regret[k] < min(regret[:k], default=np.inf),
        )
        rows.append(row)
    return tuple(rows)


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    return float(weights @ values.mean(axis=1))


def _p95(values: np.ndarray, weights: np.ndarray, counted: np.ndarray) -> float:
    """Return the P95 over the counted paths, 0 without any."""
    each = np.repeat(weights / values.shape[1], values.shape[1])[counted.ravel()]
    if not each.sum():
        return 0.0
    return float(values[counted][order_statistic(values[counted], 0.95, each)])


def _usd(amount: float) -> Decimal:
    return cents(Decimal(repr(float(amount))))


def _checked(need: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    need, weights = np.asarray(need, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    problems = []
    if need.ndim != _AXES or 0 in need.shape or np.isnan(need).any():
        problems.append(
            Problem(
                where="need",
                got=f"shape {need.shape}, {int(np.isnan(need).sum())} NaN",
                expected="shape (scenarios, draws), none empty, no NaN",
                do="Write inf where no number of units suffices.",
            )
        )
    if need.ndim:
        problems += weight_problems(weights, len(need))
    if problems:
        raise InputError(problems)
    return need, weights


def _checked_sizes(
    options: Sequence[float] | np.ndarray, *, today: float, risk: float, named: bool
) -> np.ndarray:
    sizes = np.unique(np.asarray(options, dtype=np.float64))
    problems = [
        Problem(where=where, got=str(got), expected=expected, do=f"Correct {where}.")
        for where, got, ok, expected in (
            (
                "options",
                np.asarray(options).tolist(),
                sizes.size > 0 and bool(np.isfinite(sizes).all()) and bool((sizes >= 0).all()),
                "at least one finite size of at least 0",
            ),
            ("today", today, 0 < today < np.inf, "a number of units above 0"),
            ("risk", risk, 0 < risk < 1, "a probability in (0, 1)"),
            ("scenarios", "another number of names", named, "one name per scenario"),
        )
        if not ok
    ]
    if problems:
        raise InputError(problems)
    return sizes

"""Which resource binds: the one at its limit, or the one whose line reaches it first.

This module answers: of all resources measured under a load, which one will stop it, which ones will
not, and of which can nothing be said? CPU often is not the one. Which load explains a resource best
is :mod:`capmodel.usage.drivers`'s question.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from capmodel.errors import InputError, Problem, nearest
from capmodel.regression import RobustFit, mm_nnls, sandwich_covariance
from capmodel.usage.binding_result import Binding, ResourceUse
from capmodel.usage.linear import extrapolation_log_sd

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Binding", "ResourceUse", "Waiting", "binding_resource"]

Floats = npt.NDArray[np.float64]
Observations = Mapping[str, npt.ArrayLike]

SATURATED: Final = 0.95
"""Share of its limit from which a resource is at it, at the largest loads seen [ratio]."""

IMPOSSIBLE: Final = 1.10
"""Share of its limit above which the limit, or its unit, must be wrong [ratio]."""

FLAT: Final = 0.05
"""A resource does not follow the load where all of the load takes at most this much of the limit,
and nothing else moves nine rows in ten by more [ratio]."""

TOP_SHARE: Final = 0.05
"""The largest loads: this share of rows."""

TOP_ROWS: Final = 5
"""Fewest such rows."""

_CONSTANT_LOAD: Final = 0.02
_BLOCKS: Final = 30
_HIGH: Final = 0.95

_CONSISTENT: Final = MappingProxyType({"bisquare": 1.2076229944786159, "huber": 1.1686443236625434})
"""``E[w]/E[w u²]`` of a standard normal u under the weights of :func:`capmodel.regression.mm_nnls`:
what weighted residuals are too small by."""
_GRID: Final = np.geomspace(1e-3, 1e3, 2401)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Evidence that work waits for a resource.

    ``column`` is a mean queue, or a share of time spent waiting, and ``at_least`` the value from
    which, at the largest loads, it says that the resource is the one waited for.
    """

    column: str
    at_least: float


def binding_resource(  # noqa: PLR0913  each argument is one documented choice
    observations: Observations | pd.DataFrame,
    *,
    load: str,
    limits: Mapping[str, float],
    waiting: Mapping[str, Waiting] | None = None,
    busiest: float | None = None,
    min_r2: float = 0.5,
    min_rows: int = 30,
) -> Binding:
    """Decide which resource binds under a load.

    Resources at their limit at the largest loads seen (median usage of the top 5 % of rows by load
    at 95 % of the limit or more, or a queue for the resource) bind now; of several, a queue tells.
    Otherwise each resource gets a robust line ``usage = idle + per_load · load``, and the one whose
    line reaches its limit first binds, if no other's interval reaches into its own. A resource
    whose line explains too little is GREY: it is ruled out only where usage in proportion to the
    load (no line with a background grows faster) reaches the limit later than the first.

    Parameters
    ----------
    observations
        Columns by name, each (T,), rows in order of time: the load, the usages, the waiting
        columns. NaN is a gap.
    load
        Column of the load [1/s].
    limits
        Hard limit per resource, in the unit of its column.
    waiting
        Evidence that work waits, by resource.
    busiest
        Today's busiest load; None: the median of the largest loads seen.
    min_r2
        Least share of the variance that a line has to explain.
    min_rows
        Fewest rows of a line.

    Returns
    -------
    Binding

    Raises
    ------
    InputError
        For columns that are missing or of different lengths, negative usage or load, limits that
        are not positive, a resource given as its own load; all problems together.

    Notes
    -----
    Intervals hold the error of the line, correlated within blocks of rows, and
    :func:`capmodel.usage.extrapolation_log_sd` beyond the largest load seen. A straight line is
    assumed: a cost that rises with load binds earlier. The busy share of a device that serves
    requests in parallel (``iostat %util``) is 1 long before the device is at its end; give its IOPS
    with their limit, or a queue, where they are known.

    References
    ----------
    Denning, P. J. & Buzen, J. P. (1978), The operational analysis of queueing network models, ACM
    Computing Surveys 10(3), section 4 (bottleneck: the first device to saturate). Fieller (1954),
    J. R. Statist. Soc. B 16, 175–185 (interval of the load at which a line meets a level).

    Examples
    --------
    >>> tps = np.linspace(100, 500, 200)
    >>> rows = {"tps": tps, "cpu_cores": 0.4 + 0.01 * tps, "iops_read": 50 + 5.2 * tps}
    >>> found = binding_resource(rows, load="tps", limits={"cpu_cores": 16, "iops_read": 3000})
    >>> found.binding, found.get("cpu_cores").status
    ('iops_read', 'GREEN')
    """
    columns, problems = _columns(observations, load, limits, waiting or {})
    if busiest is not None and not busiest > 0:
        problems.append(Problem("busiest", str(busiest), "a load above 0", "Leave it out."))
    if problems:
        raise InputError(problems)
    x = columns[load]
    known = x[np.isfinite(x)]
    top = float(np.median(known[_largest(known)])) if len(known) else math.nan
    today = top if busiest is None else busiest
    rules = _Rules(today=today, min_r2=min_r2, min_rows=min_rows)
    uses = tuple(
        _use(_Sample.of(name, columns, x, limits[name], (waiting or {}).get(name)), rules)
        for name in limits
    )
    candidates, binding = _decide(uses)
    return Binding(load, today, uses, candidates, binding)


@dataclass(frozen=True, slots=True)
class _Rules:
    today: float
    min_r2: float
    min_rows: int


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """The rows of one resource: load (N,), usage (N,), and what holds at the largest loads."""

    resource: str
    limit: float
    x: Floats
    y: Floats
    load_top: float
    utilization: float
    highest: float
    waiting: float
    waited_for: bool

    @classmethod
    def of(
        cls,
        name: str,
        columns: Mapping[str, Floats],
        x: Floats,
        limit: float,
        waiting: Waiting | None,
    ) -> _Sample:
        known = np.isfinite(x) & np.isfinite(columns[name])
        top = _largest(x[known])
        waits = math.nan
        if waiting is not None:
            at_top = columns[waiting.column][known][top]
            at_top = at_top[np.isfinite(at_top)]
            waits = float(np.median(at_top)) if len(at_top) else math.nan
        y = columns[name][known]
        return cls(
            resource=name,
            limit=float(limit),
            x=x[known],
            y=y,
            load_top=float(np.median(x[known][top])) if len(top) else math.nan,
            utilization=float(np.median(y[top])) / limit if len(top) else math.nan,
            highest=float(np.quantile(y[top], _HIGH)) / limit if len(top) else math.nan,
            waiting=waits,
            waited_for=waiting is not None and waits >= waiting.at_least,
        )

    @property
    def saturated(self) -> bool:
        return self.utilization >= SATURATED or self.waited_for


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    value: Floats
    covariance: Floats
    t: float
    r2: float
    load_max: float

    @property
    def slope(self) -> float:
        return float(self.value[1])

    @property
    def half(self) -> float:
        """Half the 95 % interval of the slope."""
        return self.t * math.sqrt(max(float(self.covariance[1, 1]), 0.0))

    def reaches(self, limit: float) -> tuple[float, float, float]:
        """Return the load at which the line reaches a limit, and its 95 % interval."""
        x = _GRID * self.load_max
        middle = self.value[0] + self.value[1] * x
        safe = np.where(middle > 0, middle, 1.0)
        (v00, v01), (_, v11) = self.covariance
        variance = np.maximum(v00 + 2 * v01 * x + v11 * x**2, 0.0) / safe**2
        share = self.value[1] * x / safe
        beyond = share * extrapolation_log_sd(x, self.load_max)
        spread = np.exp(self.t * np.sqrt(variance + beyond**2))
        point = (limit - float(self.value[0])) / self.slope if self.slope > 0 else math.inf
        early, late = (_crossing(x, y, limit) for y in (middle * spread, middle / spread))
        return max(point, 0.0), early, late


def _crossing(x: Floats, y: Floats, limit: float) -> float:
    """Return where a curve first reaches a limit, inf where it does not."""
    above = np.flatnonzero(y >= limit)
    if not len(above):
        return math.inf
    i = int(above[0])
    if i == 0:
        return 0.0
    part = (limit - y[i - 1]) / (y[i] - y[i - 1])
    return float(x[i - 1] + part * (x[i] - x[i - 1]))


def _largest(x: Floats) -> npt.NDArray[np.intp]:
    """Return the rows with the largest loads."""
    n = min(max(int(TOP_SHARE * len(x)), TOP_ROWS), len(x))
    return np.argsort(x, kind="stable")[len(x) - n :]


def _columns(
    observations: Observations | pd.DataFrame,
    load: str,
    limits: Mapping[str, float],
    waiting: Mapping[str, Waiting],
) -> tuple[dict[str, Floats], list[Problem]]:
    """Return the columns asked for, as arrays, and everything that is wrong with them."""
    present = [str(name) for name in observations]
    problems = _argument_problems(load, limits, waiting)
    columns: dict[str, Floats] = {}
    for name in dict.fromkeys([load, *limits, *(w.column for w in waiting.values())]):
        if present.count(name) != 1:
            close = nearest(name, present)
            got = f"{present.count(name)} columns of this name"
            do = f'Did you mean "{close}"?' if close and close != name else "Give it once."
            problems.append(Problem(f"observations, {name}", got, "one column", do))
            continue
        try:
            column = np.asarray(observations[name], dtype=np.float64)
        except (TypeError, ValueError) as failure:
            where = f"observations, {name}"
            problems.append(Problem(where, str(failure), "numbers", "Correct the column."))
            continue
        columns[name] = column
        finite = column[np.isfinite(column)]
        if column.ndim != 1 or np.isinf(column).any() or np.any(finite < 0):
            got = f"{float(finite.min()):g}" if len(finite) else f"shape {column.shape}"
            expected = "one dimension of finite numbers of at least 0, or NaN"
            problems.append(Problem(f"observations, {name}", got, expected, "Correct the column."))
    lengths = {name: len(column) for name, column in columns.items() if column.ndim}
    if len(set(lengths.values())) > 1:
        got = ", ".join(f"{name} {n}" for name, n in lengths.items())
        problems.append(Problem("observations", got, "columns of one length", "Align the rows."))
    return columns, problems


def _argument_problems(
    load: str, limits: Mapping[str, float], waiting: Mapping[str, Waiting]
) -> list[Problem]:
    problems = []
    if not limits:
        problems.append(Problem("limits", "none", "a limit per resource", "Give one."))
    for name, limit in limits.items():
        if not (math.isfinite(limit) and limit > 0):
            expected = "a finite limit above 0"
            problems.append(
                Problem(f"limits, {name}", str(limit), expected, "Leave it out if it has none.")
            )
    if load in limits:
        do = "A load is what arrives; name the resources that it uses."
        problems.append(Problem("limits", f'the load "{load}"', "resources", do))
    problems += [
        Problem("waiting", f'"{name}"', f"one of: {', '.join(limits)}", "Give it a limit too.")
        for name in waiting
        if name not in limits
    ]
    return problems


def _use(sample: _Sample, rules: _Rules) -> ResourceUse:
    if len(sample.y) < rules.min_rows:
        return _grey(sample, rules, f"{len(sample.y)} usable rows, {rules.min_rows} needed")
    if sample.utilization > IMPOSSIBLE:
        reason = f"{sample.utilization:.0%} of its limit in use: correct the limit or its unit"
        return _grey(sample, rules, reason)
    if float(np.std(sample.x)) <= _CONSTANT_LOAD * float(np.mean(sample.x)):
        return _grey(sample, rules, "the load was constant")
    line = _fit(sample)
    reason = _doubt(line, rules.min_r2)
    largest = (line.slope + line.half) * line.load_max
    moved = float(np.subtract(*np.quantile(sample.y, [_HIGH, 1 - _HIGH])))
    flat = bool(reason) and max(largest, moved) <= FLAT * sample.limit
    if flat:
        reason = f"does not follow the load, which takes at most {largest / sample.limit:.1%} of it"
    elif reason:
        return _grey(sample, rules, reason, line=line)
    point, low, high = (x / rules.today for x in line.reaches(sample.limit))
    return ResourceUse(
        resource=sample.resource,
        limit=sample.limit,
        status="RED" if sample.saturated else "GREEN",
        utilization=sample.utilization,
        waiting=sample.waiting,
        waited_for=sample.waited_for,
        saturated=sample.saturated,
        idle=float(line.value[0]),
        per_load=line.slope,
        low=max(line.slope - line.half, 0.0),
        high=line.slope + line.half,
        r2=line.r2,
        binds_at_x=math.inf if flat else point,
        binds_at_x_low=low,
        binds_at_x_high=math.inf if flat else high,
        n_used=len(sample.y),
        reason=reason,
    )


def _grey(sample: _Sample, rules: _Rules, reason: str, *, line: _Line | None = None) -> ResourceUse:
    """Return what is known of a resource without a line that could be judged."""
    judged = len(sample.y) >= rules.min_rows and sample.utilization <= IMPOSSIBLE
    # No line with a background grows faster than in proportion from the usage at the top.
    seen = judged and sample.highest > 0 and rules.today > 0
    later = sample.load_top / sample.highest / rules.today if seen else 0.0
    return ResourceUse(
        resource=sample.resource,
        limit=sample.limit,
        status="RED" if judged and sample.saturated else "GREY",
        utilization=sample.utilization,
        waiting=sample.waiting,
        waited_for=judged and sample.waited_for,
        saturated=judged and sample.saturated,
        idle=float(line.value[0]) if line else math.nan,
        per_load=line.slope if line else math.nan,
        low=max(line.slope - line.half, 0.0) if line else math.nan,
        high=line.slope + line.half if line else math.nan,
        r2=line.r2 if line else math.nan,
        binds_at_x=math.nan,
        binds_at_x_low=later,
        binds_at_x_high=math.inf,
        n_used=len(sample.y),
        reason=reason,
    )


def _fit(sample: _Sample) -> _Line:
    design = np.column_stack([np.ones(len(sample.x)), sample.x])
    fit = mm_nnls(design, sample.y)
    # Neighbours in time are alike: blocks of rows are the independent ones.
    blocks = min(_BLOCKS, len(sample.x) // 2)
    block = np.arange(len(sample.x)) * blocks // len(sample.x)
    return _Line(
        value=fit.value,
        covariance=sandwich_covariance(design, sample.y, fit, day=block),
        t=float(stdtrit(blocks - 2, 0.975)),
        r2=_robust_r2(sample.y, fit),
        load_max=float(sample.x.max()),
    )


def _robust_r2(y: Floats, fit: RobustFit) -> float:
    """Return the share of variance explained by the fit's weights, consistent at the normal.

    ``Σw(ŷ − m)²/(Σw(ŷ − m)² + a·Σw(y − ŷ)²)``; without a, weights that fall with the residual would
    make every line look better than it is. Renaud & Victoria-Feser (2010), J. Statist. Planning
    and Inference 140, 1852–1862, equation 7.
    """
    middle = np.average(fit.fitted, weights=fit.weights)
    explained = float(np.sum(fit.weights * (fit.fitted - middle) ** 2))
    left = _CONSISTENT[fit.family] * float(np.sum(fit.weights * (y - fit.fitted) ** 2))
    rounding = 1e-24 * float(np.sum(fit.fitted**2))
    return explained / (explained + left) if explained + left > rounding else math.nan


def _doubt(line: _Line, min_r2: float) -> str:
    """Return why a line cannot be judged, '' if it can."""
    if math.isnan(line.r2):
        return "usage was constant"
    if line.r2 < min_r2:
        return f"the load explains {line.r2:.0%} of its variance, {min_r2:.0%} needed"
    if line.slope - line.half <= 0:
        return "the interval of its slope includes 0"
    return ""


def _decide(uses: tuple[ResourceUse, ...]) -> tuple[tuple[str, ...], str | None]:
    """Return the resources that may bind first, and the one that does if there is one."""
    full = [use for use in uses if use.saturated]
    waited = [use for use in full if use.waited_for]
    if full:
        chosen = waited if len(waited) == 1 else full
        return tuple(use.resource for use in chosen), _only(chosen)
    first = min((use.binds_at_x_high for use in uses), default=math.inf)
    early = [use for use in uses if use.binds_at_x_low <= first < math.inf]
    if math.isinf(first):
        early = [use for use in uses if math.isfinite(use.binds_at_x_low)]
        return tuple(use.resource for use in early), None
    return tuple(use.resource for use in early), _only(early)


def _only(uses: list[ResourceUse]) -> str | None:
    return uses[0].resource if len(uses) == 1 else None

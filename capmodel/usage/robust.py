"""RobustLinear: MM-NNLS usage lines for every node of a history or frame of observations.

This module answers: which rows, which regime, which line, and what to say about it? The numbers
happen in :mod:`capmodel.usage.estimate` and :mod:`capmodel.usage.regimes`.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from capmodel.regression import HUBER_K, scaled_mad
from capmodel.schema import Finding, Severity
from capmodel.usage.estimate import Estimate, convex_excess, estimate
from capmodel.usage.linear import LinearUsage, Regime
from capmodel.usage.regimes import Step, find_steps
from capmodel.usage.result import UsageFit
from capmodel.usage.rows import (
    Node,
    Rows,
    node_terms,
    nodes_of_frame,
    nodes_of_history,
    select_rows,
)

if TYPE_CHECKING:
    from capmodel.history import History

__all__ = ["RobustLinear"]

_CONSTANT_LOAD: Final = 0.02
"""Coefficient of variation below which a load is constant: its slope would be extrapolation."""

_CORES_PER_POD: Final = 16.0
"""More busy cores per pod than this, with no value above 100, looks like percent."""

_REMARKS: Final = ("huber_kept", "not_identifiable", "regime_change")
"""Codes that say how to read a fit; the others doubt it."""

_UNREAL: Final = 4.0
"""Usage this far below the line says that the load was not real [standard deviations]."""

_HUBER_KEPT: Final = {
    "too_few_rows": "it would reject more than half of all rows",
    "top_rows": "it would reject more than half of the rows at the largest loads seen",
    "not_converged": "it did not converge",
}
"""Why the bisquare step was not taken, by :attr:`capmodel.regression.RobustFit.huber_kept`."""

_CONVEX: Final = 0.03
"""More usage than this above the line, at the largest loads seen, is reported [ratio]."""


class RobustLinear(BaseModel):
    """Fit ``usage = per_pod · pods + Σ per_request · rps`` (databases: idle, reads, writes).

    MM-NNLS with relative weights (Huber start, bisquare final step), on the latest regime and at
    most `window_days` of it; see :func:`capmodel.regression.mm_nnls`. Load-test rows count: they
    reach further.

    Examples
    --------
    >>> rps = np.linspace(10.0, 60.0, 200)
    >>> rows = pd.DataFrame(
    ...     {"service": "api", "rps": rps, "replicas": 4.0, "cpu_cores": 0.2 + 0.085 * rps}
    ... )
    >>> fit = RobustLinear().fit(rows, resources=["cpu_cores"])
    >>> print(fit.get("api", "cpu_cores").equation)
    cpu_cores = 0.05 · replicas + 0.085 · rps
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    window_days: Annotated[int, Field(ge=14)] = 400
    """Most recent days of the latest regime that are used: one season, and a month to compare."""
    min_rows: Annotated[int, Field(ge=10)] = 30
    """Fewest usable rows for a fit."""
    huber_k: Annotated[float, Field(gt=0)] = HUBER_K
    """Huber's constant, of the line that the bisquare step starts from [standard deviations]."""
    find_regimes: bool = True
    """Look for days on which the cost per unit of load changed."""
    min_change: Annotated[float, Field(gt=0)] = 0.05
    """Smallest change of cost that starts a regime [ratio − 1]."""
    min_regime_days: Annotated[int, Field(ge=5)] = 10
    """Fewest days of a regime: shorter ones are weather, and too short to fit."""

    def fit(
        self,
        observations: History | pd.DataFrame,
        *,
        resources: Sequence[str] = ("cpu_cores", "memory_gib"),
        services: Iterable[str] | None = None,
    ) -> UsageFit:
        """Fit every node that has one of the resources measured.

        Parameters
        ----------
        observations
            A history; or a frame without time, one row per observation: ``service``, loads
            (``rps`` or ``rps:CLASS``, ``replicas``, ``qps_read``, ``qps_write``) and resources as
            columns. Without time there are no regimes, and rows count as independent.
        resources
            Columns to explain.
        services
            Nodes to fit; None: all.

        Returns
        -------
        UsageFit
            A node that cannot be fitted stands in ``refused``; the others go on.

        Raises
        ------
        InputError
            For unknown services, or a frame that is no frame of observations.
        """
        if isinstance(observations, pd.DataFrame):
            nodes = nodes_of_frame(observations, services)
        else:
            nodes = nodes_of_history(observations, services)
        fits: list[LinearUsage] = []
        refused: list[Finding] = []
        notes: list[Finding] = []
        for node in nodes:
            if services is not None and not set(resources) & set(node.columns):
                message = f"none of {', '.join(resources)} was measured; declare its usage"
                refused.append(Finding("usage_not_measured", "warning", node.service, message))
            for resource in resources:
                if resource not in node.columns:
                    continue
                result = _fit_one(self, node, resource)
                if isinstance(result, Finding):
                    refused.append(result)
                    continue
                fits.append(result.usage)
                notes += result.notes
        return UsageFit(fits=tuple(fits), refused=tuple(refused), notes=tuple(notes))


@dataclass(frozen=True, slots=True)
class _Fitted:
    usage: LinearUsage
    notes: tuple[Finding, ...]


def _fit_one(spec: RobustLinear, node: Node, resource: str) -> _Fitted | Finding:
    if not node_terms(node.columns):
        return _refuse(
            "usage_without_traffic",
            node,
            resource,
            "no requests were measured; add rps, or declare the usage",
        )
    rows = select_rows(node, resource)
    if len(rows.y) < spec.min_rows:
        return _too_few(spec, node, resource, rows)
    regimes: tuple[Regime, ...] = ()
    if rows.day is not None and node.dates is not None:
        steps = _steps(spec, rows) if spec.find_regimes else ()
        regimes = _regimes(steps, node.dates, first=int(rows.day.min()))
        rows = _latest(spec, rows, steps)
        if len(rows.y) < spec.min_rows:
            return _too_few(spec, node, resource, rows)
    total = rows.design[:, ~rows.background].sum(axis=1)
    if total.std() < _CONSTANT_LOAD * total.mean():
        return _refuse(
            "slope_unidentifiable",
            node,
            resource,
            f"load is constant (between {total.min():.4g} and {total.max():.4g} 1/s), so usage "
            "per request cannot be told from background; add a load test or declare the usage",
        )
    found = estimate(rows.design, rows.y, background=rows.background, day=rows.day, k=spec.huber_k)
    usage = _usage(node.service, resource, rows, found, regimes)
    return _Fitted(usage, tuple(_notes(usage, rows, found)))


def _refuse(code: str, node: Node, resource: str, message: str) -> Finding:
    return Finding(code, "warning", node.service, f"{resource}: {message}", {"resource": resource})


def _too_few(spec: RobustLinear, node: Node, resource: str, rows: Rows) -> Finding:
    reasons = ", ".join(f"{n} {reason}" for reason, n in rows.dropped.items())
    return _refuse(
        "too_few_rows",
        node,
        resource,
        f"{len(rows.y)} usable rows, {spec.min_rows} needed (dropped: {reasons or 'none'}); "
        "add history or declare the usage",
    )


def _steps(spec: RobustLinear, rows: Rows) -> tuple[Step, ...]:
    if rows.day is None or int(rows.day.max()) - int(rows.day.min()) < 2 * spec.min_regime_days:
        return ()
    return find_steps(
        rows.design,
        rows.y,
        rows.day,
        background=rows.background,
        min_change=spec.min_change,
        min_days=spec.min_regime_days,
        k=spec.huber_k,
    )


def _regimes(steps: tuple[Step, ...], dates: np.ndarray, *, first: int) -> tuple[Regime, ...]:
    if not steps:
        return ()
    days: list[dt.date] = [dates[d].astype(object) for d in (first, *(s.day for s in steps))]
    ends = [*days[1:], None]
    regimes = [Regime(days[0], ends[0], math.nan, math.nan, math.nan, "")]
    for start, end, step in zip(days[1:], ends[1:], steps, strict=True):
        regimes.append(Regime(start, end, step.change_x, step.low, step.high, step.changed))
    return tuple(regimes)


def _latest(spec: RobustLinear, rows: Rows, steps: tuple[Step, ...]) -> Rows:
    """Keep the latest regime, and the window's days of it."""
    if rows.day is None:
        return rows
    regime = rows.day >= (steps[-1].day if steps else 0)
    window = rows.day > int(rows.day.max()) - spec.window_days
    reasons = {
        "earlier_regime": int(np.count_nonzero(~regime)),
        "before_window": int(np.count_nonzero(regime & ~window)),
    }
    return rows.keep(regime & window, reasons)


def _usage(
    service: str, resource: str, rows: Rows, found: Estimate, regimes: tuple[Regime, ...]
) -> LinearUsage:
    # A load that was not real extends no range; rounding below an exact line is no such load.
    below = (found.fit.fitted - rows.y) / found.fit.divisor
    trusted = below < _UNREAL * found.fit.scale + 1e-9
    seen = rows.design[trusted]
    per_pod = math.nan
    if "per_pod" in rows.terms:
        pods = seen[:, rows.terms.index("per_pod")]
        per_pod = float((seen[:, ~rows.background].sum(axis=1) / pods).max())
    ratio = rows.y / np.maximum(found.fit.fitted, found.fit.divisor)
    return LinearUsage(
        service=service,
        resource=resource,
        terms=rows.terms,
        value=found.value,
        covariance=found.covariance,
        low=found.low,
        high=found.high,
        identifiable=tuple(bool(known) for known in found.identifiable),
        load_max=seen.max(axis=0),
        load_per_pod_max=per_pod,
        resid_log_sd=scaled_mad(np.log(ratio), center=None),
        n_used=len(rows.y),
        dropped=dict(rows.dropped),
        regime_from=regimes[-1].start if regimes else None,
        regime_change_x=regimes[-1].change_x if regimes else None,
        regimes=regimes,
        r2=found.r2,
        basis="fitted",
    )


def _notes(usage: LinearUsage, rows: Rows, found: Estimate) -> Iterator[Finding]:
    unknown = [t for t, known in zip(usage.terms, usage.identifiable, strict=True) if not known]
    if usage.regimes:
        step = usage.regimes[-1]
        what = "per request" if step.changed == "requests" else "at equal load"
        yield _note(
            usage,
            "regime_change",
            f"usage {what} changed by {step.change_x - 1:+.1%} "
            f"({step.low - 1:+.1%} to {step.high - 1:+.1%}) on {step.start}; only rows since then "
            "are used",
            date=step.start.isoformat(),
            change_x=step.change_x,
        )
    if unknown:
        yield _note(
            usage,
            "not_identifiable",
            f"{', '.join(unknown)}: the loads move together too closely, or matter too little, to "
            "tell these apart; the total is good for loads in the proportions seen",
            terms=unknown,
        )
    if found.fit.huber_kept:
        yield _note(
            usage,
            "huber_kept",
            "gross errors are bounded in their pull, not rejected: the bisquare step was not "
            f"taken, as {_HUBER_KEPT[found.fit.huber_kept]}",
            reason=found.fit.huber_kept,
        )
    yield from _doubts(usage, rows, found)


def _doubts(usage: LinearUsage, rows: Rows, found: Estimate) -> Iterator[Finding]:
    """Yield what speaks against the line itself: a wrong unit, a bend."""
    pods = rows.design[:, rows.terms.index("per_pod")] if "per_pod" in rows.terms else None
    if usage.resource == "cpu_cores" and pods is not None and rows.y.max() <= 100:  # noqa: PLR2004
        per_pod = float(np.max(rows.y / pods))
        if per_pod > _CORES_PER_POD:
            yield _note(
                usage,
                "unit_suspect",
                f"up to {per_pod:.3g} per pod and never above 100 looks like percent; expected "
                "busy cores summed over pods: multiply by cores / 100 and by pods",
                per_pod=per_pod,
            )
    load = rows.design[:, ~rows.background].sum(axis=1) / (1.0 if pods is None else pods)
    excess = convex_excess(rows.y, found.fit, load=load, day=rows.day)
    if excess > _CONVEX:
        yield _note(
            usage,
            "convex_usage",
            f"usage grows faster than load: at the largest loads seen it is {excess:.1%} above the "
            "line, and beyond them more; plan with a margin or a load test",
            excess=excess,
        )


def _note(usage: LinearUsage, code: str, message: str, **data: object) -> Finding:
    severity: Severity = "info" if code in _REMARKS else "warning"
    text = f"{usage.resource}: {message}"
    return Finding(code, severity, usage.service, text, {"resource": usage.resource, **data})

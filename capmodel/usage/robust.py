"""RobustLinear: robust usage lines for every node of a history or frame of observations.

This module answers: which rows, which regime, which line? The numbers happen in
:mod:`capmodel.usage.estimate` and :mod:`capmodel.usage.regimes`, what is to be said about them in
:mod:`capmodel.usage.notes`.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from capmodel.errors import InputError
from capmodel.regression import HUBER_K, huber_nnls, scaled_mad, stride
from capmodel.schema import Finding
from capmodel.usage import notes
from capmodel.usage.estimate import Estimate, Prior, estimate
from capmodel.usage.growth import grows, rather_grows
from capmodel.usage.linear import LinearUsage, Regime, Sample
from capmodel.usage.mix import Mix, mix_of
from capmodel.usage.nonlinear import find_bend
from capmodel.usage.regimes import Step, find_steps
from capmodel.usage.result import UsageFit
from capmodel.usage.rows import (
    Node,
    Rows,
    derived_load,
    join_rows,
    nodes_of_frame,
    nodes_of_history,
    select_rows,
)
from capmodel.usage.terms import follows, modelled, node_terms, request_classes

if TYPE_CHECKING:
    from capmodel.history import History

__all__ = ["RobustLinear"]

_CONSTANT_LOAD: Final = 0.02
"""Coefficient of variation below which a load is constant: its slope would be extrapolation."""

_UNREAL: Final = 4.0
"""Usage this far below the line says that the load was not real [standard deviations]."""

_MOST_WEIGHT: Final = 60.0
"""Rows that one row of a load test may stand for: a plateau lasts minutes, hardly an hour."""

_SCAN_ROWS: Final = 6000
"""Rows that growth is told from steps on."""

_SAMPLE: Final = 400
"""Rows kept for a figure."""

_OUTLIER_WEIGHT: Final = 0.25
"""A row whose weight ended below this was an outlier [of 1]."""


class RobustLinear(BaseModel):
    """Fit ``usage = per_pod · pods + Σ per_request · rps`` (databases: idle, reads, writes).

    MM-NNLS with relative weights (Huber start, bisquare final step), on the latest regime and at
    most `window_days` of it; see :func:`capmodel.regression.mm_nnls`. Saturated rows count as lower
    bounds (Tobit), see :func:`capmodel.usage.saturation.saturated_rows`. Load-test rows count: they
    reach further. Which loads explain which resource: :func:`capmodel.usage.terms.node_terms`.

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
    convex: bool = False
    """Let the cost per request rise from a load per pod on (a hinge), where the rows show it; with
    one class of requests. Intervals take the knee as known."""
    load_test_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Weight of all load-test rows together, as a share of the others'; each weighs 1 to 60."""
    release_sd: Annotated[float, Field(gt=0)] = 0.3
    """How far a release moves the price of one class relative to all [log sd]: ties the classes of
    a new regime, or of a `previous` fit, to their prices before."""

    def fit(
        self,
        observations: History | pd.DataFrame,
        *,
        resources: Sequence[str] | None = None,
        services: Iterable[str] | None = None,
        load_tests: pd.DataFrame | None = None,
        previous: UsageFit | None = None,
    ) -> UsageFit:
        """Fit every node that has a resource measured.

        Parameters
        ----------
        observations
            A history; or a frame without time, one row per observation: ``service``, loads
            (``rps`` or ``rps:CLASS``, ``replicas``, ``qps_read``, ``qps_write``) and resources as
            columns. Without time there are no regimes, and rows count as independent.
        resources
            Columns to explain; None: each that a line can explain
            (:func:`capmodel.usage.terms.modelled`).
        services
            Nodes to fit; None: all.
        load_tests
            Further rows, a frame without time like `observations`, of load tests at the latest
            release: they count with :attr:`load_test_share`.
        previous
            A fit of the previous release: its prices per class are where the new ones start from.

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
        tests = (
            {} if load_tests is None else {n.service: n for n in nodes_of_frame(load_tests, None)}
        )
        named = services is not None
        fits: list[LinearUsage] = []
        refused: list[Finding] = []
        remarks: list[Finding] = []
        for node in nodes:
            wanted = tuple(resources) if resources is not None else modelled(node.columns)
            if named and not set(wanted) & set(node.columns):
                what = ", ".join(resources) if resources is not None else "its resources"
                message = f"none of {what} was measured; declare its usage"
                refused.append(Finding("usage_not_measured", "warning", node.service, message))
            for resource in wanted:
                if resource not in node.columns:
                    continue
                before = None if previous is None else previous.get(node.service, resource)
                result = _fit_one(self, node, resource, tests.get(node.service), before)
                if isinstance(result, Finding):
                    refused.append(result)
                    continue
                fits.append(result.usage)
                remarks += result.notes
        return UsageFit(fits=tuple(fits), refused=tuple(refused), notes=tuple(remarks))

    def fit_blocks(
        self, blocks: Iterable[History], *, resources: Sequence[str] | None = None
    ) -> UsageFit:
        """Fit a fleet whose history comes in blocks of services, one block in memory at a time.

        Parameters
        ----------
        blocks
            Histories of some services each; a service belongs to one of them.
        resources
            As for :meth:`fit`.

        Returns
        -------
        UsageFit
            Without the rows that :meth:`UsageFit.plot` draws: a fleet's would fill the memory.
        """
        fits: list[LinearUsage] = []
        refused: list[Finding] = []
        remarks: list[Finding] = []
        for block in blocks:
            part = self.fit(block, resources=resources)
            fits += [replace(usage, sample=None) for usage in part.fits]
            refused += part.refused
            remarks += part.notes
        return UsageFit(fits=tuple(fits), refused=tuple(refused), notes=tuple(remarks))


@dataclass(frozen=True, slots=True)
class _Fitted:
    usage: LinearUsage
    notes: tuple[Finding, ...]


def _fit_one(
    spec: RobustLinear,
    node: Node,
    resource: str,
    tests: Node | None,
    previous: LinearUsage | None,
) -> _Fitted | Finding:
    everything = _rows_of(node, resource, tests)
    if isinstance(everything, Finding):
        return everything
    if everything.n_free < spec.min_rows:
        return notes.too_few(node, resource, everything, spec.min_rows)
    regimes: tuple[Regime, ...] = ()
    steps: tuple[Step, ...] = ()
    rows = everything
    if rows.day is not None and node.dates is not None:
        steps = _steps(spec, rows) if spec.find_regimes else ()
        if steps and resource == "memory_gib" and _leaks(rows, steps):
            steps = ()
        regimes = _regimes(steps, node.dates, first=int(rows.day.min()))
        rows = _latest(spec, rows, steps)
        if rows.n_free < spec.min_rows:
            return notes.too_few(node, resource, rows, spec.min_rows)
    total = np.add.reduce([rows.design[:, k] for k in np.flatnonzero(~rows.background)])
    if total.std() < _CONSTANT_LOAD * total.mean():
        return notes.constant_load(node, resource, total)
    prior = _prior(spec, everything, steps, previous)
    return _line(spec, node, resource, rows, prior, regimes)


def _rows_of(node: Node, resource: str, tests: Node | None) -> Rows | Finding:
    """Return a node's rows with those of load tests, or why there can be none."""
    if not node_terms(node.columns, resource):
        return notes.without_traffic(node, resource)
    wrong = notes.wrong_unit(node, resource)
    if wrong is not None:
        return wrong
    try:
        rows = select_rows(node, resource)
        if tests is None or resource not in tests.columns:
            return rows
        return join_rows(rows, select_rows(tests, resource, terms=rows.terms))
    except InputError as error:
        return notes.unreadable(node, resource, error)


def _line(
    spec: RobustLinear,
    node: Node,
    resource: str,
    rows: Rows,
    prior: Prior | None,
    regimes: tuple[Regime, ...],
) -> _Fitted:
    weight = _weights(spec, rows)
    knee = _knee(rows, weight) if spec.convex and "per_request" in rows.terms else math.nan
    if math.isfinite(knee):
        term = "per_request_above_knee"
        rows = rows.with_term(term, derived_load(term, rows, knee_per_pod=knee))
    found = estimate(rows, k=spec.huber_k, row_weight=weight, prior=prior)
    if resource == "memory_gib" and rows.day is not None:
        ratio = rows.y / np.maximum(found.fit.fitted, found.fit.divisor)
        if grows(ratio[~rows.load_test], rows.day[~rows.load_test]):
            term = "per_day" if rows.pods is None else "per_pod_day"
            rows = rows.with_term(term, derived_load(term, rows))
            found = estimate(rows, k=spec.huber_k, row_weight=weight)
    usage = _usage(node.service, resource, rows, found, regimes, knee=knee)
    return _Fitted(usage, tuple(notes.remarks(node, usage, rows, found)))


def _knee(rows: Rows, weight: np.ndarray | None) -> float:
    """Return the load per pod from which requests cost more, NaN where the rows show none."""
    free = ~rows.at_limit
    test = find_bend(
        rows.design[free],
        rows.y[free],
        background=rows.background,
        rps=rows.requests[free],
        pods=None if rows.pods is None else rows.pods[free],
        day=None if rows.day is None else rows.day[free],
        row_weight=None if weight is None else weight[free],
    )
    return test.knee if test.verdict == "convex" else math.nan


def _weights(spec: RobustLinear, rows: Rows) -> np.ndarray | None:
    """Return the weight of each row, shape (T,): load tests together a share of the others."""
    tests = int(np.count_nonzero(rows.load_test))
    if not tests:
        return None
    each = spec.load_test_share * (len(rows.y) - tests) / tests
    return np.where(rows.load_test, min(max(each, 1.0), _MOST_WEIGHT), 1.0)


def _steps(spec: RobustLinear, rows: Rows) -> tuple[Step, ...]:
    if rows.day is None or int(rows.day.max()) - int(rows.day.min()) < 2 * spec.min_regime_days:
        return ()
    return find_steps(
        rows.design,
        rows.y,
        rows.day,
        at_limit=rows.at_limit if rows.at_limit.any() else None,
        background=rows.background,
        min_change=spec.min_change,
        min_days=spec.min_regime_days,
        k=spec.huber_k,
    )


def _leaks(rows: Rows, steps: tuple[Step, ...]) -> bool:
    """Return whether what the scan took for steps is one steady growth."""
    if rows.day is None:
        return False
    part = slice(None, None, stride(len(rows.y), _SCAN_ROWS))
    line = huber_nnls(rows.design[part], rows.y[part], tolerance=1e-4)
    fitted = np.maximum(rows.design[part] @ line.value, line.divisor)
    return rather_grows(rows.y[part] / fitted, rows.day[part], [step.day for step in steps])


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


def _prior(
    spec: RobustLinear, rows: Rows, steps: tuple[Step, ...], previous: LinearUsage | None
) -> Prior | None:
    """Return what the release before says about the prices of several classes, if anything.

    From `previous` where given, else from the regime before the latest, moved by the step. One
    class has no proportions to lend.
    """
    classes = np.isin(np.arange(len(rows.terms)), request_classes(rows.terms))
    if classes.sum() < 2:  # noqa: PLR2004  proportions need two
        return None
    if previous is not None and previous.terms == rows.terms:
        value = previous.value
    elif steps and rows.day is not None:
        start = steps[-2].day if len(steps) > 1 else 0
        before = rows.keep((rows.day >= start) & (rows.day < steps[-1].day) & ~rows.load_test, {})
        if before.n_free < spec.min_rows:
            return None
        value = estimate(before, k=spec.huber_k).value * steps[-1].change_x
    else:
        return None
    known = classes & (value > 0)
    return Prior(value=value, sd=np.where(known, spec.release_sd * value, np.inf))


def _usage(
    service: str,
    resource: str,
    rows: Rows,
    found: Estimate,
    regimes: tuple[Regime, ...],
    *,
    knee: float,
) -> LinearUsage:
    # A load that was not real extends no range; rounding below an exact line is no such load.
    below = (found.fit.fitted - rows.y) / found.fit.divisor
    trusted = (below < _UNREAL * found.fit.scale + 1e-9) & ~rows.at_limit
    per_pod = math.nan
    if rows.pods is not None:
        per_pod = _largest(rows.requests / rows.pods, trusted)
    saturated = int(np.count_nonzero(rows.at_limit))
    ratio = rows.y / found.fit.divisor
    if saturated:
        ratio = ratio[~rows.at_limit]
    return LinearUsage(
        service=service,
        resource=resource,
        terms=rows.terms,
        value=found.value,
        covariance=found.covariance,
        low=found.low,
        high=found.high,
        identifiable=tuple(bool(known) for known in found.identifiable),
        load_max=np.array([_largest(column, trusted) for column in rows.design.T]),
        load_per_pod_max=per_pod,
        resid_log_sd=scaled_mad(np.log(ratio), center=None),
        n_used=len(rows.y),
        dropped=dict(rows.dropped),
        regime_from=regimes[-1].start if regimes else None,
        regime_change_x=regimes[-1].change_x if regimes else None,
        regimes=regimes,
        r2=found.r2,
        basis="censored" if saturated else "fitted",
        load_total_max=_largest(rows.requests, trusted),
        n_saturated=saturated,
        saturated=dict(rows.saturated),
        typical=_typical(rows),
        knee_per_pod=knee,
        mix=_mix(rows),
        sample=_sample(rows, found),
        follows_load=not found.explains_little,
    )


def _largest(values: np.ndarray, among: np.ndarray) -> float:
    return float(values.max(where=among, initial=-np.inf))


def _typical(rows: Rows) -> np.ndarray:
    """Return each term's load per request, per pod, or on its own, in the busiest tenth (K,)."""
    n = max(len(rows.y) // 10, 1)
    busy = np.argpartition(rows.requests, -n)[-n:]
    mean = rows.design[busy].mean(axis=0)
    requests = float(rows.requests[busy].mean())
    pods = 1.0 if rows.pods is None else float(rows.pods[busy].mean())
    per = {"requests": requests, "pods": pods, "nothing": 1.0}
    base = np.array([per[follows(term)] for term in rows.terms])
    typical = np.divide(mean, base, out=np.zeros_like(mean), where=base > 0)
    if rows.day is not None:
        grown = [term in ("per_pod_day", "per_day") for term in rows.terms]
        typical[grown] = rows.day.max() - rows.day.min()
    return np.asarray(typical)


def _mix(rows: Rows) -> Mix | None:
    return mix_of(rows.design[:, request_classes(rows.terms)])


def _sample(rows: Rows, found: Estimate) -> Sample:
    load = rows.requests if rows.pods is None else rows.requests / rows.pods
    # A stride, and the ends of the range, so that a figure shows what was seen.
    step = max(len(rows.y) // _SAMPLE, 1)
    ends = (int(np.argmin(load)), int(np.argmax(load)))
    part = np.union1d(np.arange(0, len(rows.y), step), ends)
    pods = 1.0 if rows.pods is None else rows.pods[part]
    role = np.where(found.fit.weights[part] < _OUTLIER_WEIGHT, "outlier", "used")
    role = np.where(rows.load_test[part], "load_test", role)
    role = np.where(rows.at_limit[part], "saturated", role)
    return Sample(load[part], rows.y[part] / pods, role)

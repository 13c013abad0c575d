"""What is to be said about a usage fit: why a line was refused, and what is doubtful about it.

This module answers: what should the planner know before trusting this line, and what would help?
Each finding names the remedy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from capmodel.errors import InputError
from capmodel.schema import Finding, Severity
from capmodel.usage.estimate import Estimate, top_excess
from capmodel.usage.linear import LinearUsage
from capmodel.usage.rows import Node, Rows
from capmodel.usage.terms import load_column

__all__ = [
    "constant_load",
    "remarks",
    "too_few",
    "unreadable",
    "without_traffic",
    "wrong_unit",
]

_CORES_PER_POD: Final = 16.0
"""More busy cores per pod than this, with no value above 100, looks like percent."""

_ABOVE_LIMIT_X: Final = 1.1
"""Usage above its limit by more than this is no usage in cores [ratio]."""

_ABOVE_LIMIT_SHARE: Final = 0.05
"""Share of such rows that a wrong unit shows."""

_BEND: Final = 0.03
"""More usage than this off the line, at the largest loads seen, is reported [ratio]."""

_BENT: Final = {
    False: "fit with convex=True, plan with a margin or a load test",
    True: "it bends more than once: plan with a margin or a load test",
}
"""What helps against a bend, by whether the line bends already."""

_DISAGREES: Final = 0.15
"""A load test this far off the line was run with another mix, cache or build [ratio]."""

_FEWEST_TESTS: Final = 5
"""Fewest load-test rows that are compared."""

_REMARKS: Final = ("huber_kept", "not_identifiable", "regime_change", "saturated_rows")
"""Codes that say how to read a fit; the others doubt it."""

_HUBER_KEPT: Final = {
    "too_few_rows": "it would reject more than half of all rows",
    "top_rows": "it would reject more than half of the rows at the largest loads seen",
    "not_converged": "it did not converge",
}
"""Why the bisquare step was not taken, by :attr:`capmodel.regression.RobustFit.huber_kept`."""


def without_traffic(node: Node, resource: str) -> Finding:
    """Return the refusal of a node whose requests were not measured."""
    return _refuse(
        "usage_without_traffic",
        node,
        resource,
        "no requests were measured; add rps, or declare the usage",
    )


def unreadable(node: Node, resource: str, error: InputError) -> Finding:
    """Return the refusal of a node with a column that cannot be what its name says."""
    why = "; ".join(f"{p.where}: {p.got}, expected {p.expected}. {p.do}" for p in error.problems)
    return _refuse("unit_suspect", node, resource, why)


def too_few(node: Node, resource: str, rows: Rows, needed: int) -> Finding:
    """Return the refusal of a node with fewer than `needed` usable rows."""
    left = {**rows.dropped, **{f"saturated: {why}": n for why, n in rows.saturated.items()}}
    reasons = ", ".join(f"{n} {reason}" for reason, n in left.items())
    return _refuse(
        "too_few_rows",
        node,
        resource,
        f"{rows.n_free} usable rows, {needed} needed (dropped: {reasons or 'none'}); "
        "add history or declare the usage",
    )


def constant_load(node: Node, resource: str, total: np.ndarray) -> Finding:
    """Return the refusal of a load that did not vary."""
    return _refuse(
        "slope_unidentifiable",
        node,
        resource,
        f"load is constant (between {total.min():.4g} and {total.max():.4g} 1/s), so usage "
        "per request cannot be told from background; add a load test or declare the usage",
    )


def wrong_unit(node: Node, resource: str) -> Finding | None:
    """Return the refusal of CPU that cannot be cores: it exceeds the limit of the pods."""
    limit = node.columns.get("cpu_limit_cores")
    if resource != "cpu_cores" or limit is None:
        return None
    usage = node.columns[resource]
    both = np.isfinite(usage) & np.isfinite(limit) & (limit > 0)
    above = usage[both] > _ABOVE_LIMIT_X * limit[both]
    if not len(above) or above.mean() < _ABOVE_LIMIT_SHARE:
        return None
    top = float(usage[both].max())
    looks = "looks like percent: multiply by cores / 100" if top <= 100 else "is no number of cores"  # noqa: PLR2004
    return _refuse(
        "unit_suspect",
        node,
        resource,
        f"{above.mean():.0%} of rows lie above cpu_limit_cores (up to {top:.4g}, limit "
        f"{float(limit[both].max()):.4g}), which {looks}; expected busy cores summed over pods",
    )


def _refuse(code: str, node: Node, resource: str, message: str) -> Finding:
    return Finding(code, "warning", node.service, f"{resource}: {message}", {"resource": resource})


def remarks(node: Node, usage: LinearUsage, rows: Rows, found: Estimate) -> Iterator[Finding]:
    """Yield what is to be said about a line that was fitted."""
    yield from _of_the_rows(node, usage, rows)
    yield from _of_the_line(usage, found)
    yield from _doubts(usage, rows, found)


def _of_the_rows(node: Node, usage: LinearUsage, rows: Rows) -> Iterator[Finding]:
    if usage.n_saturated:
        why = ", ".join(f"{n} {reason}" for reason, n in usage.saturated.items())
        yield _note(
            usage,
            "saturated_rows",
            f"{usage.n_saturated} of {usage.n_used} rows are saturated ({why}): they count as "
            "lower bounds, not as usage",
            n=usage.n_saturated,
        )
    negative = int(np.count_nonzero(node.columns[usage.resource] < 0))
    if negative:
        yield _note(
            usage,
            "negative_usage",
            f"{negative} rows are negative and were left out; no resource is: repair the counter "
            "or its rate",
            n=negative,
        )
    for first, second in _twins(rows):
        yield _note(
            usage,
            "duplicated_columns",
            f"{load_column(first)} and {load_column(second)} are the same numbers in every row: "
            "drop one, or measure both",
            columns=[load_column(first), load_column(second)],
        )


def _twins(rows: Rows) -> Iterator[tuple[str, str]]:
    for k, first in enumerate(rows.terms):
        for j in range(k + 1, len(rows.terms)):
            if np.array_equal(rows.design[:, k], rows.design[:, j]):
                yield first, rows.terms[j]


def _of_the_line(usage: LinearUsage, found: Estimate) -> Iterator[Finding]:
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
    if found.explains_little:
        yield _note(
            usage,
            "load_explains_little",
            f"requests explain {max(usage.r2, 0):.0%} of how usage varies: it follows something "
            "else (batch, cache, neighbours), and its price per request is not known; add the work "
            "that drives it as work_per_s, a load test, or declare the usage",
            r2=usage.r2,
        )
    if found.fit.huber_kept:
        yield _note(
            usage,
            "huber_kept",
            "gross errors are bounded in their pull, not rejected: the bisquare step was not "
            f"taken, as {_HUBER_KEPT[found.fit.huber_kept]}",
            reason=found.fit.huber_kept,
        )


def _growth(usage: LinearUsage) -> Iterator[Finding]:
    for term in ("per_pod_day", "per_day"):
        if term in usage.terms:
            k = usage.terms.index(term)
            each = " per pod" if term == "per_pod_day" else ""
            value, low, high = (float(x[k]) for x in (usage.value, usage.low, usage.high))
            yield _note(
                usage,
                "usage_grows",
                f"at equal load it grew by {value:.3g} GiB{each} and day ({low:.3g} to {high:.3g}) "
                f"over {usage.typical[k]:.0f} days: a leak or a cache; the last day's level is "
                f"used, 60 days on it would be {60 * value:.3g} GiB{each} more: restart or plan it",
                per_day=value,
            )


def _doubts(usage: LinearUsage, rows: Rows, found: Estimate) -> Iterator[Finding]:
    """Yield what speaks against the line itself: a wrong unit, a bend, a load test off it."""
    yield from _growth(usage)
    pods = rows.pods
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
    free = ~rows.at_limit
    load = rows.requests / (1.0 if pods is None else pods)
    excess = top_excess(rows.y, found.fit, load=load, day=rows.day, among=free)
    if excess > _BEND:
        yield _note(
            usage,
            "convex_usage",
            f"usage grows faster than load: at the largest loads seen it is {excess:.1%} above the "
            f"line, and beyond them more; {_BENT[math.isfinite(usage.knee_per_pod)]}",
            excess=excess,
        )
    elif excess < -_BEND:
        yield _note(
            usage,
            "concave_usage",
            f"usage grows slower than load: at the largest loads seen it is {-excess:.1%} below "
            "the line, whose price per request belongs to lower loads; fit the busy rows alone, or "
            "load-test",
            excess=excess,
        )
    tests = rows.load_test & free
    if np.count_nonzero(tests) >= _FEWEST_TESTS:
        off = float(np.median(rows.y[tests] / found.fit.fitted[tests])) - 1
        if abs(off) > _DISAGREES:
            yield _note(
                usage,
                "load_test_disagrees",
                f"load-test rows use {off:+.0%} against the line: another mix, cache or build; "
                "repeat the test as production runs, or leave it out",
                off=off,
            )


def _note(usage: LinearUsage, code: str, message: str, **data: object) -> Finding:
    severity: Severity = "info" if code in _REMARKS else "warning"
    text = f"{usage.resource}: {message}"
    return Finding(code, severity, usage.service, text, {"resource": usage.resource, **data})

"""QuantileLinear: lines that usage stays below in a stated share of intervals.

This module answers: what is the p95 of one interval's usage at this load? Rows, regimes, ranges and
refusals are those of :class:`capmodel.usage.robust.RobustLinear`, the lines of
:mod:`capmodel.regression.quantiles`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
import pandas as pd
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from scipy.special import stdtrit

from capmodel.regression.quantiles import bootstrap_lines, quantile_lines
from capmodel.schema import Finding, Findings, rng_for
from capmodel.usage.estimate import pooling
from capmodel.usage.linear import LinearUsage
from capmodel.usage.nonlinear import independent_groups
from capmodel.usage.result import UsageFit
from capmodel.usage.robust import RobustLinear
from capmodel.usage.rows import (
    Node,
    Rows,
    derived_load,
    nodes_of_frame,
    nodes_of_history,
    select_rows,
)
from capmodel.usage.terms import DERIVED_TERMS, term_unit

if TYPE_CHECKING:
    from capmodel.history import History

__all__ = ["QuantileFit", "QuantileLinear", "QuantileUsage"]

_FLOOR: Final = 0.01
"""Fitted usage below this share of its mean weighs no more, as in the robust line."""

_FITS_COLUMNS: Final = ("service", "resource", "level", "term", "value", "low", "high", "unit")


def _rising(levels: tuple[float, ...]) -> tuple[float, ...]:
    names = {_column(q) for q in levels}
    if not levels or min(levels) <= 0 or max(levels) >= 1 or not (np.diff(levels) > 0).all():
        raise ValueError("levels: expected rising numbers in (0, 1), such as (0.5, 0.95)")
    if len(names) < len(levels):
        raise ValueError("levels: expected differences that six digits show")
    return levels


def _column(level: float) -> str:
    return f"p{100 * level:02g}"


@dataclass(frozen=True, slots=True, eq=False)
class QuantileUsage:
    """Quantile lines of one resource of one node: ``usage_q = Σ value[q, k] · load[k]``.

    Attributes
    ----------
    levels
        Rising levels, L of them.
    value
        Coefficients, shape (L, K), never negative and never falling from level to level, so that
        the lines cross at no load.
    low, high
        95 % intervals, shape (L, K); NaN without bootstrap draws, and where loads move together so
        closely that only their sum has a price.
    below
        Share of the fit's rows below each line, shape (L,) [ratio].
    line
        The robust line of the same rows: its loads, range, mix, regime, rows used and dropped.
    """

    levels: tuple[float, ...]
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    below: np.ndarray
    line: LinearUsage

    @property
    def service(self) -> str:
        """The node."""
        return self.line.service

    @property
    def resource(self) -> str:
        """The column of the history that is explained."""
        return self.line.resource

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the loads, K of them."""
        return self.line.terms

    def quantiles(self, loads: np.ndarray) -> np.ndarray:
        """Return usage at every level, shape (T, L), of loads (T, K)."""
        return np.asarray(loads @ self.value.T)


@dataclass(frozen=True, slots=True, eq=False)
class QuantileFit:
    """Quantile lines by node and resource.

    ``fits`` are the lines and ``robust`` the robust lines of the same nodes, with what was refused
    and what is doubtful.
    """

    fits: tuple[QuantileUsage, ...]
    robust: UsageFit

    @property
    def findings(self) -> Findings:
        """Everything refused or doubtful."""
        return self.robust.findings

    @property
    def refused(self) -> tuple[Finding, ...]:
        """Why nodes have no lines."""
        return self.robust.refused

    def get(self, service: str, resource: str) -> QuantileUsage | None:
        """Return the lines of a node and resource, None where there are none."""
        for usage in self.fits:
            if (usage.service, usage.resource) == (service, resource):
                return usage
        return None

    def predict(self, loads: pd.DataFrame) -> pd.DataFrame:
        """Return the quantiles of one interval's usage at given loads.

        Parameters
        ----------
        loads
            As for :meth:`capmodel.usage.UsageFit.predict`.

        Returns
        -------
        pandas.DataFrame
            One row per row of `loads` and resource, in the order of `loads`: ``row``, ``service``,
            ``resource``, a column per level (``p50``, ``p95``; ``p99.9``) [unit of the resource],
            ``extrapolating``, ``load_x`` and ``mix_x`` (relative to the range and the mixes seen).
            The lines go on straight beyond the range: nothing is widened there.

        Raises
        ------
        InputError
            For a node without lines, or a load that is missing, not finite or negative.
        """
        table = self.robust.predict(loads)
        columns = [_column(q) for q in self.fits[0].levels] if self.fits else []
        values = np.full((len(table), len(columns)), np.nan)
        for usage in self.fits:
            here = (table["service"] == usage.service) & (table["resource"] == usage.resource)
            part = loads.iloc[table.loc[here, "row"].to_numpy(dtype=int)]
            numbers = part.select_dtypes("number")
            given = {str(c): numbers[c].to_numpy(dtype=float) for c in numbers.columns}
            matrix = usage.line.loads(given, n=len(part))
            values[here.to_numpy()] = usage.quantiles(matrix)
        left, right = ["row", "service", "resource"], ["extrapolating", "load_x", "mix_x"]
        middle = pd.DataFrame(values, columns=columns, index=table.index)
        return pd.concat([table[left], middle, table[right]], axis=1)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per node, resource, level and term, with intervals and units."""
        rows = [
            (
                usage.service,
                usage.resource,
                level,
                term,
                float(usage.value[j, k]),
                float(usage.low[j, k]),
                float(usage.high[j, k]),
                term_unit(usage.resource, term),
            )
            for usage in self.fits
            for j, level in enumerate(usage.levels)
            for k, term in enumerate(usage.terms)
        ]
        return pd.DataFrame(rows, columns=list(_FITS_COLUMNS))

    def explain(self, service: str) -> str:
        """Return, as text, a node's lines, their range, and rows used and dropped with reasons.

        Raises
        ------
        InputError
            For a node without lines.
        """
        self.robust.of(service)
        lines = [service]
        for usage in self.fits:
            if usage.service == service:
                lines += _explained(usage)
        lines += [
            f"  {finding.code}: {finding.message}"
            for finding in self.findings
            if finding.service == service
        ]
        return "\n".join(lines)


class QuantileLinear(BaseModel):
    """Fit lines that usage stays below in a share q of intervals, one per level, never crossing.

    ``usage_q = per_pod_q · pods + Σ per_request_q · rps``, coefficients ≥ 0 and rising with the
    level; the exact solution of the linear program, see
    :func:`capmodel.regression.quantiles.quantile_lines`. Use it where the spread of usage is asked
    for, whatever its form; :class:`capmodel.usage.RobustLinear` answers for the middle.

    Notes
    -----
    A quantile of one minute's usage is no bound on its peak second. Quantiles do not add: the p99
    of a sum (of services, of pods) is not the sum of their p99, which is more wherever they are not
    all high at once. Saturated rows count as measured; lines above what those could use are low.
    Lines that may cross at no load are a compromise where the spread grows faster than load: the
    shares of rows that lie below then differ from the levels, and ``below`` shows by how much.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rps = rng.uniform(10.0, 60.0, 2000)
    >>> noise = np.exp(rng.normal(0, 0.1, 2000))
    >>> rows = pd.DataFrame({"service": "api", "rps": rps, "cpu_cores": 0.085 * rps * noise})
    >>> fit = QuantileLinear(levels=(0.5, 0.95), draws=0).fit(rows)
    >>> load = pd.DataFrame({"service": ["api"], "rps": [40.0]})
    >>> fit.predict(load)[["p50", "p95"]].round(1).to_numpy().tolist()  # 3.4, 3.4 · exp(0.1645)
    [[3.4, 4.0]]
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    levels: Annotated[tuple[float, ...], AfterValidator(_rising)] = (0.5, 0.95)
    """Rising levels in (0, 1)."""
    line: RobustLinear = RobustLinear()
    """Which rows, regime and window count, and what is refused."""
    min_beyond: Annotated[int, Field(ge=3)] = 10
    """Fewest rows beyond the outermost level: rows · min(q, 1 − q)."""
    draws: Annotated[int, Field(ge=0)] = 50
    """Bootstrap histories for the intervals, of whole days (of blocks of rows without days, or with
    fewer than eight); 0: no intervals."""
    seed: int = 0
    """Of the bootstrap."""

    def fit(
        self,
        observations: History | pd.DataFrame,
        *,
        resources: Sequence[str] | None = None,
        services: Iterable[str] | None = None,
    ) -> QuantileFit:
        """Fit every node that has a resource measured.

        Parameters
        ----------
        observations, resources, services
            As for :meth:`capmodel.usage.RobustLinear.fit`.

        Returns
        -------
        QuantileFit
            A node that cannot be fitted stands in ``refused``; the others go on.

        Raises
        ------
        InputError
            For unknown services, or a frame that is no frame of observations.
        """
        names = None if services is None else tuple(services)
        robust = self.line.fit(observations, resources=resources, services=names)
        if isinstance(observations, pd.DataFrame):
            read = nodes_of_frame(observations, names)
        else:
            read = nodes_of_history(observations, names)
        nodes = {node.service: node for node in read}
        fits: list[QuantileUsage] = []
        refused = list(robust.refused)
        for line in robust.fits:
            rows = _rows_of(nodes[line.service], line, window_days=self.line.window_days)
            result = _fit_one(self, line, rows)
            if isinstance(result, Finding):
                refused.append(result)
            else:
                fits.append(result)
        kept = tuple(usage.line for usage in fits)
        fitted = {usage.service for usage in fits}
        notes = tuple(f for f in robust.notes if f.service in fitted and f.code != "huber_kept")
        return QuantileFit(tuple(fits), UsageFit(kept, refused=tuple(refused), notes=notes))


def _rows_of(node: Node, line: LinearUsage, *, window_days: int) -> Rows:
    """Return the rows that the robust line was fitted to."""
    terms = tuple(term for term in line.terms if term not in DERIVED_TERMS)
    rows = select_rows(node, line.resource, terms=terms)
    if rows.day is not None and node.dates is not None:
        first = dt.date.min if line.regime_from is None else line.regime_from
        since = int(np.searchsorted(node.dates, np.datetime64(first)))
        window = int(rows.day.max()) - window_days
        rows = rows.keep((rows.day >= since) & (rows.day > window), {})
    for term in line.terms:
        if term in DERIVED_TERMS:
            rows = rows.with_term(term, derived_load(term, rows, knee_per_pod=line.knee_per_pod))
    return rows


def _fit_one(spec: QuantileLinear, line: LinearUsage, rows: Rows) -> QuantileUsage | Finding:
    outermost = min(min(q, 1 - q) for q in spec.levels)
    if len(rows.y) * outermost < spec.min_beyond:
        needed = int(np.ceil(spec.min_beyond / outermost))
        return Finding(
            "too_few_rows",
            "warning",
            line.service,
            f"{line.resource}: {len(rows.y)} usable rows, {needed} needed for "
            f"{_column(max(spec.levels, key=lambda q: abs(q - 0.5)))}; add history, or ask for a "
            "level nearer the median",
            {"resource": line.resource},
        )
    fitted = rows.design @ line.value
    z = rows.design / np.maximum(fitted, _FLOOR * fitted.mean())[:, None]
    mapping, _, _ = pooling(z, rows.background)
    reduced = rows.design @ mapping
    found = quantile_lines(reduced, rows.y, levels=spec.levels)
    value = found @ mapping.T
    half = _half_widths(spec, line, rows, reduced, found) @ mapping.T
    # A load without a coefficient of its own has no interval of its own.
    alone = (mapping[:, mapping.sum(axis=0) == 1]).any(axis=1)
    half[:, ~alone] = np.nan
    below = (rows.y[:, None] < rows.design @ value.T).mean(axis=0)
    low, high = np.maximum(value - half, 0.0), value + half
    return QuantileUsage(spec.levels, value, low, high, below, line)


def _half_widths(
    spec: QuantileLinear, line: LinearUsage, rows: Rows, reduced: np.ndarray, found: np.ndarray
) -> np.ndarray:
    """Return half the 95 % intervals (L, k): Student's quantile times the draws' spread."""
    if not spec.draws:
        return np.full(found.shape, np.nan)
    group = independent_groups(rows.day, len(rows.y))
    drawn = bootstrap_lines(
        reduced,
        rows.y,
        found,
        levels=spec.levels,
        group=group,
        draws=spec.draws,
        rng=rng_for(spec.seed, "quantile", line.service, line.resource),
    )
    spread = float(stdtrit(max(int(group.max()), 1), 0.975))
    return np.asarray(spread * np.sqrt(np.mean((drawn - found) ** 2, axis=0)))


def _explained(usage: QuantileUsage) -> list[str]:
    lines = []
    for j, level in enumerate(usage.levels):
        equation = replace(usage.line, value=usage.value[j]).equation
        lines.append(f"  {_column(level)}: {equation}   ({usage.below[j]:.1%} of rows below)")
        for k, term in enumerate(usage.terms):
            text = f"    {term} {usage.value[j, k]:.4g} {term_unit(usage.resource, term)}"
            if np.isfinite(usage.high[j, k]):
                text += f", 95 % {usage.low[j, k]:.4g} to {usage.high[j, k]:.4g}"
            lines.append(text + ("" if usage.line.identifiable[k] else ", not identifiable"))
    if np.isfinite(usage.line.load_per_pod_max):
        lines.append(f"    seen to {usage.line.load_per_pod_max:.4g} requests/s per pod")
    dropped = ", ".join(f"{n} {reason}" for reason, n in usage.line.dropped.items())
    lines.append(f"    rows used {usage.line.n_used}; dropped: {dropped or 'none'}")
    lines.append("    of one interval: no bound on its peak second, and not to be added up")
    return lines

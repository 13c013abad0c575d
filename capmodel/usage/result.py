"""The result of a usage fit: every node and resource, what was refused, and predictions.

This module answers: how much will these loads use, and on what evidence? It draws nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from capmodel.errors import InputError, nearest
from capmodel.schema import QUANTITIES, Finding, Findings
from capmodel.usage.figure import figure_data
from capmodel.usage.linear import NORMAL_5_50_95, LinearUsage
from capmodel.usage.terms import load_column, request_classes, term_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["UsageFit"]

_FITS_COLUMNS: Final = (
    "service",
    "resource",
    "term",
    "value",
    "low",
    "high",
    "unit",
    "identifiable",
    "load_max",
    "load_per_pod_max",
    "n_used",
    "r2",
    "regime_from",
    "regime_change_x",
    "basis",
)


@dataclass(frozen=True, slots=True, eq=False)
class UsageFit:
    """Usage lines by node and resource.

    ``fits`` are the lines, ``refused`` why others could not be fitted, ``notes`` what is doubtful
    about those that were.
    """

    fits: tuple[LinearUsage, ...]
    refused: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()
    _places: Mapping[tuple[str, str], int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        places = {(u.service, u.resource): k for k, u in enumerate(self.fits)}
        object.__setattr__(self, "_places", places)

    @property
    def findings(self) -> Findings:
        """Everything refused or doubtful."""
        return Findings(self.refused + self.notes)

    def get(self, service: str, resource: str) -> LinearUsage | None:
        """Return the line of a node and resource, None where there is none."""
        place = self._places.get((service, resource))
        return None if place is None else self.fits[place]

    def of(self, service: str) -> tuple[LinearUsage, ...]:
        """Return every line of a node.

        Raises
        ------
        InputError
            For a node without any; the message names the refusal or the nearest name.
        """
        found = tuple(usage for usage in self.fits if usage.service == service)
        if found:
            return found
        why = [f.message for f in self.refused if f.service == service]
        known = sorted({usage.service for usage in self.fits})
        close = nearest(service, known)
        raise InputError.of(
            f"usage of {service}",
            got="; ".join(why) or "no such node in the fit",
            expected=f"one of: {', '.join(known) or 'no node was fitted'}",
            do=f'Did you mean "{close}"?' if close and not why else "Declare its usage.",
        )

    def predict(self, loads: pd.DataFrame) -> pd.DataFrame:
        """Predict usage for given loads.

        Parameters
        ----------
        loads
            One row per node and load: ``service``, ``rps`` [1/s] (``rps:CLASS`` where classes were
            fitted) and ``replicas`` [pods]; ``qps_read`` and ``qps_write`` [1/s] for databases.

        Returns
        -------
        pandas.DataFrame
            One row per row of `loads` and resource, in the order of `loads`: ``row`` (position in
            `loads`), ``service``, ``resource``, ``p05``, ``p50``, ``p95`` [unit of the resource]
            of one interval's usage, ``extrapolating``, ``load_x`` (load relative to the range
            seen, 1 inside), ``mix_x`` (distance of the mix of classes relative to the farthest
            seen, 0 with one class). Either above 1 is extrapolation and widens the quantiles.

        Raises
        ------
        InputError
            For a node without a fit, or a load that is missing, not finite or negative.
        """
        if "service" not in loads.columns:
            raise InputError.of(
                "loads",
                got=f"columns {', '.join(map(str, loads.columns)) or 'none'}",
                expected="a column service",
                do="Name the node of each row.",
            )
        blocks = []
        names = loads["service"].to_numpy()
        for service in dict.fromkeys(names.tolist()):
            rows = np.flatnonzero(names == service)
            columns = {
                str(c): loads[c].to_numpy()[rows].astype(float)
                for c in loads.columns
                if c != "service" and pd.api.types.is_numeric_dtype(loads[c])
            }
            blocks += [_predicted(usage, columns, rows) for usage in self.of(str(service))]
        if not blocks:
            return pd.DataFrame(columns=list(_PREDICTED_COLUMNS))
        table = pd.concat(blocks, ignore_index=True)
        return table.sort_values("row", kind="stable", ignore_index=True)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per node, resource and term: the plan frame ``fits``.

        Units stand beside each value; ``regime_from`` is ISO text, '' without a change.
        """
        rows = [
            (
                usage.service,
                usage.resource,
                term,
                float(usage.value[k]),
                float(usage.low[k]),
                float(usage.high[k]),
                term_unit(usage.resource, term),
                usage.identifiable[k],
                float(usage.load_max[k]),
                usage.load_per_pod_max,
                usage.n_used,
                usage.r2,
                usage.regime_from.isoformat() if usage.regime_from else "",
                np.nan if usage.regime_change_x is None else usage.regime_change_x,
                usage.basis,
            )
            for usage in self.fits
            for k, term in enumerate(usage.terms)
        ]
        return pd.DataFrame(rows, columns=list(_FITS_COLUMNS))

    @property
    def summary(self) -> pd.DataFrame:
        """One row per node and resource: equation, scatter, rows, regime, what is doubtful."""
        rows = [
            (
                usage.service,
                usage.resource,
                usage.equation,
                usage.resid_log_sd,
                usage.n_used,
                usage.r2,
                usage.regime_from.isoformat() if usage.regime_from else "",
                ", ".join(_doubtful(usage)),
                usage.basis,
            )
            for usage in self.fits
        ]
        columns = ["service", "resource", "equation", "resid_log_sd", "n_used", "r2"]
        columns += ["regime_from", "not_identifiable", "basis"]
        return pd.DataFrame(rows, columns=columns)

    def explain(self, service: str) -> str:
        """Return, as text, a node's equations, ranges, and rows used and dropped with reasons.

        Raises
        ------
        InputError
            For a node without any line.
        """
        lines = [service]
        for usage in self.of(service):
            lines += _explained(usage)
        lines += [
            f"  {finding.code}: {finding.message}"
            for finding in self.findings
            if finding.service == service
        ]
        return "\n".join(lines)

    def plot(
        self,
        service: str,
        *,
        resource: str = "cpu_cores",
        planned_rps: float | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """Draw usage against load: rows, line with its 5 to 95 % band, and where it extrapolates.

        Per pod where pods were counted. A line of several loads (classes, requests in flight) is
        drawn at the proportions of the busiest rows.

        Parameters
        ----------
        service, resource
            What to draw.
        planned_rps
            Planned requests, per pod where pods were counted [1/s]; None: none is marked.
        ax
            Axes to draw on; None makes a figure of its own, found at ``axes.figure``.

        Raises
        ------
        InputError
            For a node or resource without a line.
        """
        from capmodel.plots.usage import draw_usage  # noqa: PLC0415  matplotlib only when drawn

        usage = next((u for u in self.of(service) if u.resource == resource), None)
        if usage is None:
            raise InputError.of(
                f"usage of {service}",
                got=f'no line of "{resource}"',
                expected=f"one of: {', '.join(u.resource for u in self.of(service))}",
                do="Name one of these.",
            )
        points, line = figure_data(usage, planned_rps=planned_rps)
        each = " per pod" if "per_pod" in usage.terms else ""
        unit = QUANTITIES[resource].unit if resource in QUANTITIES else ""
        return draw_usage(
            points,
            line,
            ax=ax,
            title=f"{service}: {resource}",
            load_label=f"requests{each} [1/s]",
            usage_label=f"{resource}{each} [{unit}]",
            planned=planned_rps,
        )

    def _repr_html_(self) -> str:
        return str(self.summary.to_html(index=False))


_PREDICTED_COLUMNS: Final = (
    "row",
    "service",
    "resource",
    "p05",
    "p50",
    "p95",
    "extrapolating",
    "load_x",
    "mix_x",
)


def _predicted(
    usage: LinearUsage, columns: Mapping[str, np.ndarray], rows: np.ndarray
) -> pd.DataFrame:
    loads = usage.loads(columns, n=len(rows))
    bad = ~(np.isfinite(loads) & (loads >= 0)).all(axis=1)
    if bad.any():
        raise InputError.of(
            f"loads of {usage.service}, row {rows[bad][0]}",
            got=loads[bad][0].tolist(),
            expected="finite loads >= 0",
            do="Fill or leave out the row.",
        )
    quantiles = usage.quantiles(loads, normal=np.array(NORMAL_5_50_95))
    beyond, mix = usage.extrapolation(loads), usage.mix_distance(loads)
    values = (
        rows,
        usage.service,
        usage.resource,
        *quantiles.T,
        (beyond > 1) | (mix > 1),
        beyond,
        mix,
    )
    return pd.DataFrame(dict(zip(_PREDICTED_COLUMNS, values, strict=True)))


def _doubtful(usage: LinearUsage) -> tuple[str, ...]:
    return tuple(t for t, known in zip(usage.terms, usage.identifiable, strict=True) if not known)


def _explained(usage: LinearUsage) -> list[str]:
    lines = [f"  {usage.equation}   ({usage.basis})"]
    for k, term in enumerate(usage.terms):
        unit = term_unit(usage.resource, term)
        text = f"    {term} {usage.value[k]:.4g} {unit}"
        if usage.basis != "assumed":
            text += f", 95 % {usage.low[k]:.4g} to {usage.high[k]:.4g}"
        if load_column(term) and np.isfinite(usage.load_max[k]):
            text += f", seen to {usage.load_max[k]:.4g} {load_column(term)}"
        lines.append(text + ("" if usage.identifiable[k] else ", not identifiable"))
    if np.isfinite(usage.load_per_pod_max):
        lines.append(f"    seen to {usage.load_per_pod_max:.4g} requests/s per pod")
    if usage.basis == "assumed":
        return lines
    lines += _mix_lines(usage)
    lines.append(f"    scatter {usage.resid_log_sd:.1%}, r2 {usage.r2:.4f}")
    dropped = ", ".join(f"{n} {reason}" for reason, n in usage.dropped.items())
    lines.append(f"    rows used {usage.n_used}; dropped: {dropped or 'none'}")
    if usage.n_saturated:
        why = ", ".join(f"{n} {reason}" for reason, n in usage.saturated.items())
        lines.append(f"    of them lower bounds, saturated: {usage.n_saturated} ({why})")
    lines += [
        f"    regime from {r.start}: x{r.change_x:.3f} ({r.low:.3f} to {r.high:.3f}) on {r.changed}"
        for r in usage.regimes
        if r.changed
    ]
    return lines


def _mix_lines(usage: LinearUsage) -> list[str]:
    """Return what was seen of the classes' shares, nothing with one class."""
    if usage.mix is None:
        return []
    sd = np.sqrt(np.diag(usage.mix.covariance))
    names = [usage.terms[k].partition(":")[2] for k in request_classes(usage.terms)]
    shares = ", ".join(
        f"{name} {mean:.1%} ± {one:.1%}"
        for name, mean, one in zip(names, usage.mix.mean, sd, strict=True)
    )
    return [f"    mix of requests seen: {shares}"]

"""The parts that engineers act on: services and nodes, databases, partners and quotas."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from capmodel.plots.labels import humanize, is_missing, number
from capmodel.report.decide import limit_columns
from capmodel.report.views import Block, Column, Material, Note, Section, pivot, table, where

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["databases", "partners", "services"]


def services(material: Material) -> Section:
    """Return replicas by service, right-sized pods and nodes by pool, beside today."""
    blocks: list[Block] = [*_services(material), *_right_sized(material), *_nodes(material)]
    blocks += [*_windows(material), *_provisioning(material), *_event_hour(material)]
    lead = "Per-scenario needs are shown for comparison; only the mixture is ordered."
    return Section("services", "Services and nodes", lead, tuple(blocks))


def _with_needs(
    material: Material, name: str, keys: Sequence[str], value: str
) -> tuple[pd.DataFrame, list[Column]]:
    """Return the deciding rows of a frame with one column of needs per scenario joined on."""
    rows = material.deciding(name)
    wide = pivot(material.frame(name), keys, value, material.columns)
    names = [c for c in wide.columns if c not in keys]
    needs = {tuple(row[: len(keys)]): row[len(keys) :] for row in wide.itertuples(index=False)}
    at = [tuple(str(v) for v in key) for key in rows[list(keys)].itertuples(index=False)]
    columns = {f"need_{s}": [needs[key][i] for key in at] for i, s in enumerate(names)}
    return rows.assign(**columns), [Column(f"need_{s}", f"Needed, {s}", "count") for s in names]


def _services(material: Material) -> list[Block]:
    if material.deciding("services").empty:
        return [Note("No service is sized in this plan.", "empty")]
    rows, needs = _with_needs(material, "services", ("service",), "replicas_needed")
    columns = (
        Column("service", "Service", "code"),
        Column("tier", "Tier", "count"),
        Column("pool", "Pool", "code"),
        Column("peak_rps_p50", "Peak P50", "num", "rps"),
        Column("peak_rps_hold", "Sized for", "num", "rps"),
        Column("replicas_today", "Today", "count", "pods"),
        *needs,
        Column("replicas_max", "Most allowed", "count", "pods"),
        Column("hold", "Sized by"),
        Column("basis", "Basis", "code"),
        Column("status", "Status", "status"),
    )
    return [table(rows, columns, caption="Replicas by service", name="services")]


def _right_sized(material: Material) -> list[Block]:
    """Return each service's pods as they are, for the season and for quiet, in one row."""
    frame = material.frame("rightsizing")
    if frame.empty:
        return []
    season, quiet = (where(frame, season=name) for name in ("season", "quiet"))
    request = ("cpu_request_cores", "memory_request_gib")
    rows = season.assign(
        as_is=_pods(season, "today_pods", "today_cpu_cores", "today_memory_gib"),
        in_season=_pods(season, "replicas", *request),
        in_quiet=_pods(quiet, "replicas", *request),
        freed_quiet=quiet["freed_cores"].tolist(),
    )
    columns = (
        Column("service", "Service", "code"),
        Column("as_is", "Today"),
        Column("in_season", "Season"),
        Column("in_quiet", "Quiet"),
        Column("freed_cores", "Freed, season", "num", "cores"),
        Column("freed_quiet", "Freed, quiet", "num", "cores"),
        Column("status", "Status", "status"),
        Column("reason", "Why"),
    )
    caption = "Right-sized pods: pods × request, and what that frees (negative: missing)"
    return [table(rows, columns, caption=caption, name="rightsizing"), *_lookback(material)]


def _pods(rows: pd.DataFrame, count: str, cores: str, gib: str) -> list[str]:
    """Return pods and their request in words, '' where there are none."""
    return [
        "" if is_missing(n) else f"{number(n)} × {number(c)} cores, {number(m)} GiB"
        for n, c, m in zip(rows[count], rows[cores], rows[gib], strict=True)
    ]


def _lookback(material: Material) -> list[Block]:
    frame = material.frame("lookback")
    if frame.empty:
        return []
    columns = (
        Column("service", "Service", "code"),
        Column("resource", "Resource", "name"),
        Column("verdict", "Verdict"),
        Column("text", "Beside the season"),
    )
    return [table(frame, columns, caption="What look-back tools recommend", name="lookback")]


def _nodes(material: Material) -> list[Block]:
    if material.deciding("nodes").empty:
        return [Note("No node pool is planned.", "empty")]
    keys = ("pool", "instance_type")
    rows, needs = _with_needs(material, "nodes", keys, "required")
    columns = (
        Column("pool", "Pool", "code"),
        Column("instance_type", "Type", "code"),
        Column("zones", "Zones", "count"),
        Column("today", "Today", "count", "nodes"),
        *needs,
        Column("per_zone", "Per zone", "count"),
        Column("lower_bound", "Lower bound", "count"),
        Column("binding", "Binding", "name"),
        Column("hold", "Sized by"),
    )
    fill = (
        Column("pool", "Pool", "code"),
        Column("pods", "Pods", "count"),
        Column("cpu_cores_requested", "CPU requested", "num", "cores"),
        Column("cpu_cores_usable", "CPU usable, a node", "num", "cores"),
        Column("memory_gib_requested", "Memory requested", "num", "GiB"),
        Column("memory_gib_usable", "Memory usable, a node", "num", "GiB"),
        Column("max_pods", "Most pods, a node", "count"),
    )
    return [
        table(rows, columns, caption="Nodes by pool", name="nodes"),
        table(rows, fill, caption="What the nodes hold", name="nodes"),
    ]


def _windows(material: Material) -> list[Block]:
    """Return each unit's quietest and busiest window; the CSV holds them all."""
    frame = material.frame("schedule")
    if frame.empty:
        return []
    rows = []
    for _, own in frame.groupby(["kind", "unit"], sort=False):
        # A plan that was read back says nothing where no number suffices.
        units = own["units"].astype(float).fillna(math.inf).to_numpy()
        quiet, busy = own.iloc[int(units.argmin())], own.iloc[int(units.argmax())]
        rows.append(
            {
                "unit": busy["unit"],
                "kind": busy["kind"],
                "fewest": quiet["units"],
                "quietest": humanize(quiet["window"]),
                "most": busy["units"],
                "busiest": f"{humanize(busy['window'])}, from {busy['start']} until {busy['end']}",
                "hold": busy["hold"],
                "p_any": busy["p_any"],
            }
        )
    columns = (
        Column("unit", "Unit", "code"),
        Column("kind", "Of"),
        Column("fewest", "Fewest", "count"),
        Column("quietest", "in", "name"),
        Column("most", "Most", "count"),
        Column("busiest", "in (end exclusive)", "name"),
        Column("hold", "Sized by"),
        Column("p_any", "Any window of the tier too small, at most", "ratio"),
    )
    caption = f"Weeks and events by themselves: {frame['window'].nunique()} windows"
    return [table(pd.DataFrame(rows), columns, caption=caption, name="schedule")]


def _provisioning(material: Material) -> list[Block]:
    """Return what static, scheduled and autoscaled nodes take; nothing without a schedule."""
    frame = material.frame("provisioning")
    if frame.empty:
        return []
    columns = (
        Column("pool", "Pool", "code"),
        Column("way", "Way"),
        Column("unit_hours_mean", "Mean", "count", "node h"),
        Column("unit_hours_p90", "P90", "count", "node h"),
        Column("of_largest_x", "Of the most", "ratio"),
        Column("usd", "Season cost, mean", "usd", "USD"),
        Column("usd_p90", "Season cost, P90", "usd", "USD"),
        Column("short_hours_mean", "Too small, mean", "num", "h"),
        Column("p_short", "Ever too small", "ratio", error="mc_se"),
        Column("peak_units_p50", "Most at once P50", "count", "nodes"),
        Column("status", "Status", "status"),
        Column("reason", "Why"),
    )
    caption = "Ways to provide the same nodes, hour by hour"
    return [table(frame, columns, caption=caption, name="provisioning")]


def _event_hour(material: Material) -> list[Block]:
    """Return what happens while the busiest hour begins; nothing where it was not played."""
    frame = material.frame("event_hour")
    if frame.empty:
        return []
    columns = (
        Column("service", "Service", "code"),
        Column("run", "Estate"),
        Column("hour", "Local hour"),
        Column("share_surviving", "Paths never above hard", "ratio"),
        Column("minutes_above_hard_p95", "Above hard P95", "num", "min"),
        Column("backlog_p95", "Backlog P95", "count", "requests"),
        Column("drain_min_p95", "Drained after P95", "num", "min"),
        Column("pods_start", "Pods before", "count"),
        Column("pods_peak", "Most pods P95", "count"),
        Column("pre_scale_pods", "Pods to stand", "count"),
        Column("pre_scale_nodes", "on nodes", "count"),
        Column("pre_scale_min_before", "Order at least before", "num", "min"),
        Column("pre_scale_from", "Order at the latest"),
        Column("limits", "In the way"),
        Column("status", "Status", "status"),
    )
    caption = "The season's busiest hour, tick by tick"
    return [table(frame, columns, caption=caption, name="event_hour")]


def databases(material: Material) -> Section:
    """Return databases and shared limits: always a section, since they break first so often."""
    rows = material.deciding("databases")
    names = {str(name) for name in material.frame("databases").get("database", ())}
    blocks: list[Block] = []
    if rows.empty:
        blocks.append(Note("No database is declared in this study.", "empty"))
    else:
        columns = (
            Column("database", "Database", "code"),
            Column("engine", "Engine", "code"),
            Column("class_today", "Class today", "code"),
            Column("class_needed", "Class needed", "code"),
            Column("readers_today", "Readers today", "count"),
            Column("readers_needed", "Readers needed", "count"),
            Column("cpu_cores_p50", "CPU P50", "num", "cores"),
            Column("cpu_utilization_p50", "CPU used P50", "ratio"),
            Column("connections_p50", "Connections P50", "count"),
            Column("max_connections", "Most connections", "count"),
            Column("binding", "Binding", "name"),
            Column("rejected", "Why not smaller"),
        )
        caption = f"Databases, {rows['scenario'].iloc[0]}"
        blocks.append(table(rows, columns, caption=caption, name="databases"))
        blocks += _limits_of(material, names, "Limits of databases")
    blocks += _remedies(material)
    return Section(
        "databases",
        "Databases and shared limits",
        "Several services meet here in the same minute; adding pods opens more connections.",
        tuple(blocks),
    )


def partners(material: Material) -> Section:
    """Return limits that somebody else sets: partners' quotas and those of the cloud."""
    names = {
        str(name) for name in where(material.frame("demand"), kind="external").get("service", ())
    }
    blocks = _limits_of(material, names, "Partners' limits and quotas")
    if not blocks:
        blocks = [Note("No partner limit or cloud quota is declared in this study.", "empty")]
    lead = "Limits that only somebody else can raise: the lead time decides."
    return Section("partners", "Partners and quotas", lead, tuple(blocks))


def _limits_of(material: Material, names: set[str], caption: str) -> list[Block]:
    rows = material.deciding("limits")
    if rows.empty:
        return []
    quotas = caption.endswith("quotas")
    kept = [
        str(node) in names or (quotas and "quota" in str(limit))
        for node, limit in zip(rows["node"], rows["limit"], strict=True)
    ]
    rows = rows[kept]
    return [] if rows.empty else [table(rows, limit_columns(), caption=caption, name="limits")]


def _remedies(material: Material) -> list[Block]:
    frame = material.frame("remedies")
    if frame.empty:
        return [Note("No limit needs a remedy.", "empty")]
    columns = (
        Column("node", "Node", "code"),
        Column("limit", "Limit", "name"),
        Column("rank", "Rank", "count"),
        Column("remedy", "Remedy"),
        Column("from", "From", "code"),
        Column("to", "To", "code"),
        Column("utilization_after", "Used after", "ratio"),
        Column("status_after", "Status after", "status"),
        Column("usd_season", "Season cost", "usd", "USD"),
        Column("lead_days", "Lead time", "count", "days"),
        Column("basis", "Basis", "code"),
    )
    return [table(frame, columns, caption="Remedies, best first", name="remedies")]

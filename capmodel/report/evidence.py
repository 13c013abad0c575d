"""The parts that a reviewer checks: fits, lifts, findings, assumptions, provenance."""

from __future__ import annotations

import pandas as pd

from capmodel.plots.labels import humanize, multiple
from capmodel.report.views import Block, Column, Figure, Material, Note, Section, table, where
from capmodel.schema import BASES

__all__ = ["evidence", "provenance"]

_SEVERITIES = ("error", "warning", "info")


def evidence(material: Material) -> Section:
    """Return what the numbers rest on, weakest ground included."""
    blocks: list[Block] = [
        *_assumptions(material),
        *_lifts(material),
        *_fits(material),
        *_findings(material),
    ]
    lead = (
        "In falling order of trust: measured, fitted, fitted on lower bounds (censored), borrowed "
        "from siblings, assumed."
    )
    return Section("evidence", "Evidence", lead, tuple(blocks))


def _assumptions(material: Material) -> list[Block]:
    frame = material.frame("assumptions")
    if frame.empty:
        return [Note("The plan lists no assumption.", "empty")]
    held = [str(basis) for basis in frame["basis"]]
    known = [*BASES, *sorted(set(held) - set(BASES))]
    numbers = [held.count(basis) for basis in known]
    shares = pd.DataFrame(
        {"basis": known, "rows": numbers, "share": [n / len(held) for n in numbers]}
    )
    columns = (
        Column("basis", "Basis"),
        Column("rows", "Inputs", "count"),
        Column("share", "Share of inputs", "ratio"),
    )
    inputs = (
        Column("name", "Input", "code"),
        Column("value", "Value", "mixed"),
        Column("unit", "Unit"),
        Column("basis", "Basis", "code"),
        Column("source", "Source"),
    )
    return [
        table(shares, columns, caption="What the inputs rest on", name="assumptions"),
        table(frame, inputs, caption="Inputs and assumptions", name="assumptions"),
    ]


def _lifts(material: Material) -> list[Block]:
    frame = material.frame("lifts")
    if frame.empty:
        return [Note("No lift was fitted or declared.", "empty")]
    service = str(frame["service"].iloc[0])
    own = where(frame, service=service)
    listed = ", ".join(
        f"{humanize(str(event))} {multiple(lift)}"
        for event, lift in zip(own["event"], own["lift_x"], strict=True)
    )
    columns = (
        Column("service", "Driver or service", "code"),
        Column("event", "Event day", "name"),
        Column("n_events", "Occurrences", "count"),
        Column("lift_x", "Lift", "x"),
        Column("lift_p10", "P10", "x"),
        Column("lift_p90", "P90", "x"),
        Column("peak_hour_lift_x", "Peak hour", "x"),
        Column("left_out_error", "Left-out year missed by", "ratio"),
        Column("basis", "Basis", "code"),
        Column("donors", "Pooled with"),
    )
    return [
        Figure("lifts", f"Lifts of {service}: {listed}.", material.lead, service),
        table(frame, columns, caption="Lifts of event days", name="lifts"),
    ]


def _fits(material: Material) -> list[Block]:
    frame = material.frame("fits")
    if frame.empty:
        return [Note("No usage was fitted; every coefficient is declared.", "empty")]
    columns = (
        Column("service", "Node", "code"),
        Column("resource", "Resource", "name"),
        Column("term", "Term", "code"),
        Column("value", "Value", "mixed"),
        Column("low", "Low, 95 %", "mixed"),
        Column("high", "High, 95 %", "mixed"),
        Column("unit", "Unit"),
        Column("identifiable", "Identifiable", "flag"),
        Column("load_max", "Largest load seen", "mixed"),
        Column("n_used", "Rows used", "count"),
        Column("r2", "R\N{SUPERSCRIPT TWO}", "mixed"),
        Column("regime_from", "Regime since", "date"),
        Column("regime_change_x", "Change", "x"),
        Column("basis", "Basis", "code"),
    )
    return [table(frame, columns, caption="Usage fits", name="fits")]


def _findings(material: Material) -> list[Block]:
    frame = material.frame("findings")
    if frame.empty:
        return [Note("The data raised no finding.", "empty")]
    rank = {name: i for i, name in enumerate(_SEVERITIES)}
    at = [rank.get(str(severity), len(rank)) for severity in frame["severity"]]
    rows = frame.iloc[sorted(range(len(frame)), key=at.__getitem__)]
    columns = (
        Column("severity", "Severity"),
        Column("code", "Finding", "code"),
        Column("service", "Where", "code"),
        Column("message", "What was found and done"),
    )
    return [table(rows, columns, caption="Findings in the data", name="findings")]


def provenance(material: Material) -> Section:
    """Return what a second person needs to make the same plan again."""
    if not material.provenance:
        empty = Note("No provenance was given.", "empty")
        return Section("provenance", "Provenance", "", (empty,))
    frame = pd.DataFrame(
        {"key": list(material.provenance), "value": list(material.provenance.values())}
    )
    frame["key"] = [humanize(key) for key in frame["key"]]
    columns = (Column("key", "Item"), Column("value", "Value", "code"))
    lead = "The same inputs give the same bytes."
    shown = table(frame, columns, caption="Inputs, seed and versions")
    return Section("provenance", "Provenance", lead, (shown,))

"""One page for the owner of a service: what to expect, what breaks first, what to do by when.

Every number on the page is a cell of a frame and carries its key, ``frame.column``; nothing is
computed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from capmodel.errors import InputError, require_known
from capmodel.plots.labels import exact, humanize, is_missing, lower, number
from capmodel.report.markdown import escape, table_lines
from capmodel.report.page import page_environment
from capmodel.report.views import (
    Block,
    Column,
    Material,
    Note,
    Section,
    Table,
    make_material,
    table,
    where,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PageForm", "to_service_page"]

PageForm = Literal["md", "html"]
_ROWS: Final = 12
_UNITS: Final = {"1/s": "rps"}
_LIMITS: Final = (
    Column("node", "Node", "code"),
    Column("limit", "Limit", "name"),
    Column("status", "Status", "status"),
    Column("unit", "Unit"),
    Column("hard", "Hard limit", "mixed"),
    Column("today", "Today", "mixed"),
    Column("peak_p50", "Peak P50", "mixed"),
    Column("peak_p95", "Peak P95", "mixed"),
    Column("utilization_p50", "Used P50", "ratio"),
    Column("policy_x", "Policy", "ratio"),
    Column("binds_at_x", "Binds at, times today", "x"),
    Column("p_saturate", "Chance to saturate", "ratio"),
    Column("first_policy_breach", "First over policy", "day"),
    Column("first_hard_breach", "First over limit", "day"),
    Column("shared_with", "Shared with"),
)
_ACTIONS: Final = (
    Column("id", "No.", "code"),
    Column("action", "Action"),
    Column("from", "From", "code"),
    Column("to", "To", "code"),
    Column("recommended_by", "Ask by", "day"),
    Column("latest_by", "Ask by, latest", "day"),
    Column("in_place_by", "In place by", "day"),
    Column("usd", "Season cost", "usd", "USD"),
    Column("status", "Status", "status"),
    Column("fallback", "If it is refused or late"),
)
_CALLERS: Final = (
    Column("caller", "Caller", "code"),
    Column("calls_x", "Calls per unit of the caller", "mixed"),
    Column("rps", "Sends in the busiest minute", "num", "rps"),
    Column("share", "Share", "ratio"),
    Column("basis", "Basis", "code"),
)
_PODS: Final = (
    Column("peak_rps_hold", "Sized for", "num", "rps"),
    Column("hold", "Sized by"),
    Column("replicas_today", "Pods today", "count"),
    Column("replicas_needed", "Pods needed", "count"),
    Column("replicas_max", "Most allowed", "count"),
    Column("utilization_target", "Target utilization", "ratio"),
    Column("basis", "Basis", "code"),
)
_FITS: Final = (
    Column("resource", "Resource", "name"),
    Column("term", "Term", "code"),
    Column("value", "Value", "mixed"),
    Column("unit", "Unit"),
    Column("load_max", "Largest load seen", "mixed"),
    Column("basis", "Basis", "code"),
)
_ASSUMED: Final = (
    Column("name", "Input", "code"),
    Column("value", "Value", "mixed"),
    Column("unit", "Unit"),
    Column("basis", "Basis", "code"),
    Column("source", "Source"),
)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the headline; a number names its place in the plan by `key`."""

    text: str
    key: str = ""
    value: str = ""
    strong: bool = False


def to_service_page(
    frames: Mapping[str, pd.DataFrame],
    *,
    service: str,
    nodes: Sequence[str],
    provenance: Mapping[str, str],
    scenarios: Mapping[str, float],
    form: PageForm = "md",
) -> str:
    """Return the page of a service.

    Parameters
    ----------
    frames
        The plan's frames by name.
    service
        The service's name.
    nodes
        The nodes whose limits can stop it: itself, its pool, what it uses.
    provenance
        The plan's hash and as-of date are shown.
    scenarios
        Names with their probabilities; the mixture decides where there is one.
    form
        ``"md"`` or ``"html"``.

    Raises
    ------
    InputError
        For a service that the plan does not hold; for another form.
    """
    if form not in {"md", "html"}:
        raise InputError.of("form", got=form, expected='"md" or "html"', do="Choose one of them.")
    material = make_material(
        frames, title="", headline=(), provenance=provenance, scenarios=scenarios, marks=None,
        notes=None,
    )  # fmt: skip
    own = _own_row(material, service)
    limits = _limits(material, service, nodes)
    title = f"{service} this season"
    headline = _headline(material, own, limits)
    sections = (
        Section("limits", "Limits", "", (_limit_table(limits),)),
        Section("actions", "What to do by when", "", (_actions(material, nodes),)),
        Section("load-test", "Load test", "", _load_test(own)),
        Section("callers", "Where my load comes from", "", (_callers(material, service),)),
        Section("assumptions", "Assumptions", "", _assumptions(material, service, own, nodes)),
    )
    if form == "md":
        return _markdown(title, headline, sections, provenance)
    page = page_environment(material).get_template("service.html.j2").render(
        title=title,
        headline=headline,
        sections=sections,
        provenance=provenance,
        scenario=f"scenario {material.decides}",
        state=str(limits[0]["status"]) if limits else str(own["status"]),
    )  # fmt: skip
    return page if page.endswith("\n") else page + "\n"


def _own_row(material: Material, service: str) -> dict[str, Any]:
    rows = material.deciding("services")
    known = [str(name) for name in rows.get("service", ())]
    require_known("service", service, known)
    return _rows(where(rows, service=service))[0]


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    columns = [str(column) for column in frame.columns]
    return [dict(zip(columns, row, strict=True)) for row in frame.itertuples(index=False)]


def _limits(material: Material, service: str, nodes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the limits that concern the service, what breaks first on top."""
    shares = material.frame("shares")
    rows = material.deciding("limits")
    found: list[dict[str, Any]] = []
    for row in _rows(rows):
        if row["node"] not in nodes:
            continue
        users = where(shares, node=str(row["node"]), limit=str(row["limit"])).get("user", ())
        others = [str(user) for user in users if str(user) != service]
        found.append({**row, "shared_with": ", ".join(others)})
    return found


def _headline(
    material: Material, own: Mapping[str, Any], limits: Sequence[Mapping[str, Any]]
) -> tuple[Part, ...]:
    rows = where(
        material.at("demand", material.decides), service=str(own["service"]), window="season"
    )
    parts = [Part(str(own["service"]), strong=True), Part(": ")]
    if rows.empty:
        parts += [_keyed(own, "services", "peak_rps_p50", "rps")]
    else:
        peak = _rows(rows)[0]
        parts += [
            _keyed(peak, "demand", "peak_p50", "rps"),
            Part(f" in the busiest minute{_when(material, peak)}"),
        ]
        parts += _today(own)
        parts += [Part(", P90 "), _keyed(peak, "demand", "peak_p90", "rps")]
    parts += _pods(own)
    if limits:
        first = limits[0]
        unit = _UNITS.get(str(first["unit"]), str(first["unit"]))
        parts += [
            Part(f"; first limit: {first['node']} {lower(humanize(str(first['limit'])))} at "),
            _keyed(first, "limits", "hard", unit),
            Part(f" \N{EM DASH} {first['status']}"),
        ]
        parts += [
            Part(f"{words} {first[column]}", f"limits.{column}", str(first[column]))
            for words, column in (
                (", over policy from", "first_policy_breach"),
                (", over the limit from", "first_hard_breach"),
            )
            if first.get(column)
        ]
    return (*parts, Part("."))


def _keyed(row: Mapping[str, Any], frame: str, column: str, unit: str = "") -> Part:
    text = f"{number(row[column])} {unit}".strip()
    return Part(text, f"{frame}.{column}", exact(row[column]), strong=True)


def _today(own: Mapping[str, Any]) -> list[Part]:
    if is_missing(own.get("today_rps")):
        return []
    return [Part(" (today "), _keyed(own, "services", "today_rps", "rps"), Part(")")]


def _pods(own: Mapping[str, Any]) -> list[Part]:
    if is_missing(own["replicas_needed"]):
        return [Part("; its pods are not planned")]
    parts = [Part("; needs "), _keyed(own, "services", "replicas_needed", "pods")]
    if not is_missing(own["replicas_today"]):
        parts += [Part(" (today "), _keyed(own, "services", "replicas_today"), Part(")")]
    return parts


def _when(material: Material, peak: Mapping[str, Any]) -> str:
    """Return the event day on which the service's driver peaks, in words."""
    root = str(peak.get("paths", "")).partition(" > ")[0]
    days = where(material.at("demand", material.lead), service=root, window="day")
    if days.empty or days["peak_p50"].isna().any():
        return ""
    top = days.iloc[int(days["peak_p50"].astype(float).to_numpy().argmax())]
    return f" of {humanize(str(top['event']))}" if top["event"] else " of the season"


def _limit_table(limits: Sequence[Mapping[str, Any]]) -> Block:
    import pandas as pd  # noqa: PLC0415  the frames are pandas already

    if not limits:
        return Note("No limit of this service is known.", "empty")
    return table(
        pd.DataFrame(list(limits)), _LIMITS, caption="Limits, what breaks first on top",
        name="limits", head=_ROWS,
    )  # fmt: skip


def _actions(material: Material, nodes: Sequence[str]) -> Block:
    orders = material.frame("orders")
    rows = orders[[str(item) in nodes for item in orders.get("item", ())]]
    if rows.empty:
        return Note("Nothing has to be ordered for this service.", "empty")
    return table(rows, _ACTIONS, caption="Actions", name="orders", head=_ROWS)


def _load_test(own: Mapping[str, Any]) -> tuple[Block, ...]:
    import pandas as pd  # noqa: PLC0415  the frames are pandas already

    column = "peak_rps_p50" if is_missing(own["peak_rps_hold"]) else "peak_rps_hold"
    target = (Column(column, "Load to reach", "num", "rps"), Column("hold", "Because of"))
    shown = table(pd.DataFrame([own]), target, caption="Target", name="services")
    return (Note("No test is recorded."), shown)


def _callers(material: Material, service: str) -> Block:
    rows = where(material.frame("callers"), service=service)
    if rows.empty:
        return Note("Nothing calls this service: its own history is its demand.", "empty")
    return table(rows, _CALLERS, caption="Callers, largest first", name="callers", head=_ROWS)


def _assumptions(
    material: Material, service: str, own: Mapping[str, Any], nodes: Sequence[str]
) -> tuple[Block, ...]:
    import pandas as pd  # noqa: PLC0415  the frames are pandas already

    blocks: list[Block] = [
        table(pd.DataFrame([own]), _PODS, caption="How it is sized", name="services")
    ]
    fits = where(material.frame("fits"), service=service)
    if not fits.empty:
        blocks.append(table(fits, _FITS, caption="What a request takes", name="fits", head=_ROWS))
    callers = where(material.frame("callers"), service=service).get("caller", ())
    names = "|".join(re.escape(name) for name in dict.fromkeys([*nodes, *map(str, callers)]))
    frame = material.frame("assumptions")
    about = [bool(re.search(rf"(?<![\w-])({names})(?![\w-])", str(n))) for n in frame["name"]]
    if any(about):
        blocks.append(
            table(frame[about], _ASSUMED, caption="Inputs", name="assumptions", head=_ROWS)
        )
    return tuple(blocks)


def _markdown(
    title: str, headline: Sequence[Part], sections: Sequence[Section], provenance: Mapping[str, str]
) -> str:
    sentence = "".join(
        f"**{escape(part.text)}**" if part.strong else _spaced(part.text) for part in headline
    )
    lines = [f"# {escape(title)}", "", sentence]
    for section in sections:
        lines += ["", f"## {escape(section.title)}"]
        for block in section.blocks:
            if isinstance(block, Table):
                lines += ["", f"**{escape(block.caption)}**", "", *table_lines(block)]
                columns = ", ".join(_key(block, column) for column in block.columns)
                lines += ["", f"In plan.json: {escape(columns)}."]
            elif isinstance(block, Note):
                lines += ["", escape(block.text)]
    lines += ["", f"Plan {provenance['plan hash']}, as of {provenance['as_of']}."]
    return "\n".join(lines) + "\n"


def _key(shown: Table, column: Column) -> str:
    return "shares.user" if column.name == "shared_with" else f"{shown.frame}.{column.name}"


def _spaced(text: str) -> str:
    """Escape a piece of a sentence and keep the spaces at its ends."""
    return f"{' ' * text.startswith(' ')}{escape(text)}{' ' * text.endswith(' ')}"

"""The blocks on choice: register, options, scenarios side by side, inputs moved one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capmodel.plots.labels import number, percent, usd
from capmodel.report.views import Block, Column, Figure, Material, Note, table
from capmodel.schema import MIXTURE

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["options", "register", "summary", "tornado"]

_RISKS = 10


def register(material: Material) -> list[Block]:
    """Return the risk register: the likeliest to saturate, with what is done by when."""
    frame = material.frame("register")
    if frame.empty:
        return []
    likely = frame[frame["p_saturate"] > 0]
    if likely.empty:
        return [Note("The risk register is empty: no drawn season passes any hard limit.", "empty")]
    columns = (
        Column("id", "Risk", "code"),
        Column("event", "Event", "name"),
        Column("day", "First day", "date"),
        Column("p_saturate", "Chance to saturate", "ratio", error="mc_se"),
        Column("shortfall_if", "Missing then", "mixed"),
        Column("unit", "of"),
        Column("traffic", "Traffic that passes"),
        Column("tier", "Tier", "count"),
        Column("mitigation", "Remedies, best first"),
        Column("order_id", "Order", "code"),
        Column("order_by", "Order by", "date"),
        Column("residual_p", "Left once ordered", "ratio"),
        Column("usd", "Season cost", "usd", "USD"),
        Column("owner_team", "Owner"),
    )
    caption = "Risk register, the likeliest first"
    blocks: list[Block] = [table(likely.head(_RISKS), columns, caption=caption, name="register")]
    rest = len(likely) - _RISKS
    if rest > 0:
        blocks.append(Note(f"{rest} more limits may saturate; the CSV holds every limit."))
    return blocks


def options(material: Material) -> list[Block]:
    """Return the sizes to choose from, limit by limit."""
    frame = material.frame("options")
    if frame.empty:
        return []
    columns = (
        Column("node", "Node", "code"),
        Column("limit", "Limit", "name"),
        Column("option", "Size from"),
        Column("units", "Units", "count"),
        Column("unit", "of"),
        Column("p_saturate", "Chance to saturate", "ratio", error="mc_se"),
        Column("percentile", "Percentile of the need", "ratio"),
        Column("expected_shortfall", "Expected shortfall", "mixed"),
        Column("usd", "Season cost", "usd", "USD"),
        Column("vs_plan_usd", "Against the plan", "usd", "USD"),
        Column("over_usd", "Expected, unused", "usd", "USD"),
        Column("under_usd", "Expected, missing", "usd", "USD"),
        Column("regret_usd", "Expected regret", "usd", "USD"),
        Column("chosen", "Chosen as"),
        Column("reversible_until", "Reversible until", "date"),
        Column("unserved", "Not served"),
    )
    caption = "Options: one size too many, one too few"
    return [table(frame, columns, caption=caption, name="options")]


def summary(material: Material) -> list[Block]:
    """Return the scenarios side by side, each planned for itself, and a grid's figure."""
    frame = material.frame("summary")
    if frame.empty:
        return []
    axes = material.marks.axes
    tiers = [c for c in frame.columns if c.startswith("p_any_")]
    columns = (
        Column("scenario", "Scenario"),
        Column("weight", "Weight", "ratio"),
        Column("peak_p50", "Peak P50", "count"),
        Column("peak_p95", "Peak P95", "count"),
        Column("nodes", "Nodes", "count"),
        Column("pods", "Pods", "count"),
        Column("usd_season", "Season cost", "usd", "USD"),
        *(Column(name, _tier(name), "ratio") for name in tiers),
        Column("regret_usd", "Expected regret", "usd", "USD"),
        Column("first_limit", "First to break"),
        Column("first_hard_breach", "On", "date"),
        Column("status", "Status", "status"),
    )
    equal = "equal" in set(frame["weights"])
    weights = " No scenario has a probability: all weigh the same." if equal else ""
    root = frame["root"].iloc[0]
    per = "minute" if frame["quantity"].iloc[0] == "per_min" else "second"
    said = (
        f"Each scenario is planned as if it were certain; the mixture is what is ordered. Peaks "
        f"are {root} per {per} in the season's busiest minute.{weights}"
    )
    blocks: list[Block] = [Note(said)]
    if axes:
        blocks.append(_grid(frame, tiers))
    blocks.append(table(frame, columns, caption="Scenarios side by side", name="summary"))
    return blocks


def _grid(frame: pd.DataFrame, tiers: list[str]) -> Figure:
    """Return the figure of a grid: its cost, or its risk where nothing in it has another price."""
    rows = frame[frame["scenario"] != MIXTURE]
    if len(set(rows["usd_season"])) > 1 or not tiers:
        values = [f"{usd(money)} USD" for money in rows["usd_season"]]
        of, what = "usd_season", "Season's cost"
    else:
        values = [percent(p) for p in rows[tiers[0]]]
        of, what = tiers[0], f"Risk of {_tier(tiers[0])}"
    said = "; ".join(f"{name}: {v}" for name, v in zip(rows["scenario"], values, strict=True))
    return Figure("grid", f"{what} over the grid. {said}.", of=of)


def _tier(column: str) -> str:
    tier = column.rsplit("_", 1)[1]
    when = "once ordered" if "_after_" in column else "as things stand"
    return f"Tier {tier}, {when}"


def tornado(material: Material) -> list[Block]:
    """Return the inputs that move the plan, drawn and as numbers."""
    frame = material.frame("tornado")
    if frame.empty:
        return []
    moving = [row for row in frame.to_dict("records") if row["swing_usd"]]
    said = "; ".join(
        f"{row['input']}: {usd(row['usd_low'])} to {usd(row['usd_high'])} USD, "
        f"{number(row['nodes_low'])} to {number(row['nodes_high'])} nodes"
        for row in moving
    )
    columns = (
        Column("input", "Input"),
        Column("low", "Low", "mixed"),
        Column("central", "Plan", "mixed"),
        Column("high", "High", "mixed"),
        Column("unit", "of"),
        Column("range", "Where the range is from"),
        Column("basis", "Evidence"),
        Column("nodes_low", "Nodes, low", "count"),
        Column("nodes_high", "Nodes, high", "count"),
        Column("usd_low", "Season cost, low", "usd", "USD"),
        Column("usd_high", "Season cost, high", "usd", "USD"),
        Column("saves_usd", "Saved if known", "usd", "USD"),
        Column("measure", "What would tell"),
    )
    shown = table(frame, columns, caption="Inputs moved one by one", name="tornado")
    figure: list[Block] = [Figure("tornado", f"Tornado of the season's cost. {said}.")]
    return [*(figure if moving else []), shown]

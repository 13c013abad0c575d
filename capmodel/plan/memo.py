"""The decision memo: one Markdown page that asks for a decision and says what it rests on.

This module answers, for who has to sign: what is asked for by when and for how much, which other
sizes there are, what risk it removes, what was assumed, what would change our mind, how it would
fail, and who decides by when? It reads the plan's frames alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from capmodel.plan.frames_limits import MIXTURE
from capmodel.plan.sentences import bought
from capmodel.plan.stories import stories_of
from capmodel.plan.tripwire_words import tripwire_sentences
from capmodel.plots.labels import humanize

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["assumed_share", "memo_of"]

ORDERS: Final = 12
OPTIONS: Final = 4
"""Limits whose options are shown."""
RISKS: Final = 8
INPUTS: Final = 5
TEAMS: Final = 10
PICKED: Final = ("today", "plan", "last peak x 1.3")
"""Options that are shown even where nothing chooses them."""
UNPRICED: Final = (
    "No least regret: what a missing unit costs is not stated (`policy.unit_usd`), so sizes are "
    "judged by risk alone."
)


def memo_of(frames: Mapping[str, pd.DataFrame], meta: Mapping[str, Any], *, plan_hash: str) -> str:
    """Return the memo as Markdown, at most 120 lines."""
    season = meta["season"]
    when = f"As of {meta['as_of']}, season {season['start']} to {season['end']} (end exclusive)"
    lines = [
        f"# Decision memo: {_plain(meta['title'])}",
        "",
        f"{when}, plan {plan_hash[:12]}.",
        *_part("What we ask for", _ask(frames, meta)),
        *_part("Options", _options(frames)),
        *_part("Risk before and after", _risk(frames)),
        *_part("What it rests on", _rests_on(frames, meta)),
        *_part("What would change our mind", _change(frames)),
        *_part("How it would fail", [f"- {_plain(story)}" for story in stories_of(frames)]),
        *_part("Who decides by when", _deciders(frames)),
    ]
    return "\n".join(lines) + "\n"


def _part(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *(lines or ["Nothing."])]


def _ask(frames: Mapping[str, pd.DataFrame], meta: Mapping[str, Any]) -> list[str]:
    orders = frames["orders"]
    lines = [_bill(frames["cost"], meta)]
    if orders.empty:
        return [*lines, "", "Nothing has to be ordered."]
    rows = [
        (r["action"], r["recommended_by"] or r["latest_by"], r["latest_by"], r["in_place_by"],
         _usd(r["usd"]), r["status"])
        for r in orders.head(ORDERS).to_dict("records")
    ]  # fmt: skip
    heads = ("Decision", "Ask by", "At the latest", "In place by", "Season USD", "Status")
    return [*lines, "", *_table(heads, rows), *_rest(len(orders), ORDERS, "orders")]


def _bill(cost: pd.DataFrame, meta: Mapping[str, Any]) -> str:
    rows = cost[cost["scenario"] == MIXTURE]
    total = sum(rows["usd"], Decimal(0))
    if not len(rows):
        return "Nothing in the plan has a price."
    today = meta["today_usd"]
    more = "" if today is None else f", {total - Decimal(today):+,.2f} against what stands today"
    return f"The season costs **{total:,.2f} USD** {bought(rows)}{more}."


def _options(frames: Mapping[str, pd.DataFrame]) -> list[str]:
    frame = frames["options"]
    order = {row["node"]: rank for rank, row in enumerate(frames["register"].to_dict("records"))}
    nodes = sorted(dict.fromkeys(frame["node"]), key=lambda n: (order.get(n, len(order)), n))
    rows, words = [], []
    for node in nodes[:OPTIONS]:
        sizes = frame[frame["node"] == node].to_dict("records")
        for r in sizes:
            labels = set(str(r["option"]).split(", "))
            if r["chosen"] or labels & set(PICKED):
                rows.append(
                    (node, r["option"], _number(r["units"]), _share(r["p_saturate"]),
                     _number(r["expected_shortfall"]), _usd(r["usd"]), _usd(r["vs_plan_usd"]),
                     r["chosen"], r["reversible_until"])
                )  # fmt: skip
        words.append(_least(node, sizes))
    if not rows:
        return ["No limit of this plan is ordered in units of its own."]
    heads = (
        "Limit", "Size from", "Units", "Chance to saturate", "Expected shortfall", "Season USD",
        "Against the plan", "Chosen as", "Reversible until",
    )  # fmt: skip
    known = [sentence for sentence in words if sentence] or [UNPRICED]
    return [*_table(heads, rows), *_rest(len(nodes), OPTIONS, "limits"), "", *known]


def _least(node: str, sizes: Iterable[Mapping[Any, Any]]) -> str:
    """Return the size of least regret with both of its costs, '' where costs are not stated."""
    for r in sizes:
        if "least regret" in str(r["chosen"]):
            return (
                f"Least expected regret for {node}: {_number(r['units'])} {r['unit']}, with "
                f"{_usd(r['over_usd'])} USD expected for units that stand unused and "
                f"{_usd(r['under_usd'])} for units that are missing."
            )
    return ""


def _risk(frames: Mapping[str, pd.DataFrame]) -> list[str]:
    tiers = frames["risk"]
    rows = [
        (f"tier {r['tier']}", _share(r["risk"]), _share(r["p_any"]),
         _share(r["p_any_after_orders"]), r["status"])
        for r in tiers[tiers["scenario"] == MIXTURE].to_dict("records")
    ]  # fmt: skip
    heads = ("Any hard limit of", "Accepted", "As things stand", "Once ordered", "Status")
    register = frames["register"]
    likely = register[register["p_saturate"] > 0]
    found = [
        (r["id"], r["day"], humanize(r["event"]) if r["event"] else "", _share(r["p_saturate"]),
         _share(r["residual_p"]), r["owner_team"] or "not declared", r["order_by"])
        for r in likely.head(RISKS).to_dict("records")
    ]  # fmt: skip
    columns = ("Risk", "First day", "Event", "Before", "After", "Owner", "Order by")
    return [
        *_table(heads, rows), "", *_table(columns, found), *_rest(len(likely), RISKS, "risks"),
    ]  # fmt: skip


def assumed_share(frames: Mapping[str, pd.DataFrame]) -> Decimal | None:
    """Return the share of the season's bill that rests on assumed numbers, None without a bill.

    A pool's bill is split over the services that run there by the cores that they request; a
    service counts where its row says `assumed`. A database counts where the evidence of its cores
    does.
    """
    cost = frames["cost"]
    rows = cost[cost["scenario"] == MIXTURE].to_dict("records")
    total = sum((r["usd"] for r in rows), Decimal(0))
    if not total:
        return None
    services = frames["services"]
    basis = dict(zip(services["service"], services["basis"], strict=True))
    sheet, limits = frames["sizing"], frames["limits"]
    assumed = Decimal(0)
    for row in rows:
        if row["kind"] == "nodes":
            own = sheet[(sheet["scenario"] == MIXTURE) & (sheet["unit"] == row["item"])]
            own = own[own["kind"] == "nodes"]
            cores = own["pods"] * own["cpu_cores"]
            trusted = [basis.get(name) != "assumed" for name in own["service"]]
            share = 1 - cores[trusted].sum() / cores.sum() if cores.sum() else 1.0
        else:
            own = limits[(limits["scenario"] == MIXTURE) & (limits["node"] == row["item"])]
            share = float("assumed" in set(own[own["limit"] == "cpu_cores"]["basis"]))
        assumed += row["usd"] * Decimal(repr(float(share)))
    return assumed / total


def _rests_on(frames: Mapping[str, pd.DataFrame], meta: Mapping[str, Any]) -> list[str]:
    assumptions = frames["assumptions"]
    counts = assumptions["basis"].value_counts().sort_index()
    said = ", ".join(f"{count} {basis}" for basis, count in counts.items())
    share = assumed_share(frames)
    lines = [f"- {len(assumptions)} numbers stand as inputs: {said}."]
    if share is not None:
        lines.append(f"- {share:.0%} of the season's bill rests on services that are assumed.")
    rows = [f"{s['name']} {float(s['weight']):.1%}" for s in meta["scenarios"]]
    stated = all(s["assumptions"]["probability"] is not None for s in meta["scenarios"])
    weights = "stated" if stated else "equal weights, nobody stated them"
    if len(rows) == 1:
        weights = "the only one"
    shown = f"{', '.join(rows[:6])}{' and more' if len(rows) > 6 else ''}"  # noqa: PLR2004  a line
    lines.append(f"- The scenarios weigh {shown} ({weights}).")
    prices = frames["cost"]["as_of"]
    if len(prices):
        lines.append(f"- The oldest price is of {prices.min()}.")
    return lines


def _change(frames: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return the wires to watch and the inputs on which the most money hangs."""
    wires = frames["tripwires"]
    waiting = wires[wires["order"].isin(wires.loc[wires["step"] > 0, "order"])]
    at_once = wires["order"].nunique() - waiting["order"].nunique()
    lines = [f"- {_plain(said)}" for said in tripwire_sentences(waiting)] if len(waiting) else []
    if at_once:
        which = "Other orders" if lines else "Orders"
        lines.append(f"- {which} sized at once, at full risk: {at_once}; the plan says why.")
    tornado = frames.get("tornado")
    if tornado is None or tornado.empty:
        return [*lines, "- Which input moves the plan most: ask for it with `also: [tornado]`."]
    lines += [_swing(row) for row in tornado.head(INPUTS).to_dict("records")]
    return [*lines, *_worth_measuring(tornado)]


def _swing(row: Mapping[Any, Any]) -> str:
    span = f"from {row['low']:.4g} to {row['high']:.4g} [{row['unit']}], {row['range']}"
    few, many = _number(row["nodes_low"]), _number(row["nodes_high"])
    nodes = f"{few} nodes either way" if few == many else f"{few} to {many} nodes"
    return (
        f"- {_plain(row['input'])} {_plain(span)}: {nodes}, "
        f"{_usd(row['usd_low'])} to {_usd(row['usd_high'])} USD."
    )


def _worth_measuring(tornado: pd.DataFrame) -> list[str]:
    known = [r for r in tornado.to_dict("records") if isinstance(r["saves_usd"], Decimal)]
    best = max(known, key=lambda r: r["saves_usd"], default=None)
    if best is None or best["saves_usd"] <= 0:
        return ["- No measurement alone would make the plan smaller."]
    what = f"{_plain(best['input'])} ({best['measure']})"
    saves = f"known in time, the plan costs {_usd(best['saves_usd'])} USD less on average"
    return [f"- Worth knowing first: {what}; {saves}."]


def _deciders(frames: Mapping[str, pd.DataFrame]) -> list[str]:
    orders = frames["orders"].to_dict("records")
    owner = {r["order_id"]: r["owner_team"] for r in frames["register"].to_dict("records")}
    teams: dict[str, list[Mapping[Any, Any]]] = {}
    for row in orders:
        teams.setdefault(owner.get(row["id"], "") or "no owner declared", []).append(row)
    rows = []
    for team, theirs in sorted(teams.items(), key=lambda item: min(_due(r) for r in item[1])):
        first = min(theirs, key=_due)
        bill = [r["usd"] for r in theirs if isinstance(r["usd"], Decimal)]
        usd = _usd(sum(bill, Decimal(0))) if bill else ""
        rows.append((team, _due(first), first["action"], str(len(theirs)), usd))
    heads = ("Team", "First date", "First decision", "Decisions", "Season USD")
    return [*_table(heads, rows[:TEAMS]), *_rest(len(rows), TEAMS, "teams")] if rows else []


def _due(row: Mapping[Any, Any]) -> str:
    return str(row["recommended_by"] or row["latest_by"])


def _rest(total: int, shown: int, what: str) -> list[str]:
    rest = total - shown
    return ["", f"{rest} more {what if rest > 1 else what[:-1]} in the plan."] if rest > 0 else []


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        f"|{'|'.join('---' for _ in heads)}|",
        *(f"| {' | '.join(_plain(str(cell)) for cell in row)} |" for row in rows),
    ]


def _plain(text: str) -> str:
    """Return text that no name can turn into markup."""
    for character in "\\`*_[]|<>":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def _cell(value: Any) -> str:
    if isinstance(value, Decimal):
        return _usd(value)
    return _number(value) if isinstance(value, int | float) else str(value)


def _usd(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, Decimal) else ""


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:,.4g}"


def _share(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1%}"

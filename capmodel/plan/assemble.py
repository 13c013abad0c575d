"""From solved arrays to the plan: every frame, what was asked, what was assumed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from capmodel.peaks import hour_mean_undersize
from capmodel.plan.after import exceeded_after
from capmodel.plan.assumptions import assumptions_frame
from capmodel.plan.calendar_yoy import calendar_sentences, calendar_yoy_frame
from capmodel.plan.explain import factors_frame
from capmodel.plan.findings import plan_findings
from capmodel.plan.frames_callers import callers_frame
from capmodel.plan.frames_changes import changes_frame
from capmodel.plan.frames_databases import databases_frame
from capmodel.plan.frames_demand import demand_frame, fits_frame, lifts_frame, yoy_frame
from capmodel.plan.frames_event_hour import (
    event_hour_frame,
    event_hour_note,
    with_event_hour,
)
from capmodel.plan.frames_fan import fan_frame
from capmodel.plan.frames_ladder import ladder_frame, shares_frame
from capmodel.plan.frames_limits import limits_frame, risk_frame
from capmodel.plan.frames_mix import pool_mixes
from capmodel.plan.frames_money import (
    cost_frame,
    today_usd,
    waterfall_frame,
)
from capmodel.plan.frames_options import options_frame
from capmodel.plan.frames_orders import order_frames, orders_note
from capmodel.plan.frames_overlays import overlays_frame
from capmodel.plan.frames_provisioning import provisioning_frame
from capmodel.plan.frames_purchase import make_purchase, purchase_meta, with_purchase
from capmodel.plan.frames_register import register_frame
from capmodel.plan.frames_remedies import remedies_frame
from capmodel.plan.frames_rightsizing import recommendation_digests, right_sizing
from capmodel.plan.frames_schedule import make_schedule, schedule_frame
from capmodel.plan.frames_summary import summary_frame
from capmodel.plan.frames_supply import (
    nodes_frame,
    services_frame,
    sizing_frame,
)
from capmodel.plan.frames_tripwires import tripwire_frames
from capmodel.plan.made_from import catalog_record, events_digest
from capmodel.plan.plan_files import environment
from capmodel.plan.planset import PlanSet
from capmodel.plan.range_seen import beyond_seen
from capmodel.plan.scenarios import at_peak
from capmodel.plan.supply import make_supply
from capmodel.plan.tornado import tornado_frame
from capmodel.plan.tripwire_words import tripwire_sentences

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.plan.make import Solved
    from capmodel.plan.request import PlanRequest
    from capmodel.plan.supply import Supply
    from capmodel.plan.tornado import Solve

__all__ = ["assemble"]


def assemble(solved: Solved, *, solve: Solve) -> PlanSet:
    """Return the plan of solved arrays; `solve` sizes again where an input is moved."""
    supply = make_supply(solved)
    beyond = beyond_seen(solved)
    remedies = remedies_frame(solved, supply)
    ordered = order_frames(solved, supply)
    rightsized = right_sizing(at_peak(solved))
    mixes = pool_mixes(solved, supply)
    calendar = calendar_yoy_frame(solved)
    bought = make_purchase(solved, supply, orders=ordered["orders"], calendar_yoy=calendar)
    findings = plan_findings(solved, supply, beyond) + rightsized.findings + mixes.findings
    limits = _with_remedies(limits_frame(solved, beyond), remedies)
    event_hour = event_hour_frame(at_peak(solved), supply)
    frames = {
        **_learnt(solved, calendar),
        "limits": limits,
        "ladder": ladder_frame(limits, remedies, ordered["orders"]),
        "shares": shares_frame(solved),
        "callers": callers_frame(solved),
        "services": services_frame(solved, supply),
        "nodes": nodes_frame(solved, supply),
        "databases": databases_frame(solved, supply),
        "sizing": sizing_frame(supply),
        **_scheduled(solved, supply),
        "mix": mixes.mix,
        "mix_floor": mixes.floor,
        "cost": cost_frame(solved, supply),
        "waterfall": waterfall_frame(solved, supply),
        **bought.frames,
        **ordered,
        **tripwire_frames(solved, supply, ordered["orders"]),
        "remedies": remedies,
        "options": options_frame(solved, supply, ordered["orders"]),
        "overlays": overlays_frame(solved, supply),
        "event_hour": event_hour,
        "rightsizing": rightsized.rightsizing,
        "lookback": rightsized.lookback,
        "factors": factors_frame(solved, beyond),
        "changes": changes_frame(solved),
        "assumptions": with_event_hour(assumptions_frame(solved), solved),
        "findings": (findings + bought.findings).to_frame().drop(columns="data"),
    }
    return PlanSet(
        frames=with_purchase(solved, frames | _judged(solved, supply, frames, solve=solve)),
        meta=_meta(solved, _notes(solved, frames)),
        curves=_curves(solved),
        environment=environment(),
    )


def _learnt(solved: Solved, calendar: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the demand that is expected, and what it was learnt from."""
    return {
        "demand": demand_frame(solved),
        "fan": fan_frame(solved),
        "yoy": yoy_frame(solved),
        "calendar_yoy": calendar,
        "lifts": lifts_frame(solved),
        "fits": fits_frame(solved),
    }


def _judged(
    solved: Solved, supply: Supply, frames: Mapping[str, pd.DataFrame], *, solve: Solve
) -> dict[str, pd.DataFrame]:
    """Return risk and register; scenarios side by side and inputs moved, where asked for."""
    also, after = solved.request.also, exceeded_after(solved, supply)
    found = {
        "risk": risk_frame(solved, after),
        "register": register_frame(solved, frames, after),
    }
    if "summary" in also:
        found["summary"] = summary_frame(solved, supply, frames["limits"])
    if "tornado" in also:
        found["tornado"] = tornado_frame(solved, supply, solve=solve)
    return found


def _scheduled(solved: Solved, supply: Supply) -> dict[str, pd.DataFrame]:
    """Return what every window needs and what ways to provide it take, where that is asked for."""
    if "schedule" not in solved.request.also:
        return {}
    schedule = make_schedule(solved, supply)
    return {
        "schedule": schedule_frame(solved, schedule),
        "provisioning": provisioning_frame(solved, supply, schedule),
    }


def _with_remedies(limits: pd.DataFrame, remedies: pd.DataFrame) -> pd.DataFrame:
    """Name the first-ranked remedy beside each limit that needs one."""
    first = {
        (row["node"], row["limit"]): f"{row['remedy']} {row['from']} to {row['to']}"
        for row in remedies[remedies["rank"] == 1].to_dict("records")
    }
    words = [
        first.get((row["node"], row["limit"]), "") if row["status"] in {"RED", "AMBER"} else ""
        for row in limits.to_dict("records")
    ]
    return limits.assign(remedy=words)


def _meta(solved: Solved, notes: Mapping[str, str]) -> dict[str, Any]:
    request, fit = solved.request, solved.fit
    return {
        "title": request.title,
        "business_tz": fit.business_tz,
        "as_of": request.as_of.isoformat(),
        "horizon": {"start": request.start.isoformat(), "end": request.end.isoformat()},
        "season": {
            "start": request.season_start.isoformat(),
            "end": request.season_end.isoformat(),
        },
        "seed": request.seed,
        "draws": request.draws,
        "scenarios": [
            {
                "name": scenario.name,
                "weight": float(weight),
                "assumptions": scenario.as_stated().model_dump(mode="json", by_alias=True),
            }
            for scenario, weight in zip(request.scenarios, request.weights, strict=True)
        ],
        "grid": _grid(solved),
        "overlays": [overlay.model_dump(mode="json") for overlay in request.overlays],
        "today": {
            name: {"value": today.value, "quantity": today.quantity, "basis": today.basis}
            for name, today in fit.today.items()
        },
        "peak_basis": "minute",
        "season_x": _season_multiples(solved),
        "today_usd": None if (usd := today_usd(solved)) is None else str(usd),
        "freeze": [
            {"start": freeze.start.isoformat(), "end": freeze.end.isoformat()}
            for freeze in request.orders.freeze
        ],
        "inputs": {**fit.inputs, **recommendation_digests(request), **_ledger_digest(request)},
        "topology": solved.estate.topology.model_dump(mode="json", by_alias=True),
        "catalog": catalog_record(solved),
        "events": events_digest(fit.events),
        "input_days": {name: day.isoformat() for name, day in fit.input_days.items()},
        **purchase_meta(solved),
        "orders_policy": request.orders.model_dump(mode="json", by_alias=True),
        "notes": dict(notes),
    }


def _ledger_digest(request: PlanRequest) -> dict[str, str]:
    return {"ledger": request.ledger.digest} if request.ledger.entries else {}


def _grid(solved: Solved) -> dict[str, list[float]] | None:
    """Return the grid's axes, None where the scenarios were named one by one."""
    sweep = solved.request.grid
    return None if sweep is None else {axis: list(values) for axis, values in sweep.axes.items()}


def _season_multiples(solved: Solved) -> dict[str, float]:
    """Return each scenario's P50 season peak of the first root, by multiple of today if known."""
    root = solved.fit.roots[0]
    today = solved.fit.today[root].per_second
    if math.isnan(today):
        return {}
    season = solved.request.season
    return {
        name: float(np.median(load.root_peak(root)[:, season].max(axis=1))) / today
        for name, load in zip(solved.request.names, solved.futures.loads, strict=True)
    }


def _notes(solved: Solved, frames: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Return what stands under the report's sections, a paragraph a line."""
    bursts = {root: today.burst_x for root, today in solved.fit.today.items()}
    # A level that is declared as a busiest minute, without a factor, says nothing about its hour.
    known = {root: x for root, x in bursts.items() if x > 1 and _has_hours(solved, root)}
    sentences = ["Peaks are busiest minutes (peak_basis=minute)."]
    if known:
        shares = ", ".join(f"{hour_mean_undersize(x):.1%} ({r})" for r, x in known.items())
        sentences.append(
            f"Sizing on the mean of the busiest hour would under-size an ordinary day by {shares}."
        )
    main = solved.request.names[int(np.argmax(solved.request.weights))]
    months = calendar_sentences(frames["calendar_yoy"], scenario=main)
    demand = "\n".join([" ".join(sentences), *months])
    notes = {"demand": demand} | event_hour_note(solved, frames["event_hour"])
    notes |= orders_note(solved)
    wires = frames["tripwires"]
    waiting = wires[wires["order"].isin(wires[wires["step"] > 0]["order"])]
    if not waiting.empty:
        notes["orders"] = "\n".join(
            filter(None, [notes.get("orders", ""), *tripwire_sentences(waiting)])
        )
    return notes


def _has_hours(solved: Solved, root: str) -> bool:
    """Return whether a root's busiest minute is known to differ from its hour's mean."""
    driver = solved.estate.topology.drivers.get(root)
    declared = driver is not None and driver.peak_minute_x is not None
    return declared or solved.futures.roots[root].root.shape.shape[2] > 1


def _curves(solved: Solved) -> tuple[Mapping[str, Any], ...]:
    return tuple(
        {
            "node": path.limit.node,
            "limit": path.limit.name,
            "unit": path.limit.unit,
            "hard": path.limit.hard,
            "policy_x": path.limit.policy_x,
            "curve": path.limit.curve.model_dump(mode="json"),
            "saturation": path.limit.saturation.model_dump(mode="json"),
            "follows_load": path.limit.follows_load,
        }
        for path in solved.paths
        if math.isfinite(path.limit.hard)
    )

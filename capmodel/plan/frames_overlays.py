"""What each failure overlay breaks, as things stand and after the orders, as a frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capmodel.capacity.estate import pods_needed, zone_fill
from capmodel.capacity.risk import mixture_quantile
from capmodel.capacity.sizing import whole_nodes, whole_pods
from capmodel.plan.frames_limits import MIXTURE
from capmodel.topology import Hold, LoseZones

if TYPE_CHECKING:
    from capmodel.plan.make import Solved
    from capmodel.plan.supply import Supply
    from capmodel.scenario import LoseZonesOverlay

__all__ = ["overlays_frame"]

COLUMNS = ["overlay", "node", "limit", "needed", "today", "after_orders", "breaks_today", "breaks"]


def overlays_frame(solved: Solved, supply: Supply) -> pd.DataFrame:
    """Return what the mixture's P50 season peak needs under each overlay, beside what is there.

    ``needed`` units keep the planned utilization under a failure (``utilization_degraded``), inf
    where no zone is left; ``breaks`` is after the orders.
    """
    rows = [row for overlay in solved.request.overlays for row in _rows(solved, supply, overlay)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(solved: Solved, supply: Supply, overlay: LoseZonesOverlay) -> Iterator[dict[str, Any]]:
    hold = Hold(
        failure=LoseZones(lose_zones=overlay.zones), quantile=0.5, up_to="utilization_degraded"
    )
    topology, estate, loads = solved.estate.topology, solved.estate, solved.futures.loads
    words = f"lose {overlay.zones} zone" + ("s" if overlay.zones > 1 else "")
    for name, instants in solved.needs.instants.items():
        zones = topology.pools[name].zones
        needed = math.inf
        if overlay.zones < zones:
            pairs = zip(loads, instants, strict=True)
            fill = [zone_fill(estate, load, name, hold, instant) for load, instant in pairs]
            needed = whole_nodes(_season_p50(solved, fill), hold, zones=zones)
        today = topology.pools[name].today
        after = float(max(supply.pools[MIXTURE, name].placed.nodes, today or 0))
        yield _row(words, (name, "nodes"), needed, (today, after))
    for name in solved.needs.pods:
        service = topology.services[name]
        if service.pool is None or service.replicas.max is None:
            continue
        zones = topology.pools[service.pool].zones
        needed = math.inf
        if overlay.zones < zones:
            pods = [pods_needed(estate, load, name, hold) for load in loads]
            needed = whole_pods(_season_p50(solved, pods), hold, zones=zones)
        after = supply.services[MIXTURE, name].allowed(service.replicas.max)
        yield _row(words, (name, "replicas"), needed, (service.replicas.max, after))


def _season_p50(solved: Solved, days: list[np.ndarray]) -> float:
    peaks = np.stack([d[:, solved.request.season].max(axis=1) for d in days])
    return float(peaks[mixture_quantile(peaks, 0.5, solved.request.weights)])


def _row(
    overlay: str, key: tuple[str, str], needed: float, available: tuple[float | None, float]
) -> dict[str, Any]:
    today, after = available
    node, limit = key
    return {
        "overlay": overlay,
        "node": node,
        "limit": limit,
        "needed": needed,
        "today": math.nan if today is None else float(today),
        "after_orders": after,
        "breaks_today": today is not None and needed > today,
        "breaks": needed > after,
    }

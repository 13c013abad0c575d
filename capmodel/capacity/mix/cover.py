"""Node counts that cover a zone's pods in total, before any pod is placed.

This module answers: how few nodes could do if pods were liquid (a lower bound), which whole counts
keep to the rules, and which rule stands in the way when none do?
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from capmodel.capacity.mix.division import least_weight_prices, node_worth
from capmodel.capacity.mix.model import LinearModel
from capmodel.capacity.mix.spec import UNITS, Floats, Ints, MixRules, Pool, with_rules

__all__ = [
    "Cover",
    "CoverRows",
    "ZoneGroups",
    "binding_rules",
    "changes_of",
    "cover_rows",
    "demand_of",
    "keeps_rules",
    "lp_bound",
    "objective_of",
    "solve_cover",
    "totals_bound",
    "with_prices",
    "zone_groups",
]

GAP: Final = 5e-4
"""Relative gap at which the search for whole counts ends [ratio]."""
BRANCHES: Final = 4000
"""Branches of that search, at most: a limit in work, not in seconds, so that the same input has the
same answer on a busy machine."""

_TOLERANCE: Final = 1e-5
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class CoverRows:
    """What R rows ask of a zone's node counts: ``per_node @ counts >= per_pod @ pods``.

    Any prices of pods make such a row, with the most that the pods of one node can be worth. Here
    stand, for each set of types that some pods are confined to, the cores, memory and number of
    those pods, the sets of all types first; each service's own pods; and the prices found on the
    way. ``per_node`` (R, T), ``per_pod`` (R, S).
    """

    per_node: Floats
    per_pod: Floats


@dataclass(frozen=True, slots=True, eq=False)
class ZoneGroups:
    """Zones that are solved as one: ``first`` a zone of each group, ``size`` zones (G,).

    ``of_zone`` the group of each zone (A,).
    """

    first: Ints
    size: Ints
    of_zone: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Cover:
    """Whole counts (G, T), None where there are none, and the least objective proven."""

    counts: Ints | None
    bound: float
    infeasible: bool


def zone_groups(pool: Pool) -> ZoneGroups:
    """Return zones by today's nodes where a rule looks at them; else one group of all zones."""
    rows = pool.today if pool.rules.looks_at_today else np.zeros_like(pool.today)
    _, first, of_zone, size = np.unique(
        rows, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    return ZoneGroups(
        first=first.astype(np.int64),
        size=size.astype(np.int64),
        of_zone=of_zone.reshape(-1).astype(np.int64),
    )


def cover_rows(pool: Pool) -> CoverRows:
    """Return the rows that every placement of the pods satisfies."""
    return with_prices(pool, _total_rows(pool), least_weight_prices(pool))


def totals_bound(pool: Pool) -> float:
    """Return the bound that looks at totals alone: as :func:`lp_bound`, without prices."""
    return lp_bound(pool, _total_rows(pool), zone_groups(pool))


def _total_rows(pool: Pool) -> CoverRows:
    runs = pool.pods > 0
    fits = (pool.most > 0) & runs
    sets = {tuple(column) for column in fits[:, runs].T.tolist()} - {tuple(pool.allowed.tolist())}
    masks = np.array([pool.allowed.tolist(), *sorted(sets, reverse=True)], dtype=np.bool_)
    # A pod counts towards a set of types when every type that holds it is in the set.
    inside = ~(fits[None, :, :] & ~masks[:, :, None]).any(axis=1) & runs
    height = len(masks) * UNITS.size
    per_node = (masks[:, None, :] * (pool.room / UNITS).T).reshape(height, len(pool.types))
    per_pod = (inside[:, None, :] * (pool.request / UNITS).T).reshape(height, len(pool.pods))
    totals = CoverRows(per_node=per_node, per_pod=per_pod)
    own = np.flatnonzero(runs)
    own = own[~_implied(pool.most.T[own] / pool.pods[own, None], totals, pool)]
    return CoverRows(
        per_node=np.vstack([per_node, pool.most.T[own]]),
        per_pod=np.vstack([per_pod, np.eye(len(pool.pods))[own]]),
    )


def _implied(share: Floats, rows: CoverRows, pool: Pool) -> npt.NDArray[np.bool_]:
    """Return which services' rows follow from one of the others (S,).

    ``share`` of a service's pods that one node alone could hold (S, T). A row asks no more than
    another when each node covers at least as large a share of its demand.
    """
    demand = rows.per_pod @ pool.pods
    asked = demand > 0
    other = (rows.per_node[asked] / demand[asked, None])[:, pool.allowed]
    covers = np.asarray(share[:, pool.allowed][:, None] >= other, dtype=np.bool_)
    return np.asarray(np.any(np.all(covers, axis=2), axis=1))


def with_prices(pool: Pool, rows: CoverRows, prices: Floats) -> CoverRows:
    """Return the rows with one more, made of prices per pod (S,)."""
    total = float(prices @ pool.pods)
    if total <= 0:
        return rows
    worth = node_worth(pool, prices / total) * (1 + _ROUNDING)
    return CoverRows(
        per_node=np.vstack([rows.per_node, worth]),
        per_pod=np.vstack([rows.per_pod, prices / total]),
    )


def lp_bound(pool: Pool, rows: CoverRows, groups: ZoneGroups) -> float:
    """Return a weight over all zones below which no nodes hold the pods under the linear rules.

    The relaxation of the cover to fractional counts, without the rules that count types or spare
    nodes; ``inf`` when even fractions cannot keep the rules.
    """
    linear = pool.rules.model_copy(
        update={"max_types": None, "spare_nodes_per_zone": 0, "change_weight": 0.0}
    )
    eased = with_rules(pool, linear)
    model, _ = _model(eased, rows, demand=demand_of(pool, rows, groups), groups=groups, whole=False)
    found = model.solve_fractions()
    return float("inf") if found.values is None else found.bound * _scale(pool)


def solve_cover(pool: Pool, rows: CoverRows, *, demand: Floats, groups: ZoneGroups) -> Cover:
    """Return the whole counts of least objective that cover a demand (G, R) under every rule."""
    model, counts_at = _model(pool, rows, demand=demand, groups=groups, whole=True)
    found = model.solve_whole(gap=GAP, branches=BRANCHES)
    bound = found.bound * _scale(pool)
    if found.values is None:
        return Cover(counts=None, bound=bound, infeasible=found.infeasible)
    counts = np.rint(found.values[counts_at]).astype(np.int64).reshape(groups.size.size, -1)
    return Cover(counts=counts, bound=bound, infeasible=False)


def demand_of(pool: Pool, rows: CoverRows, groups: ZoneGroups) -> Floats:
    """Return what the pods of a zone ask of each row, for each group (G, R)."""
    return np.tile(rows.per_pod @ pool.pods, (groups.size.size, 1))


def objective_of(pool: Pool, counts: Ints, groups: ZoneGroups) -> float:
    """Return the weight of counts (G, T) over all zones, with the weight of their changes."""
    return float(groups.size @ counts @ pool.weight) + pool.rules.change_weight * changes_of(
        pool, counts, groups
    )


def changes_of(pool: Pool, counts: Ints, groups: ZoneGroups) -> int:
    """Return nodes added plus nodes removed against today, over all zones."""
    return int(np.abs(counts[groups.of_zone] - pool.today).sum())


def keeps_rules(pool: Pool, counts: Ints, groups: ZoneGroups) -> bool:
    """Return whether counts (G, T) keep to every rule but those that placing pods decides."""
    rules = pool.rules
    return bool(
        not counts[:, ~pool.allowed].any()
        and (rules.max_types is None or np.count_nonzero(counts.any(axis=0)) <= rules.max_types)
        and counts.sum(axis=1).min() >= rules.min_nodes_per_zone
        and (_share_rows(pool) @ counts.T <= _TOLERANCE).all()
        and (rules.max_changes is None or changes_of(pool, counts, groups) <= rules.max_changes)
    )


def binding_rules(pool: Pool, rows: CoverRows, *, demand: Floats, groups: ZoneGroups) -> str:
    """Return the rules that stand in the way: each without which, alone, an answer exists.

    Where no single rule does, all that are set are named together.
    """
    plain = MixRules()
    given = [name for name in _RULES if getattr(pool.rules, name) != getattr(plain, name)]
    binding = [name for name in given if _feasible_without(name, pool, rows, demand, groups)]
    named = [f"{name} {getattr(pool.rules, name)}" for name in binding or given]
    return " and ".join(named) or "the search for whole counts, under no rule at all"


_RULES: Final = (
    "max_changes",
    "max_type_share",
    "max_types",
    "largest_type",
    "spare_nodes_per_zone",
    "min_nodes_per_zone",
    "max_node_share",
)


def _feasible_without(
    name: str, pool: Pool, rows: CoverRows, demand: Floats, groups: ZoneGroups
) -> bool:
    eased = {name: MixRules.model_fields[name].default}
    if name == "max_type_share":
        eased["share_of"] = "cpu_cores"
    without = with_rules(pool, pool.rules.model_copy(update=eased))
    if name in {"largest_type", "max_node_share"}:
        rows = cover_rows(without)
        demand = demand_of(pool, rows, groups)
    model, _ = _model(without, rows, demand=demand, groups=groups, whole=True)
    # Any whole answer will do: the gap is as wide as the objective.
    return model.solve_whole(gap=1.0, branches=BRANCHES).values is not None


def _scale(pool: Pool) -> float:
    """Return the unit of weight inside the model: tolerances are absolute, weights in any unit."""
    return float(pool.weight.mean())


def _model(
    pool: Pool, rows: CoverRows, *, demand: Floats, groups: ZoneGroups, whole: bool
) -> tuple[LinearModel, slice]:
    """Return the model of the counts (G, T) and where they stand in it."""
    model = LinearModel()
    zones, types = groups.size.size, len(pool.types)
    most = _most_nodes(pool, rows, demand)
    cost = (groups.size[:, None] * pool.weight / _scale(pool)).reshape(-1)
    counts = model.variables(np.tile(most, zones), cost=cost, whole=whole)

    def per_zone(matrix: Floats) -> Floats:
        return np.kron(np.eye(zones), matrix).astype(np.float64)

    spare = pool.rules.spare_nodes_per_zone
    if spare and pool.pods.any():
        _require_spare(model, pool, counts, rows=rows, demand=demand, most=most)
    # Each row in units of its own demand: the solver's tolerances are absolute.
    unit = np.where(demand > 0, demand, 1.0).reshape(-1)
    model.require(
        (counts, per_zone(rows.per_node) / unit[:, None]), at_least=demand.reshape(-1) / unit
    )
    if pool.rules.min_nodes_per_zone:
        least = float(pool.rules.min_nodes_per_zone)
        model.require((counts, per_zone(np.ones((1, types)))), at_least=least)
    if pool.rules.max_type_share < 1:
        model.require((counts, per_zone(_share_rows(pool))), at_most=0.0)
    if pool.rules.max_types is not None:
        used = model.variables(np.ones(types), whole=whole)
        each = np.tile(-np.diag(most), (zones, 1))
        model.require((counts, np.eye(zones * types)), (used, each), at_most=0.0)
        model.require((used, np.ones((1, types))), at_most=float(pool.rules.max_types))
    if pool.rules.looks_at_today:
        _require_changes(model, pool, counts, groups)
    return model, counts


def _require_spare(
    model: LinearModel,
    pool: Pool,
    counts: slice,
    *,
    rows: CoverRows,
    demand: Floats,
    most: Floats,
) -> None:
    """Require room for the pods beside the largest node of each resource, times the spare nodes."""
    zones, types = len(demand), len(pool.types)
    room = pool.room / UNITS
    used = model.variables(np.ones(zones * types), whole=True)
    size = zones * types
    model.require((counts, np.eye(size)), (used, -np.diag(np.tile(most, zones))), at_most=0.0)
    largest = model.variables(np.tile(room[pool.allowed].max(axis=0), zones))
    for k in range(UNITS.size):
        pick = np.kron(np.eye(zones), np.eye(UNITS.size)[k : k + 1])
        each = np.repeat(pick, types, axis=0)
        model.require((largest, each), (used, -np.diag(np.tile(room[:, k], zones))), at_least=0.0)
    lost = -float(pool.rules.spare_nodes_per_zone) * np.eye(zones * UNITS.size)
    all_types = np.kron(np.eye(zones), rows.per_node[: UNITS.size])
    model.require(
        (counts, all_types), (largest, lost), at_least=demand[:, : UNITS.size].reshape(-1)
    )


def _require_changes(model: LinearModel, pool: Pool, counts: slice, groups: ZoneGroups) -> None:
    """Split counts less today's into nodes added and removed, and bound both together."""
    today = pool.today[groups.first].reshape(-1).astype(np.float64)
    each = np.repeat(groups.size, len(pool.types)).astype(np.float64)
    price = each * pool.rules.change_weight / _scale(pool)
    added = model.variables(np.full(today.size, np.inf), cost=price)
    removed = model.variables(today, cost=price)
    one = np.eye(today.size)
    model.require((counts, one), (added, -one), (removed, one), at_least=today, at_most=today)
    if pool.rules.max_changes is not None:
        model.require(
            (added, each[None]), (removed, each[None]), at_most=float(pool.rules.max_changes)
        )


def _share_rows(pool: Pool) -> Floats:
    """Return rows (T, T) that are at most 0 when no type exceeds its share."""
    of = _carried(pool)
    return np.asarray(np.diag(of) - pool.rules.max_type_share * of)


def _carried(pool: Pool) -> Floats:
    """Return what one node adds to its type's share of a zone (T,)."""
    return pool.weight if pool.rules.share_of == "weight" else pool.room[:, 0] / UNITS[0]


def _most_nodes(pool: Pool, rows: CoverRows, demand: Floats) -> Floats:
    """Return nodes of a type in a zone beyond which more serve no purpose (T,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.ceil(demand.max(axis=0)[:, None] / rows.per_node)
    alone = np.where(np.isfinite(each), each, 0.0).max(axis=0, initial=0.0)
    extra = pool.rules.spare_nodes_per_zone + pool.rules.min_nodes_per_zone
    most = np.maximum(alone + extra, pool.today.max(axis=0)) * pool.allowed
    if pool.rules.max_type_share < 1:  # a small type may have to balance a large one
        of = _carried(pool)
        most = np.maximum(most, np.ceil((most * of).max() / of)) * pool.allowed
    return np.asarray(most)

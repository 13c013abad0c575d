"""The instance mix of a node pool: which types, how many in each zone, and where each pod stands.

This module answers: with types pinned, how little can a pool weigh whose every pod is really placed
and whose zones may fail?
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from capmodel.capacity.mix.cover import ZoneGroups, changes_of, cover_rows, lp_bound, zone_groups
from capmodel.capacity.mix.packing import Packer
from capmodel.capacity.mix.result import Mix
from capmodel.capacity.mix.search import Search, find_mix
from capmodel.capacity.mix.single import SingleType, best_single_type
from capmodel.capacity.mix.spec import Candidate, Ints, MixRules, Pool, pool_of
from capmodel.capacity.nodes import PodShape

__all__ = ["choose_mix"]


def choose_mix(
    shapes: Sequence[PodShape],
    need: Sequence[int],
    *,
    candidates: Sequence[Candidate],
    zones: int,
    lose: int = 0,
    rules: MixRules | None = None,
) -> Mix:
    """Choose instance types and counts for a pool, and place every pod.

    Each zone gets ``ceil(need / (A - k))`` pods of each service, so that any k of A zones may be
    lost. Whole counts that cover these in total come from a mixed-integer programme; a linear
    programme divides the services over the types, and where it fails its prices become a row of the
    cover; then every pod is placed. What found no node raises the demand by half of itself, until
    all pods stand. The best single type, and today's nodes, are placed by the same check and
    returned where they are lighter or as light.

    The result is the least weight found, and a floor for what a scheduler fills that opens nodes
    one by one. It is close to the bound where nodes hold many pods; where a node holds two or
    three, the bound itself is out of reach.

    Parameters
    ----------
    shapes
        What one pod of each of S services requests.
    need
        Pods of each service that must stand after the loss, minima of replicas included [pods].
    candidates
        Instance types with what a node offers, its weight, and today's nodes.
    zones
        Zones of the pool, A.
    lose
        Zones that may be lost, k, below A.
    rules
        What the mix must keep to; none when None.

    Returns
    -------
    Mix
        With ``infeasible`` naming the rules in the way where they cannot be kept. The same input
        has the same answer: solvers are limited by gap and branches, never by seconds.

    Raises
    ------
    InputError
        For faulty zones, services, candidates or rules, and for each pod with requests that no
        allowed type holds, naming the service and the largest type.

    References
    ----------
    Gilmore, P. C., Gomory, R. E. (1961), Operations Research 9(6): prices and patterns. Benders,
    J. F. (1962). *Partitioning Procedures for Solving Mixed-Variables Programming Problems*,
    Numerische Mathematik 4: rows from a linear programme that fails. Panigrahy, R. et al. (2011).
    *Heuristics for Vector Bin Packing*, Microsoft Research.

    Examples
    --------
    >>> from capmodel.capacity.nodes import Usable
    >>> small = Usable("m6i.xlarge", cpu_cores=3.6, memory_gib=13.0, pods=54)
    >>> large = Usable("m6i.4xlarge", cpu_cores=15.6, memory_gib=55.0, pods=230)
    >>> mix = choose_mix(
    ...     [PodShape("api", 2, 4), PodShape("web", 0.5, 1)],
    ...     [18, 8],
    ...     candidates=[Candidate(small, 0.192), Candidate(large, 0.768)],
    ...     zones=3,
    ...     lose=1,
    ... )
    >>> mix.types, mix.counts.tolist()
    (('m6i.4xlarge', 'm6i.xlarge'), [[1, 1, 1], [2, 2, 2]])
    >>> round(mix.weight, 3), mix.best_single_type, round(mix.saving, 3)
    (3.456, 'm6i.4xlarge', 0.25)
    """
    pool = pool_of(
        shapes, need, candidates=candidates, zones=zones, lose=lose, rules=rules or MixRules()
    )
    rows, groups, packer = cover_rows(pool), zone_groups(pool), Packer(pool)
    single = best_single_type(pool, rows, packer)
    search = find_mix(pool, rows, groups, packer, single)
    return _mix(
        pool, groups, packer, single=single, search=search, bound=lp_bound(pool, rows, groups)
    )


def _mix(
    pool: Pool,
    groups: ZoneGroups,
    packer: Packer,
    *,
    single: SingleType | None,
    search: Search,
    bound: float,
) -> Mix:
    answer = search.answer
    counts = (
        np.zeros((groups.size.size, len(pool.types)), dtype=np.int64)
        if answer is None
        else answer.counts
    )
    alone = np.nan if single is None else single.nodes * float(pool.weight[single.kind])
    return Mix(
        pool=pool,
        counts=np.ascontiguousarray(counts[groups.of_zone].T),
        weight=np.nan if answer is None else float(groups.size @ counts @ pool.weight),
        lp_bound=bound,
        placements=_placements(groups, packer, counts if answer is not None else counts[:0]),
        origin="" if answer is None else answer.origin,
        best_single_type="" if single is None else pool.types[single.kind],
        best_single_weight=pool.zones * alone,
        changes=changes_of(pool, counts, groups) if answer is not None else 0,
        rounds=search.rounds,
        infeasible=search.infeasible,
    )


def _placements(groups: ZoneGroups, packer: Packer, counts: Ints) -> Ints:
    """Return rows (zone, type, node, service, pods) of all zones; none without counts."""
    rows = []
    for zone, group in enumerate(groups.of_zone if len(counts) else ()):
        placed = packer.pack(counts[group]).placement
        node, service = np.nonzero(placed.held)
        kind = placed.node_type
        number = np.arange(kind.size) - np.searchsorted(kind, kind)
        at = np.full(node.size, zone)
        rows.append(
            np.column_stack([at, kind[node], number[node], service, placed.held[node, service]])
        )
    return np.concatenate(rows) if rows else np.empty((0, 5), dtype=np.int64)

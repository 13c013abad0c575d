"""The rules of an instance mix, what stands in the way, and bad input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from capmodel.capacity.mix import Candidate, Mix, MixRules, choose_mix, verify
from capmodel.capacity.nodes import PodShape, Usable
from capmodel.errors import InputError

SMALL = Usable("m.small", cpu_cores=4, memory_gib=16, pods=30)
LARGE = Usable("m.large", cpu_cores=16, memory_gib=64, pods=110)
LEAN = Usable("c.large", cpu_cores=16, memory_gib=32, pods=110)
WIDE = Usable("r.large", cpu_cores=16, memory_gib=128, pods=110)
ALL = [Candidate(SMALL, 0.21), Candidate(LARGE, 0.8), Candidate(LEAN, 0.7), Candidate(WIDE, 1.0)]
SHAPES = [PodShape("lean", 1, 1.5), PodShape("even", 0.5, 2), PodShape("wide", 0.5, 4)]
NEED = [60, 60, 60]


def _mix(candidates: list[Candidate] = ALL, need: list[int] = NEED, **rules: Any) -> Mix:
    mix = choose_mix(SHAPES, need, candidates=candidates, zones=3, lose=1, rules=MixRules(**rules))
    if not mix.infeasible:
        assert verify(mix).holds
    return mix


def _used(mix: Mix) -> dict[str, int]:
    """Nodes of each type in the first zone, types in use only."""
    pairs = zip(mix.types, mix.counts[:, 0].tolist(), strict=True)
    return {name: nodes for name, nodes in pairs if nodes}


def test_fewer_types_weigh_no_less() -> None:
    free, two, one = _mix(), _mix(max_types=2), _mix(max_types=1)
    assert len(_used(two)) <= 2
    assert len(_used(one)) == 1
    assert free.weight <= two.weight + 1e-9
    assert two.weight <= one.weight + 1e-9
    assert one.weight == pytest.approx(one.best_single_weight)
    assert list(_used(one)) == [one.best_single_type]


def test_no_type_larger_than_the_largest_allowed() -> None:
    # 30 pods of each a zone: 60 cores and 225 GiB; 16 small nodes have 64 cores and 256 GiB.
    mix = _mix(largest_type="m.small")
    assert list(_used(mix)) == ["m.small"]
    assert mix.lp_bound == pytest.approx(3 * 60 / 4 * 0.21)


@pytest.mark.parametrize("share_of", ["cpu_cores", "weight"])
def test_no_type_carries_more_than_its_share(share_of: str) -> None:
    mix = _mix(max_type_share=0.4, share_of=share_of)
    room = sorted(ALL, key=lambda one: one.usable.instance_type)
    each = np.array([one.weight if share_of == "weight" else one.usable.cpu_cores for one in room])
    carried = each[:, None] * mix.counts
    assert (carried / carried.sum(axis=0)).max() <= 0.4 + 1e-9
    assert len(_used(mix)) >= 3


def test_blast_radius_bounds_a_service_on_one_node() -> None:
    # 30 pods a zone, a tenth of them on a node at most: 3 pods, so 10 nodes at least.
    mix = _mix(max_node_share=0.1)
    assert mix.placements[:, 4].max() <= 3
    assert mix.counts.sum(axis=0).min() >= 10
    # A service with fewer pods than 1 / share may still put one on a node.
    few = _mix(need=[4, 4, 4], max_node_share=0.1)
    assert few.placements[:, 4].max() == 1
    assert few.counts.sum(axis=0).tolist() == [2, 2, 2]


def test_least_nodes_in_each_zone() -> None:
    assert _mix(need=[2, 2, 2]).counts.sum(axis=0).tolist() == [1, 1, 1]
    mix = _mix(need=[2, 2, 2], min_nodes_per_zone=3)
    assert mix.counts.sum(axis=0).tolist() == [3, 3, 3]
    assert mix.weight == pytest.approx(9 * 0.21)


def test_a_spare_node_of_any_type_may_go() -> None:
    plain, spare = _mix(), _mix(spare_nodes_per_zone=1)
    assert verify(plain).node_losses == ()
    found = verify(spare)
    assert found.node_losses
    assert all(loss.unplaced == 0 for loss in found.node_losses)
    # The plain mix loses pods with its largest node: one node's cores are more than it has free.
    assert spare.weight > plain.weight
    two = _mix(spare_nodes_per_zone=2)
    assert two.weight > spare.weight


def test_a_spare_node_by_hand() -> None:
    # 8 cores a zone: with large nodes 1 + 1 spare (1.6), with small ones 2 + 1 spare (0.63).
    mix = choose_mix(
        [PodShape("api", 1, 2)], [16], candidates=ALL[:2], zones=3, lose=1,
        rules=MixRules(spare_nodes_per_zone=1),
    )  # fmt: skip
    assert _used(mix) == {"m.small": 3}


def _today(nodes: list[tuple[int, int, int]]) -> list[Candidate]:
    return [
        Candidate(one.usable, one.weight, today=today)
        for one, today in zip(ALL, nodes, strict=True)
    ]


NONE = (0, 0, 0)


def test_changes_against_today_are_counted() -> None:
    mix = _mix(_today([(1, 0, 0), (4, 4, 4), NONE, NONE]))
    expected = np.abs(mix.counts - mix.pool.today.T).sum()
    assert mix.changes == expected > 0


def test_today_stays_where_it_is_as_light() -> None:
    free = _mix()
    today = [tuple(free.counts[free.types.index(c.usable.instance_type)].tolist()) for c in ALL]
    again = _mix(_today(today))  # type: ignore[arg-type]
    assert (again.changes, again.origin) == (0, "today")


def test_dear_changes_keep_today() -> None:
    # Four large nodes a zone hold every pod: 64 cores, 256 GiB for 60 cores and 225 GiB.
    today = _today([NONE, (4, 4, 4), NONE, NONE])
    assert _mix(today).changes > 0
    kept = _mix(today, change_weight=10.0)
    assert (kept.changes, kept.origin) == (0, "today")
    assert kept.weight == pytest.approx(12 * 0.8)


def test_few_changes_where_today_falls_short() -> None:
    # One zone lacks a large node. Two changes allow it; none allow nothing.
    today = _today([NONE, (4, 3, 4), NONE, NONE])
    mix = _mix(today, max_changes=2)
    assert mix.changes <= 2
    assert mix.infeasible == ""
    stuck = _mix(today, max_changes=0)
    assert "max_changes 0" in stuck.infeasible


def test_contradictory_rules_are_named() -> None:
    mix = _mix(max_types=2, max_type_share=0.4)
    assert mix.infeasible == "max_type_share 0.4 and max_types 2"
    assert math.isnan(mix.weight)
    assert math.isnan(mix.gap)
    assert mix.counts.sum() == 0
    assert len(mix.placements) == 0
    assert math.isnan(mix.utilization["cpu_cores"])
    assert mix.best_single_type != ""
    assert mix.to_frame().empty


def test_a_share_that_the_allowed_types_cannot_keep() -> None:
    mix = _mix(max_type_share=0.2)
    assert mix.infeasible == "max_type_share 0.2"
    only = _mix(max_type_share=0.5, largest_type="m.small")
    assert only.infeasible == "max_type_share 0.5 and largest_type m.small"


def test_a_pod_larger_than_any_allowed_node_names_both() -> None:
    with pytest.raises(InputError, match=r"services\.big\.pod.*20 cores.*r\.large") as error:
        choose_mix(
            [PodShape("big", 20, 4), PodShape("fat", 1, 300), PodShape("ok", 1, 1)],
            [1, 1, 1], candidates=ALL, zones=1,
        )  # fmt: skip
    assert len(error.value.problems) == 2
    with pytest.raises(InputError, match=r"services\.mid\.pod.*m\.small"):
        choose_mix(
            [PodShape("mid", 8, 4)], [1], candidates=ALL, zones=1,
            rules=MixRules(largest_type="m.small"),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"zones": 2, "lose": 2}, "zones: got 2 zones of which 2 may be lost"),
        ({"zones": 0, "lose": 0}, "zones: got 0 zones"),
        ({"lose": -1}, "zones: got 3 zones of which -1"),
        ({"need": [1, 2]}, "need: got 2 counts for 3 services"),
        ({"need": [1, -2, 3]}, r"services\.even\.need: got -2 pods"),
        ({"need": [1, 2.5, 3]}, r"services\.even\.need: got 2\.5 pods"),
        ({"need": [1, math.nan, 3]}, r"services\.even\.need: got nan pods"),
        ({"shapes": [PodShape("a", 1, 1)] * 3}, "shapes: got a more than once"),
        ({"shapes": [*SHAPES[:2], PodShape("x", -1, 1)]}, r"services\.x\.pod: got a request of -1"),
        ({"candidates": []}, "candidates: got no instance type"),
        ({"candidates": [*ALL, ALL[0]]}, r"candidates: got m\.small more than once"),
        ({"candidates": [Candidate(SMALL, 0.0)]}, r"candidates\.m\.small\.weight: got 0"),
        ({"candidates": [Candidate(SMALL, 1.0, today=(1, 2))]}, r"m\.small\.today: got counts \[1"),
        ({"candidates": [Candidate(Usable("x", 0, 1, 1), 1.0)]}, r"candidates\.x\.usable: got 0"),
        ({"rules": MixRules(largest_type="m.larg")}, r"rules\.largest_type.*'m\.large'"),
        ({"rules": MixRules(max_changes=3)}, r"rules\.max_changes.*no candidate that runs today"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {
        "shapes": SHAPES, "need": NEED, "candidates": ALL, "zones": 3, "lose": 1,
    }  # fmt: skip
    given |= change
    with pytest.raises(InputError, match=message):
        choose_mix(given.pop("shapes"), given.pop("need"), **given)


def test_all_problems_come_together() -> None:
    with pytest.raises(InputError) as error:
        choose_mix(SHAPES, [1, 2], candidates=[], zones=1, lose=1)
    assert len(error.value.problems) == 3


@pytest.mark.parametrize(
    "rules",
    [{"max_types": 0}, {"max_type_share": 0.0}, {"max_node_share": 1.1}, {"share_of": "weight"}],
)
def test_rules_out_of_range_are_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MixRules(**rules)


def test_verification_sees_a_pod_too_many() -> None:
    mix = _mix()
    rows = mix.placements.copy()
    rows[0, 4] += 40
    object.__setattr__(mix, "placements", rows)
    found = verify(mix)
    assert (found.misplaced, found.overfull_nodes, found.holds) == (40, 1, False)


def test_verification_sees_a_zone_that_lacks_a_node() -> None:
    mix = _mix()
    counts = mix.counts.copy()
    kind = int(np.flatnonzero(counts[:, 2])[0])
    counts[kind, 2] -= 1
    kept = mix.placements[:, 0] != 2
    object.__setattr__(mix, "counts", counts)
    object.__setattr__(mix, "placements", mix.placements[kept])
    found = verify(mix)
    # Zone 2 alone is short: its loss leaves every pod a place, the loss of another does not.
    assert [loss.unplaced > 0 for loss in found.zone_losses] == [True, True, False]

"""Orders that wait for one another, what was done about them, release and load tests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel import orders
from capmodel.errors import InputError
from capmodel.orders import LoadTest, LoadTestPolicy, NodeRequest, Order, OrdersPolicy, QuotaRequest

IN_PLACE = dt.date(2026, 11, 20)
AS_OF = dt.date(2026, 9, 1)
NODES = NodeRequest("general", "m6i.4xlarge", vcpu=16, today=24, required=66)


def nodes(policy: OrdersPolicy | None = None) -> Order:
    made = orders.node_order(NODES, policy=policy or OrdersPolicy(), in_place=IN_PLACE, as_of=AS_OF)
    assert made is not None
    return made


def quota(name: str = "vcpu", lead_days: int = 14) -> Order:
    request = QuotaRequest(name, 500, 1500, lead_days=lead_days, fallback="fewer nodes")
    return orders.quota_order(request, in_place=IN_PLACE, as_of=AS_OF)


def link(book: list[Order], before: dict[str, list[str]]) -> dict[str, Order]:
    linked = orders.linked_orders(book, before, policy=OrdersPolicy(), as_of=AS_OF)
    return {order.id: order for order in linked}


def test_a_prerequisite_stands_before_its_dependant_is_asked_for() -> None:
    book = link([nodes(), quota()], {"nodes:general": ["quota:vcpu"]})
    first = book["quota:vcpu"]
    # By 11-15, the latest day for the reservation; for its recommended day, 09-25, by 09-11.
    assert str(first.in_place_by) == "2026-11-15"
    assert (str(first.recommended_by), str(first.latest_by)) == ("2026-09-11", "2026-11-01")
    assert first.fallback_by == dt.date(2026, 11, 15)
    assert book["nodes:general"].depends_on == ("quota:vcpu",)
    assert book["nodes:general"].latest_by == nodes().latest_by


def test_a_chain_moves_link_by_link() -> None:
    book = link(
        [quota("region", 10), nodes(), quota()],
        {"nodes:general": ["quota:vcpu"], "quota:vcpu": ["quota:region"]},
    )
    # vCPU by 11-15, asked for by 11-01; the region by then, asked for ten days before.
    assert str(book["quota:region"].in_place_by) == "2026-11-01"
    assert str(book["quota:region"].latest_by) == "2026-10-22"
    assert str(book["quota:region"].recommended_by) == "2026-09-01"  # 09-11 less ten days


def test_a_code_change_before_an_order_keeps_out_of_the_freeze() -> None:
    policy = OrdersPolicy.model_validate({"freeze": [{"start": "2026-11-02", "end": "2027-01-04"}]})
    change = orders.config_order(
        orders.ConfigRequest("api", "region", "a", "b", lead_days=3),
        policy=policy, in_place=IN_PLACE, as_of=AS_OF,
    )  # fmt: skip
    linked = orders.linked_orders(
        [change, nodes(policy)], {"nodes:general": [change.id]}, policy=policy, as_of=AS_OF
    )
    assert str(linked[0].in_place_by) == "2026-11-01"
    assert str(linked[0].recommended_by) == "2026-09-22"  # three days before 09-25


@pytest.mark.parametrize(
    ("before", "where", "got"),
    [
        ({"nodes:general": ["quota:vcpus"]}, "orders.depends_on.nodes:general", "quota:vcpus"),
        ({"nodes:genral": ["quota:vcpu"]}, "orders.depends_on.nodes:genral", "nodes:genral"),
    ],
)
def test_an_unknown_order_is_told_the_nearest(
    before: dict[str, list[str]], where: str, got: str
) -> None:
    with pytest.raises(InputError) as error:
        link([nodes(), quota()], before)
    [problem] = error.value.problems
    assert (problem.where, problem.got) == (where, f'unknown order "{got}"')
    assert "nodes:general, quota:vcpu" in problem.expected
    assert "Did you mean" in problem.do


def test_a_cycle_is_named() -> None:
    with pytest.raises(InputError) as error:
        link([nodes(), quota()], {"nodes:general": ["quota:vcpu"], "quota:vcpu": ["nodes:general"]})
    [problem] = error.value.problems
    assert problem.where == "orders.depends_on"
    assert {"nodes:general", "quota:vcpu"} <= set(problem.got.split(": ", 1)[1].split(" -> "))
    assert problem.do == "Remove one of these dependencies."


@given(leads=st.lists(st.integers(0, 60), min_size=2, max_size=5), data=st.data())
def test_dates_only_move_forward_and_leave_time_for_what_follows(
    leads: list[int], data: st.DataObject
) -> None:
    book = [quota(f"q{i}", lead) for i, lead in enumerate(leads)]
    before = {
        book[i].id: [book[j].id for j in data.draw(st.sets(st.integers(0, i - 1)))]
        for i in range(1, len(book))
    }
    linked = link(book, before)
    for old in book:
        new = linked[old.id]
        assert new.in_place_by <= old.in_place_by
        assert new.latest_by <= old.latest_by
        assert (new.in_place_by - new.latest_by) == (old.in_place_by - old.latest_by)
        for name in before.get(old.id, []):
            assert linked[name].in_place_by <= new.latest_by


Step = tuple[str, str, int | None]


def placed(steps: Sequence[Step]) -> OrdersPolicy:
    listed = [
        {"id": "nodes:general", "state": state, "date": date, "count": count}
        for state, date, count in steps
    ]
    return OrdersPolicy.model_validate({"placed": listed})


# Window from 07-23, recommended 09-25, latest 11-15, in place 11-20; 42 are asked for.
@pytest.mark.parametrize(
    ("steps", "as_of", "status", "words"),
    [
        ([("requested", "2026-09-25", None)], "2026-10-01", "GREEN", "requested on 2026-09-25"),
        ([("requested", "2026-09-26", None)], "2026-10-01", "AMBER", "was due by 2026-09-25"),
        ([("requested", "2026-09-25", None)], "2026-11-16", "AMBER",
         "no answer by 2026-11-15: the fallback is due by 2026-11-20"),
        ([("requested", "2026-11-16", None)], "2026-11-16", "RED", "after the latest day"),
        ([("requested", "2026-09-25", None)], "2026-11-21", "RED", "not granted by 2026-11-20"),
        ([("granted", "2026-10-01", None)], "2026-11-20", "GREEN", "granted on 2026-10-01"),
        ([("granted", "2026-10-01", None)], "2026-11-21", "RED", "but not in place"),
        ([("in_place", "2026-11-19", None)], "2026-11-25", "GREEN", "in place since 2026-11-19"),
        ([("granted", "2026-09-20", 30)], "2026-09-26", "AMBER",
         "30 of 42: granted on 2026-09-20; the other 12: inside recommended lead"),
        ([("granted", "2026-09-20", 42)], "2026-09-26", "GREEN", "granted on 2026-09-20"),
        ([("cancelled", "2026-09-20", None)], "2026-09-26", "AMBER",
         "cancelled on 2026-09-20; inside recommended lead"),
        ([("requested", "2026-09-20", None)], "2026-09-19", "GREEN", "request window open since"),
    ],
)  # fmt: skip
def test_the_status_follows_what_was_done(
    steps: list[Step], as_of: str, status: str, words: str
) -> None:
    policy, day = placed(steps), dt.date.fromisoformat(as_of)
    order = orders.stated(nodes(), orders.placed_at(policy, "nodes:general", day), as_of=day)
    assert order.status == status
    assert words in order.timing
    assert words in order.reason


def test_capacity_that_is_given_back_while_it_is_needed_is_late() -> None:
    order = replace(nodes(), release_on=dt.date(2026, 12, 11))
    step = orders.Placed(id="nodes:general", state="released", date=dt.date(2026, 12, 5))
    early = orders.stated(order, step, as_of=dt.date(2026, 12, 6))
    assert (early.status, early.timing) == (
        "RED", "released on 2026-12-05, needed until 2026-12-11",
    )  # fmt: skip
    assert orders.stated(order, step, as_of=dt.date(2026, 12, 11)).status == "GREEN"


def with_steps(steps: Sequence[Step]) -> Order:
    [order] = orders.placed_orders(
        [nodes()],
        policy=placed(steps),
        could_be={},
        vcpu={"nodes:general": 16},
        as_of=dt.date(2026, 12, 1),
    )
    return order


def test_the_commitment_counts_from_the_day_of_delivery() -> None:
    stands: Step = ("in_place", "2026-11-10", None)
    order = with_steps([stands, ("released", "2026-11-24", None)])  # 14 days later
    assert order.state == "released"
    with pytest.raises(InputError) as error:
        with_steps([stands, ("released", "2026-11-23", None)])
    [problem] = error.value.problems
    assert problem.got == "released on 2026-11-23"
    assert problem.expected == "no earlier than 2026-11-24, when the commitment ends"
    assert problem.do


def test_more_than_is_asked_for_cannot_have_been_placed() -> None:
    with pytest.raises(InputError, match="42 at most"):
        with_steps([("granted", "2026-10-01", 43)])


needs = st.lists(st.floats(0, 200), min_size=3, max_size=45)


@given(
    days=needs,
    today=st.integers(0, 30),
    more=st.integers(0, 200),
    offset=st.integers(-5, 50),
    every=st.integers(1, 14),
)
def test_a_release_never_leaves_less_than_a_later_day_needs(
    days: list[float], today: int, more: int, offset: int, every: int
) -> None:
    start = dt.date(2026, 11, 2)
    end, first = start + dt.timedelta(days=len(days)), start + dt.timedelta(days=offset)
    ordered = today + more
    stages = orders.release_stages(
        lambda day: max(days[day:]),
        season=(start, end), counts=(today, ordered), first=first, every_days=every,
    )  # fmt: skip
    assert sum(stage.given_back for stage in stages) == more  # all of it, once, by the end
    assert all(stage.on >= first and stage.given_back > 0 for stage in stages)
    for day, need in enumerate(days):
        at = start + dt.timedelta(days=day)
        standing = min([ordered, *(s.after for s in stages if s.on <= at)])
        assert standing >= min(need, ordered) - 1e-6
    for stage in stages:
        over = [i for i, need in enumerate(days) if need > stage.after + 1e-6]
        last = start + dt.timedelta(days=over[-1]) if over else None
        assert stage.last_needed == last
    assert {
        (stage.on - first).days % every for stage in stages if stage.on not in {end, first}
    } <= {0}


def test_a_release_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="3 ordered, 5 before"):
        orders.release_stages(
            lambda day: 1.0 * day,
            season=(dt.date(2026, 11, 2), dt.date(2026, 12, 1)),
            counts=(5, 3),
            first=dt.date(2026, 11, 20),
        )


def test_the_target_of_a_load_test() -> None:
    policy = LoadTestPolicy()
    last = orders.load_test_target(last_peak_rps=400, forecast_rps=500, policy=policy)
    assert last == (600.0, "1.5 x last year's peak")
    coming = orders.load_test_target(last_peak_rps=300, forecast_rps=500, policy=policy)
    assert coming == (500, "P95 of the season's peak")


@given(
    achieved=st.floats(1, 1e4), target=st.floats(1, 1e4), was=st.floats(1, 1e4),
    age=st.integers(0, 200), rebuilt=st.booleans(),
)  # fmt: skip
def test_only_a_fresh_test_that_reached_its_target_is_green(
    achieved: float, target: float, was: float, age: int, *, rebuilt: bool
) -> None:
    test = LoadTest(
        service="api", date=AS_OF - dt.timedelta(days=age), achieved_rps=achieved, build="r41",
        current_build="r42" if rebuilt else "r41", target_rps=was,
    )  # fmt: skip
    found = orders.load_test_evidence(test, target_rps=target, as_of=AS_OF, policy=LoadTestPolicy())
    stale = rebuilt or age > 90 or target > 1.10 * was * (1 + 1e-9)
    if abs(target / was - 1.10) > 1e-6 and abs(achieved / target - 1) > 1e-6:
        expected = "AMBER" if stale else "GREEN" if achieved >= target else "RED"
        assert found.status == expected
        assert bool(found.stale_because) == stale
    assert (
        orders.load_test_evidence(
            None, target_rps=target, as_of=AS_OF, policy=LoadTestPolicy()
        ).status
        == "GREY"
    )

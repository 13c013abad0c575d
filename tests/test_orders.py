from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from capmodel import orders
from capmodel.errors import InputError
from capmodel.orders import DbRequest, NodeRequest, Order, OrdersPolicy, QuotaRequest

# Story A9: in place 7 days before Black Friday, freeze from 2026-11-02, last window 2026-11-01.
POLICY = OrdersPolicy.model_validate(
    {
        "in_place": {"event": "black_friday", "days_before": 7},
        "freeze": [
            {"start": "2026-11-02", "end": "2027-01-04", "exempt": ["reservation", "pre_scale"]}
        ],
        "nodes": {
            "latest_days": 5,
            "recommended_days": 56,
            "earliest_days": 120,
            "min_term_days": 14,
            "min_vcpu": 32,
        },
        "db_class": {"execute": "2026-11-01", "notice_business_days": 10},
    }
)
IN_PLACE = dt.date(2026, 11, 20)
AUTUMN = dt.date(2026, 9, 1)
NODES = NodeRequest("general", "m6i.4xlarge", vcpu=16, today=24, required=90)
CLASS = DbRequest("core-db", "db.r6g.4xlarge", "db.r6g.8xlarge", instances=2)


def node_order(
    as_of: dt.date = AUTUMN, request: NodeRequest = NODES, policy: OrdersPolicy = POLICY
) -> Order:
    order = orders.node_order(request, policy=policy, in_place=IN_PLACE, as_of=as_of)
    assert order is not None
    return order


def changed(section: str, **fields: object) -> OrdersPolicy:
    data = POLICY.model_dump()
    data[section] = {**data[section], **fields}
    return OrdersPolicy.model_validate(data)


def test_story_a9_dates_of_the_reservation() -> None:
    in_place = orders.in_place_by(
        POLICY, event_date=dt.date(2026, 11, 27), season_start=dt.date(2026, 11, 2)
    )
    assert in_place == IN_PLACE
    order = node_order()
    assert order.in_place_by == IN_PLACE
    assert order.request_opens == dt.date(2026, 7, 23)
    assert order.recommended_by == dt.date(2026, 9, 25)
    assert order.latest_by == dt.date(2026, 11, 15)
    assert order.commit_until == dt.date(2026, 12, 4)
    assert "commitment ends not before 2026-12-04" in order.reason
    assert (order.count, order.action) == (66, "reserve 66 more m6i.4xlarge for general")


@pytest.mark.parametrize(
    ("as_of", "status", "words"),
    [
        (dt.date(2026, 7, 1), "GREEN", "request window opens 2026-07-23"),
        (dt.date(2026, 9, 1), "GREEN", "request window open since 2026-07-23"),
        (dt.date(2026, 9, 25), "GREEN", "request window open"),
        (dt.date(2026, 9, 26), "AMBER", "inside recommended lead"),
        (dt.date(2026, 11, 15), "AMBER", "inside recommended lead"),
        (dt.date(2026, 11, 16), "RED", "overdue"),
    ],
)
def test_story_a9_status_of_the_reservation_by_date(
    as_of: dt.date, status: str, words: str
) -> None:
    order = node_order(as_of)
    assert order.status == status
    assert words in order.reason


def test_story_a9_database_class_executes_before_the_freeze() -> None:
    order = orders.db_order(CLASS, policy=POLICY, in_place=IN_PLACE, as_of=AUTUMN)
    assert order.in_place_by == dt.date(2026, 11, 1)
    assert order.latest_by == dt.date(2026, 10, 16)
    assert (order.status, order.count) == ("GREEN", 2)
    due = orders.db_order(CLASS, policy=POLICY, in_place=IN_PLACE, as_of=dt.date(2026, 10, 16))
    late = orders.db_order(CLASS, policy=POLICY, in_place=IN_PLACE, as_of=dt.date(2026, 10, 17))
    assert (due.status, late.status) == ("GREEN", "RED")
    assert "overdue" in late.reason


def test_without_a_day_the_class_changes_on_the_last_day_before_the_freeze() -> None:
    free = changed("db_class", execute=None)
    order = orders.db_order(CLASS, policy=free, in_place=IN_PLACE, as_of=AUTUMN)
    assert order.in_place_by == dt.date(2026, 11, 1)
    unfrozen = orders.db_order(CLASS, policy=OrdersPolicy(), in_place=IN_PLACE, as_of=AUTUMN)
    assert unfrozen.in_place_by == IN_PLACE


def test_adjoining_freezes_are_left_together() -> None:
    policy = OrdersPolicy.model_validate(
        {
            "freeze": [
                {"start": "2026-11-02", "end": "2026-12-01"},
                {"start": "2026-10-20", "end": "2026-11-02"},
            ]
        }
    )
    order = orders.db_order(CLASS, policy=policy, in_place=IN_PLACE, as_of=AUTUMN)
    assert order.in_place_by == dt.date(2026, 10, 19)


def test_story_a9_24_vcpu_are_too_few_to_reserve() -> None:
    small = NodeRequest("batch", "m6i.2xlarge", vcpu=8, today=3, required=6)
    order = node_order(request=small)
    assert order.action == "launch 3 more m6i.2xlarge for batch on demand"
    assert "a reservation of 24 vCPU is rejected: the smallest is 32 vCPU" in order.reason
    assert order.fallback.startswith("on demand")
    assert (order.status, order.recommended_by, order.latest_by) == ("AMBER", None, IN_PLACE)
    assert node_order(dt.date(2026, 11, 21), request=small).status == "RED"
    exact = NodeRequest("batch", "m6i.2xlarge", vcpu=8, today=3, required=7)
    assert node_order(request=exact).action.startswith("reserve 4")


def test_no_order_where_todays_nodes_suffice() -> None:
    enough = NodeRequest("general", "m6i.4xlarge", vcpu=16, today=90, required=90)
    assert orders.node_order(enough, policy=POLICY, in_place=IN_PLACE, as_of=AUTUMN) is None


def test_an_action_inside_the_freeze_needs_an_exemption_or_a_waiver() -> None:
    inside = changed("db_class", execute="2026-11-08")
    with pytest.raises(InputError, match=r"core-db.*inside the freeze from 2026-11-02"):
        orders.db_order(CLASS, policy=inside, in_place=IN_PLACE, as_of=AUTUMN)
    waived = changed("db_class", execute="2026-11-08", waiver="CAB-117, VP engineering")
    order = orders.db_order(CLASS, policy=waived, in_place=IN_PLACE, as_of=AUTUMN)
    assert "by waiver: CAB-117" in order.reason
    assert order.latest_by == dt.date(2026, 10, 23)


def test_reservations_are_exempt_and_the_order_says_so() -> None:
    assert (
        "inside the freeze from 2026-11-02, which exempts it (reservation)" in node_order().reason
    )
    strict = OrdersPolicy.model_validate(
        {"freeze": [{"start": "2026-11-02", "end": "2027-01-04", "exempt": []}]}
    )
    with pytest.raises(InputError, match=r"pools\.general.*reservation.*inside the freeze"):
        node_order(policy=strict)


def test_a_freeze_ends_before_its_end_day() -> None:
    policy = OrdersPolicy.model_validate(
        {"freeze": [{"start": "2026-11-02", "end": "2026-11-20", "exempt": []}]}
    )
    assert "freeze" not in node_order(policy=policy).reason


def test_a_class_change_after_the_in_place_date_is_refused() -> None:
    late = changed("db_class", execute="2026-11-21")
    with pytest.raises(InputError, match="no later than 2026-11-20"):
        orders.db_order(CLASS, policy=late, in_place=IN_PLACE, as_of=AUTUMN)


@pytest.mark.parametrize(
    ("execute", "notice", "expected"),
    [
        (dt.date(2026, 11, 1), 10, dt.date(2026, 10, 16)),  # Sunday; rolls back over a weekend
        (dt.date(2026, 11, 4), 2, dt.date(2026, 10, 30)),  # Wednesday: Tuesday, Monday between
        (dt.date(2026, 11, 6), 3, dt.date(2026, 11, 2)),
        (dt.date(2026, 11, 2), 1, dt.date(2026, 10, 29)),
        (dt.date(2026, 11, 1), 0, dt.date(2026, 10, 30)),
        (dt.date(2026, 11, 4), 0, dt.date(2026, 11, 4)),
    ],
)
def test_notice_counts_full_weekdays_strictly_between(
    execute: dt.date, notice: int, expected: dt.date
) -> None:
    assert orders.request_by(execute, notice_business_days=notice) == expected


def test_story_a6_quota_with_its_lead_time() -> None:
    bureau = QuotaRequest("credit-bureau", 80, 126, lead_days=42, fallback="shed 5 % of calls")
    order = orders.quota_order(bureau, in_place=IN_PLACE, as_of=AUTUMN)
    assert (order.from_value, order.to_value, order.count) == ("80", "126", None)
    assert order.latest_by == dt.date(2026, 10, 9)
    assert order.status == "GREEN"
    late = orders.quota_order(bureau, in_place=IN_PLACE, as_of=dt.date(2026, 10, 10))
    assert late.status == "RED"
    with pytest.raises(InputError, match="a higher quota"):
        orders.quota_order(
            QuotaRequest("credit-bureau", 80, 80, lead_days=1), in_place=IN_PLACE, as_of=AUTUMN
        )


def test_a_row_has_the_columns_of_the_frame_and_iso_dates() -> None:
    request = NodeRequest(
        "general", "m6i.4xlarge", 16, 24, 90, because="lose 1 zone", usd=Decimal("46531.58")
    )
    row = node_order(request=request).row()
    assert tuple(row) == orders.ORDER_COLUMNS
    assert (row["from"], row["to"], row["in_place_by"]) == ("24", "90", "2026-11-20")
    assert row["usd"] == Decimal("46531.58")
    assert str(row["reason"]).startswith("lose 1 zone; ")
    database = orders.db_order(CLASS, policy=POLICY, in_place=IN_PLACE, as_of=AUTUMN).row()
    assert (database["request_opens"], database["recommended_by"]) == ("", "")


def test_the_book_is_sorted_by_what_falls_due_first() -> None:
    database = orders.db_order(CLASS, policy=POLICY, in_place=IN_PLACE, as_of=AUTUMN)
    book = orders.order_book([node_order(), database])
    assert [order.id for order in book] == ["db_class:core-db", "nodes:general"]


def test_in_place_falls_back_to_the_season_and_refuses_an_absent_event() -> None:
    start = dt.date(2026, 11, 2)
    assert orders.in_place_by(OrdersPolicy(), event_date=None, season_start=start) == start
    with pytest.raises(InputError, match='"black_friday", which does not occur'):
        orders.in_place_by(POLICY, event_date=None, season_start=start)


@pytest.mark.parametrize(
    "data",
    [
        {"freeze": [{"start": "2026-11-02", "end": "2026-11-02"}]},
        {"freeze": [{"start": "2026-11-02", "end": "2026-11-09", "exempt": ["deploys"]}]},
        {"nodes": {"latest_days": 60}},
        {"nodes": {"min_vcpu": 0}},
        {"db_class": {"notice_business_days": -1}},
        {"node": {}},
    ],
)
def test_contradictory_rules_are_refused(data: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OrdersPolicy.model_validate(data)


@given(execute=st.dates(dt.date(2024, 1, 1), dt.date(2030, 1, 1)), notice=st.integers(0, 40))
def test_the_request_is_the_latest_weekday_that_leaves_the_notice(
    execute: dt.date, notice: int
) -> None:
    def between(day: dt.date) -> int:
        days = (execute - day).days
        return sum((day + dt.timedelta(days=i)).weekday() < 5 for i in range(1, days))

    day = orders.request_by(execute, notice_business_days=notice)
    assert day.weekday() < 5
    assert between(day) >= notice
    later = day + dt.timedelta(days=1)
    while later.weekday() >= 5:
        later += dt.timedelta(days=1)
    assert later > execute or between(later) < notice


@given(first=st.dates(dt.date(2026, 1, 1), dt.date(2027, 1, 1)), days=st.integers(0, 200))
def test_waiting_never_improves_a_status(first: dt.date, days: int) -> None:
    urgency = {"GREEN": 0, "AMBER": 1, "RED": 2}
    later = first + dt.timedelta(days=days)
    assert urgency[node_order(later).status] >= urgency[node_order(first).status]

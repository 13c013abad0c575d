from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from capmodel import orders
from capmodel.errors import InputError
from capmodel.orders import LEAD_TIMES, Freeze, OrdersPolicy, PublicHolidays, Waiver
from capmodel.orders.calendar import freeze_note

DAYS = st.dates(dt.date(2026, 1, 1), dt.date(2027, 12, 31))
FREEZE = {"start": "2026-11-02", "end": "2027-01-04"}


def rule(name: str) -> orders.LeadTime:
    return next(one for one in LEAD_TIMES if one.name == name)


# Counted on a calendar back from 2026-11-20 (in place) and 2026-11-27 (Black Friday).
@pytest.mark.parametrize(
    ("name", "stands", "opens", "recommended", "latest", "until"),
    [
        ("ec2_reservation", "2026-11-20", "2026-07-23", "2026-09-25", "2026-11-15", "2026-12-04"),
        ("db_reservation", "2026-11-20", "2026-07-23", None, "2026-11-15", "2026-12-04"),
        ("db_class", "2026-11-01", None, None, "2026-10-16", None),
        ("event_review", "2026-11-27", "2026-10-02", "2026-10-02", "2026-10-30", None),
        ("load_balancer_units", "2026-11-27", None, "2026-11-13", "2026-11-26", None),
        ("load_test", "2026-11-27", "2026-09-04", "2026-09-04", "2026-10-16", None),
        ("config", "2026-11-01", None, None, "2026-11-01", None),
        ("quota", "2026-11-20", None, None, "2026-11-20", None),
    ],
)
def test_the_built_in_rules(
    name: str, stands: str, opens: str | None, recommended: str | None, latest: str,
    until: str | None,
) -> None:  # fmt: skip
    found = orders.ask_dates(rule(name), dt.date.fromisoformat(stands))
    dates = [found.opens, found.recommended, found.latest, found.commit_until]
    assert [str(d) if d else None for d in dates] == [opens, recommended, latest, until]


def test_every_rule_says_who_says_so() -> None:
    assert len({one.name for one in LEAD_TIMES}) == len(LEAD_TIMES)
    assert all(one.source and one.as_of >= dt.date(2026, 1, 1) for one in LEAD_TIMES)
    assert {one.name for one in LEAD_TIMES if one.min_vcpu} == {"ec2_reservation", "db_reservation"}
    assert rule("db_reservation").per_zone


def test_the_sections_default_to_the_rules() -> None:
    policy = OrdersPolicy()
    assert [policy.lead(one.name) for one in LEAD_TIMES] == list(LEAD_TIMES)


def test_a_rule_and_its_section_are_one_thing() -> None:
    by_rule = OrdersPolicy.model_validate({"rules": {"ec2_reservation": {"min_vcpu": 64}}})
    by_section = OrdersPolicy.model_validate({"nodes": {"min_vcpu": 64}})
    assert by_rule.nodes == by_section.nodes
    assert by_section.lead("ec2_reservation").min_vcpu == 64
    assert by_section.lead("ec2_reservation").source == "the study"
    notice = OrdersPolicy.model_validate({"rules": {"db_class": {"latest_days": 5}}})
    assert notice.db_class.notice_business_days == 5
    again = OrdersPolicy.model_validate(by_rule.model_dump(mode="json"))
    assert again == by_rule


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            {"rules": {"ec2_reservation": {"min_vcpu": 64}}, "nodes": {"min_vcpu": 32}},
            r"rules\.ec2_reservation says 64, nodes\.min_vcpu 32: state it once",
        ),
        ({"rules": {"load_test": {"latest_days": 90}}}, "not in ascending order"),
        ({"rules": {"loadtest": {"latest_days": 9}}}, "loadtest"),
        ({"rules": {"config": {"hours": "2-4"}}}, "hours"),
        ({"waivers": [{"id": "CAB-1", "until": "2026-11-10", "reason": "x"}]}, "for nothing"),
        ({"waivers": [{"id": "CAB-1", "until": "2026-11-10", "actions": ["config"]}]}, "reason"),
        (
            {"declared": [{"id": "a", "rule": "quota", "item": "x", "action": "ask"}] * 2},
            "declared: a more than once",
        ),
        (
            {"fallbacks": {"a": {"action": "x", "by": "2026-11-02", "latest": "2026-11-01"}}},
            "latest 2026-11-01 is before by 2026-11-02",
        ),
        (
            {"placed": [{"id": "a", "state": "granted", "date": "2026-09-02"},
                        {"id": "a", "state": "requested", "date": "2026-09-03"}]},
            "a is requested on 2026-09-03 after granted on 2026-09-02",
        ),
        (
            {"placed": [{"id": "a", "state": "requested", "date": "2026-09-03"},
                        {"id": "a", "state": "granted", "date": "2026-09-02"}]},
            "a is granted on 2026-09-02 after requested on 2026-09-03",
        ),
        ({"placed": [{"id": "a", "state": "planned", "date": "2026-09-03"}]}, "state"),
        ({"release": {"every_days": 0}}, "every_days"),
    ],
)  # fmt: skip
def test_contradictions_are_refused(data: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        OrdersPolicy.model_validate(data)


def test_what_was_cancelled_may_be_asked_for_again() -> None:
    steps = [
        {"id": "a", "state": "requested", "date": "2026-09-01"},
        {"id": "a", "state": "cancelled", "date": "2026-09-05"},
        {"id": "a", "state": "requested", "date": "2026-09-09"},
    ]
    policy = OrdersPolicy.model_validate({"placed": steps})
    states = [orders.placed_at(policy, "a", dt.date(2026, 9, day)) for day in (1, 8, 9)]
    assert [one.state if one else None for one in states] == ["requested", "cancelled", "requested"]


def test_public_holidays_are_no_business_days_where_the_study_says_so() -> None:
    # Columbus Day is Monday 2026-10-12. Before Friday 10-16 lie 15, 14, 13, 12, 9 and then the 8th;
    # without the holiday 15, 14, 13, 9, 8 and then the 7th.
    off = PublicHolidays(country="US").between(dt.date(2026, 10, 1), dt.date(2026, 11, 1))
    assert dt.date(2026, 10, 12) in off
    plain = orders.request_by(dt.date(2026, 10, 16), notice_business_days=5)
    skipping = orders.request_by(dt.date(2026, 10, 16), notice_business_days=5, holidays=off)
    assert (str(plain), str(skipping)) == ("2026-10-08", "2026-10-07")
    policy = OrdersPolicy.model_validate({"holidays": {"country": "US"}})
    dates = orders.dates_of(policy, policy.lead("db_class"), dt.date(2026, 10, 18))
    # Ten weekdays before Sunday 10-18 without the 12th: 16 15 14 13 9 8 7 6 5 2; the day before.
    assert str(dates.latest) == "2026-10-01"
    assert str(orders.dates_of(OrdersPolicy(), rule("db_class"), dt.date(2026, 10, 18)).latest) == (
        "2026-10-02"
    )


def test_an_unknown_country_is_refused() -> None:
    with pytest.raises(InputError) as error:
        PublicHolidays(country="XX").between(dt.date(2026, 1, 1), dt.date(2026, 2, 1))
    [problem] = error.value.problems
    assert (problem.where, problem.got) == ("orders.holidays", "XX")
    assert "ISO codes" in problem.do


def test_a_window_of_weekdays_bounds_a_class_change() -> None:
    windows = {"freeze": [FREEZE], "rules": {"db_class": {"weekdays": ["wednesday"],
                                                          "hours": "02:00-04:00"}}}  # fmt: skip
    request = orders.DbRequest("core-db", "db.r6g.4xlarge", "db.r6g.8xlarge")
    when = {"in_place": dt.date(2026, 11, 20), "as_of": dt.date(2026, 9, 1)}
    order = orders.db_order(request, policy=OrdersPolicy.model_validate(windows), **when)
    assert str(order.in_place_by) == "2026-10-28"  # the last Wednesday before 11-02
    assert "window 02:00-04:00" in order.reason
    with pytest.raises(InputError, match=r"2026-11-01, a sunday; expected .*wednesday"):
        orders.db_order(
            request,
            policy=OrdersPolicy.model_validate(windows | {"db_class": {"execute": "2026-11-01"}}),
            **when,
        )


def test_a_waiver_holds_for_its_orders_until_its_day() -> None:
    freezes = [Freeze.model_validate(FREEZE)]
    waiver = Waiver(id="CAB-9", until=dt.date(2026, 11, 10), reason="tax rules", orders=("a",))

    def note(day: int, item: str) -> str:
        at = dt.date(2026, 11, day)
        return freeze_note(freezes, at, action="config", item=item, waivers=[waiver])

    assert note(1, "a") == ""
    assert "CAB-9 until 2026-11-10, tax rules" in note(10, "a")
    with pytest.raises(InputError, match="waiver CAB-9 ended on 2026-11-10"):
        note(11, "a")
    with pytest.raises(InputError, match=r"inside the freeze from 2026-11-02 to 2027-01-04;"):
        note(10, "b")


def test_every_freeze_has_to_let_it_through() -> None:
    freezes = [
        Freeze.model_validate(FREEZE),
        Freeze(start=dt.date(2026, 11, 15), end=dt.date(2026, 12, 1), exempt=()),
    ]
    inside_both, inside_one = dt.date(2026, 11, 20), dt.date(2026, 12, 2)
    assert "exempts it" in freeze_note(freezes, inside_one, action="reservation", item="a")
    with pytest.raises(InputError, match="freeze from 2026-11-15"):
        freeze_note(freezes, inside_both, action="reservation", item="a")


@given(day=DAYS, starts=st.lists(st.tuples(DAYS, st.integers(1, 60)), max_size=4))
def test_the_open_days_around_a_day_are_open_and_nearest(
    day: dt.date, starts: list[tuple[dt.date, int]]
) -> None:
    freezes = [Freeze(start=s, end=s + dt.timedelta(days=n)) for s, n in starts]

    def is_open(at: dt.date) -> bool:
        return not any(one.start <= at < one.end for one in freezes)

    before = orders.last_open_day(freezes, day, action="config")
    after = orders.first_open_day(freezes, day, action="config")
    assert is_open(before)
    assert is_open(after)
    between = range(1, (after - before).days)
    assert not any(is_open(before + dt.timedelta(days=i)) for i in between) or before == after


@given(stands=DAYS, off=st.sets(DAYS, max_size=20), days=st.integers(0, 15))
def test_holidays_only_ever_move_a_request_forward(
    stands: dt.date, off: set[dt.date], days: int
) -> None:
    plain = orders.request_by(stands, notice_business_days=days)
    moved = orders.request_by(stands, notice_business_days=days, holidays=off)
    assert moved <= plain
    assert moved not in off
    assert moved.weekday() < 5

"""Load tests as evidence for the plan: what each must show, and whether it still counts."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from capmodel.capacity.risk import mixture_value
from capmodel.errors import InputError, Problem, nearest
from capmodel.orders import LoadTest, dates_of, load_test_evidence, load_test_target
from capmodel.plan.calendar_yoy import calendar_yoy_frame

if TYPE_CHECKING:
    from capmodel.plan.make import Solved

__all__ = ["LOAD_TEST_COLUMNS", "load_tests_frame"]

LOAD_TEST_COLUMNS: Final = [
    "service", "tier", "target_rps", "target_is", "achieved_rps", "date", "build", "current_build",
    "result", "status", "stale_because", "retest_by",
]  # fmt: skip


def load_tests_frame(solved: Solved, *, event: dt.date) -> pd.DataFrame:
    """Return each tested service's target, its newest test and whether that still counts.

    Services of the strictest tier without a test stand beside them, GREY. Last year's peak is the
    test's own `last_peak_rps`, else the likeliest scenario's P50 peak over what its roots grew on
    comparable days. Without any test the frame is empty: nothing is claimed.

    Raises
    ------
    InputError
        For a test of an unknown service, or one after `as_of`.
    """
    policy, as_of = solved.request.orders, solved.request.as_of
    tests = policy.load_tests
    _check(solved, tests)
    if not tests:
        return pd.DataFrame(columns=LOAD_TEST_COLUMNS)
    newest = {t.service: t for t in sorted(tests, key=lambda test: test.date)}
    topology = solved.estate.topology
    strictest = min(topology.tier_of(name) for name in topology.services)
    retest = dates_of(policy, policy.lead("load_test"), event).latest
    growth = _growth(solved)
    rows: list[dict[str, Any]] = []
    for name in topology.services:
        tier, test = topology.tier_of(name), newest.get(name)
        if test is None and tier > strictest:
            continue
        last = math.nan if test is None or test.last_peak_rps is None else test.last_peak_rps
        forecast = mixture_value(
            solved.needs.load_peak[name], policy.load_test.quantile, solved.request.weights
        )
        target, decided = load_test_target(
            last_peak_rps=_last_peak(solved, name, growth) if math.isnan(last) else last,
            forecast_rps=forecast,
            policy=policy.load_test,
        )
        found = load_test_evidence(test, target_rps=target, as_of=as_of, policy=policy.load_test)
        rows.append(
            {
                "service": name, "tier": tier, "target_rps": target, "target_is": decided,
                "achieved_rps": math.nan if test is None else test.achieved_rps,
                "date": "" if test is None else test.date.isoformat(),
                "build": "" if test is None else test.build,
                "current_build": "" if test is None else test.current_build or test.build,
                "result": found.result, "status": found.status,
                "stale_because": found.stale_because,
                "retest_by": "" if found.result == "verified" else retest.isoformat(),
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=LOAD_TEST_COLUMNS)


def _check(solved: Solved, tests: tuple[LoadTest, ...]) -> None:
    services, as_of = solved.estate.topology.services, solved.request.as_of
    problems = []
    for test in tests:
        where = f"orders.load_tests.{test.service}"
        if test.service not in services:
            close = nearest(test.service, services)
            do = f'Did you mean "{close}"?' if close else "Correct the name."
            expected = f"one of: {', '.join(sorted(services))}"
            problems.append(Problem(where, f'unknown service "{test.service}"', expected, do))
        if test.date > as_of:
            expected = f"a day up to as_of, {as_of}: a test that was run"
            problems.append(Problem(where, f"a test on {test.date}", expected, "Correct the date."))
    if problems:
        raise InputError(problems)


def _growth(solved: Solved) -> dict[tuple[str, str], float]:
    """Return by (driver, window) what the likeliest scenario's days are to last year's."""
    frame = calendar_yoy_frame(solved)
    main = solved.request.names[int(np.argmax(solved.request.weights))]
    rows = frame[frame["scenario"] == main]
    return {
        (str(r["driver"]), str(r["window"])): float(r["over_actual_x"])
        for r in rows.to_dict("records")
    }


def _last_peak(solved: Solved, name: str, growth: dict[tuple[str, str], float]) -> float:
    """Return last year's busiest minute of a service as its roots' growth implies; nan: unknown.

    With several roots the smallest growth decides, which gives the larger peak of last year.
    """
    scenario = int(np.argmax(solved.request.weights))
    days = np.median(solved.season_loads[scenario].day_peak(name), axis=0)
    at = int(days.argmax())
    day = solved.request.season_start + at * dt.timedelta(days=1)
    windows = [*(e.name for e in solved.fit.events.on(day)), f"{day:%Y-%m}"]
    grown = []
    for root in solved.estate.topology.roots_of(name):
        found = [growth[root, w] for w in windows if (root, w) in growth]
        if not found:
            return math.nan
        grown.append(found[0])
    return float(days[at]) / min(grown) if grown else math.nan

"""Load tests as evidence: what a service has shown, and whether that still counts.

This module answers: which rate must a load test of a service reach, has one reached it, and is it
stale, because the build is another one, the target has grown or the test is old?
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from capmodel.orders.spec import Spec

if TYPE_CHECKING:
    from capmodel.schema import Status

__all__ = [
    "Evidence",
    "LoadTest",
    "LoadTestPolicy",
    "load_test_evidence",
    "load_test_target",
]


class LoadTest(Spec):
    """One load test of a service."""

    service: str
    date: dt.date
    achieved_rps: Annotated[float, Field(gt=0)]
    """Rate that was held within the service's objectives [1/s]."""
    build: Annotated[str, Field(min_length=1)]
    """What was tested."""
    current_build: str | None = None
    """What runs now; None: the build that was tested."""
    target_rps: Annotated[float, Field(gt=0)] | None = None
    """What the test was to show at the time; None: what it achieved [1/s]."""
    last_peak_rps: Annotated[float, Field(gt=0)] | None = None
    """Busiest minute of last year; None: what the forecast's growth implies [1/s]."""
    max_age_days: Annotated[int, Field(ge=1)] = 90
    """Older tests are stale [days]."""


class LoadTestPolicy(Spec):
    """What a load test has to show: the larger of a multiple of last year and a forecast."""

    last_peak_x: Annotated[float, Field(ge=1)] = 1.5
    """Multiple of last year's peak [ratio]; 1.5 is what Shopify rehearses."""
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Quantile of the season's peak, of the mixture [ratio]."""
    growth_x: Annotated[float, Field(ge=1)] = 1.10
    """A target that grew by more than this since the test makes it stale [ratio]."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a service's newest load test says about its target."""

    result: Literal["verified", "short", "stale", "missing"]
    status: Status
    stale_because: str = ""


def load_test_target(
    *, last_peak_rps: float, forecast_rps: float, policy: LoadTestPolicy
) -> tuple[float, str]:
    """Return the rate that a load test has to reach, and what decides it.

    Formula: ``max(last_peak_x * last year's peak, forecast quantile)``; where last year is not
    known (nan), the forecast alone.

    Parameters
    ----------
    last_peak_rps
        Busiest minute of last year [1/s], nan where not known.
    forecast_rps
        The policy's quantile of the season's peak [1/s].
    policy
        The multiple.

    Examples
    --------
    >>> load_test_target(last_peak_rps=320.0, forecast_rps=400.0, policy=LoadTestPolicy())
    (480.0, "1.5 x last year's peak")
    """
    last = policy.last_peak_x * last_peak_rps
    if math.isfinite(last) and last > forecast_rps:
        return last, f"{policy.last_peak_x:g} x last year's peak"
    unknown = "" if math.isfinite(last) else "; last year's peak is not known"
    return forecast_rps, f"P{100 * policy.quantile:g} of the season's peak{unknown}"


def load_test_evidence(
    test: LoadTest | None, *, target_rps: float, as_of: dt.date, policy: LoadTestPolicy
) -> Evidence:
    """Return whether a service's test counts for a target on a date.

    GREEN: reached and fresh. AMBER: stale, whatever it reached. RED: fresh, and short of the
    target. GREY: no test.

    Examples
    --------
    >>> test = LoadTest(
    ...     service="api",
    ...     date=dt.date(2026, 9, 1),
    ...     achieved_rps=450,
    ...     build="r41",
    ...     current_build="r42",
    ... )
    >>> found = load_test_evidence(
    ...     test, target_rps=440, as_of=dt.date(2026, 9, 21), policy=LoadTestPolicy()
    ... )
    >>> found.result, found.status, found.stale_because
    ('stale', 'AMBER', 'the build is r42, r41 was tested')
    """
    if test is None:
        return Evidence("missing", "GREY")
    reasons = []
    if test.current_build is not None and test.current_build != test.build:
        reasons.append(f"the build is {test.current_build}, {test.build} was tested")
    was = test.target_rps if test.target_rps is not None else test.achieved_rps
    if target_rps > was * policy.growth_x * (1 + 1e-12):
        reasons.append(f"the target grew by {target_rps / was - 1:.1%}, from {was:g} rps")
    age = (as_of - test.date).days
    if age > test.max_age_days:
        reasons.append(f"it is {age} days old, {test.max_age_days} at most")
    if reasons:
        return Evidence("stale", "AMBER", "; ".join(reasons))
    short = test.achieved_rps < target_rps * (1 - 1e-12)
    return Evidence("short", "RED") if short else Evidence("verified", "GREEN")

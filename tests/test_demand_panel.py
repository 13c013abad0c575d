"""What the model is given: shed load added, lower bounds marked, daily means spread out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from demand_worlds import TZ, calendar, history_of, planted

from capmodel.demand import Batched
from capmodel.demand.panel import read_panel
from capmodel.history import History, local_cube

if TYPE_CHECKING:
    import pandas as pd

CAPACITY = 12_000.0
"""What the shop could serve [1/min]: Cyber Monday's evening asked for twice as much."""


@pytest.fixture(scope="module")
def offered():
    return planted("2024-03-01", "2026-06-01", noise=0.02, seed=3)


def served(offered: pd.Series, *, tag: bool = False, shed: bool = False) -> History:
    """Return the history of a shop that served at most its capacity in the last season."""
    late = offered.index >= "2025-11-01"
    over = late & (offered > CAPACITY).to_numpy()
    plain = history_of({"checkouts": offered.where(~over, CAPACITY)})
    values = dict(plain.values)
    if shed:
        values["shed_per_min", ""] = np.where(over, offered - CAPACITY, 0.0)[None]
    return replace(plain, values=values, tags={"saturated": over[None]} if tag else {})


def lift(history: History) -> dict[str, Any]:
    """Return the row of Cyber Monday."""
    table = Batched().fit(history, events=calendar()).lifts().set_index("event")
    return {str(key): value for key, value in table.loc["cyber_monday"].items()}


@pytest.mark.slow
def test_saturated_hours_are_lower_bounds(offered):
    """A season cut off at capacity: taken as measured it hides a third of the lift."""
    true = lift(history_of({"checkouts": offered}))["lift_x"]
    measured = lift(served(offered))
    censored = lift(served(offered, tag=True))
    assert measured["lift_x"] < 0.88 * true
    assert measured["basis"] == "fitted"
    assert censored["lift_x"] > measured["lift_x"] * 1.05
    assert censored["lift_x"] == pytest.approx(true, rel=0.1)
    assert censored["basis"] == "censored"


def test_counted_shed_load_is_demand(offered):
    true = lift(history_of({"checkouts": offered}))
    counted = lift(served(offered, tag=True, shed=True))
    assert counted["lift_x"] == pytest.approx(true["lift_x"], rel=1e-9)
    assert counted["basis"] == "fitted"


def test_lower_bounds_are_named(offered):
    panel = read_panel(served(offered, tag=True))
    (note,) = [n for n in panel.notes if n.code == "censored"]
    assert "checkouts" in note.message
    assert "shed_per_min" in note.message
    assert panel.censored is not None
    assert panel.censored.sum() == note.data["steps"]
    counted = read_panel(served(offered, tag=True, shed=True))
    assert counted.censored is not None
    assert not counted.censored.any()


def test_forecasts_of_a_censored_season_say_so(offered):
    fit = Batched().fit(served(offered, tag=True), events=calendar())
    (root,) = fit.roots(["checkouts"], "2026-11-20", "2026-12-03", draws=20)
    assert root.basis == "censored"
    (quiet,) = fit.roots(["checkouts"], "2026-06-02", "2026-06-10", draws=20)
    assert quiet.basis == "fitted"


def test_daily_means_are_forecast_by_the_day(offered):
    start = offered.index[0].tz_localize(None).to_datetime64()
    dates, cube = local_cube(offered.to_numpy()[None], start=start, tz=TZ)
    daily = History(
        services=("checkouts",),
        start=dates[1].astype("datetime64[s]"),
        step_min=1440,
        values={("per_min", ""): np.nanmean(cube, axis=1)[1:-1].T},
        tags={},
        business_tz=TZ,
    )
    fit = Batched().fit(daily, events=calendar())
    assert "daily_only" in fit.findings.codes
    hourly = Batched().fit(history_of({"checkouts": offered}), events=calendar())
    horizon = ("2026-11-20", "2026-12-03")
    by_day, by_hour = (
        np.median(f.forecast(*horizon, draws=200).paths("checkouts").mean(axis=2), axis=0)
        for f in (fit, hourly)
    )
    np.testing.assert_allclose(by_day, by_hour, rtol=0.06)
    flat = fit.forecast(*horizon, draws=20).paths("checkouts")
    np.testing.assert_allclose(flat, np.repeat(flat[:, :, :1], 24, axis=2), rtol=1e-6)

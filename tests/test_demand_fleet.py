"""Fleets from arrays: the plan's model in single precision, bands, late births, appended weeks."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from demand_worlds import TZ, calendar, history_of, planted

from capmodel.demand import Batched
from capmodel.demand.cohort import Cohort
from capmodel.errors import InputError
from capmodel.history import local_cube

QUANTILES = (0.05, 0.5, 0.9, 0.95)


def by_local_hour(series: pd.Series) -> np.ndarray:
    """Return a UTC series as whole local days, shape (hours,)."""
    start = series.index[0].tz_localize(None).to_datetime64()
    _, cube = local_cube(series.to_numpy()[None], start=start, tz=TZ)
    return cube[1:-1, :, 0].ravel()  # the first and last local day are partial


@pytest.fixture(scope="module")
def world():
    """Five services over two years, one with gaps in a week, one born late, one younger still."""
    names = ("api", "books", "cart", "late", "young")
    series = {
        name: planted("2024-03-01", "2026-03-01", seed=i, noise=0.08, level=10.0 ** (i + 1))
        for i, name in enumerate(names)
    }
    rows = np.stack([by_local_hour(series[name]) for name in names])
    rows[1, 3000:3100] = np.nan
    rows[3, : 200 * 24] = np.nan
    rows[4, : 500 * 24] = np.nan
    return names, rows


@pytest.fixture(scope="module")
def fit(world):
    names, rows = world
    return Batched().fit_fleet(
        rows, start="2024-03-01", business_tz=TZ, events=calendar(), quantiles=QUANTILES,
        services=names,
    )  # fmt: skip


@pytest.mark.slow
def test_medians_are_those_of_the_plans_model(world):
    names, rows = world
    index = pd.date_range("2024-03-01", periods=rows.shape[1], freq="h", tz="UTC")
    series = {name: pd.Series(row, index=index) for name, row in zip(names, rows, strict=True)}
    history = history_of(series)
    plan = Batched().fit(
        type(history)(
            services=history.services, start=history.start, step_min=60, values=history.values,
            tags={}, business_tz="UTC",
        ),
        events=calendar(),
    )  # fmt: skip
    fleet = Batched().fit_fleet(
        rows, start="2024-03-01", business_tz="UTC", events=calendar(), services=names
    )
    forecast = fleet.forecast(60)
    for s, name in enumerate(names):
        cohort, column = plan.locate(name)
        assert isinstance(cohort, Cohort)
        dates = fleet.end + np.arange(60)
        z = cohort.quiet_log(cohort.design.rows(dates))[:, :, column]
        expected = (np.exp(z) - 0.01) * cohort.scale.mean[column]
        ordinary = np.array([not n for n in _names(dates)])
        got = forecast.values[0, s].reshape(60, 24)
        # The bands' middle holds the median residual too: small against the noise of 8 %.
        np.testing.assert_allclose(got[ordinary], expected[ordinary], rtol=0.02)


def _names(dates):
    from capmodel.demand.design import event_names_on

    return event_names_on(calendar(), dates)


def test_bands_are_ordered_and_cover_what_comes(world, fit):
    names, _ = world
    forecast = fit.forecast(90)
    assert forecast.values.shape[:2] == (4, 5)
    assert (np.diff(forecast.values, axis=0) >= 0).all()
    truth = np.stack(
        [
            planted("2026-02-27", "2026-06-01", seed=50 + i, noise=0.08, level=10.0 ** (i + 1))
            for i in range(len(names))
        ]
    )
    index = pd.date_range("2026-02-27", "2026-06-01", freq="h", tz="UTC", inclusive="left")
    at = index.get_indexer(pd.DatetimeIndex(forecast.time, tz="UTC"))
    covered = (truth[:3, at] <= forecast.values[:, :3]).mean(axis=(1, 2))
    assert covered[0] < 0.15
    assert covered[1] == pytest.approx(0.5, abs=0.2)
    assert covered[3] > 0.9


def test_hours_are_the_clocks_of_the_zone(fit):
    """90 days from the last of February hold the hour that the spring change skips."""
    forecast = fit.forecast(90)
    assert len(forecast.time) == 90 * 24 - 1
    assert np.unique(np.diff(forecast.time)).tolist() == [np.timedelta64(3600, "s")]
    local = pd.DatetimeIndex(forecast.time, tz="UTC").tz_convert(TZ)
    assert local[0].hour == 0
    assert local[-1].hour == 23
    frame = forecast.to_frame()
    assert list(frame.columns) == ["service", "time", "p5", "p50", "p90", "p95"]
    assert len(frame) == 5 * len(forecast.time)


def test_blocks_of_any_size_and_threads_give_the_same(world, fit):
    names, rows = world
    again = Batched().fit_fleet(
        iter([rows[:2], rows[2:]]), start="2024-03-01", business_tz=TZ, events=calendar(),
        quantiles=QUANTILES, services=names, workers=2,
    )  # fmt: skip
    np.testing.assert_allclose(again.forecast(30).values, fit.forecast(30).values, rtol=2e-4)


def test_the_young_borrow_the_shape_of_the_year(fit):
    blocks = {name: block for block in fit.blocks for name in block.services}
    assert blocks["young"].is_borrowing
    assert not blocks["late"].is_borrowing
    assert blocks["young"].design.n_days < 400 < blocks["late"].design.n_days


@pytest.mark.slow
def test_appending_weeks_is_nearly_fitting_them(world):
    names, rows = world
    cut = rows.shape[1] - 14 * 24
    fit_fleet = partial(
        Batched().fit_fleet,
        start="2024-03-01",
        business_tz=TZ,
        events=calendar(),
        services=names,
    )
    before = fit_fleet(rows[:, :cut])
    grown = before.append(rows[:, cut : cut + 7 * 24], days=7).append(
        rows[:, cut + 7 * 24 :], days=7
    )
    whole = fit_fleet(rows)
    assert grown.end == whole.end
    assert grown.appended_days == 14
    medians = [f.forecast(28).values[0] for f in (before, grown, whole)]
    np.testing.assert_allclose(medians[1], medians[2], rtol=0.05)
    # Learned from the new weeks: 30 % more demand in them lifts what comes.
    more = before.append(1.3 * rows[:, cut:], days=14).forecast(28).values[0]
    assert (more / medians[1]).mean() > 1.08


def test_bad_rows_are_set_aside_and_the_others_go_on(world, fit):
    names, rows = world
    bad = np.concatenate([rows, rows[:5]])
    bad[5] = np.nan
    bad[6, 17] = np.inf
    bad[7, 17] = -1
    bad[8] = 0
    bad[9, : -10 * 24] = np.nan
    found = Batched().fit_fleet(
        bad, start="2024-03-01", business_tz=TZ, events=calendar(), quantiles=QUANTILES,
        services=[*names, "empty", "endless", "minus", "zero", "new"],
    )  # fmt: skip
    codes = {f.service: f.code for f in found.findings}
    assert codes == {
        "empty": "all_nan",
        "endless": "infinite",
        "minus": "negative",
        "zero": "constant_zero",
        "new": "too_short",
    }
    forecast = found.forecast(10)
    assert np.isnan(forecast.values[:, 5:]).all()
    np.testing.assert_allclose(forecast.values[:, :5], fit.forecast(10).values, rtol=2e-4)
    assert forecast.to_frame()["service"].nunique() == 5


@pytest.mark.slow
def test_wrong_calls_say_what_to_do(world, fit):
    names, rows = world
    fit_fleet = partial(Batched().fit_fleet, start="2024-03-01", business_tz=TZ, events=calendar())
    with pytest.raises(InputError, match="whole local days"):
        fit_fleet(rows[:, :-1])
    with pytest.raises(InputError, match=r"probabilities inside \(0, 1\)"):
        fit_fleet(rows, quantiles=(0.5, 1.0))
    with pytest.raises(InputError, match="2 names for 5 rows"):
        fit_fleet(rows, services=["a", "b"])
    with pytest.raises(InputError, match=r"service_0.*no demand was observed"):
        fit_fleet(rows[:1] * np.nan)
    with pytest.raises(InputError, match="the length of the history"):
        fit.forecast(2000)
    with pytest.raises(InputError, match="28 or fewer"):
        fit.append(rows[:, -35 * 24 :], days=35)
    with pytest.raises(InputError, match=r"shape \(5, 168\)"):
        fit.append(rows[:, :24], days=7)
    events = calendar().add("launch", "2026-03-20")
    fresh = Batched().fit_fleet(
        rows, start="2024-03-01", business_tz=TZ, events=events, services=names
    )
    with pytest.raises(InputError, match=r"launch on 2026-03-20.*no service has seen"):
        fresh.forecast(60)
    lifted = fresh.forecast(60, lifts={"launch": 2.0}).values[0, 0]
    plain = fit.forecast(60).values[1, 0]
    local = pd.DatetimeIndex(fit.forecast(60).time, tz="UTC").tz_convert(TZ)
    on = local.strftime("%Y-%m-%d") == "2026-03-20"
    assert lifted[on].sum() / plain[on].sum() == pytest.approx(2.0, rel=0.02)

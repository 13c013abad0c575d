"""Windowed events: planted sales of a few hours, found in their hours and nowhere else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from demand_worlds import LIFTS, TZ, history_of, planted
from scipy.stats import t

from capmodel.demand import Batched, DemandFit, GivenDemand
from capmodel.demand.effects import EventEffect
from capmodel.demand.event_columns import WindowDay
from capmodel.demand.uncertainty import event_spread
from capmodel.demand.windows import unknown_windows
from capmodel.errors import InputError
from capmodel.events import Events
from capmodel.history import local_cube

SPAN = ("2024-06-01", "2026-06-01")
SALES = (("2025-02-20T18:00", "2025-02-20T22:00"), ("2025-10-16T18:00", "2025-10-16T22:00"))
"""A Thursday in February and one in October."""
SHAPE = np.array([2.6, 2.0, 1.7, 1.7])
"""Multiples of normal in the four hours of a sale: most come at once."""


def sold(series: pd.Series, start: str, end: str, shape: np.ndarray = SHAPE) -> pd.Series:
    """Return the series with a sale in these local hours."""
    hours = pd.date_range(start, end, freq="h", tz=TZ, inclusive="left")
    return series * pd.Series(shape[: len(hours)], index=hours).reindex(series.index).fillna(1.0)


def world(*sales: tuple[str, str], seed: int = 0, lifts=None, noise: float = 0.02) -> pd.Series:
    series = planted(*SPAN, seed=seed, lifts=lifts or {}, noise=noise)
    for start, end in sales:
        series = sold(series, start, end)
    return series


def calendar(*sales: tuple[str, str], base: Events | None = None) -> Events:
    events = Events.none() if base is None else base
    for start, end in sales:
        events = events.add("flash_sale", start, end=end, tag="flash")
    return events


def black_fridays() -> Events:
    days = Events.us_retail(2023, 2026)
    return Events(tuple(day for day in days if day.name == "black_friday"))


def effect_of(fit: DemandFit, service: str, event: str = "flash_sale") -> EventEffect:
    effect = fit.effect(service, event)
    assert effect is not None
    return effect


def _median(fit: DemandFit, date: str) -> np.ndarray:
    end = str(np.datetime64(date) + 1)
    paths = fit.forecast(date, end, draws=400, seed=1).paths("a")
    return np.asarray(np.median(paths[:, 0], axis=0))


@pytest.fixture(scope="module")
def fit():
    """Return the fit of two sales, with two more to come: one at its hour, one before noon."""
    coming = (("2026-07-16T18:00", "2026-07-16T22:00"), ("2026-07-23T09:00", "2026-07-23T13:00"))
    return Batched().fit(history_of({"a": world(*SALES)}), events=calendar(*SALES, *coming))


def test_an_evening_sale_is_found_in_its_hours_and_nowhere_else(fit):
    (row,) = fit.lifts().to_dict("records")
    truth = planted(*SPAN, lifts={}, noise=0.0)
    day = truth.tz_convert(TZ)["2025-10-16"]
    assert row["n_events"] == 2
    evening = day.iloc[18:22]
    assert row["window_lift_x"] == pytest.approx((evening * SHAPE).sum() / evening.sum(), rel=0.02)
    assert row["lift_x"] == pytest.approx(
        sold(truth, *SALES[1]).tz_convert(TZ)["2025-10-16"].sum() / day.sum(), rel=0.02
    )
    effect = effect_of(fit, "a")
    hours = effect.hours(18, 22)
    np.testing.assert_allclose(np.exp(hours[18:22]), SHAPE, rtol=0.03)
    assert not hours[:18].any()
    assert not hours[22:].any()


def test_the_interval_of_the_day_is_that_of_its_hours(fit):
    (row,) = fit.lifts().to_dict("records")
    effect = effect_of(fit, "a")
    share = (row["lift_x"] - 1) / (row["window_lift_x"] - 1)  # of the window in an ordinary day
    width = t.ppf(0.9, effect.shock_df) * np.hypot(effect.shock_sd, effect.coefficient_sd)
    for column, x in (("lift_p10", np.exp(-width)), ("lift_p90", np.exp(width))):
        assert row[column] == pytest.approx(1 + share * (row["window_lift_x"] * x - 1))


def test_a_sale_to_come_has_its_shape_at_its_own_hours(fit):
    """Two Thursdays in July, one with a sale at 18:00, one with it at 09:00; both from evenings."""
    truth = planted("2026-07-01", "2026-08-01", lifts={}, noise=0.0).tz_convert(TZ)
    for date, first in (("2026-07-16", 18), ("2026-07-23", 9)):
        found = _median(fit, date) / truth[date].to_numpy()
        around = np.r_[0:first, first + 4 : 24]
        level = np.median(found[around])
        assert level == pytest.approx(1, abs=0.08)
        np.testing.assert_allclose(found[first : first + 4] / level, SHAPE, rtol=0.06)
        np.testing.assert_allclose(found[around] / level, 1, rtol=0.05)


def test_luck_strikes_the_hours_of_the_sale_alone(fit):
    (root,) = fit.roots(["a"], "2026-07-15", "2026-07-25", draws=2000, seed=3)
    assert root.event[1] == "flash_sale"
    assert not root.shock.any()  # of whole days
    (first, second) = root.windows
    assert (first.day, first.start_slot, first.end_slot) == (1, 18, 22)
    assert root.lift_x[1] == first.lift_x
    spread = np.log(root.shape).std(axis=0)
    inside, outside = spread[1, 18:22], spread[1, 8:17]
    expected = np.hypot(first.shock_sd, first.coefficient_sd)
    assert (inside > 0.9 * expected).all()
    assert (outside < 0.5 * expected).all()
    # Both sales of one year share its luck.
    shocks = np.log(root.shape[:, 1, 20]), np.log(root.shape[:, 8, 11])
    assert np.corrcoef(*shocks)[0, 1] > 0.8
    assert second.luck == first.luck == "flash_sale 2026"


def test_a_window_across_midnight_has_an_effect_on_each_side():
    nights = (("2025-02-20T22:00", "2025-02-21T02:00"), ("2025-10-16T22:00", "2025-10-17T02:00"))
    fit = Batched().fit(history_of({"a": world(*nights)}), events=calendar(*nights))
    lifts = fit.lifts().set_index("event")
    assert lifts.index.tolist() == ["flash_sale", "flash_sale_day_2"]
    before, after = effect_of(fit, "a"), effect_of(fit, "a", "flash_sale_day_2")
    np.testing.assert_allclose(np.exp(before.hours(22, 24)[22:]), SHAPE[:2], rtol=0.04)
    np.testing.assert_allclose(np.exp(after.hours(0, 2)[:2]), SHAPE[2:], rtol=0.04)


def test_a_day_with_an_event_and_a_window_has_both():
    """Black Friday with a sale in its evening in 2024, without one in 2025, with one to come."""
    lifts = {"black_friday": LIFTS["black_friday"]}
    on_black_friday = ("2024-11-29T18:00", "2024-11-29T22:00")
    sales = (on_black_friday, *SALES)
    events = calendar(*sales, ("2026-11-27T18:00", "2026-11-27T22:00"), base=black_fridays())
    fit = Batched().fit(history_of({"a": world(*sales, lifts=lifts)}), events=events)
    found = fit.lifts().set_index("event")
    assert found["n_events"].to_dict() == {"black_friday": 2, "flash_sale": 3}
    assert found.loc["black_friday", "lift_x"] == pytest.approx(4.0, rel=0.04)
    hours = effect_of(fit, "a").hours(18, 22)[18:22]
    np.testing.assert_allclose(np.exp(hours), SHAPE, rtol=0.04)
    (root,) = fit.roots(["a"], "2026-11-27", "2026-11-28", draws=400, seed=1)
    assert root.event == ("black_friday",)
    assert root.lift_x[0] == pytest.approx(4.0, rel=0.05)  # Black Friday's own
    assert root.windows[0].lift_x == pytest.approx(SHAPE.mean(), rel=0.06)
    plain = planted("2026-11-27", "2026-11-29", lifts=lifts, noise=0.0).tz_convert(TZ)
    expected = sold(plain, "2026-11-27T18:00", "2026-11-27T22:00")["2026-11-27"].to_numpy()
    got = np.median(root.shape[:, 0], axis=0)
    scale = np.median(got / expected)
    np.testing.assert_allclose(got[8:] / scale, expected[8:], rtol=0.09)


def test_a_sale_never_seen_needs_a_lift_and_that_is_of_its_hours():
    coming = ("2026-06-18T18:00", "2026-06-18T22:00")
    fit = Batched().fit(history_of({"a": world()}), events=calendar(coming))
    horizon = ("2026-06-17", "2026-06-20")
    with pytest.raises(InputError, match=r"flash_sale on 2026-06-18: got an event.*assumed lift"):
        fit.roots(["a"], *horizon, draws=50)
    assert not fit.has_precedents("a", *horizon)
    one, two = (
        fit.roots(["a"], *horizon, lifts={"flash_sale": {"a": x}}, draws=50)[0] for x in (1.0, 2.5)
    )
    assert two.basis == "assumed"
    assert two.lift_x.tolist() == [1.0, 2.5, 1.0]
    ratio = two.shape / one.shape
    np.testing.assert_allclose(ratio[:, 1, 18:22], 2.5)
    np.testing.assert_allclose(np.delete(ratio.reshape(50, 72), np.r_[42:46], axis=1), 1.0)


def test_an_assumed_lift_replaces_a_fitted_one_in_its_hours(fit):
    own, assumed = (
        fit.roots(["a"], "2026-07-15", "2026-07-18", lifts=lifts, draws=50)[0]
        for lifts in ({}, {"flash_sale": {"a": 3.0}})
    )
    ratio = assumed.shape / own.shape
    np.testing.assert_allclose(ratio[:, 1, 18:22], 3.0 / own.windows[0].lift_x)
    np.testing.assert_allclose(np.delete(ratio.reshape(50, 72), np.r_[42:46], axis=1), 1.0)


def test_hours_beside_a_weekly_sale_are_ordinary():
    """A sale every Thursday evening: glitches at Thursday noon are pulled in, its noise is kept."""
    thursdays = pd.date_range("2025-01-02", "2026-05-28", freq="7D").strftime("%Y-%m-%d")
    sales = tuple((f"{day}T18:00", f"{day}T22:00") for day in thursdays)
    series = world(*sales)
    glitches = pd.DatetimeIndex([f"{day}T12:00" for day in thursdays[5:60:9]], tz=TZ)
    broken = series.copy()
    broken[glitches] *= 20
    events = calendar(*sales)
    fits = [Batched().fit(history_of({"a": one}), events=events) for one in (series, broken)]
    forecasts = [fit.forecast("2026-06-04", "2026-06-05", draws=200, seed=1) for fit in fits]
    before, after = (np.median(f.paths("a")[:, 0, 12]) for f in forecasts)
    assert after == pytest.approx(before, rel=0.02)  # unclipped: 20 % more
    for fit in fits:
        hours = effect_of(fit, "a").hours(18, 22)[18:22]
        np.testing.assert_allclose(np.exp(hours), SHAPE, rtol=0.04)
    cohort = fits[0].cohorts[0]
    weekday = (fits[0].dates[-len(cohort.residual) :].astype(int) + 3) % 7
    noise = [cohort.residual[weekday == day][-50:, :17, 0].std() for day in (2, 3)]
    assert noise[1] == pytest.approx(noise[0], rel=0.3)


def test_a_gap_in_a_window_is_solved_for():
    """Half of one sale was not observed: what was decides, with the other sale."""
    series = world(*SALES)
    series[pd.date_range("2025-10-16T18:00", periods=2, freq="h", tz=TZ)] = np.nan
    fit = Batched().fit(history_of({"a": series}), events=calendar(*SALES))
    effect = effect_of(fit, "a")
    assert effect.n_events == 2
    np.testing.assert_allclose(np.exp(effect.hours(18, 22)[18:22]), SHAPE, rtol=0.05)
    series[pd.date_range("2025-10-16T18:00", periods=3, freq="h", tz=TZ)] = np.nan
    fewer = Batched().fit(history_of({"a": series}), events=calendar(*SALES))
    assert effect_of(fewer, "a").n_events == 1  # most of it is gap


def test_a_young_service_borrows_a_window_at_its_hours():
    old = {f"old{i}": world(*SALES, seed=i) for i in range(3)}
    young = planted("2026-01-10", "2026-06-01", seed=9, lifts={})
    coming = ("2026-06-18T08:00", "2026-06-18T12:00")
    fit = Batched().fit(history_of({**old, "young": young}), events=calendar(*SALES, coming))
    effect = effect_of(fit, "young")
    assert effect.basis == "borrowed"
    assert effect.n_events == 0
    assert effect.donors == ("old0", "old1", "old2")
    np.testing.assert_allclose(np.exp(effect.hours(8, 12)[8:12]), SHAPE, rtol=0.04)
    assert effect_of(fit, "old0").donors == ("old1", "old2")  # pooled


def test_fleets_know_windows_as_plans_do():
    coming = ("2026-06-18T08:00", "2026-06-18T12:00")
    events = calendar(*SALES, coming)
    series = world(*SALES)
    history = history_of({"a": series})
    start = series.index[0].tz_localize(None).to_datetime64()
    _, cube = local_cube(series.to_numpy()[None], start=start, tz=TZ)
    rows = cube[1:-1].reshape(1, -1)  # the first and last local day are partial
    fleet = Batched().fit_fleet(
        rows, start="2024-06-01", business_tz=TZ, events=events,
        quantiles=(0.5, 0.95),
    )  # fmt: skip
    forecast = fleet.forecast(28)
    index = pd.DatetimeIndex(forecast.time, tz="UTC").tz_convert(TZ)
    on = index.strftime("%Y-%m-%d") == "2026-06-18"
    median, high = forecast.values[:, 0, on]
    expected = _median(Batched().fit(history, events=events), "2026-06-18")
    np.testing.assert_allclose(median, expected, rtol=0.02)
    width = np.log(high / median)
    assert (width[8:12] > 2 * width[13:17]).all()  # an event of some hours widens these
    with pytest.raises(InputError, match="other on 2026-06-02"):
        Batched().fit_fleet(
            rows, start="2024-06-01", business_tz=TZ,
            events=events.add("other", "2026-06-02T08:00", end="2026-06-02T09:00"),
        ).forecast(7)  # fmt: skip


def test_a_counted_service_has_its_sale_in_its_hours():
    """Four orders in ten hours: a sale brings eight times as many, Black Friday five times."""
    rng = np.random.default_rng(4)
    index = pd.date_range(*SPAN, freq="h", tz="UTC", inclusive="left")
    rate = pd.Series(0.4, index=index)
    local = index.tz_convert(TZ).strftime("%Y-%m-%d")
    rate[local == "2024-11-29"] *= 5
    rate[local == "2025-11-28"] *= 5
    sales = (("2025-11-28T18:00", "2025-11-28T22:00"), *SALES)
    for start, end in sales:
        rate = sold(rate, start, end, np.full(4, 8.0))
    orders = pd.Series(rng.poisson(rate), index=index, dtype=float)
    events = calendar(*sales, ("2026-06-18T08:00", "2026-06-18T12:00"), base=black_fridays())
    fit = Batched().fit(history_of({"a": orders}), events=events)
    assert fit.counts is not None
    sale, day = effect_of(fit, "a"), effect_of(fit, "a", "black_friday")
    assert (sale.n_events, day.n_events) == (3, 2)
    seen = [orders.tz_convert(TZ)[slice(start, end)].iloc[:4].sum() for start, end in sales]
    due = 0.4 * 4 * np.array([np.exp(day.hours().mean()), 1, 1])  # on Black Friday, five times
    np.testing.assert_allclose(np.exp(sale.hours(8, 12)[8:12]), sum(seen) / due.sum(), rtol=0.1)
    assert np.exp(day.hours().mean()) == pytest.approx(5, rel=0.2)
    assert not sale.hours(8, 12)[12:].any()
    (root,) = fit.roots(["a"], "2026-06-17", "2026-06-20", draws=2000, seed=2)
    mean = root.demand().mean(axis=0)
    assert mean[1, 8:12].mean() == pytest.approx(0.4 * sum(seen) / due.sum(), rel=0.15)
    assert mean[1, 12:].mean() == pytest.approx(mean[2, 12:].mean(), rel=0.15)
    halves = 2 * root.demand()  # the repeated hour of autumn is a mean of two
    np.testing.assert_allclose(halves, np.rint(halves), atol=1e-6)


# ---- parts --------------------------------------------------------------------------------------


def test_occurrences_are_judged_by_their_own_hours():
    """A day that ran high outside of its window says nothing about the window's year."""
    residual = np.zeros((120, 24, 1))
    residual[[30, 90], :18] = 1.0
    residual[90, 18:22] = 0.2
    spread = event_spread(
        residual, np.ones_like(residual), event_of_day=np.full(120, -1),
        leverage=np.array([0.5]), windowed=[WindowDay(0, 30, 18, 22), WindowDay(0, 90, 18, 22)],
    )  # fmt: skip
    assert spread.n[0, 0] == 2
    np.testing.assert_allclose(spread.deviation[0][:, 0], [-0.1, 0.1])
    assert spread.variance[0, 0] == pytest.approx(0.02)
    assert spread.day_variance[0, 0] == 0


def test_a_short_window_is_noisier_than_a_day():
    """Independent hours of sd s: the mean of four has variance s^2 / 4, of a day s^2 / 24."""
    residual = 0.3 * np.random.default_rng(0).standard_normal((2000, 24, 1))
    event_of_day = np.full(2000, -1)
    event_of_day[7] = 0
    spread = event_spread(
        residual, None, event_of_day=event_of_day, leverage=np.array([1.0, 1.0]),
        windowed=[WindowDay(1, 100, 18, 22)],
    )  # fmt: skip
    np.testing.assert_allclose(spread.day_variance[0], 0.09 / np.array([24, 4]), rtol=0.1)


def test_paths_of_one_slot_a_day_take_a_window_whole():
    dates = np.arange(np.datetime64("2026-11-20"), np.datetime64("2026-11-22"))
    events = calendar(("2026-11-21T18:00", "2026-11-21T22:00"), base=black_fridays())
    (hourly,) = unknown_windows(events, dates, slots=24, lift_x=np.nan)
    (daily,) = unknown_windows(events, dates, slots=1, lift_x=1.0)
    assert (hourly.day, hourly.slots) == (1, slice(18, 22))
    assert (daily.day, daily.slots, daily.lift_x) == (1, slice(0, 1), 1.0)
    assert unknown_windows(None, dates, slots=24, lift_x=1.0) == ()


def test_given_quantiles_know_no_lift_of_a_window():
    hours = pd.date_range("2026-11-20", periods=48, freq="h", tz="UTC")
    frame = pd.DataFrame({"service": "a", "time": hours, "p10": 80.0, "p50": 100.0, "p90": 150.0})
    events = calendar(("2026-11-21T18:00", "2026-11-21T22:00"))
    given = GivenDemand.from_frame(frame, business_tz="UTC", events=events)
    (root,) = given.roots(["a"], "2026-11-20", "2026-11-22", draws=10)
    assert root.event == ("", "flash_sale")
    assert [window.slots for window in root.windows] == [slice(18, 22)]
    assert np.isnan(root.windows[0].lift_x)

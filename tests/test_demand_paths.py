"""Paths: streams by name, levels of luck, quantiles, and the clock."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from demand_worlds import TZ, calendar, history_of, planted

from capmodel.demand import Batched
from capmodel.demand.horizon import check_horizon
from capmodel.demand.paths import draw_weeks, normal_scores
from capmodel.errors import InputError
from capmodel.schema import order_statistic, rng_for


@pytest.fixture(scope="module")
def fit():
    shared = planted("2024-03-01", "2026-03-01", noise=0.1, seed=1)
    other = planted("2024-03-01", "2026-03-01", noise=0.0, level=40) * (shared / shared.mean()) ** 0
    noise = shared / planted("2024-03-01", "2026-03-01", noise=0.0)
    return Batched().fit(history_of({"a": shared, "b": other * noise**0.5}), events=calendar())


@pytest.fixture(scope="module")
def root(fit):
    return fit.roots(["a"], "2026-11-20", "2026-12-05", seed=7, draws=2000)[0]


def test_shapes_and_the_calendar(root):
    assert root.shape.shape == (2000, 15, 24)
    assert root.level.shape == (2000,)
    assert root.drift.shape == root.shock.shape == (2000, 15)
    assert root.event[6:12] == (
        "thanksgiving",
        "black_friday",
        "black_friday_saturday",
        "black_friday_sunday",
        "cyber_monday",
        "cyber_tuesday",
    )
    ordinary = np.array([not name for name in root.event])
    assert (root.shock[:, ordinary] == 0).all()
    assert (root.lift_x[ordinary] == 1).all()
    assert root.lift_x[10] == pytest.approx(5, rel=0.15)
    assert (root.shape >= 0).all()


def test_same_seed_same_bytes_and_another_seed_other_paths(fit, root):
    again = fit.roots(["a"], "2026-11-20", "2026-12-05", seed=7, draws=2000)[0]
    assert again.demand().tobytes() == root.demand().tobytes()
    other = fit.roots(["a"], "2026-11-20", "2026-12-05", seed=8, draws=2000)[0]
    assert not np.array_equal(other.level, root.level)


def test_a_root_is_the_same_whoever_else_is_drawn(fit, root):
    both = fit.roots(["b", "a"], "2026-11-20", "2026-12-05", seed=7, draws=2000)
    assert [r.service for r in both] == ["b", "a"]
    assert both[1].demand().tobytes() == root.demand().tobytes()


def test_factors_centre_on_one_and_spread_as_fitted(fit, root):
    cohort, column = fit.locate("a")
    for luck in (root.level, root.drift[:, -1], root.shock[:, 10]):
        assert np.median(luck) == pytest.approx(0, abs=0.01)
    middle = np.quantile(np.abs(root.level), 0.5) / 0.6745  # of a normal: its sd
    assert middle == pytest.approx(cohort.errors.level_sd[column], rel=0.15)
    spread = [np.quantile(np.abs(root.drift[:, n]), 0.5) for n in (0, 14)]
    ahead = (root.dates[[0, 14]] - fit.dates[-1]).astype(int)
    assert spread[1] / spread[0] == pytest.approx(np.sqrt(ahead[1] / ahead[0]), rel=0.1)


def test_days_of_one_event_share_their_luck():
    """A launch of three days is good or bad as a whole; named days differ from each other."""
    events = calendar().add("sale", "2025-05-06", days=3).add("sale", "2026-05-05", days=3)
    fit = Batched().fit(history_of({"a": planted("2024-03-01", "2026-03-01")}), events=events)
    (root,) = fit.roots(["a"], "2026-05-05", "2026-05-08", draws=500)
    assert np.corrcoef(root.shock.T).min() > 0.95
    (week,) = fit.roots(["a"], "2026-11-26", "2026-12-01", draws=500)
    assert abs(np.corrcoef(week.shock.T) - np.eye(5)).max() < 0.2


def test_day_noise_is_shared_by_services(fit):
    """Both were planted with the same noise: their paths must move together, day by day."""
    forecast = fit.forecast("2026-04-01", "2026-04-15", seed=1, draws=400)
    noise = [np.log(forecast.draw(s).shape.sum(axis=2)) for s in ("a", "b")]
    noise = [x - x.mean(axis=0) for x in noise]
    assert np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1] > 0.9
    assert np.corrcoef(noise[0][:, 0], noise[0][:, -1])[0, 1] < 0.2  # other weeks, other luck


def test_weeks_are_drawn_whole_and_on_their_weekday():
    past = np.arange(np.datetime64("2026-01-01"), np.datetime64("2026-03-12"))
    dates = np.arange(np.datetime64("2026-04-03"), np.datetime64("2026-04-20"))
    source = draw_weeks(dates, past, draws=200, seed=3)
    assert source.shape == (200, len(dates))
    assert source.min() >= 0
    assert source.max() < len(past)
    difference = (dates[None, :] - past[source]).astype(int)
    assert (difference % 7 == 0).all()
    monday = int(np.flatnonzero((dates.astype(int) + 3) % 7 == 0)[0])
    week = source[:, monday : monday + 7]
    assert (np.diff(week, axis=1) == 1).all()
    longer = draw_weeks(np.append(dates, dates[-1] + 1), past, draws=200, seed=3)
    np.testing.assert_array_equal(longer[:, :-1], source)


def test_peaks_come_from_paths_not_from_hours(fit):
    forecast = fit.forecast("2026-11-20", "2026-12-05", seed=7, draws=500)
    peak = forecast.peak(0.95)
    highest = forecast.paths("a").max(axis=(1, 2))
    assert peak["a"] == highest[order_statistic(highest, 0.95)]
    assert peak["a"] >= forecast.quantile(0.95)["a"].max()
    quiet = forecast.peak(0.95, window=("2026-12-02", "2026-12-05"))
    assert quiet["a"] < peak["a"]
    assert forecast.peak(0.5)["b"] <= forecast.peak(0.9)["b"]


def test_quantiles_are_those_of_the_paths(fit):
    forecast = fit.forecast("2026-04-01", "2026-04-03", seed=1, draws=101)
    paths = forecast.paths("b")
    wide = forecast.quantile(0.9)
    assert wide.columns.tolist() == ["a", "b"]
    hour = wide["b"].tz_convert(TZ).loc["2026-04-01 15:00"]
    assert hour == paths[order_statistic(paths[:, 0, 15], 0.9), 0, 15]
    long = forecast.to_frame()
    assert long.columns.tolist() == ["service", "time", "p10", "p50", "p90", "p95"]
    np.testing.assert_array_equal(long.loc[long["service"] == "b", "p90"], wide["b"])
    assert (long["p10"] <= long["p50"]).all()
    assert (long["p90"] <= long["p95"]).all()
    np.testing.assert_allclose(forecast.mean()["b"], paths.mean(axis=0).ravel())


def test_the_clock_changes_inside_a_horizon(fit):
    forecast = fit.forecast("2026-10-31", "2026-11-03", draws=20)
    index = forecast.quantile(0.5).index
    assert len(index) == 73  # 24 + 25 + 24 local hours
    assert str(index.tz) == "UTC"
    assert (np.diff(index.as_unit("s").asi8) == 3600).all()
    values = forecast.quantile(0.5)["a"].tz_convert(TZ)
    first, second = values[(values.index.hour == 1) & (values.index.day == 1)]
    assert first == second
    spring = fit.forecast("2026-03-07", "2026-03-10", draws=20).quantile(0.5)
    assert len(spring) == 71


def test_normal_scores_have_exact_quantiles_in_random_order():
    scores = normal_scores(rng_for(1, "x"), 999)
    assert np.median(scores) == pytest.approx(0, abs=1e-12)
    assert np.quantile(scores, 0.9) == pytest.approx(1.2816, abs=0.005)
    other = normal_scores(rng_for(1, "y"), 999)
    assert abs(np.corrcoef(scores, other)[0, 1]) < 0.1
    np.testing.assert_array_equal(np.sort(scores), np.sort(other))


@pytest.mark.parametrize("q", [0, 1, -0.1, 95])
def test_quantiles_outside_the_unit_interval_are_refused(fit, q):
    forecast = fit.forecast("2026-04-01", "2026-04-02", draws=5)
    with pytest.raises(InputError, match="inside"):
        forecast.quantile(q)
    with pytest.raises(InputError, match="inside"):
        forecast.peak(q)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("2026-04-02", "2026-04-02"), "after the start"),
        (("2026-04-02", "2026-04-01"), "after the start"),
        (("April", "2026-04-01"), "horizon.start"),
        (("2026-04-01", "2026-04-02 07:30"), "horizon.end"),
        (("2025-04-02", "2025-05-01"), "last, onwards"),
        (("2026-04-02", "2029-05-01"), "length of the history"),
    ],
)
def test_bad_horizons_are_refused(fit, args, message):
    with pytest.raises(InputError, match=message):
        fit.forecast(*args)


def test_other_bad_questions_are_refused(fit):
    forecast = fit.forecast("2026-04-01", "2026-04-02", draws=5)
    with pytest.raises(InputError, match='"c"'):
        forecast.paths("c")
    with pytest.raises(InputError, match="Forecast a longer horizon"):
        forecast.peak(0.9, window=("2026-04-01", "2026-04-05"))
    with pytest.raises(InputError, match="draws"):
        fit.forecast("2026-04-01", "2026-04-02", draws=0)


def test_dates_may_be_given_in_any_form():
    text = check_horizon("2026-04-01", "2026-04-03")
    stamp = check_horizon(pd.Timestamp("2026-04-01"), pd.Timestamp("2026-04-03").date())
    np.testing.assert_array_equal(text, stamp)
    assert text.tolist() == np.arange("2026-04-01", "2026-04-03", dtype="datetime64[D]").tolist()


@pytest.mark.slow
def test_peaks_come_with_the_error_of_their_number(fit):
    """Of 40 sets of 200 paths about 95 % must hold the quantile of 20,000 paths."""
    horizon = ("2026-11-20", "2026-12-05")
    many = fit.forecast(*horizon, seed=99, draws=20_000).peaks((0.8,)).set_index("service")
    held = 0
    for seed in range(40):
        few = fit.forecast(*horizon, seed=seed, draws=200).peaks((0.8,)).set_index("service")
        held += few.loc["a", "mc_low"] <= many.loc["a", "peak"] <= few.loc["a", "mc_high"]
    assert held >= 34
    one = fit.forecast(*horizon, seed=1, draws=50)
    frame = one.peaks((0.5, 0.95), window=("2026-11-27", "2026-12-01"))
    assert list(frame["service"]) == ["a", "a", "b", "b"]
    assert frame["peak"].iloc[1] == one.peak(0.95, window=("2026-11-27", "2026-12-01"))["a"]
    assert (frame["mc_low"] <= frame["peak"]).all()
    assert (frame["peak"] <= frame["mc_high"]).all()

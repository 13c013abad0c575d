"""Counting sparse services: worlds of other forms than the model's, and what it must not break."""

from __future__ import annotations

import datetime as dt
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from demand_worlds import TZ, calendar, history_of, planted
from scipy.signal import lfilter

from capmodel.accuracy import pinball
from capmodel.demand import Batched
from capmodel.demand.adapters import SeasonalNaive
from capmodel.errors import InputError
from capmodel.events import Events, thanksgiving
from capmodel.schema import order_statistic

START, CUT, END = "2023-07-01", "2025-09-01", "2025-12-15"
HORIZON = ("2025-09-15", END)
LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
DRAWS = 200
HOUR = np.arange(24)


def days_of(start=START, end=END):
    return np.arange(np.datetime64(start), np.datetime64(end))


def weekday_x(days, weekday, weekend):
    return np.where((days.astype(int) + 3) % 7 < 5, weekday, weekend)


def bursts(days, seed, lifts, *, rate=0.9):
    """Batch jobs: a few a day in office hours, lognormal sizes, spread over one to three hours."""
    rng = np.random.default_rng(seed)
    flat = np.zeros(len(days) * 24 + 2)
    for d, n in enumerate(rng.poisson(rate * weekday_x(days, 1.3, 0.25) * lifts)):
        for _ in range(n):
            hour = d * 24 + int(np.clip(rng.normal(11, 3), 0, 23))
            size = int(40 * np.exp(rng.normal(-0.18, 0.6))) + 1
            width = rng.integers(1, 4)
            flat[hour : hour + width] += rng.multinomial(size, np.ones(width) / width)
    return flat[: len(days) * 24].reshape(-1, 24)


def thinned(days, seed, lifts, *, rate=0.25, spread=0.63):
    """Single requests, Poisson, whose rate wanders lognormally from day to day (AR(1), 0.6)."""
    rng = np.random.default_rng(seed)
    wander = lfilter([1], [1, -0.6], rng.standard_normal(len(days))) * 0.8 * spread
    hours = 0.1 + np.exp(-0.5 * ((HOUR - 14) / 3.0) ** 2)
    level = weekday_x(days, 1.2, 0.5) * np.exp(wander - spread**2 / 2) * lifts * rate
    return rng.poisson(level[:, None] * hours / hours.mean()).astype(float)


def office(days, seed, lifts):
    """Requests per second, closed at night and at the weekend, noisy as a whole day."""
    rng = np.random.default_rng(seed)
    hours = np.where((HOUR >= 8) & (HOUR < 18), 0.5 + np.sin(np.pi * (HOUR - 7.5) / 11), 0)
    luck = lfilter([1], [1, -0.8], rng.standard_normal(len(days))) * 0.09
    noise = np.exp(luck[:, None] + 0.08 * rng.standard_normal((len(days), 24)))
    level = 200 * weekday_x(days, 1.0, 0.0) * lifts
    return rng.poisson(60 * level[:, None] * hours * noise) / 60


def nightly(days, seed, lifts):
    """A job by the clock: 5,000 items at three o'clock, 5 % more or less."""
    rng = np.random.default_rng(seed)
    values = np.zeros((len(days), 24))
    values[:, 3] = np.rint(5000 * lifts * np.exp(0.05 * rng.standard_normal(len(days))))
    return values


def some_days(days, seed, lifts):
    """A job that runs on one day in fifteen, then all day."""
    rng = np.random.default_rng(seed)
    runs = rng.random(len(days)) < 1 / 15
    return rng.poisson(30 * (runs * lifts)[:, None] * np.ones(24)).astype(float)


def retail(days, lift=5.0):
    """Return lifts of a Black Friday and a Cyber Monday in every year."""
    lifts = np.ones(len(days))
    for year in range(2022, 2028):
        for offset in (1, 4):
            on = np.datetime64(thanksgiving(year) + dt.timedelta(offset), "D")
            lifts[days == on] = lift
    return lifts


def series_of(values, start=START):
    """Return local days and hours as a UTC series: the clock's repeated hour twice."""
    end = np.datetime64(start) + len(values)
    index = pd.date_range(start, str(end), freq="h", tz=TZ, inclusive="left")
    clock = index.tz_localize(None) - pd.Timestamp(start)
    at = (clock / pd.Timedelta("1h")).astype(int)
    return pd.Series(values.ravel()[at], index=index.tz_convert("UTC"))


def fleet(world, seeds, *, lift=5.0, **options):
    """Return the history until the cut, and the days after it, shape (N, 24) each."""
    days = days_of()
    worlds = {f"s{i:02d}": world(days, i, retail(days, lift), **options) for i in range(seeds)}
    known = days < np.datetime64(CUT)
    ahead = (days >= np.datetime64(HORIZON[0])) & (days < np.datetime64(HORIZON[1]))
    history = history_of({name: series_of(values[known]) for name, values in worlds.items()})
    return history, {name: values[ahead] for name, values in worlds.items()}


def ordered(paths, q):
    at = max(int(np.ceil(q * len(paths))) - 1, 0)
    return np.sort(paths, axis=0)[at]


def judged(history, truth, *, draws=DRAWS):
    """Return exceedance of P95 by hours, weeks and the season, and the median peak's ratio."""
    fit = Batched().fit(history, events=calendar())
    forecast = fit.forecast(*HORIZON, seed=3, draws=draws)
    hours, weeks, season, ratio = [], [], [], []
    for name, actual in truth.items():
        paths = forecast.paths(name)
        slack = 1 + 1e-9
        hours.append((actual > ordered(paths, 0.95) * slack + 1e-9).mean())
        whole = len(actual) // 7 * 7
        by_week = paths[:, :whole].reshape(draws, -1, 7 * 24).sum(axis=2)
        weeks.append(
            (actual[:whole].reshape(-1, 7 * 24).sum(axis=1) > ordered(by_week, 0.95)).mean()
        )
        peaks = paths.max(axis=(1, 2))
        season.append(actual.max() > peaks[order_statistic(peaks, 0.95)] * slack)
        ratio.append(np.median(peaks) / actual.max())
    return np.mean(hours), np.mean(weeks), int(np.sum(season)), float(np.median(ratio))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "services", "weeks_over", "peak"),
    [(bursts, 12, 0.10, 0.2), (thinned, 12, 0.10, 0.25), (office, 8, 0.10, 0.1),
     (nightly, 6, 0.05, 0.15)],
    ids=["bursts", "thinned", "office", "nightly"],
)  # fmt: skip
def test_hours_weeks_and_the_season_peak_are_covered(world, services, weeks_over, peak):
    """Some services of each world, events five times an ordinary day."""
    hours, weeks, season, ratio = judged(*fleet(world, services))
    assert hours <= 0.05  # counts: P95 is exceeded in at most 5 %
    assert weeks <= weeks_over  # 12 x 13 weeks
    assert season <= 2  # binomial(12, 0.05): 98 %
    assert ratio == pytest.approx(1, abs=peak)


@pytest.mark.slow
@pytest.mark.parametrize("world", [bursts, thinned, office, nightly])
def test_coverage_over_many_seeds(world):
    hours, weeks, season, ratio = judged(*fleet(world, 100), draws=400)
    print(f"{world.__name__}: {hours:.3f} {weeks:.3f} {season / 100:.2f} {ratio:.2f}")  # noqa: T201
    assert hours <= 0.05
    assert weeks <= 0.07
    assert season <= 10  # binomial(100, 0.05): 99 %
    assert 0.85 < ratio < 1.2


def test_days_on_and_off_are_no_lucky_and_unlucky_days():
    """A job of one day in fifteen: the peak is a running day's, not fifteen times the mean."""
    history, truth = fleet(some_days, 8, lift=1.0)
    fit = Batched().fit(history)
    forecast = fit.forecast(*HORIZON, seed=3, draws=DRAWS)
    assert fit.counts is not None
    for name, model in zip(fit.counts.services, fit.counts.models, strict=True):
        assert model.clumping.silent == pytest.approx(14 / 15, abs=0.03)
        running = truth[name].max()
        if running > 0:
            peaks = forecast.paths(name).max(axis=(1, 2))
            assert np.median(peaks) == pytest.approx(running, rel=0.35)
    days = np.concatenate([(forecast.paths(n).sum(axis=2) > 0).mean(axis=0) for n in truth])
    assert days.mean() == pytest.approx(1 / 15, abs=0.02)


def test_medians_are_zero_where_hours_are_mostly_empty():
    history, truth = fleet(bursts, 2)
    forecast = Batched().fit(history, events=calendar()).forecast(*HORIZON, seed=1, draws=DRAWS)
    median = forecast.quantile(0.5)
    assert (median == 0).to_numpy().mean() > 0.99
    assert forecast.mean().to_numpy().mean() == pytest.approx(
        np.mean([values.mean() for values in truth.values()]), rel=0.2
    )


def scores(history, truth, model):
    """Return the mean pinball loss over hours, services and levels, over the mean demand."""
    forecast = model.fit(history).forecast(*HORIZON, seed=3, draws=DRAWS)
    total = []
    for name, actual in truth.items():
        paths = forecast.paths(name)
        losses = [pinball(actual.ravel(), ordered(paths, q).ravel(), q) for q in LEVELS]
        total.append(np.mean(losses) / actual.mean())
    return float(np.mean(total))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "log_x", "naive_x"),
    [(bursts, 0.99, 0.7), (thinned, 0.9, 0.7)],
    ids=["bursts", "thinned"],
)
def test_counting_beats_logs_and_the_weekly_naive(world, log_x, naive_x):
    """Without events, so that the naive forecast is not at a loss for them."""
    history, truth = fleet(world, 4, lift=1.0)
    ours = scores(history, truth, Batched())
    assert ours < log_x * scores(history, truth, Batched(counts_above=1.0))
    assert ours < naive_x * scores(history, truth, SeasonalNaive())


def one(values, name="a", start=START):
    return history_of({name: series_of(values, start)}, quantity="rps")


@pytest.fixture(scope="module")
def sparse():
    """Single requests a day, two Novembers, fitted."""
    days = days_of(START, CUT)
    return Batched().fit(one(thinned(days, 1, retail(days))), events=calendar())


def test_the_finding_names_the_route():
    days = days_of(START, CUT)
    history = one(thinned(days, 1, np.ones(len(days))))
    for above, route, part in ((0.3, "counts", "counted"), (1.0, "logs", "log model")):
        fit = Batched(counts_above=above).fit(history)
        (finding,) = fit.findings
        assert (finding.code, finding.severity) == ("many_zeros", "warning")
        assert finding.data["route"] == route
        assert part in finding.message
        assert (fit.counts is not None) is (route == "counts")
    with pytest.raises(ValueError, match="counts_above"):
        Batched(counts_above=1.5)


def test_other_services_do_not_notice():
    """A fleet's logs are fitted as if the counted services were not there."""
    logs = {n: planted(START, CUT, seed=i, level=10.0**i) for i, n in enumerate("abcd", start=1)}
    days = days_of(START, CUT)
    sparse = {f"z{i}": series_of(thinned(days, i, retail(days))) for i in range(3)}
    alone, mixed = (
        Batched().fit(history_of(parts), events=calendar()) for parts in (logs, {**logs, **sparse})
    )
    assert mixed.counts is not None
    assert mixed.counts.services == ("z0", "z1", "z2")
    paths = [f.forecast("2025-11-20", "2025-12-05", seed=2, draws=40) for f in (alone, mixed)]
    for name in logs:
        np.testing.assert_allclose(paths[0].paths(name), paths[1].paths(name), rtol=1e-9)
    one, two = (f.lifts().set_index("service").loc[list(logs)] for f in (alone, mixed))
    pd.testing.assert_frame_equal(one, two, rtol=1e-9)
    assert mixed.summary().set_index("service").loc["z0", "configuration"] == "counts"
    assert set(mixed.growth()["service"]) == {*logs, *sparse}


def test_a_peak_that_was_seen_is_believed(sparse):
    lifts = sparse.lifts().set_index("event")
    row = lifts.loc["cyber_monday"]
    assert row["n_events"] == 2
    assert row["basis"] == "fitted"
    assert row["lift_x"] > 3
    assert row["lift_p10"] < 5 < row["lift_p90"]
    calm = lifts.loc["columbus_day"]
    assert calm["lift_p10"] < 1 < calm["lift_p90"]


def test_the_fleets_event_is_borrowed_with_its_donors_named():
    """The young service has seen no November; the older one has, and stands by its own."""
    days = days_of(START, CUT)
    young = days_of("2025-03-01", CUT)
    series = {n: planted(START, CUT, seed=i) for i, n in enumerate("abc")}
    series["own"] = series_of(thinned(days, 3, retail(days, 20.0), rate=2.0, spread=0.1))
    series["young"] = series_of(thinned(young, 4, np.ones(len(young))), "2025-03-01")
    fit = Batched().fit(history_of(series), events=calendar())
    lifts = fit.lifts()
    rows = lifts[lifts["event"] == "cyber_monday"].set_index("service")
    assert rows["basis"]["young"] == "borrowed"
    assert rows["donors"]["young"] == "a, b, c"
    # The evening's peak counts less in a day that is busy at noon.
    assert 3 < rows["lift_x"]["young"] < 5.5
    assert rows["lift_x"]["own"] == pytest.approx(20, rel=0.15)
    (root,) = fit.roots(["young"], "2025-11-24", "2025-12-02", draws=20)
    assert root.basis == "borrowed"
    assert np.isnan(root.to_growth).all()


def test_only_on_the_event():
    """Nothing all year, a thousand an hour on Black Friday: that is what comes again."""
    days = days_of(START, CUT)
    values = np.zeros((len(days), 24))
    values[retail(days) > 1] = 1000.0
    fit = Batched().fit(one(values), events=calendar())
    forecast = fit.forecast("2025-11-01", "2025-12-15", seed=1, draws=200)
    peak = forecast.peak(0.5)["a"]
    assert peak == pytest.approx(1000, rel=0.15)
    assert forecast.peak(0.5, window=("2025-11-01", "2025-11-20"))["a"] == 0


def test_an_unknown_event_asks_for_a_lift_and_takes_it(sparse):
    days = days_of(START, CUT)
    history = one(thinned(days, 1, retail(days)))
    fit = Batched().fit(history, events=calendar().add("launch", "2025-10-07"))
    with pytest.raises(InputError, match="launch on 2025-10-07"):
        fit.forecast("2025-10-01", "2025-10-14")
    roots = [
        f.roots(["a"], "2025-10-01", "2025-10-14", draws=4000, lifts=lifts)[0]
        for f, lifts in ((fit, {"launch": {"a": 8.0}}), (sparse, None))
    ]
    assert roots[0].basis == "assumed"
    assert roots[0].lift_x[6] == 8.0
    means = [root.shape.sum(axis=2).mean(axis=0) for root in roots]
    assert means[0][6] / means[1][6] == pytest.approx(8, rel=0.1)
    np.testing.assert_allclose(np.delete(means[0] / means[1], 6), 1, atol=0.15)


def test_growth_carries_last_seasons_level_over():
    """A season that swings by 40 %, growing by half a year: the level a year ago, times growth."""
    days = days_of()
    years = (days - days[0]).astype(int) / 365
    course = 1.5**years * np.exp(0.2 * np.cos(2 * np.pi * (years - 0.4)))
    values = thinned(days, 2, course, rate=0.7, spread=0.1)
    fit = Batched().fit(one(values[days < np.datetime64(CUT)]))
    (root,) = fit.roots(["a"], *HORIZON, draws=400)
    assumed = (root.shape * np.exp(root.to_growth)[:, None] * 1.5).mean()
    assert assumed == pytest.approx(values[days >= np.datetime64(HORIZON[0])].mean(), rel=0.06)
    growth = fit.growth().iloc[0]
    assert growth["last_season_yoy_x"] == pytest.approx(1.5, rel=0.08)
    for column in ("run_rate_yoy_x", "fitted_yoy_x"):  # four weeks; a level that lags
        assert growth[column] == pytest.approx(1.5, rel=0.15)


def test_paths_are_whole_events_and_keep_their_luck_apart(sparse):
    (root,) = sparse.roots(["a"], "2025-11-24", "2025-12-08", draws=500, seed=4)
    events = root.demand()
    np.testing.assert_allclose(events, np.rint(events), atol=1e-9)
    assert root.drift.shape == root.shock.shape == (500, 14)
    assert (root.shock[:, [not name for name in root.event]] == 0).all()
    assert root.shock[:, root.event.index("cyber_monday")].std() > 0.1
    assert np.median(root.level) == pytest.approx(0, abs=0.01)


def test_same_seed_same_bytes_also_after_pickling(sparse):
    again = pickle.loads(pickle.dumps(sparse))  # noqa: S301  our own bytes
    one, two = (f.forecast(*HORIZON, draws=20, seed=5).paths("a") for f in (sparse, again))
    assert one.tobytes() == two.tobytes()
    other = sparse.forecast(*HORIZON, draws=20, seed=6).paths("a")
    assert not np.array_equal(one, other)


def test_the_unit_does_not_matter():
    """Requests per second are counts over 3,600: the same events, the same model."""
    days = days_of("2024-09-01", CUT)
    values = thinned(days, 5, np.ones(len(days)))
    fits = [Batched().fit(one(values * unit, start="2024-09-01")) for unit in (1.0, 1 / 3600)]
    first, second = (f.explain("a").set_index("item") for f in fits)
    by_unit = np.where(first["unit"] == "rps", 3600.0, 1.0)
    np.testing.assert_allclose(first["value"], second["value"] * by_unit, rtol=1e-6)
    assert second.loc["one event", "value"] == pytest.approx(1 / 3600)


@pytest.mark.parametrize("n_days", [14, 21, 56, 200])
def test_short_histories(n_days):
    start = str(np.datetime64(CUT) - n_days)
    days = days_of(start, CUT)
    values = thinned(days, 6, np.ones(len(days)))
    values[3, :10] = np.nan
    fit = Batched().fit(one(values, start=start))
    forecast = fit.forecast("2025-09-01", "2025-09-15", draws=400)
    assert forecast.mean()["a"].mean() == pytest.approx(np.nanmean(values[-56:]), rel=0.25)
    assert fit.explain("a").set_index("item").loc["one event", "value"] == 1.0


def test_gaps_do_not_count_as_silence():
    days = days_of("2024-06-01", CUT)
    values = thinned(days, 7, np.ones(len(days)), rate=0.5, spread=0.2)
    holes = np.where(np.random.default_rng(1).random(values.shape) < 0.4, np.nan, values)
    holes[100:170] = np.nan
    levels = [
        Batched().fit(one(v, start="2024-06-01")).forecast(*HORIZON, draws=50).mean()["a"].mean()
        for v in (values, holes)
    ]
    assert levels[1] == pytest.approx(levels[0], rel=0.1)


def test_events_seen_while_saturated_say_so():
    days = days_of(START, CUT)
    series = series_of(thinned(days, 1, retail(days)))
    local = series.index.tz_convert(TZ).strftime("%Y-%m-%d")
    saturated = np.asarray(local == "2024-12-02")[None, :]
    tagged = replace(history_of({"a": series}, quantity="rps"), tags={"saturated": saturated})
    lifts = Batched().fit(tagged, events=calendar()).lifts().set_index("event")
    assert lifts.loc["cyber_monday", "basis"] == "censored"
    assert lifts.loc["black_friday", "basis"] == "fitted"


def test_a_constant_service_stays_where_it_is():
    """Its logs have no spread: the median is the constant, and P95 a few percent above it."""
    index = pd.date_range("2024-06-01", "2025-09-01", freq="h", tz="UTC", inclusive="left")
    fit = Batched().fit(history_of({"flat": pd.Series(7.0, index=index)}), events=Events.none())
    assert fit.counts is None
    forecast = fit.forecast("2025-09-02", "2025-12-01", seed=1, draws=500)
    np.testing.assert_allclose(forecast.quantile(0.5)["flat"], 7.0, rtol=0.01)
    np.testing.assert_allclose(forecast.quantile(0.95)["flat"], 7.0, rtol=0.12)
    np.testing.assert_allclose(forecast.quantile(0.05)["flat"], 7.0, rtol=0.12)
    assert 7.0 < forecast.peak(0.95)["flat"] < 8.0

"""The real Prophet and the real statsmodels: what they forecast, and what they leave behind."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from demand_worlds import TZ, calendar, history_of, planted
from pydantic import ValidationError

from capmodel.demand.adapters import Ets, Prophet, StlEts, UnobservedComponents
from capmodel.demand.adapters.classical import _smoothing, _structural
from capmodel.events import Events

pytestmark = pytest.mark.slow  # Prophet and statsmodels take seconds to load

NOISE = 0.03
QUICK_WAPE = 0.15


@pytest.fixture(scope="module")
def series():
    """Ten weeks from a Monday on, and what came after."""
    return planted("2026-01-05 05:00", "2026-04-13 04:00", growth=1.3, noise=NOISE, seed=3)


@pytest.fixture(scope="module")
def history(series):
    return history_of({"api": series.loc[:"2026-03-16 03:00"]})


def wape(fit, series, start, end, *, draws=100):
    """Return the weighted absolute error of the median [ratio]."""
    median = fit.forecast(start, end, draws=draws).quantile(0.5)["api"]
    actual = series.reindex(median.index)
    return float((median - actual).abs().sum() / actual.sum())


@pytest.fixture(scope="module")
def prophet_fit(history):
    return Prophet().fit(history, events=calendar())


@pytest.fixture(scope="module")
def ets_fit(history):
    return Ets().fit(history, events=calendar())


def test_prophet_forecasts_the_local_clock(prophet_fit, series):
    """The evening peak stays at 20:00 local though the clock changed on 2026-03-08."""
    assert wape(prophet_fit, series, "2026-03-16", "2026-04-13") < QUICK_WAPE
    median = prophet_fit.forecast("2026-03-16", "2026-03-23", draws=100).quantile(0.5)["api"]
    by_hour = median.groupby(median.index.tz_convert(TZ).hour).mean()
    assert by_hour.idxmax() == 20
    assert [f.code for f in prophet_fit.findings] == ["library_message", "event_unseen"]
    assert "Disabling yearly seasonality" in prophet_fit.findings.items[0].message


def test_prophet_repeats_itself_whatever_else_is_random(prophet_fit):
    horizon = ("2026-03-16", "2026-03-20")
    first = prophet_fit.forecast(*horizon, seed=5, draws=150).paths("api")
    np.random.seed(99)  # noqa: NPY002  the global stream is what must not matter
    state = np.random.get_state()  # noqa: NPY002
    again = prophet_fit.forecast(*horizon, seed=5, draws=150).paths("api")
    after = np.random.get_state()  # noqa: NPY002
    assert again.tobytes() == first.tobytes()
    assert all(np.array_equal(a, b) for a, b in zip(state, after, strict=True))
    other = prophet_fit.forecast(*horizon, seed=6, draws=150).paths("api")
    assert not np.array_equal(other, first)
    assert len(np.unique(first[:, 0, 0])) == 150


def test_a_refit_draws_the_same_and_leaves_the_process_as_it_was(
    prophet_fit, history, capfd, monkeypatch, tmp_path
):
    import cmdstanpy

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("CMDSTAN", raising=False)
    loggers = [logging.getLogger(name) for name in ("prophet", "prophet.plot", "cmdstanpy")]
    before = [(one.level, one.handlers[:], one.propagate, one.disabled) for one in loggers]
    state = np.random.get_state()  # noqa: NPY002
    again = Prophet().fit(history, events=calendar())
    paths = again.forecast("2026-03-16", "2026-03-18", draws=30).paths("api")
    expected = prophet_fit.forecast("2026-03-16", "2026-03-18", draws=30).paths("api")
    np.testing.assert_array_equal(paths, expected)
    assert [(one.level, one.handlers[:], one.propagate, one.disabled) for one in loggers] == before
    after = np.random.get_state()  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(state, after, strict=True))
    assert list(tmp_path.iterdir()) == []
    assert list(Path(cmdstanpy._TMPDIR).iterdir()) == []
    assert "CMDSTAN" not in os.environ
    assert capfd.readouterr() == ("", "")


def test_a_prophet_holiday_is_the_whole_day(series):
    """A sale lifts the evening only; Prophet lifts every hour of its day by the same amount."""
    events = Events.none()
    for day in ("2026-01-20", "2026-02-10", "2026-03-03", "2026-03-24"):
        events = events.add("sale", day)
    events = events.add("launch", "2026-03-31")
    local = series.index.tz_convert(TZ)
    on = np.isin(local.strftime("%Y-%m-%d"), [str(d.date) for d in events]) & (local.hour >= 18)
    lifted = series.where(~on, 3 * series).loc[:"2026-03-16 03:00"]
    fit = Prophet(growth="flat").fit(history_of({"api": lifted}), events=events)
    days = fit.forecast("2026-03-17", "2026-04-01", draws=2000).paths("api").mean(axis=0)
    extra = days[7] - days[0]  # the sale on 2026-03-24, and the Tuesday before
    noise = 4 * fit.forecast("2026-03-17", "2026-03-18").paths("api").std() / np.sqrt(1000)
    assert extra.mean() > 5 * noise
    assert np.abs(extra - extra.mean()).max() < noise
    assert np.abs(days[14] - days[0]).max() < noise  # nobody has seen the launch
    assert [f.data for f in fit.findings if f.code == "event_unseen"] == [{"events": ["launch"]}]


@pytest.mark.slow
def test_prophets_trend_errors_grow_from_the_last_observed_day(series):
    """Whether a week is asked for alone or as the end of two months."""
    history = history_of({"api": series.loc[:"2026-03-16 03:00"]})
    fit = Prophet(changepoint_prior_scale=5.0).fit(history)
    week = ("2026-05-11", "2026-05-18")
    alone = fit.forecast(*week, seed=1, draws=1000).paths("api").mean(axis=(1, 2))
    whole = fit.forecast("2026-03-16", week[1], seed=2, draws=1000).paths("api")
    near, far = whole[:, :7].mean(axis=(1, 2)), whole[:, -7:].mean(axis=(1, 2))
    assert alone.std() == pytest.approx(far.std(), rel=0.15)
    assert far.std() > 5 * near.std()


@pytest.mark.slow
def test_prophets_options_do_what_they_say(series, history):
    coarse = Prophet(log=True, interval_draws=40).fit(history)
    paths = coarse.forecast("2026-03-16", "2026-03-23", draws=100).paths("api")
    np.testing.assert_array_equal(paths[40:80], paths[:40])
    np.testing.assert_array_equal(paths[80:], paths[:20])
    assert len(np.unique(paths[:, 0, 0])) == 40
    assert paths.min() > 0
    assert wape(coarse, series, "2026-03-16", "2026-03-23") < QUICK_WAPE
    low = Prophet(growth="flat", weekly_order=0, daily_order=0).fit(history)
    flat = low.forecast("2026-03-16", "2026-03-18", draws=500).paths("api")
    assert flat.min() == 0  # noise as wide as the day goes below 0, and demand does not
    assert np.median(flat, axis=0).std() < 0.1 * np.median(flat)


@pytest.mark.slow
def test_prophets_day_may_differ_between_weekdays_and_weekends(series):
    """Weekends are turned upside down: busy when weekdays are quiet."""
    local = series.index.tz_convert(TZ)
    weekend = local.day_of_week >= 5
    swapped = series.where(~weekend, 8e7 / series)
    history = history_of({"api": swapped.loc[:"2026-03-16 03:00"]})
    one = Prophet(daily_order=8, log=True).fit(history)
    split = Prophet(daily_order=8, split_days=True, log=True).fit(history)
    errors = [wape(fit, swapped, "2026-03-16", "2026-03-30") for fit in (one, split)]
    assert errors[0] > 0.3
    assert errors[1] < 0.1
    with pytest.raises(ValidationError, match="daily_order"):
        Prophet(split_days=True)


def test_one_failed_fit_stops_no_other(series):
    """Prophet accepts no event of this name, and only the older service has seen it."""
    events = Events.none().add("a_delim_b", "2026-01-20").add("a_delim_b", "2026-03-20")
    whole = series.loc[:"2026-03-16 03:00"]
    fleet = {"old": whole, "young": whole.loc["2026-02-02 05:00":]}
    fit = Prophet().fit(history_of(fleet), events=events)
    assert fit.services == ("young",)
    (refused,) = fit.refused
    assert (refused.service, refused.code) == ("old", "fit_failed")
    assert "ValueError" in refused.message
    assert "_delim_" in refused.message
    unseen = {f.service: f.data["events"] for f in fit.findings if f.code == "event_unseen"}
    assert unseen == {"young": ["a_delim_b"]}
    assert fit.forecast("2026-03-16", "2026-03-18", draws=5).paths("young").shape == (5, 2, 24)


def test_ets_forecasts_the_week(ets_fit, series):
    assert wape(ets_fit, series, "2026-03-16", "2026-03-23", draws=300) < QUICK_WAPE
    codes = [f.code for f in ets_fit.findings]
    assert codes == ["events_unused"]  # ten weeks are fewer than 91 days, and have no gap
    horizon = ("2026-03-16", "2026-03-18")
    first = ets_fit.forecast(*horizon, seed=5, draws=50).paths("api")
    np.random.seed(99)  # noqa: NPY002
    assert ets_fit.forecast(*horizon, seed=5, draws=50).paths("api").tobytes() == first.tobytes()
    assert not np.array_equal(ets_fit.forecast(*horizon, seed=6, draws=50).paths("api"), first)


def test_a_later_week_is_the_end_of_the_same_paths(ets_fit):
    whole = ets_fit.forecast("2026-03-16", "2026-03-30", seed=5, draws=50).paths("api")
    week = ets_fit.forecast("2026-03-23", "2026-03-30", seed=5, draws=50).paths("api")
    np.testing.assert_array_equal(week, whole[:, 7:])


def test_what_was_used_and_what_was_filled_is_said(series):
    rng = np.random.default_rng(1)
    gappy = series.loc[:"2026-03-16 03:00"].copy()
    gappy.iloc[rng.choice(len(gappy) - 100, 80, replace=False) + 50] = np.nan
    fit = Ets(last_days=28, period_hours=24, trend="none").fit(history_of({"api": gappy}))
    recent = int(gappy.iloc[-28 * 24 + 1 :].isna().sum())  # the clock change took an hour
    findings = {f.code: f for f in fit.findings}
    assert findings["gaps_filled"].data["hours"] == recent
    assert findings["last_days"].data == {"days": 28}
    assert wape(fit, series, "2026-03-16", "2026-03-18", draws=300) < 0.3


def test_observed_hours_of_the_last_day_are_held(series):
    """The history ends at noon, and the forecast begins at midnight before."""
    history = history_of({"api": series.loc[:"2026-03-15 15:00"]})  # 11:00 local has begun
    fit = Ets().fit(history)
    paths = fit.forecast("2026-03-15", "2026-03-17", draws=60).paths("api")
    known = series.loc["2026-03-15 04:00":"2026-03-15 15:00"].to_numpy()
    np.testing.assert_allclose(paths[:, 0, :12], np.broadcast_to(known, (60, 12)))
    assert (paths[:, 0, 12:].std(axis=0) > 0).all()
    tomorrow = fit.forecast("2026-03-16", "2026-03-17", draws=60).paths("api")
    assert np.median(tomorrow) == pytest.approx(np.median(paths[:, 1]), rel=0.1)


def test_a_service_that_ets_cannot_fit_is_refused_by_name(series):
    whole = series.loc[:"2026-03-16 03:00"]
    fleet = {"api": whole, "new": whole.loc["2026-03-02 20:00":]}  # 13.3 days
    fit = Ets().fit(history_of(fleet))
    (refused,) = fit.refused
    assert refused.service == "new"
    assert "less than two full seasonal cycles" in refused.message
    assert fit.services == ("api",)


def test_ets_paths_are_those_of_statsmodels():
    """Their mean and spread against the library's own simulation-free forecast."""
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    rng = np.random.default_rng(2)
    z = np.sin(2 * np.pi * np.arange(24 * 30) / 24) + np.cumsum(0.05 * rng.standard_normal(24 * 30))
    simulate = _smoothing(z, trend="none", period=24)
    paths = simulate(48, np.random.default_rng(3), 4000)
    assert paths.shape == (4000, 48)
    # A frame, because the library's prediction of an array fails.
    model = ETSModel(
        pd.Series(z), seasonal="add", seasonal_periods=24, initialization_method="heuristic"
    )
    expected = model.fit(disp=False).get_prediction(start=len(z), end=len(z) + 47)
    frame = expected.summary_frame(alpha=0.05)
    # get_prediction's variance is the exact one of Hyndman et al. (2008), table 6.1.
    sd = (frame["pi_upper"] - frame["pi_lower"]).to_numpy() / (2 * 1.959964)
    assert np.abs(paths.mean(axis=0) - frame["mean"].to_numpy()).max() < 4 * sd.max() / 63
    np.testing.assert_allclose(paths.std(axis=0), sd, rtol=0.06)


@pytest.mark.slow
def test_structural_paths_are_those_of_statsmodels():
    from statsmodels.tsa.statespace.structural import UnobservedComponents as Library

    rng = np.random.default_rng(2)
    z = np.sin(2 * np.pi * np.arange(24 * 30) / 24) + np.cumsum(0.05 * rng.standard_normal(24 * 30))
    z[rng.choice(len(z) - 1, 60, replace=False)] = np.nan
    options = {"level": "local level", "freq_seasonal": [{"period": 24, "harmonics": 2}],
               "stochastic_freq_seasonal": [False], "autoregressive": None}  # fmt: skip
    simulate, known = _structural(z, options)
    np.testing.assert_array_equal(known[~np.isnan(z)], z[~np.isnan(z)])
    assert np.abs(known - np.sin(2 * np.pi * np.arange(len(z)) / 24)).max() < 3
    paths = simulate(72, np.random.default_rng(3), 4000)
    forecast = Library(z, **options).fit(disp=False).get_forecast(72)
    sd = np.asarray(forecast.se_mean)
    assert np.abs(paths.mean(axis=0) - forecast.predicted_mean).max() < 4 * sd.max() / 63
    np.testing.assert_allclose(paths.std(axis=0), sd, rtol=0.06)


@pytest.mark.slow
def test_stl_repeats_the_last_season(series, history):
    fit = StlEts(trend="none").fit(history)
    assert wape(fit, series, "2026-03-16", "2026-03-23", draws=300) < QUICK_WAPE
    paths = fit.forecast("2026-03-16", "2026-03-30", draws=1000).paths("api")
    log = np.median(np.log(paths), axis=0)
    week = log[7:] - log[:7]
    assert np.abs(week - week.mean()).max() < 0.15  # Monte Carlo error of a level that wanders


@pytest.mark.slow
def test_unobserved_components_take_gaps_as_they_are(series):
    rng = np.random.default_rng(7)
    whole = series.loc[:"2026-03-16 03:00"]
    gappy = whole.where(rng.random(len(whole)) > 0.1)
    night = whole.where(whole.index.tz_convert(TZ).hour > 4)
    spec = UnobservedComponents(last_days=35, daily_waves=4, weekly_waves=3)
    fit = spec.fit(history_of({"api": gappy, "night": night}), events=calendar())
    assert fit.services == ("api", "night")
    assert [f.code for f in fit.findings] == ["last_days", "events_unused"]
    assert wape(fit, series, "2026-03-16", "2026-03-30", draws=300) < QUICK_WAPE
    today = fit.forecast("2026-03-15", "2026-03-17", draws=30)
    assert np.isfinite(today.paths("night")).all()
    first = fit.forecast("2026-03-16", "2026-03-18", seed=2, draws=30).paths("api")
    again = fit.forecast("2026-03-16", "2026-03-18", seed=2, draws=30).paths("api")
    assert again.tobytes() == first.tobytes()


def test_a_fit_that_did_not_converge_says_so(series):
    """A constant leaves an optimiser without logarithms nothing to climb."""
    constant = series.loc[:"2026-03-16 03:00"] * 0 + 5.0
    fit = Ets(log=False).fit(history_of({"flat": constant}))
    said = {f.message: f.severity for f in fit.findings if f.code == "library_message"}
    (text,) = (text for text in said if "ConvergenceWarning" in text)
    assert text.startswith("flat: Ets says: ConvergenceWarning: Maximum Likelihood")
    assert said[text] == "warning"
    paths = fit.forecast("2026-03-16", "2026-03-18", draws=5).paths("flat")
    np.testing.assert_allclose(paths, 5.0)


@pytest.mark.slow
def test_the_first_fit_of_a_process_is_silent_too(tmp_path: Path):
    """Prophet's complaint about plotly at import, its log lines, pandas' deprecations."""
    script = tmp_path / "first.py"
    script.write_text(
        "import logging, os, tempfile\n"
        "import pandas as pd\n"
        "from capmodel.demand.adapters import Prophet\n"
        "from capmodel.history import History\n"
        "time = pd.date_range('2026-01-01', periods=21 * 24, freq='h', tz='UTC')\n"
        "df = pd.DataFrame({'service': 'api', 'time': time, 'rps': 100.0 + time.hour})\n"
        "fit = Prophet().fit(History.from_frame(df, business_tz='UTC'))\n"
        "print(fit.forecast('2026-01-22', '2026-01-23', draws=20).quantile(0.5).shape)\n"
        "assert 'CMDSTAN' not in os.environ\n"
        "assert len(logging.getLogger('cmdstanpy').handlers) == 1\n",  # its own, for others
        encoding="utf-8",
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path / "scratch")}
    environment.pop("CMDSTAN", None)
    (tmp_path / "scratch").mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert done.stdout == "(24, 1)\n"
    assert done.stderr == ""
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.slow
def test_told_of_the_days_prophet_lifts_them_but_not_their_evening():
    """Cyber Monday was planted as 5 times a day whose evening rises most."""
    whole = planted("2024-10-01", "2026-12-15", noise=NOISE, seed=4)
    history = history_of({"api": whole.loc[:"2026-10-31 03:00"]})
    sums, peaks = [], []
    for events in (calendar(), None):
        forecast = Prophet().fit(history, events=events).forecast("2026-11-30", "2026-12-01")
        hours = forecast.quantile(0.5)["api"]
        sums.append(float(hours.sum() / whole.reindex(hours.index).sum()))
        peaks.append(float(hours.max() / whole.reindex(hours.index).max()))
    assert sums[0] == pytest.approx(0.7, abs=0.1)
    assert sums[1] == pytest.approx(0.3, abs=0.1)
    assert max(peaks) < 0.4

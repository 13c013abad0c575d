from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from capmodel.errors import InputError
from capmodel.events import Events
from capmodel.history import History
from capmodel.plan.calls import fit_calls
from capmodel.topology import Topology

TZ = "America/New_York"
EVENTS = Events.us_retail(2025, 2026)
PEAK_DAYS = {d.date for d in EVENTS.days if d.tag == "retail_peak"}


def planted(*, event_x: float = 1.0, days: int = 150, noise: float = 0.002) -> pd.DataFrame:
    """Hourly rows: api = 4 checkouts + 0.5 searches; mail = 0.9 api; event_x on retail peak days.

    Searches have a rhythm of their own, so that the two callers can be told apart.
    """
    rng = np.random.default_rng(0)
    time = pd.date_range(end="2025-12-20", periods=24 * days, freq="h", tz="UTC")
    hour = time.tz_convert(TZ).hour.to_numpy()
    day = np.arange(len(time)) // 24
    checkouts = 100 * (1.2 + np.sin(2 * np.pi * hour / 24)) * np.exp(0.15 * np.sin(day / 3.0))
    searches = 80 * (1.5 + np.cos(2 * np.pi * hour / 24)) * np.exp(0.25 * np.cos(day / 5.0))
    local = time.tz_convert(TZ).date
    ratio = np.where([d in PEAK_DAYS for d in local], event_x, 1.0)
    jitter = np.exp(noise * rng.standard_normal((2, day.max() + 1)))
    api = (4.0 * checkouts + 0.5 * searches) * ratio * jitter[0, day]
    series = {
        "checkouts": ("per_min", 60 * checkouts),
        "searches": ("rps", searches),
        "api": ("rps", api),
        "mail": ("rps", 0.9 * api * jitter[1, day]),
    }
    frames = []
    for name, (quantity, values) in series.items():
        one = pd.DataFrame({"service": name, "time": time, "per_min": np.nan, "rps": np.nan})
        one[quantity] = values
        frames.append(one)
    return pd.concat(frames, ignore_index=True)


def test_a_long_event_does_not_become_the_ordinary_ratio() -> None:
    """70 of the last 120 days belong to the event: a median over all would be the event's."""
    start = dt.date(2025, 10, 12)
    long = Events.none().add("festival", start, days=70, tag="retail_peak")
    frame = planted()
    local = pd.DatetimeIndex(frame["time"]).tz_convert(TZ).date
    frame.loc[(frame["service"] == "mail") & (local >= start), "rps"] *= 1.5
    declared = topology({"checkouts": 4.0, "searches": 0.5}, {"api": "fit"})
    edges, _ = fit_calls(history(frame), declared, events=long)
    assert edges["api", "mail"].ratio == pytest.approx(0.9, rel=0.01)
    assert edges["api", "mail"].event_x == pytest.approx(1.5, rel=0.01)


def history(frame: pd.DataFrame) -> History:
    return History.from_frame(frame, business_tz=TZ)


def topology(api: dict[str, float | str], mail: dict[str, float | str] | None = None) -> Topology:
    services = {"searches": {}, "api": {"calls": api}, "mail": {"calls": mail or {"api": 0.9}}}
    return Topology.model_validate({"drivers": {"checkouts": {}}, "services": services})


def fit(frame: pd.DataFrame, estate: Topology):
    return fit_calls(history(frame), estate, events=EVENTS)


def test_two_callers_are_told_apart_and_stated_per_second() -> None:
    edges, findings = fit(planted(), topology({"checkouts": "fit", "searches": "fit"}))
    # checkouts are per minute: 4 requests per event all the same.
    assert edges["checkouts", "api"].ratio == pytest.approx(4.0, rel=0.01)
    assert edges["searches", "api"].ratio == pytest.approx(0.5, rel=0.05)
    assert edges["checkouts", "api"].basis == "fitted"
    assert edges["checkouts", "api"].event_x == 1.0
    assert findings == ()


def test_declared_edges_stay_as_they_are() -> None:
    edges, _ = fit(planted(), topology({"checkouts": "fit", "searches": 0.5}, {"api": 0.7}))
    assert edges["checkouts", "api"].ratio == pytest.approx(4.0, rel=0.005)
    declared = edges["searches", "api"], edges["api", "mail"]
    assert [(e.ratio, e.basis, e.log_se, e.day_log_sd) for e in declared] == [
        (0.5, "assumed", 0.0, 0.0),
        (0.7, "assumed", 0.0, 0.0),
    ]


def test_spread_from_day_to_day_and_of_the_centre() -> None:
    edges, _ = fit(
        planted(noise=0.02), topology({"checkouts": 4.0, "searches": 0.5}, {"api": "fit"})
    )
    mail = edges["api", "mail"]
    assert mail.ratio == pytest.approx(0.9, rel=0.01)
    assert mail.day_log_sd == pytest.approx(0.02, rel=0.3)
    # 17 weeks, medians of 7 days each: 1.2 * 0.02 / sqrt(7 * 17), about 0.0022.
    assert 0.001 < mail.log_se < 0.004


def test_an_event_regime_is_found_and_named() -> None:
    edges, findings = fit(planted(event_x=1.2), topology({"checkouts": "fit", "searches": "fit"}))
    edge = edges["checkouts", "api"]
    assert edge.ratio == pytest.approx(4.0, rel=0.01)  # of ordinary days
    assert edge.event_x == pytest.approx(1.2, rel=0.015)
    assert 0 < edge.event_log_se < 0.02
    assert edges["api", "mail"].event_x == 1.0
    assert [(f.code, f.service, f.severity) for f in findings] == [
        ("event_calls", "api", "info")
    ] * 2
    assert "on event days" in findings[0].message


def test_gaps_are_left_out_on_both_sides() -> None:
    """A day half in the dark compares the hours that both ends have."""
    frame = planted()
    rng = np.random.default_rng(1)
    dark = rng.random(len(frame)) < 0.10
    frame.loc[dark, ["rps", "per_min"]] = np.nan
    edges, _ = fit(frame, topology({"checkouts": "fit", "searches": "fit"}))
    assert edges["checkouts", "api"].ratio == pytest.approx(4.0, rel=0.01)
    assert edges["searches", "api"].ratio == pytest.approx(0.5, rel=0.06)


def test_too_short_a_common_history_is_refused() -> None:
    with pytest.raises(InputError, match="14 days or more") as caught:
        fit(planted(days=12), topology({"checkouts": "fit", "searches": 0.5}))
    assert caught.value.problems[0].where == "api.calls"


def test_both_ends_need_rows() -> None:
    frame = planted()
    with pytest.raises(InputError, match="no rows for searches"):
        fit(
            frame[frame["service"] != "searches"], topology({"checkouts": "fit", "searches": "fit"})
        )

"""The committed fixtures are what their generators write, and show what was planted.

Nothing of capmodel is imported here: the truth must not depend on the library that it judges.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

FIXTURES = Path(__file__).parent.parent / "data" / "fixtures"
SHOP = FIXTURES / "shop"
TZ = "America/New_York"
# One unit of the fourth digit: what a last-bit difference between machines can turn.
FOURTH_DIGIT = 1.001e-3


def load(path: Path) -> ModuleType:
    """Load a generator that is no part of any package; what stands beside it must be importable."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which the shop was generated once more."""
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SHOP))
        load(SHOP / "generate.py").generate(folder)
        for name in ("shop_generate", "simulate", "estate"):
            sys.modules.pop(name, None)
    return folder


@pytest.fixture(scope="module")
def history() -> pd.DataFrame:
    return pd.read_parquet(SHOP / "history.parquet")


@pytest.fixture(scope="module")
def minutes() -> pd.DataFrame:
    return pd.read_parquet(SHOP / "minutes.parquet")


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    return dict(yaml.safe_load((SHOP / "truth.yaml").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModuleType, Path]:
    """Return the clean shop's generator and a folder that it wrote."""
    folder = tmp_path_factory.mktemp("clean")
    module = load(FIXTURES / "clean" / "generate.py")
    module.generate(folder)
    return module, folder


def node(frame: pd.DataFrame, service: str, quantity: str) -> pd.Series:
    """Return one node's quantity by UTC time, each time once."""
    rows = frame[frame.service == service].drop_duplicates(["service", "time"])
    return rows.set_index("time")[quantity]


def local(series: pd.Series) -> pd.DatetimeIndex:
    """Return the local times of a series that is indexed by UTC times."""
    return pd.DatetimeIndex(series.index).tz_convert(TZ)


def span(accident: dict[str, str]) -> pd.DatetimeIndex:
    """Return the hours of an accident, end exclusive."""
    start, end = (pd.Timestamp(accident[key], tz="UTC") for key in ("start", "end"))
    return pd.date_range(start, end, freq="h", inclusive="left")


# --- the files -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["history", "minutes"])
def test_regenerated_values_equal_the_committed_ones(again: Path, name: str) -> None:
    old = pd.read_parquet(SHOP / f"{name}.parquet")
    new = pd.read_parquet(again / f"{name}.parquet")
    assert list(new.columns) == list(old.columns)
    assert new[["service", "time"]].equals(old[["service", "time"]])
    for column in new.columns.drop(["service", "time"]):
        if column == "tag":
            assert new.tag.equals(old.tag)
            continue
        np.testing.assert_allclose(
            new[column], old[column], rtol=FOURTH_DIGIT, equal_nan=True, err_msg=column
        )


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Return every leaf of a YAML document by its path."""
    if isinstance(value, dict):
        items = [leaves(v, f"{path}.{k}") for k, v in value.items()]
    elif isinstance(value, list):
        items = [leaves(v, f"{path}[{i}]") for i, v in enumerate(value)]
    else:
        return {path: value}
    return {key: leaf for item in items for key, leaf in item.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["truth", "topology", "study"])
def test_regenerated_documents_equal_the_committed_ones(again: Path, name: str) -> None:
    old, new = (
        leaves(yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8")))
        for folder in (SHOP, again)
    )
    assert new.keys() == old.keys()
    for path, value in old.items():
        expected = pytest.approx(value, rel=1e-5) if isinstance(value, float) else value
        assert new[path] == expected, path


def test_all_files_together_stay_within_ten_megabytes() -> None:
    files = [path for path in FIXTURES.glob("*/*") if path.is_file()]  # not caches below
    assert sum(path.stat().st_size for path in files) <= 10_000_000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["history", "minutes"])
def test_values_have_four_significant_digits(name: str) -> None:
    frame = pd.read_parquet(SHOP / f"{name}.parquet")
    sample = frame.select_dtypes("float").to_numpy().ravel()[::997]
    sample = sample[np.isfinite(sample)]
    assert len(sample) > 1000
    assert all(float(f"{value:.4g}") == value for value in sample)


def test_the_history_is_hourly_from_2023_to_2026_09_20_utc(history: pd.DataFrame) -> None:
    assert str(history.time.dt.tz) == "UTC"
    expected = pd.date_range("2023-01-01", "2026-09-20T23:00", freq="h", tz="UTC")
    assert (node(history, "checkouts", "per_min").index == expected).all()
    assert history.equals(history.sort_values(["service", "time"], kind="stable"))


def test_the_minutes_are_whole_local_days_and_average_to_the_hours(
    history: pd.DataFrame, minutes: pd.DataFrame
) -> None:
    fine = node(minutes, "checkouts", "per_min")
    per_day = fine.groupby(local(fine).date).size()
    assert len(per_day) == 7 + 14
    assert (per_day == 24 * 60).all()
    measured = {"checkouts": "per_min", "ledger": "rps", "checkout-api": "cpu_cores"}
    for service, quantity in measured.items():
        hours = node(minutes, service, quantity).resample("h").mean().dropna()
        coarse = node(history, service, quantity)[hours.index]
        np.testing.assert_allclose(coarse, hours, rtol=FOURTH_DIGIT, err_msg=service)


# --- the calendar ----------------------------------------------------------------------------


def test_the_evening_peak_of_cyber_monday_is_tuesday_in_utc(
    history: pd.DataFrame, minutes: pd.DataFrame, truth: dict[str, Any]
) -> None:
    fine = node(minutes, "checkouts", "per_min")
    busiest = pd.DatetimeIndex(fine.index)[int(fine.argmax())]
    assert str(busiest.tz_convert(TZ).date()) == "2025-12-01"
    assert str(busiest.date()) == "2025-12-02"
    peak = truth["peaks"]["checkouts"]
    assert fine.max() == pytest.approx(peak["cyber_monday_2025_per_min"], rel=FOURTH_DIGIT)
    assert f"{busiest.floor('h'):%Y-%m-%dT%H:%M}" == peak["cyber_monday_2025_utc_hour"]
    checkouts = node(history, "checkouts", "per_min")["2025-11":"2025-12"]
    by_local_day = checkouts.groupby(local(checkouts).date).mean()
    assert str(by_local_day.idxmax()) == "2025-12-01"


def test_local_days_have_23_and_25_hours_at_the_clock_changes(history: pd.DataFrame) -> None:
    checkouts = node(history, "checkouts", "per_min")
    hours = checkouts.groupby(local(checkouts).date).size().iloc[1:-1]
    hours.index = hours.index.map(str)
    assert list(hours.index[hours == 23]) == [
        "2023-03-12", "2024-03-10", "2025-03-09", "2026-03-08"]  # fmt: skip
    assert list(hours.index[hours == 25]) == ["2023-11-05", "2024-11-03", "2025-11-02"]
    assert set(hours) == {23, 24, 25}


@pytest.mark.parametrize(
    ("name", "dates"),  # U.S. calendars of these years
    [
        ("thanksgiving", ["2023-11-23", "2024-11-28", "2025-11-27"]),
        ("cyber_monday", ["2023-11-27", "2024-12-02", "2025-12-01"]),
        ("memorial_day", ["2023-05-29", "2024-05-27", "2025-05-26", "2026-05-25"]),
        ("mothers_day", ["2023-05-14", "2024-05-12", "2025-05-11", "2026-05-10"]),
        ("labor_day", ["2023-09-04", "2024-09-02", "2025-09-01", "2026-09-07"]),
        ("presidents_day", ["2023-02-20", "2024-02-19", "2025-02-17", "2026-02-16"]),
        ("martin_luther_king_day", ["2023-01-16", "2024-01-15", "2025-01-20", "2026-01-19"]),
    ],
)
def test_events_fall_on_their_dates(truth: dict[str, Any], name: str, dates: list[str]) -> None:
    assert list(truth["lifts"]["checkouts"][name]["by_day_x"]) == dates


def test_day_lifts_scatter_by_three_percent_around_the_planted_ones(truth: dict[str, Any]) -> None:
    off = [
        np.log(day / event["planted_x"])
        for driver in truth["lifts"].values()
        for event in driver.values()
        for day in event["by_day_x"].values()
    ]
    assert len(off) > 150
    assert np.std(off) == pytest.approx(0.024, abs=0.005)  # 0.022 a day, 0.030 in the cyber week
    assert np.max(np.abs(off)) < 0.12


@pytest.mark.parametrize("year", [2023, 2024, 2025])
def test_the_planted_lift_of_cyber_monday_shows_in_the_raw_days(
    history: pd.DataFrame, truth: dict[str, Any], year: int
) -> None:
    checkouts = node(history, "checkouts", "per_min")
    days = checkouts.groupby(pd.DatetimeIndex(local(checkouts).date)).mean()
    planted = truth["lifts"]["checkouts"]["cyber_monday"]["by_day_x"]
    day = next(pd.Timestamp(text) for text in planted if text.startswith(str(year)))
    ordinary = days[[day - pd.Timedelta(days=14), day + pd.Timedelta(days=7)]].mean()
    # Two noisy Mondays around a season that turns: good to a tenth.
    assert days[day] / ordinary == pytest.approx(planted[str(day)[:10]], rel=0.10)
    hours = checkouts[local(checkouts).date == day.date()]
    before = checkouts[hours.index - pd.Timedelta(days=14)].to_numpy()
    ratio = pd.Series(hours.to_numpy() / before, index=local(hours).hour)
    assert ratio[18:23].mean() > 1.15 * ratio[5:9].mean()


def test_growth_bends_from_thirty_percent_down(truth: dict[str, Any]) -> None:
    growth = truth["growth"]
    before = growth["cyber_monday_2025_over_2024_x"]["checkouts"]["event_free_x"]
    now = growth["yoy_28_days"]["checkouts"]["event_free_x"]
    assert before == pytest.approx(1.30, abs=0.02)
    # Of the 364 days to mid-window (2026-09-06), 148 lie before the bend at the old slope.
    mixed = np.exp((np.log(1.30) * 148 + np.log(1.18) * 216) / 365.25)
    assert now == pytest.approx(mixed, abs=0.01)


# --- usage and limits ------------------------------------------------------------------------


def test_at_least_eight_of_twelve_services_are_identifiable(truth: dict[str, Any]) -> None:
    services = truth["services"]
    assert len(services) == 12
    assert sum(service["identifiable"] for service in services.values()) >= 8
    assert all(s["identifiable"] or s["reason"] for s in services.values())


def relative_least_squares(rows: pd.DataFrame, planted: np.ndarray) -> tuple[np.ndarray, ...]:
    """Fit cores = a pods + b rps, relative errors, without the worst 3 %: (a, b), their errors."""
    loads, cores = rows[["replicas", "rps"]].to_numpy(), rows.cpu_cores.to_numpy()
    weight = 1 / (loads @ planted)
    off = np.abs(cores * weight - np.median(cores * weight))
    kept = off < np.quantile(off, 0.97)
    scaled = loads[kept] * weight[kept, None]
    fitted, *_ = np.linalg.lstsq(scaled, cores[kept] * weight[kept])
    residual_sd = np.std(cores[kept] * weight[kept] - scaled @ fitted)
    return fitted, residual_sd * np.sqrt(np.diag(np.linalg.inv(scaled.T @ scaled)))


def test_what_is_called_identifiable_can_be_told_and_the_rest_cannot(
    history: pd.DataFrame, truth: dict[str, Any]
) -> None:
    deploy = pd.Timestamp(truth["accidents"]["deploy"]["at"], tz="UTC")
    for name, service in truth["services"].items():
        rows = history[(history.service == name) & (history.cpu_cores > 0)].drop_duplicates()
        cost = service["cpu_core_s_per_request"]
        if "regimes" in service:
            rows = rows[rows.time > deploy]
        if "nightly_batch" in service:  # told apart by its hours; a fit that does not is biased
            rows = rows[~rows.time.dt.tz_convert(TZ).dt.hour.isin([2, 3])]
        planted = np.array([service["cpu_cores_per_pod"], cost])
        fitted, error = relative_least_squares(rows, planted)
        if service["identifiable"]:
            assert fitted[1] == pytest.approx(cost, rel=0.03), name
            assert error[1] < 0.01 * cost, name
        else:
            assert error[1] > 0.10 * cost, name


def test_pods_are_not_proportional_to_requests(history: pd.DataFrame) -> None:
    for name in ("edge-gateway", "checkout-api", "underwriting", "ledger"):
        pods, rps = node(history, name, "replicas"), node(history, name, "rps")
        assert np.std(np.log(pods / rps)) > 0.10, name


def test_bursts_are_stronger_on_sale_evenings(minutes: pd.DataFrame, truth: dict[str, Any]) -> None:
    fine = node(minutes, "checkouts", "per_min")
    by_hour = fine.resample("h")
    ratio = (by_hour.max() / by_hour.mean()).dropna()
    evening = ratio[local(ratio).hour >= 17]
    sale, ordinary = evening[:"2025-12-31"], evening["2026":]
    planted = truth["burst"]["checkouts"]
    assert sale.mean() == pytest.approx(planted["minutes_sale_day_evening"]["mean_x"], rel=1e-3)
    assert ordinary.mean() == pytest.approx(planted["minutes_ordinary_evening"]["mean_x"], rel=1e-3)
    assert ordinary.mean() == pytest.approx(1.15, abs=0.03)
    assert sale.mean() == pytest.approx(1.28, abs=0.04)


def test_calls_per_checkout_are_the_planted_ones(
    history: pd.DataFrame, truth: dict[str, Any]
) -> None:
    per_s = node(history, "checkouts", "per_min") / 60
    for name, service in truth["services"].items():
        if list(service["calls"]) == ["checkouts"]:
            rps = node(history, name, "rps")
            tested = history[(history.service == name) & history.tag.notna()].time
            rps = rps.drop(tested)
            expected = service["calls"]["checkouts"]
            # Underwriting's sale days, 4 % of all traffic, are called 6 % more often.
            assert rps.sum() / per_s[rps.index].sum() == pytest.approx(expected, rel=0.005), name


def test_connections_were_near_their_limit_last_season(history: pd.DataFrame) -> None:
    topology = yaml.safe_load((SHOP / "topology.yaml").read_text(encoding="utf-8"))
    database, services = topology["databases"]["core-db"], topology["services"]
    today = sum(
        services[user]["replicas"]["today"] * calls["pool_max"]
        for user, calls in database["used_by"].items()
    )
    assert 0.85 * database["max_connections"] / today > 2.3
    assert database["max_connections"] / today < 2.9
    connections = node(history, "core-db", "connections")
    assert 0.8 < connections.max() / database["max_connections"] < 1.0


def test_pods_today_lie_within_the_autoscalers_bounds() -> None:
    services = yaml.safe_load((SHOP / "topology.yaml").read_text(encoding="utf-8"))["services"]
    assert len(services) == 12
    for name, service in services.items():
        pods = service["replicas"]
        assert pods["min"] <= pods["today"] <= pods["max"], name


# --- accidents -------------------------------------------------------------------------------


def test_the_gap_is_thirty_missing_hours_of_one_service(
    history: pd.DataFrame, truth: dict[str, Any]
) -> None:
    gap = truth["accidents"]["gap"]
    rows = node(history, gap["service"], "rps")
    every = pd.date_range(rows.index[0], rows.index[-1], freq="h")
    missing = every.difference(pd.DatetimeIndex(rows.index))
    assert len(missing) == 30
    assert (missing == span(gap)).all()


def test_the_outage_is_one_hour_of_zeros_with_its_callees(
    history: pd.DataFrame, truth: dict[str, Any]
) -> None:
    outage = truth["accidents"]["outage"]
    hours = span(outage)
    assert len(hours) == 1
    for service in outage["services"]:
        rps = node(history, service, "rps")
        assert list(rps.index[rps == 0]) == list(hours), service
    reads = node(history, "account-db", "qps_read")
    assert list(reads.index[reads == 0]) == list(hours)
    down = history[(history.service == outage["services"][0]) & history.time.isin(hours)]
    assert (down[["cpu_cores", "replicas", "memory_gib"]] == 0).all(axis=None)


def test_one_day_of_one_service_stands_twice_and_identical(
    history: pd.DataFrame, truth: dict[str, Any]
) -> None:
    duplicate = truth["accidents"]["duplicate"]
    twice = history[history.duplicated(["service", "time"])]
    assert set(twice.service) == {duplicate["service"]}
    assert (pd.DatetimeIndex(twice.time) == span(duplicate)).all()
    assert len(twice) == 24
    assert history.duplicated().sum() == 24


def test_the_load_test_is_tagged_and_triples_requests_and_cpu(
    history: pd.DataFrame, truth: dict[str, Any]
) -> None:
    test = truth["accidents"]["load_test"]
    tagged = history[history.tag.notna()]
    assert set(tagged.tag) == {"load_test"}
    assert set(tagged.service) == {test["service"]}
    assert (pd.DatetimeIndex(tagged.time) == span(test)).all()
    week_before = pd.DatetimeIndex(tagged.time) - pd.Timedelta(days=7)
    for quantity in ("rps", "cpu_cores"):
        ordinary = node(history, test["service"], quantity)[week_before].to_numpy()
        assert tagged[quantity].to_numpy() / ordinary == pytest.approx(3.0, rel=0.2), quantity


def test_the_deploy_raises_the_cost_of_a_request_by_a_fifth(
    history: pd.DataFrame, truth: dict[str, Any]
) -> None:
    deploy = truth["accidents"]["deploy"]
    cores, rps, pods = (
        node(history, deploy["service"], q) for q in ("cpu_cores", "rps", "replicas")
    )
    idle = truth["services"][deploy["service"]]["cpu_cores_per_pod"] * pods
    cost = (cores - idle) / rps
    at = pd.Timestamp(deploy["at"], tz="UTC")
    month = pd.Timedelta(days=28)
    before = cost[at - month : at - pd.Timedelta(hours=2)].mean()
    after = cost[at + pd.Timedelta(hours=1) : at + month].mean()
    assert after / before == pytest.approx(deploy["per_request_x"], abs=0.01)


def test_one_service_was_born_in_march_2026(history: pd.DataFrame, truth: dict[str, Any]) -> None:
    born = truth["accidents"]["born"]
    first = history.groupby("service").time.min()
    late = first[first > first.min()]
    assert list(late.index) == [born["service"]]
    assert late.iloc[0] == pd.Timestamp(born["at"], tz="UTC")
    assert str(late.iloc[0].date()) == "2026-03-11"


# --- the clean shop --------------------------------------------------------------------------


def test_the_clean_shop_peaks_on_cyber_monday_evening(clean: tuple[ModuleType, Path]) -> None:
    module, folder = clean
    frame = pd.read_parquet(folder / "history.parquet")
    assert list(frame.columns) == ["service", "time", "per_min"]
    times = pd.date_range("2023-01-01", "2026-06-30T23:00", freq="h", tz="UTC")
    assert (pd.DatetimeIndex(frame.time) == times).all()
    noise = np.log(frame.per_min.to_numpy() / module.expected(times))
    assert np.std(noise) == pytest.approx(0.03, rel=0.03)
    future = pd.date_range("2026-10-01", "2027-01-05", freq="h", tz="UTC")
    busiest = future[module.expected(future).argmax()]
    assert f"{busiest:%Y-%m-%dT%H}" == "2026-12-01T01"
    assert f"{busiest.tz_convert(TZ):%Y-%m-%dT%H}" == "2026-11-30T20"


def test_the_clean_shop_misleads_calendar_months(clean: tuple[ModuleType, Path]) -> None:
    module, _ = clean
    times = pd.date_range("2025-10-31", "2027-01-02", freq="h", tz="UTC")
    local = times.tz_convert(TZ).tz_localize(None)
    hourly = pd.Series(module.expected(times), index=local)
    months = hourly.groupby(local.to_period("M")).sum()
    # About +44 % and +15 %, where everything truly grows by 30 %: Cyber Monday changes month.
    assert months["2026-11"] / months["2025-11"] == pytest.approx(1.44, abs=0.02)
    assert months["2026-12"] / months["2025-12"] == pytest.approx(1.15, abs=0.02)
    days = hourly.groupby(local.normalize()).sum()
    assert days["2026-11-30"] / days["2025-12-01"] == pytest.approx(1.30, abs=0.005)


@pytest.mark.parametrize("name", ["study", "topology", "truth"])
def test_the_clean_shop_writes_its_documents(clean: tuple[ModuleType, Path], name: str) -> None:
    document = yaml.safe_load((clean[1] / f"{name}.yaml").read_text(encoding="utf-8"))
    expected = {
        "study": "scenarios",
        "topology": "drivers",
        "truth": "lifts_x",
    }
    assert document[expected[name]]

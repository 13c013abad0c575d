"""check(): planted dirt is found where it was planted, and healthy data raises nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capmodel.history import History
from capmodel.history.arrays import runs_of, sorted_median
from capmodel.history.suspects import find_spikes

NEW_YORK = "America/New_York"
DAYS = 120


def load(seed=0, *, days=DAYS, level=50.0, growth_x=1.3, noise=0.03, step_min=60):
    """Requests per second with a day, a week, growth per year and log-normal noise."""
    n = days * 1440 // step_min
    local = pd.date_range("2026-01-05", periods=n, freq=f"{step_min}min", tz="UTC").tz_convert(
        NEW_YORK
    )
    hour = local.hour.to_numpy() + local.minute.to_numpy() / 60
    weekend = (local + pd.Timedelta(0)).day_of_week.to_numpy() >= 5
    shape = 1 + 0.6 * np.sin((hour - 14) / 24 * 2 * np.pi)
    trend = growth_x ** (np.arange(n) * step_min / 1440 / 365)
    rng = np.random.default_rng(seed)
    return level * shape * trend * np.where(weekend, 0.8, 1.0) * np.exp(noise * rng.normal(size=n))


def history(*, step_min=60, tag=None, **services):
    """Build a history from {service: {quantity: values}}."""
    parts = []
    for name, quantities in services.items():
        n = len(next(iter(quantities.values())))
        times = pd.date_range("2026-01-05", periods=n, freq=f"{step_min}min", tz="UTC")
        parts.append(pd.DataFrame({"service": name, "time": times, **quantities}))
    df = pd.concat(parts, ignore_index=True)
    if tag is not None:
        df["tag"] = tag
    return History.from_frame(df, business_tz=NEW_YORK)


def found(built, code):
    return [finding for finding in built.check() if finding.code == code]


def hidden(built, quantity="rps", **arguments):
    """Steps of the only service that masked() hides."""
    before, after = built.array(quantity)[0], built.masked(**arguments).array(quantity)[0]
    return np.flatnonzero(np.isnan(after) & ~np.isnan(before)).tolist()


# ---------------------------------------------------------------- nothing to find


@settings(max_examples=15)
@given(
    seed=st.integers(0, 1000),
    level=st.sampled_from([0.01, 1.0, 5000.0]),
    growth_x=st.sampled_from([0.3, 1.0, 1.3, 5.0, 100.0]),
    noise=st.sampled_from([0.01, 0.05, 0.2]),
)
def test_healthy_services_raise_nothing(seed, level, growth_x, noise):
    rps = load(seed, level=level, growth_x=growth_x, noise=noise)
    cpu = 0.5 + 0.085 * rps * np.exp(0.03 * np.random.default_rng(seed + 1).normal(size=len(rps)))
    built = history(api={"rps": rps, "cpu_cores": cpu, "replicas": np.ceil(rps / (level / 5))})
    assert built.check().codes == ()
    assert built.masked().digest() == built.digest()


def test_events_are_no_findings():
    rps = load()
    rps[24 * 60 : 24 * 63] *= 20  # three days at 20 times normal
    rps[24 * 80 + 20] *= 40  # a flash hour
    rps[24 * 90 : 24 * 91] *= 0.1  # a holiday
    built = history(api={"rps": rps, "cpu_cores": 0.1 * rps})
    assert built.check().codes == ()


def test_a_launch_is_neither_an_outage_nor_a_unit_mistake():
    rps = load()
    rps[: 24 * 50] /= 60  # shadow traffic before the launch
    built = history(api={"rps": rps, "cpu_cores": 0.2 * rps})
    assert built.check().codes == ()


def test_a_canary_ramp_is_no_outage():
    rps = load()
    rps[: 24 * 20] = np.nan
    for day, share in ((20, 0.02), (21, 0.08), (22, 0.25), (23, 0.6)):
        rps[24 * day : 24 * (day + 1)] *= share
    assert found(history(api={"rps": rps}), "outage") == []


def test_a_service_that_grows_a_hundredfold_has_no_outage():
    rps = load(days=500, growth_x=100.0)
    assert history(api={"rps": rps}).check().codes == ()


def test_sparse_counts_are_no_outages():
    per_min = np.random.default_rng(3).poisson(2.0, 24 * DAYS) / 60.0  # two an hour
    assert history(api={"per_min": per_min}).check().codes == ()


def test_a_batch_service_that_is_often_silent_has_no_outages():
    rps = load() * (np.random.default_rng(4).random(24 * DAYS) < 0.7)
    assert history(api={"rps": rps}).check().codes == ()


def test_a_service_closed_at_night_has_no_outages():
    rps = load()
    local = pd.date_range("2026-01-05", periods=len(rps), freq="h", tz="UTC").tz_convert(NEW_YORK)
    rps[(local.hour < 9) | (local.hour >= 17)] = 0.0
    assert history(api={"rps": rps}).check().codes == ()


# ---------------------------------------------------------------- outages


def test_an_outage_hour_is_found_and_masks_every_quantity():
    rps = load()
    at = 24 * 40 + 15
    rps[at] = 0.0
    built = history(api={"rps": rps, "cpu_cores": 1 + 0.1 * rps})
    (outage,) = found(built, "outage")
    assert outage.data["runs"] == [{"from": "2026-02-14 10:00", "steps": 1}]
    assert outage.severity == "warning"
    assert hidden(built) == [at]
    assert hidden(built, "cpu_cores") == [at]


def test_partial_steps_beside_an_outage_are_masked_too():
    rps = load()
    at = 24 * 40 + 15
    rps[at : at + 3] = 0.0
    rps[at - 1] *= 0.6
    rps[at + 3] *= 0.7
    built = history(api={"rps": rps})
    (outage,) = found(built, "outage")
    assert (outage.data["steps"], outage.data["partial_steps"]) == (3, 2)
    assert hidden(built) == list(range(at - 1, at + 4))


def test_a_trickle_is_an_outage_for_hours_but_not_for_days():
    for hours, expected in ((6, 6), (30, 0)):
        rps = load()
        rps[24 * 40 + 10 : 24 * 40 + 10 + hours] *= 0.02
        assert len(hidden(history(api={"rps": rps}))) == expected


def test_zeros_for_whole_local_days_are_kept_and_reported():
    rps = load()
    local = pd.date_range("2026-01-05", periods=len(rps), freq="h", tz="UTC").tz_convert(NEW_YORK)
    rps[local.strftime("%Y-%m-%d") == "2026-03-08"] = 0.0  # the 23-hour day
    built = history(api={"rps": rps})
    (zeros,) = found(built, "zero_run")
    assert zeros.data["runs"] == [{"from": "2026-03-08 00:00", "steps": 23}]
    assert hidden(built) == []
    assert found(built, "outage") == []


def test_an_outage_over_midnight_and_a_whole_day_is_one_outage():
    rps = load()
    rps[24 * 40 : 24 * 42 + 9] = 0.0
    built = history(api={"rps": rps})
    assert hidden(built) == list(range(24 * 40, 24 * 42 + 9))
    assert len(found(built, "outage")[0].data["runs"]) == 1


def test_zeros_for_a_month_are_kept_and_reported():
    rps = load()
    rps[24 * 40 + 5 : 24 * 70] = 0.0
    built = history(api={"rps": rps})
    assert built.check().codes == ("zero_run",)
    assert hidden(built) == []


def test_zero_filled_cpu_masks_cpu_only():
    rps = load()
    cpu = 1 + 0.1 * rps
    cpu[500:503] = 0.0
    built = history(api={"rps": rps, "cpu_cores": cpu})
    assert found(built, "outage")[0].data["quantities"] == ["cpu_cores"]
    assert hidden(built, "cpu_cores") == [500, 501, 502]
    assert hidden(built, "rps") == []


def test_an_outage_in_minutes_is_found():
    rps = load(days=15, step_min=1)
    at = 1440 * 10 + 600
    rps[at : at + 25] = 0.0
    rps[at + 25] *= 0.5
    built = history(api={"rps": rps}, step_min=1)
    assert hidden(built) == list(range(at, at + 26))


@settings(max_examples=20)
@given(at=st.integers(48, 24 * DAYS - 48), hours=st.integers(1, 9), seed=st.integers(0, 99))
def test_an_outage_anywhere_is_found_exactly(at, hours, seed):
    rps = load(seed)
    rps[at : at + hours] = 0.0
    assert hidden(history(api={"rps": rps})) == list(range(at, at + hours))


# ---------------------------------------------------------------- gaps, births, ends


def test_gaps_are_counted_and_the_longest_is_dated():
    rps = load()
    rps[100:103] = np.nan
    rps[500:526] = np.nan
    built = history(api={"rps": rps, "cpu_cores": np.ones(len(rps))})
    (gap,) = found(built, "gap")
    assert gap.data == {
        "missing": {"rps": 29}, "longest_steps": 26, "longest_from": "2026-01-25 15:00"
    }  # fmt: skip
    assert "26 hours" in gap.message or "1.08 days" in gap.message


def test_birth_and_end_beyond_two_weeks_are_no_gaps():
    late, early, whole, nearly = load(1), load(2), load(3), load(4)
    late[: 24 * 60] = np.nan
    early[24 * 90 :] = np.nan
    nearly[: 24 * 14] = np.nan
    built = history(
        late={"rps": late}, early={"rps": early}, whole={"rps": whole}, nearly={"rps": nearly}
    )
    codes = {(f.code, f.service) for f in built.check()}
    assert codes == {("born_late", "late"), ("ended_early", "early"), ("gap", "nearly")}
    assert found(built, "born_late")[0].data["first"] == "2026-03-05 19:00"


def test_short_histories_are_errors_unless_fine():
    built = history(api={"rps": load(days=13)})
    assert [f.code for f in built.check().errors()] == ["too_short"]
    assert built.check(fine=True).codes == ()
    assert history(api={"rps": load(days=14)}).check().codes == ()


def test_a_service_without_values_or_with_few_days_is_an_error_of_its_own():
    few = load()
    few[: -24 * 5] = np.nan
    built = history(api={"rps": load()}, few={"rps": few}, none={"rps": np.full(len(few), np.nan)})
    errors = {(f.code, f.service) for f in built.check().errors()}
    assert errors == {("too_short", "few"), ("all_nan", "none")}
    assert {f.code for f in built.check().errors(accept=["too_short"])} == {"all_nan"}


# ---------------------------------------------------------------- values


def test_negative_values_are_masked_in_their_quantity():
    rps = load()
    rps[700] = -120.0
    built = history(api={"rps": rps, "cpu_cores": np.ones(len(rps))})
    (negative,) = found(built, "negative")
    assert negative.data["steps"] == 1
    assert hidden(built, "rps") == [700]
    assert hidden(built, "cpu_cores") == []
    assert built.check().codes == ("negative",)


def test_a_counter_jump_is_masked():
    rps = load()
    rps[700] = 107_000.0
    built = history(api={"rps": rps})
    assert built.check().codes == ("reset",)
    assert hidden(built) == [700]


def test_a_spike_needs_a_hundred_times_the_rest():
    values = load()[None].copy()
    values[0, 700] = 99 * np.sort(values[0])[-4]
    assert not find_spikes(values).any()
    values[0, 700] = 101 * np.sort(values[0])[-5]
    assert np.flatnonzero(find_spikes(values)[0]).tolist() == [700]


def test_tags_mask_unless_they_are_kept():
    rps = load()
    tag = np.full(len(rps), "", dtype=object)
    tag[300:304] = "load_test"
    tag[400] = "outage"
    tag[500] = "deploy"
    rps[300:304] *= 5
    built = history(api={"rps": rps}, tag=tag)
    assert built.check().codes == ("load_test", "outage")
    assert hidden(built) == [300, 301, 302, 303, 400]
    assert hidden(built, keep_tags=("load_test",)) == [400]
    assert built.masked().tags["load_test"][0].sum() == 4


@pytest.mark.parametrize("factor", [60.0, 1 / 60, 1000.0, 3600.0])
def test_a_change_of_unit_is_an_error_with_its_day(factor):
    rps = load()
    cpu = 1 + 0.1 * rps
    rps[24 * 70 + 7 :] *= factor
    built = history(api={"rps": rps, "cpu_cores": cpu})
    (suspect,) = found(built, "unit_suspect")
    assert suspect.severity == "error"
    assert suspect.data["quantity"] == "rps"
    assert suspect.data["date"] == "2026-03-16"
    assert suspect.data["ratio"] == pytest.approx(factor, rel=0.1)


def test_a_month_in_the_wrong_unit_is_an_error():
    rps = load()
    rps[24 * 40 : 24 * 70] *= 60
    assert len(found(history(api={"rps": rps}), "unit_suspect")) == 1


@pytest.mark.parametrize("factor", [2.0, 10.0, 30.0, 200.0])
def test_other_level_changes_are_no_unit_mistake(factor):
    rps = load()
    rps[24 * 70 :] *= factor
    assert found(history(api={"rps": rps}), "unit_suspect") == []


def test_a_week_at_sixty_times_is_no_unit_mistake():
    rps = load()
    rps[24 * 70 : 24 * 79] *= 60
    assert found(history(api={"rps": rps}), "unit_suspect") == []


def test_a_unit_change_is_seen_beside_a_larger_passing_jump():
    rps = load()
    rps[24 * 30 : 24 * 39] *= 1000
    rps[24 * 70 :] *= 60
    (suspect,) = found(history(api={"rps": rps}), "unit_suspect")
    assert suspect.data["factor"] == 60.0


def test_growth_through_sixty_is_no_unit_mistake():
    rps = load()
    ramp = np.exp(np.clip((np.arange(len(rps)) - 24 * 60) / (24 * 10), 0, 1) * np.log(60))
    assert found(history(api={"rps": rps * ramp}), "unit_suspect") == []


def test_impossible_sizes_are_errors():
    rps = load()
    n = len(rps)
    built = history(
        milli={"rps": rps, "cpu_cores": 400 * np.ones(n), "replicas": np.full(n, 2.0)},
        byte={"rps": rps, "memory_gib": 8e9 * np.ones(n), "replicas": np.full(n, 2.0)},
        same={"rps": rps, "per_min": rps},
        good={"rps": rps, "per_min": 60 * rps, "cpu_cores": 0.1 * rps, "replicas": np.full(n, 9.0)},
    )
    assert {f.service for f in found(built, "unit_suspect")} == {"milli", "byte", "same"}


# ---------------------------------------------------------------- saturation


def test_a_cap_under_rising_load_is_saturation_and_stays():
    rps = load()
    rng = np.random.default_rng(9)
    asked = 0.1 * rps * np.exp(0.02 * rng.normal(size=len(rps)))
    cpu = np.minimum(asked, 6.5)
    built = history(api={"rps": rps, "cpu_cores": cpu})
    (saturation,) = found(built, "saturation")
    assert saturation.data["ceiling"] == 6.5
    assert saturation.data["asked"] == pytest.approx(asked.max(), rel=0.1)
    assert hidden(built, "cpu_cores") == []


def test_last_seasons_cap_is_seen_although_it_was_raised():
    rps = load(days=200, growth_x=1.0)
    cpu = 0.1 * rps
    cpu[24 * 60 : 24 * 63] = np.minimum(2 * cpu[24 * 60 : 24 * 63], 10.0)
    rps[24 * 60 : 24 * 63] *= 2
    cpu[24 * 150 :] *= 1.5
    rps[24 * 150 :] *= 1.5
    (saturation,) = found(history(api={"rps": rps, "cpu_cores": cpu}), "saturation")
    assert saturation.data["ceiling"] == 10.0
    assert saturation.data["first"].startswith("2026-03-0")


@pytest.mark.parametrize("per_pod", [10.0, 25.0, 60.0])
def test_an_autoscaler_that_works_is_not_saturated(per_pod):
    rps = load()
    assert found(history(api={"rps": rps, "replicas": np.ceil(rps / per_pod)}), "saturation") == []


def test_an_autoscaler_at_its_maximum_is_saturated():
    rps = load()
    built = history(api={"rps": rps, "replicas": np.minimum(np.ceil(rps / 4), 15)})
    assert found(built, "saturation")[0].data["ceiling"] == 15


def test_fixed_or_prescaled_replicas_are_not_saturated():
    rps = load()
    replicas = np.full(len(rps), 6.0)
    replicas[24 * 60 : 24 * 75] = 10.0
    assert found(history(api={"rps": rps, "replicas": replicas}), "saturation") == []


# ---------------------------------------------------------------- helpers


@given(rows=st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=4))
def test_runs_rebuild_the_mask(rows):
    mask = np.array(rows)
    rebuilt = np.zeros_like(mask)
    runs = runs_of(mask)
    for row, first, length in zip(runs.row, runs.first, runs.length, strict=True):
        assert not rebuilt[row, first - 1] or first == 0
        rebuilt[row, first : first + length] = True
    np.testing.assert_array_equal(rebuilt, mask)


@given(
    cells=st.lists(
        st.lists(st.one_of(st.just(np.nan), st.floats(-5, 5)), min_size=5, max_size=5), min_size=1
    )
)
def test_sorted_median_is_the_nanmedian(cells):
    values = np.array(cells)
    seen = ~np.isnan(values).all(axis=1)
    expected = np.nanmedian(values[seen], axis=1)
    np.testing.assert_allclose(sorted_median(values, axis=1)[seen], expected, atol=1e-12)
    assert np.isnan(sorted_median(values, axis=1)[~seen]).all()

"""The doors without a fit: given quantiles and declared levels."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from demand_worlds import TZ, calendar

from capmodel.demand import GivenDemand, declared_roots
from capmodel.errors import InputError
from capmodel.schema import order_statistic


def frame(start="2026-10-25", end="2026-11-08", services=("checkouts",)):
    """Hourly quantiles over the autumn clock change, different in every hour."""
    time = pd.date_range(start, end, freq="h", tz=TZ, inclusive="left")
    rng = np.random.default_rng(0)
    parts = []
    for service in services:
        p50 = rng.uniform(50, 200, len(time))
        low, high = rng.uniform(0.5, 0.9, len(time)), rng.uniform(1.1, 2, len(time))
        parts.append(
            pd.DataFrame(
                {"service": service, "time": time, "p10": p50 * low, "p50": p50, "p90": p50 * high}
            )
        )
    return pd.concat(parts, ignore_index=True)


def test_every_hour_keeps_its_quantiles():
    df = frame()
    given = GivenDemand.from_frame(df, business_tz=TZ)
    (root,) = given.roots(["checkouts"], "2026-10-26", "2026-10-28", draws=9999, seed=3)
    local = df.set_index("time")
    for n, day in enumerate(["2026-10-26", "2026-10-27"]):
        for hour in (0, 9, 23):
            row = local.loc[pd.Timestamp(f"{day} {hour:02d}:00", tz=TZ)]
            paths = root.demand()[:, n, hour]
            for q, name in ((0.1, "p10"), (0.5, "p50"), (0.9, "p90")):
                got = paths[order_statistic(paths, q)]
                assert got == pytest.approx(row[name], rel=5e-4)


def test_the_repeated_hour_is_averaged_and_the_skipped_one_is_empty():
    df = frame()
    given = GivenDemand.from_frame(df, business_tz=TZ)
    (root,) = given.roots(["checkouts"], "2026-11-01", "2026-11-02", draws=1)
    twice = df[(df["time"].dt.day == 1) & (df["time"].dt.hour == 1)]
    assert len(twice) == 2
    assert root.shape[0, 0, 1] == pytest.approx(twice["p50"].mean())
    spring = GivenDemand.from_frame(frame("2026-03-07", "2026-03-10"), business_tz=TZ)
    (root,) = spring.roots(["checkouts"], "2026-03-08", "2026-03-09", draws=1)
    assert root.shape[0, 0, 2] == 0
    assert (np.delete(root.shape[0, 0], 2) > 0).all()


def test_it_hands_out_what_a_plan_needs_and_refuses_growth_and_lifts():
    given = GivenDemand.from_frame(frame(), business_tz=TZ, events=calendar())
    (root,) = given.roots(["checkouts"], "2026-10-26", "2026-11-01", draws=10)
    assert root.quantity == "per_min"
    assert root.basis == "assumed"
    assert root.shape.shape == (10, 6, 24)
    assert np.isnan(root.to_growth).all()
    assert (root.level == 0).all()
    with pytest.raises(InputError, match="lifts for launch"):
        given.roots(["checkouts"], "2026-10-26", "2026-11-01", lifts={"launch": {"checkouts": 2}})


def test_another_service_changes_no_stream():
    both = GivenDemand.from_frame(frame(services=("checkouts", "zeta")), business_tz=TZ)
    alone = GivenDemand.from_frame(frame(), business_tz=TZ)
    args = ("2026-10-26", "2026-10-28")
    first = both.roots(["checkouts"], *args, seed=5)[0].shape
    np.testing.assert_array_equal(first, alone.roots(["checkouts"], *args, seed=5)[0].shape)


def test_a_hole_in_the_horizon_is_named():
    df = frame()
    df = df[df["time"] != pd.Timestamp("2026-10-30 05:00", tz=TZ)]
    given = GivenDemand.from_frame(df, business_tz=TZ)
    with pytest.raises(InputError, match="2026-10-30: got 1 local days with hours"):
        given.roots(["checkouts"], "2026-10-26", "2026-11-01")
    with pytest.raises(InputError, match="2026-11-08"):
        given.roots(["checkouts"], "2026-11-06", "2026-11-10")
    # A first day that begins at noon is a hole, not a spring clock change.
    late = GivenDemand.from_frame(
        df[df["time"] >= pd.Timestamp("2026-10-27 12:00", tz=TZ)], business_tz=TZ
    )
    with pytest.raises(InputError, match="2026-10-27"):
        late.roots(["checkouts"], "2026-10-27", "2026-10-29")
    with pytest.raises(InputError, match='Did you mean "checkouts"'):
        given.roots(["checkout"], "2026-10-26", "2026-10-27")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda df: df.drop(columns="p90"), "Add p90"),
        (lambda df: df.iloc[:0], "Add rows"),
        (lambda df: df.assign(time=df["time"].dt.tz_localize(None)), "time zone"),
        (lambda df: df.assign(time=df["time"] + pd.Timedelta("7min")), "starts of hours"),
        (lambda df: pd.concat([df, df.iloc[:1]]), "repeated"),
        (lambda df: df.assign(p10=df["p90"], p90=df["p10"]), "Order the quantiles"),
        (lambda df: df.assign(p50=np.nan), "Order the quantiles"),
        (lambda df: df.assign(p50=df["p50"].astype(str)), "numbers"),
        (lambda df: df.assign(quantity="per_day"), "per_day"),
        (
            lambda df: df.assign(quantity=np.where(df["p50"] > 100, "rps", "per_min")),
            "one quantity",
        ),
    ],
)
def test_bad_frames_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        GivenDemand.from_frame(change(frame()), business_tz=TZ)


def test_reading_a_file_and_its_errors(tmp_path):
    df = frame()
    for name in ("given.csv", "given.parquet"):
        path = tmp_path / name
        df.to_csv(path, index=False) if name.endswith("csv") else df.to_parquet(path)
        read = GivenDemand.read(path, business_tz=TZ)
        direct = GivenDemand.from_frame(df, business_tz=TZ)
        np.testing.assert_allclose(read.values, direct.values)
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    for name in ("broken.parquet", "absent.csv"):
        with pytest.raises(InputError, match=name):
            GivenDemand.read(tmp_path / name, business_tz=TZ)
    df.assign(time=df["time"].dt.tz_localize(None)).to_csv(tmp_path / "naive.csv", index=False)
    with pytest.raises(InputError, match="time zone"):
        GivenDemand.read(tmp_path / "naive.csv", business_tz=TZ)


def test_a_declared_level_is_flat_and_spreads_by_its_sigma():
    roots = declared_roots(
        {"checkouts": (4800.0, 0.1), "orders": (10.0, 0.0)},
        "2026-11-20",
        "2026-12-01",
        seed=7,
        draws=2001,
        events=calendar(),
        quantity={"orders": "rps"},
    )
    checkouts, orders = roots
    demand = checkouts.demand()[:, 3, 0]
    assert demand[order_statistic(demand, 0.5)] == pytest.approx(4800)
    assert np.log(demand).std() == pytest.approx(0.1, rel=0.01)
    assert (orders.demand() == 10.0).all()
    assert orders.quantity == "rps"
    assert checkouts.event[-1] == "cyber_monday"
    assert (checkouts.to_growth == 0).all()
    assert (checkouts.lift_x == 1).all()
    alone = declared_roots(
        {"checkouts": (4800.0, 0.1)}, "2026-11-20", "2026-12-01", seed=7, draws=2001
    )
    np.testing.assert_array_equal(alone[0].level, checkouts.level)


@pytest.mark.parametrize(
    ("declared", "field"),
    [({"x": (0.0, 0.1)}, "x.today"), ({"x": (5.0, -0.1)}, "x.sigma_log")],
)
def test_bad_declarations_are_named(declared, field):
    with pytest.raises(InputError, match=re.escape(field)):
        declared_roots(declared, "2026-11-20", "2026-12-01")
    with pytest.raises(InputError, match=r"x\.quantity"):
        declared_roots({"x": (5.0, 0.1)}, "2026-11-20", "2026-12-01", quantity={"x": "cores"})

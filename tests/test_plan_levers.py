"""Levers by hand: each from its own frame, with its evidence, none added to another."""

from __future__ import annotations

import math
from decimal import Decimal

import pandas as pd

from capmodel.plan.frames_levers import levers_frame
from capmodel.plan.term_usage import paths_by_scenario

FRAMES = {
    "rightsizing": pd.DataFrame(
        [
            {"service": "api", "season": "season", "freed_usd_per_hour": 1.25, "freed_cores": 40.0,
             "freed_gib": 10.0, "binding": "cpu_cores", "basis": "fitted"},
            {"service": "api", "season": "quiet", "freed_usd_per_hour": 9.0, "freed_cores": 90.0,
             "freed_gib": 10.0, "binding": "cpu_cores", "basis": "fitted"},
            {"service": "ledger", "season": "season", "freed_usd_per_hour": -2.0,
             "freed_cores": -5.0, "freed_gib": 0.0, "binding": "cpu_cores", "basis": "fitted"},
            {"service": "batch", "season": "season", "freed_usd_per_hour": math.nan,
             "freed_cores": math.nan, "freed_gib": math.nan, "binding": "", "basis": "assumed"},
        ]
    ),
    "mix_floor": pd.DataFrame(
        [
            {"pool": "general", "usd": Decimal("-12.50"), "mix": "9 c7g.4xlarge", "gap": 0.004},
            {"pool": "promo", "usd": None, "mix": "", "gap": math.nan},
        ]
    ),
    "commitments": pd.DataFrame(
        [
            {"kind": "compute_sp", "scope": "all", "years": 3.0, "saving_usd": Decimal("100.00"),
             "pays_usd_per_hour": 7.488, "draws": 200.0, "discount": 0.5, "basis": "assumed",
             "as_of": "2026-09-01", "source": "console"},
            {"kind": "instance_sp", "scope": "m6i", "years": 1.0, "saving_usd": None,
             "pays_usd_per_hour": math.nan, "draws": 200.0, "discount": math.nan,
             "basis": "assumed", "as_of": "", "source": ""},
        ]
    ),
    "provisioning": pd.DataFrame(
        [
            {"pool": "general", "way": way, "usd": usd, "unit_hours_mean": hours, "draws": 100.0,
             "short_hours_mean": short, "status": status}
            for way, usd, hours, short, status in (
                ("static", Decimal("552.96"), 720.0, 0.0, "GREEN"),
                ("autoscaled", Decimal("460.80"), 600.0, 0.25, "RED"),
            )
        ]
        + [{"pool": "promo", "way": "", "status": "GREY"}]
    ),
}  # fmt: skip


def test_each_lever_from_its_own_frame() -> None:
    levers = levers_frame(FRAMES, season_hours=1080.0)
    told = [tuple(row) for row in levers[["lever", "item", "usd", "per"]].to_numpy()]
    assert told == [
        ("right-size pods", "api", Decimal("1350.00"), "season"),  # 1.25 x 1080
        ("pin the instance mix", "general", Decimal("-12.50"), "season"),
        ("commit", "compute_sp all, 3 y", Decimal("33.33"), "year"),
        ("autoscale in the season", "general", Decimal("92.16"), "season"),
    ]
    assert not levers["applied"].any()
    assert all(row["lever"] not in row["overlaps"] for _, row in levers.iterrows())
    assert "40 cores and 10 GiB" in levers["evidence"].iloc[0]
    assert "within 0.40% of a proven bound" in levers["evidence"].iloc[1]
    assert "7.488 USD/h for 3 y on 200 paths, 50.0% off" in levers["evidence"].iloc[2]
    assert "600 instead of 720 node-hours" in levers["evidence"].iloc[3]
    assert "0.25 h of the season, RED" in levers["evidence"].iloc[3]


def test_parts_that_were_not_asked_for_have_no_row() -> None:
    assert levers_frame({}, season_hours=1080.0).empty
    only = levers_frame({"mix_floor": FRAMES["mix_floor"]}, season_hours=1080.0)
    assert only["lever"].tolist() == ["pin the instance mix"]


def test_paths_are_shared_out_by_probability_and_none_is_lost() -> None:
    weights = pd.Series([1 / 3, 1 / 3, 1 / 3]).to_numpy()
    assert sorted(paths_by_scenario(weights, 200)) == [66, 67, 67]
    assert paths_by_scenario(pd.Series([0.999, 0.001]).to_numpy(), 200) == (200, 0)

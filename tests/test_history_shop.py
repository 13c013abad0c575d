"""The shop's planted accidents are found, each where it was planted, and nothing else is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml

from capmodel.sources import read_parquet

NEW_YORK = "America/New_York"


@pytest.fixture(scope="module")
def accidents(shop_dir):
    return yaml.safe_load((shop_dir / "truth.yaml").read_text())["accidents"]


@pytest.fixture(scope="module")
def shop(shop_dir):
    return read_parquet(shop_dir / "history.parquet", business_tz=NEW_YORK)


def local(text):
    return pd.Timestamp(text, tz="UTC").tz_convert(NEW_YORK).strftime("%Y-%m-%d %H:%M")


def test_every_accident_is_found_and_nothing_disqualifies(shop, accidents):
    check = shop.check()
    assert check.errors() == ()
    found = {(finding.code, finding.service): finding.data for finding in check}
    gap = found["gap", accidents["gap"]["service"]]
    assert gap["longest_from"] == local(accidents["gap"]["start"])
    hours = pd.Timestamp(accidents["gap"]["end"]) - pd.Timestamp(accidents["gap"]["start"])
    assert gap["longest_steps"] == hours / pd.Timedelta(hours=1)
    copied = found["identical_duplicates", accidents["duplicate"]["service"]]
    assert copied["first"] == local(accidents["duplicate"]["start"])
    born = found["born_late", accidents["born"]["service"]]
    assert born["first"] == local(accidents["born"]["at"])
    tagged = found["load_test", accidents["load_test"]["service"]]
    assert tagged["first"] == local(accidents["load_test"]["start"])
    for service in accidents["outage"]["services"]:
        runs = found["outage", service]["runs"]
        assert runs == [{"from": local(accidents["outage"]["start"]), "steps": 1}]
    assert set(check.codes) == {
        *("gap", "identical_duplicates", "born_late", "load_test", "outage")
    }  # the deploy is no change of unit


def test_masking_hides_the_outage_and_the_load_test_and_little_else(shop, accidents):
    hidden = np.isnan(shop.masked().array("rps")) & ~np.isnan(shop.array("rps"))
    services = {shop.services[row] for row in np.flatnonzero(hidden.any(axis=1))}
    assert services == {*accidents["outage"]["services"], accidents["load_test"]["service"]}
    assert hidden.sum() == len(accidents["outage"]["services"]) + 2


@pytest.mark.slow
def test_minutes_raise_nothing(shop_dir):
    fine = read_parquet(shop_dir / "minutes.parquet", business_tz=NEW_YORK)
    assert fine.step_min == 1
    assert fine.check(fine=True).codes == ()

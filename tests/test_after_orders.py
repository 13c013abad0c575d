"""What a plan says about the estate once its orders are carried out, and what it refuses to assume.

Small declared studies on the README's example topology (BASE): Cyber Monday has lift 3.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_robustness import BASE, changed, planned

from capmodel import documents
from capmodel.errors import InputError
from capmodel.history import History
from capmodel.plan import CapacityModel
from capmodel.plan.plan_files import WRITTEN
from capmodel.topology import Topology


def only(frame: pd.DataFrame, **wanted: object) -> pd.Series:
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1
    return frame.iloc[0]


@pytest.mark.slow
def test_connections_are_sized_for_the_pods_that_are_ordered(tmp_path: Path) -> None:
    # 25 pods may run today: 25 * 1.25 -> 32 * 20 = 640 connections. The season needs more pods, the
    # plan orders them, and the database must hold what those open.
    plans = planned(changed(services__api__replicas__max=25), tmp_path)
    limits = plans.to_frame("limits")
    today = only(limits, scenario="mixture", node="db", limit="connections")
    assert today["peak_p50"] == 640
    orders = plans.to_frame("orders").set_index("id")
    assert float(orders["to"]["config:api:replicas.max"]) >= 60
    assert (
        plans.to_frame("databases").query("scenario == 'mixture'")["connections_p50"].item() > 1200
    )
    assert orders.index.str.contains("db").any()


@pytest.mark.slow
def test_saturation_after_orders_is_judged_without_a_risk_row_in_the_policy(tmp_path: Path) -> None:
    lean = changed(
        BASE,
        drivers={"checkouts": {"today_per_min": 600, "sigma_log": 0.5}},
        databases={},
        externals={},
        policy={"hold": [{"quantile": 0.5, "up_to": "hard"}], "utilization": {"cpu_cores": 1.0}},
    )
    lean["services"]["api"]["replicas"]["max"] = 90
    plans = planned(lean, tmp_path, draws=1001)
    row = only(plans.to_frame("risk"), scenario="mixture", tier=0)
    # Orders only add: nothing that was ordered at the median keeps the tail away.
    assert 0.05 < row["p_any_after_orders"] <= row["p_any"]
    assert row["status"] == "RED"


@pytest.mark.slow
def test_a_pool_breaks_where_its_paths_say(tmp_path: Path) -> None:
    plans = planned(changed(services__api__replicas__max=20, pools__general__today=3), tmp_path)
    row = only(plans.to_frame("limits"), scenario="mixture", node="general", limit="nodes")
    assert row["first_hard_breach"] == "2026-11-30"
    assert 1 < row["breaks_at_x"] < 3
    swept = only(plans.sweep([3.0]), node="general", limit="nodes")
    assert swept["status"] == "RED"


@pytest.mark.slow
def test_breaches_are_counted_in_the_season(tmp_path: Path) -> None:
    late = {"start": "2026-12-05", "end": "2026-12-07"}
    plans = planned(BASE, tmp_path, season=late)
    assert set(plans.to_frame("limits")["first_hard_breach"]) == {""}
    assert plans.headline().startswith("No hard limit is exceeded at P50")


@pytest.mark.slow
def test_a_service_known_by_its_pods_alone_is_a_limit(tmp_path: Path) -> None:
    counted = changed(services__api__replicas={"min": 6, "max": 25, "today": 23})
    del counted["services"]["api"]["usage"]
    row = only(planned(counted, tmp_path).to_frame("limits"), scenario="mixture", node="api")
    assert (row["limit"], row["hard"], row["today"]) == ("replicas", 25, 23)
    assert row["breaks_at_x"] == pytest.approx(25 / 23)
    assert row["p_saturate"] == 1


@pytest.mark.slow
def test_a_database_without_evidence_is_said_to_have_none(tmp_path: Path) -> None:
    unknown = changed(BASE)
    del unknown["databases"]["db"]["usage"]
    plans = planned(unknown, tmp_path)
    assert plans.to_frame("databases")["cpu_utilization_p50"].isna().all()
    findings = plans.to_frame("findings").query("code == 'no_evidence'")
    assert findings["service"].tolist() == ["db"]


def test_an_as_of_date_that_is_too_late_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="as_of: got 2027-03-01"):
        planned(BASE, tmp_path, as_of="2027-03-01")


@pytest.mark.slow
@pytest.mark.parametrize("extra", ["study.yaml", "notes.txt"])
def test_a_folder_that_holds_more_than_a_review_is_never_replaced(
    tmp_path: Path, extra: str
) -> None:
    review = tmp_path / "review"
    review.mkdir()
    (review / "plan.json").write_text("{}", encoding="utf-8")
    (review / extra).write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match=extra):
        planned(BASE, tmp_path).write(review)
    assert (review / extra).read_text(encoding="utf-8") == "mine"
    (review / extra).unlink()
    documents.check_replaceable(review, known=WRITTEN)


def percent_history(cores_per_pod: float) -> History:
    times = pd.date_range("2026-06-01", periods=24 * 30, freq="h", tz="UTC")
    hour = np.arange(len(times))
    rps = 100 + 40 * np.sin(2 * np.pi * hour / 24)
    api = {"service": "api", "time": times, "rps": rps, "replicas": 10.0}
    frame = pd.DataFrame({**api, "cpu_cores": 10 * cores_per_pod * rps / 100})
    drivers = pd.DataFrame({"service": "checkouts", "time": times, "per_min": rps * 15})
    return History.from_frame(pd.concat([frame, drivers]), business_tz="UTC")


def test_percent_in_a_column_of_cores_stops_the_fit() -> None:
    topology = Topology.model_validate(
        {
            "drivers": {"checkouts": {}},
            "services": {
                "api": {"calls": {"checkouts": "fit"}, "pod": {"cpu_cores": 2, "memory_gib": 4}}
            },
        }
    )
    CapacityModel(topology).fit(percent_history(1.2))
    with pytest.raises(InputError, match="percent instead of cores"):
        CapacityModel(topology).fit(percent_history(60.0))


def test_a_frame_is_not_a_history() -> None:
    with pytest.raises(InputError, match=r"History\.from_frame"):
        CapacityModel().fit(pd.DataFrame())  # type: ignore[arg-type]

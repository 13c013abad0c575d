from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from capmodel.catalog import Catalog
from capmodel.errors import InputError
from capmodel.events import Events
from capmodel.orders import OrdersPolicy
from capmodel.plan.equip import make_estate
from capmodel.plan.futures import make_futures
from capmodel.plan.model import CapacityFit, CapacityModel
from capmodel.plan.request import Horizon, PlanRequest, Sampling, Setting, as_date
from capmodel.scenario import Scenario
from capmodel.topology import Topology

ESTATE = Topology.model_validate(
    {
        "drivers": {"checkouts": {"today_per_min": 2400, "sigma_log": 0.1, "peak_minute_x": 1.35}},
        "services": {
            "api": {
                "calls": {"checkouts": 4}, "tier": 0, "pool": "general",
                "pod": {"cpu_cores": 2, "memory_gib": 4}, "replicas": {"min": 6, "max": 200},
                "usage": {"cpu_cores": {"per_pod": 0.05, "per_request": 0.085}},
            }
        },
        "databases": {
            "core-db": {
                "class": "db.r6g.4xlarge", "max_connections": 4000,
                "used_by": {"api": {"reads": 5, "writes": 2, "pool_max": 20}},
                "usage": {"cpu_cores": {"idle": 0.4, "per_read": 0.00156, "per_write": 0.00156}},
            }
        },
        "pools": {"general": {"types": ["m6i.4xlarge"]}},
    }
)  # fmt: skip
FREEZE = OrdersPolicy.model_validate({"freeze": [{"start": "2026-11-02", "end": "2027-01-04"}]})


def declared(topology: Topology = ESTATE) -> CapacityFit:
    return CapacityModel(topology=topology, events=Events.us_retail(2026, 2027)).declare()


def request(*scenarios: Scenario, **changes: object) -> PlanRequest:
    given = {
        "horizon": Horizon.of("2026-10-01", "2026-12-20", season=("2026-11-02", "2026-12-17")),
        "sampling": Sampling(seed=7, draws=500),
        "setting": Setting(orders=FREEZE),
        **changes,
    }
    return PlanRequest.of(declared(), scenarios or (Scenario(name="base"),), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    ["2026-11-02", dt.date(2026, 11, 2), dt.datetime(2026, 11, 2), pd.Timestamp("2026-11-02")],  # noqa: DTZ001
)
def test_dates_come_as_text_dates_or_midnights(value: str | dt.date) -> None:
    found = as_date(value, "start")
    assert found == dt.date(2026, 11, 2)
    assert type(found) is dt.date


@pytest.mark.parametrize(
    "value", ["2.11.2026", "", "2026-13-01", 20261102, None, pd.Timestamp("2026-11-02 08:00"),
              pd.Timestamp("2026-11-02", tz="UTC")]
)  # fmt: skip
def test_what_is_no_date_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="an ISO date"):
        as_date(value, "start")  # type: ignore[arg-type]


def test_days_and_season_exclude_their_ends() -> None:
    made = request()
    assert len(made.dates) == 31 + 30 + 19
    assert (str(made.dates[0]), str(made.dates[-1])) == ("2026-10-01", "2026-12-19")
    assert made.season.sum() == 45
    assert str(made.dates[made.season][-1]) == "2026-12-16"
    whole = request(horizon=Horizon.of("2026-10-01", "2026-12-20"))
    assert whole.season.all()


def test_defaults_are_completed() -> None:
    made = request(setting=Setting())
    assert made.as_of == dt.date(2026, 10, 1)  # without history: the start
    assert made.orders == OrdersPolicy()
    assert made.names == ("base",)
    assert made.weights.tolist() == [1.0]
    assert made.catalog.node_type("m6i.4xlarge") == Catalog.builtin().node_type("m6i.4xlarge")


def test_every_problem_of_dates_and_numbers_is_reported_at_once() -> None:
    with pytest.raises(InputError) as caught:
        request(
            horizon=Horizon.of("2026-12-20", "2026-10-01", season=("2026-11-02", "2026-11-01")),
            sampling=Sampling(risk=2.0, seed=-1, draws=99),
        )
    assert [p.where for p in caught.value.problems] == ["end", "season", "risk", "seed", "draws"]


@pytest.mark.parametrize(
    "season",
    [("2026-09-30", "2026-11-01"), ("2026-11-02", "2026-12-21"), ("2026-11-02", "2026-11-02")],
)
def test_a_season_outside_the_horizon_is_refused(season: tuple[str, str]) -> None:
    with pytest.raises(InputError, match="inside the horizon"):
        request(horizon=Horizon.of("2026-10-01", "2026-12-20", season=season))


def test_scenarios_speak_of_known_roots_and_events() -> None:
    with pytest.raises(InputError, match='Did you mean "checkouts"'):
        request(Scenario(name="base", demand_x={"checkout": 1.2}))
    with pytest.raises(InputError, match='Did you mean "cyber_monday"'):
        request(Scenario(name="base", lift={"cybr_monday": {"checkouts": 3.0}}))


def test_the_estate_of_a_declared_fit_by_hand() -> None:
    made = request(sampling=Sampling(risk=0.01, seed=7, draws=500))
    fit = declared()
    estate = make_estate(fit, made, fit.calls)
    assert estate.today == pytest.approx({"checkouts": 40.0, "api": 160.0})
    assert estate.database_cores == {"core-db": 16.0}
    assert estate.max_connections == {"core-db": 4000.0}
    assert estate.services["api"].imbalance_x == 1.1  # the prior
    assert set(estate.call_basis.values()) == {"assumed"}
    risk = estate.topology.policy.risk
    assert (risk.tier_0, risk.other) == (0.01, 0.01)
    # 0.25 of surge outside the freeze and none inside.
    frozen = made.dates >= np.datetime64("2026-11-02")
    assert (estate.surge == np.where(frozen, 0.0, 0.25)).all()


def test_the_futures_of_a_declared_fit() -> None:
    """Growth multiplies today's level, a lift its day, a stated peak the whole season."""
    grown = Scenario(
        name="grown", growth_yoy_x={"checkouts": 1.25}, lift={"cyber_monday": {"checkouts": 3.0}}
    )
    stated = Scenario.model_validate(
        {"name": "stated", "peak": {"checkouts": {"p50": 6000, "p95": 7070}}}
    )
    made = request(Scenario(name="flat"), grown, stated)
    fit = declared()
    futures = make_futures(fit, made)
    flat, grew, peak = (load.root_peak("checkouts") for load in futures.loads)
    day = list(made.dates).index(np.datetime64("2026-11-30"))
    assert flat.shape == (500, len(made.dates))
    # Standard error of the median's log: 1.25 * 0.1 / sqrt(500) = 0.0056.
    assert np.median(flat[:, 0]) == pytest.approx(40.0, rel=0.02)
    assert np.log(flat[:, 0]).std() == pytest.approx(0.1, rel=0.1)
    assert grew[:, 0] == pytest.approx(1.25 * flat[:, 0])  # the same luck in every scenario
    assert grew[:, day] == pytest.approx(3.75 * flat[:, day])
    season_peak = 60 * peak[:, made.season].max(axis=1)
    assert np.median(season_peak) == pytest.approx(6000, rel=0.02)
    assert np.quantile(season_peak, 0.95) == pytest.approx(7070, rel=0.03)
    assert futures.loads[0].day_peak("api") == pytest.approx(4 * flat)
    assert futures.own == ()
    assert futures.findings == ()


def test_what_needs_history_is_named_at_once() -> None:
    topology = ESTATE.model_dump(by_alias=True)
    topology["drivers"]["impressions"] = {}
    topology["services"]["api"]["calls"] = {"checkouts": "fit"}
    topology["services"]["api"]["usage"] = {"cpu_cores": "fit"}
    topology["services"]["batch"] = {}
    topology["databases"]["core-db"]["usage"] = {"cpu_cores": "fit"}
    with pytest.raises(InputError) as caught:
        declared(Topology.model_validate(topology))
    assert [p.where for p in caught.value.problems] == [
        "drivers.impressions.today_per_min",
        "services.batch.today_rps",
        "api.calls.checkouts",
        "services.api.usage.cpu_cores",
        "databases.core-db.usage.cpu_cores",
    ]
    with pytest.raises(InputError, match="no topology"):
        CapacityModel().declare()

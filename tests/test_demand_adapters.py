"""What all adapters share: the protocol, the horizon, refusals by name, a process left as is."""

from __future__ import annotations

import dataclasses
import logging
import os
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from demand_worlds import TZ, calendar, history_of, local_dates, planted
from pydantic import ValidationError

from capmodel.demand.adapters import (
    AdaptedFit,
    Ets,
    LastYearAligned,
    Prophet,
    SeasonalNaive,
    StlEts,
    UnobservedComponents,
)
from capmodel.demand.adapters.contained import (
    Message,
    contained,
    environment_kept,
    numpy_seeded,
)
from capmodel.demand.adapters.series import Scaling, carried, fill_gaps, never_observed
from capmodel.demand.paths import DemandForecast
from capmodel.demand.protocol import DemandModel, FittedDemand
from capmodel.errors import InputError, ModelError

MODELS = (Prophet, Ets, StlEts, UnobservedComponents, SeasonalNaive, LastYearAligned)


@pytest.fixture(scope="module")
def world():
    index = ("2026-01-01", "2026-03-02")
    return {"api": planted(*index, seed=1), "web": planted(*index, seed=2, level=40)}


@pytest.fixture(scope="module")
def fit(world):
    events = calendar().add("sale", "2026-03-10")
    fitted: FittedDemand = SeasonalNaive().fit(history_of(world), events=events)
    assert isinstance(fitted, AdaptedFit)
    return fitted


@pytest.mark.parametrize("model", MODELS)
def test_every_adapter_is_a_frozen_demand_model(model):
    spec = model()
    with pytest.raises(ValidationError, match="frozen"):
        spec.log = True
    with pytest.raises(ValidationError, match="extra"):
        model(fourier=3)
    assert model.model_validate(spec.model_dump()) == spec
    assert isinstance(spec, DemandModel)


def test_a_fit_says_what_it_is(fit, world):
    assert isinstance(fit.forecast("2026-03-02", "2026-03-04", draws=5), DemandForecast)
    frame = fit.to_frame()
    assert frame.to_dict("records")[1] == {
        "service": "web",
        "quantity": "per_min",
        "model": "SeasonalNaive",
        "first_day": "2025-12-31",
        "last_day": "2026-03-01",
    }
    rps = SeasonalNaive().fit(history_of(world, quantity="rps"))
    assert rps.quantities == ("rps", "rps")


def test_paths_are_all_shape_and_say_what_they_do_not_know(fit):
    (root,) = fit.roots(["api"], "2026-03-06", "2026-03-14", draws=7)
    assert root.shape.shape == (7, 8, 24)
    np.testing.assert_array_equal(root.demand(), root.shape)
    assert (root.level == 0).all()
    assert (root.drift == 0).all()
    assert (root.shock == 0).all()
    assert np.isnan(root.to_growth).all()
    assert root.event[4] == "sale"
    np.testing.assert_array_equal(np.isnan(root.lift_x), [bool(name) for name in root.event])
    assert root.basis == "fitted"
    assert root.quantity == "per_min"


def test_a_service_draws_the_same_whoever_else_is_drawn(fit, world):
    horizon = ("2026-03-02", "2026-03-20")
    both = fit.roots(["web", "api"], *horizon, seed=3, draws=30)
    alone = SeasonalNaive().fit(history_of({"api": world["api"]}))
    (root,) = alone.roots(["api"], *horizon, seed=3, draws=30)
    assert both[1].shape.tobytes() == root.shape.tobytes()
    again = fit.forecast(*horizon, seed=3, draws=30).paths("api")
    assert again.tobytes() == root.shape.tobytes()
    assert not np.array_equal(fit.forecast(*horizon, seed=4, draws=30).paths("api"), again)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": "2026-03-03", "end": "2026-03-03"}, "an end after the start"),
        ({"start": "2026-02-20", "end": "2026-03-03"}, "a day from 2026-03-01"),
        ({"start": "2026-03-02", "end": "2026-06-30"}, "at most 61 days ahead"),
        ({"start": "2026-03-02", "end": "2026-03-03", "draws": 0}, "at least 1"),
        (
            {"start": "2026-03-02", "end": "2026-03-03", "lifts": {"sale": {"api": 2.0}}},
            "lifts for sale.*Batched",
        ),
    ],
)
def test_bad_questions_are_refused(fit, arguments, message):
    with pytest.raises(InputError, match=message):
        fit.forecast(**arguments)
    with pytest.raises(InputError, match=message):
        fit.roots(["api"], **arguments)


def test_all_that_is_wrong_is_said_at_once(fit):
    with pytest.raises(InputError) as caught:
        fit.forecast("2026-02-20", "2026-07-30", draws=0)
    assert len(caught.value.problems) == 3
    with pytest.raises(InputError, match='"appi"') as caught:
        fit.roots(["appi", "wep"], "2026-03-02", "2026-03-04")
    assert [problem.do for problem in caught.value.problems] == [
        'Did you mean "api"?',
        'Did you mean "web"?',
    ]


def test_bad_services_are_set_aside_and_the_others_go_on(world):
    night = world["api"].where(world["api"].index.tz_convert(TZ).hour > 5)
    young = planted("2026-02-20", "2026-03-02")
    late = world["web"].loc["2026-01-15 05:00":]
    fleet = {"api": world["api"], "night": night, "young": young, "zero": world["api"] * 0}
    fit = SeasonalNaive().fit(history_of({**fleet, "web": late}))
    assert fit.services == ("api", "web")
    assert fit.to_frame()["first_day"].tolist() == ["2025-12-31", "2026-01-15"]
    assert {f.service: f.code for f in fit.refused} == {
        "night": "hours_missing",
        "young": "too_short",
        "zero": "constant_zero",
    }
    assert "night: SeasonalNaive: 42 hours of the week were never observed" in str(fit.refused)
    with pytest.raises(InputError, match="42 hours of the week"):
        fit.roots(["night"], "2026-03-02", "2026-03-04")
    few = SeasonalNaive().fit(history_of({"api": world["api"], "web": late}))
    whole, part = (one.forecast("2026-03-02", "2026-03-09", draws=9) for one in (few, fit))
    np.testing.assert_array_equal(part.paths("web"), whole.paths("web"))


def test_no_service_at_all_is_an_error_that_names_each(world):
    with pytest.raises(InputError) as caught:
        LastYearAligned().fit(history_of(world))
    assert [(p.where, p.got) for p in caught.value.problems] == [
        ("api", "LastYearAligned: 61 days of history, 420 are needed"),
        ("web", "LastYearAligned: 61 days of history, 420 are needed"),
    ]


class Endless:
    """A library that knows one service and overflows on it."""

    def draw(self, service: str, dates: np.ndarray, *, seed: int, draws: int) -> np.ndarray:
        if service != "api":
            raise KeyError(service)
        return np.full((draws, len(dates), 24), float(seed) * np.inf)


def test_a_draw_that_fails_is_an_error_that_names_the_service(fit):
    broken = dataclasses.replace(fit, futures=Endless())
    with pytest.raises(ModelError, match='service "api": got values that are not finite'):
        broken.roots(["api"], "2026-03-02", "2026-03-04", seed=1, draws=3)
    with pytest.raises(ModelError, match='service "web": got KeyError'):
        broken.forecast("2026-03-02", "2026-03-04", draws=3).paths("web")


def test_the_history_is_not_modified(world):
    history = history_of({**world, "young": planted("2026-02-20", "2026-03-02")})
    before = history.digest()
    SeasonalNaive().fit(history)
    assert history.digest() == before


def test_the_clock_changes_without_gaps():
    """In spring one local hour is missing and none of it is a gap; in autumn one comes twice."""
    series = planted("2026-02-01", "2026-04-01", noise=0)
    fit = SeasonalNaive().fit(history_of({"a": series}))
    assert len(fit.findings) == 0
    assert len(fit.forecast("2026-04-01", "2026-04-08", draws=3).quantile(0.5)) == 7 * 24
    autumn = SeasonalNaive().fit(history_of({"a": planted("2026-09-01", "2026-11-01")}))
    assert len(autumn.forecast("2026-10-31", "2026-11-03", draws=3).quantile(0.5)) == 73


def test_gaps_hold_an_hour_of_a_neighbouring_week():
    values = np.arange(21.0)[:, None].repeat(24, axis=1)
    values[[1, 8, 9], 5] = np.nan
    assert never_observed(values) == 0
    filled = fill_gaps(values)
    assert filled[[1, 8, 9], 5].tolist() == [15.0, 15.0, 2.0]  # day 15 is the only such weekday
    daily = carried(values, 1)
    assert daily[[1, 8, 9], 5].tolist() == [0.0, 7.0, 7.0]
    assert np.isnan(values[1, 5])  # the argument is as it was
    values[15, 5] = np.nan
    assert never_observed(values) == 1
    fleet = np.stack([values, np.ones_like(values)], axis=2)
    assert never_observed(fleet).tolist() == [1, 0]
    np.testing.assert_array_equal(fill_gaps(fleet)[:, :, 0], fill_gaps(values))


@pytest.mark.parametrize("log", [True, False])
def test_scaling_there_and_back(log):
    values = np.array([[0.0, 3.0, np.nan, 9.0]])
    z, scaling = Scaling.of(values, log=log)
    np.testing.assert_allclose(scaling.demand(z), values, atol=1e-12)
    assert np.nanmean(z) == pytest.approx(0, abs=1e-12)
    assert np.nanstd(z) == pytest.approx(1)
    assert scaling.demand(np.array([-50.0])).tolist() == [0.0]


def test_what_a_library_says_is_kept_and_goes_no_further(capfd):
    logger, child = logging.getLogger("some.library"), logging.getLogger("some.library.part")
    before = (logger.level, logger.handlers[:], logger.propagate, logger.disabled)
    filters = warnings.filters[:]
    with contained({"some.library": logging.INFO}) as messages:
        child.warning("bent %s", "rule")
        logger.info("took a shortcut")
        logger.debug("step 3")
        warnings.warn("did not converge", RuntimeWarning, stacklevel=1)
        warnings.warn("did not converge", RuntimeWarning, stacklevel=1)
        warnings.warn("another name next year", FutureWarning, stacklevel=1)
        warnings.warn("old pandas", DeprecationWarning, stacklevel=1)
    assert messages == [
        Message("warning", "bent rule"),
        Message("info", "took a shortcut"),
        Message("warning", "RuntimeWarning: did not converge"),
    ]
    assert (logger.level, logger.handlers[:], logger.propagate, logger.disabled) == before
    assert warnings.filters[:] == filters
    assert capfd.readouterr() == ("", "")


def test_a_failure_inside_puts_everything_back(monkeypatch):
    monkeypatch.delenv("CAPMODEL_NOT_SET", raising=False)
    monkeypatch.setenv("CAPMODEL_SET", "before")
    logger = logging.getLogger("some.library")
    state = np.random.get_state()  # noqa: NPY002  the global stream is what is looked at

    def fail():
        with (
            contained({"some.library": logging.INFO}),
            numpy_seeded(3),
            environment_kept("CAPMODEL_NOT_SET"),
            environment_kept("CAPMODEL_SET"),
        ):
            os.environ["CAPMODEL_NOT_SET"] = os.environ["CAPMODEL_SET"] = "inside"
            raise ZeroDivisionError(np.random.random())  # noqa: NPY002

    with pytest.raises(ZeroDivisionError, match=r"0\.550797"):  # the first of seed 3
        fail()
    assert "CAPMODEL_NOT_SET" not in os.environ
    assert os.environ["CAPMODEL_SET"] == "before"
    assert logger.handlers == []
    after = np.random.get_state()  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(state, after, strict=True))


@pytest.mark.slow
def test_importing_the_adapters_imports_no_library():
    code = (
        "import sys, capmodel.demand.adapters as a; a.Prophet(); a.Ets();"
        "print({'prophet', 'statsmodels', 'cmdstanpy', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_unseen_events_are_named_once():
    """A launch that nobody saw, and a sale that only the old service saw."""
    events = calendar().add("sale", "2025-03-10").add("sale", "2026-03-10")
    events = events.add("launch", "2026-03-20")
    fleet = {"old": planted("2024-11-01", "2026-03-02"), "new": planted("2025-01-03", "2026-03-02")}
    fleet["new"] = fleet["new"].where(local_dates(fleet["new"]) != "2025-03-10")
    fit = LastYearAligned().fit(history_of(fleet), events=events)
    unseen = [f for f in fit.findings if f.code == "event_unseen"]
    assert [f.service for f in unseen] == ["", "new"]
    assert "launch (2026-03-20)" in unseen[0].message
    assert unseen[1].data == {"events": ["sale"]}
    assert isinstance(fit.findings.to_frame(), pd.DataFrame)

"""One usage line: draws, declarations, extrapolation, units."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from capmodel.errors import InputError
from capmodel.schema import rng_for
from capmodel.usage import (
    LinearUsage,
    UsageFit,
    declared_usage,
    extrapolation_log_sd,
    term_unit,
)


def line(value: list[float], covariance: np.ndarray) -> LinearUsage:
    names = ("per_pod", "per_request")
    declared = declared_usage("api", "cpu_cores", dict(zip(names, value, strict=True)))
    fields = {name: getattr(declared, name) for name in declared.__dataclass_fields__}
    return LinearUsage(**{**fields, "covariance": covariance})


def test_draws_are_non_negative_and_keep_the_total() -> None:
    # A background hardly known, and tied to the slope: their sum at 10 pods, 100 rps is known.
    loads = np.array([10.0, 100.0])
    sd = np.array([0.08, 0.008])
    covariance = np.outer(sd, sd) * [[1, -0.98], [-0.98, 1]]
    usage = line([0.05, 0.085], covariance)
    draws = usage.draws(20000, rng_for(0, "draws"))
    assert draws.shape == (20000, 2)
    assert draws.min() >= 0
    assert (draws[:, 0] == 0).mean() == pytest.approx(0.266, abs=0.02)  # Φ(-0.05/0.08)
    total = draws @ loads
    assert total.mean() == pytest.approx(loads @ usage.value, rel=0.003)
    assert total.std() == pytest.approx(np.sqrt(loads @ covariance @ loads), rel=0.1)
    clipped = np.maximum(
        np.random.default_rng(0).multivariate_normal(usage.value, covariance, 20000), 0
    )
    assert (clipped @ loads).mean() / (loads @ usage.value) - 1 > 0.01  # what this avoids
    np.testing.assert_array_equal(draws, usage.draws(20000, rng_for(0, "draws")))


def test_draws_well_inside_are_normal() -> None:
    covariance = np.array([[1e-4, -2e-6], [-2e-6, 1e-6]])
    draws = line([0.5, 0.085], covariance).draws(50000, rng_for(0, "x"))
    np.testing.assert_allclose(draws.mean(axis=0), [0.5, 0.085], rtol=2e-3)
    np.testing.assert_allclose(np.cov(draws.T), covariance, rtol=0.05)


def test_declared_usage_is_exact_and_assumed() -> None:
    usage = declared_usage("underwriting", "cpu_cores", {"per_pod": 0.05, "per_request": 0.085})
    assert usage.basis == "assumed"
    assert usage.draws(3, rng_for(0, "x")).tolist() == [[0.05, 0.085]] * 3
    fit = UsageFit((usage,))
    loads = pd.DataFrame({"service": ["underwriting"], "rps": [120.0], "replicas": [11.0]})
    got = fit.predict(loads).iloc[0]
    assert got["p05"] == got["p50"] == got["p95"] == pytest.approx(10.75)
    assert not got["extrapolating"]
    assert "95 %" not in fit.explain("underwriting")


@pytest.mark.parametrize(
    ("coefficients", "match"),
    [
        ({"per_reqest": 0.1}, 'Did you mean "per_request"'),
        ({"per_request": -0.1}, "a number >= 0"),
        ({"per_request": float("nan")}, "a number >= 0"),
    ],
)
def test_bad_declarations_are_refused(coefficients: dict[str, float], match: str) -> None:
    with pytest.raises(InputError, match=match):
        declared_usage("api", "cpu_cores", coefficients)


def test_extrapolation_widens_by_the_log() -> None:
    x = np.array([30.0, 60.0, 60 * np.e])
    np.testing.assert_allclose(extrapolation_log_sd(x, 60.0), [0, 0, 0.10], atol=1e-12)


def test_units_by_term() -> None:
    assert term_unit("cpu_cores", "per_request:search") == "core-s/request"
    assert term_unit("memory_gib", "idle") == "GiB"
    assert term_unit("iops_read", "per_read") == "1/read"

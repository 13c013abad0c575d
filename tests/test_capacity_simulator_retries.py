from __future__ import annotations

import numpy as np
import pytest

from capmodel.capacity.simulator import layered_budget_x, residual_failure, retry_factor
from capmodel.errors import InputError


def nested_calls(rng, failure, attempts, layers):
    """Return (calls at the bottom, whether the call worked) of one call through the layers."""
    if layers == 0:
        return 1, rng.random() >= failure
    calls = 0
    for _ in range(attempts):
        below, worked = nested_calls(rng, failure, attempts, layers - 1)
        calls += below
        if worked:
            return calls, True
    return calls, False


def test_story_a8_amplification() -> None:
    # By hand: 1 + 0.3 + 0.09 = 1.39; times 1 + 0.027 + 0.000729; times 1 + 2e-5: 1.4286.
    by_hand = 1.39 * (1 + 0.3**3 + 0.3**6) * (1 + 0.3**9 + 0.3**18)
    factor = float(retry_factor(0.3, attempts=3, layers=3))
    assert factor == pytest.approx(by_hand, rel=1e-12)
    assert factor == pytest.approx(1.4286, abs=5e-5)
    assert float(retry_factor(1.0, attempts=3, layers=3)) == 27
    assert float(retry_factor(1.0, attempts=3, layers=5)) == 243
    assert float(retry_factor(1.0, attempts=3, layers=5, budget=0.1)) == pytest.approx(1.1)


@pytest.mark.parametrize(("failure", "attempts", "layers"), [(0.5, 3, 2), (0.8, 2, 3), (0.9, 4, 2)])
def test_the_closed_forms_are_those_of_nested_callers(failure, attempts, layers) -> None:
    rng = np.random.default_rng(7)
    played = np.array([nested_calls(rng, failure, attempts, layers) for _ in range(8_000)])
    calls, worked = played[:, 0], played[:, 1]
    error = 4 * calls.std() / np.sqrt(len(calls))
    expected = float(retry_factor(failure, attempts=attempts, layers=layers))
    assert calls.mean() == pytest.approx(expected, abs=error)
    fails = float(residual_failure(failure, attempts=attempts, layers=layers))
    assert 1 - worked.mean() == pytest.approx(fails, abs=4 * np.sqrt(fails * (1 - fails) / 8_000))


def test_amplification_at_the_ends_and_near_one() -> None:
    near = [0.0, 1e-12, 1 - 1e-12, 1.0]
    factor = retry_factor(near, attempts=3, layers=5)
    assert factor == pytest.approx([1, 1, 243, 243], rel=1e-9)
    assert (np.diff(retry_factor(np.linspace(0, 1, 101), attempts=3, layers=5)) > 0).all()
    assert (retry_factor(near, attempts=1, layers=9) == 1).all()
    assert float(retry_factor(0.3, attempts=3, layers=3, budget=1.0)) == pytest.approx(1.4286, 1e-4)


def test_a_budget_per_layer_multiplies() -> None:
    assert layered_budget_x(0.1, layers=1) == pytest.approx(1.1)
    assert layered_budget_x(0.1, layers=3) == pytest.approx(1.331)


def test_all_problems_come_together() -> None:
    with pytest.raises(InputError) as raised:
        retry_factor([0.3, 30.0], attempts=0, layers=0, budget=-0.1)
    where = [problem.where for problem in raised.value.problems]
    assert where == ["failure", "attempts", "layers", "budget"]
    with pytest.raises(InputError, match="failure"):
        residual_failure(np.nan, attempts=2)

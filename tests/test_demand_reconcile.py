"""Forecasts that add up: by hand, on every path, and never by clipping."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from capmodel.demand.reconcile import reconcile
from capmodel.errors import InputError, ModelError

PARTS = {"all": ("east", "west"), "east": ("web", "app")}
NAMES = ("all", "east", "west", "web", "app")


def test_by_hand_with_structural_weights():
    """Minimise sum (x - y)^2 / leaves under the sums: solved with Lagrange's multipliers."""
    y = dict(zip(NAMES, (120.0, 70.0, 40.0, 30.0, 30.0), strict=True))
    weight = {"all": 3.0, "east": 2.0, "west": 1.0, "web": 1.0, "app": 1.0}
    # Unknowns: the five numbers and two multipliers.
    system = np.zeros((7, 7))
    for i, name in enumerate(NAMES):
        system[i, i] = 2 / weight[name]
    constraints = np.array([[1, -1, -1, 0, 0], [0, 1, 0, -1, -1]])
    system[:5, 5:], system[5:, :5] = constraints.T, constraints
    rhs = np.array([2 * y[name] / weight[name] for name in NAMES] + [0.0, 0.0])
    expected = np.linalg.solve(system, rhs)[:5]
    found = reconcile({name: np.array([[v]]) for name, v in y.items()}, PARTS)
    np.testing.assert_allclose([found[name][0, 0] for name in NAMES], expected)


@given(arrays(float, (5, 4, 3), elements=st.floats(50, 60)))
def test_sums_hold_on_every_path_and_consistent_ones_stay(values):
    found = reconcile(dict(zip(NAMES, values + 200 * np.eye(5)[0][:, None, None], strict=True)), {
        "all": ("east", "west", "web", "app")
    })  # fmt: skip
    total = sum(found[name] for name in NAMES[1:])
    np.testing.assert_allclose(found["all"], total, rtol=1e-9)
    again = reconcile(found, {"all": NAMES[1:]})
    for name in NAMES:
        np.testing.assert_allclose(again[name], found[name], rtol=1e-9)


def test_contradictions_are_refused_not_clipped():
    paths = {"all": np.array([[1.0]]), "web": np.array([[100.0]]), "app": np.array([[0.1]])}
    with pytest.raises(ModelError, match=r"app.*roughly agree"):
        reconcile(paths, {"all": ("web", "app")})


def test_wrong_input_is_named_at_once():
    one = np.ones((2, 3))
    with pytest.raises(InputError) as caught:
        reconcile(
            {"all": one, "web": one, "app": np.ones((2, 4))},
            {"all": ("web", "ap"), "web": ("all",)},
        )
    text = str(caught.value)
    assert 'Did you mean "app"?' in text
    assert "holds itself" in text
    assert "one shape" in text

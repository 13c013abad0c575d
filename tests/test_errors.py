from __future__ import annotations

import pytest

from capmodel.errors import CapmodelError, InputError, ModelError, Problem, nearest

FIRST = Problem("topology.yaml:12 api.replcas", "an unknown field", "a field", "Rename it.")
SECOND = Problem("--risk", "2", "a ratio in (0, 1)", "Write 0.02.")


def test_a_message_has_four_parts_in_order() -> None:
    assert str(SECOND) == "--risk: got 2; expected a ratio in (0, 1). Write 0.02."
    assert str(InputError(SECOND)) == str(SECOND)


def test_several_problems_are_raised_together_and_numbered() -> None:
    error = InputError(problem for problem in (FIRST, SECOND))
    assert error.problems == (FIRST, SECOND)
    assert str(error).splitlines() == ["2 problems:", f"  1. {FIRST}", f"  2. {SECOND}"]


@pytest.mark.parametrize("kind", [InputError, ModelError])
def test_of_makes_the_class_it_is_called_on(kind: type[CapmodelError]) -> None:
    error = kind.of("draws", got=[1, 2], expected="one number", do="Choose.")
    assert type(error) is kind
    assert error.problems == (Problem("draws", "[1, 2]", "one number", "Choose."),)


def test_input_and_model_errors_are_told_apart() -> None:
    assert not issubclass(InputError, ModelError)
    assert not issubclass(ModelError, InputError)
    with pytest.raises(CapmodelError):
        raise ModelError(FIRST)


@pytest.mark.parametrize(
    ("name", "known", "close"),
    [
        ("replcas", ["replicas", "pod", "pool"], "replicas"),
        ("limit", ["limit_rps", "lead_days"], "limit_rps"),  # a unit that was left out
        ("limit_rps", ["limit", "tier"], "limit"),
        ("zebra", ["replicas", "pod"], None),
        ("api", [], None),
    ],
)
def test_nearest_name(name: str, known: list[str], close: str | None) -> None:
    assert nearest(name, known) == close
    assert nearest(name, reversed(known)) == close

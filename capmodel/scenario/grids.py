"""Grids: the scenarios of a sweep over growth, demand, lifts, or any ratio that a scenario holds.

This module answers: which scenarios does a product of axes stand for, and what are they called? A
grid is no forecast: its scenarios have no probability unless somebody states one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from capmodel.errors import InputError, Problem, nearest
from capmodel.scenario.core import Scenario
from capmodel.scenario.factors import ALL_EVENTS, RATIO_RANGE

__all__ = ["Grid", "grid"]

AXES: Final = ("growth", "demand", "lift")
"""Axes that reach every root or event day; any other is the path of a field."""
FIELDS: Final[Mapping[str, int]] = {"growth_yoy_x": 1, "demand_x": 1, "lift": 2, "lift_x": 1}
"""Fields that hold ratios, and how many names lead to one of them."""
MOST: Final = 200
"""Scenarios of one grid: each is drawn and sized."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A product of axes over one base scenario; which roots it reaches is the fit's to say."""

    base: Scenario
    axes: Mapping[str, tuple[float, ...]]
    """Axis to its values, in the order of the names."""
    probabilities: tuple[float, ...] | None = None
    """One per scenario, the last axis fastest; None: the grid has none."""

    @property
    def points(self) -> tuple[tuple[float, ...], ...]:
        """The values of each scenario, one per axis."""
        return tuple(itertools.product(*self.axes.values()))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the scenarios: ``growth 1.25, lift 1.2``."""
        return tuple(self._name(point) for point in self.points)

    def _name(self, point: Sequence[float]) -> str:
        return ", ".join(f"{axis} {x:g}" for axis, x in zip(self.axes, point, strict=True))

    def scenarios(self, roots: Sequence[str]) -> tuple[Scenario, ...]:
        """Return the grid's scenarios for these roots.

        ``growth`` gives every root this growth; ``demand`` multiplies what the base scenario says
        of every root (its growth, its stated peak, else the forecast); ``lift`` multiplies the
        lift of every event day.

        Parameters
        ----------
        roots
            Drivers, and services that nothing calls: a fit's ``roots``.

        Raises
        ------
        InputError
            For ratios outside 0.5 to 4, each once, and for axes that would move nothing.

        Examples
        --------
        >>> sweep = grid(growth=[1.1, 1.25], lift=[1.0, 1.2])
        >>> [s.name for s in sweep.scenarios(["checkouts"])][1]
        'growth 1.1, lift 1.2'
        """
        problems = [*_stated_peaks(self, roots), *_unknown_roots(self, roots)]
        made: list[Scenario] = []
        chances = self.probabilities or (None,) * len(self.points)
        for name, point, chance in zip(self.names, self.points, chances, strict=True):
            fields = self.base.model_dump(by_alias=True) | {"name": name, "probability": chance}
            for axis, x in zip(self.axes, point, strict=True):
                _move(fields, axis, x, roots)
            try:
                made.append(Scenario.model_validate(fields))
            except InputError as error:
                problems += error.problems
        if problems:
            raise InputError(dict.fromkeys(problems))
        return tuple(made)


def grid(
    base: Scenario | None = None,
    *,
    growth: Sequence[float] | None = None,
    demand: Sequence[float] | None = None,
    lift: Sequence[float] | None = None,
    axes: Mapping[str, Sequence[float]] | None = None,
    probabilities: Sequence[float] | None = None,
) -> Grid:
    """Return the grid of scenarios over the product of axes; ``fit.plan`` takes it as it stands.

    Parameters
    ----------
    base
        What every scenario assumes besides; None: the fitted trend and lifts.
    growth, demand, lift
        Growth of every root against last season, what multiplies every root's demand, what
        multiplies every event day's lift [ratio].
    axes
        Further axes by the path of a scenario's field: ``growth_yoy_x.ROOT``, ``demand_x.ROOT``,
        ``lift.EVENT.ROOT`` (the lift itself), ``lift_x.EVENT`` (a multiple of it).
    probabilities
        One per scenario, the last axis fastest, summing to 1; None: no scenario has one, and
        whatever weighs them weighs them equally.

    Raises
    ------
    InputError
        For axes that are unknown ("did you mean"), empty, repeat a value or hold no ratio, and for
        probabilities that do not fit; all of them together.

    Examples
    --------
    >>> grid(growth=[1.1, 1.25, 1.5], axes={"lift_x.cyber_monday": [1.0, 1.2]}).names[0]
    'growth 1.1, lift_x.cyber_monday 1'
    """
    short = {"growth": growth, "demand": demand, "lift": lift}
    given = {name: values for name, values in short.items() if values is not None}
    given |= axes or {}
    problems = [p for name, values in given.items() for p in _axis_problems(name, values)]
    if not given:
        problems.append(_no_axis())
    count = math.prod(len(values) for values in given.values())
    if not problems:
        problems += _size_problems(count, probabilities)
    if problems:
        raise InputError(problems)
    return Grid(
        base=base if base is not None else Scenario(name="grid"),
        axes={name: tuple(float(x) for x in values) for name, values in given.items()},
        probabilities=None if probabilities is None else tuple(map(float, probabilities)),
    )


def _no_axis() -> Problem:
    return Problem(
        where="grid",
        got="no axis",
        expected=f"one or more of {', '.join(AXES)}, or a field's path",
        do="Write grid(growth=[1.1, 1.25, 1.5]).",
    )


def _size_problems(count: int, probabilities: Sequence[float] | None) -> list[Problem]:
    problems = []
    if count > MOST:
        got, expected = f"{count} scenarios", f"at most {MOST}"
        problems.append(Problem("grid", got, expected, "Take fewer values, or two grids."))
    if probabilities is None:
        return problems
    total = math.fsum(probabilities)
    if len(probabilities) != count or abs(total - 1) > 1e-9 or min(probabilities) < 0:  # noqa: PLR2004  DESIGN §5
        problems.append(
            Problem(
                where="grid.probabilities",
                got=f"{len(probabilities)} of sum {total:.9g}",
                expected=f"{count} of at least 0 that sum to 1, the last axis fastest",
                do="Change them, or leave them out.",
            )
        )
    return problems


def _axis_problems(name: str, values: Sequence[float]) -> list[Problem]:
    where = f"grid.{name}"
    if not _is_known(name):
        known = (*AXES, *FIELDS)
        close = nearest(name.partition(".")[0], known)
        rest = name.partition(".")[2]
        meant = f"{close}.{rest}" if close in FIELDS and rest else close
        shapes = "growth_yoy_x.ROOT, demand_x.ROOT, lift.EVENT.ROOT, lift_x.EVENT"
        return [
            Problem(
                where=where,
                got=f'unknown axis "{name}"',
                expected=f"one of: {', '.join(AXES)}, {shapes}",
                do=f'Did you mean "{meant}"?' if meant else "Choose one of these.",
            )
        ]
    numbers = [x for x in values if math.isfinite(x) and x > 0]
    if not numbers or len(numbers) < len(values) or len(set(numbers)) < len(numbers):
        return [
            Problem(
                where=where,
                got=str(list(values)),
                expected="one or more ratios above 0, none twice",
                do="Write [1.1, 1.25, 1.5].",
            )
        ]
    low, high = RATIO_RANGE
    return [
        Problem(
            where=where,
            got=f"{x:g}",
            expected=f"ratios between {low} and {high} (1.25 means 25 % more)",
            do=f"Did you mean {1 + x / 100 if x > high else 1 + x:g}?",
        )
        for x in numbers
        if not name.startswith("lift.") and not low <= x <= high
    ]


def _is_known(name: str) -> bool:
    field, *rest = name.split(".")
    if field in AXES and not rest:
        return True
    return FIELDS.get(field) == len(rest) and all(rest)


def _stated_peaks(sweep: Grid, roots: Sequence[str]) -> list[Problem]:
    """Return the axes that a stated peak makes idle: it says where the season ends up."""
    stated = [root for root in sweep.base.peak if root in roots]
    return [
        Problem(
            where=f"grid.{axis}",
            got=f"{axis} of {root}, whose peak the base scenario states",
            expected="roots whose peak follows from growth and lifts",
            do="Use demand, which multiplies a stated peak too.",
        )
        for axis in sweep.axes
        for root in stated
        if axis in {"growth", "lift", f"growth_yoy_x.{root}", f"demand_x.{root}"}
    ]


def _unknown_roots(sweep: Grid, roots: Sequence[str]) -> list[Problem]:
    """Return the axes of roots that are not there, each once."""
    problems = []
    for axis in sweep.axes:
        field, *names = axis.split(".")
        if field in {"growth_yoy_x", "demand_x", "lift"} and names and names[-1] not in roots:
            close = nearest(names[-1], roots)
            meant = ".".join([field, *names[:-1], close]) if close else ""
            problems.append(
                Problem(
                    where=f"grid.{axis}",
                    got=f'unknown driver "{names[-1]}"',
                    expected=f"one of: {', '.join(roots)}",
                    do=f'Did you mean "{meant}"?' if meant else "Choose one of these.",
                )
            )
    return problems


def _move(fields: dict[str, Any], axis: str, x: float, roots: Sequence[str]) -> None:
    """Write one axis value into a scenario's fields."""
    if axis == "growth":
        for root in roots:
            _grow(fields, root, x)
    elif axis == "demand":
        for root in roots:
            _multiply(fields, root, x)
    elif axis == "lift":
        old = fields["lift_x"]
        fields["lift_x"] = {event: value * x for event, value in {ALL_EVENTS: 1.0, **old}.items()}
    else:
        field, *names = axis.split(".")
        if field == "growth_yoy_x":
            _grow(fields, names[0], x)
        else:
            _put(fields, field, names, x)


def _put(fields: dict[str, Any], field: str, names: Sequence[str], x: float) -> None:
    *outer, last = names
    held = fields[field] = dict(fields[field])
    for name in outer:
        held[name] = dict(held.get(name, {}))
        held = held[name]
    held[last] = x


def _grow(fields: dict[str, Any], root: str, x: float) -> None:
    fields["growth_yoy_x"] = {**fields["growth_yoy_x"], root: x}
    fields["demand_x"] = {r: v for r, v in fields["demand_x"].items() if r != root}


def _multiply(fields: dict[str, Any], root: str, x: float) -> None:
    if root in fields["peak"]:
        stated = {name: value * x for name, value in fields["peak"][root].items()}
        fields["peak"] = {**fields["peak"], root: stated}
        return
    field = "growth_yoy_x" if root in fields["growth_yoy_x"] else "demand_x"
    fields[field] = {**fields[field], root: fields[field].get(root, 1.0) * x}

"""Gate rules as a file: what a plan must keep to pass a review, and how old its inputs may be.

This module answers: which figure is bounded where, by how much against what, until when is a breach
waived? It reads and checks rules; :mod:`capmodel.plan.gates` applies them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from capmodel import documents
from capmodel.errors import InputError, Problem, nearest
from capmodel.plan.metrics import METRICS, Metric

__all__ = ["AGED", "Bound", "GateRule", "GateRules", "bound_of", "scope_words", "tier_of"]

AGED: Final = ("prices", "history", "fine", "load_tests", "fit")
"""Inputs that grow old: the oldest price in use, the last local day of history and fine history,
the last row tagged as a load test, and the day on which the plan was fitted, its as_of."""
_PERCENT: Final = re.compile(r"([+-]?)\s*(\d+(?:\.\d+)?)\s*%")
_NUMBER: Final = re.compile(r"[+-]?\d+(?:\.\d+)?")
_TIER: Final = re.compile(r"tier (\d+)")
_LEAST_USD: Final = 100
"""A bound on USD below this is a percentage without its sign."""
_LARGEST_RATIO: Final = {"utilization": 4.0}
"""Ratios that may exceed 1, by the beginning of their name: up to here."""


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class GateRule(_Spec):
    """One rule: a metric with a bound, or a part of the estate whose status may not worsen."""

    metric: str | None = None
    scope: dict[str, str | int] = Field(default_factory=dict)
    """What narrows the metric: scenario (the mixture where none is named), pool, tier, node, …"""
    max: int | float | str | None = None
    """Largest value: a number, ``2 %`` of a ratio, or ``+5 %`` against the baseline."""
    min: int | float | str | None = None
    """Smallest value, written like `max`."""
    max_change: float | None = None
    """Most that the value may grow against the baseline [the metric's unit]."""
    no_worse_status: str | None = None
    """``tier 0``, or ``all``: no row of limits or services may have a worse status."""
    waiver_until: date | None = None
    """Last day on which a breach is waived."""
    reason: str = ""
    """Who waives a breach, and why."""


class GateRules(_Spec):
    """The rules of a file: gates by name, and how old each input may be.

    Examples
    --------
    >>> rules = documents.parse_model(
    ...     GateRules,
    ...     "gates: {season cost: {metric: season_usd, scope: {scenario: base}, max: +5 %}}",
    ...     name="gates.yaml",
    ... )
    >>> rules.gates["season cost"].max
    '+5 %'
    """

    gates: dict[str, GateRule] = Field(default_factory=dict)
    max_age_days: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """Input to the age beyond which it is stale [days]."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        problems = [p for name, rule in self.gates.items() for p in _problems(name, rule)]
        problems += [
            _unknown(f"max_age_days.{name}", name, AGED, "input")
            for name in self.max_age_days
            if name not in AGED
        ]
        if not self.gates and not self.max_age_days:
            do = "Add a gate: {season cost: {metric: season_usd, max: +5 %}}."
            problems.append(Problem("gates", "no rule", "gates, max_age_days or both", do))
        if problems:
            raise InputError(problems)
        return self

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read rules from a strict YAML file.

        Raises
        ------
        InputError
            For an unreadable file, and for every unknown metric, scope or input, every rule without
            a bound, every percentage without its sign, every waiver without a reason.
        """
        return documents.read_model(cls, path)


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound: a value, or a change against the baseline."""

    side: str
    """``max`` or ``min``."""
    words: str
    value: Decimal | float | None = None
    times_baseline: Decimal | None = None
    over_baseline: float | None = None

    @property
    def relative(self) -> bool:
        """Whether it asks for a baseline."""
        return self.value is None

    def against(self, baseline: Decimal | float | None) -> Decimal | float:
        """Return the bound as a value."""
        if self.value is not None:
            return self.value
        if baseline is None:
            msg = "a relative bound without a baseline"
            raise ValueError(msg)
        if self.over_baseline is not None:
            step = Decimal(str(self.over_baseline))
            return baseline + step if isinstance(baseline, Decimal) else baseline + float(step)
        factor = self.times_baseline or Decimal(0)
        return baseline * factor if isinstance(baseline, Decimal) else baseline * float(factor)


def bound_of(rule: GateRule, where: str) -> Bound:
    """Return the bound of a rule on a metric.

    Raises
    ------
    InputError
        For a bound that says no clear number.
    """
    name = rule.metric or ""
    if rule.max_change is not None:
        words = f"max {rule.max_change:+g} {METRICS[name].unit}"
        return Bound("max", words, over_baseline=rule.max_change)
    side, given = ("max", rule.max) if rule.max is not None else ("min", rule.min)
    place = f"{where}.{side}"
    if isinstance(given, int | float):
        _require_plausible(name, float(given), place)
        value = Decimal(str(given)) if METRICS[name].unit == "USD" else float(given)
        return Bound(side, f"{side} {given:,}", value=value)
    text = str(given).strip()
    percent = _PERCENT.fullmatch(text)
    if percent is None:
        bare = _NUMBER.fullmatch(text) is not None
        do = f'Did you mean "{text} %"?' if bare else "Write a number, 2 % of a ratio, or +5 %."
        raise InputError.of(place, got=f'"{text}"', expected="a number or a percentage", do=do)
    sign, number = percent.groups()
    share = Decimal(number) / 100
    if sign:
        change = 1 + share if sign == "+" else 1 - share
        return Bound(side, f"{side} {text}", times_baseline=change)
    if METRICS[name].unit != "ratio":
        raise InputError.of(
            place,
            got=f'"{text}" of {METRICS[name].unit}',
            expected="a number, or a change against the baseline with its sign",
            do=f'Did you mean "+{text}"?',
        )
    return Bound(side, f"{side} {text}", value=float(share))


def tier_of(text: str, where: str) -> int | None:
    """Return the tier that ``tier 0`` names, None for ``all``."""
    found = _TIER.fullmatch(text.strip())
    if found is None and text.strip() != "all":
        raise InputError.of(where, got=f'"{text}"', expected='"tier 0" or "all"', do="Rewrite it.")
    return int(found[1]) if found else None


def _require_plausible(name: str, value: float, where: str) -> None:
    """Refuse a percentage that is written as a plain number."""
    unit = METRICS[name].unit
    most = next((m for start, m in _LARGEST_RATIO.items() if name.startswith(start)), 1.0)
    if unit == "ratio" and not 0 <= value <= most:
        raise InputError.of(
            where,
            got=f"{value:g}",
            expected=f"a ratio from 0 to {most:g}",
            do=f'Did you mean "{value:g} %"?',
        )
    if unit == "USD" and 0 < abs(value) < _LEAST_USD:
        shown = value if abs(value) >= 1 else 100 * value
        raise InputError.of(
            where,
            got=f"{value:g} USD",
            expected=f"an amount of at least {_LEAST_USD} USD, or a change against the baseline",
            do=f'Did you mean "{shown:+g} %"?',
        )


def _problems(name: str, rule: GateRule) -> Iterator[Problem]:
    where = f"gates.{name}"
    bounds = [f for f in ("max", "min", "max_change") if getattr(rule, f) is not None]
    if (rule.metric is None) == (rule.no_worse_status is None):
        got = "both" if rule.metric is not None else "neither metric nor no_worse_status"
        do = "Write metric and max, or no_worse_status: tier 0."
        yield Problem(where, got, "one of metric and no_worse_status", do)
    elif rule.metric is None:
        yield from _status_problems(where, rule, bounds)
    elif rule.metric not in METRICS:
        yield _unknown(f"{where}.metric", rule.metric, tuple(METRICS), "metric")
    else:
        yield from _metric_problems(where, rule, bounds)
    if (rule.waiver_until is None) != (not rule.reason.strip()):
        lacking = "a reason" if rule.waiver_until else "waiver_until"
        do = "Say until when a breach is waived, by whom and why; or leave both out."
        yield Problem(where, f"a waiver without {lacking}", "waiver_until and reason", do)


def _status_problems(where: str, rule: GateRule, bounds: list[str]) -> Iterator[Problem]:
    if bounds or rule.scope:
        got = f"{', '.join([*bounds, *(['scope'] if rule.scope else [])])} beside no_worse_status"
        yield Problem(where, got, "no_worse_status alone", "Make it a rule of its own.")
    try:
        tier_of(rule.no_worse_status or "", f"{where}.no_worse_status")
    except InputError as error:
        yield from error.problems


def _metric_problems(where: str, rule: GateRule, bounds: list[str]) -> Iterator[Problem]:
    metric: Metric = METRICS[rule.metric or ""]
    for field in rule.scope:
        if field not in metric.scope:
            yield _unknown(f"{where}.scope.{field}", field, metric.scope, "scope")
    for field in metric.needs:
        if field not in rule.scope:
            got, do = f"no {field}", f"Name it: scope: {{{field}: …}}."
            yield Problem(f"{where}.scope", got, f"{rule.metric} of one {field}", do)
    if len(bounds) != 1:
        got = "no threshold" if not bounds else f"{' and '.join(bounds)} together"
        do = "Write max: +5 %, for example." if not bounds else "Make two rules of it."
        yield Problem(where, got, "one of max, min and max_change", do)
        return
    try:
        bound_of(rule, where)
    except InputError as error:
        yield from error.problems


def _unknown(where: str, name: str, known: tuple[str, ...], noun: str) -> Problem:
    close = nearest(name, known)
    return Problem(
        where,
        f'unknown {noun} "{name}"',
        f"one of: {', '.join(known)}",
        f'Did you mean "{close}"?' if close else "Choose one of these.",
    )


def scope_words(scope: Mapping[str, Any]) -> str:
    """Return a scope in words.

    Examples
    --------
    >>> scope_words({"scenario": "base", "tier": 0})
    'scenario base, tier 0'
    """
    return ", ".join(f"{field} {value}" for field, value in scope.items())

"""Findings about a history: what disqualifies it, what is masked, what to know.

This module answers: may a model be fitted to this data, and which cells mislead? It mends nothing
except by masking, and every masked cell is counted in a finding.

======================== ========= ====== ==========================================================
code                     severity  masks  rule
======================== ========= ====== ==========================================================
conflicting_duplicates   error            rows of one cell differ (found while reading; mean used)
mixed_step               error            a service's rows come with another step (reading)
unit_suspect             error            a level jump by 60, 1000, 1024 or 3600 (up or down) that
                                          nothing else shares, or an impossible size
all_nan                  error            a service without any value
too_short                error            less than ``MIN_DAYS`` from first to last value
gap                      warning          missing steps between first and last value, and up to
                                          ``EDGE_DAYS`` before and after
born_late, ended_early   warning          more than ``EDGE_DAYS`` missing at the start or the end
outage                   warning   yes    zero or near zero when usually busy, or tagged so
zero_run                 warning          zeros for whole local days, or for over a week: kept
negative                 warning   yes    a value below zero: a counter that started over
reset                    warning   yes    a rate 100 times above nearly all others (a counter jump)
saturation               warning          flat at a ceiling while demand asks for more
load_test                warning   yes    rows tagged ``load_test``
identical_duplicates     warning          the same row more than once; counts once (reading)
clock_jump               warning          rows off the grid or far from all others (reading)
shifted_days             warning          daily rows that do not begin at local midnight (reading)
not_finite               warning          infinite values, treated as gaps (reading)
nonexistent_hour         warning          naive local times that never were (sources)
ambiguous_hour           warning          naive local times that came twice, averaged (sources)
column_ignored           info             columns of a file that were not read (sources)
======================== ========= ====== ==========================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from capmodel.history import suspects
from capmodel.history.arrays import Bools, Floats, demand_of, runs_of, totals
from capmodel.history.localtime import DAY_MIN, Axis
from capmodel.history.outages import Outages, find_outages
from capmodel.schema import QUANTITIES, Finding, Findings

__all__ = [
    "EDGE_DAYS",
    "MASKING_TAGS",
    "MIN_DAYS",
    "coverage_frame",
    "findings",
    "masked",
]

MIN_DAYS: Final = 14
"""A weekly shape needs two weeks."""
EDGE_DAYS: Final = 14
"""More than this missing at the start is a birth, at the end an end; less is a gap."""
MASKING_TAGS: Final[tuple[str, ...]] = ("load_test", "outage")
"""Tags whose cells are masked."""
LISTED: Final = 20
"""Runs listed in a finding's data."""

# Demand quantities with the seconds that their unit counts over: per_min counts over 60 s.
_COUNTED: Final[Mapping[str, float]] = {"per_min": 60, "rps": 1, "qps_read": 1, "qps_write": 1}
_ZERO_FILLED: Final = ("cpu_cores", "memory_gib")
_RATES: Final = (*_COUNTED, "errors_rps", "iops_read", "iops_write", "network_mbps")

Key = tuple[str, str]
Values = Mapping[Key, Floats]
Tags = Mapping[str, Bools]


@dataclass(frozen=True, slots=True)
class _Masks:
    """What misleads: per array its own cells, and cells of a service as a whole."""

    negative: Mapping[Key, Bools]
    spikes: Mapping[Key, Bools]
    demand_outages: Mapping[str, Outages]
    usage_outages: Mapping[str, Outages]


def findings(
    axis: Axis,
    services: tuple[str, ...],
    values: Values,
    tags: Tags,
    notes: Iterable[Finding] = (),
    *,
    fine: bool = False,
) -> Findings:
    """Return the findings about a history, errors first, then by code and service.

    Parameters
    ----------
    axis, services, values, tags
        The history's grid, names and arrays (S, T).
    notes
        What reading found; repeated here.
    fine
        True leaves out ``too_short``, ``gap``, ``born_late`` and ``ended_early``.
    """
    whole = totals(values)
    masks = _masks(axis, values, whole)
    found = list(notes)
    found += _coverage(axis, services, values, fine=fine)
    found += _negative_findings(axis, services, masks.negative, "negative")
    found += _negative_findings(axis, services, masks.spikes, "reset")
    found += _outage_findings(axis, services, masks)
    found += _tag_findings(axis, services, tags)
    clean = _clean_totals(whole, values, masks)
    found += _unit_findings(axis, services, clean)
    found += _saturation_findings(axis, services, clean)
    rank = {"error": 0, "warning": 1, "info": 2}
    ordered = sorted(found, key=lambda f: (rank[f.severity], f.code, f.service, f.message))
    return Findings(tuple(ordered))


def masked(
    axis: Axis,
    services: tuple[str, ...],
    values: Values,
    tags: Tags,
    *,
    keep_tags: tuple[str, ...] = (),
) -> dict[Key, Floats]:
    """Return the arrays with misleading cells set to NaN.

    Parameters
    ----------
    axis, services, values, tags
        The history's grid, names and arrays (S, T).
    keep_tags
        Tags that do not mask.
    """
    masks = _masks(axis, values, totals(values))
    common = np.zeros((len(services), axis.n_steps), dtype=bool)
    for outages in masks.demand_outages.values():
        common |= outages.mask
    for tag in MASKING_TAGS:
        if tag in tags and tag not in keep_tags:
            common |= tags[tag]
    result = {}
    for key, array in values.items():
        hide = common
        for own in (masks.negative.get(key), masks.spikes.get(key)):
            hide = hide if own is None else hide | own
        if key[0] in masks.usage_outages:
            hide = hide | masks.usage_outages[key[0]].mask
        result[key] = np.where(hide, np.nan, array) if hide.any() else array
    return result


def coverage_frame(axis: Axis, services: tuple[str, ...], values: Values) -> pd.DataFrame:
    """Return per service what was measured, from when to when, and how much is missing."""
    whole = totals(values)
    seen = {name: ~np.isnan(array) for name, array in whole.items()}
    some = np.any(list(seen.values()), axis=0)
    rows = []
    for row, service in enumerate(services):
        names = [name for name in QUANTITIES if name in seen and seen[name][row].any()]
        steps = np.flatnonzero(some[row])
        first = axis.local_text(int(steps[0])) if len(steps) else ""
        last = axis.local_text(int(steps[-1])) if len(steps) else ""
        span = steps[-1] - steps[0] + 1 if len(steps) else 0
        worst = max((span - int(seen[name][row].sum()) for name in names), default=0)
        missing = f"{worst / span:.2%}" if span else ""
        rows.append([service, ", ".join(names), first, last, missing])
    return pd.DataFrame(rows, columns=["service", "measured", "first", "last", "most missing"])


def _masks(axis: Axis, values: Values, whole: Mapping[str, Floats]) -> _Masks:
    negative = {key: array < 0 for key, array in values.items()}
    negative = {key: mask for key, mask in negative.items() if mask.any()}
    spikes = {}
    for key, array in values.items():
        if key[0] in _RATES:
            good = np.where(negative[key], np.nan, array) if key in negative else array
            mask = suspects.find_spikes(good)
            if mask.any():
                spikes[key] = mask
    clean = _without(whole, values, negative, spikes)
    days = axis.days()
    demand, usage = {}, {}
    for name, seconds in _COUNTED.items():
        if name in clean:
            events = np.full(len(clean[name]), axis.step_min * 60 / seconds)
            demand[name] = find_outages(clean[name], axis, days, events_per_unit=events)
    for name in _ZERO_FILLED:
        if name in clean:
            usage[name] = find_outages(clean[name], axis, days, events_per_unit=None)
    return _Masks(negative, spikes, demand, usage)


def _without(
    whole: Mapping[str, Floats], values: Values, *masks: Mapping[Key, Bools]
) -> dict[str, Floats]:
    """Return the totals with the cells of these masks NaN."""
    clean = dict(whole)
    for name in {key[0] for each in masks for key in each}:
        parts: dict[Key, Floats] = {}
        for key, array in values.items():
            if key[0] == name:
                part = array
                for each in masks:
                    part = np.where(each[key], np.nan, part) if key in each else part
                parts[key] = part
        clean |= totals(parts)
    return clean


def _clean_totals(whole: Mapping[str, Floats], values: Values, masks: _Masks) -> dict[str, Floats]:
    """Return the totals without negative cells, spikes and outages."""
    clean = _without(whole, values, masks.negative, masks.spikes)
    down = [outages.mask for outages in masks.demand_outages.values() if outages.mask.any()]
    if down:
        common = np.logical_or.reduce(down)
        clean = {name: np.where(common, np.nan, array) for name, array in clean.items()}
    for name, outages in masks.usage_outages.items():
        if outages.mask.any():
            clean[name] = np.where(outages.mask, np.nan, clean[name])
    return clean


def _coverage(
    axis: Axis, services: tuple[str, ...], values: Values, *, fine: bool
) -> list[Finding]:
    """Return all_nan, too_short, born_late, ended_early and gap."""
    found: list[Finding] = []
    seen = {key: ~np.isnan(array) for key, array in values.items()}
    some = np.logical_or.reduce(list(seen.values()))
    measured = some.any(axis=1)
    found += [
        Finding("all_nan", "error", services[row], "no value at all", {})
        for row in np.flatnonzero(~measured)
    ]
    if fine:
        return found
    first, last = some.argmax(axis=1), axis.n_steps - 1 - some[:, ::-1].argmax(axis=1)
    found += _short_findings(axis, services, first, last, measured)
    edge = EDGE_DAYS * axis.steps_per_day
    for row in np.flatnonzero(measured & (first > edge)):
        text = axis.local_text(int(first[row]))
        message = f"first value {text}, {axis.length_text(int(first[row]))} after the others"
        found.append(Finding("born_late", "warning", services[row], message, {"first": text}))
    for row in np.flatnonzero(measured & (axis.n_steps - 1 - last > edge)):
        text, steps = axis.local_text(int(last[row])), int(axis.n_steps - 1 - last[row])
        message = f"last value {text}, {axis.length_text(steps)} before the others"
        found.append(Finding("ended_early", "warning", services[row], message, {"last": text}))
    return found + _gap_findings(axis, services, seen)


def _short_findings(
    axis: Axis,
    services: tuple[str, ...],
    first: npt.NDArray[np.int64],
    last: npt.NDArray[np.int64],
    measured: npt.NDArray[np.bool_],
) -> list[Finding]:
    least = MIN_DAYS * axis.steps_per_day
    data = {"min_days": MIN_DAYS}
    if axis.n_steps < least:
        span = axis.length_text(axis.n_steps)
        message = f"the history spans {span}; a fit needs {MIN_DAYS} days"
        return [Finding("too_short", "error", "", message, data | {"steps": axis.n_steps})]
    found = []
    for row in np.flatnonzero(measured & (last - first + 1 < least)):
        steps = int(last[row] - first[row] + 1)
        message = f"values span {axis.length_text(steps)}; a fit needs {MIN_DAYS} days"
        own = data | {"steps": steps}
        found.append(Finding("too_short", "error", services[row], message, own))
    return found


def _gap_findings(
    axis: Axis, services: tuple[str, ...], seen: Mapping[Key, Bools]
) -> list[Finding]:
    """Return one finding per service: missing steps by quantity, and the longest run of them."""
    edge = EDGE_DAYS * axis.steps_per_day
    steps = np.arange(axis.n_steps)
    missing: dict[int, dict[str, int]] = {}
    longest: dict[int, tuple[int, int]] = {}
    for (quantity, service_class), good in seen.items():
        first = good.argmax(axis=1)
        last = axis.n_steps - 1 - good[:, ::-1].argmax(axis=1)
        first = np.where(first <= edge, 0, first)
        last = np.where(axis.n_steps - 1 - last <= edge, axis.n_steps - 1, last)
        bounds: Bools = (steps >= first[:, None]) & (steps <= last[:, None])
        runs = runs_of(~good & bounds & good.any(axis=1, keepdims=True))
        count = np.bincount(runs.row, weights=runs.length, minlength=len(services))
        name = f"{quantity}:{service_class}" if service_class else quantity
        for row in np.flatnonzero(count).tolist():
            missing.setdefault(row, {})[name] = int(count[row])
            own = runs.keep(runs.row == row)
            most = int(own.length.argmax())
            best = (int(own.length[most]), -int(own.first[most]))
            longest[row] = max(longest.get(row, best), best)
    return [
        _gap_finding(axis, services[row], missing[row], longest[row]) for row in sorted(missing)
    ]


def _gap_finding(
    axis: Axis, service: str, missing: Mapping[str, int], longest: tuple[int, int]
) -> Finding:
    length, begin = longest[0], axis.local_text(-longest[1])
    counts = ", ".join(f"{name} {count}" for name, count in missing.items())
    message = f"steps missing: {counts}; longest {axis.length_text(length)} from {begin}"
    data = {"missing": dict(missing), "longest_steps": length, "longest_from": begin}
    return Finding("gap", "warning", service, message, data)


def _negative_findings(
    axis: Axis, services: tuple[str, ...], masks: Mapping[Key, Bools], code: str
) -> list[Finding]:
    """Return one finding per service and array for cells below zero or absurdly high."""
    words = {
        "negative": "below zero, as when a counter starts over",
        "reset": f"{suspects.SPIKE_RATIO:.0f} times above the rest, as when a counter jumps",
    }
    found = []
    for (quantity, _), mask in masks.items():
        for row in np.flatnonzero(mask.any(axis=1)):
            steps = np.flatnonzero(mask[row])
            first, last = axis.local_text(int(steps[0])), axis.local_text(int(steps[-1]))
            span = f"between {first} and {last}" if len(steps) > 1 else f"at {first}"
            message = f"{quantity}: {_steps(len(steps))} {span} {words[code]}; masked"
            data = {"quantity": quantity, "steps": len(steps), "first": first, "last": last}
            found.append(Finding(code, "warning", services[row], message, data))
    return found


def _outage_findings(axis: Axis, services: tuple[str, ...], masks: _Masks) -> list[Finding]:
    """Return one finding per service for outages, and one per array for zeros that are kept."""
    together: dict[tuple[int, tuple[tuple[int, int], ...]], list[str]] = {}
    steps: dict[tuple[int, str], tuple[int, int]] = {}
    found = []
    for name, outages in {**masks.demand_outages, **masks.usage_outages}.items():
        for row in np.unique(outages.runs.row).tolist():
            spans = outages.runs.keep(outages.runs.row == row).spans()
            together.setdefault((row, tuple(spans)), []).append(name)
            partial = int(outages.partial[row])
            steps[row, name] = (int(outages.mask[row].sum()) - partial, partial)
        for row in np.unique(outages.zero_runs.row).tolist():
            spans = outages.zero_runs.keep(outages.zero_runs.row == row).spans()
            begin, end = max(spans, key=lambda span: (span[1] - span[0], -span[0]))
            message = (
                f"{name}: zero for {axis.length_text(end - begin)} from {axis.local_text(begin)}; "
                'kept as real (closed?): tag the rows "outage" to mask them'
            )
            data = {"quantity": name, "runs": _listed(axis, spans)}
            found.append(Finding("zero_run", "warning", services[row], message, data))
    for (row, spans_of_row), names in together.items():
        count, partial = max(steps[row, name] for name in names)
        beside = f" and {partial} partial beside" if partial else ""
        scope = " for all quantities" if set(names) - set(_ZERO_FILLED) else ""
        message = (
            f"{', '.join(names)}: {_steps(count)} at or near zero where it is usually busy, first "
            f"{axis.local_text(spans_of_row[0][0])}{beside}; masked{scope}"
        )
        counts = {"quantities": names, "steps": count, "partial_steps": partial}
        runs = {"runs": _listed(axis, spans_of_row)}
        found.append(Finding("outage", "warning", services[row], message, {**counts, **runs}))
    return found


def _listed(axis: Axis, spans: Iterable[tuple[int, int]]) -> list[dict[str, Any]]:
    """Return the first runs as plain data."""
    first = list(spans)[:LISTED]
    return [{"from": axis.local_text(begin), "steps": end - begin} for begin, end in first]


def _steps(count: int) -> str:
    return f"{count} step{'' if count == 1 else 's'}"


def _tag_findings(axis: Axis, services: tuple[str, ...], tags: Tags) -> list[Finding]:
    found = []
    for tag, code in (("load_test", "load_test"), ("outage", "outage")):
        mask = tags.get(tag)
        if mask is None:
            continue
        for row in np.flatnonzero(mask.any(axis=1)):
            steps = np.flatnonzero(mask[row])
            first, last = axis.local_text(int(steps[0])), axis.local_text(int(steps[-1]))
            message = f'{_steps(len(steps))} tagged "{tag}" from {first} to {last}; masked'
            data = {"steps": len(steps), "first": first, "last": last, "tag": tag}
            found.append(Finding(code, "warning", services[row], message, data))
    return found


def _unit_findings(
    axis: Axis, services: tuple[str, ...], clean: Mapping[str, Floats]
) -> list[Finding]:
    levels = {name: suspects.daily_levels(array, axis) for name, array in clean.items()}
    found = []
    for name in clean:
        for jump in suspects.level_jumps(levels, name):
            day = axis.local_text(jump.day * axis.steps_per_day + axis.steps_per_day // 2)[:10]
            units = suspects.UNIT_FACTORS[jump.factor]
            change = f"× {jump.ratio:.3g}" if jump.ratio > 1 else f"÷ {1 / jump.ratio:.3g}"
            message = (
                f"{name}: the level changes {change} around {day} and nothing else does; "
                f"mixed units ({units})?"
            )
            data = {"quantity": name, "date": day, "ratio": jump.ratio, "factor": jump.factor}
            found.append(Finding("unit_suspect", "error", services[jump.row], message, data))
    for row, quantity, message, numbers in suspects.size_suspects(clean):
        data = {"quantity": quantity, **numbers}
        found.append(Finding("unit_suspect", "error", services[row], message, data))
    return found


def _saturation_findings(
    axis: Axis, services: tuple[str, ...], clean: Mapping[str, Floats]
) -> list[Finding]:
    demand = demand_of(clean)
    found: list[Finding] = []
    if demand is None or axis.step_min == DAY_MIN:
        return found  # a daily mean hides every ceiling
    for name in suspects.CAP_QUANTITIES:
        if name not in clean:
            continue
        stretches = suspects.saturated(clean[name], demand, axis, whole_units=name == "replicas")
        for row in dict.fromkeys(stretch.row for stretch in stretches):
            own = [stretch for stretch in stretches if stretch.row == row]
            steps = np.concatenate([stretch.steps for stretch in own])
            worst = max(own, key=lambda stretch: stretch.asked / stretch.ceiling)
            first, last = axis.local_text(int(steps[0])), axis.local_text(int(steps[-1]))
            message = (
                f"{name}: flat at {worst.ceiling:.4g} for {_steps(len(steps))} between {first} and "
                f"{last} while the load asks for up to {worst.asked:.4g}; lower bounds, kept"
            )
            data = {
                "quantity": name,
                "steps": len(steps),
                "first": first,
                "last": last,
                "ceiling": worst.ceiling,
                "asked": worst.asked,
            }
            found.append(Finding("saturation", "warning", services[row], message, data))
    return found

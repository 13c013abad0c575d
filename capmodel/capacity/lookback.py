"""What a look-back tool recommends, beside what the season needs.

This module answers: would a recommendation of KRR or VPA, which saw one or two weeks, leave the
season's peak short, by how many cores or GiB and how many pods, and where do both agree? Containers
of a pod add up. It reads no file: :mod:`capmodel.sources.recommendations` does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from capmodel.capacity.rightsizing import RightSize
from capmodel.errors import InputError, nearest
from capmodel.schema import Finding, Findings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Beside", "BesideRow", "beside"]

Verdict = Literal["too small", "agrees", "larger", "unknown"]
_TITLES: Final = {"cpu_cores": ("CPU", "cores"), "memory_gib": ("memory", "GiB")}
_NEEDED: Final = (
    "cluster", "namespace", "kind", "service", "container", "resource",
    "current_request", "recommended_request", "source", "lookback_days", "reason",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BesideRow:
    """One tool's recommendation for one resource of a service's pod, beside ours."""

    service: str
    resource: str
    source: str
    lookback_days: float
    verdict: Verdict
    today: float
    """Today's request [cores or GiB]."""
    theirs: float
    """Sum over the pod's containers [cores or GiB]; nan where one is missing."""
    ours: float
    """Our request [cores or GiB]; nan where we recommend none."""
    least: float
    """Smallest request with which our pods keep the season's policy [cores or GiB]."""
    short: float
    """What the season misses over all our pods at their request [cores or GiB]; 0 for none."""
    pods: float
    """Our pods in the season."""
    pods_at_theirs: float
    """Pods that the season takes at their request; inf where no number does."""
    text: str


@dataclass(frozen=True, slots=True)
class Beside:
    """All comparisons, and the names that found no partner."""

    rows: tuple[BesideRow, ...]
    notes: Findings


def beside(
    ours: Sequence[RightSize],
    theirs: pd.DataFrame,
    *,
    names: Mapping[str, str] | None = None,
    agree_within: float = 0.10,
) -> Beside:
    """Return each look-back recommendation beside what the season needs, in numbers and words.

    A recommendation is *too small* where it lies below the smallest request with which our pods
    keep the policy in the season; it *agrees* from there to ``1 + agree_within`` times ours.

    Parameters
    ----------
    ours
        Results of :func:`capmodel.capacity.rightsizing.right_size`.
    theirs
        :attr:`capmodel.sources.recommendations.Recommendations.frame`, of one tool or several.
    names
        ``{"namespace/workload": "our service"}`` where names differ, or a workload's name occurs
        in several namespaces.
    agree_within
        Excess over ours that still agrees [ratio].

    Returns
    -------
    Beside
        Workloads that match no service, or several that match one, are findings and no rows; so
        are services that no tool mentions.

    Raises
    ------
    InputError
        A frame without the columns; a name that is no service of ours.
    """
    results = {result.name: result for result in ours}
    _check(theirs, names or {}, results)
    notes, rows = list[Finding](), list[BesideRow]()
    mentioned: set[str] = set()
    for source, part in theirs.groupby("source", sort=True):
        owners: dict[str, list[tuple[str, ...]]] = {}
        by = ["cluster", "namespace", "kind", "service"]
        groups: dict[Any, pd.DataFrame] = dict(iter(part.groupby(by, sort=True)))
        for owner in groups:
            _, namespace, kind, workload = (str(piece) for piece in owner)
            name = _service(f"{namespace}/{workload}", workload, names or {}, results)
            if name is None:
                notes.append(_unmatched(f"{namespace}/{workload}", kind, str(source), results))
                continue
            owners.setdefault(name, []).append(owner)
        for name, found in owners.items():
            mentioned.add(name)
            if len(found) > 1:
                notes.append(_ambiguous(name, found, str(source)))
                continue
            rows += _compared(results[name], groups[found[0]], str(source), agree_within)
    notes += [
        Finding("no_recommendation", "info", name, f"{name}: no tool recommends anything", {})
        for name in results
        if name not in mentioned
    ]
    return Beside(rows=tuple(rows), notes=Findings(tuple(notes)))


def _check(frame: pd.DataFrame, names: Mapping[str, str], ours: Mapping[str, Any]) -> None:
    missing = [column for column in _NEEDED if column not in frame.columns]
    if missing:
        raise InputError.of(
            "theirs",
            got=f"a frame without {', '.join(missing)}",
            expected="the frame of capmodel.sources.recommendations",
            do="Read the tool's file with read_krr_csv, read_krr_json or read_vpa.",
        )
    unknown = sorted(set(names.values()) - set(ours))
    if unknown:
        close = nearest(unknown[0], ours)
        raise InputError.of(
            "names",
            got=f'unknown service "{unknown[0]}"',
            expected=f"one of: {', '.join(sorted(ours))}",
            do=f'Did you mean "{close}"?' if close else "Correct the name.",
        )


def _service(full: str, workload: str, names: Mapping[str, str], ours: Iterable[str]) -> str | None:
    """Return the service of a workload: the one that `names` says, else the one of its name."""
    if full in names:
        return names[full]
    named_elsewhere = workload in names.values()
    return workload if workload in ours and not named_elsewhere else None


def _unmatched(full: str, kind: str, source: str, ours: Iterable[str]) -> Finding:
    workload = full.rsplit("/", 1)[-1]
    close = nearest(workload, ours)
    hint = f' Did you mean "{close}"?' if close and close != workload else ""
    message = f"{source}: {kind} {full} matches no service.{hint} Name it in names= to compare it."
    return Finding("unmatched_workload", "warning", "", message, {"workload": full})


def _ambiguous(name: str, found: Sequence[tuple[str, ...]], source: str) -> Finding:
    listed = ", ".join(
        f"{kind} {'/'.join(filter(None, (cluster, namespace, workload)))}"
        for cluster, namespace, kind, workload in found
    )
    message = f"{source}: {name} is the name of {listed}: say which with names=, none is compared"
    return Finding("ambiguous_workload", "warning", name, message, {"workloads": len(found)})


def _compared(
    ours: RightSize, rows: pd.DataFrame, source: str, agree_within: float
) -> list[BesideRow]:
    result = []
    for resource in _TITLES:
        part = rows[rows["resource"] == resource]
        if part.empty:
            continue
        asked = part["recommended_request"].to_numpy(dtype=float)
        missing = [
            " ".join(filter(None, (str(container), str(reason))))
            for container, reason, value in zip(
                part["container"], part["reason"], asked, strict=True
            )
            if not math.isfinite(value)
        ]
        days = float(part["lookback_days"].iloc[0])
        total = float(asked.sum())  # nan where one container has none
        result.append(_row(ours, resource, total, (source, days), missing, agree_within))
    return result


def _row(
    ours: RightSize,
    resource: str,
    theirs: float,
    source: tuple[str, float],
    missing: Sequence[str],
    agree_within: float,
) -> BesideRow:
    today, season = ours.service.today, ours.season
    cpu = resource == "cpu_cores"
    request = ours.cpu_request_cores if cpu else ours.memory_request_gib
    least = math.nan if season is None else season.least_cores if cpu else season.least_gib
    pods = math.nan if season is None else season.replicas
    verdict: Verdict = "unknown"
    if math.isfinite(theirs) and math.isfinite(least):
        larger = theirs > (1 + agree_within) * request
        verdict = "too small" if theirs < least * (1 - 1e-9) else "larger" if larger else "agrees"
    needed = math.nan
    if math.isfinite(theirs) and ours.paths is not None:
        needed = float(ours.paths.pods(np.array([max(theirs, 1e-9)]), resource).whole[0])
    row = BesideRow(
        service=ours.name,
        resource=resource,
        source=source[0],
        lookback_days=source[1],
        verdict=verdict,
        today=math.nan if today is None else today.cpu_cores if cpu else today.memory_gib,
        theirs=theirs,
        ours=request,
        least=least,
        short=max(least - theirs, 0.0) * pods,
        pods=pods,
        pods_at_theirs=needed,
        text="",
    )
    return replace(row, text=_text(row, ours, missing))


def _text(row: BesideRow, ours: RightSize, missing: Sequence[str]) -> str:
    title, unit = _TITLES[row.resource]
    tool = f"{row.source.upper()} ({row.lookback_days:g} days back)"
    if missing:
        return f"{tool} recommends no {title} request for the whole pod: {'; '.join(missing)}"
    if ours.season is None:
        return f"{tool}: {row.theirs:.2f} {unit}; ours: none ({ours.reason})"
    day = ours.service.season_day
    when = f"the season's peak on {day}" if day else "the season's peak"
    need = f"{row.least:.2f} {unit} with {row.pods:g} pods"
    if row.verdict == "agrees":
        return f"{tool} and the season agree: {row.theirs:.2f} {unit}, {when} takes {need}"
    if row.verdict == "larger":
        return (
            f"{tool} asks for more: {row.theirs:.2f} {unit}, {when} takes {need}; "
            f"ours is {row.ours:.2f}"
        )
    change = f"shrinks the {title} request of {row.today:.2f} {unit} to {row.theirs:.2f}"
    if not row.theirs < row.today:
        change = f"leaves the {title} request at {row.theirs:.2f} {unit}"
    if math.isinf(row.pods_at_theirs):
        relief = "no number of pods of this request holds it"
    elif row.pods_at_theirs <= row.pods:
        relief = "the policy's rows would hold, the margin over the hottest pod would not"
    else:
        more = row.pods_at_theirs - row.pods
        relief = f"at this request it takes {row.pods_at_theirs:g} pods, {more:g} more"
        top = ours.service.maximum
        if top is not None and row.pods_at_theirs > top:
            relief += f", above replicas.max of {top}"
    if row.resource == "memory_gib":
        relief += "; with the limit at the request, pods are killed instead of slowed"
    return f"{tool} {change}, but {when} takes {need}: {row.short:.1f} {unit} missing; {relief}"

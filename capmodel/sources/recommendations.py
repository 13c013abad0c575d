"""Read what right-sizing tools recommend: KRR's ``csv-raw`` and JSON files, and VPA objects.

This module answers: which requests and limits does a look-back tool recommend for each container,
in cores and GiB, and how far back did it look? What it cannot say is a missing value with a reason,
never 0. It compares nothing: :func:`capmodel.capacity.lookback.beside` does.

Formats as written by their tools:

- KRR ``csv-raw``: robusta-dev/krr ``robusta_krr/formatters/csv_raw.py`` (commit 015eb643): plain
  cores and bytes, ``unset`` for none, ``?`` for no recommendation; no look-back in the file.
- KRR JSON: the same repository's ``core/models/result.py`` (commit 05c70de7) and
  ``core/models/allocations.py``: ``scans[].object.allocations`` and ``scans[].recommended``, each
  value a number, a quantity, ``"?"`` or null; ``strategy.settings.history_duration`` in hours.
- VPA: the ``autoscaling.k8s.io/v1`` API reference, ``status.recommendation
  .containerRecommendations`` with ``target``, ``lowerBound``, ``upperBound``, ``uncappedTarget``.
- Quantities: the Kubernetes API reference, *Quantity*: ``n u m`` (none) ``k M G T P E``,
  ``Ki Mi Gi Ti Pi Ei``, or an exponent such as ``e3``.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pandas as pd

from capmodel.documents.strict_yaml import parse_yaml, read_text
from capmodel.errors import InputError, Problem, nearest
from capmodel.schema import Finding, Findings

__all__ = [
    "COLUMNS",
    "KRR_LOOKBACK_DAYS",
    "VPA_LOOKBACK_DAYS",
    "Recommendations",
    "parse_quantity",
    "read_krr_csv",
    "read_krr_json",
    "read_vpa",
]

KRR_LOOKBACK_DAYS: Final = 14.0
"""KRR's default ``history_duration``, 336 hours [days]."""
VPA_LOOKBACK_DAYS: Final = 8.0
"""VPA's memory window, 8 peaks of 24 hours; the weight of CPU samples halves each day [days]."""

COLUMNS: Final = (
    "cluster", "namespace", "kind", "service", "container", "resource", "unit",
    "current_request", "recommended_request", "current_limit", "recommended_limit",
    "lower_bound", "upper_bound", "uncapped_target",
    "pods", "source", "lookback_days", "reason",
)  # fmt: skip
"""Columns of :attr:`Recommendations.frame`; ``service`` is the workload's name."""

_KEY: Final = COLUMNS[:7]
_VALUES: Final = COLUMNS[7:14]
_RESOURCES: Final = MappingProxyType(
    {"cpu": ("cpu_cores", "cores", 1.0), "memory": ("memory_gib", "GiB", 2.0**30)}
)
_QUANTITY: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([a-zA-Z]*|[eE][+-]?\d+)")
_SUFFIXES: Final[Mapping[str, Decimal]] = MappingProxyType(
    {
        **{name: Decimal(10) ** (3 * k) for name, k in zip("num", (-3, -2, -1), strict=True)},
        **{name: Decimal(10) ** (3 * k) for k, name in enumerate(["", "k", *"MGTPE"])},
        **{f"{name}i": Decimal(1024) ** k for k, name in enumerate("KMGTPE", start=1)},
    }
)
_UNSET: Final = frozenset({"unset", "none", "null", ""})
_KRR_PARTS: Final = (
    "Requests Current", "Requests Recommended", "Limits Current", "Limits Recommended",
)  # fmt: skip
_NO_KRR: Final = "KRR gives none (too little data, or an autoscaler on this resource)"
_VPA_BOUNDS: Final = ("lowerBound", "upperBound", "uncappedTarget")
_VPA_VALUES: Final = ("recommended_request", "lower_bound", "upper_bound", "uncapped_target")
_VPA_KNOWS_NOT: Final = "a VPA states neither today's request nor any limit"
_KUBECTL: Final = "Export with `kubectl get vpa -A -o yaml`."
_FEWEST_BYTES: Final = 2.0**20
_MOST_CORES: Final = 256.0


@dataclass(frozen=True, slots=True, eq=False)
class Recommendations:
    """One row per container and resource, and what was noted while reading."""

    frame: pd.DataFrame
    """Columns :data:`COLUMNS`: requests, limits and bounds in ``unit`` (cores or GiB), nan where
    ``reason`` says why; ``pods`` where the tool counted them [pods]; ``lookback_days`` [days]."""
    notes: Findings


def parse_quantity(text: str, *, where: str = "quantity") -> float:
    """Return a Kubernetes quantity in its base unit: cores, or bytes.

    Parameters
    ----------
    text
        For example ``250m``, ``1.5``, ``512Mi``, ``1G``, ``2e3``.
    where
        What the message names.

    Raises
    ------
    InputError
        For anything that Kubernetes would not read, such as ``1GB``, ``512K`` or ``0,5``; and for
        a negative number.

    References
    ----------
    Kubernetes API reference, *Quantity*.

    Examples
    --------
    >>> parse_quantity("250m"), parse_quantity("1Gi"), parse_quantity("1G"), parse_quantity("2e3")
    (0.25, 1073741824.0, 1000000000.0, 2000.0)
    """
    match = _QUANTITY.fullmatch(text.strip())
    number, suffix = match.groups() if match else ("", text)
    if match and suffix in _SUFFIXES:
        scale = _SUFFIXES[suffix]
    elif match and re.fullmatch(r"[eE][+-]?\d{1,2}", suffix):
        scale = Decimal(10) ** int(suffix[1:])
    else:
        raise InputError.of(
            where, got=repr(text), expected="a Kubernetes quantity", do=_quantity_hint(text)
        )
    value = float(Decimal(number) * scale)
    if value < 0:
        raise InputError.of(where, got=repr(text), expected="0 or more", do="Export it again.")
    return value


def _quantity_hint(text: str) -> str:
    unit = re.sub(r"[^a-zA-Z]", "", text)
    if "," in text:
        return "Write a decimal point and no thousands separator."
    if unit in {"K", "KB", "kB", "kb", "KiB"}:
        return "Write k for 1000 or Ki for 1024."
    if len(unit) > 1 and unit[0].upper() in "MGTPE" and unit[-1] in "Bb":
        big = unit[0].upper()
        return f"Write {big} for powers of 1000 or {big}i for powers of 1024, without a B."
    return "Write a number with one of: n u m k M G T P E Ki Mi Gi Ti Pi Ei, or an exponent as e3."


def read_krr_csv(path: str | Path, *, lookback_days: float | None = None) -> Recommendations:
    """Read a file of ``krr ... -f csv-raw``.

    Parameters
    ----------
    path
        The file.
    lookback_days
        The ``--history_duration`` it was made with [days]; the file does not say. None takes
        KRR's default of 14 and says so in the notes.

    Raises
    ------
    InputError
        Missing or empty file, another format, missing columns, a short line, text that is no
        quantity, the same container twice; all with their lines.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "krr.csv"
    >>> header = "Namespace,Name,Pods,Old Pods,Type,Container"
    >>> for part in ("CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits"):
    ...     header += f",{part} Current,{part} Recommended"
    >>> row = "shop,api,12,3,Deployment,app,1,0.25,unset,unset,2147483648,?,2147483648,?"
    >>> _ = file.write_text(header + chr(10) + row + chr(10))
    >>> read = read_krr_csv(file, lookback_days=14)
    >>> read.frame[["service", "unit", "current_request", "recommended_request"]].values.tolist()
    [['api', 'cores', 1.0, 0.25], ['api', 'GiB', 2.0, nan]]
    """
    file = Path(path)
    lines = list(csv.reader(io.StringIO(_text_of(file))))
    header = _krr_header(lines, file.name)
    rows, problems = [], list[Problem]()
    for at, cells in enumerate(lines[1:], start=2):
        where = f"{file.name}:{at}"
        if not cells:
            continue
        if len(cells) != len(header):
            got, expected = f"{len(cells)} cells", f"{len(header)}, as in the header"
            problems.append(Problem(where, got, expected, "Export the file again."))
            continue
        line = dict(zip(header, (cell.strip() for cell in cells), strict=True))
        owner = [line.get("Cluster", ""), line["Namespace"], line["Type"], line["Name"]]
        pods = _number(line["Pods"], f"{where}, Pods", problems)
        for resource, title in (("cpu", "CPU"), ("memory", "Memory")):
            values = {
                column: line[f"{title} {part}"]
                for column, part in zip(_VALUES[:4], _KRR_PARTS, strict=True)
            }
            row = _row([*owner, line["Container"]], resource, values, _NO_KRR, where, problems)
            rows.append(row | {"pods": pods, "source": "krr"})
    notes = [_assumed_lookback(file.name)] if lookback_days is None else []
    days = KRR_LOOKBACK_DAYS if lookback_days is None else lookback_days
    return _made(rows, days, where=file.name, problems=problems, notes=notes)


def read_krr_json(path: str | Path, *, lookback_days: float | None = None) -> Recommendations:
    """Read a file of ``krr ... -f json``.

    Parameters
    ----------
    path
        The file.
    lookback_days
        Overrides what the file says [days]; None takes ``strategy.settings.history_duration``, or
        KRR's default of 14 with a note where the file has none.

    Raises
    ------
    InputError
        Missing or empty file, no JSON, no ``scans``, an entry without its name, text that is no
        quantity, the same container twice; each with its place.
    """
    file = Path(path)
    data = _json(_text_of(file), file.name)
    scans = data.get("scans") if isinstance(data, dict) else None
    if not isinstance(scans, list):
        raise InputError.of(
            file.name,
            got="JSON without a list of scans",
            expected="what `krr ... -f json` writes",
            do="Use read_vpa for VPA objects.",
        )
    rows, problems = [], list[Problem]()
    for k, scan in enumerate(scans):
        where = f"{file.name}, scans[{k}]"
        rows += _krr_scan(scan, where, problems)
    days, notes = _krr_days(data, file.name, problems)
    days, notes = (days, notes) if lookback_days is None else (lookback_days, [])
    return _made(rows, days, where=file.name, problems=problems, notes=notes)


def read_vpa(path: str | Path) -> Recommendations:
    """Read VPA objects as ``kubectl get vpa -A -o yaml`` (or ``json``) prints them.

    A VPA knows neither the requests nor the limits of today, and scales limits in proportion: both
    are missing in the frame. ``service`` is the name that ``spec.targetRef`` gives. An object
    without a recommendation stays as rows without values; one of another kind is noted.

    Parameters
    ----------
    path
        The file: a list of objects or a single one.

    Raises
    ------
    InputError
        Missing or empty file, neither YAML nor JSON, no object, an object without its target,
        text that is no quantity, the same container twice; each with its place.
    """
    file = Path(path)
    text = _text_of(file)
    data: Any
    if text.lstrip().startswith("{"):
        data, problems = _json(text, file.name), list[Problem]()
    else:
        data, found = parse_yaml(text, name=file.name)
        problems = list(found)
    items = data.get("items", [data]) if isinstance(data, dict) else None
    if not isinstance(items, list):
        raise InputError.of(
            file.name,
            got="no Kubernetes objects",
            expected="VerticalPodAutoscaler objects",
            do=_KUBECTL,
        )
    rows, notes = [], list[Finding]()
    for k, item in enumerate(items):
        where = f"{file.name}, items[{k}]"
        kind = item.get("kind") if isinstance(item, dict) else type(item).__name__
        if kind != "VerticalPodAutoscaler":
            message = f"{where} is a {kind}, no VerticalPodAutoscaler: not read"
            notes.append(Finding("not_a_vpa", "warning", "", message, {"item": k}))
            continue
        rows += _vpa_rows(item, where, problems)
    notes += [finding for row in rows for finding in _capped(row)]
    return _made(rows, VPA_LOOKBACK_DAYS, where=file.name, problems=problems, notes=notes)


def _text_of(file: Path) -> str:
    text = read_text(file)
    if not text.strip():
        do = "Export it again; a tool that failed leaves an empty file."
        raise InputError.of(file.name, got="an empty file", expected="recommendations", do=do)
    return text


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where, do = f"{name}:{error.lineno}", "Export without log lines (krr: --quiet)."
        raise InputError.of(where, got=error.msg, expected="JSON", do=do) from error


def _krr_header(lines: Sequence[Sequence[str]], name: str) -> list[str]:
    header = [cell.strip() for cell in lines[0]]
    needed = ["Namespace", "Name", "Pods", "Type", "Container"]
    needed += [f"{title} {part}" for title in ("CPU", "Memory") for part in _KRR_PARTS]
    missing = [column for column in needed if column not in header]
    if not missing:
        return header
    do = "Export with `krr ... -f csv-raw --quiet`."
    if "CPU Requests" in header:
        do = f"This is KRR's `csv`, made for reading. {do}"
    elif (near := nearest(missing[0], header)) is not None:
        do = f'Was "{near}" meant for "{missing[0]}"? {do}'
    raise InputError.of(
        f"{name}:1", got=f"a header without {', '.join(missing)}", expected="csv-raw", do=do
    )


def _krr_scan(scan: Any, where: str, problems: list[Problem]) -> list[dict[str, Any]]:
    """Return the two rows of one scan."""
    try:
        owner, advice = scan["object"], scan["recommended"]
        allocations = owner["allocations"]
        identity = [owner.get("cluster") or ""]
        identity += [str(owner[field]) for field in ("namespace", "kind", "name", "container")]
        pods = float(sum(not pod.get("deleted") for pod in owner.get("pods", [])))
        rows = []
        for resource in _RESOURCES:
            info = (advice.get("info") or {}).get(resource)
            sides = [(allocations[k], advice[k]) for k in ("requests", "limits")]
            raw = [side.get(resource) for pair in sides for side in pair]
            plain = (entry["value"] if isinstance(entry, dict) else entry for entry in raw)
            values = dict(zip(_VALUES[:4], plain, strict=True))
            why = str(info or _NO_KRR)
            row = _row(identity, resource, values, why, f"{where} {resource}", problems)
            rows.append(row | {"pods": pods, "source": "krr"})
    except (KeyError, TypeError, AttributeError) as error:
        got = f"no {error}" if isinstance(error, KeyError) else str(error)
        expected = "object and recommended with requests and limits"
        problems.append(Problem(where, got, expected, "Export the file again."))
        return []
    return rows


def _krr_days(
    data: Mapping[str, Any], name: str, problems: list[Problem]
) -> tuple[float, list[Finding]]:
    try:
        hours = data["strategy"]["settings"]["history_duration"]
    except (KeyError, TypeError):
        return KRR_LOOKBACK_DAYS, [_assumed_lookback(name)]
    return _number(str(hours), f"{name}, history_duration", problems) / 24.0, []


def _assumed_lookback(name: str) -> Finding:
    said = f"{name} does not say how far back KRR looked"
    message = f"{said}: {KRR_LOOKBACK_DAYS:g} days assumed, its default; give lookback_days="
    return Finding("lookback_assumed", "info", "", message, {"lookback_days": KRR_LOOKBACK_DAYS})


def _vpa_rows(item: Mapping[str, Any], where: str, problems: list[Problem]) -> list[dict[str, Any]]:
    """Return the rows of one VPA: one per container and resource that it recommends."""
    try:
        target = item["spec"]["targetRef"]
        owner = ["", str(item["metadata"]["namespace"]), str(target["kind"]), str(target["name"])]
        status = item.get("status") or {}
        advice = (status.get("recommendation") or {}).get("containerRecommendations") or []
        rows = []
        for entry in advice:
            bounds = [entry["target"], *(entry.get(name) or {} for name in _VPA_BOUNDS)]
            for resource in (name for name in _RESOURCES if name in entry["target"]):
                values = dict(zip(_VPA_VALUES, (b.get(resource) for b in bounds), strict=True))
                place = f"{where} {entry['containerName']} {resource}"
                identity = [*owner, str(entry["containerName"])]
                rows.append(_row(identity, resource, values, "unknown", place, problems))
        why = "" if advice else _vpa_silence(status)
        rows = rows or [_row([*owner, ""], name, {}, "", where, problems) for name in _RESOURCES]
    except (KeyError, TypeError, AttributeError) as error:
        got = f"no {error}" if isinstance(error, KeyError) else str(error)
        expected = "metadata.namespace, spec.targetRef and containerRecommendations"
        problems.append(Problem(where, got, expected, _KUBECTL))
        return []
    for row in rows:
        row["reason"] = "; ".join(filter(None, (why, row["reason"], _VPA_KNOWS_NOT)))
    return [row | {"pods": math.nan, "source": "vpa"} for row in rows]


def _vpa_silence(status: Mapping[str, Any]) -> str:
    said = [
        str(condition.get("message") or condition.get("reason") or condition.get("type"))
        for condition in status.get("conditions") or []
        if condition.get("message") or condition.get("status") != "True"
    ]
    return "no recommendation yet" + (f" ({'; '.join(said)})" if said else "")


def _capped(row: Mapping[str, Any]) -> list[Finding]:
    """Return the finding of a target that the policy's bounds changed by more than rounding."""
    target, free, unit = row["recommended_request"], row["uncapped_target"], row["unit"]
    if not abs(target - free) > 1e-3 * max(target, free):  # nan: not bounded
        return []
    message = (
        f"{row['namespace']}/{row['service']} {row['container']}: VPA's target of {target:g} {unit}"
        f" is bounded by its policy; what was used asks {free:g}"
    )
    return [Finding("vpa_capped", "info", row["service"], message, {"uncapped_target": free})]


def _row(
    identity: Sequence[str],
    resource: str,
    values: Mapping[str, object],
    why: str,
    where: str,
    problems: list[Problem],
) -> dict[str, Any]:
    """Return one row: values in the resource's unit, nan with a reason where there is none."""
    name, unit, size = _RESOURCES[resource]
    row: dict[str, Any] = dict(zip(_KEY, (*identity, name, unit), strict=True))
    reasons = []
    for column in _VALUES:
        row[column] = math.nan
        if column not in values:
            continue
        text = "" if values[column] is None else str(values[column]).strip()
        if text.lower() in _UNSET:
            reasons.append(f"{column}: unset")
        elif text == "?" or text.lower() == "nan":
            reasons.append(f"{column}: {why}")
        else:
            try:
                base = parse_quantity(text, where=f"{where}, {column}")
            except InputError as error:
                problems += error.problems
                continue
            slip = _slip(base, resource)
            row[column] = math.nan if slip else base / size
            reasons += [f"{column}: suspect, {slip}"] if slip else []
    row["reason"] = "; ".join(reasons)
    return row


def _slip(base: float, resource: str) -> str:
    """Return why a value must be a slip of unit, '' if it need not be."""
    if resource == "memory" and 0 < base < _FEWEST_BYTES:
        return f"{base:g} bytes are less than 1 MiB: a unit is missing"
    if resource == "cpu" and base > _MOST_CORES:
        return f"{base:g} cores for one container: millicores want an m"
    return ""


def _number(text: str, where: str, problems: list[Problem]) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        problems.append(Problem(where, repr(text), "a number from 0", "Export the file again."))
        return math.nan
    return value


def _made(
    rows: Sequence[dict[str, Any]],
    days: float,
    *,
    where: str,
    problems: list[Problem],
    notes: list[Finding],
) -> Recommendations:
    if not (math.isfinite(days) and days > 0) and not problems:
        do = "Give the length of the tool's look-back."
        problems.append(Problem("lookback_days", str(days), "days above 0", do))
    seen: set[tuple[str, ...]] = set()
    for row in rows:
        key = tuple(row[name] for name in _KEY)
        if key in seen:
            got = f"{'/'.join(filter(None, key[:6]))} twice"
            do = "Keep the newer row; files of two runs are not joined."
            problems.append(Problem(where, got, "one row per container and resource", do))
        seen.add(key)
    if not rows and not problems:
        do = "Check the namespaces that the tool was pointed at."
        problems.append(Problem(where, "no container", "at least one", do))
    if problems:
        raise InputError(problems)
    for row in (row for row in rows if "suspect" in row["reason"]):
        owner = f"{row['namespace']}/{row['service']} {row['container']}"
        message = f"{owner}: {row['resource']} left out ({row['reason']})"
        notes.append(Finding("suspect_unit", "warning", row["service"], message, {"where": where}))
    frame = pd.DataFrame([row | {"lookback_days": days} for row in rows], columns=list(COLUMNS))
    return Recommendations(frame=frame, notes=Findings(tuple(notes)))

"""All exports of a plan, and the folder that holds them with an index.

This module answers: which files are there, what does each do and when, what has none and why, and
which order of the book does a file carry out? The same plan and names give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from capmodel import documents
from capmodel.exports.autoscalers import hpa, scaled_objects
from capmodel.exports.databases import db_instances
from capmodel.exports.names import ExportNames, check_known
from capmodel.exports.nodes import capacity_buffers, node_pools
from capmodel.exports.reservations import capacity_reservations
from capmodel.exports.result import Exported, ExportFile, PlanView

if TYPE_CHECKING:
    from capmodel.catalog import Catalog
    from capmodel.plan import PlanSet

__all__ = ["WRITTEN", "exports", "write_exports"]

INDEX: Final = "capmodel-exports.json"
"""The file by which a folder of exports is known."""
WRITTEN: Final = ("README.md", INDEX, "aws", "capacity-buffers", "hpa", "karpenter", "keda")
"""What a folder of exports may hold, and all that is replaced there."""

_NOTES: Final = """\
- Pods: apply the files of `hpa/` or those of `keda/` to a workload, never both; KEDA makes an
  autoscaler of its own. Where no maximum is declared, the need is both bounds of `hpa/`: raise
  `maxReplicas` if the databases bear the connections. `capacity-buffers/` keep room *on top of*
  running pods: they stand in for raised minimums, not beside them.
- Names: an autoscaler is taken to be named like its workload; every name that was not stated is the
  plan's own. Database instances without stated identifiers are numbered: check them.
- KEDA: cron has no year, so a window comes again every year; delete the triggers at the date in the
  column Until. `maxReplicaCount` is always written: without it KEDA stops at 100.
- Karpenter: `.limits.patch.yaml` leaves one node per zone above the need for replacements.
  `.static.yaml` needs the feature gate StaticCapacity (alpha); a NodePool cannot change between
  static and dynamic; labels, taints and the EC2NodeClass are yours to add.
- Reservations: future-dated ones are `targeted`, so the EC2NodeClass has to select them
  (`capacityReservationSelectorTerms`), and their count comes on top of what runs.
- Databases: `ApplyImmediately` is false, so a change is applied in the next maintenance window;
  send it after the window before its day of execution."""
_ELSEWHERE: Final = {
    "quota": "a request to whoever sets the limit: no object to apply",
    "config": "a setting of the service itself",
}


def exports(
    plan: PlanSet | PlanView, names: ExportNames | None = None, *, catalog: Catalog | None = None
) -> Exported:
    """Return every file of a plan, and what has none.

    Parameters
    ----------
    plan
        The plan, made or loaded.
    names
        Names of the cluster's and the account's objects; None: the plan's own.
    catalog
        Shapes of instance types; None: the built-in catalog.

    Raises
    ------
    InputError
        For names of services or databases that the plan does not have, two services of one
        workload, fewer zones than a pool spans, and another number of instances than an order
        changes.
    """
    view, names = PlanView.of(plan), names or ExportNames()
    check_known(
        names,
        services=[row["service"] for row in view.rows("services")],
        databases=[row["database"] for row in view.rows("databases")],
    )
    return (
        hpa(view, names)
        + scaled_objects(view, names)
        + capacity_buffers(view, names)
        + node_pools(view, names, catalog=catalog)
        + capacity_reservations(view, names, catalog=catalog)
        + db_instances(view, names)
    )


def write_exports(
    plan: PlanSet,
    folder: str | Path,
    names: ExportNames | None = None,
    *,
    catalog: Catalog | None = None,
) -> Exported:
    """Write every export and an index into a folder, and return what was written.

    The folder is swapped whole. It may be missing, empty, or hold earlier exports. ``README.md`` is
    the index for people, ``capmodel-exports.json`` the same for programs.

    Parameters
    ----------
    plan, names, catalog
        As of :func:`exports`.
    folder
        Where to write.

    Raises
    ------
    InputError
        As of :func:`exports`, and for a folder that holds anything else.
    """
    documents.check_replaceable(folder, ours=INDEX, known=WRITTEN)
    view = PlanView.of(plan)
    found = exports(view, names, catalog=catalog)
    texts = {file.name: file.text for file in found.files}
    texts["README.md"] = _readme(view, found)
    texts[INDEX] = documents.canonical_json(_index(view, found)) + "\n"

    def fill(place: Path) -> None:
        for name, text in texts.items():
            documents.write_text_atomic(place / name, text)

    documents.swap_folder(folder, fill, ours=INDEX, known=WRITTEN)
    return found


def _index(view: PlanView, found: Exported) -> dict[str, Any]:
    return {
        "plan_hash": view.hash,
        "as_of": view.as_of.isoformat(),
        "files": [
            {"name": f.name, "what": f.what, "apply": _command(f), "from": f.start, "until": f.end}
            for f in found.files
        ],
        "left_out": [
            {"export": o.export, "item": o.item, "reason": o.reason} for o in found.left_out
        ],
    }


def _command(file: ExportFile) -> str:
    return file.apply.replace("{file}", file.name)


def _readme(view: PlanView, found: Exported) -> str:
    start, end = view.season
    files = [
        (f"`{f.name}`", f.what, f.start, f.end, f"`{_command(f)}`" if f.apply else "")
        for f in found.files
    ]
    left = [(o.export, o.item, o.reason) for o in found.left_out]
    orders = [
        (o["id"], o["action"], o["latest_by"], o["in_place_by"], o["status"], _where(o))
        for o in view.rows("orders")
    ]
    basis = (
        f"Plan `{view.hash}` as of {view.as_of}; season {start} to {end} (end exclusive), days of "
        f"{view.business_tz}. Every number is the mixture's need."
    )
    parts = [
        f"# What to apply: {view.meta['title']}",
        basis,
        "## Files",
        *_table(("File", "What it does", "From", "Until", "Apply"), files, empty="No file."),
        "## Before applying",
        _NOTES,
        "## Orders of the plan",
        *_table(
            ("Order", "What", "Ask by", "In place by", "Status", "Where"),
            orders,
            empty="Nothing has to be ordered.",
        ),
        "## Left out, and why",
        *_table(("Export", "Item", "Reason"), left, empty="Nothing was left out."),
    ]
    return "\n\n".join(parts) + "\n"


def _where(order: dict[str, Any]) -> str:
    """Return where an order is carried out: in which folder, or by whom."""
    if order["kind"] == "nodes":
        return "`aws/`, `karpenter/`, or left out below"
    if order["kind"] in {"db_class", "storage"}:
        return "`aws/db_instances.json`"
    if order["kind"] == "config" and ":replicas.max" in order["id"]:
        return "`hpa/` or `keda/`"
    return _ELSEWHERE.get(order["kind"], "no file: to be done by hand")


def _table(
    header: tuple[str, ...], rows: Iterable[tuple[Any, ...]], *, empty: str
) -> tuple[str, ...]:
    lines = [
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows
    ]
    if not lines:
        return (empty,)
    head = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return ("\n".join([*head, *lines]),)

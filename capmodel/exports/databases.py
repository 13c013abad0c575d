"""Database changes of the order book: arguments of `modify-db-instance`, beside their dates.

This module answers: which instance gets which class or how much storage, executed on which day and
asked for by which? Nothing is applied at once: a change waits for the maintenance window, which has
to fall on the day of execution.

References
----------
botocore 1.44.5, RDS 2014-10-31, ModifyDBInstanceMessage: a change of class is an outage, applied in
the next maintenance window unless ApplyImmediately is set; AllocatedStorage [GiB] grows by 10 % or
more, and by volumes with provisioned IOPS it needs their Iops beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from capmodel.errors import InputError
from capmodel.exports.names import ExportNames
from capmodel.exports.result import Exported, ExportFile, LeftOut, PlanView, whole

if TYPE_CHECKING:
    from capmodel.plan import PlanSet

__all__ = ["RDS", "db_instances"]

RDS: Final = "database change"


def db_instances(plan: PlanSet | PlanView, names: ExportNames | None = None) -> Exported:
    """Return the class and storage changes of the plan's orders, instance by instance.

    Parameters
    ----------
    plan
        The plan; orders of kind `db_class` name a class, orders of kind `storage` the GiB.
    names
        Identifiers of the instances; None: the database's name, numbered where it has several.

    Raises
    ------
    InputError
        Where another number of instances is named than the order changes.
    """
    view, names = PlanView.of(plan), names or ExportNames()
    entries: list[dict[str, Any]] = []
    changed = set()
    for order in view.rows("orders"):
        if order["kind"] not in {"db_class", "storage"} or not order["to"]:
            continue
        changed.add(order["item"])
        entries += _entries(view, order, names)
    left = []
    for row in view.rows("databases"):
        if row["class_needed"].startswith("none"):
            reason = f"no class of the family holds: {row['binding']} bind on the largest"
            left.append(LeftOut(RDS, row["database"], reason))
        elif row["database"] not in changed:
            left.append(LeftOut(RDS, row["database"], f"keeps {row['class_today']}"))
    return Exported(tuple(_files(entries)), tuple(left))


def _entries(view: PlanView, order: Mapping[str, Any], names: ExportNames) -> list[dict[str, Any]]:
    storage = order["kind"] == "storage"
    change = {"AllocatedStorage": int(order["to"])} if storage else {"DBInstanceClass": order["to"]}
    return [
        {
            "order": order["id"],
            "database": order["item"],
            "from": order["from"],
            "execute_on": order["in_place_by"],
            "request_by": order["latest_by"],
            "plan_hash": view.hash,
            "arguments": {
                "DBInstanceIdentifier": identifier,
                **change,
                "ApplyImmediately": False,
            },
        }
        for identifier in _identifiers(order, names)
    ]


def _identifiers(order: Mapping[str, Any], names: ExportNames) -> tuple[str, ...]:
    database = order["item"]
    count = whole(order["count"]) or 1
    named = names.instances.get(database)
    if named is None:
        return tuple(f"{database}-{i}" for i in range(1, count + 1)) if count > 1 else (database,)
    if len(named) != count:
        raise InputError.of(
            f"names.instances.{database}",
            got=f"{len(named)}: {', '.join(named)}",
            expected=f"{count}, the writer and its readers",
            do="Name every instance that the order changes.",
        )
    return named


def _files(entries: list[dict[str, Any]]) -> list[ExportFile]:
    if not entries:
        return []
    loop = (
        "jq -c '.[].arguments' {file} | while read -r one; "
        'do aws rds modify-db-instance --cli-input-json "$one"; done'
    )
    return [
        ExportFile(
            name="aws/db_instances.json",
            text=json.dumps(entries, indent=2, ensure_ascii=False) + "\n",
            what=f"{len(entries)} changes of database instances, each with its day of execution",
            apply=loop,
        )
    ]

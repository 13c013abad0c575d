"""The command ``export``: from a saved plan to the files that people apply."""

from __future__ import annotations

from pathlib import Path

import click

from capmodel.cli.options import PLAN, debug_option, format_option, read_plan
from capmodel.cli.progress import note, step
from capmodel.cli.tables import Format, in_format, say

__all__ = ["export"]


def _zones(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",")) if value else ()


@click.command(short_help="Write the files that people apply.")
@PLAN
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write into this folder of its own; earlier exports in it are replaced.  [no default]",
)
@click.option(
    "--names",
    "names_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=(
        "YAML that names the cluster's and the account's objects: namespace, services, zones, "
        "node_class, instances.  [default: the plan's own names]"
    ),
)
@click.option(
    "--namespace",
    metavar="NAME",
    help="Namespace of every workload that names none.  [default: default]",
)
@click.option(
    "--zones",
    callback=_zones,
    metavar="ZONE,ZONE,…",
    help="Zones to reserve in, with commas between.  [default: none, and nothing is reserved]",
)
@format_option("every column")
@debug_option
def export(
    plan_path: Path,
    out: Path,
    names_path: Path | None,
    namespace: str | None,
    zones: tuple[str, ...],
    form: Format,
) -> None:
    """Write autoscaler bounds, KEDA triggers, node pools, reservations and database changes.

    What of the plan has no file is listed in DIR/README.md, each with its reason.
    """
    plans = read_plan(plan_path)
    import pandas as pd  # noqa: PLC0415  only when there is something to show

    from capmodel.documents import read_model  # noqa: PLC0415  pydantic
    from capmodel.exports import ExportNames, write_exports  # noqa: PLC0415  pydantic

    names = read_model(ExportNames, names_path) if names_path else ExportNames()
    changes = {"namespace": namespace, "zones": zones}
    names = names.replace(**{field: value for field, value in changes.items() if value})
    with step("writing the exports"):
        found = write_exports(plans, out, names)
    rows = [(f.name, f.what, f.start, f.end) for f in found.files]
    say(in_format(pd.DataFrame(rows, columns=["file", "what", "from", "until"]), form))
    note(f"wrote {out}; {len(found.left_out)} items left out: see {out / 'README.md'}")

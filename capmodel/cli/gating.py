"""The command ``gate``: does a plan keep the rules of a review? The exit code says it to CI."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from capmodel.cli.diffing import STUDY_OPTION, changes_of
from capmodel.cli.options import PLAN, debug_option, format_option, read_plan, set_option
from capmodel.cli.progress import note
from capmodel.cli.tables import Format, in_format, say

if TYPE_CHECKING:
    from capmodel.plan.gates import GateResult

__all__ = ["GATE_FAILED", "INPUTS_STALE", "gate"]

GATE_FAILED: Final = 1
INPUTS_STALE: Final = 3
SHOWN: Final = (
    "result", "gate", "scope", "threshold", "baseline", "value", "unit", "change_x", "waiver_until",
    "detail",
)  # fmt: skip


@click.command(short_help="Hold a plan against the rules of a review.")
@PLAN
@click.option(
    "--rules",
    "rules_path",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="YAML with gates and max_age_days.  [no default]",
)
@click.option(
    "--baseline",
    "baseline_path",
    type=click.Path(path_type=Path),
    metavar="OLD",
    help="The plan or baseline that changes are counted from.  [default: none]",
)
@click.option(
    "--as-of",
    "as_of",
    type=click.DateTime(formats=["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="The day on which inputs must be fresh and waivers valid.  [default: the plan's as_of]",
)
@STUDY_OPTION
@set_option
@format_option("every column")
@debug_option
def gate(  # noqa: PLR0913, PLR0917  one argument for each option
    plan_path: Path,
    rules_path: Path,
    baseline_path: Path | None,
    as_of: datetime | None,
    study_path: Path | None,
    settings: Sequence[str],
    form: Format,
) -> None:
    """Print what each rule says; exit 1 where a gate fails, else 3 where an input is stale.

    md is a comment for a pull request: the gates and, with a baseline, what changed and why.
    """
    plans = read_plan(plan_path)
    before = None if baseline_path is None else read_plan(baseline_path)
    result = plans.gate(rules_path, baseline=before, as_of=as_of.date() if as_of else None)
    if form == "md":
        changes = None if before is None else changes_of(before, plans, study_path, settings)
        say(plans.change_comment(before, changes=changes, gates=result))
    else:
        say(in_format(result.to_frame(), form, columns=SHOWN))
    note(result.headline())
    _exit(result)


def _exit(result: GateResult) -> None:
    if result.failed:
        click.get_current_context().exit(GATE_FAILED)
    if result.stale:
        click.get_current_context().exit(INPUTS_STALE)

"""The command ``diff``: what changed between two plans, and which input moved it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click

from capmodel.cli.options import debug_option, format_option, read_plan, read_study, set_option
from capmodel.cli.progress import note, step
from capmodel.cli.tables import Format, in_format, say

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.plan import PlanSet

__all__ = ["STUDY_OPTION", "changes_of", "diff"]

SHOWN: Final = (
    "frame", "key", "metric", "unit", "old", "new", "delta", "delta_x", "status_old", "status_new",
)  # fmt: skip
"""What a table shows of two scenarios; of two plans, the cause as well."""
STUDY_OPTION: Final = click.option(
    "--study",
    "study_path",
    type=click.Path(path_type=Path),
    metavar="STUDY",
    help=(
        "The study that NEW was made from: where several inputs differ, NEW is planned again with "
        "one swapped back at a time.  [default: none]"
    ),
)


@click.command(short_help="Compare two plans, or two scenarios.")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path), required=False)
@click.option(
    "--scenarios",
    metavar="NAME,NAME",
    help="Compare two scenarios of one plan instead of two plans.  [default: none]",
)
@STUDY_OPTION
@set_option
@format_option("every column")
@debug_option
def diff(
    old: Path,
    new: Path | None,
    scenarios: str | None,
    study_path: Path | None,
    settings: Sequence[str],
    form: Format,
) -> None:
    """Print what changed from plan OLD to plan NEW, or between two scenarios of one plan.

    OLD may be a baseline. Each row names the input that moved it; md is a comment of 60 lines at
    most for a pull request.
    """
    if (new is None) == (scenarios is None):
        message = "name two plans (OLD NEW), or one plan and --scenarios NAME,NAME"
        raise click.UsageError(message)
    if new is None:
        _print(_of_scenarios(read_plan(old), cast("str", scenarios)), form, SHOWN)
        return
    before, after = read_plan(old), read_plan(new)
    changes = changes_of(before, after, study_path, settings)
    if form == "md" and not changes.empty:
        say(after.change_comment(before, changes=changes))
        return
    _print(changes, form, (*SHOWN, "cause"))
    for row in after.changed_inputs(before).to_dict("records"):
        note(f"{row['input']}: {row['old']} \N{RIGHTWARDS ARROW} {row['new']}")


def changes_of(
    before: PlanSet, after: PlanSet, study_path: Path | None, settings: Sequence[str]
) -> pd.DataFrame:
    """Return what differs between two plans, with causes as far as a study tells them apart."""
    from capmodel.plan.changes import mismatch  # noqa: PLC0415  pandas

    doubt = mismatch(before, after)
    if doubt:
        note(f"warning: {doubt}")
    if settings and study_path is None:
        message = "--set overrides a field of the study: add --study STUDY"
        raise click.UsageError(message)
    study = None if study_path is None else read_study(study_path, settings)
    with step("planning again with one input swapped at a time" if study else "comparing"):
        return after.diff(before, study=study)


def _of_scenarios(plans: PlanSet, scenarios: str) -> pd.DataFrame:
    names = [part.strip() for part in scenarios.split(",")]
    if len(names) != 2:  # noqa: PLR2004  a comparison has two sides
        message = f"--scenarios takes two names with a comma between, not {scenarios!r}"
        raise click.UsageError(message)
    return plans.diff(*names)


def _print(changes: pd.DataFrame, form: Format, columns: Sequence[str]) -> None:
    if changes.empty and form in {"table", "md"}:
        say("no differences")
    else:
        say(in_format(changes, form, columns=columns))

"""The command ``freeze``: from a saved plan to a baseline that nobody may edit unseen."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from capmodel.cli.options import PLAN, debug_option, read_plan
from capmodel.cli.progress import note
from capmodel.cli.tables import say

__all__ = ["freeze"]


@click.command(short_help="Freeze a plan as the baseline.")
@PLAN
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file to write; one that holds another freeze is kept.  [no default]",
)
@click.option(
    "--on",
    "on",
    required=True,
    type=click.DateTime(formats=["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="The day on which the plan was agreed.  [no default]",
)
@click.option(
    "--note", "words", default="", metavar="TEXT", help="Who agreed to what.  [default: none]"
)
@debug_option
def freeze(plan_path: Path, out: Path, on: datetime, words: str) -> None:
    """Freeze a saved plan: the file holds the plan, the day and a hash, which is printed.

    A baseline that was edited after its freeze is refused wherever it is read.
    """
    baseline = read_plan(plan_path).freeze(on=on.date(), note=words)
    baseline.save(out)
    say(baseline.hash)
    note(f"wrote {out}, frozen on {baseline.frozen_on}")

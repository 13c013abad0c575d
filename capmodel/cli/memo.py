"""The command ``memo``: the decision memo of a saved plan."""

from __future__ import annotations

from pathlib import Path

import click

from capmodel.cli.options import PLAN, debug_option, read_plan
from capmodel.cli.progress import note
from capmodel.cli.tables import say

__all__ = ["memo"]


@click.command(short_help="Write the decision memo of a plan.")
@PLAN
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the Markdown into this file.  [default: standard output]",
)
@debug_option
def memo(plan_path: Path, out: Path | None) -> None:
    """Print the ask, options, risk, assumptions and likeliest failures as one page of Markdown."""
    text = read_plan(plan_path).to_memo(out)
    if out is None:
        say(text.rstrip("\n"))
    else:
        note(f"wrote {out}")

"""The command ``orders``: the order book of a saved plan, as of any date."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from capmodel.cli.options import PLAN, debug_option, format_option, read_plan
from capmodel.cli.tables import Format, in_format, say

__all__ = ["orders"]

SHOWN: Final = (
    "id", "action", "state", "recommended_by", "latest_by", "in_place_by", "depends_on", "status",
    "timing",
)  # fmt: skip


@click.command(short_help="What is late today? The order book as of a date.")
@PLAN
@click.option(
    "--as-of",
    metavar="YYYY-MM-DD",
    help="The local day on which states are read.  [default: the plan's own]",
)
@format_option("every column")
@debug_option
def orders(plan_path: Path, as_of: str | None, form: Format) -> None:
    """Print a saved plan's orders with their states and statuses as of a date."""
    say(in_format(read_plan(plan_path).orders(as_of=as_of), form, columns=SHOWN))

"""The command ``tripwires``: what may wait for a look, and above what to order how much more."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from capmodel.cli.options import PLAN, debug_option, format_option, read_plan
from capmodel.cli.tables import Format, in_format, say

__all__ = ["tripwires"]

SHOWN: Final = (
    "order", "step", "action", "driver", "look_on", "threshold_per_day", "latest_by", "p_fires",
    "units_after", "usd", "usd_of_waiting",
)  # fmt: skip
"""What a terminal shows; CSV and JSON hold all columns."""


@click.command(short_help="What to watch, when to look, when to order more.")
@PLAN
@format_option("every column")
@debug_option
def tripwires(plan_path: Path, form: Format) -> None:
    """Print per order what to order now, what to watch, and above what to order how much more.

    Orders that close before there is anything to see, or that a look does not help, are sized at
    full risk in one order; the reason is printed.
    """
    plans = read_plan(plan_path)
    text = in_format(plans.tripwires(), form, columns=SHOWN)
    if form == "table":
        text = f"{plans.tripwire_headline()}\n\n{text}"
    say(text)

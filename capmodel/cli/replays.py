"""The command ``replay``: last season planned from the history before it, and what came."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from capmodel.cli.options import (
    STUDY,
    debug_option,
    format_option,
    read_study,
    require_table,
    set_option,
    table_option,
)
from capmodel.cli.progress import note, step
from capmodel.cli.tables import Format, in_format, say, sections

__all__ = ["replay"]

FRAMES: Final = ("provided", "named", "limits", "orders")
SHOWN: Final = {
    "provided": (
        "provision", "nodes", "season_usd", "over_foresight_usd", "minutes_short",
        "minutes_short_zone_lost", "minutes_over_policy", "too_late",
    ),
    "named": ("by", "as_of", "node", "limit", "day", "p_saturate"),
    "orders": ("plan", "action", "latest_by", "in_place_by", "usd", "too_late"),
}  # fmt: skip
"""What a reader is shown; CSV and JSON hold every column."""


def _weeks(_context: click.Context, _option: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        message = f"{value!r} is no list of whole weeks; write them like 9,2"
        raise click.BadParameter(message) from None


@click.command(short_help="Plan last season again, and judge it.")
@STUDY
@click.argument("year", type=int, required=False)
@click.option(
    "--weeks",
    default="9,2",
    show_default=True,
    callback=_weeks,
    metavar="N,N,…",
    help="When the plans are made [whole weeks before the season], with commas between.",
)
@click.option(
    "--rule",
    "rule_x",
    type=click.FloatRange(min=0, min_open=True),
    default=1.3,
    show_default=True,
    help="The rule of thumb beside them: last season's peak times this [ratio].",
)
@table_option(FRAMES)
@set_option
@format_option("every column and row")
@debug_option
def replay(  # noqa: PLR0913, PLR0917  one argument for each option
    study_path: Path,
    year: int | None,
    weeks: tuple[int, ...],
    rule_x: float,
    name: str | None,
    settings: Sequence[str],
    form: Format,
) -> None:
    """Plan the season of YEAR as it could have been planned then, and hold it against what came.

    From the study's own history alone, cut weeks before that season: what the plan would have
    named and ordered, beside what ran and last peak times 1.3, in minutes short and USD.

    YEAR is the year in which the season starts.  [default: the last one in the history]
    """
    require_table(form, name, FRAMES)
    study = read_study(study_path, settings)
    from capmodel.backtest.replay import replay as replay_season  # noqa: PLC0415  pandas

    with step("planning the past season from the history before it"):
        result = replay_season(study, year=year, weeks_before=weeks, rule_x=rule_x)
    if name is not None:
        say(in_format(result.to_frame(name), form))
    elif form == "json":
        say(sections({frame: result.to_frame(frame) for frame in FRAMES}, form, columns={}))
    else:
        say(result.headline())
        say("")
        say(sections({frame: result.to_frame(frame) for frame in SHOWN}, form, columns=SHOWN))
    if result.left_out:
        note(f"left out, born since: {', '.join(result.left_out)}")

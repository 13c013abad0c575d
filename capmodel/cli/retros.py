"""The commands ``retro`` and ``track``: a plan against what happened, or against what happens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from capmodel.cli.options import PLAN, debug_option, format_option, require_table, table_option
from capmodel.cli.progress import note, step
from capmodel.cli.tables import Format, in_format, say, sections

if TYPE_CHECKING:
    from capmodel.history import History

__all__ = ["retro", "track"]

RETRO_FRAMES: Final = (
    "peaks", "days", "scores", "coverage", "decomposition", "limits", "money", "findings",
)  # fmt: skip
TRACK_FRAMES: Final = ("rest", "limits", "days", "scenarios", "findings")
SHOWN: Final = {
    "peaks": ("service", "quantity", "planned", "actual", "date", "ape", "bias", "inside_p80"),
    "coverage": ("of", "hits", "n", "coverage", "coverage_low", "coverage_high", "reads"),
    "decomposition": ("service", "total", "step", "planned_factor", "actual_factor", "change"),
    "limits": ("node", "limit", "planned_rank", "planned_p50", "actual", "short_minutes"),
}
ROOMS: Final = (
    "status", "node", "limit", "unit", "hard", "so_far", "so_far_by", "rest_p50", "rest_p99",
    "headroom_p99_x",
)  # fmt: skip
ROOMS_SHOWN: Final = 15
REPORTS: Final = (".html", ".md")

ACTUALS: Final = click.argument("actuals_path", metavar="ACTUALS", type=click.Path(path_type=Path))
NAIVE_TZ: Final = click.option(
    "--naive-tz",
    metavar="ZONE",
    help="What clock times without a zone mean, as America/New_York.  [default: refused]",
)


def _provisioned(
    _context: click.Context, _option: click.Parameter, values: Sequence[str]
) -> dict[tuple[str, str], float]:
    found = {}
    for value in values:
        name, equals, number = value.partition("=")
        node, dot, limit = name.strip().rpartition(".")
        try:
            found[node, limit] = float(number)
        except ValueError:
            equals = ""
        if not (equals and dot and node):
            message = f"{value!r}: write NODE.LIMIT=VALUE, for example credit-bureau.quota=126"
            raise click.BadParameter(message)
    return found


PROVISIONED: Final = click.option(
    "--provisioned",
    multiple=True,
    callback=_provisioned,
    metavar="NODE.LIMIT=VALUE",
    help=(
        "What stood there, in the limit's unit; may be repeated.  "
        "[default: pods running, else the plan's hard value]"
    ),
)


@click.command(short_help="Compare a frozen plan with its season.")
@PLAN
@ACTUALS
@click.option(
    "--ledger",
    "ledger_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Append the season to this accuracy ledger (CSV).  [default: write nothing]",
)
@click.option(
    "--season", metavar="NAME", help="The season's name in the ledger.  [default: its first year]"
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the report: .html or .md.  [default: write nothing]",
)
@table_option(RETRO_FRAMES)
@PROVISIONED
@NAIVE_TZ
@format_option("every column and row")
@debug_option
def retro(  # noqa: PLR0913, PLR0917  one argument for each option
    plan_path: Path,
    actuals_path: Path,
    ledger_path: Path | None,
    season: str | None,
    out: Path | None,
    name: str | None,
    provisioned: dict[tuple[str, str], float],
    naive_tz: str | None,
    form: Format,
) -> None:
    """Print how far a frozen plan was from what happened, why, and whether its intervals held.

    PLAN is a file that `capmodel freeze` wrote; one that was edited since is refused. ACTUALS is a
    CSV or Parquet file of the season, hourly or by the minute, with the plan's names.
    """
    require_table(form, name, RETRO_FRAMES)
    if out is not None and out.suffix not in REPORTS:
        message = f"--out {out}: the name must end in {' or '.join(REPORTS)}"
        raise click.UsageError(message)
    from capmodel.ledger import Ledger  # noqa: PLC0415  scipy
    from capmodel.plan.baseline import load_baseline  # noqa: PLC0415  pandas
    from capmodel.retro import retro as compare  # noqa: PLC0415  pandas

    baseline = load_baseline(plan_path)
    with step("reading the actuals"):
        actuals = _actuals(actuals_path, str(baseline.plan.meta["business_tz"]), naive_tz)
    with step("comparing"):
        result = compare(baseline, actuals, provisioned=provisioned)
    entries = result.entries(season=season) if ledger_path is not None else ()
    if ledger_path is not None:
        Ledger.append_to(ledger_path, entries)
    if name is not None:
        say(in_format(result.to_frame(name), form))
    elif form == "json":
        say(result.to_json())
    elif form == "md":
        say(result.to_markdown())
    else:
        frames = {n: result.to_frame(n) for n in SHOWN}
        say(f"{result.headline()}\n\n{sections(frames, form, columns=SHOWN)}")
    if out is not None:
        result.to_html(out) if out.suffix == ".html" else result.to_markdown(out)
        note(f"wrote {out}")
    if ledger_path is not None:
        count = "1 entry" if len(entries) == 1 else f"{len(entries)} entries"
        note(f"{ledger_path}: {count} added")


@click.command(short_help="Track a running season against its plan.")
@PLAN
@ACTUALS
@click.option(
    "--now",
    metavar="TIME",
    help="Cut the actuals here: a date, or a time with its zone.  [default: where they end]",
)
@click.option(
    "--until",
    metavar="YYYY-MM-DD",
    help="End of what is still to come, exclusive.  [default: the season's end]",
)
@table_option(TRACK_FRAMES)
@PROVISIONED
@NAIVE_TZ
@format_option("every column and row")
@debug_option
def track(  # noqa: PLR0913, PLR0917  one argument for each option
    plan_path: Path,
    actuals_path: Path,
    now: str | None,
    until: str | None,
    name: str | None,
    provisioned: dict[tuple[str, str], float],
    naive_tz: str | None,
    form: Format,
) -> None:
    """Print where a running season stands: actual against the fan, the rest's P99, room left.

    Nothing reads the clock: now is where the actuals end.
    """
    require_table(form, name, TRACK_FRAMES)
    from capmodel.plan.baseline import load_plan_or_baseline  # noqa: PLC0415  pandas
    from capmodel.retro import track as follow  # noqa: PLC0415  pandas

    place = plan_path / "plan.json" if plan_path.is_dir() else plan_path
    plans = load_plan_or_baseline(place)
    with step("reading the actuals"):
        actuals = _actuals(actuals_path, str(plans.meta["business_tz"]), naive_tz)
    with step("revising the rest"):
        result = follow(plans, actuals, now, until=until, provisioned=provisioned)
    if name is not None:
        say(in_format(result.to_frame(name), form))
    elif form == "json":
        frames = {n: result.to_frame(n) for n in TRACK_FRAMES}
        say(sections(frames, form, columns={}))
    else:
        limits = in_format(result.to_frame("limits").head(ROOMS_SHOWN), form, columns=ROOMS)
        say(f"{result.headline()}\n\n{limits}")


def _actuals(path: Path, business_tz: str, naive_tz: str | None) -> History:
    from capmodel import sources  # noqa: PLC0415  pyarrow

    if path.suffix in {".parquet", ".pq"}:
        return sources.read_parquet(path, business_tz=business_tz, naive_tz=naive_tz)
    return sources.read_csv(path, business_tz=business_tz, naive_tz=naive_tz)

"""The commands and their options: read, call the method of the same name, print.

Heavy imports stand inside the commands, so that help and wrong arguments answer at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from capmodel.cli.backtests import backtest
from capmodel.cli.diffing import diff
from capmodel.cli.exporting import export
from capmodel.cli.freezing import freeze
from capmodel.cli.gating import gate
from capmodel.cli.grids import grid_option, read_grid, summary_text
from capmodel.cli.memo import memo
from capmodel.cli.options import (
    PLAN,
    SCENARIO,
    STUDY,
    debug_option,
    format_option,
    read_plan,
    read_study,
    set_option,
)
from capmodel.cli.order_book import orders
from capmodel.cli.prices import prices
from capmodel.cli.progress import note, step
from capmodel.cli.replays import replay
from capmodel.cli.retros import retro, track
from capmodel.cli.tables import Format, in_format, say, sections
from capmodel.cli.tripwires import tripwires

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.plan import CapacityFit, PlanSet, Study

__all__ = ["capmodel"]

LADDER_ROWS: Final = 15
LADDER: Final = (
    "status", "node", "limit", "peak_p50", "hard", "unit", "utilization_p50", "p_saturate",
    "first_hard_breach", "breaks_at_x",
)  # fmt: skip
"""What the ladder shows in a terminal; CSV and JSON hold all columns."""
FIT_TABLES: Final = ("growth", "lifts", "usage", "calls", "bursts", "imbalance")
REPORTS: Final = (".html", ".md", ".xlsx")

EPILOG: Final = """\
\b
Results go to standard output, messages to standard error.
Exit codes: 0 done, 1 a gate failed or a price differs, 2 bad input or arguments,
3 inputs stale, 70 a fault of capmodel, 130 interrupted.
\b
Example: capmodel plan data/fixtures/shop/study.yaml --out review/
"""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
)
@click.version_option(package_name="capmodel", message="%(prog)s %(version)s")
@debug_option
def capmodel() -> None:
    """Plan capacity: what breaks first, when, and what to order by which date.

    STUDY is a YAML file that names history, topology, scenarios and dates. PLAN is a plan.json, or
    the folder that `capmodel plan --out` wrote.
    """


capmodel.add_command(backtest)
capmodel.add_command(diff)
capmodel.add_command(export)
capmodel.add_command(freeze)
capmodel.add_command(gate)
capmodel.add_command(orders)
capmodel.add_command(prices)
capmodel.add_command(replay)
capmodel.add_command(memo)
capmodel.add_command(retro)
capmodel.add_command(track)
capmodel.add_command(tripwires)


@capmodel.command(short_help="Make the plan: headline, ladder, review.")
@STUDY
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help=(
        "Write plan.json, review.html, review.md and csv/ into this folder; an earlier plan in it "
        "is replaced.  [default: write nothing]"
    ),
)
@grid_option
@set_option
@format_option("the whole ladder and the whole plan; of a grid, its summary")
@debug_option
def plan(
    study_path: Path,
    out: Path | None,
    axes: Sequence[str],
    settings: Sequence[str],
    form: Format,
) -> None:
    """Check, fit and plan a study; print the headline, and write the review with --out.

    With --grid, print the summary: one row per scenario of the grid, each planned for itself.
    """
    if out is not None:
        _check_out(out)
    study = read_study(study_path, settings)
    sweep = read_grid(study, axes)
    fit = _fit(study)
    with step("planning the scenarios"):
        plans = study.plan(fit, scenarios=sweep, also=None if sweep is None else ())
    if out is not None:
        with step("drawing the review"):
            plans.write(out)
    if sweep is None:
        say(_plan_text(plans, form, ladder=out is None))
    else:
        say(summary_text(plans, form))
    _note_warnings(plans, out)
    if out is not None:
        note(f"wrote {out}; open {out / 'review.html'} in a browser")


def _check_out(out: Path) -> None:
    """Refuse a folder that must not be replaced before the work, not after it."""
    from capmodel.documents import check_replaceable  # noqa: PLC0415  pydantic
    from capmodel.plan.plan_files import WRITTEN  # noqa: PLC0415  pandas

    check_replaceable(out, known=WRITTEN)


def _plan_text(plans: PlanSet, form: Format, *, ladder: bool) -> str:
    if form == "json":
        return plans.to_json()
    if form == "md":
        return plans.to_markdown()
    limits = plans.to_frame("limits")
    if form == "csv":
        return in_format(limits, "csv")
    if not ladder:
        return plans.headline()
    mixture = limits[limits["scenario"] == "mixture"]
    text = f"{plans.headline()}\n\n{in_format(mixture.head(LADDER_ROWS), form, columns=LADDER)}"
    rest = len(mixture) - LADDER_ROWS
    return f"{text}\n({rest} more limits: --format csv)" if rest > 0 else text


def _note_warnings(plans: PlanSet, out: Path | None) -> None:
    findings = plans.to_frame("findings")
    count = int((findings["severity"] == "warning").sum())
    if count:
        what = "1 warning" if count == 1 else f"{count} warnings"
        where = f"see {out / 'csv' / 'findings.csv'}" if out else "--out writes them down"
        note(f"{what} about data and model: {where}")


@capmodel.command(short_help="Check a study's files and history.")
@STUDY
@set_option
@format_option("every column")
@debug_option
def check(study_path: Path, settings: Sequence[str], form: Format) -> None:
    """Read every file of a study and check it; exit 2 where a fit would refuse the data."""
    study = read_study(study_path, settings)
    from capmodel.cli.checks import check_study  # noqa: PLC0415  pandas

    with step("reading and checking the history"):
        checked = check_study(study)
    if checked.findings.empty and form in {"table", "md"}:
        say("no findings")
    else:
        say(in_format(checked.findings, form))
    if checked.accepted:
        note(f"the study accepts: {', '.join(checked.accepted)}")
    if checked.stopping:
        codes = ", ".join(sorted({finding.code for finding in checked.stopping}))
        note(
            f"a fit refuses this data: {codes}. "
            f"Repair it, or overrule it by name in the study: history: {{accept: [{codes}]}}"
        )
        click.get_current_context().exit(2)


@capmodel.command(short_help="Fit: growth, lifts, usage, calls.")
@STUDY
@click.option(
    "--table",
    "name",
    type=click.Choice(FIT_TABLES),
    help="Print this table alone; csv needs one.  [default: all]",
)
@set_option
@format_option("every column and row")
@debug_option
def fit(study_path: Path, name: str | None, settings: Sequence[str], form: Format) -> None:
    """Fit a study and print growth, event lifts, usage per unit of load, calls and bursts."""
    if form == "csv" and name is None:
        message = f"csv holds one table: add --table {'|'.join(FIT_TABLES)}"
        raise click.UsageError(message)
    fitted = _fit(read_study(study_path, settings))
    from capmodel.cli.summaries import SHOWN, fit_tables  # noqa: PLC0415  pandas

    tables = fit_tables(fitted)
    if name is None:
        say(sections(tables, form, columns=SHOWN))
    else:
        say(in_format(tables[name], form, columns=SHOWN[name]))


@capmodel.command(short_help="Show the chain of factors behind a limit.")
@PLAN
@click.argument("node")
@click.argument("limit")
@SCENARIO
@format_option("every column")
@debug_option
def explain(plan_path: Path, node: str, limit: str, scenario: str | None, form: Format) -> None:
    """Print the chain of factors behind a limit's P50, for example: core-db connections."""
    say(in_format(read_plan(plan_path).explain(node, limit, scenario=scenario), form))


def _multiples(_context: click.Context, _option: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        message = f"{value!r} is no list of numbers; write multiples of today like 1,1.5,2,3"
        raise click.BadParameter(message) from None


@capmodel.command(short_help="How full is each limit at k times today?")
@PLAN
@click.option(
    "--x",
    "multiples",
    default="1,1.5,2,3",
    show_default=True,
    callback=_multiples,
    metavar="X,X,…",
    help="Multiples of today's traffic [ratio], with commas between.",
)
@format_option("every column")
@debug_option
def sweep(plan_path: Path, multiples: tuple[float, ...], form: Format) -> None:
    """Print how full each limit is at multiples of today's traffic, without failures.

    Pods and nodes are whole here. The ladder's breaks_at_x counts in fractions of them, so a
    limit may be passed a little before.
    """
    frame = read_plan(plan_path).sweep(multiples)
    say(in_format(_side_by_side(frame) if form in {"table", "md"} else frame, form))


def _side_by_side(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per limit and one column per multiple, such as '106.9% RED'."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for row in frame.to_dict("records"):
        at = rows.setdefault(
            (row["node"], row["limit"]), {k: row[k] for k in ("node", "limit", "hard", "unit")}
        )
        full = row["utilization"]
        at[f"{row['x']:g} x"] = f"{full:.1%} {row['status']}" if full == full else row["status"]  # noqa: PLR0124  NaN
    import pandas as pd  # noqa: PLC0415  only when there is something to show

    return pd.DataFrame(list(rows.values()))


@capmodel.command(short_help="Write a saved plan as HTML, Markdown or XLSX.")
@PLAN
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file to write: .html, .md or .xlsx (needs the extra xlsx).  [no default]",
)
@click.option(
    "--service",
    metavar="NAME",
    help="Write the page of this service for its owner, .html or .md.  [default: the whole plan]",
)
@debug_option
def report(plan_path: Path, out: Path, service: str | None) -> None:
    """Write a saved plan as one HTML page, as Markdown or as a workbook; or a service's page."""
    known = REPORTS[:2] if service else REPORTS
    if out.suffix not in known:
        message = f"--out {out}: the name must end in {' or '.join(known)}"
        raise click.UsageError(message)
    plans = read_plan(plan_path)
    with step("drawing the report"):
        if service is not None:
            plans.to_service_page(service, out, form="html" if out.suffix == ".html" else "md")
        elif out.suffix == ".xlsx":
            plans.to_xlsx(out)
        elif out.suffix == ".html":
            plans.to_html(out)
        else:
            plans.to_markdown(out)
    note(f"wrote {out}")


def _fit(study: Study) -> CapacityFit:
    with step("reading the history and fitting demand and usage" if study.history else "reading"):
        return study.fit()

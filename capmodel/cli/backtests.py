"""The command ``backtest``: which models are judged at which cuts, and what is shown of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

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
from capmodel.cli.progress import bar, note, step
from capmodel.cli.tables import Format, in_format, say, sections
from capmodel.errors import InputError, Problem, nearest

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.backtest import BacktestResult, Origin
    from capmodel.demand.protocol import DemandModel
    from capmodel.history import History
    from capmodel.plan import Study

__all__ = ["MODELS", "backtest"]

FRAMES: Final = ("summary", "scores", "buckets", "quantiles", "peaks", "refused")
ROLLING: Final = 3
"""Rolling cuts where no cut is asked for."""
REFUSED_ROWS: Final = 20
"""Refusals that are shown in a terminal."""
SHOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "summary": (
        "model", "n_judged", "n_compared", "wape", "bias", "mase", "skill", "better_than_naive",
    ),
    "horizon": ("bucket", "model", "n", "wape", "bias", "mase", "skill"),
    "coverage": ("q", "model", "n_hours", "coverage", "coverage_low", "coverage_high"),
    "peak": (
        "model", "peak_error", "peak_abs_error", "above_p50", "above_p50_low", "above_p50_high",
        "above_p80", "above_p95", "above_p95_low", "above_p95_high",
    ),
    "refused": ("origin", "model", "service", "stage", "reason"),
}  # fmt: skip
"""Section to the columns that a reader is shown."""


def _batched() -> DemandModel:
    from capmodel.demand import Batched  # noqa: PLC0415  scipy

    return Batched()


def _adapter(name: str, **options: int) -> Callable[[], DemandModel]:
    def make() -> DemandModel:
        from capmodel.demand import adapters  # noqa: PLC0415  pandas

        model: DemandModel = getattr(adapters, name)(**options)
        return model

    return make


MODELS: Final[Mapping[str, Callable[[], DemandModel]]] = {
    "batched": _batched,
    "seasonal_naive": _adapter("SeasonalNaive"),
    "seasonal_naive_day": _adapter("SeasonalNaive", period_hours=24),
    "seasonal_naive_year": _adapter("SeasonalNaive", period_hours=364 * 24),
    "last_year_aligned": _adapter("LastYearAligned"),
    "prophet": _adapter("Prophet"),
    "ets": _adapter("Ets"),
    "stl_ets": _adapter("StlEts"),
    "unobserved_components": _adapter("UnobservedComponents"),
}
"""Name to what makes the model with its defaults."""


def _names(_context: click.Context, _option: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    for name in names:
        if name not in MODELS:
            near = nearest(name, MODELS)
            hint = f'; did you mean "{near}"?' if near else ""
            message = f"unknown model {name!r}, known: {', '.join(MODELS)}{hint}"
            raise click.BadParameter(message)
    if not names:
        raise click.BadParameter("name one or more models")
    return names


@click.command(short_help="Judge demand models on the study's past.")
@STUDY
@click.option(
    "--models",
    default="batched,last_year_aligned",
    show_default=True,
    callback=_names,
    metavar="NAME,NAME,…",
    help=(
        f"Models to compare, with commas between: {', '.join(MODELS)}. The weekly seasonal naive "
        "is always judged, as the reference."
    ),
)
@click.option(
    "--origins",
    type=click.IntRange(min=1),
    metavar="N",
    help=(
        "Rolling cuts, each a horizon before the next; the last horizon ends with the history.  "
        f"[default: {ROLLING}, none with --event-cut]"
    ),
)
@click.option(
    "--horizon-days",
    type=click.IntRange(min=1),
    default=90,
    show_default=True,
    help="Judged local days after each rolling cut.",
)
@click.option(
    "--event-cut",
    "event_cuts",
    multiple=True,
    metavar="YYYY-MM-DD",
    help=(
        "Train to this local day, judge the next season: the study's, else November and Cyber "
        "Week; may be repeated.  [default: none]"
    ),
)
@table_option(FRAMES)
@set_option
@format_option("every column and row")
@debug_option
def backtest(  # noqa: PLR0913, PLR0917  one argument for each option
    study_path: Path,
    models: tuple[str, ...],
    origins: int | None,
    horizon_days: int,
    event_cuts: Sequence[str],
    name: str | None,
    settings: Sequence[str],
    form: Format,
) -> None:
    """Judge demand models on the study's past: fit before a cut, compare with what happened."""
    require_table(form, name, FRAMES)
    study = read_study(study_path, settings)
    with step("reading the history"):
        history = _history(study)
    cuts = origins or (None if event_cuts else ROLLING)
    result = _run(
        study, history, models, horizon_days=horizon_days, origins=cuts, events=event_cuts
    )
    _print(result, form, name)


def _history(study: Study) -> History:
    """Return the study's coarse history, refused for what a fit refuses."""
    base, _ = study.read_history()
    if base is None or study.history is None:
        raise InputError.of(
            "backtest",
            got="a study without history",
            expected="a past to judge models on",
            do="Add history: {base: FILE} to the study.",
        )
    stopping = base.check().errors(study.history.accept)
    if stopping:
        raise InputError(
            Problem(
                where=finding.service or "history",
                got=f"{finding.code}: {finding.message}",
                expected="data without disqualifying findings",
                do=f"Repair the data, or overrule it: history: {{accept: [{finding.code}]}}.",
            )
            for finding in stopping
        )
    return base


def _run(
    study: Study,
    history: History,
    models: tuple[str, ...],
    *,
    horizon_days: int,
    origins: int | None,
    events: Sequence[str],
) -> BacktestResult:
    from capmodel.backtest import SEASON, event_origin, rolling_origins  # noqa: PLC0415  pandas
    from capmodel.backtest import backtest as judge_models  # noqa: PLC0415

    placed: list[Origin] = []
    if origins is not None:
        placed += rolling_origins(history, origins, horizon_days=horizon_days)
    season = None if study.season is None else (study.season.start, study.season.end)
    placed += [event_origin(day, season=season or SEASON) for day in events]
    with bar("backtest") as progress:
        return judge_models(
            {name: MODELS[name]() for name in models},
            history,
            events=study.make_events(history.start.astype(object).year),
            origins=placed,
            draws=study.draws,
            seed=study.seed,
            progress=progress,
        )


def _print(result: BacktestResult, form: Format, name: str | None) -> None:
    if name is not None:
        say(in_format(result.to_frame(name), form))
    elif form == "json":
        say(sections({frame: result.to_frame(frame) for frame in FRAMES}, form, columns={}))
    else:
        say(sections(_overview(result), form, columns=SHOWN))
    for origin in result.origins:
        note(str(origin))
    if not result.summary["n_compared"].any():
        note("no task could be judged under all models: see refused")
    elif len(result.refused) > REFUSED_ROWS and name is None:
        note(f"{len(result.refused)} refusals: --table refused shows them all")


def _overview(result: BacktestResult) -> dict[str, pd.DataFrame]:
    return {
        "summary": result.summary,
        "horizon": result.by_bucket(),
        "coverage": result.by_quantile(),
        "peak": result.summary,
        "refused": result.refused.head(REFUSED_ROWS),
    }

"""The option ``--grid``: a sweep over axes instead of the study's scenarios."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from capmodel.cli.progress import note
from capmodel.cli.tables import Format, in_format

if TYPE_CHECKING:
    from capmodel.plan import PlanSet, Study
    from capmodel.scenario import Grid

__all__ = ["grid_option", "read_grid", "summary_text"]

SHORT: Final = ("growth", "demand", "lift")
HIDDEN: Final = ("weights", "root", "quantity", "least_regret")
"""Columns of the summary that CSV and JSON hold and a terminal does not."""

grid_option = click.option(
    "--grid",
    "axes",
    multiple=True,
    metavar="AXIS=X,X,…",
    help=(
        "Plan a grid over the likeliest scenario instead: growth, demand or lift [ratio], or a "
        "field such as growth_yoy_x.checkouts; may be repeated.  [default: the study's scenarios]"
    ),
)


def read_grid(study: Study, axes: Sequence[str]) -> Grid | None:
    """Return the grid of ``--grid`` over the study's likeliest scenario, None without one."""
    if not axes:
        return None
    values: dict[str, tuple[float, ...]] = {}
    for text in axes:
        name, equals, numbers = text.partition("=")
        try:
            found = tuple(float(part) for part in numbers.split(","))
        except ValueError:
            found = ()
        if not (name.strip() and equals and found) or name.strip() in values:
            message = (
                f"--grid {text}: write each axis once as AXIS=X,X, for example growth=1.1,1.25"
            )
            raise click.UsageError(message)
        values[name.strip()] = found
    from capmodel.scenario import grid, mixture_weights  # noqa: PLC0415  pydantic

    scenarios = study.read_scenarios()
    base = scenarios[int(mixture_weights(scenarios).argmax())].replace(probability=None)
    short = {name: values.get(name) for name in SHORT}
    return grid(
        base,
        growth=short["growth"],
        demand=short["demand"],
        lift=short["lift"],
        axes={name: found for name, found in values.items() if name not in SHORT},
    )


def summary_text(plans: PlanSet, form: Format) -> str:
    """Return the grid's summary in a form; a note says what the weights are."""
    summary = plans.summary()
    if set(summary["weights"]) == {"equal"}:
        note("the grid's scenarios have no probabilities: in the mixture all weigh the same")
    shown = [c for c in summary.columns if c not in HIDDEN and not summary[c].isna().all()]
    return in_format(summary, form, columns=tuple(shown))

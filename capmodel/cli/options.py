"""The options that commands share, and how a study is read with its overrides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from capmodel.cli.tables import FORMATS

if TYPE_CHECKING:
    from capmodel.plan import PlanSet, Study

__all__ = [
    "PLAN",
    "SCENARIO",
    "STUDY",
    "debug_option",
    "format_option",
    "read_plan",
    "read_study",
    "require_table",
    "set_option",
    "table_option",
]

F = TypeVar("F", bound=Callable[..., Any])


def _remember_debug(context: click.Context, _option: click.Parameter, value: bool) -> None:  # noqa: FBT001  click's signature
    asked = context.find_root().obj
    if value and isinstance(asked, dict):
        asked["debug"] = True


debug_option = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_remember_debug,
    help="Show the traceback of an error.  [default: off]",
)
set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PATH=VALUE",
    help=(
        "Override a field of the study, for example scenarios.base.growth_yoy_x.checkouts=1.4; "
        "in the field's own unit; may be repeated.  [default: the study as written]"
    ),
)


def format_option(csv_holds: str) -> Callable[[F], F]:
    """Return the option ``--format``, whose help says what csv and json hold."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help=f"Form of the result on standard output; csv and json hold {csv_holds}.",
    )


def table_option(frames: Sequence[str]) -> Callable[[F], F]:
    """Return the option ``--table``, which prints one of several frames alone."""
    return click.option(
        "--table",
        "name",
        type=click.Choice(frames),
        help="Print this frame alone, every column; csv needs one.  [default: an overview]",
    )


def require_table(form: str, name: str | None, frames: Sequence[str]) -> None:
    """Raise a usage error where csv is asked for without ``--table``."""
    if form == "csv" and name is None:
        message = f"csv holds one frame: add --table {'|'.join(frames)}"
        raise click.UsageError(message)


STUDY: Final = click.argument("study_path", metavar="STUDY", type=click.Path(path_type=Path))
PLAN: Final = click.argument("plan_path", metavar="PLAN", type=click.Path(path_type=Path))
SCENARIO: Final = click.option(
    "--scenario",
    metavar="NAME",
    help="Scenario to explain, or mixture.  [default: the likeliest scenario]",
)


def read_study(path: Path, settings: Sequence[str]) -> Study:
    """Return the study with the overrides of ``--set``."""
    overrides = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not (name and equals):
            message = f"--set {setting}: write PATH=VALUE, for example seed=8"
            raise click.UsageError(message)
        overrides[name.strip()] = value.strip()
    from capmodel.plan import Study  # noqa: PLC0415  pandas, pydantic

    return Study.read(path, overrides=overrides)


def read_plan(path: Path) -> PlanSet:
    """Return a saved plan: the file, the folder that holds its plan.json, or a baseline."""
    from capmodel.plan.baseline import load_plan_or_baseline  # noqa: PLC0415  pandas

    return load_plan_or_baseline(path / "plan.json" if path.is_dir() else path)

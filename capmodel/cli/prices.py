"""The command ``prices``: the table beside a fetched price list, and a list as an overlay."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from capmodel.cli.options import debug_option, format_option, read_study
from capmodel.cli.progress import note, step
from capmodel.cli.tables import Format, in_format, say

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.catalog import Catalog
    from capmodel.catalog.checking import PriceCheck
    from capmodel.catalog.rows import Row

__all__ = ["prices"]

DIFFERS: Final = 1
STALE: Final = 3
SHOWN: Final = (
    "status", "stale", "kind", "engine", "name", "old_usd_per_hour", "new_usd_per_hour", "change",
    "as_of", "offer_as_of",
)  # fmt: skip
NAMED: Final = 8
"""Types without a shape that are named in a message."""

REGION: Final = click.option(
    "--region", metavar="NAME", help="Region of the prices.  [default: the study's, else us-east-1]"
)


@click.group(short_help="Compare prices with a price list, or import one.")
@debug_option
def prices() -> None:
    """Compare the catalog's prices with a file of the cloud, or turn one into an overlay."""


def _date(_context: click.Context, _option: click.Parameter, value: str | None) -> dt.date | None:
    try:
        return None if value is None else dt.date.fromisoformat(value)
    except ValueError:
        message = f"{value!r} is no date; write YYYY-MM-DD"
        raise click.BadParameter(message) from None


@prices.command(short_help="Which prices changed, which are old?")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@REGION
@click.option(
    "--as-of",
    callback=_date,
    metavar="YYYY-MM-DD",
    help="Day at which a price may be 180 days old.  [default: the study's, else FILE's own date]",
)
@click.option(
    "--study",
    "study_path",
    type=click.Path(path_type=Path),
    metavar="STUDY",
    help="Check the catalog that this study uses.  [default: the built-in table]",
)
@format_option("every column and row")
@debug_option
def check(
    file: Path | None,
    region: str | None,
    as_of: dt.date | None,
    study_path: Path | None,
    form: Format,
) -> None:
    """Compare the table with FILE: a bulk offer (CSV, JSON) or the output of get-products.

    Without FILE only the age is looked at. Exit 0: all prices agree; 1: a price differs; 3: none
    differs, but a row is older than 180 days and FILE does not confirm it.
    """
    catalog, planned = _catalog(study_path, region)
    if file is None and not (as_of or planned):
        message = "without FILE, name the day: --as-of YYYY-MM-DD"
        raise click.UsageError(message)
    with step("reading the price list"):
        checked = catalog.check_prices(file, as_of=as_of or planned)
    _print(checked, form)
    if checked.changed:
        click.get_current_context().exit(DIFFERS)
    if checked.stale:
        click.get_current_context().exit(STALE)


def _catalog(study_path: Path | None, region: str | None) -> tuple[Catalog, dt.date | None]:
    from capmodel.catalog import Catalog  # noqa: PLC0415  reads the tables

    if study_path is None:
        return Catalog.builtin(region or "us-east-1"), None
    settings = () if region is None else (f"catalog.region={region}",)
    study = read_study(study_path, settings)
    return study.read_catalog(), study.as_of


def _print(checked: PriceCheck, form: Format) -> None:
    frame = checked.to_frame()
    if form in {"csv", "json"}:
        say(in_format(frame, form))
        return
    shown = frame[(frame["status"] != "same") | frame["stale"]]
    say(in_format(_in_words(shown), form, columns=SHOWN))
    tally = frame["status"].value_counts(sort=False)
    counts = ", ".join(f"{int(n)} {status}" for status, n in tally.items())
    note(f"{counts}; {len(checked.stale)} stale at {checked.as_of}")


def _in_words(frame: pd.DataFrame) -> pd.DataFrame:
    change = ["" if x is None or x != x else f"{x:+.2%}" for x in frame["change"]]  # noqa: PLR0124  NaN
    return frame.assign(change=change)


def _origin(row: Row | None) -> tuple[object, ...]:
    return () if row is None else (row.price_usd_per_hour, row.as_of, row.source)


@prices.command("import", short_help="Write a price list as an overlay.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="CSV",
    help="The overlay to write, for catalog.overlay of a study.  [no default]",
)
@REGION
@click.option(
    "--instance-types",
    "shapes",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Output of aws ec2 describe-instance-types, for types that the table does not hold.  "
    "[default: none]",
)
@click.option(
    "--billing",
    is_flag=True,
    help="FILE is a Cost and Usage Report 2.0 or a FOCUS export: write what was really paid.  "
    "[default: off]",
)
@debug_option
def import_(
    file: Path, out: Path, region: str | None, shapes: Path | None, *, billing: bool
) -> None:
    """Write the rows of FILE, with their shapes, as a catalog overlay."""
    from capmodel.catalog import Catalog  # noqa: PLC0415  reads the tables
    from capmodel.documents import write_text_atomic  # noqa: PLC0415  pydantic

    catalog = Catalog.builtin(region or "us-east-1")
    before = dict(catalog.rows)
    with step("reading the prices"):
        catalog = catalog.with_billing(file) if billing else catalog.with_offer(file)
        catalog = catalog if shapes is None else catalog.with_instance_types(shapes)
    keys = [key for key, row in catalog.rows.items() if _origin(row) != _origin(before.get(key))]
    write_text_atomic(out, catalog.overlay_of(keys))
    note(f"wrote {len(keys)} rows to {out}")
    left = [key[3] for key in catalog.unshaped]
    if left:
        more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
        note(
            f"left out, for their shape is not known: {', '.join(left[:NAMED])}"
            f"{more}; name --instance-types"
        )

"""The rows of the catalog: what one row holds, and how CSV text becomes rows.

This module answers: is each row complete, dated and sourced? It does not know which region a plan
is made for, nor which rows a plan uses.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Final, Literal

from capmodel.catalog.tables import date_of, header_problems, rows_by_key
from capmodel.errors import InputError, nearest

__all__ = ["DbClass", "Key", "Kind", "NodeType", "Row", "overlay_csv", "parse_rows"]

Kind = Literal["node", "db"]
Key = tuple[str, Kind, str, str]
"""(region, kind, engine, name); the engine of a node type is ''."""

KINDS: Final[tuple[Kind, ...]] = ("node", "db")
_ALWAYS: Final = ("region", "name", "price_usd_per_hour", "as_of", "source")
_SHAPE: Final[Mapping[Kind, tuple[str, ...]]] = {
    "node": ("arch", "vcpu", "memory_gib", "enis", "ips_per_eni"),
    "db": ("vcpu", "memory_gib"),
}
_OPTIONAL_SHAPE: Final[Mapping[Kind, tuple[str, ...]]] = {
    "node": ("network_gbps",),
    "db": (
        "max_connections",
        "ebs_baseline_iops",
        "ebs_max_iops",
        "ebs_baseline_mb_per_s",
        "ebs_max_mb_per_s",
        "network_gbps",
    ),
}
_NOTES: Final = (
    "grade",
    "shape_as_of",
    "shape_source",
    "max_connections_source",
    "io_as_of",
    "io_source",
)
"""Columns that document a row for its reader; nothing is computed from them."""


@dataclass(frozen=True, slots=True)
class NodeType:
    """An instance type in a region: shape, on-demand price, and where they come from.

    ``vcpu`` [cores], ``memory_gib`` [GiB], ``enis`` network interfaces, ``ips_per_eni`` IPv4
    addresses per interface, ``arch`` ``"x86_64"`` or ``"arm64"``, ``price_usd_per_hour`` [USD/h]
    on demand, Linux, shared tenancy; ``network_gbps`` [Gbit/s] without end, None where no table
    states it.
    """

    region: str
    name: str
    arch: Literal["x86_64", "arm64"]
    vcpu: int
    memory_gib: float
    enis: int
    ips_per_eni: int
    price_usd_per_hour: Decimal
    as_of: dt.date
    source: str
    network_gbps: float | None = None

    @property
    def key(self) -> Key:
        """(region, kind, engine, name)."""
        return (self.region, "node", "", self.name)


@dataclass(frozen=True, slots=True)
class DbClass:
    """A database class of an engine in a region: shape, single-AZ price, provenance.

    ``vcpu`` [cores], ``memory_gib`` [GiB], ``max_connections`` the engine's documented default for
    the class, ``price_usd_per_hour`` [USD/h] on demand for one instance in one zone. What the class
    carries to its EBS volumes: ``ebs_baseline_iops`` [1/s] and ``ebs_baseline_mb_per_s`` [MB/s,
    decimal] without end, ``ebs_max_iops`` and ``ebs_max_mb_per_s`` in bursts of half an hour a day;
    ``network_gbps`` [Gbit/s] without end, which for Aurora carries the storage too. None where no
    table states a figure.
    """

    region: str
    engine: str
    name: str
    vcpu: int
    memory_gib: float
    max_connections: int | None
    price_usd_per_hour: Decimal
    as_of: dt.date
    source: str
    ebs_baseline_iops: int | None = None
    ebs_max_iops: int | None = None
    ebs_baseline_mb_per_s: float | None = None
    ebs_max_mb_per_s: float | None = None
    network_gbps: float | None = None

    @property
    def key(self) -> Key:
        """(region, kind, engine, name)."""
        return (self.region, "db", self.engine, self.name)

    @property
    def family(self) -> str:
        """The name without its size: ``db.r6g`` of ``db.r6g.4xlarge``."""
        return self.name.rpartition(".")[0]


Row = NodeType | DbClass


def parse_rows(
    lines: Iterable[str],
    *,
    name: str,
    kind: Kind | None = None,
    base: Mapping[Key, Row] | None = None,
) -> dict[Key, Row]:
    """Read catalog rows from CSV text, all problems collected and raised once.

    A row with every shape column empty overrides only the price, date and source of the row in
    `base` that has its key; any other row must be complete.

    Parameters
    ----------
    lines
        The lines of the CSV text, header first.
    name
        The file's name, for messages.
    kind
        The kind of every row; None: the file has a column `kind`.
    base
        Rows that a price-only row may override.

    Returns
    -------
    dict
        Key (region, kind, engine, name) to row, in file order.

    Raises
    ------
    InputError
        For an unknown or missing column; a row without region, name, price, date or source; a
        shape given in part; a value that is no number or date; a key given twice; a price-only
        row that overrides nothing.
    """
    needed = [*_ALWAYS, *(() if kind else ("kind",))]
    shapes = [column for k in KINDS for column in (*_SHAPE[k], *_OPTIONAL_SHAPE[k])]
    known = dict.fromkeys([*needed, "kind", "engine", *shapes, *_NOTES])

    def keyed(cells: Mapping[str, str], where: str) -> tuple[Key, Row]:
        row = _row(cells, where=where, kind=kind, base=base or {})
        return row.key, row

    return rows_by_key(
        lines,
        name=name,
        header=lambda columns, where: header_problems(
            columns, known=known, needed=needed, where=where
        ),
        row=keyed,
        one_for_each="region, kind, engine and name",
    )


def overlay_csv(rows: Iterable[Row]) -> str:
    """Return rows as the text of an overlay, whole rows sorted by key; `parse_rows` reads it back.

    Parameters
    ----------
    rows
        Rows of one catalog or several, each key once.
    """
    shapes = dict.fromkeys(c for kind in KINDS for c in (*_SHAPE[kind], *_OPTIONAL_SHAPE[kind]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["region", "kind", "engine", "name", *shapes, "price_usd_per_hour", "as_of", "source"]
    )
    for row in sorted(rows, key=lambda row: row.key):
        region, kind, engine, name = row.key
        cells = [getattr(row, column, None) for column in shapes]
        writer.writerow(
            [
                *(region, kind, engine, name),
                *("" if value is None else _written(value) for value in cells),
                *(f"{row.price_usd_per_hour:f}", row.as_of.isoformat(), row.source),
            ]
        )
    return text.getvalue()


def _written(value: float | str) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _row(
    cells: Mapping[str, str], *, where: str, kind: Kind | None, base: Mapping[Key, Row]
) -> Row:
    kind = kind or _kind(cells["kind"], where=where)
    needed = [*_ALWAYS, *(("engine",) if kind == "db" else ())]
    empty = [column for column in needed if not cells.get(column)]
    if empty:
        raise InputError.of(
            where,
            got=f"a row without {', '.join(empty)}",
            expected=f"every row to carry {', '.join(needed)}",
            do="Say when and where the price was read: one without date and source is no evidence.",
        )
    key: Key = (cells["region"], kind, cells["engine"] if kind == "db" else "", cells["name"])
    price = _decimal(cells, "price_usd_per_hour", where=where)
    as_of = date_of(cells["as_of"], where=where)
    if any(cells.get(column) for column in (*_SHAPE[kind], *_OPTIONAL_SHAPE[kind])):
        return _complete_row(cells, key=key, price=price, as_of=as_of, where=where)
    if key not in base:
        raise InputError.of(
            where,
            got=f"a price-only row for {_spell(key)}, which no table holds",
            expected=f"a key that exists, or the shape too: {', '.join(_SHAPE[kind])}",
            do=_closest(key, base),
        )
    return replace(base[key], price_usd_per_hour=price, as_of=as_of, source=cells["source"])


def _complete_row(
    cells: Mapping[str, str], *, key: Key, price: Decimal, as_of: dt.date, where: str
) -> Row:
    region, kind, engine, name = key
    lacking = [column for column in _SHAPE[kind] if not cells.get(column)]
    if lacking:
        raise InputError.of(
            where,
            got=f"a shape without {', '.join(lacking)}",
            expected=f"all of {', '.join(_SHAPE[kind])}, or none (to override the price only)",
            do="Complete the shape or empty it.",
        )
    if kind == "node":
        return NodeType(
            region=region,
            name=name,
            arch=_arch(cells["arch"], where=where),
            vcpu=_count(cells, "vcpu", where=where),
            memory_gib=_positive(cells, "memory_gib", where=where),
            enis=_count(cells, "enis", where=where),
            ips_per_eni=_count(cells, "ips_per_eni", where=where),
            price_usd_per_hour=price,
            as_of=as_of,
            source=cells["source"],
            network_gbps=_positive_or_none(cells, "network_gbps", where=where),
        )
    row = DbClass(
        region=region,
        engine=engine,
        name=name,
        vcpu=_count(cells, "vcpu", where=where),
        memory_gib=_positive(cells, "memory_gib", where=where),
        max_connections=_count_or_none(cells, "max_connections", where=where),
        price_usd_per_hour=price,
        as_of=as_of,
        source=cells["source"],
        ebs_baseline_iops=_count_or_none(cells, "ebs_baseline_iops", where=where),
        ebs_max_iops=_count_or_none(cells, "ebs_max_iops", where=where),
        ebs_baseline_mb_per_s=_positive_or_none(cells, "ebs_baseline_mb_per_s", where=where),
        ebs_max_mb_per_s=_positive_or_none(cells, "ebs_max_mb_per_s", where=where),
        network_gbps=_positive_or_none(cells, "network_gbps", where=where),
    )
    _check_bursts(row, where=where)
    return row


def _check_bursts(row: DbClass, *, where: str) -> None:
    """Refuse a baseline above its maximum: the two columns were swapped."""
    for quantity, baseline, most in (
        ("iops", row.ebs_baseline_iops, row.ebs_max_iops),
        ("mb_per_s", row.ebs_baseline_mb_per_s, row.ebs_max_mb_per_s),
    ):
        if baseline is not None and most is not None and baseline > most:
            raise InputError.of(
                where,
                got=f"ebs_baseline_{quantity} {baseline:g} above ebs_max_{quantity} {most:g}",
                expected="a baseline that the burst exceeds or equals",
                do="Swap the two, or correct the wrong one.",
            )


def _kind(text: str, *, where: str) -> Kind:
    for kind in KINDS:
        if text == kind:
            return kind
    raise InputError.of(
        where, got=f'kind "{text}"', expected='"node" or "db"', do="Correct the column kind."
    )


def _arch(text: str, *, where: str) -> Literal["x86_64", "arm64"]:
    if text == "x86_64":
        return "x86_64"
    if text == "arm64":
        return "arm64"
    raise InputError.of(
        where, got=f'arch "{text}"', expected='"x86_64" or "arm64"', do="Correct the column arch."
    )


def _decimal(cells: Mapping[str, str], column: str, *, where: str) -> Decimal:
    text = cells[column]
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0:
        raise InputError.of(
            where,
            got=f'{column} "{text}"',
            expected="a number of at least 0, with a point and no thousands separator",
            do=f"Correct the column {column}.",
        )
    return value


def _positive(cells: Mapping[str, str], column: str, *, where: str) -> float:
    value = float(_decimal(cells, column, where=where))
    if value == 0:
        raise InputError.of(
            where, got=f"{column} 0", expected="more than 0", do=f"Correct the column {column}."
        )
    return value


def _count(cells: Mapping[str, str], column: str, *, where: str) -> int:
    value = _positive(cells, column, where=where)
    if not value.is_integer():
        raise InputError.of(
            where,
            got=f"{column} {cells[column]}",
            expected="a whole number",
            do=f"Correct the column {column}.",
        )
    return int(value)


def _count_or_none(cells: Mapping[str, str], column: str, *, where: str) -> int | None:
    return _count(cells, column, where=where) if cells.get(column) else None


def _positive_or_none(cells: Mapping[str, str], column: str, *, where: str) -> float | None:
    return _positive(cells, column, where=where) if cells.get(column) else None


def _spell(key: Key) -> str:
    region, kind, engine, name = key
    return " ".join(part for part in (region, kind, engine, name) if part)


def _closest(key: Key, base: Mapping[Key, Row]) -> str:
    region, kind, engine, name = key
    close = nearest(name, [k[3] for k in base if k[:3] == (region, kind, engine)])
    return f'Did you mean "{close}"?' if close else "Complete the row with its shape."

"""The catalog of one region: lookups that never guess, and findings about the age of prices."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self

from capmodel.catalog.billing import read_billing
from capmodel.catalog.checking import PriceCheck, check_rows
from capmodel.catalog.merging import merge
from capmodel.catalog.offers import read_offer
from capmodel.catalog.prices import Price
from capmodel.catalog.rows import DbClass, Key, Kind, NodeType, Row, overlay_csv, parse_rows
from capmodel.catalog.shapes import Shape, read_instance_types
from capmodel.catalog.tables import age_findings, overlay_text
from capmodel.errors import CapmodelError, InputError, nearest

if TYPE_CHECKING:
    from capmodel.schema import Findings

__all__ = ["Catalog"]


_BUILT_IN: Final[tuple[tuple[str, Kind], ...]] = (
    ("node_types.csv", "node"),
    ("db_classes.csv", "db"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """Prices and shapes as one region sees them.

    Every lookup returns a row that stands in a table, with its date and source; an unknown key is
    an error that names the nearest known one. Rows of other regions are kept, never borrowed.

    Examples
    --------
    >>> catalog = Catalog.builtin()
    >>> node = catalog.node_type("m6i.4xlarge")
    >>> node.vcpu, node.memory_gib, str(node.price_usd_per_hour), str(node.as_of)
    (16, 64.0, '0.768', '2026-07-20')
    """

    region: str
    rows: Mapping[Key, Row]
    """Key (region, kind, engine, name) to row."""
    unshaped: Mapping[Key, Price] = field(default_factory=dict)
    """Prices that files state of types whose shape no table and no file holds yet."""
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    """Shapes by name, as files describe them; a price makes them rows."""

    @classmethod
    def builtin(cls, region: str = "us-east-1") -> Self:
        """Return the tables that the package carries, seen from a region.

        A region that they do not hold is no error yet, for an overlay may fill it; its first
        lookup is.
        """
        rows: dict[Key, Row] = {}
        folder = resources.files("capmodel.catalog")
        for file, kind in _BUILT_IN:
            text = folder.joinpath(file).read_text(encoding="utf-8")
            rows |= parse_rows(io.StringIO(text), name=file, kind=kind)
        return cls(region=region, rows=MappingProxyType(rows))

    def with_overlay(self, path: str | Path) -> Self:
        """Return a catalog in which the rows of a CSV file replace those with the same key.

        Columns: `region, kind (node | db), engine (of a db), name, price_usd_per_hour, as_of,
        source`, and the shape, `arch, vcpu, memory_gib, enis, ips_per_eni` of a node or `vcpu,
        memory_gib` of a database class with, optional, its `max_connections, ebs_baseline_iops,
        ebs_max_iops, ebs_baseline_mb_per_s, ebs_max_mb_per_s, network_gbps`. A row with an empty
        shape overrides the price only; one with a shape replaces the whole row.

        Raises
        ------
        InputError
            For an unreadable file, and for every faulty row with file and line.
        """
        path = Path(path)
        text = overlay_text(
            path,
            of="catalog rows",
            do="Correct catalog.overlay, or remove it to use the built-in tables.",
        )
        rows = parse_rows(io.StringIO(text, newline=""), name=path.name, base=self.rows)
        return replace(self, rows=MappingProxyType({**self.rows, **rows}))

    def with_offer(self, path: str | Path) -> Self:
        """Return a catalog with the on-demand prices of the cloud's own price list.

        A price replaces that of the row with its key. A type that no table describes becomes a row
        once its shape is known: databases at once, for the offer states it; nodes by
        :meth:`with_instance_types`, before or after; until then it stands in ``unshaped``.

        Parameters
        ----------
        path
            A bulk offer CSV (also gzip) or JSON, or the output of ``aws pricing get-products``.

        Raises
        ------
        InputError
            For another file; no price of the region; lines without date, source, USD, or with two
            prices for one key.
        """
        return self._merged(prices=read_offer(path, region=self.region))

    def with_billing(self, *paths: str | Path) -> Self:
        """Return a catalog whose prices are what the account really paid per instance hour.

        Effective rates, amortised over savings plans and reservations, weighed by hours; see
        :func:`capmodel.catalog.billing.read_billing`.

        Parameters
        ----------
        paths
            The files of one Cost and Usage Report 2.0 or FOCUS export, CSV or Parquet.

        Raises
        ------
        InputError
            For another file; no instance hour of the region; a currency other than USD; cost
            without hours.
        """
        return self._merged(prices=read_billing(paths, region=self.region))

    def with_instance_types(self, path: str | Path) -> Self:
        """Return a catalog with the shapes of node types as the cloud describes them.

        Parameters
        ----------
        path
            The output of ``aws ec2 describe-instance-types``.

        Raises
        ------
        InputError
            For another file, and for every type without cores, memory or interfaces.
        """
        return self._merged(shapes=read_instance_types(path))

    def _merged(
        self,
        *,
        prices: Mapping[Key, Price] | None = None,
        shapes: Mapping[str, Shape] | None = None,
    ) -> Self:
        known = {**self.shapes, **(shapes or {})}
        rows, unshaped = merge(self.rows, {**self.unshaped, **(prices or {})}, known)
        return replace(
            self,
            rows=MappingProxyType(rows),
            unshaped=MappingProxyType(unshaped),
            shapes=MappingProxyType(known),
        )

    def check_prices(
        self, path: str | Path | None = None, *, as_of: dt.date | None = None
    ) -> PriceCheck:
        """Compare the region's prices with a price list, and name those that are old at a date.

        Parameters
        ----------
        path
            A file that :meth:`with_offer` reads; None: only the age is looked at.
        as_of
            The date at which a price may be at most 180 days old; None: the file's own date.

        Raises
        ------
        InputError
            As :meth:`with_offer`; for neither a file nor a date.
        """
        offered = None if path is None else read_offer(path, region=self.region)
        at = as_of or max((price.as_of for price in (offered or {}).values()), default=None)
        if at is None:
            raise InputError.of(
                "check_prices",
                got="neither a file nor a date",
                expected="a price list, or the day at which ages count",
                do="Give as_of: the clock is never read.",
            )
        rows = {key: row for key, row in self.rows.items() if key[0] == self.region}
        return check_rows(rows, offered, as_of=at)

    def overlay_of(self, keys: Iterable[Key]) -> str:
        """Return rows as the text of an overlay, which :meth:`with_overlay` reads back.

        Parameters
        ----------
        keys
            Keys of rows; others are passed over.
        """
        return overlay_csv(self.rows[key] for key in keys if key in self.rows)

    def negotiated(self, discount: float, *, as_of: dt.date, source: str) -> Self:
        """Return a catalog whose prices are less by a negotiated discount, with its source.

        Parameters
        ----------
        discount
            Off every price, in [0, 1) [ratio].
        as_of, source
            Date of the agreement and who says so; they stand behind the row's own source.

        Examples
        --------
        >>> less = Catalog.builtin().negotiated(0.05, as_of=dt.date(2026, 1, 1), source="contract")
        >>> str(less.node_type("m6i.4xlarge").price_usd_per_hour)
        '0.72960'
        """
        keep = 1 - Decimal(repr(discount))
        note = f"; less {discount:.1%} negotiated ({source}, {as_of})"
        rows: dict[Key, Row] = {
            key: replace(
                row, price_usd_per_hour=row.price_usd_per_hour * keep, source=row.source + note
            )
            for key, row in self.rows.items()
        }
        return replace(self, rows=MappingProxyType(rows))

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that some row describes."""
        return tuple(sorted({key[0] for key in self.rows}))

    def node_type(self, name: str, *, where: str = "catalog") -> NodeType:
        """Return an instance type of the region.

        Parameters
        ----------
        name
            For example ``"m6i.4xlarge"``.
        where
            What asks, for the message, for example ``"pools.general.types"``.

        Raises
        ------
        InputError
            For a name that no table holds in this region; the nearest known one is offered.
        """
        row = self.rows.get((self.region, "node", "", name))
        if isinstance(row, NodeType):
            return row
        known = [key[3] for key in self.rows if key[:2] == (self.region, "node")]
        raise self._unknown(name, "instance type", known, where=where)

    def db_class(self, engine: str, name: str, *, where: str = "catalog") -> DbClass:
        """Return a database class of an engine in the region.

        Parameters
        ----------
        engine
            ``"aurora-mysql"`` or ``"mysql"``.
        name
            For example ``"db.r6g.4xlarge"``.
        where
            What asks, for the message, for example ``"databases.core-db.class"``.

        Raises
        ------
        InputError
            For a class that no table holds for the engine; the nearest known one is offered.
        """
        row = self.rows.get((self.region, "db", engine, name))
        if isinstance(row, DbClass):
            return row
        known = [key[3] for key in self.rows if key[:3] == (self.region, "db", engine)]
        raise self._unknown(name, f"{engine} class", known, where=where)

    def db_ladder(self, engine: str, name: str, *, where: str = "catalog") -> tuple[DbClass, ...]:
        """Return every class of the family of a class, smallest first.

        Examples
        --------
        >>> [c.name for c in Catalog.builtin().db_ladder("mysql", "db.r7g.large")]
        ['db.r7g.large', 'db.r7g.xlarge', 'db.r7g.2xlarge']
        """
        family = self.db_class(engine, name, where=where).family
        classes = [
            row
            for key, row in self.rows.items()
            if isinstance(row, DbClass)
            and key[:3] == (self.region, "db", engine)
            and row.family == family
        ]
        return tuple(sorted(classes, key=lambda row: (row.vcpu, row.memory_gib, row.name)))

    def findings(self, as_of: dt.date, used: Iterable[Row]) -> Findings:
        """Report rows in use whose price is old at a date, or dated after it.

        Parameters
        ----------
        as_of
            The plan's as-of date.
        used
            The rows that the plan takes prices from; each is reported once.

        Returns
        -------
        Findings
            Codes ``stale_price`` (older than 180 days) and ``price_after_as_of``, as warnings.
        """
        return age_findings(
            (
                (row, f"the price of {row.name}", {"region": row.region, "name": row.name})
                for row in set(used)
            ),
            as_of=as_of,
            of="price",
        )

    def _unknown(self, name: str, noun: str, known: list[str], *, where: str) -> CapmodelError:
        priced = [key for key in self.unshaped if key[0] == self.region and key[3] == name]
        if priced:
            return InputError.of(
                where,
                got=f'{noun} "{name}", of which a price is known but no shape',
                expected="cores, memory and addresses beside the price",
                do="Name the output of aws ec2 describe-instance-types too "
                "(with_instance_types, or catalog.instance_types).",
            )
        if not known:
            kinds = ", ".join(sorted({" ".join(filter(None, key[:3])) for key in self.rows}))
            return InputError.of(
                where,
                got=f'{noun} "{name}" in {self.region}, of which no row is known',
                expected=f"one of: {kinds}",
                do=f"Give a catalog overlay with rows of {self.region}; prices are never carried "
                "over from another region or engine.",
            )
        close = nearest(name, known)
        hint = f'Did you mean "{close}"? ' if close else ""
        return InputError.of(
            where,
            got=f'unknown {noun} "{name}"',
            expected=f"one of the {len(known)} of {self.region}: {', '.join(sorted(known))}",
            do=f"{hint}Otherwise give a catalog overlay with this row: sizes are never scaled.",
        )

"""Dated limits of the cloud: quotas of an account, hard limits, API rates and defaults.

This module answers: how much of a thing does a region allow, in which unit, can it be raised, and
who says so? It does not know what a plan uses of it, nor what an account was really granted: a
user's rows, and any value declared elsewhere, win over the built-in ones.
"""

from __future__ import annotations

import datetime as dt
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self

from capmodel.catalog.tables import (
    age_findings,
    date_of,
    header_problems,
    overlay_text,
    rows_by_key,
)
from capmodel.errors import InputError, nearest

if TYPE_CHECKING:
    from capmodel.schema import Findings

__all__ = ["EVERY_REGION", "Quota", "QuotaKey", "Quotas"]

EVERY_REGION: Final = "all"
"""Region of a row that holds in every region without a row of its own."""

QuotaKey = tuple[str, str, str]
"""(region, service, name)."""

_FILE: Final = "limits.csv"
_NEEDED: Final = ("region", "service", "name", "value", "unit", "adjustable", "as_of", "source")
_COLUMNS: Final = (*_NEEDED, "lead_days", "note")


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit: how much, of what, where, and where the figure comes from.

    ``value`` in ``unit``; ``adjustable`` whether the provider raises it on request, ``lead_days``
    the days that this takes (None where nobody documents them); ``as_of`` the date of the source,
    or of its reading where it bears none.
    """

    region: str
    service: str
    name: str
    value: float
    unit: str
    adjustable: bool
    lead_days: int | None
    as_of: dt.date
    source: str
    note: str = ""

    @property
    def key(self) -> QuotaKey:
        """(region, service, name)."""
        return (self.region, self.service, self.name)

    def check_unit(self, unit: str, *, where: str = "quota") -> None:
        """Refuse a unit that is not this quota's own; nothing is converted.

        Parameters
        ----------
        unit
            The unit of a figure that is to be compared with the quota.
        where
            What carries that figure, for the message.

        Raises
        ------
        InputError
            For another unit; the message names both.

        Examples
        --------
        >>> Quotas.builtin("us-east-1").get("on_demand_vcpu_standard").check_unit("vCPU")
        """
        if unit != self.unit:
            raise InputError.of(
                where,
                got=f'{self.service} {self.name} in "{unit}"',
                expected=f'"{self.unit}", the unit of the catalog',
                do=f"Give the figure in {self.unit}; units are never converted silently.",
            )


@dataclass(frozen=True, slots=True, eq=False)
class Quotas:
    """The limits of the cloud as one region sees them.

    A row of the region itself goes before one of every region. An unknown name is an error that
    offers the nearest known one; no limit is ever guessed.

    Examples
    --------
    >>> quotas = Quotas.builtin("eu-south-1")
    >>> quota = quotas.get("requests_rate")
    >>> quota.value, quota.unit, quota.region, Quotas.builtin("us-east-1").get(quota.name).value
    (2500.0, 'requests/s', 'eu-south-1', 10000.0)
    """

    region: str
    rows: Mapping[QuotaKey, Quota]
    """Key (region, service, name) to row, of every region."""

    @classmethod
    def builtin(cls, region: str) -> Self:
        """Return the limits that the package carries, seen from a region."""
        text = resources.files("capmodel.catalog").joinpath(_FILE).read_text(encoding="utf-8")
        return cls(region=region, rows=MappingProxyType(_parse(io.StringIO(text), name=_FILE)))

    def with_overlay(self, path: str | Path) -> Self:
        """Return limits in which the rows of a CSV file replace those with the same key.

        Columns: `region` (or ``all``), `service, name, value, unit, adjustable` (``true`` or
        ``false``), `as_of, source`, and optionally `lead_days, note`. A row for ``all`` replaces
        the built-in row for ``all``; a region's own row still goes before it.

        Raises
        ------
        InputError
            For an unreadable file, and for every faulty row with file and line; among them a row
            in another unit than the built-in one.
        """
        path = Path(path)
        text = overlay_text(
            path,
            of="limits",
            do="Correct the path, or leave it out to use the built-in limits.",
        )
        rows = _parse(io.StringIO(text, newline=""), name=path.name, base=self.rows)
        return type(self)(region=self.region, rows=MappingProxyType({**self.rows, **rows}))

    def get(self, name: str, *, service: str = "", where: str = "quotas") -> Quota:
        """Return a limit by name: the region's own row, else the row of every region.

        Parameters
        ----------
        name
            For example ``"on_demand_vcpu_standard"``.
        service
            Narrows the search, for example ``"ebs"``; needed where several services have the name.
        where
            What asks, for the message.

        Raises
        ------
        InputError
            For an unknown name, with the nearest known one, and for a name of several services.

        Examples
        --------
        >>> int(Quotas.builtin("us-east-1").get("gp3_iops_max", service="ebs").value)
        80000
        """
        own = {key[1:]: row for key, row in self.rows.items() if key[0] == self.region}
        every = {key[1:]: row for key, row in self.rows.items() if key[0] == EVERY_REGION}
        seen = {**every, **own}
        found = [row for (s, n), row in seen.items() if n == name and service in ("", s)]
        if len(found) == 1:
            return found[0]
        if found:
            services = sorted(row.service for row in found)
            raise InputError.of(
                where,
                got=f'quota "{name}", which {", ".join(services)} have',
                expected="one service named beside it",
                do=f'Ask with service="{services[0]}", or another of them.',
            )
        known = sorted({n for s, n in seen if service in ("", s)})
        close = nearest(name, known)
        raise InputError.of(
            where,
            got=f'unknown quota "{name}"' + (f' of service "{service}"' if service else ""),
            expected=f"one of the {len(known)} known in {self.region}",
            do=(f'Did you mean "{close}"? ' if close else "")
            + "Otherwise give an overlay with this row: limits are never guessed.",
        )

    def findings(self, as_of: dt.date, used: Iterable[Quota]) -> Findings:
        """Report limits in use whose source is old at a date, or dated after it.

        Parameters
        ----------
        as_of
            The plan's as-of date.
        used
            The limits that the plan compares with; each is reported once.

        Returns
        -------
        Findings
            Codes ``stale_quota`` (older than 180 days) and ``quota_after_as_of``, as warnings.
        """
        return age_findings(
            (
                (
                    row,
                    f"the limit {row.service} {row.name}",
                    {"region": row.region, "service": row.service, "name": row.name},
                )
                for row in set(used)
            ),
            as_of=as_of,
            of="quota",
        )


def _parse(
    lines: Iterable[str], *, name: str, base: Mapping[QuotaKey, Quota] | None = None
) -> dict[QuotaKey, Quota]:
    """Return the rows of CSV text by key, all problems collected and raised once."""
    units = {key[1:]: row.unit for key, row in (base or {}).items()}

    def keyed(cells: Mapping[str, str], where: str) -> tuple[QuotaKey, Quota]:
        row = _row(cells, where=where)
        unit = units.setdefault(row.key[1:], row.unit)
        if unit != row.unit:
            raise InputError.of(
                where,
                got=f'{row.service} {row.name} in "{row.unit}"',
                expected=f'"{unit}", the unit in which the catalog holds it',
                do=f"Give the value in {unit}.",
            )
        return row.key, row

    return rows_by_key(
        lines,
        name=name,
        header=lambda columns, where: header_problems(
            columns, known=_COLUMNS, needed=_NEEDED, where=where
        ),
        row=keyed,
        one_for_each="region, service and name",
    )


def _row(row: Mapping[str, str], *, where: str) -> Quota:
    empty = [column for column in _NEEDED if not row[column]]
    if empty:
        raise InputError.of(
            where,
            got=f"a row without {', '.join(empty)}",
            expected=f"every row to carry {', '.join(_NEEDED)}",
            do="Say when and where the limit was read: one without date and source is no evidence.",
        )
    lead = row.get("lead_days")
    return Quota(
        region=row["region"],
        service=row["service"],
        name=row["name"],
        value=_number(row["value"], "value", where=where),
        unit=row["unit"],
        adjustable=_flag(row["adjustable"], where=where),
        lead_days=_days(lead, where=where) if lead else None,
        as_of=date_of(row["as_of"], where=where),
        source=row["source"],
        note=row.get("note", ""),
    )


def _number(text: str, column: str, *, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise InputError.of(
            where,
            got=f'{column} "{text}"',
            expected="a number of at least 0, with a point and no thousands separator",
            do=f"Correct the column {column}.",
        )
    return value


def _days(text: str, *, where: str) -> int:
    value = _number(text, "lead_days", where=where)
    if not value.is_integer():
        raise InputError.of(
            where,
            got=f'lead_days "{text}"',
            expected="a whole number of days",
            do="Round it up.",
        )
    return int(value)


def _flag(text: str, *, where: str) -> bool:
    if text not in {"true", "false"}:
        raise InputError.of(
            where,
            got=f'adjustable "{text}"',
            expected='"true" or "false"',
            do="Correct the column adjustable.",
        )
    return text == "true"

"""What every dated table shares: its file, a checked header, whole rows by key, and their age."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from capmodel.errors import InputError, Problem, nearest

if TYPE_CHECKING:
    from capmodel.schema import Findings

__all__ = [
    "STALE_AFTER_DAYS",
    "Dated",
    "age_findings",
    "date_of",
    "header_problems",
    "overlay_text",
    "rows_by_key",
]

STALE_AFTER_DAYS: Final = 180
"""A row older than this at the plan's date is stale [days]."""


class Dated(Protocol):
    """A row with its key, its date and its source."""

    @property
    def key(self) -> tuple[str, ...]:
        """What identifies the row."""

    @property
    def as_of(self) -> dt.date:
        """Date of the source, or of its reading."""

    @property
    def source(self) -> str:
        """Who says so."""


KeyT = TypeVar("KeyT", bound=tuple[str, ...])
RowT = TypeVar("RowT")


def overlay_text(path: Path, *, of: str, do: str) -> str:
    """Return the text of a user's table of some rows.

    Raises
    ------
    InputError
        For a file that cannot be read, or is not UTF-8.
    """
    try:
        # utf-8-sig: spreadsheets put a byte-order mark before the header.
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError.of(
            str(path),
            got=f"an unreadable file ({error})",
            expected=f"a CSV file of {of} in UTF-8",
            do=do,
        ) from error


def rows_by_key(
    lines: Iterable[str],
    *,
    name: str,
    header: Callable[[Sequence[str], str], list[Problem]],
    row: Callable[[Mapping[str, str], str], tuple[KeyT, RowT]],
    one_for_each: str,
) -> dict[KeyT, RowT]:
    """Return the rows of CSV text by key, in file order, all problems collected and raised once.

    Parameters
    ----------
    lines
        The lines of the CSV text, header first.
    name
        The file's name, for messages.
    header
        From the columns and where it stands to what is wrong with them; then no row is
        read.
    row
        From the cells by column and where they stand to key and row; its InputError is collected.
    one_for_each
        The parts of a key in words.
    """
    reader = csv.reader(lines)
    columns = [cell.strip() for cell in next(reader, [])]
    problems = header(columns, f"{name}:1")
    rows: dict[KeyT, RowT] = {}
    first_line: dict[KeyT, int] = {}
    for cells in reader if not problems else ():
        if not cells:
            continue
        where = f"{name}:{reader.line_num}"
        try:
            key, found = row(_by_column(cells, columns, where=where), where)
        except InputError as error:
            problems += error.problems
            continue
        if key in rows:
            called = " ".join(part for part in key if part)
            problems.append(
                Problem(
                    where=where,
                    got=f"a second row for {called}, first on line {first_line[key]}",
                    expected=f"one row for each {one_for_each}",
                    do="Remove one of the two.",
                )
            )
        rows[key] = found
        first_line.setdefault(key, reader.line_num)
    if problems:
        raise InputError(problems)
    return rows


def date_of(text: str, *, where: str) -> dt.date:
    """Return a cell `as_of` as a date.

    Raises
    ------
    InputError
        For anything but YYYY-MM-DD.
    """
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise InputError.of(
            where,
            got=f'as_of "{text}"',
            expected="a date written YYYY-MM-DD",
            do="Write the date of the source, or the day on which it was read.",
        ) from error


def header_problems(
    header: Sequence[str], *, known: Collection[str], needed: Collection[str], where: str
) -> list[Problem]:
    """Return columns that are unknown, twice or missing."""
    problems = []
    for column in header:
        if column not in known:
            close = nearest(column, known)
            problems.append(
                Problem(
                    where=where,
                    got=f'unknown column "{column}"',
                    expected=f"columns out of: {', '.join(known)}",
                    do=f'Did you mean "{close}"?' if close else "Remove the column.",
                )
            )
    twice = sorted({column for column in header if list(header).count(column) > 1})
    if twice:
        problems.append(
            Problem(
                where=where,
                got=f"column {', '.join(twice)} more than once",
                expected="each column once",
                do="Remove the surplus column.",
            )
        )
    missing = [column for column in needed if column not in header]
    if missing:
        problems.append(
            Problem(
                where=where,
                got=f"no column {', '.join(missing)}" if header else "an empty file",
                expected=f"the columns {', '.join(needed)}",
                do="Add the header line and these columns.",
            )
        )
    return problems


def _by_column(cells: Sequence[str], header: Sequence[str], *, where: str) -> dict[str, str]:
    """Return the cells of a row by column, trimmed.

    Raises
    ------
    InputError
        For another number of cells than of columns.
    """
    if len(cells) != len(header):
        raise InputError.of(
            where,
            got=f"{len(cells)} cells",
            expected=f"{len(header)}, one for each column of the header",
            do="Quote text that holds commas, and keep empty cells.",
        )
    return dict(zip(header, (cell.strip() for cell in cells), strict=True))


def age_findings(
    rows: Iterable[tuple[Dated, str, Mapping[str, Any]]], *, as_of: dt.date, of: str
) -> Findings:
    """Return warnings about rows whose source is old at a date, or dated after it.

    Parameters
    ----------
    rows
        Each row with what it is called in a message and what names it in data.
    as_of
        The plan's as-of date.
    of
        ``"price"`` or ``"quota"``: codes are ``stale_OF`` and ``OF_after_as_of``.
    """
    # The schema module brings numpy; a lookup does not need it.
    from capmodel.schema import Finding, Findings  # noqa: PLC0415

    items = []
    for row, called, named in sorted(rows, key=lambda found: found[0].key):
        age = (as_of - row.as_of).days
        if 0 <= age <= STALE_AFTER_DAYS:
            continue
        late = age < 0
        text = (
            f"is dated {-age} days after the plan's date {as_of}"
            if late
            else f"is {age} days old at {as_of}; more than {STALE_AFTER_DAYS} is stale"
        )
        data = {"as_of": row.as_of.isoformat(), "age_days": age, "source": row.source}
        items.append(
            Finding(
                code=f"{of}_after_as_of" if late else f"stale_{of}",
                severity="warning",
                service="",
                message=f"{called} ({row.as_of}, {row.source}) {text}",
                data={**named, **data},
            )
        )
    return Findings(tuple(items))

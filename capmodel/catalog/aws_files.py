"""The files that the cloud writes: which kind one is, and its lines one at a time.

This module answers: what was fetched here? Kinds are told by content, never by name. A CSV or
Parquet file is read line by line, for an offer of one service can have 500 MB; JSON is read whole.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Literal

from capmodel.errors import InputError

__all__ = ["AwsFile", "FileKind", "check_columns", "csv_lines", "open_aws_file", "records"]

FileKind = Literal["offer_csv", "offer_json", "products", "instance_types", "cur", "focus"]
NAMES: Final[Mapping[FileKind, str]] = {
    "offer_csv": "a bulk offer CSV",
    "offer_json": "a bulk offer JSON",
    "products": "the output of aws pricing get-products",
    "instance_types": "the output of aws ec2 describe-instance-types",
    "cur": "a Cost and Usage Report 2.0",
    "focus": "a FOCUS export",
}
_GZIP: Final = b"\x1f\x8b"
_PARQUET: Final = b"PAR1"
_BATCH_ROWS: Final = 10_000
_DAMAGED: Final = (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error)


@dataclass(frozen=True, slots=True)
class AwsFile:
    """A file of a known kind; ``document`` is the parsed JSON, None for CSV and Parquet."""

    path: Path
    kind: FileKind
    document: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return self.path.name

    @property
    def called(self) -> str:
        """The kind in words."""
        return NAMES[self.kind]


def open_aws_file(path: str | Path, *, kinds: Sequence[FileKind], instead: str) -> AwsFile:
    """Return a file with its kind, told by its content.

    Parameters
    ----------
    path
        CSV (plain or gzip), JSON or Parquet.
    kinds
        The kinds that the caller reads.
    instead
        What to do with a file of another of our kinds.

    Raises
    ------
    InputError
        For a file that cannot be read, is of no known kind, or of a kind that the caller does not
        read.
    """
    path = Path(path)
    try:
        found = _recognise(path)
    except (*_DAMAGED, ValueError) as error:
        raise InputError.of(
            str(path),
            got=f"an unreadable file ({error})",
            expected=_one_of(kinds),
            do="Fetch the file again, or name another one.",
        ) from error
    if found is None:
        raise InputError.of(
            str(path),
            got="a file of no known kind",
            expected=_one_of(kinds),
            do="Name a file as the cloud wrote it, header and metadata lines included.",
        )
    if found.kind not in kinds:
        raise InputError.of(str(path), got=found.called, expected=_one_of(kinds), do=instead)
    return found


def _one_of(kinds: Sequence[FileKind]) -> str:
    return ", ".join(NAMES[kind] for kind in kinds)


def _recognise(path: Path) -> AwsFile | None:
    with path.open("rb") as file:
        start = file.read(4)
    if start == _PARQUET:
        kind = _kind_of_columns(_parquet_columns(path))
        return AwsFile(path, kind) if kind else None
    with _text(path) as lines:
        head = lines.readline(1_000_000)
        while head and not head.strip():
            head = lines.readline(1_000_000)
        if head.lstrip()[:1] in {"{", "["}:
            return _recognise_json(path, head + lines.read())
    columns = next(csv.reader([head]), [])
    if columns[:1] == ["FormatVersion"]:
        return AwsFile(path, "offer_csv")
    kind = _kind_of_columns(columns)
    return AwsFile(path, kind) if kind else None


def _recognise_json(path: Path, text: str) -> AwsFile | None:
    document = json.loads(text)
    if not isinstance(document, dict):
        return None
    marks: tuple[tuple[FileKind, str, type], ...] = (
        ("products", "PriceList", list),
        ("instance_types", "InstanceTypes", list),
        ("offer_json", "products", dict),
    )
    for kind, key, shape in marks:
        if isinstance(document.get(key), shape):
            return AwsFile(path, kind, document)
    return None


def _kind_of_columns(columns: Sequence[str]) -> FileKind | None:
    if "line_item_usage_type" in columns:
        return "cur"
    return "focus" if {"EffectiveCost", "ChargePeriodStart"} <= set(columns) else None


@contextlib.contextmanager
def _text(path: Path) -> Iterator[IO[str]]:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
        file.seek(0)
        raw = gzip.GzipFile(fileobj=file) if packed else file
        # utf-8-sig: spreadsheets put a byte-order mark before the header.
        with io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as lines:
            yield lines


def _parquet_columns(path: Path) -> list[str]:
    from pyarrow import parquet  # noqa: PLC0415  only for this kind of file

    return list(parquet.read_schema(path).names)


@contextlib.contextmanager
def csv_lines(path: Path) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """Open a CSV file and yield its lines as (number of the line, cells)."""
    try:
        with _text(path) as lines:
            reader = csv.reader(lines)
            yield ((reader.line_num, cells) for cells in reader if cells)
    except _DAMAGED as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError.of(
        str(path),
        got=f"a damaged file ({error})",
        expected="a file as the cloud wrote it, to its end",
        do="Fetch the file again.",
    )


def records(
    file: AwsFile, columns: Sequence[str], optional: Sequence[str]
) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield a table's lines as (where, cell by column), '' for what is missing.

    Parameters
    ----------
    file
        A table: CSV with its header first, or Parquet.
    columns
        Columns that must be there.
    optional
        Columns that are read where they are there.

    Raises
    ------
    InputError
        For missing columns, named together.
    """
    if _is_parquet(file.path):
        yield from _parquet_records(file, columns, optional)
        return
    with csv_lines(file.path) as lines:
        _, header = next(lines)
        check_columns(file.name, header, columns)
        at = {name: header.index(name) for name in (*columns, *optional) if name in header}
        for number, cells in lines:
            full = len(cells) >= len(header)
            yield (
                f"{file.name}:{number}",
                {name: cells[i] if full or i < len(cells) else "" for name, i in at.items()},
            )


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == _PARQUET


def _parquet_records(
    file: AwsFile, columns: Sequence[str], optional: Sequence[str]
) -> Iterator[tuple[str, Mapping[str, str]]]:
    from pyarrow import parquet  # noqa: PLC0415  only for this kind of file

    with parquet.ParquetFile(file.path) as source:
        header = list(source.schema_arrow.names)
        check_columns(file.name, header, columns)
        wanted = [name for name in (*columns, *optional) if name in header]
        number = 0
        try:
            for batch in source.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    cells = {name: "" if held is None else str(held) for name, held in row.items()}
                    yield f"{file.name} row {number}", cells
        except _DAMAGED as error:
            raise _damaged(file.path, error) from error


def check_columns(name: str, header: Sequence[str], needed: Sequence[str]) -> None:
    """Refuse a table without columns that are needed.

    Raises
    ------
    InputError
        Naming every missing column.
    """
    missing = [column for column in needed if column not in header]
    if missing:
        raise InputError.of(
            name,
            got=f"no column {', '.join(missing)}",
            expected=f"the columns {', '.join(needed)}",
            do="Export the table again with these columns.",
        )

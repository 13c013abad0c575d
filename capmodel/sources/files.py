"""Read a history from a CSV or Parquet file.

This module answers: what does this file say, and if it cannot be read, where exactly is the
trouble? It knows file formats and clocks; what a valid history is stands in ``capmodel.history``.
pyarrow is imported only when a file is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from capmodel.errors import InputError, Problem, nearest
from capmodel.history import History
from capmodel.history.reading import KEYS, numeric
from capmodel.schema import QUANTITIES, Finding, Findings
from capmodel.sources.clock import localized

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["read_csv", "read_parquet", "read_rows"]


def read_csv(
    path: str | Path,
    *,
    business_tz: str,
    columns: Mapping[str, str] | None = None,
    service: str | None = None,
    naive_tz: str | None = None,
    step_min: int | None = None,
) -> History:
    r"""Read a long CSV file (also .csv.gz): one row per service and time.

    Parameters
    ----------
    path
        The file: comma-separated, UTF-8, with a header line.
    business_tz
        IANA zone of the business.
    columns
        ``{"their name": "our name"}``. When given, columns with neither a mapping nor a name of
        ours are left out, with a finding; without it an unknown column is an error.
    service
        Name of the service when the file has no such column.
    naive_tz
        What clock times without a zone mean, for example ``"America/New_York"``. Hours that never
        were are left out, hours that came twice are averaged, both with a finding.
    step_min
        Step [min]; None infers it.

    Returns
    -------
    History
        Findings of reading are in ``notes`` and ``check()``.

    Raises
    ------
    InputError
        Missing, empty or unreadable file; missing or unknown columns; clock times without a zone;
        text where a number belongs, with its line.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "history.csv"
    >>> _ = file.write_text(
    ...     "when,rps\n2026-01-01T00:00Z,10\n2026-01-01T01:00Z,12\n2026-01-01T02:00Z,11\n"
    ... )
    >>> read_csv(file, business_tz="UTC", columns={"when": "time"}, service="api").array("rps")
    array([[10., 12., 11.]])
    """
    file = _existing(path)
    table = _csv_table(file, dict(columns or {}))

    def line(row: int) -> str:
        return f"{file.name}:{row + 2}"  # the header is line 1

    return _history(
        file,
        table,
        line,
        columns=columns,
        service=service,
        business_tz=business_tz,
        naive_tz=naive_tz,
        step_min=step_min,
    )


def read_parquet(
    path: str | Path,
    *,
    business_tz: str,
    columns: Mapping[str, str] | None = None,
    service: str | None = None,
    naive_tz: str | None = None,
    step_min: int | None = None,
) -> History:
    """Read a long Parquet file (or a folder of them): one row per service and time.

    Parameters
    ----------
    path
        The file.
    business_tz
        IANA zone of the business.
    columns
        ``{"their name": "our name"}``. When given, columns with neither a mapping nor a name of
        ours are left out, with a finding; without it an unknown column is an error.
    service
        Name of the service when the file has no such column.
    naive_tz
        What timestamps without a zone mean, for example ``"America/New_York"``.
    step_min
        Step [min]; None infers it.

    Returns
    -------
    History
        Findings of reading are in ``notes`` and ``check()``.

    Raises
    ------
    InputError
        Missing, empty or unreadable file; missing or unknown columns; timestamps without a zone;
        text where a number belongs, with its row.
    """
    file = _existing(path)
    table = _parquet_table(file)

    def row_of_file(row: int) -> str:
        return f"{file.name} row {row}"

    return _history(
        file,
        table,
        row_of_file,
        columns=columns,
        service=service,
        business_tz=business_tz,
        naive_tz=naive_tz,
        step_min=step_min,
    )


def read_rows(path: str | Path) -> pd.DataFrame:
    """Read a CSV or Parquet file as the rows that it holds, without making a history of them.

    For tables that are no regular series: load-test points, pods that come and go.

    Parameters
    ----------
    path
        The file; ``.parquet`` and ``.pq`` are Parquet, all else comma-separated UTF-8.

    Returns
    -------
    pandas.DataFrame
        One row per row of the file, columns as named there.

    Raises
    ------
    InputError
        Missing, empty or unreadable file.
    """
    file = _existing(path)
    parquet = file.is_dir() or file.suffix in {".parquet", ".pq"}
    return _frame(_parquet_table(file) if parquet else _csv_table(file, {}))


def _existing(path: str | Path) -> Path:
    """Return the path of a readable, non-empty file, or say which file may have been meant."""
    file = Path(path)
    if not file.exists():
        folder = file.parent
        names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
        near = nearest(file.name, names)
        do = "Check the path; relative paths start at the working folder."
        if not folder.is_dir():
            do = f"The folder {folder} does not exist either. {do}"
        elif near:
            do = f'Did you mean "{folder / near}"?'
        raise InputError.of(str(path), got="no such file", expected="an existing file", do=do)
    if file.is_file() and file.stat().st_size == 0:
        raise InputError.of(
            str(path), got="an empty file", expected="a table", do="Export the file again."
        )
    return file


def _csv_table(file: Path, columns: Mapping[str, str]) -> pa.Table:
    """Return the table of a CSV file; names, classes and tags are text, the rest is inferred."""
    import pyarrow as pa  # noqa: PLC0415  0.1 s that only reading needs
    from pyarrow import csv  # noqa: PLC0415

    if not file.is_file():
        raise InputError.of(str(file), got="a folder", expected="a CSV file", do="Name one file.")
    theirs = {ours: name for name, ours in columns.items()}
    text = {theirs.get(name, name): pa.string() for name in ("service", "class", "tag")}
    try:
        table = csv.read_csv(file, convert_options=csv.ConvertOptions(column_types=text))
    except (pa.ArrowException, OSError) as error:
        raise InputError.of(
            str(file),
            got=_first_line(error),
            expected="a comma-separated UTF-8 file with one header line",
            do="Mend that line, separate columns by commas and write decimals with a point, or use "
            "read_parquet if this is a Parquet file.",
        ) from error
    alone = table.column_names[0]
    for separator in (";", "\t"):
        if table.num_columns == 1 and separator in alone:
            raise InputError.of(
                f"{file.name}:1",
                got=f"one column {alone!r}",
                expected="columns separated by commas",
                do=f"It looks separated by {separator!r}: export it with commas.",
            )
    return table


def _parquet_table(file: Path) -> pa.Table:
    """Return the table of a Parquet file."""
    import pyarrow as pa  # noqa: PLC0415  0.1 s that only reading needs
    from pyarrow import parquet  # noqa: PLC0415

    try:
        table = parquet.read_table(file)
    except (pa.ArrowException, OSError) as error:
        reader = "read_csv" if ".csv" in file.suffixes else "df.to_parquet to write it again"
        raise InputError.of(
            str(file),
            got=_first_line(error),
            expected="a readable Parquet file",
            do=f"Use {reader}.",
        ) from error
    # pandas stores an index without a name in such columns; it is no data.
    nameless = [name for name in table.column_names if name.startswith("__index_level_")]
    return table.drop_columns(nameless)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _history(  # noqa: PLR0913  the two readers' arguments, passed on
    file: Path,
    table: pa.Table,
    locate: Callable[[int], str],
    *,
    columns: Mapping[str, str] | None,
    service: str | None,
    business_tz: str,
    naive_tz: str | None,
    step_min: int | None,
) -> History:
    """Return the history that a table holds."""
    if table.num_rows == 0:
        raise InputError.of(
            str(file),
            got="a header and no rows",
            expected="at least one row",
            do="Check the query that wrote it.",
        )
    try:
        table, notes = _renamed(table, columns)
        table = table if service is None else _with_service(table, service)
        frame = _frame(table)
        if naive_tz is not None and "time" in frame.columns:
            frame, found = _with_zone(frame, naive_tz, locate)
            notes += found
        history = History._from_frame(  # noqa: SLF001  same library: it names the file's places
            frame, business_tz=business_tz, step_min=step_min, locate=locate
        )
    except InputError as error:
        raise InputError([_in_file(problem, file) for problem in error.problems]) from error
    return replace(history, notes=Findings(tuple(notes)) + history.notes)


def _in_file(problem: Problem, file: Path) -> Problem:
    """Return the problem with the file's name in front of its place."""
    if problem.where.startswith(file.name):
        return problem
    return replace(problem, where=f"{file.name}, {problem.where}")


def _renamed(table: pa.Table, columns: Mapping[str, str] | None) -> tuple[pa.Table, list[Finding]]:
    """Return the table under our names, without the columns that are not ours if any is mapped."""
    if columns is None:
        return table, []
    theirs = table.column_names
    problems = []
    for name, ours in columns.items():
        if name not in theirs:
            near = nearest(name, theirs)
            do = f'Did you mean "{near}"?' if near else "Correct columns=."
            problems.append(
                Problem("columns=", f'"{name}"', f"a column of the file: {', '.join(theirs)}", do)
            )
        if ours not in KEYS and ours not in QUANTITIES:
            near = nearest(ours, (*KEYS, *QUANTITIES))
            do = f'Did you mean "{near}"?' if near else "Correct columns=."
            known = ", ".join((*KEYS, *QUANTITIES))
            problems.append(Problem("columns=", f'"{ours}"', f"one of {known}", do))
    if problems:
        raise InputError(problems)
    kept = [n for n in theirs if n in columns or n in KEYS or n in QUANTITIES]
    left = [n for n in theirs if n not in kept]
    notes = []
    if left:
        message = f"columns not read: {', '.join(left)}"
        notes.append(Finding("column_ignored", "info", "", message, {"columns": left}))
    return table.select(kept).rename_columns([columns.get(n, n) for n in kept]), notes


def _with_service(table: pa.Table, service: str) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415  0.1 s that only reading needs

    if "service" in table.column_names:
        raise InputError.of(
            "service=",
            got=f"{service!r} for a file with a column service",
            expected="service= only when the file has no such column",
            do="Leave service= out.",
        )
    return table.append_column("service", pa.repeat(pa.scalar(service), table.num_rows))


def _frame(table: pa.Table) -> pd.DataFrame:
    """Return the table as a frame; names are categories, since few repeat often."""
    import pyarrow as pa  # noqa: PLC0415  0.1 s that only reading needs

    for name in ("service", "class", "tag"):
        if table.column_names.count(name) == 1 and pa.types.is_string(table[name].type):
            at = table.column_names.index(name)
            table = table.set_column(at, name, table[name].dictionary_encode())
    frame: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    return frame


def _with_zone(
    frame: pd.DataFrame, naive_tz: str, locate: Callable[[int], str]
) -> tuple[pd.DataFrame, list[Finding]]:
    """Return the frame with clock times in UTC; times with a zone and plain dates stay."""
    time = frame["time"]
    if pd.api.types.is_string_dtype(time):
        time = pd.to_datetime(time, errors="coerce", format="ISO8601", utc=False)
    if not pd.api.types.is_datetime64_dtype(time) or time.isna().any():
        return frame, []  # a zone, dates, or trouble that from_frame names
    if (time == time.dt.normalize()).all():
        return frame, []
    problems: list[Problem] = []
    numbers = {
        name: numeric(frame[name], locate, problems) for name in frame.columns if name in QUANTITIES
    }
    if problems:
        raise InputError(problems)
    return localized(frame.assign(time=time, **numbers), tz=naive_tz)

"""One tidy CSV file per frame: UTF-8, ISO dates, nine significant digits, Unix line ends."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from capmodel.errors import InputError
from capmodel.plots.labels import exact, is_missing

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

__all__ = ["write_csvs"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


def write_csvs(frames: Mapping[str, pd.DataFrame], folder: str | Path) -> tuple[Path, ...]:
    r"""Write each frame to ``folder/<name>.csv`` and return the paths, sorted by name.

    Floats carry nine significant digits in their shortest form, Decimal stays as it is, missing
    values are empty, nested values are JSON. Units stand in the column names or in a column.

    Parameters
    ----------
    frames
        Frames by name; an empty frame writes its header.
    folder
        Where to write; made when absent. Files of the same names are replaced.

    Raises
    ------
    InputError
        A frame's name is no file name.

    Examples
    --------
    >>> import tempfile, pandas as pd
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     frame = pd.DataFrame({"pool": ["general"], "usd": ["63452.16"], "x": [1 / 3]})
    ...     [path] = write_csvs({"cost": frame}, folder)
    ...     path.name, path.read_text()
    ('cost.csv', 'pool,usd,x\ngeneral,63452.16,0.333333333\n')
    """
    for name in frames:
        if not _NAME.fullmatch(name):
            raise InputError.of(
                "frames",
                got=repr(name),
                expected="names of lower-case letters, digits and underscores",
                do="Rename the frame; its name becomes a file's name.",
            )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in sorted(frames):
        path = folder / f"{name}.csv"
        frame = frames[name]
        columns = [[_field(value) for value in frame[c].tolist()] for c in frame.columns]
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([str(c) for c in frame.columns])
            writer.writerows(zip(*columns, strict=True))
        paths.append(path)
    return tuple(paths)


def _field(value: object) -> str:
    # Strings and floats are nearly all cells: keep their way short.
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list, tuple)) and not is_missing(value):
        return json.dumps(value, sort_keys=True, ensure_ascii=False, default=exact)
    return exact(value)

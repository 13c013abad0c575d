"""Observations of usage without time: what they must hold, and their identity.

This module answers: is this a frame of load-test rows, which of its nodes does the history measure
too, and is it the same frame as last time? The usage model reads the rows themselves.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from capmodel import documents
from capmodel.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from capmodel.history import History

__all__ = ["check_observations", "digest_of", "digest_of_rows", "in_order", "split_observations"]

USAGE = ("cpu_cores", "memory_gib")


def check_observations(observations: pd.DataFrame | None) -> None:
    """Refuse a frame without node names.

    Raises
    ------
    InputError
        Without a column ``service``.
    """
    if observations is None or "service" in observations.columns:
        return
    raise InputError.of(
        "observations",
        got=f"columns {', '.join(map(str, observations.columns)) or 'none'}",
        expected="a column service, loads (rps, replicas) and usage (cpu_cores, memory_gib)",
        do="Name the node of each row.",
    )


def split_observations(
    observations: pd.DataFrame | None, history: History, nodes: Iterable[str]
) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """Return the rows of nodes whose usage the history measures too, and those of the others.

    The first are load tests beside production and fitted with it; the second stand alone. Rows of
    nodes that the topology does not name are in neither; None where there are no rows.
    """
    if observations is None:
        return None, None
    names = observations["service"].astype(str)
    measured = {n for n in history.services if set(USAGE) & set(history.measured(n))}
    named = set(nodes)
    beside = in_order(observations[names.isin(named & measured)])
    alone = in_order(observations[names.isin(named - measured)])
    return (beside if len(beside) else None), (alone if len(alone) else None)


def in_order(observations: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in an order that depends on their values alone."""
    columns = sorted(observations.columns)
    return observations.sort_values(columns, kind="stable", ignore_index=True)


def digest_of(observations: pd.DataFrame) -> str:
    """Return the digest of the rows, whatever their order.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"service": ["api", "api"], "rps": [1.0, 2.0]})
    >>> digest_of(rows) == digest_of(rows[::-1])
    True
    """
    rows = in_order(observations)
    numbers = rows.select_dtypes("number")
    return documents.array_digest(
        {
            f"{name}/{column}": part[column].to_numpy(dtype=float)
            for name, part in numbers.groupby(rows["service"])
            for column in numbers.columns
        }
    )


def digest_of_rows(rows: pd.DataFrame) -> str:
    """Return the digest of rows with text and times in them, whatever their order.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"service": ["api", "api"], "pod": ["a", "b"], "rps": [1.0, 2.0]})
    >>> digest_of_rows(rows) == digest_of_rows(rows[::-1])
    True
    >>> digest_of_rows(rows) == digest_of_rows(rows.assign(pod=["b", "a"]))
    False
    """
    import numpy as np  # noqa: PLC0415  kept out of import time
    import pandas as pd  # noqa: PLC0415

    columns = sorted(rows.columns)
    # Categories hash by their values, so that a file read as text or as categories is the same.
    hashes = pd.util.hash_pandas_object(rows[columns], index=False, categorize=True)
    named = pd.util.hash_array(np.array(columns, dtype=object))
    return hashlib.sha256(named.tobytes() + np.sort(hashes.to_numpy()).tobytes()).hexdigest()

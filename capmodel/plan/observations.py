"""Observations of usage without time: what they must hold, and their identity.

This module answers: does a frame of load-test rows stand beside the history without contradicting
it, and is it the same frame as last time? The usage model reads the rows themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from capmodel import documents
from capmodel.errors import InputError, Problem

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.history import History

__all__ = ["check_observations", "digest_of", "in_order"]

USAGE = ("cpu_cores", "memory_gib")


def check_observations(observations: pd.DataFrame | None, history: History) -> None:
    """Refuse a frame without node names, and nodes whose usage the history measures too.

    Raises
    ------
    InputError
        With every problem found.
    """
    if observations is None:
        return
    if "service" not in observations.columns:
        raise InputError.of(
            "observations",
            got=f"columns {', '.join(map(str, observations.columns)) or 'none'}",
            expected="a column service, loads (rps, replicas) and usage (cpu_cores, memory_gib)",
            do="Name the node of each row.",
        )
    names = sorted(set(observations["service"].astype(str)) & set(history.services))
    twice = [name for name in names if set(USAGE) & set(history.measured(name))]
    if twice:
        raise InputError(
            Problem(
                where=f"observations of {name}",
                got="usage here and in the history",
                expected="one of the two",
                do="Leave the rows out, or drop the usage columns of this node in the history.",
            )
            for name in twice
        )


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

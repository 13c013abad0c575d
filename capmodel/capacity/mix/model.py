"""A linear model put together block by block, over fractions or over whole values.

This module answers: what do ``scipy.optimize.linprog`` and ``milp`` need to hear, and what did they
find?
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from capmodel.capacity.mix.spec import Floats, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Found", "LinearModel"]

_NO_SOLUTION: Final = 2
_CHATTER: Final = b"HighsMipSolverData::"
_STDOUT: Final = 1
_ONE_AT_A_TIME: Final = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a solver found.

    ``values`` (V,), None where none were found; ``bound`` no solution is below; ``infeasible``
    whether it is proven that none exists; ``prices`` of the equations, in the order in which they
    were added, from a model over fractions.
    """

    values: Floats | None
    bound: float
    infeasible: bool
    prices: Floats = field(default_factory=lambda: np.empty(0))


@dataclass(slots=True)
class LinearModel:
    """Variables and rows, in the order in which they are added; the objective is made small."""

    size: int = 0
    height: int = 0
    _cost: list[Floats] = field(default_factory=list)
    _upper: list[Floats] = field(default_factory=list)
    _whole: list[Ints] = field(default_factory=list)
    _low: list[Floats] = field(default_factory=list)
    _high: list[Floats] = field(default_factory=list)
    _cells: list[tuple[Ints, Ints, Floats]] = field(default_factory=list)

    def variables(
        self, upper: npt.ArrayLike, *, cost: npt.ArrayLike = 0.0, whole: bool = False
    ) -> slice:
        """Add variables in ``[0, upper]`` and return where they stand."""
        top = np.asarray(upper, dtype=np.float64).reshape(-1)
        self._cost.append(np.broadcast_to(np.asarray(cost, dtype=np.float64), top.shape))
        self._upper.append(top)
        self._whole.append(np.full(top.shape, int(whole), dtype=np.int64))
        self.size += top.size
        return slice(self.size - top.size, self.size)

    def require(
        self,
        *parts: tuple[slice, npt.ArrayLike],
        at_least: npt.ArrayLike = -np.inf,
        at_most: npt.ArrayLike = np.inf,
    ) -> None:
        """Add rows: the sum over parts of ``matrix @ variables`` lies between two bounds."""
        height = 0
        for at, part in parts:
            matrix = np.atleast_2d(np.asarray(part, dtype=np.float64))
            height = len(matrix)
            row, column = np.nonzero(matrix)
            self._cells.append((row + self.height, column + at.start, matrix[row, column]))
        self._low.append(np.broadcast_to(np.asarray(at_least, dtype=np.float64), height))
        self._high.append(np.broadcast_to(np.asarray(at_most, dtype=np.float64), height))
        self.height += height

    def solve_fractions(self) -> Found:
        """Return the optimum over fractions, with the price of each equation."""
        from scipy.optimize import linprog  # noqa: PLC0415  the package loads faster without it
        from scipy.sparse import vstack  # noqa: PLC0415  the package loads faster without it

        matrix, low, high = self._rows()
        equal = low == high
        below, above = np.isfinite(high) & ~equal, np.isfinite(low) & ~equal
        found = linprog(  # type: ignore[call-overload]  # its stubs know no sparse matrix
            np.concatenate(self._cost),
            A_ub=vstack([matrix[below], -matrix[above]], format="csr"),
            b_ub=np.concatenate([high[below], -low[above]]),
            A_eq=matrix[equal],
            b_eq=low[equal],
            bounds=np.column_stack([np.zeros(self.size), np.concatenate(self._upper)]),
            method="highs",
        )
        if found.x is None:
            return Found(values=None, bound=np.inf, infeasible=found.status == _NO_SOLUTION)
        prices = np.asarray(found.eqlin.marginals, dtype=np.float64)
        return Found(values=found.x, bound=float(found.fun), infeasible=False, prices=prices)

    def solve_whole(self, *, gap: float, branches: int) -> Found:
        """Return whole values close to the optimum, and the bound that was proven.

        The limits are a relative gap and a count of branches, never seconds: the same model has the
        same answer on a busy machine.
        """
        from scipy.optimize import Bounds, LinearConstraint, milp  # noqa: PLC0415  loads slowly

        matrix, low, high = self._rows()
        with _without_chatter():
            found = milp(
                np.concatenate(self._cost),
                integrality=np.concatenate(self._whole),
                bounds=Bounds(np.zeros(self.size), np.concatenate(self._upper)),
                constraints=LinearConstraint(matrix, low, high),
                options={"mip_rel_gap": gap, "node_limit": branches},
            )
        bound = -np.inf if found.mip_dual_bound is None else float(found.mip_dual_bound)
        return Found(values=found.x, bound=bound, infeasible=found.status == _NO_SOLUTION)

    def _rows(self) -> tuple[csr_array, Floats, Floats]:
        """Return the matrix of all rows, and their bounds."""
        from scipy.sparse import csr_array  # noqa: PLC0415  the package loads faster without it

        row, column, value = (np.concatenate(part) for part in zip(*self._cells, strict=True))
        matrix = csr_array((value, (row, column)), shape=(self.height, self.size))
        return matrix, np.concatenate(self._low), np.concatenate(self._high)


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Keep a line that HiGHS prints past every setting off the standard output.

    HiGHS 1.12 (in SciPy 1.17) writes a line for each solution that it repairs; HiGHS issue 2783.
    Whatever else is written meanwhile is passed on afterwards.
    """
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as caught:
        sys.stdout.flush()
        try:
            kept = os.dup(_STDOUT)
        except OSError:  # no standard output at all
            yield
            return
        _flush_c()
        os.dup2(caught.fileno(), _STDOUT)
        try:
            yield
        finally:
            sys.stdout.flush()
            _flush_c()
            os.dup2(kept, _STDOUT)
            os.close(kept)
            caught.seek(0)
            rest = [line for line in caught if not line.startswith(_CHATTER)]
            if rest:
                os.write(_STDOUT, b"".join(rest))


def _flush_c() -> None:
    """Flush the buffers of the C library, where there is one to ask."""
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)

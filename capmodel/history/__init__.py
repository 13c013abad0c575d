"""Validated history: what was measured, on one regular grid, in business time, with findings.

>>> from capmodel.history import History
"""

from __future__ import annotations

from capmodel.history.core import History
from capmodel.history.localtime import LocalCube, LocalDays, hours_in, local_cube, local_days
from capmodel.history.offered import offered_per_second

__all__ = [
    "History",
    "LocalCube",
    "LocalDays",
    "hours_in",
    "local_cube",
    "local_days",
    "offered_per_second",
]

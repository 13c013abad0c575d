"""What a live track found: frames and a status in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from capmodel.errors import require_known
from capmodel.plots.labels import number
from capmodel.schema import STATUSES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Track"]

UNITS = {"per_min": "per minute", "rps": "per second"}
LIMITS_SAID = 3


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """A running season against its plan.

    ``frames`` hold the parts by name (see :meth:`to_frame`), ``meta`` what was compared.
    """

    frames: Mapping[str, pd.DataFrame]
    meta: Mapping[str, Any]

    def to_frame(self, name: str = "rest") -> pd.DataFrame:
        """Return one of the frames.

        Parameters
        ----------
        name
            ``rest``: each root so far, and how high the rest can go. ``limits``: room left.
            ``days``: actual against the fan, day by day, and the days to come as revised.
            ``scenarios``: how likely each is by now. ``findings``.

        Raises
        ------
        InputError
            For an unknown name, naming the nearest.
        """
        require_known("to_frame", name, self.frames)
        return self.frames[name].copy()

    @property
    def status(self) -> str:
        """The worst status of the limits: RED, AMBER, GREY or GREEN."""
        statuses = list(self.frames["limits"]["status"])
        return next((s for s in STATUSES if s in statuses), "GREY")

    def headline(self) -> str:
        """Return where the season stands, how high the rest can go, and what room is left."""
        lines = [f"{self.status} as of {self.meta['now']}."]
        lines += [self._root(row) for row in self.frames["rest"].to_dict("records")]
        limits = self.frames["limits"]
        tight = limits[limits["status"].isin(["RED", "AMBER"])]
        lines += [_room(row) for row in tight.head(LIMITS_SAID).to_dict("records")]
        if len(tight) > LIMITS_SAID:
            lines.append(f"{len(tight) - LIMITS_SAID} more limits are RED or AMBER: see limits.")
        if not len(tight) and len(limits):
            lines.append("Every known limit holds at the rest's P99.")
        warnings = int((self.frames["findings"]["severity"] == "warning").sum())
        if warnings:
            what = "1 warning" if warnings == 1 else f"{warnings} warnings"
            lines.append(f"{what} about the actuals: see findings.")
        return "\n".join(lines)

    def _root(self, row: Mapping[Any, Any]) -> str:
        unit = UNITS[row["quantity"]]
        start = f"{row['service']}: nothing seen yet"
        if not math.isnan(row["so_far"]):
            start = (
                f"{row['service']}: {number(row['so_far'])} {unit} at most so far "
                f"({row['so_far_on']})"
            )
        if row["days_seen"]:
            start += f", {row['ratio_x']:.3f} times plan over {_days(row['days_seen'])}"
        return (
            f"{start}. {_days(row['days_left'])} left: P50 {number(row['revised_p50'])}, P99 "
            f"{number(row['revised_p99'])} (planned {number(row['planned_p50'])} and "
            f"{number(row['planned_p99'])})."
        )

    def __repr__(self) -> str:
        return self.headline()


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _room(row: Mapping[Any, Any]) -> str:
    return (
        f"{row['node']} {row['limit']} {row['status']}: {number(row['so_far'])} of "
        f"{number(row['hard'])} {row['unit']} so far, {number(row['rest_p50'])} at the rest's P50, "
        f"{number(row['rest_p99'])} at its P99."
    )

"""Plans against what happened: the retrospective of a season, and the season while it runs.

This package answers: were we right, why not, and what does that mean for the next season? And on
the day: where are we against the fan, how much room is left, and how high can the rest go?
"""

from __future__ import annotations

from capmodel.retro.result import Retro
from capmodel.retro.season import retro
from capmodel.retro.track_result import Track
from capmodel.retro.tracking import track

__all__ = ["Retro", "Track", "retro", "track"]

"""Scores of one forecast of one task, and the shelf on which they are kept.

This module answers: how good was a forecast over the horizon, on its first day and in its first
week, what did it cost, and was that measured before? Measures are those of ``capmodel.accuracy``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tasks import HOURS, Task, known_calendar

from capmodel import accuracy

WEEK_HOURS = 168


@dataclass(frozen=True, slots=True)
class Score:
    """What one forecast of one task was worth, and what it cost."""

    mase: float
    """MASE(168) over the horizon: the scale is the training part's mean weekly difference."""
    day: float
    """MASE(168) of the first day."""
    week: float
    """MASE(168) of the first seven days."""
    wape: float
    mase_clipped: float
    """MASE(168) over the horizon if negative forecasts were raised to 0."""
    cpu_s: float
    """CPU seconds of this series: fit and forecast."""
    peak_mb: float
    """Largest resident set of the process [MB]."""
    digest: str
    """Of the data and the calendar that were judged."""
    failed: str = ""
    """The error of a method that gave no forecast: the other scores are NaN."""


def digest(task: Task) -> str:
    """Return a fingerprint of everything a method may see, and of what it is judged by."""
    seen = hashlib.blake2b(digest_size=8)
    for part in (task.train, task.actual):
        seen.update(np.ascontiguousarray(part, dtype=float).tobytes())
    seen.update("".join(f"{d.date} {d.name};" for d in known_calendar(task)).encode())
    return seen.hexdigest()


def score(
    task: Task, forecast: np.ndarray, *, cpu_s: float, peak_mb: float, failed: str = ""
) -> Score:
    """Judge the point forecast of a task, shape (H, 24) or (H * 24,)."""
    actual, hours = task.actual.reshape(-1), np.asarray(forecast, dtype=float).reshape(-1)
    scale = accuracy.seasonal_scale(task.train.reshape(-1), WEEK_HOURS)

    def first(count: int, *, least: float = -np.inf) -> float:
        raised = np.maximum(hours[:count], least)
        return float(accuracy.mase(actual[:count], raised, scale=scale))

    return Score(
        mase=first(len(actual)),
        day=first(HOURS),
        week=first(WEEK_HOURS),
        wape=float(accuracy.wape(actual, hours)),
        mase_clipped=first(len(actual), least=0.0),
        cpu_s=cpu_s,
        peak_mb=peak_mb,
        digest=digest(task),
        failed=failed,
    )


@dataclass(slots=True)
class Shelf:
    """Scores by method and task, kept in a file after every fleet so that a stop loses nothing."""

    path: Path | None = None
    """Where to keep them; None: nowhere."""
    scores: dict[str, dict[str, Score]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def load(self, path: Path) -> None:
        """Take the stored scores of a file."""
        stored = json.loads(path.read_text(encoding="utf-8"))
        self.versions |= stored["versions"]
        for method, by_task in stored["scores"].items():
            mine = self.scores.setdefault(method, {})
            mine |= {name: Score(**fields) for name, fields in by_task.items()}

    def has(self, method: str, task: Task) -> bool:
        """Return whether this very task (same data, same calendar) was judged before."""
        found = self.scores.get(method, {}).get(task.name)
        return found is not None and found.digest == digest(task)

    def put(self, method: str, scores: dict[str, Score], *, versions: str) -> None:
        """Add scores and write the file, whole or not at all."""
        self.scores.setdefault(method, {}).update(scores)
        self.versions[method] = versions
        if self.path is None:
            return
        stored = {
            "versions": self.versions,
            "scores": {
                name: {task: dataclasses.asdict(one) for task, one in by_task.items()}
                for name, by_task in self.scores.items()
            },
        }
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(stored, indent=1, sort_keys=True), encoding="utf-8")
        new.replace(self.path)

"""The peers: which they are, the environment that some of them need, and how they are run.

This module answers: what do Prophet and statsforecast forecast for a fleet of tasks, at what cost?
Every call is a process of its own (``peer_worker.py``) with one thread. statsforecast declares
pandas < 3, so it runs in an environment made from the pinned list ``peers.txt``; Prophet runs in
this one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scores import Score, score
from tasks import HOURS, Task, known_calendar

HERE = Path(__file__).resolve().parent
PINS = HERE / "peers.txt"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# Reads names from its arguments, prints a JSON object of versions, "" where one is missing.
_VERSIONS = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
def of(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
print(json.dumps({name: of(name) for name in sys.argv[1:]}))
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A forecaster that we are compared with."""

    title: str
    note: str
    """How it is set up."""
    own_environment: bool = False
    """Whether it runs in the environment of ``peers.txt``."""


PEERS = {
    "naive": Peer("weekly seasonal naive", "the last week repeated"),
    "prophet": Peer("Prophet, default", "as it comes, 1,000 samples; no holidays"),
    "tuned": Peer(
        "Prophet, hand-tuned",
        "log(y / mean + 0.01); daily curves of order 10 for weekdays, Saturdays and Sundays; "
        "changepoint range 0.95 and prior 0.01; yearly order 4; the task's holidays",
    ),
    "mstl": Peer(
        "statsforecast MSTL", "seasons 24 and 168, AutoETS trend; no holidays", own_environment=True
    ),
    "mfles": Peer("statsforecast MFLES", "seasons 24 and 168; no holidays", own_environment=True),
}
"""Name on the command line to peer; the names are those of ``peer_worker.METHODS``."""


def environment(folder: Path) -> Path:
    """Return the interpreter of the environment of ``peers.txt``, made in a folder if missing.

    Raises
    ------
    SystemExit
        When the folder holds an environment with other versions.
    """
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"making the peers' environment in {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "-r", PINS],
            check=True,
        )
    lines = PINS.read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    found = json.loads(subprocess.check_output([python, "-c", _VERSIONS, *pins]))
    other = [
        f"{name} {found[name] or 'missing'}, not {pin}"
        for name, pin in pins.items()
        if found[name] != pin
    ]
    if other:
        raise SystemExit(f"{folder}: {'; '.join(other)}. Give another folder, or none.")
    return python


def run_peer(method: str, members: list[Task], *, python: Path) -> tuple[dict[str, Score], str]:
    """Forecast tasks that share their days with one peer; return scores by task, and versions."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source.npz", Path(folder) / "target.npz"
        days = list(known_calendar(members[0]))
        np.savez(
            source,
            train=np.stack([task.train.reshape(-1) for task in members]),
            start=members[0].first.astype("datetime64[h]"),
            horizon=np.array(len(members[0].actual) * HOURS),
            holiday=np.array([day.name for day in days], dtype=str),
            holiday_day=np.array([day.date for day in days], dtype="datetime64[D]"),
        )
        subprocess.run(
            [python, HERE / "peer_worker.py", method, source, target],
            check=True,
            env={**os.environ, **ONE_THREAD},
            stdout=subprocess.DEVNULL,
        )
        with np.load(target) as answer:
            scores = {
                task.name: score(
                    task,
                    answer["forecast"][i],
                    cpu_s=float(answer["cpu_s"][i]),
                    peak_mb=float(answer["peak_mb"]),
                    failed=str(answer["failed"][i]),
                )
                for i, task in enumerate(members)
            }
            return scores, str(answer["versions"])


def ours_versions() -> str:
    """Return the versions that our own forecast rests on."""
    names = ("capmodel", "pandas", "numpy", "scipy", "holidays")
    return ", ".join(f"{name} {version(name)}" for name in names)

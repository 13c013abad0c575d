"""Print what a fleet's forecast costs, from arrays and from a frame, next to Prophet's cost.

Run it where capmodel is installed::

    python benchmarks/speed.py                   # four minutes, 6 GB of memory for the frames
    python benchmarks/speed.py --services 1000   # a glance, not judged: goals are of 10,000

The services are planted (``planted.py``): two years of hours each, no two alike, 1 % of the hours
missing, all with the retail calendar of the United States. They are forecast 90 days ahead. Every
measurement is a process of its own with one BLAS thread (``speed_worker.py``); runs of ours and
Prophet's take turns and are compared in CPU seconds: the median of ours, which repeat the same
work, and the mean of Prophet's, which forecast other services. Goals stand beside what was reached.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from speed_worker import Taken

WORKER = Path(__file__).resolve().with_name("speed_worker.py")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

SERVICES = 10_000
"""The fleet that the goals are about."""

IMPORTS = "imports and a fit of 8 services"
BANDS = "arrays: median and 4 quantiles"
POINT = "arrays: median alone"
THREADS = "arrays: median and 4 quantiles, 2 threads"
BY_SERVICE = "long frame, rows by service"
BY_TIME = "long frame, rows by time"
APPEND = "a week appended, refitted"
PROPHET = "Prophet, default"
PROPHET_EVENTS = "Prophet, event days as holidays"

NOTES = """\
- CPU-s: user and system time, child processes included; imports and a first short fit not counted,
  reading the history from its file counted. Several turns: the median of ours, the mean of
  Prophet's (other services each turn), then each.
- Peak MB: largest resident set of the process, interpreter and result included (90 days of 4
  quantiles of 10,000 services: 345 MB); from a frame, the frame (14 bytes a row) too.
- Load: of the machine over the minute before the end; wall time above CPU time is others' work.
- Appending reads the new week alone: a fit holds sums, coefficients and quantiles of residuals, not
  the history.
- Prophet forecasts the first services of the same file, one a turn, with its 1,000 samples; its
  peak is without Stan's process. Its holidays are the calendar's days, each a whole day."""


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement."""

    title: str
    name: str
    """Name of the worker's job."""
    options: tuple[str, ...] = ()


def schedule(turns: int) -> Iterator[Job]:
    """Yield the measurements, ours and Prophet's in turn."""
    yield Job(IMPORTS, "imports")
    for turn in range(turns):
        row = ("--row", str(turn))
        yield Job(BANDS, "arrays")
        yield Job(PROPHET, "prophet", row)
        yield Job(POINT, "arrays", ("--quantiles", "0.5"))
        yield Job(PROPHET_EVENTS, "prophet_events", row)
    yield Job(THREADS, "arrays", ("--workers", "2"))
    yield Job(BY_SERVICE, "frame", ("--order", "service"))
    yield Job(BY_TIME, "frame", ("--order", "time"))
    yield Job(APPEND, "append")


def run(job: Job, folder: Path) -> Taken:
    """Run a job in a process of its own.

    The process begins with the peak memory of this one, which therefore loads nothing large.
    """
    command = [sys.executable, str(WORKER), job.name, str(folder), *job.options]
    environment = {**os.environ, **ONE_THREAD}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    found = Taken(**json.loads(done.stdout))
    print(f"{job.title}: {found.cpu_s:.2f} CPU-s", file=sys.stderr, flush=True)
    return found


def typical_cpu_s(runs: list[Taken]) -> float:
    """Return the median of the same work repeated, the mean of single services."""
    several = [one.cpu_s for one in runs]
    return fmean(several) if runs[0].series == 1 else median(several)


def measured(found: dict[str, list[Taken]]) -> list[list[str]]:
    """Return a row per measurement: CPU as is typical, wall medians, the largest peak."""
    rows = []
    for title, runs in found.items():
        cpu_s = typical_cpu_s(runs)
        each = 1e3 * cpu_s / runs[0].series if runs[0].series else None
        rows.append(
            [
                title,
                f"{runs[0].series:,}" if runs[0].series else "",
                f"{cpu_s:.2f}",
                "" if len(runs) == 1 else " ".join(f"{one.cpu_s:.2f}" for one in runs),
                "" if each is None else f"{each:.3f}" if each < 100 else f"{each:,.0f}",
                f"{median(one.wall_s for one in runs):.2f}",
                f"{max(one.peak_mb for one in runs):,.0f}",
                f"{max(one.load for one in runs):.1f}",
            ]
        )
    return rows


def judged(found: dict[str, list[Taken]]) -> list[list[str]]:
    """Return a row per goal."""
    # Late, because measured processes begin with this one's peak memory.
    from accuracy_tables import Goal  # noqa: PLC0415  it loads pandas

    def cpu(title: str) -> float:
        return typical_cpu_s(found[title])

    def each(title: str) -> float:
        return cpu(title) / found[title][0].series

    peak = max(one.peak_mb for one in found[BANDS])
    goals = (
        (f"{BANDS} [CPU-s]", cpu(BANDS), Goal(12)),
        (f"{BANDS} [peak MB]", peak, Goal(1000)),
        (f"{BY_SERVICE} [CPU-s]", cpu(BY_SERVICE), Goal(18)),
        (f"{BY_TIME} [CPU-s]", cpu(BY_TIME), Goal(18)),
        ("4 quantiles / median alone [CPU ratio]", cpu(BANDS) / cpu(POINT), Goal(2)),
        (
            f"{PROPHET} / ours, per series [CPU ratio]",
            each(PROPHET) / each(BANDS),
            Goal(4500, at_least=True),
        ),
        (
            f"{PROPHET_EVENTS} / ours, per series [CPU ratio]",
            each(PROPHET_EVENTS) / each(BANDS),
            Goal(8000, 10000, at_least=True),
        ),
        (f"{APPEND} [CPU-ms per series]", 1e3 * each(APPEND), Goal(0.3)),
    )
    is_judged = found[BANDS][0].series == SERVICES
    return [
        [
            title,
            f"{value:,.3g}" if value < 100 else f"{value:,.0f}",
            str(goal),
            goal.verdict(value) if is_judged else "not judged",
        ]
        for title, value, goal in goals
    ]


def notes(found: dict[str, list[Taken]]) -> str:
    """Return what a reader must know to judge the tables, versions included."""
    versions = {
        part for runs in found.values() for one in runs for part in one.packages.split(", ")
    }
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return "\n".join(
        [
            NOTES,
            f"- {', '.join(sorted(versions))}.",
            f"- Python {platform.python_version()}, {machine}.",
        ]
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Cost of a fleet's forecast, ours and Prophet's.")
    parser.add_argument("--services", type=int, default=SERVICES, help="planted services")
    parser.add_argument("--turns", type=int, default=3, help="turns of ours and Prophet's")
    given = parser.parse_args()
    found: dict[str, list[Taken]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(Job("planting", "make", ("--services", str(given.services))), folder)
        for job in schedule(given.turns):
            found.setdefault(job.title, []).append(run(job, folder))
    from accuracy_tables import markdown  # noqa: PLC0415  late, as in judged()

    print(
        markdown(
            [
                *("2 years of hours to 90 days", "series", "CPU-s", "each turn", "CPU-ms / series"),
                *("wall s", "peak MB", "load"),
            ],
            measured(found),
        ),
        "",
        markdown(["figure", "reached", "goal", "verdict"], judged(found)),
        "",
        notes(found),
        sep="\n",
    )


if __name__ == "__main__":
    main()

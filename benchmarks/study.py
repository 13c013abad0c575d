"""Print time and memory of the whole study, of ``capmodel --help`` and of ``import capmodel``.

Run it as ``make benchmark``, or ``python benchmarks/study.py [STUDY]`` where capmodel is installed.
Every measurement is a process of its own; peak memory is its largest resident set.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHOP = ROOT / "data" / "fixtures" / "shop" / "study.yaml"
REPEATS = 5
# ru_maxrss counts KiB on Linux and bytes on macOS.
RSS_UNITS_PER_MB = 1e6 if sys.platform == "darwin" else 1e6 / 1024


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one process took: wall [s], CPU [s] and peak resident memory [MB]."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def measure(command: list[str]) -> Measurement:
    """Run a command once and return what it took; raise when it fails.

    Parameters
    ----------
    command
        Program and arguments; what it prints is dropped.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment.setdefault("OMP_NUM_THREADS", "1")
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    # wait4 gives this child's own usage; RUSAGE_CHILDREN keeps the largest of all children so far.
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Measurement(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / RSS_UNITS_PER_MB)


def best_of(command: list[str], repeats: int) -> Measurement:
    """Return the measurement with the least wall time; a first run outside compiles bytecode."""
    measure(command)
    return min((measure(command) for _ in range(repeats)), key=lambda taken: taken.wall_s)


def report(name: str, taken: Measurement, budget: str) -> None:
    """Print one row."""
    print(
        f"{name:<28}{taken.wall_s:>9.3f}{taken.cpu_s:>9.3f}{taken.peak_mb:>9.0f}   {budget}",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", nargs="?", type=Path, default=SHOP, help="study file")
    study = str(parser.parse_args().study)
    command = str(Path(sys.executable).parent / "capmodel")
    print(f"{'':<28}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}   budget")
    bare = best_of([sys.executable, "-c", "pass"], REPEATS)
    report("python alone", bare, "")
    imported = best_of([sys.executable, "-c", "import capmodel"], REPEATS)
    report("import capmodel", imported, "0.15 s")
    report("capmodel --help", best_of([command, "--help"], REPEATS), "0.2 s")
    with tempfile.TemporaryDirectory() as folder:
        plan = [command, "plan", study, "--out", str(Path(folder) / "review")]
        report("capmodel plan, first run", measure(plan), "")
        report("capmodel plan, second run", measure(plan), "10 s, 1500 MB")


if __name__ == "__main__":
    main()

"""CPU time and memory of fitting a fleet's usage from minutes, in one streamed pass.

    python benchmarks/usage_speed.py [--services 1000] [--days 14] [--block 50]

Services come in blocks, each a History of minutes of planted truth; making it is not counted.
Printed: CPU-seconds of `RobustLinear.fit_blocks` (row selection, regimes, lines, covariance,
findings), the largest error of the planted prices, the process's peak memory, and what statsmodels'
robust regression (RLM: the same loss, without bounds, regimes or interval by day) takes for a line.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator

import numpy as np

from capmodel.history import History
from capmodel.usage import RobustLinear

RESOURCES = ("cpu_cores", "memory_gib", "network_mbps")
START = np.datetime64("2026-03-02T00:00", "s")


def block_of(first: int, services: int, minutes: int) -> tuple[History, np.ndarray]:
    """Return minutes of some services, and their planted core-seconds per request, shape (S,)."""
    rng = np.random.default_rng(first)
    day = 2 * np.pi * np.arange(minutes) / 1440
    peak = rng.lognormal(5, 1, (services, 1))
    rps = peak * (0.55 + 0.45 * np.sin(day + rng.uniform(0, 6, (services, 1))))
    rps = rng.poisson(60 * rps * rng.lognormal(0, 0.08, rps.shape)) / 60
    pods = np.maximum(np.ceil(rps / (peak / 12)), 2.0)
    price = rng.uniform(0.004, 0.05, services)

    def noisy(middle: np.ndarray, sd: float) -> np.ndarray:
        values = middle * rng.gamma(1 / sd**2, sd**2, middle.shape)
        jobs = rng.random(middle.shape) < 0.01
        return np.where(jobs, values * rng.uniform(1.5, 3, middle.shape), values)

    values = {
        ("rps", ""): rps,
        ("replicas", ""): pods,
        ("cpu_cores", ""): noisy(0.05 * pods + price[:, None] * rps, 0.05),
        ("memory_gib", ""): noisy(0.8 * pods + 0.002 * rps, 0.02),
        ("network_mbps", ""): noisy(0.1 * pods + 0.06 * rps, 0.03),
    }
    names = tuple(f"service-{first + k:05d}" for k in range(services))
    return History(names, START, 1, values, {}, "America/New_York"), price


def peer_seconds(lines: int) -> float:
    """Return CPU-seconds of a line by statsmodels' RLM, bisquare, on the same minutes."""
    import statsmodels.api as sm  # noqa: PLC0415  seconds of import that are not its speed

    history, _ = block_of(0, lines, 14 * 1440)
    before = time.process_time()
    for k in range(lines):
        pods, rps = history.array("replicas")[k], history.array("rps")[k]
        design = np.column_stack([pods, rps])
        cores = history.array("cpu_cores")[k]
        middle = design @ np.linalg.lstsq(design, cores, rcond=None)[0]
        sm.RLM(cores / middle, design / middle[:, None], M=sm.robust.norms.TukeyBiweight()).fit()
    return (time.process_time() - before) / lines


def main() -> None:
    """Fit the fleet and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--block", type=int, default=50)
    args = parser.parse_args()
    truth: list[np.ndarray] = []
    making = 0.0

    def blocks() -> Iterator[History]:
        nonlocal making
        for first in range(0, args.services, args.block):
            before = time.process_time()
            history, price = block_of(
                first, min(args.block, args.services - first), args.days * 1440
            )
            truth.append(price)
            making += time.process_time() - before
            yield history

    before = time.process_time()
    fit = RobustLinear().fit_blocks(blocks(), resources=RESOURCES)
    spent = time.process_time() - before - making
    found = np.array([u.value[1] for u in fit.fits if u.resource == "cpu_cores"])
    error = np.abs(found / np.concatenate(truth) - 1)
    rows = args.services * args.days * 1440
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{args.services:,} services x {args.days} days of minutes x {len(RESOURCES)} resources")
    print(f"  {rows:,} rows, {len(fit.fits):,} lines, {len(fit.refused)} refused")
    print(
        f"  {spent:.1f} CPU-s ({1000 * spent / len(fit.fits):.2f} ms a line), peak {memory:,.0f} MB"
    )
    peer = peer_seconds(10)
    print(
        f"  statsmodels RLM: {1000 * peer:.1f} ms a line, {peer * len(fit.fits) / spent:.1f} x ours"
    )
    print(f"  price per request: median error {np.median(error):.2%}, largest {error.max():.2%}")


if __name__ == "__main__":
    main()

"""Union risk: is any of 60 limits exceeded in seasons that did not size them? And P98 of a sum.

    python benchmarks/union_risk.py [--repeats 20]

Planted seasons: log need = sd * (sqrt(a) season + sqrt(b) driver + sqrt(1 - a - b) own), 60
limits on 6 drivers, sd 0.05 to 0.35; season and driver luck Student t with 6 df, own luck Gumbel (a
busiest minute), each of variance 1: correlation a across drivers, a + b within one. "mixture" adds
three scenarios of growth 1.10, 1.25, 1.50 (0.25, 0.55, 0.20) with the same luck. Sized on 1,000
draws per scenario at risk 2 %, judged on 1,000 other seasons, again and again. Printed per world:
mean p_any with two standard errors over the sizings, and the share of sizings that pass, p_any <=
2 % within two standard errors of 1,000 seasons (2.9 %), of

- own: each limit at its own 2 %;
- in-sample: the common level of `risk.union_level`, and what its left-out draws say it is worth;
- left-out: `union.left_out_level`, and the share of sizings in which it says: too few draws;
- sizes: `union.union_sizes`, and its units beside own's.

Then twelve callers of one database, each with its own luck in the calls that it makes: P98 of their
sum on the plan's paths (1,000 draws) beside 1,000,000 planted draws, and the sum of their P98s.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from capmodel.capacity.loads import CallRatio, Loads, call_weights, root_minutes
from capmodel.capacity.risk import mixture_quantile, union_level
from capmodel.capacity.union import left_out_level, left_out_risk, union_sizes
from capmodel.demand.paths import RootPaths
from capmodel.topology import Topology

LIMITS, DRIVERS, DRAWS, SEASONS, RISK = 60, 6, 1000, 1000, 0.02
SD = np.linspace(0.05, 0.35, LIMITS)
ALONE = np.ones(1)
GROWTH_X, WEIGHTS = np.array([1.10, 1.25, 1.50]), np.array([0.25, 0.55, 0.20])
WORLDS = {
    "0.45 0.55": (0.45, 0.10),
    "0.65 0.75": (0.65, 0.10),
    "0.75 0.85": (0.75, 0.10),
    "0.82 0.92": (0.82, 0.10),
}
EULER = 0.5772156649015329

CALLERS = 12
READS = 2.0 + np.arange(CALLERS) % 5
CALLS = 0.5 + np.arange(CALLERS) / 4


def seasons(rng: np.random.Generator, n: int, *, season: float, driver: float) -> np.ndarray:
    """Return needs of the limits in planted seasons, shape (LIMITS, n)."""
    heavy = np.sqrt(4 / 6)  # a Student t with 6 df has variance 6/4
    common = heavy * rng.standard_t(6, n)
    shared = heavy * rng.standard_t(6, (DRIVERS, n))[np.arange(LIMITS) % DRIVERS]
    own = (rng.gumbel(size=(LIMITS, n)) - EULER) * np.sqrt(6) / np.pi
    luck = np.sqrt(season) * common + np.sqrt(driver) * shared
    luck += np.sqrt(1 - season - driver) * own
    return np.asarray(np.exp(SD[:, None] * luck))


def at_level(needs: np.ndarray, weights: np.ndarray, level: float) -> np.ndarray:
    """Return each limit's size at a level of its own draws, shape (L, S, D) to (L,)."""
    return np.array([need[mixture_quantile(need, level, weights)] for need in needs])


def p_any(needs: np.ndarray, weights: np.ndarray, sizes: np.ndarray) -> float:
    """Return the probability that a season exceeds any size."""
    return float(weights @ (needs > sizes[:, None, None]).any(axis=0).mean(axis=1))


def one_sizing(world: str, seed: int, *, mixture: bool) -> dict[str, float]:
    """Size on 1,000 draws, judge on 1,000 other seasons; every rule on the same ones."""
    season, driver = WORLDS[world]
    growth, weights = (GROWTH_X, WEIGHTS) if mixture else (np.ones(1), ALONE)
    draws, later = (
        seasons(np.random.default_rng([seed, k]), n, season=season, driver=driver)[:, None, :]
        * growth[:, None]
        for k, n in enumerate((DRAWS, SEASONS))
    )
    flat = draws.reshape(LIMITS, -1)
    level = union_level(flat, np.repeat(weights / DRAWS, DRAWS), RISK)
    left_out = left_out_level(draws, weights, RISK)
    own, sized = at_level(draws, weights, 1 - RISK), union_sizes(draws, weights, RISK)
    return {
        "own": p_any(later, weights, own),
        "in-sample": p_any(later, weights, at_level(draws, weights, level)),
        "left-out": p_any(later, weights, at_level(draws, weights, left_out.level)),
        "sizes": p_any(later, weights, sized.sizes),
        "said": left_out_risk(draws, weights, level),
        "short": 1.0 - left_out.kept,
        "units_x": float(np.mean(sized.sizes / own)),
    }


def sizings(world: str, repeats: int, *, mixture: bool = False) -> pd.DataFrame:
    """Return one row per sizing."""
    return pd.DataFrame([one_sizing(world, seed, mixture=mixture) for seed in range(repeats)])


def passes(p: pd.Series) -> float:
    """Return the share of sizings within two standard errors of the risk."""
    return float((p <= RISK + 2 * np.sqrt(RISK * (1 - RISK) / SEASONS)).mean())


def calling_topology() -> Topology:
    """Return one driver, twelve services that it calls, one database that they read."""
    names = [f"caller-{k + 1}" for k in range(CALLERS)]
    return Topology.model_validate(
        {
            "drivers": {"orders": {}},
            "services": {
                name: {"calls": {"orders": float(calls)}}
                for name, calls in zip(names, CALLS, strict=True)
            },
            "databases": {
                "db": {
                    "class": "db.r6g.4xlarge",
                    "used_by": {n: {"reads": float(r)} for n, r in zip(names, READS, strict=True)},
                }
            },
        }
    )


def planned_reads(seed: int, *, sd: float, correlation: float, draws: int = DRAWS) -> np.ndarray:
    """Return each caller's reads in a busiest minute on the plan's paths, shape (12, draws)."""
    topology = calling_topology()
    own = sd * np.sqrt(1 - correlation)
    edges = {
        (caller, node): CallRatio(caller=caller, node=node, ratio=float(ratio), log_se=own)
        for node in topology.order
        for caller, ratio in topology.calls_of(node).items()
    }
    luck = np.random.default_rng([seed, 3]).standard_normal(draws)
    level = np.exp(sd * np.sqrt(correlation) * luck)
    day = np.array([np.datetime64("2026-11-30")])
    root = RootPaths(
        service="orders",
        quantity="rps",
        dates=day,
        event=("",),
        shape=100.0 * level[:, None, None],
        level=np.zeros(draws),
        drift=np.zeros((1, 1)),
        shock=np.zeros((1, 1)),
        to_growth=np.zeros(1),
        lift_x=np.ones(1),
        basis="fitted",
    )
    calm = np.zeros(1, dtype=bool)
    loads = Loads(
        dates=day,
        roots={"orders": root_minutes(root, np.ones((1, 1, 1)), keep_hours=False)},
        factor={"orders": np.ones((draws, 1))},
        weights=call_weights(topology, edges, is_event=calm, draws=draws, seed=seed),
    )
    callers = topology.databases["db"].used_by
    instant = loads.instant({name: caller.reads for name, caller in callers.items()})
    rows = [loads.at(name, instant)[:, 0] * caller.reads for name, caller in callers.items()]
    return np.stack(rows)


def planted_p98(*, sd: float, correlation: float) -> float:
    """Return P98 of the callers' sum by 1,000,000 planted draws."""
    rng = np.random.default_rng(11)
    common = rng.standard_normal(1_000_000)
    total = np.zeros(1_000_000)
    for calls, reads in zip(CALLS, READS, strict=True):
        own = rng.standard_normal(1_000_000)
        luck = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
        total += 100 * calls * reads * np.exp(sd * luck)
    return float(np.quantile(total, 0.98))


def sum_errors(seed: int, *, sd: float, correlation: float, truth: float) -> tuple[float, float]:
    """Return the errors of P98 of the sum and of the sum of P98s [ratio - 1]."""
    reads = planned_reads(seed, sd=sd, correlation=correlation)
    total = reads.sum(axis=0)[None]
    right = float(total[mixture_quantile(total, 0.98, ALONE)])
    wrong = float(at_level(reads[:, None, :], ALONE, 0.98).sum())
    return right / truth - 1, wrong / truth - 1


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=40)
    repeats = parser.parse_args().repeats
    print(
        "any of 60 limits exceeded in seasons that did not size them: mean ± 2 se [%], passes [%]"
    )
    print(
        "correlation            own           in-sample (said)      left-out (short)      ", end=""
    )
    print("sizes (units x own's)")
    for mixture in (False, True):
        for world in WORLDS:
            rows = sizings(world, repeats, mixture=mixture)
            mean, se = rows.mean(), rows.std() / np.sqrt(repeats)
            notes = {
                "in-sample": f" ({100 * mean['said']:.2f})",
                "left-out": f" ({100 * mean['short']:.0f} %)",
                "sizes": f" ({mean['units_x']:.3f})",
            }
            cells = [
                f"{100 * mean[name]:5.2f}±{200 * se[name]:4.2f} {100 * passes(rows[name]):3.0f}"
                f"{notes.get(name, '')}".ljust(22)
                for name in ("own", "in-sample", "left-out", "sizes")
            ]
            print(f"{world} {'mixture' if mixture else 'alone':8}", *cells, sep=" ")
    print("\ntwelve callers of one database: error of P98 on 1,000 draws [%]")
    print("sd    correlation   P98 of the sum: mean, largest   sum of P98s: mean")
    for sd, correlation in ((0.112, 0.8), (0.112, 0.4), (0.25, 0.8), (0.25, 0.4), (0.25, 0.0)):
        truth = planted_p98(sd=sd, correlation=correlation)
        errors = np.array(
            [sum_errors(s, sd=sd, correlation=correlation, truth=truth) for s in range(repeats)]
        )
        right, wrong = 100 * errors.T
        print(
            f"{sd:5.3f} {correlation:6.1f}        {right.mean():+5.2f} {np.abs(right).max():6.2f}"
            f"                   {wrong.mean():+6.2f}"
        )


if __name__ == "__main__":
    main()

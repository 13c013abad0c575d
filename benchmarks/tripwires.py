"""Tripwires on planted seasons: what two orders cost beside one, at which realised risk.

    python benchmarks/tripwires.py [--repeats 20]

Nine weeks before a season its need has log-sd .13; two weeks before, the run rate read, .07.
Sized on 1,000 seasons at 2 %, judged on 2,000 others that no sizing has seen, again and again. No
world is the model that sizes them (a piecewise linear centre with a spread in logs); each is days:

- walk: demand walks at random from a level that is known with an error, 63 days to the event; the
  run rate is the mean of 28 noisy days, with weekdays, up to 14 days before; the event adds luck.
- heavy: the same, steps and errors Student t with 4 df, the event's luck Gumbel.
- jumps: the same walk at half the step, with one jump in two seasons on a random day.
- growth: the walk under three scenarios of growth 1.10, 1.25 and 1.50 (0.25, 0.55, 0.20).
- normal: ln need = m + e, m seen as it is: two orders take exp((.13^2 - .07^2) / 2 + 2.05 * .07) /
  exp(2.05 * .13) = 0.889 of one.
- blind: the run rate is that of another season; nothing can be saved.

One order is the plan's own size (`capacity.union.union_sizes`), of about 1,000 nodes in steps of 3.
Printed per world, over all sizings: log-sd of the need before and after the look; nodes of one
order; mean nodes of two, as a ratio; the realised risk of both with Clopper & Pearson's 95 %
interval; the ratio at the *same* realised risk, one order being what as many of the judging seasons
exceed as exceed the two; and what the wires themselves expected of units and risk.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import beta

from capmodel.capacity.union import union_sizes
from capmodel.choice import Ask, Lattice, tripwires

DRAWS, SEASONS, RISK = 1000, 2000, 0.02
NODES, STEP = 1000.0, 3
ALONE = np.ones(1)
GROWTH_X, WEIGHTS = np.array([1.10, 1.25, 1.50]), np.array([0.25, 0.55, 0.20])
DAYS, LOOK, WINDOW = 63, 49, 28
STEP_SD, LEVEL_SD, EVENT_SD, NOISE_SD = 0.0128, 0.070, 0.030, 0.10
WEEK = np.array([1.05, 1.02, 1.0, 1.0, 1.08, 0.95, 0.90])
EULER = 0.5772156649015329


@dataclass(frozen=True)
class Seasons:
    """Need and run rate of planted seasons."""

    need: np.ndarray
    """Nodes, unrounded, shape (n,)."""
    run_rate: np.ndarray
    """Events a day, shape (n,)."""


def _student(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rng.standard_t(4, size) / np.sqrt(2))  # of variance 1


def _normal(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(size)


def _walk(rng: np.random.Generator, n: int, *, heavy: bool = False, jumps: bool = False) -> Seasons:
    """Return seasons whose demand walks from today's level to the event, day by day."""
    draw = _student if heavy else _normal
    step = draw(rng, (n, DAYS)) * STEP_SD * (0.5 if jumps else 1.0)
    if jumps:
        day = rng.integers(0, DAYS, n)
        size = np.where(rng.random(n) < 0.5, rng.normal(0, 0.125, n), 0.0)
        step[np.arange(n), day] += size
    level = LEVEL_SD * draw(rng, (n, 1)) + np.cumsum(step, axis=1)
    noise = NOISE_SD * rng.standard_normal((n, DAYS)) - NOISE_SD**2 / 2
    days = 1e6 * WEEK[np.arange(DAYS) % 7] * np.exp(level + noise)
    luck = (rng.gumbel(size=n) - EULER) * np.sqrt(6) / np.pi if heavy else rng.standard_normal(n)
    need = NODES * np.exp(level[:, -1] + EVENT_SD * luck)
    return Seasons(need=need, run_rate=days[:, LOOK - WINDOW : LOOK].mean(axis=1))


def _plain(rng: np.random.Generator, n: int) -> Seasons:
    seen = np.sqrt(0.13**2 - 0.07**2) * rng.standard_normal(n)
    return Seasons(NODES * np.exp(seen + 0.07 * rng.standard_normal(n)), 1e6 * np.exp(seen))


def _blind(rng: np.random.Generator, n: int) -> Seasons:
    return Seasons(_plain(rng, n).need, _plain(rng, n).run_rate)


WORLDS: dict[str, Callable[[np.random.Generator, int], Seasons]] = {
    "walk": _walk,
    "heavy": lambda rng, n: _walk(rng, n, heavy=True),
    "jumps": lambda rng, n: _walk(rng, n, jumps=True),
    "growth": _walk,
    "normal": _plain,
    "blind": _blind,
}


def one_sizing(world: str, seed: int) -> dict[str, float]:
    """Size on 1,000 seasons, judge on 2,000 others; one order and two on the same ones."""
    rng, later = (np.random.default_rng([seed, k]) for k in range(2))
    drawn, fresh = WORLDS[world](rng, DRAWS), WORLDS[world](later, SEASONS)
    growth, weights, grown = np.ones(1), ALONE, np.ones(SEASONS)
    if world == "growth":
        growth, weights = GROWTH_X / GROWTH_X[1], WEIGHTS
        grown = growth[later.choice(3, SEASONS, p=WEIGHTS)]
    needs, rates = drawn.need * growth[:, None], drawn.run_rate * growth[:, None]
    need, rate = fresh.need * grown, fresh.run_rate * grown
    sized = union_sizes(needs[None], weights, RISK)
    lattice = Lattice(step=STEP, least=STEP)
    one = float(lattice.whole(sized.sizes)[0])
    found = tripwires([Ask(needs, sized.alpha, is_risk=True)], rates, weights, lattice=lattice)
    assert found is not None  # noqa: S101  every world's run rate varies
    two = found.units(rate)
    return {
        "sd": float(np.log(need).std()),
        "sd_seen": float(found.law.sigma_log_seen),
        "one": one,
        "two": float(two.mean()),
        "short_one": float((need > one).sum()),
        "short_two": float((need > two).sum()),
        "same": float(np.sort(need)[-1 - int((need > two).sum())]),
        "wires": len(found.wires),
        "expected": found.expected_units / one,
        "p_short": found.p_short,
    }


def sizings(world: str, repeats: int) -> pd.DataFrame:
    """Return one row per sizing."""
    return pd.DataFrame([one_sizing(world, seed) for seed in range(repeats)])


def interval(short: float, seasons: int) -> tuple[float, float]:
    """Return Clopper & Pearson's 95 % interval of a share (Biometrika 26, 1934, 404-413)."""
    low = float(beta.ppf(0.025, short, seasons - short + 1)) if short else 0.0
    return low, float(beta.ppf(0.975, short + 1, seasons - short))


def _risk(short: float, seasons: int) -> str:
    low, high = interval(short, seasons)
    return f"{100 * short / seasons:5.2f} ({100 * low:.2f}-{100 * high:.2f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    seasons = repeats * SEASONS
    print(f"{repeats} sizings on {DRAWS:,} seasons, each judged on {SEASONS:,} others; risk 2 %")
    print(
        "world   log-sd  seen   one order  two / one  risk of one [%]     risk of two [%]     "
        "same risk  wires  expected: ratio, risk [%]"
    )
    for world in WORLDS:
        rows = sizings(world, repeats)
        mean, total = rows.mean(), rows.sum()
        print(
            f"{world:7} {mean['sd']:.3f}  {mean['sd_seen']:.3f}  {mean['one']:7.0f}   "
            f"{total['two'] / total['one']:8.3f}   {_risk(total['short_one'], seasons):19} "
            f"{_risk(total['short_two'], seasons):19} {total['two'] / total['same']:9.3f} "
            f"{mean['wires']:6.1f}  {mean['expected']:10.3f} {100 * mean['p_short']:8.2f}"
        )


if __name__ == "__main__":
    main()

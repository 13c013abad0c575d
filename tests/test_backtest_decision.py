"""Past capacity decisions: sheets by hand, planted seasons, real ones, and what is refused."""

from __future__ import annotations

import datetime as dt
import importlib.util
import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import binom

from capmodel.backtest import DecisionBacktest, Origin, SeasonDecision, decide
from capmodel.errors import InputError
from capmodel.history import History

SEASON = Origin(
    cut=dt.date(2025, 1, 29), start=dt.date(2025, 4, 1), end=dt.date(2025, 5, 1)
)  # thirty days, 720 hours


def hourly(*, peak: float | None = None, gap: bool = False) -> History:
    """Return two years of one service around 100/s with an hour of `peak` in the last April."""
    hours = np.arange(np.datetime64("2024-01-01T00"), np.datetime64("2026-01-01T00"))
    rng = np.random.default_rng(3)
    day = (hours - hours.astype("datetime64[D]")).astype(int)
    values = 100 * (0.5 + 0.5 * np.exp(-(((day - 20) / 4.0) ** 2)))
    values = values * np.exp(rng.normal(0, 0.03, len(hours)))
    if peak is not None:
        values[hours == np.datetime64("2025-04-10T20")] = peak
    if gap:
        values[(hours >= np.datetime64("2025-04-05")) & (hours < np.datetime64("2025-04-15"))] = (
            np.nan
        )
    return History(
        services=("shop",),
        start=hours[0].astype("datetime64[s]"),
        step_min=60,
        values={("rps", ""): values[None]},
        tags={},
        business_tz="UTC",
    )


@pytest.fixture(scope="module")
def quiet() -> DecisionBacktest:
    return decide(hourly(), seasons=[SEASON], draws=200, usd_per_unit_hour=Decimal("0.05"))


def test_bills_are_units_times_hours_times_price(quiet):
    (one,) = quiet.decisions
    for units, usd in (
        (one.capacity, one.usd),
        (one.actual_peak, one.foresight_usd),
        (one.rule_capacity, one.rule_usd),
    ):
        assert usd == (Decimal(repr(units)) * 720 * Decimal("0.05")).quantize(Decimal("0.01"))
    frame = quiet.to_frame().iloc[0]
    assert frame["over_foresight_usd"] == one.usd - one.foresight_usd
    assert quiet.over_foresight_usd == one.usd - one.foresight_usd


def test_the_rule_takes_the_season_364_days_earlier(quiet):
    history = hourly()
    last = history.between("2024-04-02", "2024-05-02").array("rps").max()
    assert quiet.decisions[0].rule_capacity == pytest.approx(1.3 * last)


def test_one_hour_above_is_one_season_and_sixty_minutes(quiet):
    found = decide(hourly(peak=500.0), seasons=[SEASON], draws=200)
    (one,) = found.decisions
    # The hour came after the cut: what was ordered is the same.
    assert one.capacity == quiet.decisions[0].capacity
    assert one.exceeded
    assert one.rule_exceeded
    assert one.short_min == one.rule_short_min == 60.0
    assert one.actual_peak == 500.0
    assert found.exceeded == 1


def test_the_interval_is_that_of_clopper_and_pearson():
    """No exceedance in 12 seasons: 1 - 0.025^(1/12) = 26.5 % (rule of the zero numerator)."""
    one = SeasonDecision(
        "a", dt.date(2025, 1, 1), 10.0, 9.0, 0.0, 8.0, 60.0, Decimal(10), Decimal(9), Decimal(8)
    )
    found = DecisionBacktest(risk=0.02, rule_x=1.3, decisions=(one,) * 12)
    share, low, high = found.exceedance
    assert (share, low) == (0.0, 0.0)
    assert high == pytest.approx(1 - 0.025 ** (1 / 12))
    assert found.rule_exceedance[0] == 1.0
    assert "0.0% of 12 seasons exceeded (0.0% to 26.5%, accepted 2.0%)" in found.headline()


def test_services_that_share_a_pool_are_provided_for_together(quiet):
    """Two services with the same demand need twice as much as one, not more and not less."""
    one = hourly()
    values = one.array("rps")
    twice = History(
        services=("a", "b"), start=one.start, step_min=60,
        values={("rps", ""): np.vstack([values, values])}, tags={}, business_tz="UTC",
    )  # fmt: skip
    (pair,) = decide(twice, seasons=[SEASON], draws=200).decisions
    assert pair.actual_peak == pytest.approx(2 * quiet.decisions[0].actual_peak)
    assert pair.capacity < 2 * 1.1 * quiet.decisions[0].capacity


@pytest.mark.parametrize(
    ("history", "kwargs", "said"),
    [
        ({}, {"risk": 2.0}, "Write 0.02 for 2 %"),
        ({}, {"seasons": []}, "one or more past seasons"),
        ({"gap": True}, {}, "33% of 2025-04-01 to 2025-05-01 not measured"),
    ],
)
def test_bad_questions_are_refused(history, kwargs, said):
    with pytest.raises(InputError, match=said):
        decide(hourly(**history), **({"seasons": [SEASON], "draws": 200} | kwargs))


def benchmark(repo: Path) -> ModuleType:
    """Return the benchmark's module: it holds the planted worlds and the real seasons."""
    folder = str(repo / "benchmarks")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location("decisions", repo / "benchmarks/decisions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize(("risk", "least", "most"), [(0.02, 0.0, 0.03), (0.20, 0.10, 0.30)])
def test_planted_seasons_exceed_what_is_ordered_about_as_often_as_accepted(repo, risk, least, most):
    """A hundred shops' seasons; `benchmarks/decisions.py` prints 1,000 at 2 %.

    A hundred seasons say little about 2 % from below: a risk of 20 % shows that what is ordered is
    no mere maximum. Hits outside 0.5 % of either tail of the allowed shares fail.
    """
    module = benchmark(repo)
    n = 100
    hits = sum(module.planted(s, 0.10, draws=400, risk=risk).exceeded for s in range(n))
    print(f"{hits} of {n} seasons exceeded at {risk:.0%}")  # noqa: T201  figures for the log
    assert binom.ppf(0.005, n, least) <= hits <= binom.ppf(0.995, n, most)


@pytest.mark.real
def test_real_seasons_are_judged_with_their_interval(repo, data_dir):
    assert data_dir.is_dir()
    found = dict(benchmark(repo).real())
    comed, bikes = found["comed"], found["bikes"]
    print(comed.headline(), bikes.headline(), sep="\n")  # noqa: T201  figures for the log
    assert len(comed.decisions) == 12
    _, low, high = comed.exceedance
    assert low <= comed.risk <= high
    assert comed.exceeded == 0
    # Bikes grew by 65 %: last peak x 1.3 was short, what was ordered was not.
    assert bikes.decisions[0].rule_exceeded
    assert not bikes.decisions[0].exceeded

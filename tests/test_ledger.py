"""The ledger: a file that only grows, and what past seasons ask of the next one's intervals."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capmodel.accuracy import binomial_interval
from capmodel.demand.given import GivenDemand, declared_roots
from capmodel.demand.widening import widened
from capmodel.errors import InputError
from capmodel.ledger import Entry, Ledger, widening_of
from capmodel.plan import Study

Z90 = 1.2815515655446004

ENTRY = Entry(
    season="2025", metric="season_peak", service="checkouts", unit="per_min", planned=6000.0,
    forecast=5986.0, p10=5030.0, p90=7319.0, actual=6420.0, ape=0.0654, bias=-0.0654, in_p80=True,
    pit=0.67, score=0.446, plan_hash="ab" * 32, made_on=dt.date(2025, 12, 18),
)  # fmt: skip


def test_what_is_appended_is_what_is_read(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "ledger.csv"
    Ledger.append_to(file, [ENTRY])
    Ledger.append_to(file, [replace(ENTRY, season="2026", in_p80=False)])
    ledger = Ledger.read(file)
    assert ledger.entries == (ENTRY, replace(ENTRY, season="2026", in_p80=False))
    assert ledger.source == "ledger.csv"
    assert ledger.to_frame()["in_p80"].tolist() == [True, False]
    assert file.read_text(encoding="utf-8") == ledger.to_csv()
    assert ledger.digest != Ledger().digest


def test_a_season_may_be_judged_with_another_plan_and_the_last_counts() -> None:
    again = replace(ENTRY, plan_hash="cd" * 32, score=2.5, in_p80=False)
    ledger = Ledger((ENTRY,)).appended([again])
    asked = ledger.widening("checkouts")
    assert (asked.seasons, asked.covered) == (1, 0.0)
    # One season: (4 + 2.5^2) / 5, mixed with the prior.
    assert asked.scale_x == pytest.approx(math.sqrt(10.25 / 5), rel=1e-12)
    assert ledger.widening("impressions").scale_x == 1.0


def test_a_failed_append_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "ledger.csv"
    Ledger.append_to(file, [ENTRY])
    before = file.read_bytes()
    with pytest.raises(InputError) as refused:
        Ledger.append_to(file, [replace(ENTRY, season="2026"), ENTRY])
    (problem,) = refused.value.problems
    assert problem.where == "ledger, season 2025"
    assert "checkouts of plan abababababab a second time" in problem.got
    assert "never replaced" in problem.expected
    assert problem.do
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.csv"]


def test_every_bad_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ledger.csv"
    good = Ledger((ENTRY,)).to_csv()
    header, line = good.splitlines()
    bad = [line.replace("yes", "maybe"), line.replace("6420", "many"), line.replace("0.446", "nan")]
    file.write_text("\n".join([header, line, *bad, ""]), encoding="utf-8")
    with pytest.raises(InputError) as refused:
        Ledger.read(file)
    assert [p.where for p in refused.value.problems] == [f"ledger.csv:{n}" for n in (3, 4, 5)]
    assert "in_p80 'maybe'" in refused.value.problems[0].got
    file.write_text(good + line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="more than once"):
        Ledger.read(file)
    file.write_text("season,service\n2025,checkouts\n", encoding="utf-8")
    with pytest.raises(InputError, match="columns season, service"):
        Ledger.read(file)
    with pytest.raises(InputError, match="Name the ledger's file"):
        Ledger.read(tmp_path / "none.csv")


def test_a_study_names_a_ledger_that_exists(tmp_path: Path) -> None:
    import stories

    path = stories.reference_declared(tmp_path)
    study = Study.read(path, overrides={"ledger": "none.csv"})
    with pytest.raises(InputError, match=r"none\.csv"):
        study.plan()


@given(scores=st.lists(st.floats(-6, 6), min_size=1, max_size=12))
def test_intervals_never_narrow_and_the_prior_never_hides_what_seasons_show(scores) -> None:
    hits = sum(abs(z) < Z90 for z in scores)
    asked = widening_of("checkouts", scores, hits=hits)
    square = sum(z * z for z in scores) / len(scores)
    assert asked.scale_x >= 1
    assert asked.df in {len(scores), 4 + len(scores)}
    if len(scores) >= 3 and square > 1:
        assert asked.scale_x >= math.sqrt(square) * (1 - 1e-12)
    if square <= 1 and hits >= 0.8 * len(scores):
        assert not asked.widens


def planted(true_sd: float, *, seasons: int, histories: int) -> tuple[np.ndarray, np.ndarray]:
    """Return whether the next season's P90 held, with a ledger and without, by history.

    Nature: the season's peak departs from its plan by a normal logarithm of `true_sd`; every plan
    states 0.10.
    """
    rng = np.random.default_rng(0)
    error = true_sd * rng.standard_normal((histories, seasons + 1))
    held, alone = np.zeros(histories, dtype=bool), np.zeros(histories, dtype=bool)
    (path,) = declared_roots({"checkouts": (1000.0, 0.10)}, "2026-11-30", "2026-12-01", draws=400)
    for i, (*past, now) in enumerate(error / 0.10):
        asked = widening_of("checkouts", past, hits=sum(abs(z) < Z90 for z in past))
        wide = widened(path, scale_x=asked.scale_x, df=asked.df, seed=i) if asked.widens else path
        actual = 1000 * math.exp(0.10 * now)
        held[i] = actual <= np.quantile(wide.demand()[:, 0, 0], 0.9)
        alone[i] = actual <= np.quantile(path.demand()[:, 0, 0], 0.9)
    return held, alone


@pytest.mark.parametrize("seasons", [4, 6])
@pytest.mark.slow
def test_wild_seasons_bring_the_p90_back_to_nominal(seasons: int) -> None:
    held, alone = planted(0.20, seasons=seasons, histories=1000)
    low, high = (float(x) for x in binomial_interval(held.sum(), len(held)))
    print(f"{seasons} seasons: P90 held {held.mean():.1%}, without {alone.mean():.1%}")  # noqa: T201  figures for the log
    assert low <= 0.90 <= high, (held.mean(), low, high)
    # Without a ledger a P90 of 0.10 is the P74 of 0.20: Phi(1.2816 / 2) = 0.739.
    low, high = (float(x) for x in binomial_interval(alone.sum(), len(alone)))
    assert low <= 0.739 <= high < 0.90


def test_calm_seasons_change_little() -> None:
    held, alone = planted(0.10, seasons=5, histories=1000)
    low, high = (float(x) for x in binomial_interval(alone.sum(), len(alone)))
    assert low <= 0.90 <= high
    assert held.mean() - alone.mean() <= 0.04
    rng = np.random.default_rng(1)
    scales = [
        widening_of("x", past, hits=sum(abs(z) < Z90 for z in past)).scale_x
        for past in rng.standard_normal((2000, 5)).tolist()
    ]
    assert np.median(scales) <= 1.02
    assert np.mean(scales) <= 1.15


def test_medians_stay_and_one_path_is_multiplied_as_a_whole() -> None:
    (path,) = declared_roots({"checkouts": (1000.0, 0.10)}, "2026-11-30", "2026-12-04", draws=1001)
    wide = widened(path, scale_x=2.0, df=8.0, seed=3)
    assert np.median(wide.level) == pytest.approx(0.0, abs=1e-12)
    assert wide.shape is path.shape
    ratio = wide.level[path.level != 0] / path.level[path.level != 0]
    # Mean square of a t scale: df / (df - 2) = 8 / 6, times 2^2.
    assert np.mean(ratio**2) == pytest.approx(4 * 8 / 6, rel=0.02)
    assert np.array_equal(widened(path, scale_x=2.0, df=8.0, seed=3).level, wide.level)


def test_a_given_forecast_is_stretched_about_its_medians() -> None:
    import pandas as pd

    hours = pd.date_range("2026-11-30", periods=24, freq="h", tz="UTC")
    frame = pd.DataFrame({"service": "checkouts", "time": hours, "p50": 1000.0})
    frame["p10"], frame["p90"] = 1000 * math.exp(-0.1 * Z90), 1000 * math.exp(0.1 * Z90)
    given_demand = GivenDemand.from_frame(frame, business_tz="UTC")
    (path,) = given_demand.roots(["checkouts"], "2026-11-30", "2026-12-01", draws=1001)
    wide = widened(path, scale_x=2.0, df=8.0, seed=3)
    before, after = np.log(path.shape[:, 0, 0] / 1000), np.log(wide.shape[:, 0, 0] / 1000)
    assert np.median(after) == pytest.approx(0.0, abs=1e-9)
    assert np.quantile(after, 0.9) > 1.8 * np.quantile(before, 0.9)

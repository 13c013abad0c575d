"""What services of a group know together: shrinkage, shared luck, lending."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from demand_worlds import TZ, calendar, history_of, planted
from hypothesis import given
from hypothesis import strategies as st

from capmodel.demand import Batched
from capmodel.demand.cohort import Cohort
from capmodel.demand.groups import _between, _Members, _shrunk, shared_luck
from capmodel.demand.uncertainty import EventSpread, Misses
from capmodel.errors import InputError
from capmodel.events import Events

TWO_NOVEMBERS = (4.2, 5.4)


def spread_of(deviations: list[np.ndarray]) -> EventSpread:
    """Return a spread whose events deviated so, each (occurrences, services)."""
    s, e = deviations[0].shape[1], len(deviations)
    n = np.array([[len(d) for d in deviations]] * s)
    zero = np.zeros((s, e))
    return EventSpread(
        n=n, variance=zero, deviation=tuple(deviations), coefficient_sd=zero,
        leverage=zero, day_variance=zero[:, 0], pooled=zero > 0, censored=zero > 0,
    )  # fmt: skip


def two_novembers(lifts: tuple[float, float], seed: int, **options: float) -> pd.Series:
    """Return two and a half years whose two Black Fridays had these lifts, smooth elsewhere."""
    years: list[pd.Series] = []
    for lift, (start, end) in zip(
        lifts, (("2024-01-01", "2025-01-01"), ("2025-01-01", "2026-07-01")), strict=True
    ):
        years.append(
            planted(start, end, lifts={"black_friday": (1, lift)}, noise=0.01, seed=seed, **options)
        )
    whole: pd.Series = pd.concat(years)
    return whole


def black_friday() -> Events:
    """Return a calendar of Black Fridays alone."""
    return Events(tuple(day for day in calendar().days if day.name == "black_friday"))


def test_a2_two_novembers_are_not_a_sample():
    fit = Batched().fit(history_of({"a": two_novembers(TWO_NOVEMBERS, 1)}), events=black_friday())
    row = fit.lifts().set_index("event").loc["black_friday"]
    assert row["lift_x"] == pytest.approx(np.sqrt(4.2 * 5.4), abs=0.05)
    assert row["n_events"] == 2
    assert row["basis"] == "fitted"
    assert row["left_out_error"] == pytest.approx(5.4 / 4.2 - 1, abs=0.02)  # each from the other
    assert 2.4 <= row["lift_p10"] <= 3.6
    assert 6.3 <= row["lift_p90"] <= 9.4


def test_a2_siblings_narrow_the_interval_and_are_named():
    siblings = {
        f"s{i}": two_novembers((4.6 * x, 4.9 * x), i, level=100.0 * i)
        for i, x in ((2, 1.0), (3, 0.97), (4, 1.04), (5, 1.01))
    }
    history = history_of({"a": two_novembers(TWO_NOVEMBERS, 1), **siblings})
    alone = Batched().fit(history_of({"a": two_novembers(TWO_NOVEMBERS, 1)}), events=black_friday())
    pooled = Batched().fit(history, events=black_friday())
    one = alone.lifts().set_index("service").loc["a"]
    many = pooled.lifts().set_index("service").loc["a"]
    width = [np.log(row["lift_p90"] / row["lift_p10"]) for row in (one, many)]
    assert width[1] < 0.9 * width[0]
    assert many["n_events"] == 2
    assert many["donors"] == "s2, s3, s4, s5"


def test_a2_no_november_needs_an_assumed_lift_and_says_so_downstream():
    quiet = planted("2026-01-01", "2026-07-01", noise=0.01, lifts={})
    fit = Batched().fit(history_of({"a": quiet}), events=black_friday())
    horizon = ("2026-11-20", "2026-12-01")
    with pytest.raises(InputError, match="assumed lift"):
        fit.forecast(*horizon)
    (root,) = fit.roots(["a"], *horizon, lifts={"black_friday": {"a": 3.0}}, draws=50)
    assert root.basis == "assumed"
    assert root.lift_x[7] == 3.0


def members_of(effects: np.ndarray, error: float) -> _Members:
    """Return services with these effects, seen once: their error is `error` times the prior's."""
    k = len(effects)
    ones = np.ones(k, dtype=int)
    return _Members(
        part=0 * ones, column=np.arange(k), event=0 * ones, coefficients=effects[:, None],
        error=np.full(k, error), leverage=np.full(k, error / 0.1**2), day_variance=np.zeros(k),
        variance=np.full(k, np.nan), spare=0 * ones, group=np.full(k, ""),
    )  # fmt: skip


def test_group_mean_of_dersimonian_and_laird():
    """Four effects of equal error: tau^2 = variance - error, by hand."""
    effect = np.array([0.8, 1.0, 1.2, 1.4])
    between = effect.var(ddof=1) - 0.02
    assert _between(effect, np.full(4, 0.02)) == pytest.approx(between)
    shrunk, left = _shrunk(members_of(effect, 0.02), 0.0)
    kin = (1 - (np.abs(effect - 1.1) / np.sqrt(0.02) / 3) ** 2) ** 2
    precision = kin / (between + 0.02)
    share = 1 - 0.02 * precision
    np.testing.assert_allclose(shrunk[:, 0], share * effect + (1 - share) * 1.1)
    expected = share * 0.02 + (1 - share) ** 2 / precision.sum()
    np.testing.assert_allclose(left, np.minimum(expected, 0.02))


def test_what_struck_all_alike_is_not_pooled_away():
    _, left = _shrunk(members_of(np.array([1.0, 1.0, 1.1]), 0.02), 1.0)
    np.testing.assert_allclose(left, 0.02)


def test_steady_years_are_believed_against_the_crowd():
    """One service lifts by 3 where eleven lift by 5, each alike in both years: it stays at 3."""
    effect = np.log(np.r_[3.0, np.full(11, 5.0)])
    steady = replace(
        members_of(effect, 0.005), variance=np.full(12, 1e-4), spare=np.ones(12, dtype=int)
    )
    shrunk, _ = _shrunk(steady, 0.3)
    assert np.exp(shrunk[0, 0]) == pytest.approx(3, rel=0.03)


@given(st.lists(st.floats(-2, 2), min_size=3, max_size=8), st.floats(1e-3, 1))
def test_shrinking_keeps_the_range_and_never_adds_error(effects, error):
    own = np.sort(np.array(effects))
    shrunk, left = _shrunk(members_of(own, error), 0.3)
    assert shrunk.min() >= own.min() - 1e-9
    assert shrunk.max() <= own.max() + 1e-9
    assert (left <= error * (1 + 1e-9)).all()


def test_shared_luck_is_found():
    rng = np.random.default_rng(2)
    events, services = 25, 40
    common = [np.repeat(rng.normal(0, 0.1, (2, 1)), services, axis=1) for _ in range(events)]
    own = [rng.normal(0, 0.1, (2, services)) for _ in range(events)]
    assert shared_luck([spread_of(common)], []).shock == pytest.approx(1)
    assert shared_luck([spread_of(own)], []).shock < 0.15
    half = [(a + b) / np.sqrt(2) for a, b in zip(common, own, strict=True)]
    assert shared_luck([spread_of(half)], []).shock == pytest.approx(0.5, abs=0.12)


def test_luck_is_shared_until_a_history_shows_otherwise():
    few = [np.array([[0.1, -0.1], [-0.1, 0.1]])]
    assert shared_luck([spread_of(few)], []).shock == 1
    rng = np.random.default_rng(3)
    misses = Misses(
        level=np.zeros((3, 30)), drift=rng.normal(0, 0.1, (3, 3, 30)), noise_out=np.ones(30),
        noise_in=np.ones(30), seasons=1.6,
    )  # fmt: skip
    # One and a half distinct backtests against a prior of four seasons.
    assert 0.65 < shared_luck([], [misses]).drift < 0.85


def test_paths_share_luck_as_estimated():
    """The sum of services is as uncertain as their common luck, not as the root of their number."""
    history = history_of(
        {f"s{i}": planted("2024-03-01", "2026-03-01", seed=i, noise=0.02) for i in range(4)}
    )
    fit = Batched().fit(history, events=calendar())
    roots = fit.roots(fit.services, "2026-11-26", "2026-12-02", draws=2000, seed=5)
    found = np.corrcoef([root.shock[:, 1] for root in roots])
    assert found[np.triu_indices(4, 1)].mean() == pytest.approx(fit.luck.shock, abs=0.1)
    drift = np.corrcoef([root.drift[:, -1] for root in roots])
    assert drift[np.triu_indices(4, 1)].mean() == pytest.approx(fit.luck.drift, abs=0.15)


def test_the_young_borrow_from_their_group():
    """Storefronts saw five times, back offices nothing: a young storefront knows whose it is."""
    shops = {
        f"shop{i}": planted("2024-06-01", "2026-06-01", seed=i, lifts={"black_friday": (1, 5.0)})
        for i in range(3)
    }
    books = {
        f"books{i}": planted("2024-06-01", "2026-06-01", seed=9 + i, lifts={}) for i in range(3)
    }
    young = {"young": planted("2026-01-10", "2026-06-01", seed=20, lifts={})}
    history = history_of({**shops, **books, **young})
    groups = dict.fromkeys((*shops, "young"), "storefront") | dict.fromkeys(books, "back")
    lifts = {}
    for name, chosen in (("fleet", {}), ("group", groups)):
        fit = Batched(groups=chosen).fit(history, events=black_friday())
        row = fit.lifts().set_index("service").loc["young"]
        lifts[name] = row["lift_x"]
        assert row["basis"] == "borrowed"
        assert str(row["donors"]).count("shop") == 3
    assert lifts["group"] == pytest.approx(5, rel=0.05)
    assert lifts["fleet"] == pytest.approx(np.sqrt(5), rel=0.1)


def test_a_holiday_seen_once_leans_on_the_others_of_its_kind():
    """One odd holiday in one year of noise is not next year's peak."""
    rng = np.random.default_rng(7)
    events = Events.country("US", 2024, 2026)
    series = planted("2025-06-01", "2026-07-01", noise=0.02, lifts={})
    local = pd.DatetimeIndex(series.index).tz_convert(TZ).strftime("%Y-%m-%d")
    for day in events.days:
        series[local == str(day.date)] *= np.exp(rng.normal(0, 0.02))
    series[local == "2026-05-25"] *= 1.15  # Memorial Day, once
    fit = Batched().fit(history_of({"a": series}), events=events)
    effect = fit.effect("a", "memorial_day")
    assert effect is not None
    assert effect.n_events == 1
    cohort, _ = fit.locate("a")
    assert isinstance(cohort, Cohort)
    total = effect.hours() + cohort.public_hours()[:, 0]
    assert 0.02 < total.mean() < np.log(1.15) - 0.03

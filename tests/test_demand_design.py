"""The structured design is the dense one, column by column."""

from __future__ import annotations

import numpy as np
import pytest

from capmodel.demand.design import (
    Design,
    Rows,
    Window,
    event_names_on,
    gram,
    predict,
    project,
    public_weekday,
)
from capmodel.demand.event_columns import event_hour_terms
from capmodel.demand.penalties import CONFIGURATIONS, PENALTIES, PINNED
from capmodel.events import Events

DAYS = np.arange(np.datetime64("2023-10-02"), np.datetime64("2025-01-15"))
EVENTS = Events.us_retail(2022, 2026).add("launch", "2024-05-03", days=2)
WINDOWS = (
    EVENTS.add("flash_sale", "2023-11-24T18:00", end="2023-11-24T22:00")  # on Black Friday
    .add("flash_sale", "2024-06-07T10:00", end="2024-06-07T13:00")  # on an ordinary Friday
    .add("flash_sale", "2025-11-21T12:00", end="2025-11-21T18:00")  # after the window
    .add("night_sale", "2024-03-01T22:00", end="2024-03-02T02:00")
    .add("launch", "2025-11-20T09:00", end="2025-11-20T15:00")  # once whole days
    .add("noon", "2024-06-07T11:00", end="2024-06-07T12:00")
)


@pytest.fixture(scope="module")
def window():
    return Window.over(DAYS, EVENTS)


@pytest.fixture(scope="module")
def windowed():
    return Window.over(DAYS, WINDOWS)


def dense(design: Design, rows: Rows) -> np.ndarray:
    """The T x p matrix that the library never forms, straight from the definition of a column."""
    product = rows.factors[:, None, design.day_of] * design.hours[None, :, design.hour_of]
    x = np.zeros((24 * len(rows.factors), design.p))
    for column, values in zip(design.column_of, product.reshape(len(x), -1).T, strict=True):
        x[:, column] += values
    return x


@pytest.mark.slow
@pytest.mark.parametrize("which", ["window", "windowed"])
def test_every_pass_equals_the_dense_design(which, request):
    window = request.getfixturevalue(which)
    x = dense(window.design, window.rows)
    rng = np.random.default_rng(0)
    z = rng.standard_normal((len(DAYS), 24, 3))
    beta = rng.standard_normal((window.design.p, 3))
    flat = z.reshape(-1, 3)
    np.testing.assert_allclose(project(window.design, window.rows, z), x.T @ flat, atol=1e-8)
    np.testing.assert_allclose(
        predict(window.design, window.rows, beta).reshape(-1, 3), x @ beta, atol=1e-8
    )
    np.testing.assert_allclose(gram(window.design, window.rows), x.T @ x, atol=1e-8)


@pytest.mark.parametrize("which", ["window", "windowed"])
def test_passes_over_a_part_and_over_future_days_equal_the_dense_design(which, request):
    window = request.getfixturevalue(which)
    rng = np.random.default_rng(1)
    beta = rng.standard_normal((window.design.p, 2))
    days = np.array([3, 60, 61, 200, 400])
    future = window.design.rows(np.arange(np.datetime64("2025-11-20"), np.datetime64("2025-12-05")))
    for rows in (window.part(days), future):
        x = dense(window.design, rows)
        np.testing.assert_allclose(
            predict(window.design, rows, beta).reshape(-1, 2), x @ beta, atol=1e-8
        )
        z = rng.standard_normal((len(rows.factors), 24, 2))
        np.testing.assert_allclose(
            project(window.design, rows, z), x.T @ z.reshape(-1, 2), atol=1e-8
        )


def test_columns_mean_what_their_block_says(window):
    design = window.design
    table = window.rows.factors
    black_friday = int((np.datetime64("2023-11-24") - DAYS[0]).astype(int))
    column = design.block("event").day.start + design.event_names.index("black_friday")
    assert set(np.flatnonzero(table[:, column])) == {black_friday, black_friday + 371}
    weekday = table[:, design.block("hour_of_week").day]
    assert (weekday.argmax(axis=1) == np.arange(len(DAYS)) % 7).all()  # the window starts Monday
    ramps = table[:, design.block("ramp").day]
    assert ramps.min() == 0
    assert (np.diff(ramps, axis=0) >= 0).all()
    beyond = design.rows(DAYS[-1] + np.array([50, 500])).factors[:, design.block("ramp").day]
    assert (beyond == 1).all()  # a local level is carried forward flat


def test_an_event_outside_the_window_has_no_column(window):
    assert "launch" in window.design.event_names
    earlier = Design.over(DAYS[:100], EVENTS)
    assert "launch" not in earlier.event_names
    assert "cyber_monday" in earlier.event_names


def test_hour_shapes_are_orthogonal_and_start_with_the_mean():
    shapes = event_hour_terms()
    products = shapes.T @ shapes
    np.testing.assert_allclose(products, np.diag(np.diag(products)), atol=1e-9)
    assert (shapes[:, 0] == 1).all()


def test_an_event_may_end_with_a_step_at_midnight():
    """Full harmonics would have to meet at midnight; an evening effect does not."""
    evening = np.exp(-0.5 * ((np.arange(24) - 20.5) / 4) ** 2)
    shapes = event_hour_terms()
    fitted = shapes @ np.linalg.lstsq(shapes, evening, rcond=None)[0]
    assert abs(fitted - evening).max() < 0.025


def test_short_windows_have_no_bends_but_every_block():
    design = Design.over(DAYS[:15], Events.none())
    assert len(design.hinges) == 0
    assert len(design.event_names) == 0
    assert {block.name for block in design.blocks} == set(PENALTIES)
    rows = design.rows(DAYS[:15])
    z = np.random.default_rng(2).standard_normal((15, 24, 1))
    x = dense(design, rows)
    np.testing.assert_allclose(project(design, rows, z), x.T @ z.reshape(-1, 1), atol=1e-8)


def test_penalties_follow_the_table(window):
    design = window.design
    local = design.penalties(CONFIGURATIONS["local_level"])
    assert (local[design.mask("linear", "hinge")] == PINNED).all()
    assert (local[design.mask("ramp")] == 300).all()
    events = local[design.block("event").columns].reshape(len(design.event_names), -1)
    assert (events[:, 0] == PENALTIES["event"]).all()
    assert PENALTIES["event"] <= 1
    assert (np.diff(events, axis=1) >= 0).all()


def column_hours(window: Window, rows: Rows, event: str, term: int, date: str) -> np.ndarray:
    """Return one column of an event over the hours of one day."""
    design = window.design
    column = design.of_event(design.event_names.index(event)).start + term
    x = dense(design, rows)[:, column].reshape(-1, 24)
    return np.asarray(x[int((np.datetime64(date) - DAYS[0]).astype(int))])


@pytest.mark.slow
def test_a_windowed_event_is_zero_outside_its_hours(windowed):
    for date, start, end in (("2023-11-24", 18, 22), ("2024-06-07", 10, 13)):
        mean = column_hours(windowed, windowed.rows, "flash_sale", 0, date)
        assert np.flatnonzero(mean).tolist() == list(range(start, end))
        assert set(mean) == {0.0, 1.0}
        slope = column_hours(windowed, windowed.rows, "flash_sale", 1, date)
        passed = (np.arange(end - start) + 0.5) / (end - start)  # the shape stretches
        np.testing.assert_allclose(slope[start:end], np.cos(np.pi * passed))
        assert not slope[:start].any()
        assert not slope[end:].any()
    # Three hours have no fourth term.
    assert column_hours(windowed, windowed.rows, "flash_sale", 3, "2023-11-24").any()
    assert not column_hours(windowed, windowed.rows, "flash_sale", 3, "2024-06-07").any()


def test_a_day_may_carry_an_event_and_a_window(windowed):
    assert column_hours(windowed, windowed.rows, "black_friday", 0, "2023-11-24").all()
    assert (
        windowed.names[int((np.datetime64("2023-11-24") - DAYS[0]).astype(int))] == "black_friday"
    )
    events = windowed.design.event_columns
    assert events.widths[events.names.index("flash_sale")] == 4
    assert events.hours[events.names.index("flash_sale")] == 3.5
    assert events.widths[events.names.index("noon")] == 1
    assert events.widths[events.names.index("night_sale_day_2")] == 2


def test_a_future_window_takes_the_shape_to_its_own_hours(windowed):
    design = windowed.design
    beta = np.zeros((design.p, 1))
    beta[design.of_event(design.event_names.index("flash_sale")), 0] = [0.7, 0.2, 0.0, 0.0]
    dates = np.arange(np.datetime64("2025-11-20"), np.datetime64("2025-11-23"))
    effect = predict(design, design.rows(dates), beta)[:, :, 0]
    assert not effect[[0, 2]].any()
    passed = (np.arange(6) + 0.5) / 6
    np.testing.assert_allclose(effect[1, 12:18], 0.7 + 0.2 * np.cos(np.pi * passed))
    assert effect[1, 12:18].mean() == pytest.approx(0.7)  # the mean effect, whatever the length
    launch = np.zeros((design.p, 1))
    launch[design.of_event(design.event_names.index("launch")).start] = 1.0
    hours = predict(design, design.rows(dates), launch)[0, :, 0]
    assert np.flatnonzero(hours).tolist() == list(range(9, 15))


def test_hours_around_a_window_are_ordinary_though_the_day_is_not(windowed):
    day = int((np.datetime64("2024-03-02") - DAYS[0]).astype(int))
    assert not windowed.ordinary[day]
    assert np.flatnonzero(~windowed.ordinary_hours[day]).tolist() == [0, 1]
    both = int((np.datetime64("2023-11-24") - DAYS[0]).astype(int))
    assert not windowed.ordinary_hours[both].any()


def test_a_window_loses_as_little_to_its_penalty_as_a_day(windowed):
    """One occurrence of L hours: the share lambda / (L + lambda) of its log effect is lost."""
    design = windowed.design
    diagonal = design.penalties(CONFIGURATIONS["local_level"])
    for event, hours in (("noon", 1), ("night_sale", 2), ("presidents_day", 24)):
        penalty = diagonal[design.of_event(design.event_names.index(event)).start]
        assert penalty / hours == pytest.approx(PENALTIES["event"] / 24)


def test_a_day_is_called_by_its_primary_event():
    days = np.array(["2027-12-24", "2027-12-23"], dtype="datetime64[D]")
    events = Events.us_retail(2027, 2027)
    assert len(events.on("2027-12-24")) == 2
    assert event_names_on(events, days) == ("christmas_eve", "")


def test_public_holidays_count_on_weekdays_only():
    days = np.array(["2026-07-04", "2026-11-26", "2026-11-27"], dtype="datetime64[D]")
    assert public_weekday(Events.us_retail(2026, 2026), days).tolist() == [False, True, False]

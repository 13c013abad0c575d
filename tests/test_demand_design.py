"""The structured design is the dense one, column by column."""

from __future__ import annotations

import numpy as np
import pytest

from capmodel.demand.design import (
    Design,
    Rows,
    Window,
    event_hour_terms,
    event_names_on,
    gram,
    predict,
    project,
    public_weekday,
)
from capmodel.demand.penalties import CONFIGURATIONS, PENALTIES, PINNED
from capmodel.events import Events

DAYS = np.arange(np.datetime64("2023-10-02"), np.datetime64("2025-01-15"))
EVENTS = Events.us_retail(2022, 2026).add("launch", "2024-05-03", days=2)


@pytest.fixture(scope="module")
def window():
    return Window.over(DAYS, EVENTS)


def dense(design: Design, rows: Rows) -> np.ndarray:
    """The T x p matrix that the library never forms, straight from the definition of a column."""
    product = rows.factors[:, None, design.day_of] * design.hours[None, :, design.hour_of]
    return np.asarray(product.reshape(-1, design.p))


def test_every_pass_equals_the_dense_design(window):
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


def test_passes_over_a_part_and_over_future_days_equal_the_dense_design(window):
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


def test_a_day_is_called_by_its_primary_event():
    days = np.array(["2027-12-24", "2027-12-23"], dtype="datetime64[D]")
    events = Events.us_retail(2027, 2027)
    assert len(events.on("2027-12-24")) == 2
    assert event_names_on(events, days) == ("christmas_eve", "")


def test_public_holidays_count_on_weekdays_only():
    days = np.array(["2026-07-04", "2026-11-26", "2026-11-27"], dtype="datetime64[D]")
    assert public_weekday(Events.us_retail(2026, 2026), days).tolist() == [False, True, False]

"""Usage against load: what is drawn is what the frames say, and nothing is hidden."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import colors
from matplotlib.figure import Figure

from capmodel import plots
from capmodel.errors import InputError
from capmodel.plots.canvas import FILL, SAND
from capmodel.plots.usage import TOP_POINTS

LOAD = np.arange(0.0, 81.0, 10.0)
LINE = pd.DataFrame(
    {
        "load": LOAD,
        "p05": 0.9 * (1 + 0.1 * LOAD),
        "p50": 1 + 0.1 * LOAD,
        "p95": 1.1 * (1 + 0.1 * LOAD),
        "extrapolating": LOAD > 50,
    }
)
POINTS = pd.DataFrame(
    {
        "load": [5.0, 20.0, 48.0, 47.0, 30.0, 10.0, 90.0, 52.0],
        "usage": [1.5, 3.0, 5.8, 4.0, 9.0, 99.0, 1.0, 6.2],
        "role": ["used", "used", "used", "censored", "dropped", "dropped", "dropped", "load_test"],
    }
)


def lines(ax: Any, label: str) -> Any:
    found = [line for line in ax.lines if str(line.get_label()).startswith(label)]
    assert len(found) == 1, label
    return found[0]


def texts(ax: Any) -> list[str]:
    return [t.get_text() for t in ax.texts]


def key(ax: Any) -> list[str]:
    return [t.get_text() for t in ax.get_legend().get_texts()]


def test_each_role_has_a_mark_of_its_own_and_its_rows() -> None:
    ax = plots.draw_usage(POINTS, LINE)
    used, censored = lines(ax, "used"), lines(ax, "censored")
    assert list(used.get_xdata()) == [5.0, 20.0, 48.0]
    assert list(used.get_ydata()) == [1.5, 3.0, 5.8]
    assert (censored.get_xdata()[0], censored.get_ydata()[0]) == (47.0, 4.0)
    assert lines(ax, "load test").get_xdata()[0] == 52.0
    marks = [lines(ax, r).get_marker() for r in ("used", "load test", "censored", "dropped")]
    assert len(set(marks)) == 4


def test_dropped_rows_stretch_no_axis_but_are_counted() -> None:
    ax = plots.draw_usage(POINTS, LINE)
    assert ax.get_xlim() == (0, pytest.approx(80 * 1.03))
    assert ax.get_ylim() == (0, pytest.approx(9.9 * 1.12))
    assert list(lines(ax, "dropped").get_xdata()) == [30.0]
    assert key(ax)[:4] == [
        "used (3)",
        "load test (1)",
        "censored, at least this much (1)",
        "dropped (3; 2 outside)",
    ]
    gaps = POINTS.assign(usage=POINTS["usage"].where(POINTS["load"] != 30.0))
    assert "dropped (3; 3 outside)" in key(plots.draw_usage(gaps, LINE))


def test_the_line_is_solid_where_seen_and_dashed_beyond() -> None:
    ax: Any = plots.draw_usage(POINTS, LINE.sample(frac=1, random_state=0))
    [solid] = [line for line in ax.lines if line.get_label() == "P50"]
    dashed = lines(ax, "P50, extrapolated")
    assert list(solid.get_xdata()) == [0.0, 10, 20, 30, 40, 50]
    assert list(dashed.get_xdata()) == [50.0, 60, 70, 80]
    np.testing.assert_allclose(dashed.get_ydata(), [6.0, 7, 8, 9])
    assert solid.get_linestyle() == "-"
    assert dashed.get_linestyle() == "--"
    [band] = [c for c in ax.collections if c.get_label() == "P5–P95"]
    held = band.get_paths()[0].vertices
    assert held[:, 1].min() == pytest.approx(0.9)
    assert held[:, 1].max() == pytest.approx(9.9)


def test_the_zone_beyond_what_was_seen_is_shaded_and_labelled() -> None:
    ax: Any = plots.draw_usage(POINTS, LINE)
    [zone] = [p for p in ax.patches if p.get_facecolor() == colors.to_rgba(SAND)]
    assert zone.get_x() == 50
    assert zone.get_x() + zone.get_width() == pytest.approx(80 * 1.03)
    assert "extrapolated beyond 50" in texts(ax)
    assert any("the band widens" in text for text in texts(ax))
    seen = lines(ax, "seen: 5 to 52")
    assert list(seen.get_xdata()) == [5.0, 52.0]
    assert list(seen.get_ydata()) == [0, 0]


def test_a_line_inside_the_range_has_no_zone() -> None:
    ax: Any = plots.draw_usage(POINTS, LINE[LINE["load"] <= 50])
    assert not list(ax.patches)
    assert not any("extrapolated" in text for text in [*texts(ax), *key(ax)])
    every: Any = plots.draw_usage(POINTS, LINE.assign(extrapolating=True))
    assert every.patches[0].get_x() == 0


def test_the_planned_peak_is_a_labelled_line_that_the_axis_reaches() -> None:
    ax: Any = plots.draw_usage(POINTS, LINE, planned=200.0)
    [planned] = [line for line in ax.lines if line.get_label() == "planned peak"]
    assert list(planned.get_xdata()) == [200.0, 200.0]
    assert planned.get_color() == FILL["RED"]
    assert "planned peak 200" in texts(ax)
    assert ax.get_xlim()[1] == pytest.approx(206)
    assert "planned peak" not in key(ax)


def test_a_line_without_rows_or_band_still_draws() -> None:
    declared = LINE.assign(p05=np.nan, p95=np.nan, extrapolating=False)
    ax: Any = plots.draw_usage(POINTS.iloc[:0], declared)
    assert ax.get_ylim()[1] == pytest.approx(9 * 1.12)
    assert key(ax) == ["P50"]


def test_many_rows_are_thinned_evenly_and_said_so() -> None:
    n = 3 * TOP_POINTS
    many = pd.DataFrame({"load": np.linspace(0, 50, n), "usage": 2.0, "role": "used"})
    ax = plots.draw_usage(many.sample(frac=1, random_state=1), LINE)
    drawn = lines(ax, "used").get_xdata()
    assert len(drawn) == TOP_POINTS
    assert (drawn[0], drawn[-1]) == (0.0, 50.0)
    assert np.diff(drawn).max() < 2 * np.diff(drawn).min()
    assert any("2,000 of 6,000 rows used are drawn." in text for text in texts(ax))
    assert key(ax)[0] == "used (6,000)"


@pytest.mark.parametrize(("planned", "seen"), [(None, 50), (60.0, 50), (79.0, 70), (400.0, 50)])
def test_no_texts_overlap_or_leave_the_figure(planned: float | None, seen: float) -> None:
    line = LINE.assign(extrapolating=seen < LOAD)
    ax: Any = plots.draw_usage(
        POINTS, line, planned=planned, title="checkout-api: CPU against load [cores]",
        load_label="requests per second [1/s]", usage_label="busy cores",
    )  # fmt: skip
    ax.figure.canvas.draw()
    page = ax.figure.bbox
    shown = [*ax.texts, *ax.get_legend().get_texts(), ax.xaxis.label, ax.yaxis.label]
    reach = ax.get_xlim()[1]
    shown += [ax.title, *(t for t in ax.get_xticklabels() if t.get_position()[0] <= reach)]
    boxes = [(t.get_text(), t.get_window_extent()) for t in shown if t.get_text()]
    for i, (text, box) in enumerate(boxes):
        assert page.x0 - 1 <= box.x0 <= box.x1 <= page.x1 + 1, text
        assert page.y0 - 1 <= box.y0 <= box.y1 <= page.y1 + 1, text
        for other, its in boxes[i + 1 :]:
            assert not box.overlaps(its), (text, other)


def test_draws_on_the_axes_given_and_leaves_global_state_and_frames_alone() -> None:
    before, held = dict(mpl.rcParams), (POINTS.copy(), LINE.copy())
    ax = Figure().add_subplot()
    assert plots.draw_usage(POINTS, LINE, ax=ax, title="api") is ax
    plots.usage_svg(POINTS, LINE)
    assert dict(mpl.rcParams) == before
    pd.testing.assert_frame_equal(POINTS, held[0])
    pd.testing.assert_frame_equal(LINE, held[1])
    assert ax.get_title(loc="left") == "api"


def test_svg_is_one_labelled_element_and_the_same_bytes_in_any_style() -> None:
    once = plots.usage_svg(POINTS, LINE, title="a & b", planned=60.0)
    with mpl.rc_context({"font.size": 20, "axes.grid": True, "svg.fonttype": "path"}):
        assert plots.usage_svg(POINTS, LINE, title="a & b", planned=60.0) == once
    root = ET.fromstring(once)  # noqa: S314  our own text
    assert root.get("aria-label") == "a & b"
    assert once.count("http") == 1
    assert ET.fromstring(plots.usage_svg(POINTS, LINE, alt="x")).get("aria-label") == "x"  # noqa: S314  our own text


@pytest.mark.parametrize(
    ("points", "line", "message"),
    [
        (POINTS.drop(columns="role"), LINE.drop(columns="p95"), "2 problems"),
        (POINTS.assign(role="droped"), LINE, "Did you mean 'dropped'"),
        (POINTS, LINE.iloc[:0], "at least one load"),
        (POINTS, LINE.assign(p50=np.nan), "load and p50 at every row"),
    ],
)
def test_frames_that_cannot_be_drawn_say_why(
    points: pd.DataFrame, line: pd.DataFrame, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        plots.draw_usage(points, line)

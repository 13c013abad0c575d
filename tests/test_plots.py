from __future__ import annotations

import datetime as dt
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pandas as pd
import plan_frames
import pytest
from matplotlib import colors
from matplotlib.figure import Figure

from capmodel import plots
from capmodel.errors import InputError
from capmodel.plots.canvas import FILL, day_number, day_of

MARKS = plots.Marks(
    season_x=plan_frames.SEASON_X, freeze=plan_frames.FREEZE, as_of="2026-09-21",
    lines={"partner's limit": 8000.0}, axes=("growth", "lift"),
)  # fmt: skip
SVG = "http://www.w3.org/2000/svg"
HOSTILE = "<script>alert('x')</script> & \"$\\alpha$\""


@pytest.fixture(scope="module")
def frames() -> dict[str, pd.DataFrame]:
    return plan_frames.make_frames()


def texts(ax) -> list[str]:
    return [t.get_text() for t in ax.texts]


def labels(axis) -> list[str]:
    return [t.get_text() for t in axis.get_ticklabels()]


def lines(ax, label):
    return [line for line in ax.lines if line.get_label() == label]


def season_day(frames, service="checkouts", scenario="base"):
    rows = frames["demand"]
    return rows[
        (rows["service"] == service) & (rows["scenario"] == scenario) & (rows["window"] == "day")
    ]


def test_day_numbers_are_those_of_matplotlib():
    from matplotlib.dates import date2num

    date = dt.date(2026, 11, 30)
    assert day_number("2026-11-30") == date2num(date)
    assert day_of(date2num(date) + 0.9) == date


def test_fan_draws_the_quantiles_of_the_frame(frames):
    ax = plots.plot("demand", frames)
    rows = season_day(frames)
    [p50] = lines(ax, "P50")
    assert p50.get_ydata() == pytest.approx(rows["peak_p50"].to_numpy())
    assert p50.get_xdata()[0] == day_number("2026-10-01")
    [band] = [c for c in ax.collections if c.get_label() == "P10–P90"]
    held = band.get_paths()[0].vertices[:, 1]
    assert held.min() == pytest.approx(rows["peak_p10"].min())
    assert held.max() == pytest.approx(rows["peak_p90"].max())
    assert ax.get_ylim()[0] == 0


def test_fan_says_what_it_shows(frames):
    ax = plots.plot("demand", frames, scenario="high", of="impressions", marks=MARKS)
    assert ax.get_title(loc="left") == "impressions: busiest minute of each day [per minute]"
    assert any("Scenario high, local days" in text for text in texts(ax))
    assert "partner's limit 8,000/min" in texts(ax)
    assert list(lines(ax, "partner's limit")[0].get_ydata()) == [8000.0, 8000.0]
    top = season_day(frames, "impressions", "high")["peak_p50"].max()
    assert any(text.startswith(f"{top:,.0f}/min\nP10 ") for text in texts(ax))


def test_event_days_next_to_each_other_share_a_band_named_after_the_highest(frames):
    ax = plots.plot("demand", frames)
    for wanted in ("Columbus Day\n12 Oct", "Launch\n20–22 Nov", "Cyber Monday\n25 Nov–1 Dec"):
        assert wanted in texts(ax)
    spans = sorted(patch.get_x() for patch in ax.patches)
    assert len(spans) == 6
    assert spans[3] == day_number("2026-11-25") - 0.5


def test_labels_of_event_bands_do_not_overlap(frames):
    ax = plots.plot("demand", frames)
    ax.figure.canvas.draw()
    boxes = [t.get_window_extent() for t in ax.texts if "\n" in t.get_text()]
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def test_a_short_horizon_labels_weeks(frames):
    short = season_day(frames).iloc[40:61]
    ax = plots.plot("demand", {"demand": short})
    assert labels(ax.xaxis) == ["16 Nov\n2026", "23 Nov", "30 Nov"]


def test_own_forecast_stands_beside_the_top_down_one(frames):
    rows = season_day(frames).assign(kind="service", service="ledger", quantity="rps", own_p50=7.0)
    ax = plots.plot("demand", {"demand": rows}, of="ledger")
    assert list(lines(ax, "own forecast, P50")[0].get_ydata()) == [7.0] * len(rows)
    assert "[requests per second]" in ax.get_title(loc="left")


def test_ladder_has_what_breaks_first_on_top(frames):
    ax = plots.plot("limits", frames, scenario="mixture", marks=MARKS)
    bars = [patch for patch in ax.patches if patch.get_width() > 0]
    rows = frames["limits"][frames["limits"]["scenario"] == "mixture"]
    finite = rows[np.isfinite(rows["binds_at_x"])]
    assert [bar.get_width() for bar in bars] == sorted(finite["binds_at_x"])
    names = labels(ax.yaxis)
    assert names[-1] == "core-db · connections"
    assert names[-2] == "credit-bureau · limit RPS"
    top = max(bars, key=lambda bar: bar.get_y())
    assert top.get_width() == 2.386
    assert top.get_facecolor() == colors.to_rgba(FILL["RED"])


def test_ladder_writes_status_and_both_multiples(frames):
    ax = plots.plot("limits", frames, scenario="base", marks=MARKS)
    shown = texts(ax)
    assert shown[:3] == ["RED", "2.39×", "2.81×"]
    assert {"RED", "GREEN"} <= set(shown)
    assert [line.get_xdata()[0] for line in ax.lines if line.get_label() in {"low", "base"}] == [
        2.64,
        3.0,
    ]
    assert "base 3.00×" in shown
    assert any("10 of 11 limits; 1 never binds" in text for text in shown)


def test_a_bar_far_beyond_the_season_ends_in_an_arrow_and_keeps_its_number(frames):
    ax = plots.plot("limits", frames, marks=MARKS)
    assert ax.get_xlim()[1] < 13.3
    assert texts(ax).count("→") == 4
    assert "13.30×" in texts(ax)
    assert ax.get_xlim()[0] == 0


@pytest.mark.parametrize("scenario", ["base", "mixture"])
def test_labels_of_seasons_do_not_overlap(frames, scenario):
    ax = plots.plot("limits", frames, scenario=scenario, marks=MARKS)
    ax.figure.canvas.draw()
    wanted = {"low 2.64×", "base 3.00×", "high 3.60×"}
    boxes = [t.get_window_extent() for t in ax.texts if t.get_text() in wanted]
    assert len(boxes) == 3
    assert not boxes[0].overlaps(boxes[1])
    assert not boxes[1].overlaps(boxes[2])
    assert not boxes[0].overlaps(boxes[2])


def test_waterfall_steps_lead_from_today_to_the_plan(frames):
    ax = plots.plot("waterfall", frames)
    heights = [patch.get_height() for patch in ax.patches]
    bottoms = [patch.get_y() for patch in ax.patches]
    assert heights == [24, 4, 20, 12, 30, -18, 72]
    assert bottoms == [0, 24, 28, 48, 60, 90, 0]
    assert bottoms[-2] + heights[-2] == heights[-1]
    assert labels(ax.xaxis)[4] == "failure cover"
    assert {"+20", "−18", "72", "+14,100.48 USD", "−12,690.43 USD"} <= set(texts(ax))
    assert "[nodes; USD for the season]" in ax.get_title(loc="left")


def test_order_book_puts_dates_where_they_belong(frames):
    ax = plots.plot("orders", frames, marks=MARKS)
    top = len(frames["orders"]) - 1
    found = {
        line.get_label(): line.get_xdata()[0]
        for line in ax.lines
        if line.get_ydata()[0] == top and line.get_marker() != "None"
    }
    assert found == {
        "window opens": day_number("2026-07-23"),
        "recommended by": day_number("2026-09-25"),
        "latest by": day_number("2026-11-15"),
        "in place by": day_number("2026-11-20"),
    }
    [freeze] = [patch for patch in ax.patches if patch.get_label() == "change freeze"]
    assert freeze.get_x() == day_number("2026-11-02")
    assert lines(ax, "as of")[0].get_xdata()[0] == day_number("2026-09-21")
    assert {"as of 2026-09-21", "change freeze", "AMBER"} <= set(texts(ax))
    assert labels(ax.yaxis)[-1] == "general\nreserve 66 more m6i.4xlarge"


def test_order_book_draws_commitment_release_and_what_waits(frames):
    book = frames["orders"].assign(
        commit_until=["2026-12-04", "", "", ""], release_on=["2026-12-04", "", "2027-01-04", ""],
        depends_on=["O2", "", "", ""], state=["planned", "requested", "planned", "planned"],
    )  # fmt: skip
    release = pd.DataFrame({"order": ["O1", "O1"], "release_on": ["2026-12-04", "2026-12-17"]})
    ax = plots.plot("orders", {"orders": book, "release": release}, marks=MARKS)
    top = len(book) - 1
    [bound] = lines(ax, "commitment")
    assert bound.get_xdata().tolist() == [day_number("2026-11-20"), day_number("2026-12-04")]
    given = {line.get_ydata()[0]: list(line.get_xdata()) for line in lines(ax, "may be given back")}
    assert given == {
        top: [day_number("2026-12-04"), day_number("2026-12-17")],
        top - 2: [day_number("2027-01-04")],
    }
    [arrow] = [text for text in ax.texts if text.arrow_patch is not None]
    assert arrow.xy == (day_number("2026-11-15"), top)  # the latest day to ask for what waits
    assert arrow.get_position() == (day_number("2026-11-20"), top - 1)
    assert "requested" in texts(ax)
    assert "planned" not in texts(ax)


def test_what_is_overdue_is_drawn_red(frames):
    late = frames["orders"].assign(status=["RED", "GREEN", "GREEN", "GREEN"])
    marks = plots.Marks(as_of="2026-11-16")
    ax = plots.plot("orders", {"orders": late}, marks=marks)
    top = len(late) - 1
    drawn = {line.get_ydata()[0]: line.get_color() for line in lines(ax, "latest by")}
    assert drawn[top] == FILL["RED"]
    assert FILL["RED"] not in {color for y, color in drawn.items() if y != top}


@pytest.mark.parametrize("as_of", ["2026-10-28", "2026-11-05", "2026-11-30", "2026-09-21"])
def test_the_words_above_the_order_book_do_not_overlap(frames, as_of):
    marks = plots.Marks(freeze=plan_frames.FREEZE, as_of=as_of)
    ax = plots.plot("orders", frames, marks=marks)
    ax.figure.canvas.draw()
    boxes = [
        text.get_window_extent()
        for text in ax.texts
        if text.get_text() == "change freeze" or text.get_text().startswith("as of")
    ]
    assert len(boxes) == 2
    assert not boxes[0].overlaps(boxes[1])


def test_a_long_order_book_is_cut_and_says_so(frames):
    long = pd.concat([frames["orders"]] * 10, ignore_index=True)
    ax = plots.plot("orders", {"orders": long})
    assert len(labels(ax.yaxis)) == 24
    assert any("24 of 40 orders." in text for text in texts(ax))


def test_a_driver_without_forecast_draws_an_empty_fan(frames):
    rows = season_day(frames).assign(peak_p10=np.nan, peak_p50=np.nan, peak_p90=np.nan)
    ax = plots.plot("demand", {"demand": rows})
    assert ax.get_ylim() == (0, 1.42)


def test_limits_without_evidence_are_counted_apart(frames):
    rows = frames["limits"].copy()
    rows.loc[rows["node"] == "ledger", "binds_at_x"] = np.nan
    ax = plots.plot("limits", {"limits": rows})
    assert any("1 never binds; 1 without evidence." in text for text in texts(ax))


def test_orders_without_dates_or_freezes_still_draw(frames):
    bare = frames["orders"].assign(
        request_opens="", recommended_by=None, latest_by=np.nan, in_place_by=""
    )
    ax = plots.plot("orders", {"orders": bare})
    assert len(labels(ax.yaxis)) == len(bare)


def test_lifts_show_estimate_interval_and_occurrences(frames):
    ax = plots.plot("lifts", frames, of="impressions")
    [dots] = lines(ax, "lift_x")
    assert list(dots.get_xdata()) == [0.7, 1.5, 1.6, 1.7, 2.6, 3.0]
    assert labels(ax.yaxis)[-1] == "Cyber Monday"
    assert "3.00×  n = 3  fitted" in texts(ax)
    assert "1.50×  n = 0  assumed" in texts(ax)
    assert ax.get_xlim()[0] == 0


@pytest.mark.parametrize("name", plots.FIGURES)
def test_draws_on_the_axes_given_and_leaves_global_state_and_frames_alone(frames, name):
    before = dict(mpl.rcParams)
    held = {key: frame.copy() for key, frame in frames.items()}
    ax = Figure().add_subplot()
    assert plots.plot(name, frames, ax=ax, marks=MARKS) is ax
    plots.figure_svg(name, frames, marks=MARKS)
    assert dict(mpl.rcParams) == before
    for key, frame in frames.items():
        pd.testing.assert_frame_equal(frame, held[key])


@pytest.mark.parametrize("name", plots.FIGURES)
def test_nothing_leaves_the_figure(frames, name):
    ax = plots.plot(name, frames, marks=MARKS)
    ax.figure.canvas.draw()
    page = ax.figure.bbox
    for text in [*ax.texts, *ax.get_yticklabels(), ax.title]:
        if text.get_text():
            box = text.get_window_extent()
            assert box.x0 >= page.x0 - 1, text.get_text()
            assert box.x1 <= page.x1 + 1, text.get_text()
            assert box.y1 <= page.y1 + 1, text.get_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", plots.FIGURES)
def test_svg_is_one_element_that_loads_nothing(frames, name):
    svg = plots.figure_svg(name, frames, marks=MARKS, alt='the "ask" & more')
    root = ET.fromstring(svg)  # noqa: S314  our own text
    assert root.tag == f"{{{SVG}}}svg"
    assert root.get("width") == "100%"
    assert root.get("aria-label") == 'the "ask" & more'
    assert svg.count("http") == 1
    assert "<!" not in svg
    assert "<style" not in svg
    assert "DejaVu" not in svg
    assert root.findall(f".//{{{SVG}}}text")


@pytest.mark.slow
@pytest.mark.parametrize("name", plots.FIGURES)
def test_svg_is_the_same_bytes_whatever_the_users_style(frames, name):
    once = plots.figure_svg(name, frames, marks=MARKS)
    with mpl.rc_context({"font.size": 20, "axes.grid": True, "svg.fonttype": "path"}):
        again = plots.figure_svg(name, plan_frames.make_frames(), marks=MARKS)
    assert once == again


def test_ids_of_two_figures_on_a_page_differ_and_references_hold(frames):
    def ids(svg):
        root = ET.fromstring(svg)  # noqa: S314  our own text
        return [e.get("id") for e in root.iter() if e.get("id")]

    one = plots.figure_svg("demand", frames, of="checkouts")
    other = plots.figure_svg("demand", frames, of="impressions")
    assert not set(ids(one)) & set(ids(other))
    assert len(ids(one)) == len(set(ids(one)))
    referred = {part.split(")")[0] for part in one.split("url(#")[1:]}
    assert referred
    assert referred <= set(ids(one))


def test_text_is_escaped_and_never_read_as_mathematics(frames):
    rows = frames["limits"].assign(node=HOSTILE)
    svg = plots.figure_svg("limits", {"limits": rows})
    root = ET.fromstring(svg)  # noqa: S314  our own text
    assert "<script" not in svg
    assert any(HOSTILE in (e.text or "") for e in root.iter(f"{{{SVG}}}text"))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("limit", {}, "Did you mean 'limits'"),
        ("limits", {"scenario": "bsae"}, "Did you mean 'base'"),
        ("demand", {"of": "checkout"}, "Did you mean 'checkouts'"),
        ("waterfall", {"of": "gpu"}, r"one of \['general'\]"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(frames, name, options, message):
    with pytest.raises(InputError, match=message):
        plots.plot(name, frames, **options)


def test_missing_frames_columns_and_rows_are_named(frames):
    with pytest.raises(InputError, match=r"frames\['limits'\]: got frames \['demand'\]"):
        plots.plot("limits", {"demand": frames["demand"]})
    with pytest.raises(InputError, match="also \\['binds_at_x'\\]"):
        plots.plot("limits", {"limits": frames["limits"].drop(columns="binds_at_x")})
    with pytest.raises(InputError, match="at least one row to draw"):
        plots.plot("orders", {"orders": frames["orders"].iloc[:0]})

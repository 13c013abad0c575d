"""The blocks on choice in the review: register, options, scenarios side by side, tornado."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import plan_frames
import pytest

from capmodel import plots, report

if TYPE_CHECKING:
    import pandas as pd

AXES = plots.Marks(axes=("growth", "lift"))


@pytest.fixture(scope="module")
def frames() -> dict[str, pd.DataFrame]:
    return plan_frames.make_frames()


def page(frames: dict[str, pd.DataFrame], marks: plots.Marks | None = None) -> str:
    text = report.to_html(
        frames, title="Review", headline=("One.",), provenance={"as_of": "2026-09-21"}, marks=marks
    )
    return html.unescape(text)


def markdown(frames: dict[str, pd.DataFrame]) -> str:
    return report.to_markdown(
        frames, title="Review", headline=("One.",), provenance={"as_of": "2026-09-21"}
    )


@pytest.mark.slow
def test_the_register_shows_what_may_saturate_and_who_owns_it(frames) -> None:
    shown = markdown(frames).split("**Risk register, the likeliest first**")[1].split("**")[0]
    assert "core-db:connections" in shown
    assert "storage" in shown
    assert "Cyber Monday" in shown
    assert "55.0 ± 1.6 %" in shown
    assert "ledger:cpu" not in shown  # it never saturates; the CSV holds it
    assert "Risk register, the likeliest first" in page(frames)


@pytest.mark.slow
def test_a_register_of_calm_limits_says_so(frames) -> None:
    calm = frames | {"register": frames["register"].assign(p_saturate=0.0)}
    assert "no drawn season passes any hard limit" in page(calm)


def test_the_summary_says_whose_peaks_and_which_weights(frames) -> None:
    text = markdown(frames)
    assert "Peaks are checkouts per minute in the season's busiest minute." in text
    assert "No scenario has a probability: all weigh the same." in text
    assert "growth 1.5, lift 1.2" in text
    stated = frames | {"summary": frames["summary"].assign(weights="stated")}
    assert "all weigh the same" not in markdown(stated)


@pytest.mark.slow
def test_a_grid_is_drawn_where_there_are_axes(frames) -> None:
    assert "Season's cost over the grid" in page(frames, AXES)
    assert "Season's cost over the grid" not in page(frames)


@pytest.mark.slow
def test_the_tornado_is_drawn_and_told_in_words(frames) -> None:
    text = page(frames)
    assert (
        "Tornado of the season's cost. growth of checkouts: 61,469.28 to 83,371.68 USD, 75 to "
        "96 nodes" in text
    )
    assert "Inputs moved one by one" in text


@pytest.mark.slow
def test_without_these_frames_nothing_is_said(frames) -> None:
    bare = {k: v for k, v in frames.items() if k not in {"register", "summary", "tornado"}}
    text = page(bare)
    for words in ("Risk register", "Scenarios side by side", "Inputs moved one by one"):
        assert words not in text

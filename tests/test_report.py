from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import plan_frames
import pytest
from html_page import Page

from capmodel import plots, report
from capmodel.errors import InputError
from capmodel.plots.labels import exact, is_missing

HOSTILE = "<script>alert(1)</script>|`x`&\"'"
ANCHORS = [
    "ask", "demand", "limits", "services", "databases", "partners", "risk", "cost", "orders",
    "evidence", "provenance",
]  # fmt: skip


def arguments(**changes):
    given = {
        "title": "Holiday capacity review 2026",
        "headline": plan_frames.HEADLINE,
        "provenance": plan_frames.PROVENANCE,
        "scenarios": plan_frames.SCENARIOS,
        "marks": plots.Marks(season_x=plan_frames.SEASON_X, freeze=plan_frames.FREEZE),
        "notes": {"demand": "Calendar months mislead: the holiday moved."},
    }
    return given | changes


@pytest.fixture(scope="module")
def frames() -> dict[str, pd.DataFrame]:
    return plan_frames.make_frames()


@pytest.fixture(scope="module")
def html(frames) -> str:
    return report.to_html(frames, **arguments())


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


@pytest.fixture(scope="module")
def markdown(frames) -> str:
    return report.to_markdown(frames, **arguments())


def mixture(frames, name):
    return frames[name][frames[name]["scenario"] == "mixture"]


def many(frames, copies):
    """The same plan with many times the services, limits and orders."""

    def copied(frame, column):
        parts = [frame.assign(**{column: frame[column] + f"-{i}"}) for i in range(copies)]
        return pd.concat(parts, ignore_index=True)

    return frames | {
        "limits": copied(frames["limits"], "node"),
        "services": copied(frames["services"], "service"),
        "orders": copied(frames["orders"], "item"),
        "fits": copied(frames["fits"], "service"),
    }


# --- HTML -------------------------------------------------------------------------------------


def test_page_is_one_file_that_loads_nothing(html, page):
    assert "http://" not in html
    assert "https://" not in html
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object"})
    assert all(link.startswith("#") for link in page.links)
    assert "@import" not in html
    assert len(html.encode()) < 1_000_000


def test_links_reach_their_anchors_and_ids_are_unique(page):
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)


def test_sections_stand_in_the_order_of_a_review(html, page):
    assert [i for i in page.ids if i in ANCHORS] == ANCHORS
    assert html.index('id="ask"') < html.index("Decisions to take") < html.index('id="demand"')


def test_same_frames_same_bytes(html, markdown):
    again = plan_frames.make_frames()
    assert report.to_html(again, **arguments()) == html
    assert report.to_markdown(again, **arguments()) == markdown


def test_headline_leads_and_status_is_written_out(page):
    text = page.text
    places = [text.index(sentence) for sentence in plan_frames.HEADLINE]
    assert places == sorted(places)
    assert "Limits: 4 RED 7 GREEN" in text
    assert "Scenarios low 25 % , base 55 % , high 20 %".replace(" ,", ",") in text


def test_facts_at_the_head_come_from_the_frames(page):
    text = page.text
    assert "Breaks first RED core-db connections binds at 2.39× today" in text
    assert "Next latest date AMBER Fri 2026-10-09 credit-bureau: raise the partner's quota" in text
    assert "56.4 % → 1.9 %" in text


@pytest.mark.parametrize(
    ("column", "title"),
    [
        ("hard", "Hard limit"), ("today", "Today"), ("peak_p50", "Peak P50"),
        ("utilization_p50", "Used P50"), ("utilization_p95", "Used P95"),
        ("p_saturate", "Chance to saturate"),
    ],
)  # fmt: skip
def test_numbers_of_the_limits_are_those_of_the_frame(frames, page, column, title):
    caption = "Limits at the season's busiest minute, mixture, what breaks first on top"
    at = page.heads[caption].index(title)
    shown = [float(row[at][1]) for row in page.tables[caption]]
    assert shown == pytest.approx(list(mixture(frames, "limits")[column]), rel=1e-8)


def test_numbers_are_written_for_people(page):
    [first, second, *_] = page.tables[
        "Limits at the season's busiest minute, mixture, what breaks first on top"
    ]
    texts = [text for text, _ in first]
    assert texts[:6] == ["core-db", "Connections", "RED", "connections", "4,000", "1,425"]
    assert "107.7 %" in texts
    assert "56.5 ± 1.6 %" in texts
    assert second[4][0] == "80"


def test_needs_of_all_scenarios_stand_side_by_side(frames, page):
    heads = page.heads["Nodes by pool"]
    rows = page.tables["Nodes by pool"]
    for scenario in ("low", "base", "high", "mixture"):
        own = frames["nodes"][frames["nodes"]["scenario"] == scenario]
        shown = [row[heads.index(f"Needed, {scenario}")][1] for row in rows]
        assert shown == [str(n) for n in own["required"]]


def test_status_by_scenario_keeps_the_ladders_order(frames, page):
    rows = page.tables["Status by scenario"]
    assert [row[0][0] for row in rows] == list(mixture(frames, "limits")["node"])
    assert [text for text, _ in rows[0]] == ["core-db", "Connections", "AMBER", "RED", "RED", "RED"]
    assert page.heads["Status by scenario"][2] == "Low probability 25 %"


def test_money_is_exact_to_the_cent(frames, page):
    totals = {row[0][0]: row[2][1] for row in page.tables["Season totals"]}
    cost = frames["cost"]
    for scenario in ("low", "base", "high", "mixture"):
        assert Decimal(totals[scenario]) == sum(cost[cost["scenario"] == scenario]["usd"])
    steps = {row[1][0]: row[3] for row in page.tables["Waterfall as numbers, mixture"]}
    assert steps["plan"] == ("50,761.74", "50761.74")
    assert steps["efficiency"] == ("−12,690.43", "-12690.43")
    prices = [row[5] for row in page.tables["Cost lines, mixture"]]
    assert prices[0] == ("0.7680", "0.7680")


@pytest.mark.slow
def test_databases_have_their_own_section_even_without_any(frames):
    page = Page(report.to_html(frames | {"databases": pd.DataFrame()}, **arguments()))
    assert "Databases and shared limits" in page.text
    assert "No database is declared in this study." in page.text


def test_partner_limits_and_quotas_are_listed_apart(page):
    rows = page.tables["Partners' limits and quotas"]
    assert [row[0][0] for row in rows] == ["credit-bureau", "general"]


def test_remedies_are_ranked(page):
    rows = page.tables["Remedies, best first"]
    assert [row[2][0] for row in rows if row[0][0] == "core-db"] == ["1", "2", "3"]


def test_dates_carry_their_weekday(page):
    assert page.tables["Dates to keep"][0][5][0] == "2026-09-25Fri"


def test_shares_of_the_basis_and_the_chain_of_factors_are_shown(page):
    rows = page.tables["What the inputs rest on"]
    assert [row[0][0] for row in rows] == ["measured", "fitted", "censored", "borrowed", "assumed"]
    assert sum(float(row[2][1]) for row in rows) == pytest.approx(1)
    assert page.tables["How the number is made: core-db, connections, base"][3][2][1] == "4275.0"


def test_provenance_and_notes_are_complete(page):
    for value in plan_frames.PROVENANCE.values():
        assert value in page.text
    assert "Calendar months mislead: the holiday moved." in page.text


def test_figures_have_alternative_text(html):
    assert html.count("<svg ") == 8
    assert html.count('role="img" aria-label="') == 8
    assert "Ladder of limits: core-db connections binds first, at 2.39× today" in html
    assert "highest on 2026-11-30 with P50 6,324" in html


def test_everything_is_escaped(frames):
    bad = {
        name: frame.assign(
            **{
                column: HOSTILE
                for column in ("node", "service", "action", "item", "message", "source", "pool")
                if column in frame.columns
            }
        )
        for name, frame in frames.items()
    }
    text = report.to_html(
        bad,
        **arguments(
            title=HOSTILE, headline=[HOSTILE], provenance={HOSTILE: HOSTILE, "as_of": "2026-09-21"},
            notes={"demand": HOSTILE},
        ),
    )  # fmt: skip
    assert "<script" not in text
    assert "script" not in Page(text).tags


def test_nothing_at_all_is_said_in_words():
    page = Page(report.to_html({}, title="Empty", headline=[], provenance={}))
    for sentence in (
        "No headline was given.", "Nothing has to be ordered.", "The plan holds no limit.",
        "The plan holds no forecast of its own.", "No service is sized in this plan.",
        "No node pool is planned.", "No database is declared in this study.",
        "No limit needs a remedy.", "No partner limit or cloud quota is declared in this study.",
        "The plan holds no risk figures.", "The plan holds no costs.", "The order book is empty.",
        "The plan lists no assumption.", "No lift was fitted or declared.",
        "No usage was fitted; every coefficient is declared.", "The data raised no finding.",
        "No provenance was given.",
    ):  # fmt: skip
        assert sentence in page.text
    assert page.tables == {}


def test_frames_with_columns_and_no_rows_are_empty_too(frames):
    bare = {name: frame.iloc[:0] for name, frame in frames.items()}
    once = report.to_html(bare, title="Empty", headline=[], provenance={})
    assert once == report.to_html({}, title="Empty", headline=[], provenance={})


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(plan_frames.make_frames()))
def test_any_frame_may_be_missing(frames, name, monkeypatch):
    # Drawing is not what is tested here, and it takes the time.
    monkeypatch.setattr(plots, "figure_svg", lambda *_, **__: "<svg></svg>")
    rest = {key: frame for key, frame in frames.items() if key != name}
    Page(report.to_html(rest, **arguments()))
    report.to_markdown(rest, **arguments())


def test_without_a_mixture_the_base_scenario_decides(frames):
    alone = {
        name: frame[frame["scenario"] == "base"] if "scenario" in frame.columns else frame
        for name, frame in frames.items()
    }
    page = Page(report.to_html(alone, **arguments(scenarios=None)))
    assert "Limits at the season's busiest minute, base, what breaks first on top" in page.tables
    assert page.heads["Status by scenario"] == ["Node", "Limit", "Base"]


@pytest.mark.slow
def test_a_large_plan_stays_readable_and_says_what_it_left_out(frames):
    large = many(frames, 200)
    text = report.to_html(large, **arguments())
    assert len(text.encode()) < 5_000_000
    page = Page(text)
    rows = page.tables["Replicas by service"]
    assert len(rows) == 300
    assert f"{8 * 200 - 300} further rows are not shown; services.csv holds them all." in page.text


# --- Markdown ---------------------------------------------------------------------------------


def summary(markdown: str) -> list[str]:
    return markdown.split("<details>", 1)[0].splitlines()


def test_summary_is_at_most_sixty_lines(frames, markdown):
    assert len(summary(markdown)) <= 60
    full = report.to_markdown(
        many(frames, 5), **arguments(headline=[f"Sentence {i}.\nTwo." for i in range(20)])
    )
    assert len(summary(full)) <= 60
    assert "12 more orders in the full report." in full
    assert "14 more sentences in the full report." in full


def test_summary_holds_headline_orders_ladder_risk_and_cost(markdown):
    text = "\n".join(summary(markdown))
    assert text.startswith("# Holiday capacity review 2026\n\nAs of 2026-09-21.\n")
    order = ["core-db connections break first", "## The ask", "| O1 | general |", "## What breaks"]
    order += ["| core-db | connections | 2.39× | 2.81× |", "## Risk", "## Season cost", "92,085.12"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_details_are_balanced_and_every_table_is_square(markdown):
    assert markdown.count("<details>") == markdown.count("</details>") == 10
    lines = markdown.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("|---")]
    assert len(starts) >= 15
    for i in starts:
        width = lines[i].count("|")
        row = i - 1
        while row < len(lines) and lines[row].startswith("|"):
            assert lines[row].replace("\\|", "").count("|") == width
            row += 1


def test_markdown_escapes_markup(frames):
    bad = frames | {"orders": frames["orders"].assign(action=HOSTILE, item="a_b*c")}
    text = report.to_markdown(bad, **arguments(headline=[HOSTILE]))
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\|\\`x\\`&amp;" in text
    assert "a\\_b\\*c" in text


def test_markdown_of_nothing_is_said_in_words():
    text = report.to_markdown({}, title="Empty", headline=[], provenance={})
    assert "Nothing has to be ordered." in text
    assert len(summary(text)) <= 60


# --- CSV --------------------------------------------------------------------------------------


def test_csvs_hold_what_the_frames_hold(frames, tmp_path):
    paths = report.write_csvs(frames, tmp_path / "csv")
    assert [path.stem for path in paths] == sorted(frames)
    for path in paths:
        frame = frames[path.stem]
        back = pd.read_csv(path, dtype=str, keep_default_na=False)
        assert list(back.columns) == list(frame.columns)
        assert len(back) == len(frame)
        for column in frame.columns:
            for held, text in zip(frame[column], back[column], strict=True):
                if is_missing(held):
                    assert text == ""
                elif isinstance(held, float):
                    assert float(text) == pytest.approx(held, rel=1e-8)
                else:
                    assert text == exact(held)


def test_csv_bytes_are_plain_and_repeat(tmp_path):
    frame = pd.DataFrame(
        {
            "when": [dt.date(2026, 11, 30), pd.Timestamp("2026-11-27")],
            "x": [1 / 3, np.nan],
            "tiny": [1.5e-7, math.inf],
            "usd": [Decimal("63452.16"), Decimal("0.10")],
            "n": [3, 4],
            "ok": [True, False],
            "data": [{"b": 1, "a": "é"}, None],
            "text": ['a,"b"\nc', ""],
        }
    )
    [path] = report.write_csvs({"cost": frame}, tmp_path)
    expected = (
        "when,x,tiny,usd,n,ok,data,text\n"
        '2026-11-30,0.333333333,1.5e-07,63452.16,3,true,"{""a"": ""é"", ""b"": 1}","a,""b""\nc"\n'
        "2026-11-27,,inf,0.10,4,false,,\n"
    )
    assert path.read_bytes() == expected.encode()
    report.write_csvs({"cost": frame}, tmp_path)
    assert path.read_bytes() == expected.encode()


def test_an_empty_frame_writes_its_header(tmp_path):
    [path] = report.write_csvs({"orders": pd.DataFrame(columns=["id", "item"])}, tmp_path)
    assert path.read_text() == "id,item\n"


@pytest.mark.parametrize("name", ["../orders", "Orders", "", "a/b"])
def test_a_frames_name_must_be_a_file_name(tmp_path, name):
    with pytest.raises(InputError, match="lower-case letters"):
        report.write_csvs({name: pd.DataFrame()}, tmp_path / "csv")
    assert not (tmp_path / "csv").exists()


def test_the_orders_say_state_needs_fallback_and_release(frames):
    book = frames["orders"].assign(
        state=["granted", "planned", "planned", "planned"],
        state_on=["2026-09-18", "", "", ""],
        depends_on=["O2", "", "", ""],
        fallback_by=["2026-11-15", "2026-11-01", "", ""],
        fallback_latest=["2026-11-20", "2026-11-01", "", ""],
    )
    release = pd.DataFrame(
        {
            "order": ["O1"], "release_on": ["2026-12-04"], "from": ["90"], "to": ["30"],
            "count": [60], "unit_hours_saved": [18720.0], "usd_avoided": [Decimal("12220.42")],
            "reason": ["the commitment ends"],
        }
    )  # fmt: skip
    text = report.to_markdown({**frames, "orders": book, "release": release}, **arguments())
    reasons = next(line for line in text.splitlines() if line.startswith("| O1 | general | peak"))
    assert "| O2 |" in reasons
    assert "2026-11-15" in reasons
    assert "2026-11-20" in reasons
    ask = next(line for line in text.splitlines() if line.startswith("| O1 | general | reserve"))
    assert "| Granted |" in ask
    given = text[text.index("Release after the season") :]
    assert "12,220.42" in given
    assert "2026-12-04" in given

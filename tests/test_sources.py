"""read_csv and read_parquet: the same history as from a frame, or one clear error."""

from __future__ import annotations

import datetime as dt
import gzip

import numpy as np
import pandas as pd
import pytest

from capmodel.errors import InputError
from capmodel.history import History
from capmodel.sources import read_csv, read_parquet

NEW_YORK = "America/New_York"


@pytest.fixture
def df():
    times = pd.date_range("2026-01-01", periods=48, freq="h", tz="UTC")
    parts = [
        pd.DataFrame({"service": name, "time": times, "rps": np.arange(48.0) + i, "tag": ""})
        for i, name in enumerate(["api", "web"])
    ]
    frame = pd.concat(parts, ignore_index=True)
    frame.loc[3, "tag"] = "load_test"
    frame.loc[7, "rps"] = np.nan
    return frame


def naive(hours, start, **quantities):
    times = pd.date_range(start, periods=hours, freq="h")
    return pd.DataFrame({"service": "bikes", "time": times, **quantities})


def failure(read, path, **arguments):
    with pytest.raises(InputError) as caught:
        read(path, business_tz=NEW_YORK, **arguments)
    return str(caught.value)


# ---------------------------------------------------------------- the same history


def test_csv_parquet_and_frame_are_the_same_history(df, tmp_path):
    expected = History.from_frame(df, business_tz=NEW_YORK).digest()
    shuffled = df.sample(frac=1, random_state=3)
    df.to_csv(tmp_path / "a.csv", index=False)
    shuffled.to_csv(tmp_path / "b.csv.gz", index=False)
    shuffled.assign(time=df["time"].dt.tz_convert("Asia/Kolkata")).to_csv(
        tmp_path / "c.csv", index=False
    )
    df.to_parquet(tmp_path / "a.parquet")
    shuffled.to_parquet(tmp_path / "b.parquet")  # pandas stores its row labels as a column
    df.assign(time=df["time"].dt.as_unit("ms")).to_parquet(tmp_path / "c.parquet")
    df.set_index(["service", "time"]).to_parquet(tmp_path / "d.parquet")
    digests = {
        read(path, business_tz=NEW_YORK).digest()
        for suffix, read in (("*.csv*", read_csv), ("*.parquet", read_parquet))
        for path in tmp_path.glob(suffix)
    }
    assert digests == {expected}


def test_dates_are_local_days_in_both_formats(tmp_path):
    days = [dt.date(2026, 1, 1) + dt.timedelta(i) for i in range(20)]
    frame = pd.DataFrame({"service": "api", "time": days, "rps": np.arange(20.0)})
    frame.to_csv(tmp_path / "d.csv", index=False)
    frame.to_parquet(tmp_path / "d.parquet")
    expected = History.from_frame(frame, business_tz=NEW_YORK)
    assert expected.step_min == 1440
    one = read_csv(tmp_path / "d.csv", business_tz=NEW_YORK)
    other = read_parquet(tmp_path / "d.parquet", business_tz=NEW_YORK, naive_tz=NEW_YORK)
    assert one.digest() == other.digest() == expected.digest()


def test_columns_are_renamed_and_others_left_out_with_a_finding(df, tmp_path):
    theirs = df.drop(columns="tag").rename(columns={"service": "app", "time": "when", "rps": "req"})
    theirs.assign(note="x", version=7).to_csv(tmp_path / "h.csv", index=False)
    columns = {"app": "service", "when": "time", "req": "rps"}
    history = read_csv(tmp_path / "h.csv", business_tz=NEW_YORK, columns=columns)
    expected = History.from_frame(df.drop(columns="tag"), business_tz=NEW_YORK)
    assert history.digest() == expected.digest()
    (note,) = history.notes
    assert (note.code, note.severity) == ("column_ignored", "info")
    assert note.data["columns"] == ["note", "version"]
    assert note in history.check()


def test_numeric_names_are_text(tmp_path):
    times = pd.date_range("2026-01-01", periods=3, freq="h", tz="UTC")
    pd.DataFrame({"service": 7, "time": times, "rps": 1}).to_csv(tmp_path / "h.csv", index=False)
    assert read_csv(tmp_path / "h.csv", business_tz="UTC").services == ("7",)


def test_a_service_name_may_be_given(df, tmp_path):
    one = df[df["service"] == "api"]
    one.drop(columns="service").to_parquet(tmp_path / "h.parquet")
    history = read_parquet(tmp_path / "h.parquet", business_tz=NEW_YORK, service="api")
    assert history.digest() == History.from_frame(one, business_tz=NEW_YORK).digest()
    one.to_parquet(tmp_path / "full.parquet")
    assert "Leave service= out" in failure(read_parquet, tmp_path / "full.parquet", service="api")


# ---------------------------------------------------------------- clocks without a zone


@pytest.mark.parametrize("read", [read_csv, read_parquet])
def test_naive_times_are_read_in_the_zone_given(read, tmp_path):
    frame = naive(24 * 20, "2026-06-01", rps=np.arange(480.0))
    path = tmp_path / "h"
    frame.to_csv(path, index=False) if read is read_csv else frame.to_parquet(path)
    assert 'naive_tz="America/New_York"' in failure(read, path)
    history = read(path, business_tz="UTC", naive_tz=NEW_YORK)
    assert history.start == np.datetime64("2026-06-01T04:00:00")
    np.testing.assert_array_equal(history.array("rps")[0], np.arange(480.0))
    assert len(history.notes) == 0


def test_the_nonexistent_hour_is_left_out_with_a_finding(tmp_path):
    # Every local day has 24 rows, as loggers write them; 02:00 on 2025-03-09 never was.
    frame = naive(24 * 20, "2025-03-01", rps=np.arange(480.0))
    frame.to_csv(tmp_path / "h.csv", index=False)
    history = read_csv(tmp_path / "h.csv", business_tz=NEW_YORK, naive_tz=NEW_YORK)
    (note,) = history.notes
    assert (note.code, note.data["rows"], note.data["days"]) == (
        "nonexistent_hour", 1, ["2025-03-09"]
    )  # fmt: skip
    missing = 8 * 24 + 2
    np.testing.assert_array_equal(history.array("rps")[0], np.delete(np.arange(480.0), missing))


@pytest.mark.parametrize("rows_of_the_hour", [1, 2])
def test_the_ambiguous_hour_is_averaged_with_a_finding(rows_of_the_hour, tmp_path):
    frame = naive(24 * 20, "2026-10-25", rps=np.arange(480.0)).assign(tag="deploy")
    at = 7 * 24 + 1
    assert str(frame["time"].iloc[at]) == "2026-11-01 01:00:00"
    if rows_of_the_hour == 2:
        frame = pd.concat([frame, frame.iloc[at : at + 1].assign(rps=1000.0, tag="load_test")])
    digests = set()
    for seed in range(3):
        frame.sample(frac=1, random_state=seed).to_csv(tmp_path / "h.csv", index=False)
        history = read_csv(tmp_path / "h.csv", business_tz=NEW_YORK, naive_tz=NEW_YORK)
        digests.add(history.digest())
    mean = at if rows_of_the_hour == 1 else (at + 1000) / 2
    expected = np.concatenate([np.arange(at), [mean, mean], np.arange(at + 1, 480)])
    np.testing.assert_array_equal(history.array("rps")[0], expected)
    assert history.notes.codes == ("ambiguous_hour",)
    assert history.tags["deploy"].all()
    assert [int(mask.sum()) for tag, mask in history.tags.items() if tag == "load_test"] == (
        [2] if rows_of_the_hour == 2 else []
    )
    assert len(digests) == 1


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("read", [read_csv, read_parquet])
def test_files_that_are_not_there_or_empty(read, df, tmp_path):
    (tmp_path / "history.csv").write_text("")
    text = failure(read, tmp_path / "histroy.csv")
    assert "no such file" in text
    assert "history.csv" in text
    assert "does not exist either" in failure(read, tmp_path / "no" / "history.csv")
    assert "an empty file" in failure(read, tmp_path / "history.csv")
    none = df.iloc[:0]
    none.to_csv(tmp_path / "n.csv", index=False)
    none.to_parquet(tmp_path / "n.parquet")
    path = tmp_path / ("n.csv" if read is read_csv else "n.parquet")
    assert "a header and no rows" in failure(read, path)


def test_a_text_cell_is_named_with_its_line(df, tmp_path):
    cells = df["rps"].astype(object)
    cells.iloc[10] = "n.v."
    frame = df.assign(rps=cells)
    frame.to_csv(tmp_path / "h.csv", index=False)
    lines = (tmp_path / "h.csv").read_text().splitlines()
    assert "n.v." in lines[12 - 1]
    for arguments in ({}, {"naive_tz": NEW_YORK}):
        text = failure(read_csv, tmp_path / "h.csv", **arguments)
        assert "h.csv:12, column \"rps\": got 'n.v.'; expected a number" in text
    frame.assign(rps=cells.astype(str)).to_parquet(tmp_path / "h.parquet")
    assert "h.parquet row 10" in failure(read_parquet, tmp_path / "h.parquet")


def test_a_text_cell_under_naive_times_is_named_too(tmp_path):
    frame = naive(30, "2026-10-25", rps=["1", "2", "-", *["4"] * 27])
    frame.to_csv(tmp_path / "h.csv", index=False)
    text = failure(read_csv, tmp_path / "h.csv", naive_tz=NEW_YORK)
    assert "h.csv:4" in text


def test_missing_and_unknown_columns_name_the_file(df, tmp_path):
    df.rename(columns={"rps": "rqs"}).drop(columns="time").to_csv(tmp_path / "h.csv", index=False)
    text = failure(read_csv, tmp_path / "h.csv")
    assert "h.csv, history: got columns" in text
    assert 'Did you mean "rps"' in text
    text = failure(read_csv, tmp_path / "h.csv", columns={"rq": "rps", "rqs": "rpz"})
    assert 'Did you mean "rqs"' in text
    assert 'Did you mean "rps"' in text


def test_unreadable_files(df, tmp_path):
    bad = tmp_path / "h.parquet"
    bad.write_bytes(b"PAR1 this is no Parquet file PAR1")
    assert "expected a readable Parquet file" in failure(read_parquet, bad)
    df.to_parquet(tmp_path / "whole.parquet")
    bad.write_bytes((tmp_path / "whole.parquet").read_bytes()[:900])
    assert "expected a readable Parquet file" in failure(read_parquet, bad)
    df.to_csv(tmp_path / "h.csv", index=False)
    assert "Use read_csv" in failure(read_parquet, tmp_path / "h.csv")
    ragged = tmp_path / "ragged.csv"
    ragged.write_text("service,time,rps\napi,2026-01-01T00:00Z,1\napi,2026-01-01T01:00Z\n")
    assert "CSV parse error" in failure(read_csv, ragged)
    semicolons = tmp_path / "semi.csv"
    semicolons.write_text("service;time;rps\napi;2026-01-01T00:00Z;1\n")
    assert "separated by ';'" in failure(read_csv, semicolons)
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(ragged.read_bytes())[:20])
    assert "broken.csv.gz" in failure(read_csv, broken)


def test_a_folder_is_no_csv(tmp_path):
    assert "Name one file" in failure(read_csv, tmp_path)


def test_empty_cells_are_gaps_however_they_are_written(df, tmp_path):
    cells = df["rps"].astype(object)
    cells.iloc[10:16] = ["", " ", "NaN", "NA", "null", "N/A"]
    df.assign(rps=cells).to_csv(tmp_path / "h.csv", index=False)
    history = read_csv(tmp_path / "h.csv", business_tz=NEW_YORK)
    expected = np.arange(48.0)
    expected[[7, *range(10, 16)]] = np.nan
    np.testing.assert_array_equal(history.series("api", "rps"), expected)

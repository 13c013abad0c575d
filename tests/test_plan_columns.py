from __future__ import annotations

import json
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from capmodel import documents
from capmodel.plan.columns import FRAMES, MONEY, UNITS, frame_from_json, frame_to_json


def there_and_back(frame: pd.DataFrame) -> pd.DataFrame:
    text = documents.canonical_json(frame_to_json(frame))
    return frame_from_json(json.loads(text))


def test_values_return_as_they_went() -> None:
    frame = pd.DataFrame(
        {
            "scenario": ["base", "high"],
            "peak_p50": [4275.0, math.nan],
            "count": [24, 66],
            "identifiable": [True, False],
            "usd": [Decimal("50761.73"), None],
            "event": ["", "cyber_monday"],
        }
    )
    again = there_and_back(frame)
    assert list(again.columns) == list(frame.columns)
    assert again["usd"].tolist() == [Decimal("50761.73"), None]
    assert again["peak_p50"].tolist()[0] == 4275.0
    assert math.isnan(again["peak_p50"].tolist()[1])
    assert again[["scenario", "count", "identifiable", "event"]].equals(
        frame[["scenario", "count", "identifiable", "event"]]
    )


@pytest.mark.parametrize("usd", [[None, None], [Decimal("1.00")], []])
def test_money_is_decimal_or_none_whatever_stands_beside_it(usd: list[Decimal | None]) -> None:
    again = there_and_back(pd.DataFrame({"usd": pd.Series(usd, dtype=object)}))
    assert again["usd"].tolist() == usd


def test_a_second_trip_changes_no_byte() -> None:
    values = {"x": [1 / 3, math.inf, -0.0], "usd": [Decimal("0.10"), Decimal(-5), None]}
    once = documents.canonical_json(frame_to_json(pd.DataFrame(values)))
    again = frame_to_json(frame_from_json(json.loads(once)))
    assert documents.canonical_json(again) == once


def test_numpy_and_infinity_become_plain() -> None:
    frame = pd.DataFrame(
        {"a": [np.float64(1.5), math.inf], "b": [np.int64(3), np.array([True])[0]]}, dtype=object
    )
    data = frame_to_json(frame)
    assert data["rows"] == [[1.5, 3], [None, True]]
    assert [type(v) for v in data["rows"][0]] == [float, int]
    assert type(data["rows"][1][1]) is bool


def test_every_column_has_a_unit_or_an_empty_one() -> None:
    data = frame_to_json(pd.DataFrame({"pool": ["general"], "required": [72.0]}))
    assert dict(zip(data["columns"], data["units"], strict=True)) == {
        "pool": "", "required": "nodes",
    }  # fmt: skip
    assert {UNITS[name] for name in MONEY} == {"USD"}


def test_the_frames_of_a_plan_are_named_once() -> None:
    assert len(set(FRAMES)) == len(FRAMES)

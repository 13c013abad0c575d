"""Strict YAML, problems with lines, canonical JSON and digests, folders swapped whole."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, model_validator

from capmodel import documents
from capmodel.errors import InputError, Problem
from capmodel.topology import Topology


class Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Replicas(Spec):
    min: int = 1
    max: int | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.max < self.min:
            msg = f"max {self.max} is below min {self.min}"
            raise ValueError(msg)
        return self


class Service(Spec):
    calls: dict[str, Annotated[float, Field(ge=0)] | Literal["fit"]] = Field(default_factory=dict)
    db_class: Annotated[str, Field(alias="class")] = "small"
    replicas: Replicas = Field(default_factory=Replicas)
    proxy: bool = False


class LoseZones(Spec):
    kind: Literal["lose_zones"]
    zones: int


class ColdCache(Spec):
    kind: Literal["cold_cache"]
    hit_ratio: float


class Scenario(Spec):
    growth_yoy_x: dict[str, float] = Field(default_factory=dict)
    lift: dict[str, dict[str, float]] = Field(default_factory=dict)
    seed: int = 0


class Estate(Spec):
    as_of: dt.date | None = None
    note: str = ""
    services: dict[str, Service] = Field(default_factory=dict)
    scenarios: dict[str, Scenario] = Field(default_factory=dict)
    overlays: list[Annotated[LoseZones | ColdCache, Field(discriminator="kind")]] = Field(
        default_factory=list
    )

    @model_validator(mode="after")
    def _known_callers(self) -> Self:
        problems = [
            Problem(f"services.{name}.calls.{caller}", f'"{caller}"', "a service", "Declare it.")
            for name, service in self.services.items()
            for caller in service.calls
            if caller not in self.services
        ]
        if problems:
            raise InputError(problems)
        return self


def problems_of(text: str, **overrides: str) -> tuple[Problem, ...]:
    dotted = {path.replace("__", "."): value for path, value in overrides.items()}
    with pytest.raises(InputError) as caught:
        documents.parse_model(Estate, text, name="estate.yaml", overrides=dotted)
    return caught.value.problems


def read(text: str, tmp_path: Path) -> documents.LocatedDict:
    file = tmp_path / "file.yaml"
    file.write_text(text, encoding="utf-8")
    return documents.read_yaml(file)


# ---- YAML --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),  # YAML 1.1 reads false
        ("on", "on"),  # … true
        ("true", True),
        ("False", False),
        ("1e6", 1e6),  # … text
        ("9.4e6", 9.4e6),
        ("010", "010"),  # … eight
        ("12:30:45", "12:30:45"),  # … 45045, in base 60
        ("0x10", "0x10"),  # … sixteen
        ("1_080", 1080),
        ("-3", -3),
        ("+.5", 0.5),
        ("1.", 1.0),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ("2026-11-30", dt.date(2026, 11, 30)),
        ("'2026-11-30'", "2026-11-30"),
        ("2026-11-30T20:00:00", dt.datetime(2026, 11, 30, 20)),  # noqa: DTZ001  as written
        ("2026-11-30 20:00:00Z", dt.datetime(2026, 11, 30, 20, tzinfo=dt.UTC)),
        ("[1, a]", [1, "a"]),
        ("{no: 1}", {"no": 1}),
        ("!!str 7", "7"),
    ],
)
def test_plain_values_are_what_they_look_like(text: str, value: object, tmp_path: Path) -> None:
    got = read(f"key: {text}", tmp_path)["key"]
    assert got == value
    assert type(got) is type(value)


def test_every_key_is_text_as_written(tmp_path: Path) -> None:
    data = read("no: 1\n2026: 2\n1.50: 3\ntrue: 4\n2026-11-30: 5\n", tmp_path)
    assert list(data) == ["no", "2026", "1.50", "true", "2026-11-30"]


def test_every_key_path_knows_its_line(tmp_path: Path) -> None:
    data = read("a:\n  b: {c: 1,\n      d: 2}\n\nlist:\n  - x\n  - y: 1\n", tmp_path)
    assert data.lines["a", "b", "d"] == 3
    assert data.where("list", 1, "y") == "file.yaml:7 list.1.y"
    assert data.where("a", "missing") == "file.yaml:1 a.missing"
    assert data.where("nowhere") == "file.yaml nowhere"


def test_all_problems_of_a_file_come_together(tmp_path: Path) -> None:
    text = (
        "a: 1\n"
        "b: {x: 1, x: 2}\n"
        "a: 2\n"
        "day: 2026-02-30\n"
        "size: .inf\n"
        "object: !!python/name:os.system\n"
        "list: !!set {q}\n"
        "? [1, 2]\n: 3\n"
        "<<: {q: 1}\n"
    )
    with pytest.raises(InputError) as caught:
        read(text, tmp_path)
    shown = [(p.where, p.got) for p in caught.value.problems]
    assert shown == [
        ("file.yaml:2 b.x", 'the key "x" twice'),
        ("file.yaml:3 a", 'the key "a" twice'),
        ("file.yaml:4 day", "2026-02-30"),
        ("file.yaml:5 size", ".inf"),
        ("file.yaml:6 object", "the tag !!python/name:os.system"),
        ("file.yaml:7 list", "the tag !!set"),
        ("file.yaml:8", "a list or mapping as a key"),
        ("file.yaml:10 <<", "the merge key <<"),
    ]
    assert "the first is on line 1" in caught.value.problems[1].do


def test_aliases_repeat_values_but_end(tmp_path: Path) -> None:
    assert read("a: &pod {cpu: 2}\nb: *pod\n", tmp_path) == {"a": {"cpu": 2}, "b": {"cpu": 2}}
    with pytest.raises(InputError, match="an alias inside itself"):
        read("a: &loop [1, *loop]\n", tmp_path)


@pytest.mark.parametrize(
    ("content", "got", "do"),
    [
        (b"", "an empty file", "Write the fields"),
        (b"# nothing but a comment\n", "an empty file", "Write the fields"),
        (b"- a\n- b\n", "a list", "Write `field: value` lines."),
        (b"just text\n", "a single value", "Write `field: value` lines."),
        (b"a: \xff\n", "a byte that is not UTF-8 at position 3", "Save the file as UTF-8."),
        (b"a: [1,\nb: 2\n", "text that is no YAML", "Correct the YAML there"),
        (b"a: \x07\n", "text that is no YAML", "Correct the YAML there"),
        (b"a: 1\n---\nb: 2\n", "text that is no YAML", "Correct the YAML there"),
        (b"a: *nowhere\n", "text that is no YAML", "Correct the YAML there"),
        (b"a: " + b"[" * 3000 + b"]" * 3000, "values nested too deep", "Flatten the file"),
        (b"a: " + b"[" * 60 + b"]" * 60, "values nested too deep", "Flatten the file"),
    ],
)
def test_a_file_without_a_mapping_says_so(
    content: bytes, got: str, do: str, tmp_path: Path
) -> None:
    file = tmp_path / "study.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        documents.read_yaml(file)
    (problem,) = caught.value.problems
    assert "study.yaml" in problem.where
    assert problem.got.startswith(got)
    assert problem.do.startswith(do)


def test_broken_yaml_names_its_line() -> None:
    (problem,) = problems_of("a: 1\nb: 'open\nc: 3\n")
    assert problem.where.startswith("estate.yaml:")


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "topology.yaml").write_text("a: 1")
    with pytest.raises(InputError, match=r'no such file.*Did you mean "topology\.yaml"'):
        documents.read_yaml(tmp_path / "topolgy.yaml")
    with pytest.raises(InputError, match="got a folder"):
        documents.read_yaml(tmp_path)
    with pytest.raises(InputError, match="Check the path"):
        documents.read_yaml(tmp_path / "none" / "x.yaml")


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    assert read("\ufeffa: 1\n", tmp_path) == {"a": 1}


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.text("ano1.-: #\"'\\", max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abno1.", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abno1.", min_size=1, max_size=3), plain, min_size=1, max_size=3))
def test_json_is_read_as_json(data: dict[str, Any]) -> None:
    class Anything(BaseModel):
        model_config = ConfigDict(extra="allow")

    text = json.dumps({f"k{key}": value for key, value in data.items()})
    parsed = documents.parse_model(Anything, text, name="x").model_dump()
    assert parsed == json.loads(text)


# ---- validation --------------------------------------------------------------------------------


def test_an_unknown_field_names_the_nearest_of_its_own_model() -> None:
    text = "services:\n  api:\n    replcas: {min: 3}\n    replicas: {mim: 3}\n"
    first, second = sorted(problems_of(text), key=lambda p: p.where)
    assert first.where == "estate.yaml:3 services.api.replcas"
    assert first.got == 'the unknown field "replcas"'
    assert first.expected == "one of: calls, class, proxy, replicas"
    assert first.do == 'Did you mean "replicas"?'
    assert second.where == "estate.yaml:4 services.api.replicas.mim"
    assert second.expected == "one of: max, min"


@pytest.mark.parametrize(
    ("text", "where", "got", "expected", "do"),
    [
        (
            "services: {a: {replicas: {min: many}}}",
            "estate.yaml:1 services.a.replicas.min", '"many"', "a whole number",
            "Correct the value.",
        ),
        (
            "services:\n  a: {calls: {a: -1}}",
            "estate.yaml:2 services.a.calls.a", "-1", "a value of at least 0 or 'fit'",
            "Correct the value.",
        ),
        (
            "services:\n  a: {calls: {a: fitt}}",
            "estate.yaml:2 services.a.calls.a", '"fitt"', "a number or 'fit'",
            'Did you mean "fit"?',
        ),
        (
            "services:\n  a: {replicas: {min: 5, max: 2}}",
            "estate.yaml:2 services.a.replicas", "max 2 is below min 5",
            "fields that fit together", "Change one of these fields.",
        ),
        ("note: 2026-11-30", "estate.yaml:1 note", "2026-11-30", "text", "Write it in quotes."),
        (
            "as_of: Monday", "estate.yaml:1 as_of", '"Monday"', "a date like 2026-11-30",
            "Correct the value.",
        ),
        (
            "services: [a]", "estate.yaml:1 services", "a list of 1", "a mapping (key: value)",
            "Correct the value.",
        ),
        (
            "services: {a: {proxy: 3}}", "estate.yaml:1 services.a.proxy", "3",
            "true or false", "Correct the value.",
        ),
        (
            "overlays:\n  - kind: cold_cache", "estate.yaml:2 overlays.0.hit_ratio", "nothing",
            'the required field "hit_ratio"', "Add hit_ratio.",
        ),
        (
            "overlays:\n  - {kind: cold_cache, hit_ratio: 0.4, zonez: 1}",
            "estate.yaml:2 overlays.0.zonez", 'the unknown field "zonez"',
            "one of: hit_ratio, kind", "Remove zonez.",
        ),
        (
            "overlays:\n  - {kind: cold_cahce}", "estate.yaml:2 overlays.0",
            'kind: "cold_cahce"', "kind as one of 'lose_zones', 'cold_cache'",
            'Did you mean "cold_cache"?',
        ),
        (
            "overlays:\n  - {zones: 1}", "estate.yaml:2 overlays.0", "no kind",
            'the field "kind"', "Add a known kind.",
        ),
    ],
)  # fmt: skip
def test_a_wrong_value_is_explained_in_four_parts(
    text: str, where: str, got: str, expected: str, do: str
) -> None:
    assert problems_of(text) == (Problem(where, got, expected, do),)


def test_yes_and_no_still_fill_boolean_fields() -> None:
    estate = documents.parse_model(
        Estate, "services: {a: {proxy: yes, class: no}}", name="estate.yaml"
    )
    assert estate.services["a"].proxy is True
    assert estate.services["a"].db_class == "no"


def test_an_error_raised_whole_in_a_validator_comes_through_with_its_line() -> None:
    text = "services:\n  api:\n    calls:\n      chekout: 1\n  b: {calls: {c: 1}}\n"
    first, second = problems_of(text)
    assert first.where == "estate.yaml:4 services.api.calls.chekout"
    assert first.do == "Declare it."
    assert second.where == "estate.yaml:5 services.b.calls.c"


def test_duplicate_keys_and_wrong_values_are_raised_together() -> None:
    places = {p.where for p in problems_of("note: a\nnote: b\nas_of: x\n")}
    assert places == {"estate.yaml:2 note", "estate.yaml:3 as_of"}


def test_one_problem_per_value_of_a_union_of_a_word_and_a_model() -> None:
    text = "policy:\n  hold:\n    - {failure: {lose_zone: 1}, quantile: 0.5, up_to: hard}\n"
    with pytest.raises(InputError) as caught:
        documents.parse_model(Topology, text, name="t.yaml")
    assert {(p.where, p.do) for p in caught.value.problems} == {
        ("t.yaml:3 policy.hold.0.failure.lose_zones", "Add lose_zones."),
        ("t.yaml:3 policy.hold.0.failure.lose_zone", 'Did you mean "lose_zones"?'),
    }


def test_the_topology_file_says_where_its_references_fail(tmp_path: Path) -> None:
    file = tmp_path / "topology.yaml"
    file.write_text(
        "services:\n  api:\n    calls: {x: 1}\n    pool: genral\npools:\n  general: {types: [m]}\n"
    )
    with pytest.raises(InputError) as caught:
        Topology.read(file)
    assert [p.where for p in caught.value.problems] == [
        "topology.yaml:3 services.api.calls",
        "topology.yaml:4 services.api.pool",
    ]
    assert caught.value.problems[1].do == 'Did you mean "general"?'


# ---- overrides ---------------------------------------------------------------------------------

TWO = "scenarios:\n  base: {growth_yoy_x: {checkouts: 1.25, a.b: 1}}\n  high: {}\noverlays: []\n"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("scenarios.base.growth_yoy_x.checkouts", "1.4", 1.4),
        ("scenarios.base.growth_yoy_x.a.b", "2", 2.0),  # a name with a dot in it
        ("scenarios.high.growth_yoy_x.checkouts", "1.5", 1.5),  # the field was left out
        ("scenarios.high.lift.cyber_monday.checkouts", "3", 3.0),
        ("scenarios.new", "{seed: 3}", Scenario(seed=3)),
        ("as_of", "2026-09-21", dt.date(2026, 9, 21)),
        ("note", "''", ""),
    ],
)
def test_an_override_sets_one_value(path: str, value: str, expected: object) -> None:
    estate = documents.parse_model(Estate, TWO, name="s.yaml", overrides={path: value})
    dump = estate.model_dump()
    where = {"scenarios.base.growth_yoy_x.a.b": ["scenarios", "base", "growth_yoy_x", "a.b"]}
    for key in where.get(path, path.split(".")):
        dump = dump[key]
    assert dump == (expected.model_dump() if isinstance(expected, BaseModel) else expected)


def test_an_override_reaches_into_lists() -> None:
    text = "overlays:\n  - {kind: lose_zones, zones: 1}\n"
    estate = documents.parse_model(Estate, text, name="s.yaml", overrides={"overlays.0.zones": "2"})
    (overlay,) = estate.overlays
    assert isinstance(overlay, LoseZones)
    assert overlay.zones == 2


@pytest.mark.parametrize(
    ("path", "value", "got", "do"),
    [
        ("scenarios.base.growht", "1", 'the unknown field "growht"', "Remove growht."),
        ("scenarios.bsae.seed", "1", 'the unknown name "bsae"', 'Did you mean "base"?'),
        ("nots", "x", 'the unknown field "nots"', 'Did you mean "note"?'),
        ("overlays.0.zones", "1", '"0" for a list of 0', "Write the item's index, "),
        ("scenarios.base.growth_yoy_x.checkouts.x", "1", "a path through ", "End the path at "),
        ("scenarios.base.seed", "seven", '"seven"', "Correct the value."),
        ("scenarios.base.seed", "[1", "text that is no YAML", "Correct the YAML there"),
        ("scenarios..seed", "1", "an empty name", "Write names with single dots between."),
        ("", "1", "an empty name", "Write names with single dots between."),
    ],
)
def test_a_wrong_override_is_named(path: str, value: str, got: str, do: str) -> None:
    with pytest.raises(InputError) as caught:
        documents.parse_model(Estate, TWO, name="s.yaml", overrides={path: value})
    (problem,) = caught.value.problems
    assert problem.where.startswith(f"override {path}")
    assert problem.got.startswith(got)
    assert problem.do.startswith(do)


def test_an_override_may_not_invent_a_name_among_untyped_mappings() -> None:
    class Study(Spec):
        scenarios: dict[str, dict[str, Any]]

    def parse(path: str) -> Study:
        return documents.parse_model(
            Study, TWO.split("overlays", maxsplit=1)[0], name="s", overrides={path: "1"}
        )

    assert parse("scenarios.high.lift.a.b").scenarios["high"] == {"lift": {"a": {"b": 1}}}
    with pytest.raises(InputError, match=r'the unknown name "hihg".*Did you mean "high"'):
        parse("scenarios.hihg.lift.a.b")


def test_validate_and_locate_give_late_errors_their_line(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("scenarios:\n  base:\n    sed: 3\n")
    with pytest.raises(InputError) as caught:
        documents.validate(Scenario, {"sed": 3}, where="scenarios.base")
    (problem,) = caught.value.problems
    assert problem.where == "scenarios.base.sed"
    assert problem.do == 'Did you mean "seed"?'
    late = InputError(
        [problem, Problem("scenarios.base.seed", "a", "b", "c"), Problem("x", "", "", "")]
    )
    places = [p.where for p in documents.locate(late, file).problems]
    assert places == ["study.yaml:3 scenarios.base.sed", "study.yaml:2 scenarios.base.seed", "x"]


# ---- canonical JSON ----------------------------------------------------------------------------


class Kept(BaseModel):
    db_class: Annotated[str, Field(alias="class")]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None, "é"]}, '{"a":[true,null,"é"],"b":1}'),
        (1 / 3, "0.333333333"),
        (123456789012.0, "123456789000.0"),
        (2.0, "2.0"),
        (1e-300, "1e-300"),
        (-0.0, "0.0"),
        (-1e-320 * 1e-10, "0.0"),
        ([math.nan, math.inf, -math.inf], "[null,null,null]"),
        (Decimal("1234.5"), '"1234.50"'),
        (Decimal("0.125"), '"0.12"'),  # half to even
        (Decimal("-0.001"), '"0.00"'),
        (Decimal("NaN"), "null"),
        (dt.date(2026, 11, 30), '"2026-11-30"'),
        (dt.datetime(2026, 11, 30, 20, tzinfo=dt.UTC), '"2026-11-30T20:00:00+00:00"'),
        (pd.Timestamp("2026-11-30 20:00"), '"2026-11-30T20:00:00"'),
        ([pd.NaT, pd.NA, np.datetime64("NaT")], "[null,null,null]"),
        (np.datetime64("2026-11-30"), '"2026-11-30"'),
        (np.datetime64("2026-11-30T20", "ns"), '"2026-11-30T20:00:00"'),
        (np.array(["2026-11-30"], dtype="datetime64[D]"), '["2026-11-30"]'),
        (np.array([[1.5, np.nan], [-0.0, 2.0]]), "[[1.5,null],[0.0,2.0]]"),
        (np.array(3), "3"),
        ((np.int64(3), np.True_, np.float32(0.5), np.str_("x")), '[3,true,0.5,"x"]'),
        ({dt.date(2026, 1, 2): 1, 3: 2}, '{"2026-01-02":1,"3":2}'),
        (Kept(**{"class": "x"}), '{"class":"x"}'),
    ],
)  # fmt: skip
def test_each_value_has_one_text(value: object, text: str) -> None:
    assert documents.canonical_json(value) == text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [{1, 2}]}, r"value\.a\[0\] is a set"),
        ({"a": {(1, 2): 3}}, r"value\.a has a key of type tuple"),
        ({"a": {True: 3}}, r"value\.a has a key of type bool"),
        ({1: 2, "1": 3}, "two keys that are both written '1'"),
        (np.timedelta64(1, "D"), "timedelta64"),
        (object(), "value is a object"),
    ],
)
def test_a_value_without_a_canonical_form_is_refused(value: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        documents.canonical_json(value)


@given(st.dictionaries(st.text(max_size=3), st.floats() | st.integers() | st.text(max_size=3)))
def test_the_text_is_a_fixed_point_and_ignores_order(value: dict[str, Any]) -> None:
    text = documents.canonical_json(value)
    assert documents.canonical_json(json.loads(text)) == text
    assert documents.canonical_json(dict(reversed(value.items()))) == text


@given(st.floats(-1e12, 1e12))
def test_nine_digits_are_kept(number: float) -> None:
    kept = json.loads(documents.canonical_json(number))
    assert kept == pytest.approx(number, rel=5e-9, abs=0)


def test_the_last_bits_do_not_change_the_text() -> None:
    assert documents.canonical_json(0.1 + 0.2) == documents.canonical_json(0.3)


def test_sha256_is_that_of_the_standard() -> None:
    # FIPS 180-2, appendix B.1
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert documents.sha256_hex("abc") == documents.sha256_hex(b"abc") == digest


def test_the_digest_sees_values_and_nothing_else() -> None:
    values = np.array([[1.0, -0.0, np.nan], [4.0, 5.0, 6.0]])
    same = documents.array_digest({"a": values, "b": np.array([True, False])})
    assert same == documents.array_digest({"b": np.array([1, 0]), "a": np.asfortranarray(values)})
    assert same == documents.array_digest(
        {"a": np.abs(values).astype(">f4"), "b": np.array([1.0, 0.0])}
    )
    other_nan = values.copy()
    other_nan.view("u8")[0, 2] |= 1  # another payload, still a NaN
    assert np.isnan(other_nan[0, 2])
    assert same == documents.array_digest({"a": other_nan, "b": np.array([1, 0])})
    different = [
        {"a": values.reshape(3, 2), "b": np.array([1, 0])},
        {"a": values, "c": np.array([1, 0])},
        {"a": values + 1e-12, "b": np.array([1, 0])},
    ]
    assert same not in {documents.array_digest(arrays) for arrays in different}
    with pytest.raises(TypeError, match="a holds <U1"):
        documents.array_digest({"a": np.array(["x"])})


def test_the_digest_leaves_the_arrays_alone() -> None:
    values = np.array([-0.0, np.nan])
    values.flags.writeable = False
    documents.array_digest({"a": values})
    assert np.signbit(values[0])


# ---- files -------------------------------------------------------------------------------------


def tree(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def write_two(folder: Path) -> None:
    (folder / "plan.json").write_text("new")
    (folder / "csv").mkdir()
    (folder / "csv" / "limits.csv").write_text("x")


@pytest.mark.parametrize("before", [None, {}, {"plan.json": "old", "old.csv": "y"}])
def test_a_folder_is_replaced_whole(before: dict[str, str] | None, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "review" if before is None else tmp_path / "review"
    if before is not None:
        target.mkdir()
        for name, text in before.items():
            (target / name).write_text(text)
    documents.swap_folder(target, write_two)
    assert tree(target) == {"plan.json": "new", "csv/limits.csv": "x"}
    assert [p.name for p in target.parent.iterdir()] == ["review"]  # nothing left beside it


@pytest.mark.parametrize("before", [None, {"plan.json": "old"}])
def test_a_failed_write_changes_nothing(before: dict[str, str] | None, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "review"
    if before is not None:
        target.mkdir(parents=True)
        (target / "plan.json").write_text("old")

    def fail(folder: Path) -> None:
        write_two(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        documents.swap_folder(target, fail)
    assert tree(tmp_path) == ({"deep/review/plan.json": "old"} if before else {})
    assert (tmp_path / "deep").exists() == (before is not None)


def test_a_failed_rename_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "review"
    target.mkdir()
    (target / "plan.json").write_text("old")
    rename = Path.rename

    def refuse(self: Path, to: Path) -> Path:
        if self.name == "new":
            raise OSError(16, "Device or resource busy")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(InputError, match="Device or resource busy"):
        documents.swap_folder(target, write_two)
    assert tree(tmp_path) == {"review/plan.json": "old"}


def test_a_folder_of_somebody_else_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"holds other files and no plan\.json.*Name another"):
        documents.swap_folder(tmp_path, lambda _: pytest.fail("must not be called"))
    with pytest.raises(InputError, match="got a file"):
        documents.swap_folder(tmp_path / "thesis.tex", write_two)
    with pytest.raises(InputError, match="a place to write"):
        documents.swap_folder(tmp_path / "thesis.tex" / "review", write_two)
    assert tree(tmp_path) == {"thesis.tex": "years of work"}


def test_ours_names_the_file_that_marks_a_folder(tmp_path: Path) -> None:
    target = tmp_path / "track"
    target.mkdir()
    (target / "ledger.json").write_text("old")
    documents.swap_folder(target, write_two, ours="ledger.json")
    assert (target / "plan.json").exists()


def test_a_text_file_is_written_whole(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "plan.json"
    documents.write_text_atomic(file, "one\ntwo é")
    documents.write_text_atomic(file, "three\n")
    assert file.read_bytes() == b"three\n"
    assert [p.name for p in file.parent.iterdir()] == ["plan.json"]
    with pytest.raises(UnicodeEncodeError):
        documents.write_text_atomic(file, "\ud800")
    assert tree(tmp_path) == {"deep/plan.json": "three\n"}
    with pytest.raises(InputError, match="got a folder"):
        documents.write_text_atomic(tmp_path, "x")


def test_written_files_are_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    documents.swap_folder(tmp_path / "ours", write_two)
    documents.write_text_atomic(tmp_path / "text", "x")
    (tmp_path / "plain").write_text("x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert (tmp_path / "text").stat().st_mode == (tmp_path / "plain").stat().st_mode

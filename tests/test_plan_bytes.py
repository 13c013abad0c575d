"""What a plan.json promises: the same inputs give the same bytes, one other value another hash."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import stories

from capmodel.cli import main
from capmodel.plan import PlanSet, Study

RUN = "from capmodel.cli import main; main()"
REPORT_BLAS = (
    "import scipy.linalg, threadpoolctl; "
    "print({one.get('architecture') for one in threadpoolctl.threadpool_info()})"
)


@pytest.fixture(scope="module")
def clean_dir(repo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    stories.load_script(repo / "data" / "fixtures" / "clean" / "generate.py").generate(folder)
    return folder


@pytest.fixture(scope="module")
def clean_study(clean_dir):
    return Study.read(clean_dir / "study.yaml")


@pytest.fixture(scope="module")
def clean_plan(clean_study):
    return clean_study.plan()


@pytest.mark.slow
def test_the_same_study_gives_the_same_bytes(clean_study, clean_plan, tmp_path, capsys):
    assert clean_study.plan().to_json() == clean_plan.to_json()
    with pytest.raises(SystemExit, match="0"):
        main(["plan", str(clean_study._path), "--out", str(tmp_path / "review")])
    capsys.readouterr()
    written = (tmp_path / "review" / "plan.json").read_text(encoding="utf-8")
    assert written == clean_plan.to_json()
    assert PlanSet.load(tmp_path / "review" / "plan.json").to_json() == written


@pytest.mark.slow
def test_row_order_changes_nothing_and_one_value_changes_the_hash(clean_dir, clean_plan, tmp_path):
    rows = pd.read_parquet(clean_dir / "history.parquet")
    shuffled = rows.sample(frac=1.0, random_state=3)
    assert hash_with(shuffled, clean_dir, tmp_path / "shuffled") == clean_plan.hash
    changed = rows.assign(per_min=rows["per_min"] * (1 + 0.001 * (rows.index == 20_000)))
    assert hash_with(changed, clean_dir, tmp_path / "changed") != clean_plan.hash


def hash_with(rows: pd.DataFrame, source: Path, folder: Path) -> str:
    folder.mkdir()
    rows.to_parquet(folder / "history.parquet", index=False)
    for name in ("study.yaml", "topology.yaml"):
        (folder / name).write_text((source / name).read_text(encoding="utf-8"), encoding="utf-8")
    return Study.read(folder / "study.yaml").plan().hash


@pytest.mark.slow
def test_the_order_of_price_rows_does_not_matter_and_a_cent_does(tmp_path):
    def hash_of(prices: str) -> str:
        (tmp_path / "prices.csv").write_text(prices, encoding="utf-8")
        return Study.read(tmp_path / "study.yaml").plan().hash

    stories.proportional_pool(tmp_path)
    head, row = stories.PRICES.splitlines(keepends=True)
    other = row.replace("m6i.4xlarge", "m6i.2xlarge")
    first = hash_of(head + row + other)
    assert hash_of(head + other + row) == first
    assert hash_of(head + row.replace("0.6528", "0.6529") + other) != first


def plan_json(study: Path, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", RUN, "plan", str(study), "--format", "json"],
        env={**os.environ, **variables}, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in {"x86_64", "AMD64"}, reason="names x86 kernels")
def test_two_blas_kernels_and_two_hash_seeds_give_the_same_plan(shop_dir, tmp_path):
    """Kernels add in another order; statistics in float64, nine digits, no residue of rounding."""
    kernels = [
        subprocess.run(
            [sys.executable, "-c", REPORT_BLAS], env={**os.environ, "OPENBLAS_CORETYPE": name},
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout
        for name in ("Nehalem", "Haswell")
    ]  # fmt: skip
    assert kernels[0] != kernels[1]
    study = shop_dir / "study.yaml"
    old = plan_json(study, OPENBLAS_CORETYPE="Nehalem", PYTHONHASHSEED="1")
    new = plan_json(study, OPENBLAS_CORETYPE="Haswell", PYTHONHASHSEED="2")
    for name, text in (("old", old), ("new", new)):
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    plans = [PlanSet.load(tmp_path / f"{name}.json") for name in ("old", "new")]
    assert plans[1].diff(plans[0]).empty  # what every machine promises: nothing at 1e-6
    assert json.loads(old)["hash"] == json.loads(new)["hash"]  # what these two give: every byte

"""What the tests share: the repository's folders, one fitted shop, and what a machine may lack."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from capmodel.plan import CapacityFit, PlanSet, Study

ROOT = Path(__file__).resolve().parents[1]

# The same examples on every run and machine: a failure seen in CI is a failure seen here.
settings.register_profile(
    "capmodel", deadline=None, derandomize=True, max_examples=25, database=None
)
settings.load_profile("capmodel")

Require = Callable[..., Path]


def _missing(reason: str) -> None:
    """Skip with a reason; fail where nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason} (nothing may be missing where CI is set)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def require() -> Require:
    """Return ``require(program, install=...)``: the program's path, or a skip that says how.

    Under CI a missing program fails the test.
    """

    def find(program: str, *, install: str) -> Path:
        found = shutil.which(program)
        if found is None:
            _missing(f"{program} is missing; install it: {install}")
        return Path(str(found))

    return find


@pytest.fixture(scope="session")
def repo() -> Path:
    """Return the repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shop_dir() -> Path:
    """Return the folder of the shop fixture: history, minutes, topology, study, truth."""
    return ROOT / "data" / "fixtures" / "shop"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real data that CAPMODEL_DATA names."""
    named = os.environ.get("CAPMODEL_DATA")
    if not named:
        _missing("CAPMODEL_DATA is not set; set it to the folder of real data")
    folder = Path(str(named))
    if not folder.is_dir():
        pytest.fail(f"CAPMODEL_DATA names {folder}, which is no folder", pytrace=False)
    return folder


@pytest.fixture(scope="session")
def shop_study(shop_dir: Path) -> Study:
    """Return the shop's study."""
    from capmodel.plan import Study

    return Study.read(shop_dir / "study.yaml")


@pytest.fixture(scope="session")
def shop_fit(shop_study: Study) -> CapacityFit:
    """Return the shop, fitted once per session."""
    return shop_study.fit()


@pytest.fixture(scope="session")
def shop_plans(shop_study: Study, shop_fit: CapacityFit) -> PlanSet:
    """Return the shop's plan: low, base, high and the mixture."""
    return shop_study.plan(shop_fit)

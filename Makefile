# Needs Python >= 3.11 and make. Another interpreter: make plan PYTHON=python3.13. Another folder: VENV=...

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STUDY ?= data/fixtures/shop/study.yaml
QUICK := not slow and not server and not real
# Two processes; the tests of a file stay together, with what they share.
TWO := -n 2 --dist loadfile

# Small matrices: one thread per process is as fast on a quiet machine and far faster on a busy one.
export OMP_NUM_THREADS := 1
# Compiled modules make every start three times faster.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help plan test check-fast check types doctests test-all format clean
.PHONY: benchmark benchmark-speed benchmark-accuracy benchmark-fleets benchmark-usage
.PHONY: benchmark-capacity

help:
	@echo "make plan        install, plan the shop study, say which file to open"
	@echo "make test        install with the extra dev, run the quick suite"
	@echo "make check-fast  format, lint, layers: seconds"
	@echo "make check       check-fast, types, doctests, every test, notebooks and wheel: minutes"
	@echo "make benchmark   time and memory of the whole study, of --help and of import"
	@echo "make benchmark-speed     10,000 services' forecasts and Prophet's: 4 minutes, 6 GB"
	@echo "make benchmark-accuracy  real series, with peers, with gaps, M4 Hourly: an hour; needs data"
	@echo "make benchmark-fleets    peaks of 500 planted retail fleets: a quarter of an hour"
	@echo "make benchmark-usage     usage: planted endpoints, a fleet's minutes: two minutes"
	@echo "make benchmark-capacity  plans, mixes, risk, event hour, Netflix side by side: five minutes"
	@echo "make format      format and mend what the linter can"
	@echo "make clean       remove caches and builds; $(VENV) stays"

plan: $(VENV)/.capmodel-run
	$(BIN)/capmodel plan $(STUDY) --out review
	@echo "Open review/review.html in a browser."

test: $(VENV)/.capmodel-dev
	$(BIN)/python -m pytest -q $(TWO) -m "$(QUICK)"

check-fast: $(VENV)/.capmodel-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo

check: check-fast types doctests test-all

# Tests may leave out annotations and compare tuples with pytest.approx; the rest of strict holds.
types: $(VENV)/.capmodel-dev
	$(BIN)/mypy
	$(BIN)/mypy --allow-untyped-defs --allow-incomplete-defs --allow-untyped-calls --no-strict-equality --no-warn-unused-ignores tests

# Every docstring's example, and the README's.
doctests: $(VENV)/.capmodel-dev
	$(BIN)/python -m pytest -q --doctest-modules --doctest-glob=README.md capmodel README.md

test-all: $(VENV)/.capmodel-dev
	$(BIN)/python -m pytest -q $(TWO) --durations=10

benchmark: $(VENV)/.capmodel-run
	$(BIN)/python benchmarks/study.py

benchmark-speed: $(VENV)/.capmodel-run
	$(BIN)/python benchmarks/speed.py

# The folder of real data: CAPMODEL_DATA, else ../shared/data.
benchmark-accuracy: $(VENV)/.capmodel-dev
	$(BIN)/python benchmarks/accuracy.py
	$(BIN)/python benchmarks/gaps.py
	$(BIN)/python benchmarks/last_year.py
	$(BIN)/python benchmarks/m4.py

benchmark-fleets: $(VENV)/.capmodel-run
	$(BIN)/python benchmarks/fleets.py

benchmark-usage: $(VENV)/.capmodel-run
	$(BIN)/python benchmarks/usage.py
	$(BIN)/python benchmarks/usage_speed.py

benchmark-capacity: $(VENV)/.capmodel-run
	$(BIN)/python benchmarks/plan.py
	$(BIN)/python benchmarks/mix.py
	$(BIN)/python benchmarks/union_risk.py
	$(BIN)/python benchmarks/tripwires.py
	$(BIN)/python benchmarks/simulator.py
	$(BIN)/python benchmarks/netflix.py

format: $(VENV)/.capmodel-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

# An install is repeated only after pyproject.toml or constraints.txt changed; it is editable, so the
# code needs none. The extra dev holds everything that the plain install has.
$(VENV)/.capmodel-run: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.capmodel-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.capmodel-run

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "capmodel needs Python >= 3.11, $(PYTHON) is " + sys.version.split()[0] + "; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# `make demo` and `make test` are complete on a fresh machine: they make .venv from the lock first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install demo up down test test-failed check bench simulate simulate-nightly soak lock vendor clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

install: $(VENV)/.installed  ## make .venv from the lock

$(VENV)/.installed: requirements.lock pyproject.toml images/eo-base/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Swath needs Python 3.11 or later: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { echo "Python's venv is missing: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable . --editable images/eo-base
	@touch $@

demo: install  ## turn real Sentinel-2 scenes into NDVI maps on a laptop cluster
	$(BIN)/swath demo

up: install  ## start the laptop cluster (Ctrl-C stops it)
	$(BIN)/swath up

down: install  ## stop the laptop cluster and its executors
	$(BIN)/swath down

test: install  ## run all tests
	$(BIN)/python -m pytest -q -n 2

test-failed: install  ## run again what failed last time, and nothing else
	$(BIN)/python -m pytest -q --last-failed --last-failed-no-failures none

check: install  ## lint, types, architecture, lock freshness
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python vendor/check_lock.py

bench: install  ## measure speeds and sizes: NAMES="matching packing" these (docs/benchmarks.md)
	$(BIN)/python -m benchmarks $(NAMES)

SEEDS ?= 100
simulate: install  ## hours of faults on a virtual clock: SEEDS=100 fresh ones, SEEDS=0-999 these, SEEDS=s:12345 that one, SEEDS=commit the tests'
	$(BIN)/python -m tests.simulation $(SEEDS)

simulate-nightly: install  ## 10,000 fresh seeds, to the end whatever fails (some hours)
	$(BIN)/python -m tests.simulation 10000 --keep-going

MINUTES ?= 10
TASKS ?= 5000
soak: install  ## kill and stop real processes at random under 5,000 tasks (MINUTES=10 TASKS=5000 SEED=)
	$(BIN)/python -m tests.soak --minutes $(MINUTES) --tasks $(TASKS) $(if $(SEED),--seed $(SEED))

lock:  ## resolve requirements.lock anew (needs uv)
	./vendor/lock.sh --upgrade && images/eo-base/lock.sh && deploy/lock.sh

vendor: install  ## rebuild the wheel of vendor/http-parser
	SOURCE_DATE_EPOCH=1767225600 $(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir vendor/wheels vendor/http-parser
	rm -rf vendor/http-parser/build vendor/http-parser/*.egg-info

clean:  ## remove .venv and ./var
	rm -rf $(VENV) var

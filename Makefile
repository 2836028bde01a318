# Two commands do everything on a machine with python3 (3.11 or newer), pip and make:
#   make demo   the main job on real data, with a kill in the middle
#   make test   lint, types and all tests, what CI runs
# Each makes its own .venv. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BUILT_FROM := pyproject.toml setup.py src/keepfit/codecs/_tree_kernel.c
PIP_INSTALL := $(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check

# Tests start hundreds of processes: each would compile the sources again where this is set.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test lint lint-and-floor tests floor-tests floor-server sklearn-tests long load-test fuzz fuzz-parsers compare-scanners bench bench-validation bench-checkpoint
.PHONY: bench-search bench-predict bench-serve ecosystem tables clean

help:
	@echo "make demo              search, SIGKILL, resume, leaderboard, predict: on real data, under three minutes"
	@echo "make test              lint, types, all tests, scikit-learn's own tests inside checkpoint: what CI runs"
	@echo "make floor-tests       tests on the lowest releases of all libraries that are supported; part of make test"
	@echo "make floor-server      the tests of the server's way in on the lowest releases"
	@echo "make long              the long rigs: kill tests at 50 moments; every estimator inside every other"
	@echo "make load-test         requests for ten minutes while workers are killed, and 100 reloads under load"
	@echo "make fuzz              changed files of every estimator, for ten minutes; FUZZ='--minutes 600 --workers 2' for more"
	@echo "make fuzz-parsers      coverage-guided fuzzing of the parsers of files and pickles, for ten minutes (atheris)"
	@echo "make compare-scanners  verdicts on hostile and harmless pickles beside those of scanners, installed for it"
	@echo "make ecosystem         MLflow and MLServer with models kept here, searches on Dask and Ray, in environments of their own"
	@echo "make bench             dump, load and size beside pickle, joblib and skops"
	@echo "make bench-floor       what pickle's compiled code takes for the same with its arrays given: no reader goes below"
	@echo "make bench-validation  what validation costs of the time to load"
	@echo "make bench-checkpoint  what checkpoint costs per task"
	@echo "make bench-fast        one-row predictions: scikit-learn's own, the fast way, from tensor to tensor"
	@echo "make bench-predict     how long and in how much memory keepfit predict takes a table"
	@echo "make bench-search      what sharing work saves in searches"
	@echo "make bench-serve       what a served prediction costs beside MLServer and MLflow"
	@echo "make kernel            compile what checks trees, for a clone that is not installed"
	@echo "make tables            write the tables of scikit-learn's classes for the installed release"
	@echo "make clean             remove .venv and caches"

# Debian's python3 may come without ensurepip: then the venv is made without pip, and the outer pip installs into it.
$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "keepfit needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || { echo "keepfit's set-up needs pip: apt-get install python3-pip" >&2; exit 1; }
	@echo "making $(VENV) ..."
	@$(PYTHON) -m venv --without-pip $(VENV)
	@touch $@

$(VENV)/demo-ready: $(VENV)/made $(BUILT_FROM)
	@echo "installing keepfit and what the demo needs into $(VENV) ..."
	@$(PIP_INSTALL) -e '.[pandas]'
	@touch $@

$(VENV)/test-ready: $(VENV)/made $(BUILT_FROM)
	@echo "installing keepfit and what its tests need into $(VENV) ..."
	@$(PIP_INSTALL) -e '.[test]'
	@touch $@

$(VENV)/bench-ready: $(VENV)/made $(BUILT_FROM)
	@echo "installing keepfit and its peers into $(VENV) ..."
	@$(PIP_INSTALL) -e '.[bench]'
	@touch $@

demo: $(VENV)/demo-ready
	$(BIN)/python scripts/demo.py

test: lint-and-floor tests floor-tests sklearn-tests

# Side by side: either keeps one core busy only.
lint-and-floor: $(VENV)/test-ready
	@$(MAKE) --no-print-directory -j2 lint $(FLOOR)/ready

lint: $(VENV)/test-ready
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

# One thread per process: two test processes share two cores, and results do not depend on the machine's width.
tests: $(VENV)/test-ready
	OMP_NUM_THREADS=1 sh scripts/chromium.sh --install sh scripts/postgresql.sh --install \
		$(BIN)/python -m pytest -n 2 -q -m "not long"

# The rooms that know scikit-learn, joblib and numpy from inside, on the lowest releases of all libraries that are
# supported. `make floor-server` runs what parses what strangers send there, too.
FLOOR := .venv-floor
$(FLOOR)/ready: $(BUILT_FROM) tests/floor.txt
	@echo "installing keepfit and the lowest releases it supports into $(FLOOR) ..."
	@$(PYTHON) -m venv --without-pip $(FLOOR)
	@$(PYTHON) -m pip --python $(FLOOR)/bin/python install --quiet --disable-pip-version-check -r tests/floor.txt -e .
	@touch $@

floor-tests: $(FLOOR)/ready
	OMP_NUM_THREADS=1 $(FLOOR)/bin/python -m pytest -n 2 -q -m "not long" tests/graph tests/artifact tests/codecs \
		tests/checkpoint/test_searches.py tests/checkpoint/test_sharing.py tests/checkpoint/test_growing.py \
		tests/serve/test_fast_paths.py

floor-server: $(FLOOR)/ready
	OMP_NUM_THREADS=1 $(FLOOR)/bin/python -m pytest -n 2 -q -m "not long" tests/serve/test_http.py \
		tests/serve/test_http_attacks.py

sklearn-tests: $(VENV)/test-ready
	OMP_NUM_THREADS=1 $(BIN)/python scripts/sklearn_suites.py

long: $(VENV)/test-ready
	OMP_NUM_THREADS=1 bash scripts/postgresql.sh --install $(BIN)/python -m pytest -n 2 -q -m long

load-test: $(VENV)/test-ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s -m long tests/serve/test_load.py

# With one thread: a forked child of a process with several may wait for ever.
FUZZ ?= --minutes 10
fuzz: $(VENV)/test-ready
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python scripts/fuzz.py --variants $(FUZZ)

$(VENV)/fuzz-ready: $(VENV)/test-ready
	@$(PIP_INSTALL) -e '.[fuzz]'
	@touch $@

fuzz-parsers: $(VENV)/fuzz-ready
	$(BIN)/python scripts/fuzz_parsers.py $(VENV)/parser-corpus -max_total_time=600 -rss_limit_mb=2048 -timeout=5

# Scanners of pickles have pins of their own, so they get an environment of their own.
SCANNERS := .venv-scanners
$(SCANNERS)/ready: $(VENV)/test-ready
	@$(PYTHON) -m venv --without-pip $(SCANNERS)
	@$(PYTHON) -m pip --python $(SCANNERS)/bin/python install --quiet picklescan fickling modelscan typing_extensions
	@touch $@

compare-scanners: $(SCANNERS)/ready
	OMP_NUM_THREADS=1 $(BIN)/python scripts/hostile_table.py --scanners $(SCANNERS)/bin

# What these need does not go together, nor with what the other tests need.
.venv-%/ready: $(BUILT_FROM)
	@echo "installing keepfit and $* into .venv-$* ..."
	@$(PYTHON) -m venv --without-pip .venv-$*
	@$(PYTHON) -m pip --python .venv-$*/bin/python install --quiet --disable-pip-version-check -e '.[$*]' 'pytest>=8'
	@touch $@

ecosystem: .venv-mlflow/ready .venv-mlserver/ready .venv-engines/ready
	.venv-mlflow/bin/python -m pytest -q -o filterwarnings=default tests/test_mlflow.py
	.venv-mlserver/bin/python -m pytest -q -o filterwarnings=default tests/test_mlserver.py
	.venv-engines/bin/python -m pytest -q -o filterwarnings=default tests/checkpoint/test_engines.py

bench: $(VENV)/bench-ready
	$(BIN)/python benchmarks/persistence.py

.PHONY: bench-floor
bench-floor: $(VENV)/bench-ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/load_floor.py

bench-validation: $(VENV)/bench-ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/validation_cost.py

bench-checkpoint: $(VENV)/bench-ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/checkpoint_overhead.py

bench-search: $(VENV)/bench-ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/shared_work.py

.PHONY: bench-fast
bench-fast: $(VENV)/test-ready
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/fast_paths.py

bench-predict: $(VENV)/bench-ready
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/predicting.py

# Peers go into environments of their own under .venv-serving.
bench-serve: $(VENV)/bench-ready
	PYTHON=$(PYTHON) OMP_NUM_THREADS=1 $(BIN)/python benchmarks/serving.py

# For a clone that runs without being installed (PYTHONPATH=src); `pip install -e .` builds it too.
KERNEL := src/keepfit/codecs/_tree_kernel
.PHONY: kernel
kernel: $(KERNEL).abi3.so
$(KERNEL).abi3.so: $(KERNEL).c
	$(CC) -O3 -Wall -Wextra -shared -fPIC -I"$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')" -o $@ $<

tables: $(VENV)/test-ready
	$(BIN)/python scripts/make_tables.py

clean:
	rm -rf $(VENV) $(FLOOR) $(SCANNERS) $(KERNEL).*so build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# `make run` runs the platform on this machine; `make test` checks all of it.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
PYTEST = $(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder

# The tests start hundreds of processes; without kept byte code each compiles all sources anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test test-long check style types tests bench clean

help:
	@echo "make run    install into $(VENV), start Helvetia, deploy the sample service"
	@echo "make test   install what the tests need, then run all checks and tests"
	@echo "make test-long  the tests alone, with those that take a minute each"
	@echo "make check  ruff and mypy only"
	@echo "make bench  measure; prints tables"
	@echo "make clean  remove the virtual environment and caches"

run: $(VENV)/installed
	@exec $(BIN)/helvetia up --deploy examples/hello-static

# mypy keeps one core busy for a minute, and the tests wait for something now and then.
test: $(VENV)/installed-dev
	@$(BIN)/python tests/needs.py
	@$(MAKE) --no-print-directory style
	@$(MAKE) --no-print-directory --jobs=2 types tests || \
		{ echo "mypy or a test failed: see above"; exit 1; }

test-long: $(VENV)/installed-dev
	@$(BIN)/python tests/needs.py
	$(PYTEST)

check: style types

style: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev
	$(BIN)/mypy

tests: $(VENV)/installed-dev
	$(PYTEST) --durations 40 -m "not long"

bench: $(VENV)/installed-dev
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	@echo "making a virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Helvetia needs Python 3.11 or newer; set PYTHON=python3.x"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get update -q && apt-get install -y -q python3-venv && $(PYTHON) -m venv $(VENV); } \
		|| { rm -rf $(VENV); echo "no venv module: sudo apt-get install python3-venv"; exit 1; }

$(VENV)/installed: setup.cfg pyproject.toml | $(BIN)/python
	@echo "installing Helvetia (a minute the first time)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-dev: setup.cfg pyproject.toml | $(BIN)/python
	@echo "installing Helvetia and its development tools"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/installed

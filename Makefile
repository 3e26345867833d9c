# Everything a developer or CI runs. `make` alone lists the targets.
PYTHON ?= python3
ARGS ?=
# One more than cores: many tests wait for a lease, an outage or a server.
WORKERS ?= $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) + 1)")
BIN := .venv/bin
STAMP := .venv/.complete
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help setup compiled up demo test test-fast check lint types format generate typescript page screenshots states reference generated-check \
	breaking lock soak bench profile build dist clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv from requirements.lock (another Python: PYTHON=python3.13)

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit( \
	  "Dovetail needs Python 3.11 or newer, this is %d.%d. Name another: make PYTHON=python3.13" % v[:2])'
	@echo "Making .venv, once: what requirements.lock lists is downloaded and installed. That takes about a minute."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

up: setup  ## start both services on this machine
	$(BIN)/dovetail up $(ARGS)

demo: setup  ## watch a team of agents for half a minute, on services of its own
	@$(BIN)/dovetail demo $(ARGS)

# Tests start Python very often. Where it is told to write no bytecode, each start would compile
# the package again, which takes longer than all else that it does.
compiled: setup
	@$(BIN)/python -m compileall -q services clients generated

test: compiled  ## run the tests (some of them: ARGS='-k inbox')
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-fast: compiled  ## run the tests of the servers and the client on SQLite, without the slow ones
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -k "not postgres and not killed" \
	  tests/messaging tests/tasks tests/store tests/wire tests/model $(ARGS)

check: setup  ## lint, types, tests: what CI runs
	@$(MAKE) --no-print-directory --jobs=2 lint types
	@$(MAKE) --no-print-directory test

lint: setup generated-check breaking  ## style, layers, structure, contract, generated code
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo
	$(BIN)/python scripts/structure.py
	$(BIN)/python scripts/states.py --check
	$(BIN)/python scripts/reference.py --check
	$(BIN)/buf lint protos
	$(BIN)/buf format protos --diff --exit-code

types: setup  ## check the types
	$(BIN)/pyright

format: setup  ## format Python and protos, fix what can be fixed
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format
	$(BIN)/buf format protos --write

generate: setup  ## write generated/ from protos/
	$(BIN)/python scripts/generate.py

typescript: setup  ## write the generated code of clients/typescript, and build it (needs Node)
	@command -v npm >/dev/null || { echo "clients/typescript is left as it is: there is no npm"; exit 0; }; \
	  cd clients/typescript && npm ci --silent --no-audit --no-fund && PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent generate && npm run --silent build

page:  ## build the page that dovetail web serves (needs Node)
	@command -v npm >/dev/null || { echo "the page is left as it is: there is no npm"; exit 0; }; \
	  cd clients/web && npm ci --silent --no-audit --no-fund && npm run --silent types && npm run --silent build

screenshots: compiled  ## take the pictures of the page in docs/images (needs Chromium)
	$(BIN)/python scripts/screenshots.py

states: setup  ## write docs/states.md from the tables in the code
	$(BIN)/python scripts/states.py

reference: setup  ## write docs/reference/ from protos/ and the command line
	$(BIN)/python scripts/reference.py

generated-check: setup  ## prove that generated/ is what protos/ say
	$(BIN)/python scripts/generate.py --check

breaking: setup  ## find changes of protos/ that break callers (of another commit: AGAINST=v0.1.0)
	AGAINST=$(AGAINST) scripts/breaking.sh $(BIN)/buf

# What the image has: releases of requirements.lock.
LOCK_FOR_IMAGE := $(BIN)/uv pip compile --constraints requirements.lock --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --quiet

lock: setup  ## compile requirements.lock anew (to newer releases: ARGS=--upgrade)
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements.lock $(ARGS)
	$(LOCK_FOR_IMAGE) pyproject.toml --extra fast --extra postgres --output-file deploy/requirements.lock
	$(LOCK_FOR_IMAGE) --group build --output-file deploy/build.lock

soak: compiled  ## run the heavy scenarios at full size, and print their figures
	DOVETAIL_SOAK=1 $(BIN)/pytest -m soak --timeout=0 $(ARGS)

bench: compiled  ## measure beside a bare echo server (shorter: ARGS='--quick --only send,report')
	PYTHONPATH=tests $(BIN)/python -m bench $(ARGS)

profile: setup  ## show where the time of SendMessage goes (ARGS='--callers 1 --engine postgres')
	PYTHONPATH=tests $(BIN)/python -m bench.profile $(ARGS)

build: setup  ## build the wheel and the sdist into dist/, and check them
	@$(BIN)/python scripts/dist.py

dist: setup  ## build, and install the wheel for the oldest and the newest Python here (needs the network)
	@$(BIN)/python scripts/dist.py --install

clean:  ## remove .venv and everything built
	rm -rf .venv build dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

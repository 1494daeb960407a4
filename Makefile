# Everything runs from a virtual environment that the first target makes by itself.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# what shares costly fixtures stays on one worker (tests/conftest.py)
WORKERS ?= -n 3 --dist loadgroup
# uv trusts the certificates of the operating system, as pip does
export UV_SYSTEM_CERTS = 1

.PHONY: help install format lint types imports unit test e2e check demo soak bench clean
help: ## this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## make .venv with everything that developing needs
$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Chains needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.5'
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[dev]'
	@touch $@

# the original, as an oracle for packages; in an environment of its own, used by tests only
TRUSS_VENV  := .venv-truss
TRUSS_STAMP := $(TRUSS_VENV)/.truss-0.18.35
export CHAINS_TRUSS_PYTHON = $(abspath $(TRUSS_VENV))/bin/python
$(TRUSS_STAMP): $(STAMP)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(TRUSS_VENV)
	$(BIN)/uv pip install --quiet --python $(TRUSS_VENV)/bin/python 'truss==0.18.35'
	@touch $@

format: install ## rewrite the sources in the one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix --quiet .

lint: install ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## mypy, strict, on our code and on the examples
	$(BIN)/mypy
	$(BIN)/mypy examples/poems/poems_typed.py examples/demo.py
	for d in glue_and_model transcription streaming rag tiles; do \
	  (cd examples/$$d && $(abspath $(BIN))/mypy --config-file ../../pyproject.toml chain.py) || exit 1; done

imports: install ## who may import whom
	$(BIN)/lint-imports --no-cache

unit: install $(TRUSS_STAMP) ## the quick tests
	$(BIN)/pytest -q $(WORKERS) -m 'not e2e and not soak'

e2e: install $(TRUSS_STAMP) ## real platform, real replicas, real edits
	$(BIN)/pytest -q $(WORKERS) -m 'e2e and not soak'

test: install $(TRUSS_STAMP) ## all tests but the long forms
	$(BIN)/pytest -q $(WORKERS) -m 'not soak'

check: lint types imports test ## what CI runs

demo: install ## push an example, call it, edit it while it runs
	$(BIN)/python examples/demo.py

soak: install $(TRUSS_STAMP) ## the long forms: minutes each
	$(BIN)/pytest -q -m soak --timeout 3600

bench: install ## ratios against a peer or a floor in the same run
	$(BIN)/python -m benchmarks

clean: ## remove what the targets made
	rm -rf $(VENV) $(TRUSS_VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The two commands: `make demo` runs Careline with an invented shop, `make test` passes the tests. `make help` lists the rest.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIP_FLAGS := --quiet --disable-pip-version-check

.PHONY: help demo test check bench lock clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/.run-installed  ## install, load the invented shop, serve it on http://127.0.0.1:8000
	$(BIN)/careline demo

test: $(VENV)/.dev-installed  ## install what the tests need and run every test
	$(BIN)/python -m tests $(PYTEST_FLAGS)

check: $(VENV)/.dev-installed  ## lint, formatting, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev-installed  ## every figure that the docs quote
	$(BIN)/python -m bench

lock: | $(VENV)/bin/python  ## make both lock files anew from pyproject.toml
	$(BIN)/python -m pip install $(PIP_FLAGS) 'uv>=0.13,<1'
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" --extra semantic --extra broker --extra mcp --extra apprise --extra pydantic-ai --group build --upgrade pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" --extra semantic --extra broker --extra mcp --extra apprise --extra pydantic-ai --extra train --group build --group dev -c requirements.lock \
		pyproject.toml -o requirements-dev.lock

clean:  ## remove the environment and the demo's data
	rm -rf $(VENV) careline-demo

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Careline needs Python 3.11 or newer; none was found. Install it, or call: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run-installed: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing Careline into $(VENV) (once; about 100 MB to download) …"
	$(BIN)/python -m pip install $(PIP_FLAGS) --require-hashes -r requirements.lock
	$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev-installed: requirements-dev.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing what the tests need into $(VENV) …"
	$(BIN)/python -m pip install $(PIP_FLAGS) --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.run-installed

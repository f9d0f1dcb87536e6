PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup check test demo docs

setup: ## a virtual environment with everything for development
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -e '.[dev]'

check: ## formatting, lint, types, import contracts, packaging
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases tests benchmarks scripts
	$(BIN)/lint-imports
	$(BIN)/python scripts/build_price_table.py --check
	$(BIN)/python scripts/build_docs.py --check
	$(BIN)/python scripts/check_packaging.py

test: ## the whole suite
	$(BIN)/pytest

demo: ## the demonstration, end to end
	$(BIN)/spanledger demo

docs: ## refresh the parts of the documentation that come from the program, and the lock files
	$(BIN)/python scripts/build_docs.py
	scripts/lock.sh

# All targets work from a fresh clone with Python 3.11 to 3.13, make and git. `make` without a target lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
READY := .venv/.ready
WORKERS := --numprocesses auto --maxprocesses 4 --dist worksteal

.PHONY: help setup train test test-all check format bench lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'
	@echo 'make train ARGS="model=lstm optimizer=adam" passes ARGS to train.py'

setup: $(READY) ## install the locked environment into .venv

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else "Primer needs Python 3.11, 3.12 or 3.13, and %s is %d.%d: make setup PYTHON=python3.12" % ((sys.executable,) + v))'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m uv pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.lock
	$(BIN)/python -m uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

train: $(READY) ## train and test a model: an MLP on digits by default; override with ARGS
	$(BIN)/python train.py $(ARGS)

test: $(READY) ## run the test suite
	$(BIN)/python -m pytest $(WORKERS) $(ARGS)

test-all: $(READY) ## run the test suite, including slow tests
	$(BIN)/python -m pytest $(WORKERS) -m "slow or not slow" $(ARGS)

check: $(READY) ## run the linter, formatter and type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(READY) ## fix lint errors and format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## benchmark against a plain training loop and torchvision; measure startup and memory
	$(BIN)/python -m benchmarks

lock: ## recompile requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m uv pip compile pyproject.toml --universal --all-extras --generate-hashes --upgrade --quiet \
		--python-version 3.11 --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" -o requirements.lock

clean: ## remove the environment and caches; keep logs/ and data/
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

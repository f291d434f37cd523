# `make run` and `make test` do all the set-up they need; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What the tests take from npm; without npm those tests are left out.
NODE := tests/node
.DEFAULT_GOAL := help
# The lists of packages are complete, so pip need not resolve them again (--no-deps): a fifth of the set-up.
# Whoever has it set would install into the home directory instead.
export PIP_USER := 0
# Where it is set, each of the hundreds of processes that the tests start would compile the service anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run demo test check bench torture format docs lock clean

help: ## list these targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.run: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.txt $(NODE)/package.json
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.txt
	mkdir -p $(VENV)/node && cp $(NODE)/package.json $(VENV)/node
	! command -v npm >/dev/null || npm install --prefix $(VENV)/node --silent --no-audit --no-fund --no-package-lock
	touch $@

setup: $(VENV)/.dev ## install everything into .venv

run: $(VENV)/.run ## start the service on SQLite, on this machine only
	$(BIN)/fluxora migrate
	exec $(BIN)/fluxora

demo: $(VENV)/.dev ## start the service on a treasury that pays by the second, all on this machine
	exec $(BIN)/python -m examples.demo

test: $(VENV)/.dev ## run all tests
	$(BIN)/python -m pytest --numprocesses 4 --dist worksteal

check: $(VENV)/.dev ## lint, types, import contracts, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/validate-pyproject pyproject.toml

bench: $(VENV)/.dev ## measure against other servers, and write benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.run $(BENCH)
	$(BIN)/python -m benchmarks.processes

torture: $(VENV)/.dev ## a long run under all that clients and proxies do wrong (TORTURE="--minutes 60")
	.ci/programs
	$(BIN)/python -m benchmarks.torture $(TORTURE)
	$(BIN)/python -m benchmarks.autobahn
	$(BIN)/python -m pytest tests/docs/test_proxies.py tests/lifecycle/test_many_processes.py

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev ## write the parts of the documents that are made from the code
	$(BIN)/python -m tests.docs.generated

lock: $(VENV)/.dev ## resolve and pin the dependencies again
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" --extra server pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" --constraint requirements.txt --extra server --extra traces --group dev pyproject.toml -o requirements-dev.txt

clean: ## remove what was installed and built
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist

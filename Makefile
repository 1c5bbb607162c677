# Every target does its own set-up: a fresh machine needs Python 3.11 or newer, and make.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
TOWNCRIER = $(VENV)/bin/towncrier build --version "$$($(VENV)/bin/hatchling version)"
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench lock openapi changelog overlay newer clean

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/demo ## Walk the story on this machine, without a cloud; PORT=8090 moves it, ONCE=1 ends after it
	exec $(RUN) -m api.cli demo $(if $(ONCE),--once) $(if $(PORT),--port $(PORT))

# Whatever the environment says of bytecode: each of the many processes would compile all modules anew.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/dev ## Run the tests
	$(RUN) -m pytest -n auto --dist worksteal $(ARGS)

lint: $(VENV)/dev ## Check format, rules, types and the import fence
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/lint-imports --no-logo
	$(TOWNCRIER) --draft >/dev/null
	$(VENV)/bin/mypy

format: $(VENV)/dev ## Format, and mend what can be mended
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

bench: $(VENV)/dev ## Measure, each figure beside its reference
	$(RUN) -m bench

openapi: $(VENV)/dev ## Write openapi.yaml anew
	$(RUN) -m api.cli openapi > openapi.yaml

overlay: $(VENV)/dev ## Write anew what ECR has beyond the pinned botocore, from the newest one
	$(RUN) -m tools.overlay write

newer: $(VENV)/dev ## Say what of ECR the newest botocore has, and ours with its overlay lacks
	$(RUN) -m tools.overlay report

changelog: $(VENV)/dev ## Move what is in changes/ to CHANGELOG.md; DRAFT=1 shows it and moves nothing
	$(TOWNCRIER) $(if $(DRAFT),--draft,--yes)

lock: $(VENV)/dev ## Resolve the dependencies anew
	./lock

clean: ## Remove what was built here
	rm -rf $(VENV) build dist data .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo: requirements-demo.lock | $(VENV)/bin/python
	@echo "Installing what the demo needs into $(VENV) (a minute or two, once)"
	$(PIP) -r $<
	@touch $@

$(VENV)/dev: requirements-dev.lock | $(VENV)/bin/python
	@echo "Installing what the tests need into $(VENV) (a minute or two, once)"
	$(PIP) -r $<
	@touch $@ $(VENV)/demo

# The one vocabulary of people and CI. Each target sets itself up; `make` alone lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

# The first of python3.11 and python3 that runs and is new enough; `make setup PYTHON=...` chooses another.
PYTHON ?= $(shell for python in python3.11 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)

# Stages run as `python -m fct.<room>`: theirs is the environment's python, and nothing they use phones home.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export NO_MKDOCS_2_WARNING := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

WORKERS ?= 2# processes that share the tests; each takes up to 1.5 GB
# What the inner loop leaves out: it starts processes or servers, exports or builds large networks, or waits for imports.
SLOWER := e2e system mutants benchmarks pipelines registry test_registry.py test_tracking.py test_examples.py \
	cli docs export int8 report search models/test_backbones.py vcs/test_inputs.py
INSTALLED := .venv/.installed# newer than what it was installed from, or there is something to install

.PHONY: help setup repro promote-if-passed ui deploy env stack stack-status stack-stop promote test test-fast test-flows test-all mutants docs docs-serve lint format lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

setup: $(INSTALLED) ## install everything into .venv, from requirements.lock

$(INSTALLED): pyproject.toml requirements.lock
	@[ -n "$(PYTHON)" ] || { echo "error: no Python 3.11 or newer here." \
		"Install one (apt-get install python3.11 python3.11-venv) or name one: make setup PYTHON=/path/to/python" >&2; exit 1; }
	@command -v git >/dev/null || { echo "error: DVC needs git: apt-get install git" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { version=$$($(PYTHON) -c \
		'import sys; print("python%d.%d" % sys.version_info[:2])'); \
		echo "error: $(PYTHON) has no venv module: apt-get install $$version-venv" >&2; exit 1; }
	@[ -x .venv/bin/pip ] || $(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --constraint requirements.lock --editable '.[dev]'
	python -m fct.core.environment
	@touch $@

repro: $(INSTALLED) ## run the pipeline to the gate's verdict; promote the model if it is PASS
	python -m pipelines.repro
	@$(MAKE) --no-print-directory promote-if-passed

promote-if-passed: $(INSTALLED)
	@verdict=$$(python -c 'import json; print(json.load(open("metrics/gate.json"))["verdict"])'); \
	if [ "$$verdict" = PASS ]; then fct promote --commit || [ $$? = 1 ]; \
	else [ ! -t 1 ] || red=$$'\e[31m' plain=$$'\e[0m'; \
		echo "$${red-}gate: $$verdict$${plain-} (metrics/gate.json says why); nothing is promoted"; fi

ui: $(INSTALLED) ## start Prefect, MLflow and optuna-dashboard on loopback until Ctrl-C; ARGS="--prefect-port 4201"
	python -m pipelines.ui $(ARGS)

deploy: $(INSTALLED) ## register the flows for the workers of the Prefect work pool that pipeline.pool names
	python -m pipelines.deploy

env: $(INSTALLED) ## write .env: random secrets, free ports and addresses for `make stack` and compose.yaml
	python -m pipelines.stack.dotenv

stack: env ## start PostgreSQL, S3 (SeaweedFS), MLflow and Prefect on loopback, and leave them running; again: repair
	python -m pipelines.stack start

stack-status: $(INSTALLED) ## show which services of `make stack` are up
	python -m pipelines.stack status

stack-stop: $(INSTALLED) ## stop the services of `make stack`; their data stays in .fct/stack
	python -m pipelines.stack stop

promote: $(INSTALLED) ## register the model that passed the gate, make it champion; ARGS="--why 'more data'"
	fct promote $(ARGS)

test: $(INSTALLED) ## run the tests; ARGS="tests/core -x" are pytest's, WORKERS=0 runs them in one process
	pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-fast: $(INSTALLED) ## run most unit tests of the library, in a minute: the inner loop
	pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not e2e and not flows and not slow and not system" \
		$(addprefix --ignore=tests/,$(SLOWER)) $(ARGS)

test-flows: $(INSTALLED) ## run the pipeline under Prefect: flows, servers, schedules; some ten minutes
	pytest -m "flows and not slow and not system" tests/e2e $(ARGS)

test-all: $(INSTALLED) ## run the slow and the system tests too (as root: they build a chroot, and open a browser)
	@command -v chromium >/dev/null || { apt-get update && apt-get install --yes --no-install-recommends chromium; }
	@command -v docker-compose >/dev/null || apt-get install --yes --no-install-recommends docker-compose
	pytest -m "" $(ARGS)

mutants: $(INSTALLED) ## see which deliberate faults the tests notice; all must be; ARGS="evaluate.gate splits" picks some
	python tests/mutants $(ARGS)

docs: $(INSTALLED) ## build the documentation into .fct/site; a broken link is an error
	python -m mkdocs build --strict

docs-serve: $(INSTALLED) ## show the documentation on http://127.0.0.1:8000 and rebuild it after each change
	python -m mkdocs serve --dev-addr 127.0.0.1:8000 $(ARGS)

lint: $(INSTALLED) ## check style, types, layers and the Dockerfile; changes nothing
	ruff check
	ruff format --check
	mypy
	lint-imports
	hadolint Dockerfile

format: $(INSTALLED) ## put the code into its one format, and right what can be righted
	ruff check --fix
	ruff format

lock: ## renew requirements.lock: the newest versions that pyproject.toml allows
	@[ -x .venv/bin/pip ] || $(PYTHON) -m venv --clear .venv
	@[ -x .venv/bin/pip-compile ] || .venv/bin/python -m pip install --quiet pip-tools
	CUSTOM_COMPILE_COMMAND="make lock" pip-compile --quiet --upgrade --all-extras --strip-extras --no-annotate \
		--unsafe-package feature-consistency --unsafe-package pip --unsafe-package setuptools \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
		--output-file requirements.lock pyproject.toml

clean: ## remove what can be made again: .venv and tool caches (not DVC's cache, checkpoints or mlflow.db)
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .grimp_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# `make` alone prints what there is.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PROFILE ?= quick
PORT ?= 5000
READY := $(VENV)/.ready
export MLFLOW_DISABLE_TELEMETRY := true
# Packages are installed uncompiled, and what is imported is compiled: on two cores, before every worker has to do all of it.
# Where Python may not keep what it compiles, each process does it anew.
HALVES := 'import lightning.pytorch.cli, matplotlib.pyplot, torchmetrics, torchvision' 'import mlflow, umap'
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup reproduce readme test test-slow lint ui bench lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  settings: REPORT=name PROFILE=quick|full WORKERS=n PORT=$(PORT) PYTHON=$(PYTHON)"

# Installed once, and again when the project's dependencies change.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	@for half in $(HALVES); do $(BIN)/python -W ignore -c "$$half" & done; wait
	@touch $@

setup: $(READY) ## make .venv and install everything into it

reproduce: $(READY) ## run every report's study, or one (REPORT=...), and write tables and figures (PROFILE=quick|full)
	$(BIN)/lit-ae study run $(if $(REPORT),experiments/$(REPORT).yaml,$(wildcard experiments/*.yaml)) --profile $(PROFILE) $(if $(WORKERS),--workers $(WORKERS))

readme: $(READY) ## fill in README's tables from the committed reports
	$(BIN)/python experiments/readme.py

# worksteal: a process keeps to neighbouring tests, which share what they set up.
test: $(READY) ## the test suite
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: $(READY) ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: $(READY) ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

ui: $(READY) ## MLflow's pages over this project's runs, on 127.0.0.1 (PORT=5000)
	$(BIN)/mlflow server --host 127.0.0.1 --port $(PORT) --workers 1 \
		--backend-store-uri sqlite:///$(CURDIR)/mlruns/mlflow.db --default-artifact-root file://$(CURDIR)/mlruns/artifacts

bench: $(READY) ## speed, as ratios to plain PyTorch
	$(BIN)/python benchmarks/bench.py

lock: ## write the versions installed here to constraints.txt
	$(BIN)/python -m pip freeze --exclude-editable --exclude pip | grep -v '@ file' > constraints.txt

clean: ## remove the environment and what tools left (runs and reports stay)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

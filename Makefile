# `make` without a target lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PROFILE ?= quick
PORT ?= 5000
READY := $(VENV)/.ready
export MLFLOW_DISABLE_TELEMETRY := true
# Packages are installed without byte code. Only the modules that are imported are then compiled, on two cores, so that no
# worker process has to do it. PYTHONDONTWRITEBYTECODE is unset because with it every process would compile them again.
HALVES := 'import lightning.pytorch.cli, matplotlib.pyplot, torchmetrics, torchvision' 'import mlflow'
# What UMAP compiles is kept beside it as well.
UMAP := import numpy; from lit_ae.callbacks.figures.latent_plot import embed; embed(numpy.random.default_rng(0).normal(size=(60, 4)).astype("f4"), "umap", 0)
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup reproduce readme test test-slow test-cluster test-browser test-faults docs tutorials audit coverage lint ui bench lock clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  settings: REPORT=name PROFILE=quick|full WORKERS=n PORT=$(PORT) PYTHON=$(PYTHON)"

# Installed once, and again whenever the project's dependencies change.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	@for half in $(HALVES); do $(BIN)/python -W ignore -c "$$half" & done; wait
	@$(BIN)/python -W ignore -c '$(UMAP)'
	@touch $@

setup: $(READY) ## create .venv and install everything into it

reproduce: $(READY) ## run every report's study, or one (REPORT=...), and write tables and figures (PROFILE=quick|full)
	$(BIN)/lit-ae study run $(if $(REPORT),experiments/$(REPORT).yaml,$(wildcard experiments/*.yaml)) --profile $(PROFILE) $(if $(WORKERS),--workers $(WORKERS))

readme: $(READY) ## render the committed reports anew and fill the tables of README.md
	$(BIN)/python experiments/readme.py

# worksteal keeps neighbouring tests, which share fixtures, in one process.
test: $(READY) ## run the tests and the examples of the Python API, and print the coverage
	$(BIN)/python -m slipcover -m pytest -n 2 --dist worksteal
	@$(BIN)/python -c 'import json; found = json.load(open(".coverage.json")); s = found["summary"]; \
		n = s["covered_lines"] + s["missing_lines"]; \
		print("coverage: {:.1f} % of {:,} lines in {} files".format(s["percent_covered"], n, len(found["files"])))'

test-slow: $(READY) ## run the tests that take minutes
	$(BIN)/python -m pytest -m slow

test-cluster: $(READY) ## run the tests with a Ray cluster of two nodes and an MLflow server on this machine
	$(BIN)/python -m pytest -m cluster

test-browser: $(READY) ## open the pages of reports and of the explorer in Chromium, where there is one
	$(BIN)/python -m pytest -m browser

test-faults: $(READY) ## kill, fill and damage what can be, and print what was lost (TABLE=docs/faults.md writes it)
	$(BIN)/python -m pytest -m faults -n 2 --dist loadfile $(if $(TABLE),--faults-table=$(TABLE))

docs: $(READY) ## write the documentation to site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --config-file .mkdocs.yml
	@echo "to read it, open site/index.html in a browser"

tutorials: $(READY) ## run every block of the tutorials in docs/tutorials
	$(BIN)/python -m pytest -n 2 -m slow tests/test_tutorials.py

audit: $(READY) ## look up known vulnerabilities of the installed packages, if there is a network
	@$(BIN)/python .ci/audit.py

coverage: ## list the lines that the last `make test` did not reach, by file
	@test -f .coverage.json || { echo "there is no coverage yet: run \`make test\` first"; exit 2; }
	@$(BIN)/python -m slipcover --skip-covered --merge .coverage.json --out .coverage.json

lint: $(READY) ## run ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

ui: $(READY) ## open MLflow on this project's runs, at 127.0.0.1 (PORT=5000)
	$(BIN)/lit-ae ui --port $(PORT)

# pythae without its dependencies: it asks for a backport of `dataclasses`, and needs nothing that is not there already.
bench: $(READY) ## measure speed, as ratios to plain PyTorch and to other projects
	@$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt pythae || echo "going on without pythae"
	$(BIN)/python benchmarks/bench.py

lock: ## write the versions installed in .venv to constraints.txt
	$(BIN)/python -m pip freeze --exclude-editable --exclude pip | grep -v '@ file' > constraints.txt

clean: ## remove .venv and the caches of tools; runs and reports stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage.json build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

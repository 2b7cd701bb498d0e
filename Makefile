# Everything happens in .venv, which `make install` builds from setup.py and constraints.txt.
#   PYTHON   interpreter to build it with (3.11 or later)
#   WORKERS  processes of the test run
PYTHON ?= python3
WORKERS ?= 2

BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-slurm test-versions docs lint clean

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP)  ## build .venv with the tested versions, the package editable in it

$(STAMP): setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { \
	  echo "error: Python 3.11 or later is needed, '$(PYTHON)' is $$($(PYTHON) -V 2> /dev/null || echo missing);" \
	       "choose one with: make install PYTHON=python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test,eval,export,report,flow,hub,notebooks,docs,trunks,tensorboard]'
	@$(BIN)/python -c 'from stica_pv.compat import torchvision_report; print(torchvision_report(), end="")'
	@touch $@

demo: install  ## pre-train and evaluate on generated clips, minutes on a CPU, no data needed
	$(BIN)/python tools/run_net.py --cfg projects/stica/demo.yaml

# One torch thread per test process, else they fight for the cores. A process that has no more tests takes some of the other's.
test: install  ## the ordinary tests: CPU, offline, minutes
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# Exit 5 of pytest: no test carries the mark.
test-slow: install  ## the long tests
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m slow || test $$? -eq 5

# Skips, with the reason, where Slurm is neither installed nor can be.
test-slurm: install  ## a real Slurm of two nodes on this machine (Linux, root; installs Debian's packages), minutes
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n $(WORKERS) -rs -m slurm

# Environments stay in .versions/; what cannot be run is named with the reason.
test-versions:  ## the ordinary tests with the oldest and the newest allowed packages (GB of downloads)
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(PYTHON) tools/version_matrix.py -- -n $(WORKERS)

# The variable silences a note about another program that the theme prints.
docs: install  ## the documentation in build/docs, which opens without a network; a broken link or reference fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: install  ## style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## remove .venv, caches and build leftovers (never output/)
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

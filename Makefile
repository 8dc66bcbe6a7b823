# make demo: a real run and its report.  make test: everything.  Both set up .venv themselves, and quietly reuse it.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable
export OMP_NUM_THREADS ?= 1

NATIVE := setup.py $(wildcard kernels/csrc/*.?pp kernels/csrc/*.h)

.PHONY: demo test check setup

demo: .venv/run-installed
	$(BIN)/renkei run configs/water-tetramer.yaml --into runs/demo
	$(BIN)/renkei report runs/demo --targets

test: check
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 15

# formatting, lint and types
check: .venv/test-installed
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy

setup: .venv/test-installed

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Renkei needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv

.venv/run-installed: pyproject.toml constraints.txt $(NATIVE) | .venv/bin/python
	@echo "installing into .venv and compiling the kernels (two minutes)"
	$(INSTALL) '.[trainer]'
	@touch $@

.venv/test-installed: pyproject.toml constraints.txt $(NATIVE) | .venv/run-installed
	$(INSTALL) '.[trainer,pyscf,test]'
	@touch $@

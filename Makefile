# make        environment, then the demo study, then where to look
# make test   environment, then the tests
# A machine without a GPU avoids the CUDA build of torch with   make TORCH_INDEX=https://download.pytorch.org/whl/cpu
PYTHON ?= python3
VENV ?= .venv
CORES ?= all
STUDY ?= demo
TORCH_INDEX ?=

BIN := $(VENV)/bin
PIP_INDEX := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
export PATH := $(abspath $(BIN)):$(PATH)
# The jobs set torch's threads themselves; BLAS libraries beside it would fight over the cores.
export OMP_NUM_THREADS ?= 1

.PHONY: study env test lint schemas check clean-venv
.DEFAULT_GOAL := study

study: config/$(STUDY).yaml env
	snakemake --cores $(CORES) --configfile $<
	@relatent where $(STUDY)

# Only asked for where the file is not there.
config/%.yaml:
	@echo '$@: no such study; config/ has $(sort $(basename $(notdir $(wildcard config/*.yaml))))' >&2; exit 2

env: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("relatent needs Python 3.11 or newer; set PYTHON=python3.x") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_INDEX) -c constraints.txt -e '.[test]'
	@touch $@

test: env
	pytest -n auto --dist worksteal -q

lint: env
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint
	mypy

schemas: env
	relatent schema

clean-venv:
	rm -rf $(VENV)

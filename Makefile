# make demo   from a fresh clone: install, export the shipped digits model, serve degraded images, write the report
# make test   from a fresh clone: install, then every check and test
# make clean  remove what the two made, .venv included
#
# PYTHON chooses the interpreter (3.11 or later). pip reads its own settings; where the default index offers torch with
# CUDA only, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu gives the small CPU build.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One stamp an extra: the demo needs less than the tests. Both follow what says what is installed, and what is compiled.
INSTALLED := pyproject.toml constraints.txt $(shell find kernels -name '*.cc' -o -name '*.h' -o -name CMakeLists.txt)
DEMO_STAMP := $(VENV)/.installed-demo
DEV_STAMP := $(VENV)/.installed-dev

.PHONY: demo test lint format clean

demo: $(DEMO_STAMP)
	$(BIN)/python -m benchmarks.demo

test: $(DEV_STAMP) lint
	$(BIN)/python -m pytest -p tests.skip_guard

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV_STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo build dqmq_deploy/_native *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(DEMO_STAMP): $(INSTALLED) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo]'
	touch $@

# Who develops wants to see the compiler's error; who tries the demo gets along without kernels.
$(DEV_STAMP): $(INSTALLED) | $(BIN)/python
	DQMQ_KERNELS_REQUIRED=1 $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ $(DEMO_STAMP)

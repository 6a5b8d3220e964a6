# Every command works on a fresh machine with Python >= 3.11: each makes the environment it needs.

PYTHON ?= python3
VENV := .venv
FLOOR := .venv-floor
BIN := $(VENV)/bin

# The oldest dependencies that are supported: what pyproject.toml declares, "numpy>=2.0" read as numpy==2.0.
# They have wheels for Python 3.11 and 3.12.
FLOORS := sed -n '/^dependencies = /,/^]/ s/^ *"\(.*\)>=\(.*\)",$$/\1==\2/p' pyproject.toml

# Two workers of one BLAS thread each are faster than one of two.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
WORKERS ?= 2
PYTEST := -m pytest -n $(WORKERS) $(PYTEST_ARGS)

SPHINX := -m sphinx -q -W --keep-going -b html doc doc/_build/html

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo report test test-floor test-sklearn test-sklearn-floor coverage lint format docs docs-full gpu fuzz mutants bench dist clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed-plot,frames  ## Explain a misdiagnosed patient, check against refits, draw a figure
	$(BIN)/python examples/demo.py

report: $(VENV)/.installed-report,frames  ## Write the pages of two reports, and print where they are
	$(BIN)/python examples/report.py

test: $(VENV)/.installed-test  ## Run the whole suite and the doctests
	$(ONE_THREAD) $(BIN)/python $(PYTEST)

test-floor: $(FLOOR)/.installed-test  ## The same with the oldest supported dependencies
	$(ONE_THREAD) $(FLOOR)/bin/python $(PYTEST)

test-sklearn: $(VENV)/.installed-test  ## scikit-learn's own tests on our estimators
	$(ONE_THREAD) $(BIN)/python -m tests.drop_in -q -n $(WORKERS) $(PYTEST_ARGS)

test-sklearn-floor: $(FLOOR)/.installed-test  ## The same with the oldest supported dependencies
	$(ONE_THREAD) $(FLOOR)/bin/python -m tests.drop_in -q -n $(WORKERS) $(PYTEST_ARGS)

coverage: $(VENV)/.installed-test  ## The suite with branch coverage
	$(ONE_THREAD) $(BIN)/python $(PYTEST) --cov --cov-report=term

lint: $(VENV)/.installed-dev  ## Style, format, docstrings, types: all of them, whatever is found
	@echo ruff, numpydoc, pyrefly; status=0; PATH="$(CURDIR)/$(BIN):$$PATH"; \
	ruff check || status=1; \
	ruff format --check || status=1; \
	numpydoc lint $$(find skinfluence -name '*.py' | sort) || status=1; \
	pyrefly check --min-severity error --python-interpreter-path $(BIN)/python || status=1; \
	exit $$status

format: $(VENV)/.installed-dev  ## Repair what ruff can repair
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/.installed-doc  ## Build doc/_build/html; gallery pages that take long are not run
	$(BIN)/python $(SPHINX)
	@echo "doc/_build/html/index.html"

docs-full: $(VENV)/.installed-doc  ## The same with every gallery page run
	SKINFLUENCE_DOCS_FULL=1 $(BIN)/python $(SPHINX)

gpu: $(VENV)/.installed-test  ## Tests and rates on a card, where there is one (with a build of PyTorch for it)
	SCIPY_ARRAY_API=1 $(BIN)/python -m pytest -q -k gpu tests/test_array_api.py $(wildcard tests/test_torch_*.py) $(PYTEST_ARGS)
	SCIPY_ARRAY_API=1 $(BIN)/python -m benchmarks.gpu $(if $(shell command -v nvidia-smi),,--small)

fuzz: $(VENV)/.installed-test  ## 20,000 random problems against the oracle; goes on where it was ended
	$(ONE_THREAD) $(BIN)/python -m tests.fuzz --problems 20000 --jobs $$(nproc) --state build/fuzz

mutants: $(VENV)/.installed-test  ## 300 small changes of the core: does a test notice? Goes on where it was ended
	$(ONE_THREAD) $(BIN)/python -m tests.mutants --mutants 300 --jobs $$(nproc) --state build/mutants

bench: $(VENV)/.installed-test  ## Time, memory and error against refitting, in one table
	$(BIN)/python -m benchmarks

dist: $(VENV)/.installed-dev  ## Build dist/; unpack the source distribution elsewhere and run its tests
	rm -rf dist
	$(BIN)/python -m build
	unpacked=$$(mktemp -d) && trap 'rm -rf "$$unpacked"' EXIT && \
	tar -xzf dist/*.tar.gz -C "$$unpacked" --strip-components 1 && \
	$(MAKE) --no-print-directory -C "$$unpacked" test PYTHON="$(PYTHON)"

clean:  ## Remove environments, builds and caches
	rm -rf $(VENV) $(FLOOR) build dist *.egg-info .coverage .hypothesis .pytest_cache .ruff_cache
	rm -rf doc/_build doc/api doc/auto_examples doc/sg_execution_times.rst
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- environments: made once, installed again only when the metadata change ------------------------

$(VENV)/bin/python $(FLOOR)/bin/python:
	$(PYTHON) -m venv $(@:/bin/python=)
	@echo "$@: a new environment"
	$@ -m pip install -qq --upgrade pip

$(VENV)/.installed-%: pyproject.toml setup.cfg | $(VENV)/bin/python
	@echo "installing what [$*] needs into $(VENV): a minute or two the first time"
	$(BIN)/python -m pip install --editable ".[$*]"
	@touch $@

$(FLOOR)/.installed-%: pyproject.toml setup.cfg Makefile | $(FLOOR)/bin/python
	@echo "installing what [$*] needs into $(FLOOR): a minute or two the first time"
	$(FLOOR)/bin/python -m pip install --editable ".[$*]" $$($(FLOORS))
	@touch $@

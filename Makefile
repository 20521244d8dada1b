# make setup  what it takes to run: Meltano, the tap, the target, the scheduler
# make demo   an audience from the sandbox's Lytics to the sandbox's SFTP folder, through meltano run
# make test   every test
# make lint   style, types, meltano.yml
# make bench  the speed claims, measured anew

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PACKAGES := tap-lytics target-mapp-sftp sandbox orchestrate/scheduler
PYPROJECTS := pyproject.toml $(PACKAGES:%=%/pyproject.toml)
# A plugin starts three times in each run; uncompiled, each start takes a second longer where Python
# may not write beside its modules.
export UV_COMPILE_BYTECODE := 1
UV_INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt

.PHONY: setup docs demo test lint format bench constraints clean

.venv/uv:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	touch $@

# What the demo needs: Meltano and the sandbox; Meltano gives tap and target an environment each.
.venv/demo: .venv/uv constraints.txt $(PYPROJECTS)
	$(UV_INSTALL) --group demo --editable ./sandbox
	touch $@

.venv/plugins: .venv/demo
	$(BIN)/meltano --log-level=warning install
	touch $@

.venv/dev: .venv/demo
	$(UV_INSTALL) --group dev $(PACKAGES:%=--editable ./%)
	touch $@

setup: .venv/plugins

demo: .venv/plugins
	$(BIN)/python sandbox/demo.py

test: .venv/dev .venv/plugins
	$(BIN)/pytest -n 3 --dist=worksteal

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.meltano meltano.yml orchestrate/three-audiences.meltano.yml

# What to pass on: BENCH_ARGS=--quick for a few minutes, --big for ten million people too.
bench: .venv/dev .venv/plugins
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Settings and attributes, written into meltano.yml and the documents from the code.
docs: .venv/dev
	$(BIN)/python docs/generate.py

# The versions the tests were last seen green with; without index addresses, for any index will do.
constraints: .venv/uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --no-header --no-annotate \
		--python-version 3.11 --group pyproject.toml:dev $(PACKAGES:%=%/pyproject.toml) --output-file constraints.txt

clean:
	rm -rf .venv .venvs .meltano .mypy_cache .pytest_cache .ruff_cache .hypothesis

# make setup  what it takes to run: Meltano, the tap, the target, the scheduler
# make check  whether meltano.yml can be read; if not, the line that is wrong
# make demo   an audience from the sandbox's Lytics to the sandbox's SFTP folder, through meltano run
# make test   every test
# make test-fast  those of the tap, the target, the file and the hours: about a minute on two cores
# make lint   style, types, meltano.yml, the files for GitHub
# make site   the documents as pages, in build/site
# make bench  the speed claims, measured anew

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PACKAGES := tap-lytics target-mapp-sftp sandbox orchestrate/scheduler
PYPROJECTS := pyproject.toml $(PACKAGES:%=%/pyproject.toml)
# A plugin starts three times in each run; uncompiled, each start takes a second longer where Python
# may not write beside its modules.
export UV_COMPILE_BYTECODE := 1
# The machine's own certificate authorities count, as a company's network may need them.
export UV_SYSTEM_CERTS ?= 1
# Also for `meltano install`, which gives tap, target and scheduler an environment each: what runs is
# what was tested. uv compares the hashes.
.venv/meltano .venv/demo .venv/dev .venv/plugins .venv/site: export UV_CONSTRAINT := $(CURDIR)/constraints.txt
.venv/meltano .venv/demo .venv/dev .venv/plugins .venv/site: export UV_BUILD_CONSTRAINT := $(CURDIR)/constraints.txt
# Meltano itself answers a slip in meltano.yml with fifty lines.
CHECK = @PYTHONPATH=orchestrate/scheduler $(BIN)/python -m export_scheduler.project_file
UV_INSTALL = @$(BIN)/uv pip install --quiet --python $(BIN)/python

.PHONY: setup plugins check private docs site demo test test-fast lint format bench constraints clean

# pip compares hashes only where every requirement has one, and uv needs nothing else.
.venv/uv:
	@echo "Creating .venv"
	@$(PYTHON) -m venv .venv
	@sed -n '/^uv==/,/[^\\]$$/p' constraints.txt >.venv/uv.txt
	@$(BIN)/python -m pip install --quiet --requirement .venv/uv.txt
	@touch $@

.venv/meltano: .venv/uv constraints.txt pyproject.toml
	@echo "Installing Meltano"
	$(UV_INSTALL) --group demo
	@touch $@

.venv/demo: .venv/meltano $(PYPROJECTS)
	@echo "Installing the sandbox"
	$(UV_INSTALL) --editable ./sandbox
	@touch $@

# Meltano gives tap, target and scheduler an environment each. The link is the scheduler itself, which
# can report what Meltano cannot read.
.venv/plugins: .venv/meltano constraints.txt orchestrate/scheduler/pyproject.toml
	$(CHECK)
	@echo "Installing tap-lytics, target-mapp-sftp and the scheduler"
	@mkdir -p -m 700 .meltano
	@$(BIN)/meltano --log-level=warning install
	@ln -sf ../../.meltano/utilities/scheduler/venv/bin/export-scheduler $(BIN)/scheduler
	@touch $@

.venv/dev: .venv/demo
	@echo "Installing what the tests need"
	$(UV_INSTALL) --group dev $(PACKAGES:%=--editable ./%)
	@touch $@

.venv/site: .venv/uv constraints.txt pyproject.toml
	$(UV_INSTALL) --group site
	@touch $@

setup: .venv/demo plugins

# What an export needs, without the sandbox: for the image.
plugins: .venv/plugins private

check: .venv/meltano
	$(CHECK)
	@echo "meltano.yml can be read."

# Meltano writes the settings of a running plugin, secrets among them, into files that everybody may
# read, and leaves them when it is killed: nobody else gets into its folder, and no such file stays.
private:
	@mkdir -p -m 700 .meltano
	@chmod 700 .meltano
	@[ ! -d .meltano/run ] || find .meltano/run -name '*.config.json' -delete

demo: .venv/demo .venv/plugins
	@$(BIN)/python sandbox/demo.py

test: .venv/dev .venv/plugins
	$(BIN)/pytest -n 3 --dist=worksteal

# Without those that install published targets, fill the memory, or send signals at every step.
test-fast: .venv/dev
	$(BIN)/pytest -n 3 --dist=worksteal tests/tap tests/target tests/contact_file tests/scheduler/test_due_times.py \
		--ignore=tests/tap/test_published_targets.py --ignore=tests/tap/test_page_size.py \
		--ignore=tests/target/test_memory.py --ignore=tests/target/test_signals.py

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.meltano meltano.yml orchestrate/three-audiences.meltano.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))

# What to pass on: BENCH_ARGS=--quick for a few minutes, --big for ten million people too.
bench: .venv/dev .venv/plugins
	@# As an installed plugin is, also where Python may not write beside its modules.
	$(BIN)/python -m compileall -q $(PACKAGES)
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Settings and attributes, written into meltano.yml and the documents from the code.
docs: .venv/dev
	$(BIN)/python docs/generate.py

# The documents as pages, in build/site.
site: .venv/site
	$(BIN)/python docs/build_site.py

# The versions the tests were last seen green with; without index addresses, for any index will do.
constraints: .venv/uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header --no-annotate \
		--python-version 3.11 --group pyproject.toml:dev --group pyproject.toml:build \
		$(PACKAGES:%=%/pyproject.toml) --output-file constraints.txt

clean:
	rm -rf .venv .venvs .meltano .mypy_cache .pytest_cache .ruff_cache .hypothesis

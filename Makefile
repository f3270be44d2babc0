# pilotage: all commands for a checkout. Each target sets up its requirements itself.

SHELL := /bin/sh
.DEFAULT_GOAL := help

BIN := .venv/bin
PYTHON_RUN := $(BIN)/python
PYTEST := $(PYTHON_RUN) -m pytest -q
TESTS ?= tests
SEEDS ?= 20
SEED ?= 1

# Keep the root of the checkout off sys.path: there is another package with the name `proto`.
export PYTHONSAFEPATH := 1

# Without bytecode, each pytest worker compiles all tests again, which takes 15 seconds.
unexport PYTHONDONTWRITEBYTECODE

CHECKS := check-format check-lint check-mypy check-mypy-client check-pyright check-pyright-pilot check-layers \
          check-dependencies check-tidy check-docs

# Tests that what `make docs` writes is up to date.
GENERATED := tests/docs/test_generated.py tests/docs/test_production_graph.py tests/unit/client/test_blocking.py

QUICK_CHECKS := check-format check-lint check-mypy check-layers

.PHONY: help dev check quick test durations long demo bench soak load simulate quality cwl pilot docs site \
        packages-run packages-test compiled ctapipe ctadirac zpeak provider rucio \
        snakemake $(CHECKS)

help:
	@sed -n 's/^\([a-z]*\):.*## /\1 /p' $(MAKEFILE_LIST) | while read -r name what; do \
	    printf '  make %-9s %s\n' "$$name" "$$what"; done

dev: compiled packages-test provider rucio ## set up for development: .venv with all tools, and Debian packages if root
	@echo "Ready: . .venv/bin/activate, or call .venv/bin/pilotage"

check: .venv/ready-dev ## run the static checks: format, lint, types, layers, dependencies, tidy
	@$(MAKE) --no-print-directory -j2 --output-sync=target --keep-going $(CHECKS)

quick: .venv/ready-dev ## run the fast checks and most unit tests, in a minute
	@$(MAKE) --no-print-directory -j2 --output-sync=target --keep-going $(QUICK_CHECKS)
	PYTHONHASHSEED=0 $(PYTEST) -n 2 tests/tidy tests/unit $(GENERATED) -m "not long and not thorough"

test: .venv/ready-dev ## run the gate: check, and all tests but the long ones
	@$(MAKE) --no-print-directory -j2 --output-sync=target compiled packages-test ctapipe ctadirac zpeak provider rucio \
	    snakemake
	$(PYTHON_RUN) -m tests.gate $(filter-out tests,$(TESTS))

durations: .venv/ready-dev ## write the durations of the last `make test` to docs/testing.md
	$(PYTHON_RUN) -m tests.durations

long: compiled packages-test ## run full fault campaigns and large benches (hours)
	$(PYTEST) $(TESTS) -m long --durations=10

demo: .venv/ready-run packages-$(if $(filter real,$(SITES)),test,run) ## watch a campaign run on pilots at four sites (SITES=real: on Slurm, HTCondor, ARC)
	$(if $(filter real,$(SITES)),$(PYTHON_RUN) -m tests.real_sites,$(BIN)/pilotage demo)

bench: compiled packages-run ## measure everything, write docs/performance.md
	$(BIN)/pilotage bench all --write docs/performance.md

soak: compiled packages-run ## run an hour of mixed load: memory and open files must not grow
	$(PYTHON_RUN) -m tests.bench.soak 60 docs/performance.md

load: compiled packages-test ## run load tests, and compare with the last committed results
	$(PYTEST) tests/load -s

simulate: .venv/ready-dev ## simulate central and pilots with random seeds: SEEDS=number SEED=first
	$(PYTHON_RUN) -m tests.simulation --seeds $(SEEDS) --seed $(SEED)

quality: .venv/ready-dev ## simulate a week of scheduling, write docs/scheduling.md and its pictures
	$(PYTHON_RUN) -m tests.simulation.quality --write docs/scheduling.md

cwl: .venv/ready-dev ## run the conformance tests of CWL v1.2
	$(PYTHON_RUN) -m tests.cwl.suite

pilot: .venv/ready-run ## build the pilot as one file, build/pilot.pyz
	$(PYTHON_RUN) deploy/pilot/bundle.py build/pilot.pyz
	@echo "build/pilot.pyz runs with any python3 from 3.9 on"

docs: .venv/ready-dev ## write the generated pages of docs/, and the blocking client
	$(PYTHON_RUN) -m tests.docs.generate
	$(PYTHON_RUN) -m tests.docs.production_graph
	$(PYTHON_RUN) -m tests.docs.blocking_client

site: .venv/ready-dev ## build the documentation as HTML, build/site/docs/index.html
	$(PYTHON_RUN) -m sphinx -q -W --keep-going -c docs/site -b html . build/site
	@echo "Open build/site/docs/index.html in a browser"

# ---- the parts of check, which may run side by side ------------------------------------------------
check-format:
	$(BIN)/ruff format --check --quiet .

check-lint:
	$(BIN)/ruff check --quiet .

check-mypy:
	$(BIN)/mypy

# The client runs on an older Python than the central: its rooms may name the rest of the central in
# types, but not load it. The modules that they load from other rooms are listed here.
CLIENT := $(addprefix --package pilotage.,proto central.client central.cli central.workflows) \
    $(addprefix --module pilotage.central.,decode errors regular_files catalogue.local_paths catalogue.storages \
    failover.decisions failover.workflow_rules identity.providers.mapping identity.providers.provider_files \
    jobs.definition.checks jobs.definition.rendering \
    operate.datadir operate.local_pilots \
    transformations.grouping transformations.task_jobs transformations.missing_outputs \
    transformations.groupings.rule_names transformations.groupings.side_inputs)

check-mypy-client:
	$(BIN)/mypy --python-version 3.10 --follow-imports silent $(CLIENT)

check-pyright:
	$(BIN)/pyright

check-pyright-pilot:
	$(BIN)/pyright -p pyright-pilot.json

check-layers:
	@echo $(BIN)/lint-imports
	@out=$$($(BIN)/lint-imports --no-logo) || { echo "$$out"; exit 1; }

check-dependencies:
	$(BIN)/deptry .

check-tidy:
	$(PYTEST) tests/tidy

check-docs:
	$(PYTEST) $(GENERATED)

# ---- set-up, done once: a stamp shows that this pyproject.toml is installed ----------------------------
.venv/bin/python:
	@PYTHON="$(PYTHON)" deploy/make-venv

.venv/ready-run: pyproject.toml | .venv/bin/python
	@deploy/make-venv
	@echo "Installing pilotage into .venv (once)."
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[central]'
	@touch $@

.venv/ready-dev: pyproject.toml | .venv/bin/python
	@deploy/make-venv
	@echo "Installing pilotage and its development tools into .venv (once)."
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch .venv/ready-run $@

# The matcher also runs uncompiled, at about half the speed; after an edit it runs from the source.
compiled: .venv/ready-dev packages-test
	@$(PYTHON_RUN) deploy/matcher/compile.py

packages-run:
	@deploy/debian-packages run

packages-test:
	@deploy/debian-packages test

# Each for an acceptance test, which is skipped if this fails, except in continuous integration.
ctapipe: .venv/ready-dev
	@deploy/make-ctapipe-venv || [ "$${CI:-}" != true ]

ctadirac: .venv/ready-dev
	@deploy/make-ctadirac-venv || [ "$${CI:-}" != true ]

zpeak: .venv/ready-dev
	@deploy/make-zpeak-venv || [ "$${CI:-}" != true ]

# For tests with a real Rucio server, which are skipped if this fails, except in CI.
rucio: .venv/ready-dev
	@deploy/make-rucio-venv || [ "$${CI:-}" != true ]

# For tests of its executor plugin, deploy/snakemake, which are skipped if this fails, except in CI.
snakemake: .venv/ready-dev
	@deploy/make-snakemake-venv || [ "$${CI:-}" != true ]

# npm packages into build/, for tests of logins, which are skipped if this fails, except in CI.
provider: .venv/ready-dev
	@$(PYTHON_RUN) -m tests.acceptance.identity.packages || [ "$${CI:-}" != true ]

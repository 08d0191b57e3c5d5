# Ovenbridge. `make run` shows it living, `make test` proves it, `make bench` measures it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := .stamps
# Microsoft's own Python worker library; says it wants 3.13 and runs on 3.11 (tests/runtime).
RUNTIME := azure-functions-runtime==1.3.0
# Azure runs 3.13: where this machine has one, the runtime and unit folders run on it too.
PYTHON313 := $(shell sh tests/find_python.sh 3.13)
# More than there are cores: measured with three, each worked less than half of its time and waited the rest.
WORKERS ?= 5
ARGS ?=
PYTEST = $(BIN)/python -m pytest --dist loadgroup --no-loadscope-reorder --durations=20
# Thousands of databases are made and thrown away; in memory nobody waits for a disk. Only where there is much of it.
ROOMY := $(shell [ "$$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $$4 }')" -gt 6000000 ] 2>/dev/null && echo /dev/shm)
export PYTEST_DEBUG_TEMPROOT := $(or $(ROOMY),/tmp)
# The tests start hundreds of processes; from source each would begin with compiling it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test prepared test313 test-api peers bench soak check check-infra format package clean help

help: ## show what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(if $(filter azure,$(BACKEND)),$(STAMPS)/dev $(STAMPS)/azurite,$(STAMPS)/local) ## a living bakery on http://127.0.0.1:7071; Ctrl-C stops it; BACKEND=azure: over Azure's SDKs
	@$(BIN)/python $(if $(filter azure,$(BACKEND)),-m tests.wire $(BIN)/python) -m local.bakery $(ARGS)

test: ## install what the tests need and run them; make soak runs what takes many minutes
	@$(MAKE) --no-print-directory --jobs=3 --output-sync=target prepared
	$(if $(ARGS),,$(BIN)/python -m pytest -q -n 0 -p no:cacheprovider -m quiet tests/benchmarks tests/unit/callbacks/test_lanes.py)
	$(PYTEST) -n $(WORKERS) -m "not benchmark and not quiet and not soak" $(ARGS)

# Some at a time, the longest first: much of an installation is waiting.
prepared: $(STAMPS)/dev $(if $(PYTHON313),test313) check $(STAMPS)/runtime $(STAMPS)/azurite $(STAMPS)/models peers

test313: $(STAMPS)/dev313 # the runtime and unit folders on the Python that Azure runs, one case of each test
	.venv313/bin/python -m pytest -n 2 --dist loadgroup --hypothesis-profile=again --first-of-each \
		-m "not benchmark and not process and not long and not soak and not quiet" -p no:cacheprovider tests/runtime tests/unit

test-api: $(STAMPS)/dev ## ask the running app for a long time what openapi.json allows and forbids
	SCHEMATHESIS_PHASES=examples,coverage,fuzzing SCHEMATHESIS_EXAMPLES=$(or $(EXAMPLES),100) \
		$(BIN)/python -m pytest -n 0 -o timeout=3600 tests/openapi

bench: $(STAMPS)/dev ## measure, each figure beside a yardstick of the same minute
	$(BIN)/python -m tests.benchmarks $(ARGS)

soak: $(STAMPS)/dev $(STAMPS)/azurite ## every step that `make test` samples, and ten minutes of a relay with 250 devices
	$(PYTEST) -n 0 -m soak
	$(BIN)/python -m tests.benchmarks.relay_memory --seconds 600

check: $(STAMPS)/dev ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check-infra: $(STAMPS)/dev $(STAMPS)/models ## judge the Bicep files, as far as that goes without a compiler
	@$(BIN)/python -m tests.infra

format: $(STAMPS)/dev ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

package: $(STAMPS)/venv ## the zip that goes to Azure, in dist/
	@$(BIN)/python -m infra.package $(ARGS)

clean: ## forget what was installed and stored
	rm -rf $(VENV) .venv313 $(STAMPS) .runtime-library .azurite .peers .azure-models data dist

$(STAMPS)/venv:
	@mkdir -p $(STAMPS)
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh local/make_venv.sh
	@touch $@

$(STAMPS)/local: $(STAMPS)/venv requirements.txt requirements-local.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-local.txt
	@touch $@

$(STAMPS)/dev: $(STAMPS)/venv requirements.txt requirements-local.txt requirements-dev.txt requirements-wire.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-wire.txt
	@touch $@ $(STAMPS)/local

$(STAMPS)/runtime: $(STAMPS)/dev
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --ignore-requires-python --upgrade --target .runtime-library $(RUNTIME)
	@touch $@

# Microsoft's storage emulator, for tests/wire. No lock file: it would name where the packages came from.
$(STAMPS)/azurite: tests/wire/package.json
	@mkdir -p $(STAMPS) .azurite
	@cp tests/wire/package.json .azurite/package.json
	@npm install --prefix .azurite --silent --no-audit --no-fund --no-package-lock
	@touch $@

# Servers that nobody here wrote, for tests/peers. What cannot be installed is said, and tried again the next time;
# OVENBRIDGE_PEERS=required makes it an error.
peers:
	@mkdir -p $(STAMPS)
	@[ $(STAMPS)/peers -nt tests/peers/package.json -a $(STAMPS)/peers -nt tests/peers/install.sh ] || sh tests/peers/install.sh $(STAMPS)/peers

$(STAMPS)/models: $(STAMPS)/venv tests/infra/models.txt tests/infra/models-older.txt # wheels that are read, never installed
	@rm -rf .azure-models
	@for list in models models-older; do \
		$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
			--dest .azure-models -r tests/infra/$$list.txt || exit 1; \
	done
	@touch $@

$(STAMPS)/dev313: requirements.txt requirements-local.txt requirements-dev.txt
	@mkdir -p $(STAMPS)
	@[ -x .venv313/bin/python ] || $(PYTHON313) -m venv .venv313
	@.venv313/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt $(RUNTIME)
	@touch $@

# Two commands do all the set-up: `make demo` and `make test`. Python 3.11, make, git and a package index are enough.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv
MEDPLUM := tests/hospitals/medplum
PORT ?= 8000
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test test-embedded test-services bench lint format lock outdated browser clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(UV): deploy/locks/uv.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 is missing: install python3.11 and python3.11-venv, then run make again." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Python 3.11 is needed, found $$($(PYTHON) --version). Set PYTHON=/path/to/python3.11." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing: install python3.11-venv, then run make again." >&2; exit 1; }
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r deploy/locks/uv.txt 2>/dev/null || $(PY) -m pip install --require-hashes -r deploy/locks/uv.txt
	@touch $(UV)

$(VENV)/.run: $(UV) deploy/locks/run.txt
	@echo "Installing what the service needs ..."
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) pip install --quiet --require-hashes -r deploy/locks/run.txt
	@touch $@

$(VENV)/.dev: $(UV) deploy/locks/dev.txt
	@echo "Installing what the tests need ..."
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) pip install --quiet --require-hashes -r deploy/locks/dev.txt
	@touch $@ $(VENV)/.run

# A FHIR server of others' making, for the tests of the FHIR connector. Without npm or its index they are skipped and say so.
$(MEDPLUM)/node_modules/.package-lock.json: $(MEDPLUM)/package-lock.json
	@if command -v npm >/dev/null; then \
	  echo "Installing the FHIR server that the connector is tested at ..."; \
	  (cd $(MEDPLUM) && timeout 180 npm ci --loglevel error >/dev/null 2>&1) && touch $@ \
	  || echo "npm could not fetch it: the tests at a FHIR server of others' making will be skipped."; \
	else echo "No npm: the tests at a FHIR server of others' making will be skipped."; fi

demo: $(VENV)/.run ## the whole service on this machine: http://127.0.0.1:8000
	@$(PY) manage.py demo --port $(PORT)

browser: # the system's Chromium, a Chinese font, Node, a clock that can be wrong and a software token, where we may install them; tests say what they skip without
	@command -v chromium >/dev/null && command -v node >/dev/null && command -v faketime >/dev/null && command -v softhsm2-util >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing chromium, fonts-noto-cjk, nodejs, faketime and softhsm2 ..."; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-noto-cjk nodejs faketime softhsm2 >/dev/null; \
	  else echo "No chromium, node, faketime or SoftHSM: the tests that need them will be skipped (install chromium, fonts-noto-cjk, nodejs, faketime, softhsm2)."; fi; }

test: $(VENV)/.dev browser lint test-embedded test-services ## everything, on the embedded kind and on local services where they answer

test-embedded: $(VENV)/.dev $(MEDPLUM)/node_modules/.package-lock.json
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile --ignore tests/scenario
	@$(PY) -m pytest tests/scenario

test-services: $(VENV)/.dev
	@TEST_ON_SERVICES=1 $(PY) -m pytest -m services -n $(WORKERS) --dist loadfile --ignore tests/scenario
	@TEST_ON_SERVICES=1 $(PY) -m pytest -m services tests/scenario

bench: $(VENV)/.dev browser ## figures, one JSON object a line
	@$(PY) -m benchmarks

lint: $(VENV)/.dev ## style, types, layers
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/lint-imports
	@$(PY) -m mypy companion avatar hospitals

format: $(VENV)/.dev
	@$(VENV)/bin/ruff check --fix . ; $(VENV)/bin/ruff format .

lock: $(UV) ## resolve pyproject.toml anew; hashes, and no index's name, so any mirror will do
	@for kind in "run" "dev --group dev --extra train --extra pkcs11"; do set -- $$kind; out=$$1; shift; \
	  $(UV) pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-header --no-annotate "$$@" pyproject.toml -o deploy/locks/$$out.txt; done
	@echo uv | $(UV) pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-header --no-annotate - -o deploy/locks/uv.txt

outdated: $(VENV)/.dev ## what the package index has that the locks have not
	@$(UV) pip list --outdated --python $(PY)

clean:
	@rm -rf $(VENV) var $(MEDPLUM)/node_modules

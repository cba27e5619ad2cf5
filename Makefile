# Two commands for everyone: `make run` and `make test`. Both set up what they need in .venv, without root, and need
# nothing but Python 3.11 or later. The rest is for those who change the tracker; `make` lists it.

# The first Python on the PATH that will do; choose another with `make run PYTHON=python3.13`.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p ci/python_check.py 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check --no-input

# What the tests of `make test` are: everything that needs no browser, no kill -9 by the hundred, and no second Python.
TESTS := tests/unit tests/property tests/e2e tests/architecture tests/docs

# A stamp says what is installed; without its interpreter (moved folder, upgraded system) it says nothing.
DANGLING := $(shell $(PY) -c "" 2>/dev/null || rm -f $(VENV)/.*.stamp)

.DEFAULT_GOAL := help
.PHONY: help run test lint types contracts docs schemas wheel browser long fault peers bench-micro bench-peers gate ci clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-19s %s\n", $$1, $$2}'

run: $(VENV)/.runtime.stamp  ## start the tracker on 127.0.0.1:8000 and show its events (settings: TRACKER_... variables)
	@exec $(VENV)/bin/tracker serve --tail

test: $(VENV)/.test.stamp  ## run the tests that need nothing but Python: about two minutes on two cores
	@$(PY) -m pytest -n auto --dist loadfile $(TESTS)

lint: $(VENV)/.lint.stamp  ## ruff
	@$(PY) -m ruff check .

types: $(VENV)/.lint.stamp  ## mypy --strict
	@$(PY) -m mypy

contracts: $(VENV)/.lint.stamp  ## who may import whom (import-linter)
	@$(VENV)/bin/lint-imports --no-logo

docs: $(VENV)/.docs.stamp  ## build the documentation into docs/_build/html, warnings are errors
	@$(PY) -m sphinx --fail-on-warning --keep-going --nitpicky --fresh-env --quiet docs docs/_build/html
	@echo "docs/_build/html/index.html"

schemas: $(VENV)/.runtime.stamp  ## make the JSON Schemas in config/ anew, after a change of the settings' model
	@$(PY) docs/schemas.py

wheel: $(VENV)/.venv.stamp  ## build the wheel into dist/
	@rm -rf build dist
	@$(PIP) wheel --no-deps --wheel-dir dist .
	@ls dist/*.whl

browser: $(VENV)/.test.stamp $(VENV)/.browser.stamp  ## the tests with a real Chromium (on the PATH)
	@$(PY) -m pytest tests/browser

long: $(VENV)/.test.stamp  ## the tests that run whole trackers for long: reloads, malformed HTTP, the fast door, demo and gate
	@$(PY) -m pytest tests/long

fault: $(VENV)/.test.stamp  ## the tests that kill, fill disks and tear writes
	@$(PY) -m pytest tests/fault

peers: $(VENV)/.test.stamp  ## whether the peers of bench-peers do the tracker's work (those that are installed)
	@$(PY) -m pytest tests/contract

bench-micro: $(VENV)/.bench.stamp  ## what one hit costs, part by part (pyperf; BENCH=--fast for a first look)
	@$(PY) -m bench.micro $(BENCH)

bench-peers: $(VENV)/.runtime.stamp  ## one core beside Go, nginx and Lua (wrk; BENCH="--rounds 2 --seconds 2" for a look)
	@$(PY) -m bench.peers $(BENCH)

# 75: the machine was too busy for the generator, so nothing is known; that is worth one more try, and no third one.
GATE ?= --rps 2000 --mean-ms 15 --duration 20
gate: $(VENV)/.bench.stamp $(VENV)/.load.stamp  ## 2,000 requests/s at 15 ms, nothing lost; then locust (GATE=--help: options)
	@$(VENV)/bin/tracker bench gate $(GATE) || { [ $$? -eq 75 ] && echo "Once more." && $(VENV)/bin/tracker bench gate $(GATE); }
	@$(PY) bench/load/mixed.py --seconds 10

ci:  ## everything that CI runs, as CI runs it
	@bash .ci/run

clean:  ## remove what the targets above made; never your data (var/)
	rm -rf build dist docs/_build docs/reference/generated *.egg-info .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache .hypothesis $(VENV)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up -------------------------------------------------------------------------------------------------------

$(VENV)/.venv.stamp:
	@test -n "$(PYTHON)" || { echo "The tracker needs Python 3.11 to 3.14, and no python3 here will do:"; \
		python3 ci/python_check.py; echo "If it is somewhere else: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; } >&2
	@$(PYTHON) ci/python_check.py
	@{ $(PY) ci/python_check.py && $(PY) -m pip --version; } >/dev/null 2>&1 || { echo "Making $(VENV) with $$($(PYTHON) --version) ..."; \
		$(PYTHON) -m venv --clear $(VENV); }
	@touch $@

$(VENV)/.runtime.stamp: $(VENV)/.venv.stamp setup.cfg pyproject.toml
	@echo "Installing the tracker into $(VENV) (once; some seconds to a minute) ..."
	@$(PIP) install --editable .
	@touch $@

# .test.stamp is the extra `test`, and so on.
$(VENV)/.%.stamp: $(VENV)/.venv.stamp setup.cfg pyproject.toml
	@echo "Installing the tracker and what its $* target needs into $(VENV) (once; up to a minute) ..."
	@$(PIP) install --editable '.[$*]'
	@touch $@ $(VENV)/.runtime.stamp

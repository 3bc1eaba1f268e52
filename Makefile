# Sets Barker up in .venv and webui/node_modules, starts it, tests it. `make help` lists what there is.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
NODE_MODULES := webui/node_modules
# .venv/whole holds the checkout's path, and is away while pip works. When .venv was never made, was cut
# short, was moved or lost its Python, it is missing or does not fit: then .venv is made anew.
BROKEN := $(shell { [ "`cat $(VENV)/whole`" = "$(CURDIR)" ] && $(PY) -c ""; } 2>/dev/null || echo broken)
# Every file is known by its hash; what is compiled is built with what requirements-build.txt has brought.
INSTALL := -m pip install -qq --no-input --no-build-isolation
HASHED := $(INSTALL) --require-hashes
PIP := mv $(VENV)/whole $(VENV)/busy && $(PY) $(HASHED)
PIP_END := mv $(VENV)/busy $(VENV)/whole

# The machine's npm, or the one that is brought where it has none; as seen from webui/.
NPM = $(shell npm --version >/dev/null 2>&1 && echo npm || echo ../$(VENV)/bin/npm)

# Settings that would lead pip or Python astray. Those that say where packages come from stay.
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PIP_NO_BINARY PIP_ONLY_BINARY PIP_REQUIRE_HASHES
unexport PIP_DRY_RUN PIP_NO_BUILD_ISOLATION PIP_NO_DEPS PIP_REQUIREMENT PIP_EDITABLE PYTHONHOME PYTHONPATH
# With it each process of a suite compiles Barker anew, which takes longer than the rest of its start.
unexport PYTHONDONTWRITEBYTECODE

# The versions of Proton that barker/amqp works with; each has a virtual environment of its own.
PROTONS := 0.39.0 0.40.0
PROTON_TESTS := hypothesis|iniconfig|packaging|pluggy|pygments|pytest|pytest-timeout|sortedcontainers

# What looks after what others have made has an environment of its own. Of pyproject.toml's extras, requirements.txt
# has these.
SUPPLY := .venv-supply
EXTRAS := web terminal tls scale
COMPILE := PIP_FIND_LINKS= PIP_EXTRA_INDEX_URL= CUSTOM_COMPILE_COMMAND="make requirements" \
  $(SUPPLY)/bin/pip-compile -q --generate-hashes --strip-extras --no-annotate --no-emit-index-url --no-emit-find-links

# What looks at deploy/ has one, too.
LINTERS := .venv-linters

.NOTPARALLEL:
.PHONY: help run test test-scale test-proton simulate dist docs setup lint requirements audit screenshots clean preflight broken

help: ## say what there is (make alone does so too)
	@sed -n 's/^\([a-z-]*\):.*## /make \1: /p' Makefile

run: setup ## set everything up, then start Barker; ARGS="--users 100" goes to launch.py
	@exec $(PY) launch.py $(ARGS)

# Three files of tests at a time, on two processors as well: most tests wait for others most of the time.
test: TESTS := --tests
test: setup lint ## set everything up, then lint and pytest; ARGS="-k inbox" goes to pytest
	@echo "pytest:"; $(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=25 $(ARGS)

test-scale: setup $(VENV)/dev $(LINTERS)/done ## set up RabbitMQ, PostgreSQL and network namespaces (as root), then test with them
	@sh setup/engines.sh
	@sh setup/linters.sh $(LINTERS)
	@echo "pytest, with them:"; $(PY) -m pytest --scale --durations=10 tests/scale $(ARGS)

test-proton: $(PROTONS:%=.venv-proton/%/done) ## pytest over barker/amqp, with each version of Proton that works
	@for version in $(PROTONS); do echo "pytest, with Proton $$version:"; \
	  .venv-proton/$$version/bin/python -m pytest -q tests/amqp tests/test_fuzz.py $(ARGS) || exit; done

setup: preflight $(VENV)/run $(NODE_MODULES)/done ## set up what Barker needs to run

simulate: setup ## simulate hour after hour, with a new seed each, until a promise is broken
	@while $(PY) -m barker simulate --minutes 60; do :; done

dist: setup $(SUPPLY)/done ## build a wheel with the pages inside, and a list of what it is made of: dist/
	@rm -rf build dist && $(PY) -m pip wheel -qq --no-deps --no-build-isolation -w dist . && rm -rf build
	@PYTHONWARNINGS=ignore $(SUPPLY)/bin/cyclonedx-py requirements --pyproject pyproject.toml --of JSON -o dist/python.cdx.json requirements.txt
	@cd webui && $(NPM) sbom --sbom-format cyclonedx --package-lock-only --omit dev >../dist/pages.cdx.json
	@ls dist/*

docs: $(VENV)/docs ## build the documentation: docs/_build/html/index.html
	@$(PY) -m sphinx -q -W --keep-going docs docs/_build/html && echo docs/_build/html/index.html

lint: $(VENV)/dev ## ruff, mypy, which way imports go, and dead code
	@echo "ruff:"; $(PY) -m ruff check --output-format=concise .
	@echo "mypy:"; $(PY) -m mypy
	@echo "import-linter:"; $(VENV)/bin/lint-imports --no-logo --no-cache
	@echo "vulture:"; $(PY) -m vulture

requirements: $(SUPPLY)/done ## write pins and hashes anew, from pyproject.toml and setup/*.in; ARGS="--upgrade" takes newer ones
	@$(COMPILE) $(EXTRAS:%=--extra %) $(ARGS) -o requirements.txt pyproject.toml
	@for each in build dev docs npm supply linters; do \
	  $(COMPILE) --allow-unsafe $(ARGS) -o requirements-$$each.txt setup/$$each.in || exit; done

audit: setup $(SUPPLY)/done ## look whether something is known to be vulnerable in what others have made
	@PYTHON="$(SUPPLY)/bin/python" NPM="$(NPM)" sh setup/audit.sh

screenshots: TESTS := --tests
screenshots: setup $(VENV)/dev ## take the documentation's pictures anew, from a running suite
	@$(PY) -m tests.screenshots

clean: ## remove what make and the tools made; what Barker stored, .barker, stays
	@rm -rf $(VENV) .venv-proton $(SUPPLY) $(LINTERS) $(NODE_MODULES) build dist docs/_build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

preflight:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON). Install Python 3.11 or newer\
	 (Debian, Ubuntu: sudo apt-get install python3), or say where: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) setup/preflight.py $(TESTS)

$(VENV)/whole: $(BROKEN) | preflight
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@rm -rf $(VENV) && $(PYTHON) -m venv $(VENV) && echo "$(CURDIR)" >$@

$(VENV)/run: requirements-build.txt requirements.txt pyproject.toml $(VENV)/whole
	@echo "Installing Barker's Python packages (Proton is compiled: up to a minute)"
	@$(PIP) -r requirements-build.txt && $(PY) $(HASHED) -r requirements.txt \
	  && $(PY) $(INSTALL) --no-deps -e . && $(PIP_END)
	@touch $@

$(VENV)/dev: requirements-dev.txt $(VENV)/run
	@echo "Installing the tools for tests"
	@$(PIP) -r requirements-dev.txt && $(PIP_END)
	@touch $@

$(VENV)/docs: requirements-docs.txt $(VENV)/run
	@echo "Installing Sphinx"
	@$(PIP) -r requirements-docs.txt && $(PIP_END)
	@touch $@

.venv-proton/%/done: requirements-build.txt requirements.txt requirements-dev.txt setup/protons.txt | preflight
	@echo "Making $(@D) (Proton is compiled: up to a minute)"
	@rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	@awk '/^[^ #]/ { kept = !/^python-qpid-proton==/ } kept' requirements.txt >$(@D)/requirements.txt
	@awk '/^[^ #]/ { kept = /^($(PROTON_TESTS))==/ } kept' requirements-dev.txt >$(@D)/tests.txt
	@awk '/^[^ #]/ { kept = /==$* / } kept' setup/protons.txt >$(@D)/proton.txt
	@$(@D)/bin/python $(HASHED) -r requirements-build.txt
	@$(@D)/bin/python $(HASHED) -r $(@D)/requirements.txt -r $(@D)/tests.txt -r $(@D)/proton.txt
	@touch $@

$(SUPPLY)/done $(LINTERS)/done: .venv-%/done: requirements-%.txt | preflight
	@echo "Making $(@D)"
	@rm -rf $(@D) && $(PYTHON) -m venv $(@D) && $(@D)/bin/python $(HASHED) -r $<
	@touch $@

$(NODE_MODULES)/done: webui/package.json webui/package-lock.json requirements-npm.txt | $(VENV)/run
	@echo "Installing the pages' JavaScript packages"
	@npm --version >/dev/null 2>&1 || { $(PIP) -r requirements-npm.txt && $(PIP_END); }
	@cd webui && $(NPM) ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

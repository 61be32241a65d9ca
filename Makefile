# One environment, .venv/, for every target; stamps say what is installed in it.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help figures test claims reproduce paper docs lint derive mutants bench clean

help:  ## Show the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  \1\t/'

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1): install it, or name one with make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) lacks venv or ensurepip: on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/.core: .venv/.made pyproject.toml requirements.lock
	@echo "installing the core packages into .venv" >&2
	@$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e .
	@touch $@

.venv/.dev: .venv/.core
	@echo "installing the test and lint tools into .venv" >&2
	@$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev]'
	@touch $@

.venv/.rigorous: .venv/.core
	@echo "installing ball arithmetic into .venv" >&2
	@$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[rigorous]'
	@touch $@

.venv/.paper: .venv/.core
	@echo "installing typst into .venv" >&2
	@$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[paper]'
	@touch $@

.venv/.docs: .venv/.core
	@echo "installing sphinx into .venv" >&2
	@$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[docs]'
	@touch $@

.venv/.mutants: .venv/.dev
	@echo "installing mutmut and cosmic-ray into .venv" >&2
	@$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[mutants]'
	@touch $@

# torch alone first: asked for together with others, pip may take another build of it
.venv/.bench: .venv/.core
	@echo "installing the peers into .venv" >&2
	@$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock torch==2.13.0
	@$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[peers]'
	@touch $@

figures: .venv/.core  ## Compute and draw every figure into figures/out (under 10 minutes on 2 cores), or FIGURES="NAME NAME"
	@$(BIN)/stochep figures $(FIGURES)

test: .venv/.dev  ## Run the theorem checks and the tests
	@$(BIN)/pytest -n 2 --dist worksteal -q

claims: .venv/.rigorous  ## Check every claim and print the table
	@$(BIN)/stochep claims check

lint: .venv/.dev  ## Style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/basedpyright --level error

mutants: .venv/.mutants  ## Do the tests notice mutants of the code (about an hour and a half on 2 cores)
	@$(BIN)/python -m tests.mutants

bench: .venv/.bench  ## Race the kernels against other implementations (about 17 minutes on 2 free cores)
	@$(BIN)/python -m benchmarks

# stability_*.toml are the study's and *_sweep.toml grids, not runs of their own; streams, passes from below and images with a temperature
# of their own have no fixed point, or no one temperature, to certify
reproduce: .venv/.core  ## Train every recorded run and study again, taking up checkpoints (about 8 hours on 2 cores)
	@for file in $(filter-out experiments/stability_% %_sweep.toml,$(sort $(wildcard experiments/*.toml))); do \
	  $(BIN)/stochep train $$file --out results --resume || exit 1; done
	@for study in leak size stability gradient rule_time; do $(BIN)/python -m figures.$${study}_study || exit 1; done
	@for file in $$(grep -LE '"coding": "frames"|"kind": "predictive_coding"|"divisive"' results/*/[0-9]/result.json); do \
	  run=$$(dirname $$file); $(BIN)/stochep certify $$run --out $$run || exit 1; done

derive: .venv/.core  ## Derive the equations again and rewrite meanfield/equations.py
	@$(BIN)/python -m meanfield.derivations

paper: .venv/.paper .venv/.rigorous  ## Build paper/generated/paper.pdf
	@$(BIN)/python -m paper.build

docs: .venv/.docs  ## Build the site into docs/_build, with the figures that are drawn
	@$(BIN)/sphinx-build -q -W -b html docs docs/_build

clean:  ## Remove the environment and what was generated
	rm -rf .venv .mutants figures/out paper/generated docs/_build docs/generated

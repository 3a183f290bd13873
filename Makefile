# Everything runs in .venv, which these targets make with nothing but Python >= 3.11.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check

.PHONY: app demo table test test-slow test-endurance lint format docs install install-dev clean

# Gradio wants an older Pillow than requirements.lock pins: the page has an environment of its own.
APP := $(VENV)/app

# The page in the browser, with the shipped model.
app: $(APP)/.stamp
	$(APP)/bin/python -m alrl_jax.commands.main app

# Both evaluations run the same programs: the second one finds them compiled. On a CPU, two devices
# train nearly twice as fast as two threads of one.
demo: export JAX_COMPILATION_CACHE_DIR := $(CURDIR)/runs/demo/compiled
demo: $(VENV)/.runtime
	$(RUN) -m alrl_jax.evaluate --workdir=embedded/swapper_64 --num_pairs=200 --output=runs/demo/before
	JAX_NUM_CPU_DEVICES=2 $(RUN) -m alrl_jax.train --config=configs/demo.py --workdir=runs/demo/training
	$(RUN) -m alrl_jax.evaluate --workdir=runs/demo/training --before=runs/demo/before --num_pairs=200 --output=runs/demo
	$(RUN) -m tools.model_card --model=runs/demo/training --metrics=runs/demo/metrics.json
	@echo "The report: runs/demo/report/index.html"

# The rows whose weights are shipped are measured here; the others, and other seeds, were when they
# were trained.
table: $(VENV)/.runtime
	$(RUN) -m alrl_jax.evaluate --workdir=results/models/adaptive_64 --selectors= --split=test --output=runs/table/shipped \
	  --beside=best_fixed=results/models/best_fixed_64,ftm4=results/models/ftm4_64,mixer=results/models/mixer_64
	$(RUN) -m tools.compare_rows --output=runs/table \
	  --evaluations=runs/table/shipped,$$(ls -d results/rows_64/seed_* | paste -sd, -)
	@echo "The table: runs/table/index.html, runs/table/table.md"

# Two processes: most of a test's time goes into compiling, on one core. Tests of a file share theirs.
TEST := $(RUN) -m pytest --numprocesses=2 --dist=loadfile

test: $(VENV)/.dev
	$(TEST)

# Everything, what is marked slow included, but kills, fuzzing and mutants.
test-slow: $(VENV)/.dev
	$(TEST) -m "not endurance"

# Kills, fuzzing, and small faults that the tests must notice; prints its time.
test-endurance: $(VENV)/.dev
	@date; $(TEST) -m endurance && $(RUN) -m tests.support.mutants; status=$$?; date; exit $$status

lint: $(VENV)/.dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m pyright

format: $(VENV)/.dev
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

# The pages of docs/, as a site in site/; a warning is an error.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

install: $(VENV)/.runtime
install-dev: $(VENV)/.dev

$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than Python 3.11; name another: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) alrl_jax/utils/platforms.py
	$(PYTHON) -m venv $(VENV)

# A stamp is written once its installation has succeeded, and is stale when a pin changes.
$(VENV)/.runtime: requirements.lock requirements-data.lock pyproject.toml | $(RUN)
	$(PIP) install --quiet --requirement requirements.lock
	$(PIP) install --quiet --no-deps --requirement requirements-data.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	$(PIP) install --quiet --requirement requirements-dev.lock
	@touch $@

$(VENV)/.docs: requirements-docs.lock $(VENV)/.runtime
	$(PIP) install --quiet --requirement requirements-docs.lock
	@touch $@

$(APP)/.stamp: requirements.lock requirements-data.lock pyproject.toml | $(RUN)
	$(RUN) -m venv $(APP)
	grep -v '^pillow==' requirements.lock > $(APP)/constraints.txt
	$(APP)/bin/python -m pip --disable-pip-version-check install --quiet \
	  --constraint $(APP)/constraints.txt --editable '.[app,video]'
	$(APP)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps \
	  --requirement requirements-data.lock
	@touch $@

clean:
	rm -rf runs/demo build dist site *.egg-info .pytest_cache .ruff_cache

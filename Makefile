# Every target sets itself up: a virtual environment in .venv with pinned versions. PYTHON names the interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-torch test-faults test-browser test-interop serve bench bench-scale bench-paper lint docs dist test-wheel clean

# The main job on generated data; make demo DATA=folder runs the paper's scenario on real data.
demo: $(VENV)/.report
	$(BIN)/alteraser demo $(if $(DATA),--data "$(DATA)")

test: $(VENV)/.test $(VENV)/.postgresql
	$(BIN)/python -m pytest $(ARGS)

# What needs PyTorch: differentiated solvers, first-order methods, the paper's experiments on tiny sets.
test-torch: $(VENV)/.test $(VENV)/.torch
	$(BIN)/python -m pytest -m torch $(ARGS)

# The forgetting service on generated data, with a console: make serve [PORT=8080]. The key to log in is printed first.
serve: $(VENV)/.service
	mkdir -p build/serve
	test -d build/serve/household || $(BIN)/alteraser data generate --out build/serve/household
	test -d build/serve/model || $(BIN)/alteraser train build/serve/household --out build/serve/model
	test -d build/serve/state && echo "key: $$(cat build/serve/state/admin.key)" || \
	    echo "the key is written to build/serve/state/admin.key"
	$(BIN)/alteraser serve --state build/serve/state --model build/serve/model --data build/serve/household \
	    --port $(or $(PORT),8080)

# The service killed, stopped, and refused by the disk at each of its durable operations, and killed at random moments;
# bits flipped, readers while versions come and go; calls made up from its description. As many tests side by side as
# there are processors: make test-faults JOBS=4 for another number.
test-faults: $(VENV)/.test $(VENV)/.faults $(VENV)/.postgresql
	$(BIN)/python -m pytest tests/ledger tests/service -m faults -n $(or $(JOBS),auto) --dist worksteal $(ARGS)

# The console in a browser, with axe-core: needs Chromium (Debian: apt install chromium), or CHROMIUM=/path/to/it.
# SCREENSHOTS=docs/images takes the pictures of the documentation again.
test-browser: $(VENV)/.test
	@if [ -z "$(CHROMIUM)" ]; then echo "test-browser: skipped, there is no Chromium here (apt install chromium, or CHROMIUM=/path/to/it)"; \
	else $(PIP) -e ".[browser]" && CHROMIUM="$(CHROMIUM)" SCREENSHOTS="$(SCREENSHOTS)" \
	    $(BIN)/python -m pytest tests/service -m browser $(ARGS); fi

CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)

# Real implicit, LensKit, RecBole, Surprise, Cornac and Spark (with a JVM), each in an environment of its own, write models
# and read back what became of them.
test-interop: $(VENV)/.test
	$(BIN)/python -m pytest tests/interop -m interop $(ARGS)

# Ratios against implicit, and the paper's scenario on the folders in BENCH_DATA (generated data without it).
bench: $(VENV)/.bench
	for name in kernels resources; do $(BIN)/alteraser bench $$name $(firstword $(BENCH_DATA)) || exit; done
	for name in scenario joint stream; do $(BIN)/alteraser bench $$name $(BENCH_DATA) || exit; done

# How time and memory grow, on generated data: make bench-scale SIZES="1 10 100" (millions of interactions) OUT=scale.
bench-scale: $(VENV)/.bench
	$(BIN)/alteraser bench scale --sizes "$(or $(SIZES),1 10)" $(if $(OUT),--out "$(OUT)")

# The paper's experiments: make bench-paper DATA=folder-of-sets [RUNS=5] [OUT=bench-paper] [ARGS="--methods all"].
bench-paper: $(VENV)/.report $(VENV)/.torch
	$(BIN)/alteraser bench paper --data "$(or $(DATA),$(error DATA=folder with data sets))" --runs $(or $(RUNS),1) \
	    --out "$(or $(OUT),bench-paper)" $(if $(ARGS),$(ARGS),--methods main,first-order,ablation,influence)

lint: $(VENV)/.lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/circles.py
	$(BIN)/python tools/sizes.py

docs: $(VENV)/.docs
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

# The archives that a package index would be given: dist/alteraser-….tar.gz, and the wheel built from it.
dist: $(VENV)/.dist
	rm -rf dist
	$(BIN)/python -m build --outdir dist .

# Both archives are looked through; the wheel is installed and run on Python 3.11 to 3.13, those that are here.
test-wheel: dist
	$(BIN)/python tools/check_dist.py dist $(if $(VERSION),--python $(VERSION))

clean:
	rm -rf $(VENV) .venv-interop docs/_build build dist

# A server for the tests of a ledger in PostgreSQL, which start one of their own; without it they are skipped.
$(VENV)/.postgresql: $(VENV)/.base
	command -v initdb || ls /usr/lib/postgresql/*/bin/initdb || \
	    { test "$$(id -u)" = 0 && apt-get install -y -q postgresql; } || echo "no PostgreSQL: its tests are skipped"
	touch $@

$(VENV)/.base: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "AltEraser needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

$(VENV)/.report $(VENV)/.test $(VENV)/.bench $(VENV)/.lint $(VENV)/.docs $(VENV)/.torch $(VENV)/.dist $(VENV)/.service $(VENV)/.faults: $(VENV)/.%: $(VENV)/.base
	$(PIP) -e ".[$*$(if $(filter test lint,$*),$(COMMA)report)$(if $(filter bench,$*),$(COMMA)report)]"
	touch $@

COMMA := ,

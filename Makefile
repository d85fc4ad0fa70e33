# The two commands are `make lab` and `make test`; `make help` lists the rest.
VENV := .venv
BIN := $(VENV)/bin
# The tests mostly wait, so there may be more of them at a time than processors.
WORKERS := 3
# They start hundreds of processes; each would compile all that it imports where nothing keeps what was compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help env lab test deb lint docs bench lock clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST)

env:  ## create or update .venv from requirements.lock (quick when nothing changed)
	@scripts/make-env $(VENV)

lab:  ## run the two-gateway reference scenario in network namespaces (LAB_ARGS="--peer bird")
	@scripts/system-packages env lab $(addprefix lab-,$(filter bird frr,$(subst =, ,$(LAB_ARGS))))
	@scripts/make-env $(VENV) run
	$(BIN)/bgpsvc lab run $(LAB_ARGS)

test:  ## run every test with branch coverage (TEST_ARGS="-k rib"; one after the other: TEST_ARGS="-n 0")
	@scripts/system-packages env test
	@$(MAKE) --no-print-directory env
	$(BIN)/pytest -n $(WORKERS) --cov --cov-report=term:skip-covered $(TEST_ARGS)

lint: env  ## ruff (rules and format), mypy --strict, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	MYPYPATH=docs/_ext $(BIN)/mypy --strict docs/_ext/sitegen
	$(BIN)/lint-imports

docs: env  ## build the documentation into build/site: open build/site/index.html
	@PYTHONPATH=docs/_ext $(BIN)/python -m sitegen build/site

bench:  ## ours, BIRD, FRR and the kernel side by side, in 3 minutes (an hour or two: BENCH_ARGS="--full")
	@scripts/system-packages env bench
	@$(MAKE) --no-print-directory env
	$(BIN)/python -m tests.bench $(BENCH_ARGS)

deb: env  ## build/bgpsvc_VERSION_ARCH.deb for the Debian or Ubuntu of this machine
	@scripts/deb $(VENV)

lock: env  ## write the lock files anew from pyproject.toml, with the newest versions
	@scripts/lock $(VENV)

clean:  ## remove .venv, caches and build products
	rm -rf $(VENV) build dist .coverage .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

.DEFAULT_GOAL := help
.PHONY: help install demo fleet pictures test check fix docs site bench bench-blend gpu soak talks release-check clean

BIN := .venv/bin
STAMP := .venv/.installed

# One OpenMP thread, unbound: with two on a busy machine vLLM's CPU decode spins at barriers.
export OMP_NUM_THREADS := 1
export VLLM_CPU_OMP_THREADS_BIND := nobind
export HF_HUB_OFFLINE := 1
export VLLM_NO_USAGE_STATS := 1
export DO_NOT_TRACK := 1

help: ## what there is to make
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## set up .venv (PYTHON=/path/to/python picks the interpreter)

$(STAMP): pyproject.toml setup.py $(wildcard scripts/* scripts/*/*)
	@PYTHON="$(PYTHON)" scripts/install

demo: $(STAMP) ## one context computed once, restored by another vLLM (JSON=FILE writes the figures)
	@$(BIN)/python -m demo.run $(if $(JSON),--json "$(JSON)")

fleet: $(STAMP) ## two vLLM, a router, Redis with Sentinels; parts are killed under load (JSON=FILE writes the figures)
	@$(BIN)/python -m demo.fleet.run $(if $(JSON),--json "$(JSON)") $(ARGS)

pictures: $(STAMP) ## take the pictures in docs/pictures from real servers, a terminal and a browser
	@scripts/install_system_packages
	@$(BIN)/python -m demo.pictures.run $(ARGS)

test: check ## everything: the checks, then every test, two at once (ARGS=... goes to pytest)
	@scripts/install_system_packages
	$(BIN)/pytest --numprocesses 2 --dist loadgroup $(ARGS)

check: $(STAMP) ## lint, types, layers, spelling, and that every test can be imported
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	@listed=$$($(BIN)/python -m pytest --collect-only -qq) || { echo "$$listed" | tail -60; exit 1; }

fix: $(STAMP) ## mend what the linter and the formatter can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(STAMP) ## write docs/api.md, docs/configuration.md and the pictures of how it works
	@$(BIN)/python -m docs.api_page
	@$(BIN)/python -m docs.configuration_page
	@$(BIN)/python -m docs.diagrams

site: $(STAMP) ## build the pages as a site in site/ (SITE=FOLDER puts it elsewhere)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m docs.site "$(or $(SITE),site)"

bench: $(STAMP) ## time to first token: cold, restored, local hit (JSON=FILE appends the rows)
	$(BIN)/python -m benchmarks.bench_ttft $(if $(JSON),--json "$(JSON)")

bench-blend: $(STAMP) ## passages reused anywhere: time, quality, a RAG load (JSON=FILE appends the rows): two hours
	$(BIN)/python -m benchmarks.bench_blend $(if $(JSON),--json "$(JSON)")
	$(BIN)/python -m benchmarks.bench_blend_quality $(if $(JSON),--json "$(JSON)")
	$(BIN)/python -m benchmarks.bench_serving --loads passages --only vllm kvtransfer blend --rounds 3 \
		$(if $(JSON),--json "$(JSON)")

gpu: ## all that only a GPU can show (PYTHON=... has torch and Triton; installs nothing)
	@PYTHONPATH=. $(or $(PYTHON),python3) -m benchmarks.gpu

soak: $(STAMP) ## faults at random, in a store, in a folder and under a whole vLLM, and hours of requests: an hour
	$(BIN)/python -m tests.faults.soak $(ARGS)
	$(BIN)/python -m tests.faults.fuzz_files $(FILES_ARGS)
	$(BIN)/python -m tests.faults.fuzz_replies $(REPLIES_ARGS)
	$(BIN)/python -m tests.faults.fuzz_lossless $(LOSSLESS_ARGS)
	$(BIN)/python -m tests.connector.soak_engine $(ENGINE_ARGS)
	$(BIN)/python -m tests.connector.soak_changes $(CHANGES_ARGS)
	$(BIN)/python -m tests.connector.soak_codecs $(CODECS_ARGS)
	$(BIN)/python -m tests.connector.soak_blend $(BLEND_ARGS)
	$(BIN)/python -m tests.connector.soak_hours $(HOURS_ARGS)

talks: $(STAMP) ## a thousand turns of talk over every tier (ARGS="--rounds N --seed N --json FILE")
	$(BIN)/python -m tests.connector.talks $(ARGS)

release-check: $(STAMP) ## build the wheel and the source distribution into dist/, install and run both
	@$(BIN)/python scripts/release_check

clean: ## remove .venv and what the tools left behind
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

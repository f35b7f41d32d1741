# Two commands do everything, set-up included: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test cluster-test bench clean

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -e ".[dev]"
	touch $(READY)

demo: $(READY)
	$(BIN)/scantseg run configs/demo.yaml

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

cluster-test: $(READY)
	$(BIN)/python -m tests.cluster.hosts

bench: $(READY)
	$(BIN)/python -m tests.bench.overhead

clean:
	rm -rf $(VENV) runs corpora comparisons

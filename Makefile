# `make demo` and `make test` set everything up in .venv first; a second call starts
# at once. Another interpreter: `make clean`, then `make demo PYTHON=python3.12`.
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready

.PHONY: demo test lint format bench setup clean

demo: $(READY)
	$(RUN) examples/digits.py

test: $(READY)
	$(RUN) -m pytest -n 2

lint: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m pyright

format: $(READY)
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

bench: $(READY)
	$(RUN) -m benchmarks

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(RUN) -c "" 2>/dev/null || { \
	  python="$${PYTHON:-$$(sh tools/find-python)}" && \
	  echo "Making $(VENV) with $$python" && "$$python" -m venv --clear $(VENV); }
	@echo "Installing what Carnyx needs (once; a minute or two) ..."
	@$(RUN) -m pip install -qq --disable-pip-version-check \
	  --constraint constraints.txt --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV)

# `make demo` and `make test` set everything up in .venv first; a second call starts
# at once. Another interpreter: `make clean`, then `make demo PYTHON=python3.12`.
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready

INTEROP := .venv-interop
INTEROP_READY := $(INTEROP)/.ready

.PHONY: demo test test-interop lint format bench setup clean

demo: $(READY)
	$(RUN) examples/digits.py

test: $(READY)
	$(RUN) -m pytest -n 2

# Sources of data and callbacks with the real torch, tensorflow, pandas, polars,
# datasets and grain: in an environment of their own, of a Python that all of them have.
# Elsewhere than on a CPU-only index, torch brings CUDA along (gigabytes): name another
# with PIP_INDEX_URL.
test-interop: $(INTEROP_READY)
	$(INTEROP)/bin/python -m pytest tests/interop
	$(INTEROP)/bin/python -m pytest tests/training/test_resume.py -k grain

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

$(INTEROP_READY): pyproject.toml constraints-interop.txt
	@$(INTEROP)/bin/python -c "" 2>/dev/null || { \
	  python="$${INTEROP_PYTHON:-$$(sh tools/find-python 11)}" && \
	  echo "Making $(INTEROP) with $$python" && "$$python" -m venv --clear $(INTEROP); }
	@echo "Installing the libraries that Carnyx trains from (once; some minutes) ..."
	@$(INTEROP)/bin/python -m pip install -qq --disable-pip-version-check \
	  --constraint constraints-interop.txt --editable ".[interop]"
	@touch $@

clean:
	rm -rf $(VENV) $(INTEROP)

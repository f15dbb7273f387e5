# The commands people and scripts rely on. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
CLUSTER ?= local
export CLUSTER

include e2e/cluster/cluster.mk

.PHONY: help
help: ## Lists these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: up demo demo-delivery down env test unit e2e delivery conformance soak bench bench-delivery bench-node build generate lint fmt
up: ## Cluster, ledger node and operator; no example
	@scripts/up.sh

demo: ## Brings everything up, runs an example live and verifies its journal
	@scripts/demo.sh

demo-delivery: ## A good canary, a bad one that rolls itself back, a blue/green switch, live under requests
	@scripts/demo-delivery.sh

down: ## Stops everything that was started here
	@scripts/down.sh

env: ## Prints what a shell needs to use it: eval "$(make -s env)"
	@scripts/shell-env.sh

build: ## Programs, canisters and images
	@scripts/prerequisites.sh
	@scripts/build.sh

test: ## Everything that proves the project
	@scripts/test.sh

unit: ## Unit and integration tests without a cluster
	@scripts/test.sh unit

e2e: ## End-to-end tests on the cluster
	@scripts/test.sh e2e

delivery: ## End-to-end tests of deliveries, with a gateway and Prometheus
	@scripts/test.sh delivery

conformance: ## Laws of the IC interface on a node; IC_URL=… tries another network, LAWS="--filter TEXT" are arguments
	@IC_URL="$(IC_URL)" scripts/conformance.sh $(LAWS)

soak: ## The long loops: more blocks, crashes and cases; Argo CD and Flux (an hour or more)
	@scripts/soak.sh

bench: ## Runs against bare Pods, as ratios; BENCH="--quick" or "--write" are its arguments
	@scripts/bench.sh runs $(BENCH)

bench-delivery: ## Lost requests, splits, the way back, a thousand rollouts; BENCH as above
	@scripts/bench.sh delivery $(BENCH)

bench-node: ## Updates, queries, heaps, memory and starts of the embedded node; BENCH as above
	@scripts/bench.sh node $(BENCH)

generate: ## Writes generated files (CRDs, vectors)
	@scripts/generate.sh

lint: ## Format, clippy, generated files, licences
	@scripts/lint.sh

fmt: ## Formats the Rust code
	@cargo fmt --all

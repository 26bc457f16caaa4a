# Everything that is done with this repository. `make help` lists it; a fresh machine needs Go and make.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

# safe.directory: a checkout that belongs to another user, as in a container, is read all the same.
GIT := git -c safe.directory='*'
VERSION_PACKAGE := github.com/prometheus/common/version
VERSION := $(shell cat VERSION)
REVISION := $(shell $(GIT) describe --always --abbrev=40 --exclude='*' --dirty=-modified 2>/dev/null || echo unknown)
# The date of the commit and not of the build: the same sources give the same binary.
BUILD_DATE := $(shell TZ=UTC $(GIT) log -1 --date=format-local:%Y%m%d-%H:%M:%S --format=%cd 2>/dev/null || echo unknown)
LDFLAGS := -s -w \
	-X $(VERSION_PACKAGE).Version=$(VERSION) \
	-X $(VERSION_PACKAGE).Revision=$(REVISION) \
	-X $(VERSION_PACKAGE).BuildDate=$(BUILD_DATE)

GOLANGCI_LINT := .build/bin/golangci-lint
# Modules of their own below this one: what they stand on is none of the exporter's.
MODULES := $(patsubst %/go.mod,%,$(wildcard test/e2e/go.mod release/go.mod deploy/kubernetes/check/go.mod))
# Where `make build` puts the program.
OUTPUT ?= portscan_exporter
FUZZTIME ?= 60s

# What the tests need and is not installed; see scripts/install-test-deps.
export PATH := $(PATH):$(CURDIR)/.build/chrony/usr/sbin

.PHONY: build
build: ## Build ./portscan_exporter, static.
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $(OUTPUT) .

.PHONY: test
test: test-deps lint cross test-go test-modules test-e2e ## Install what the tests need, then check and test everything.

.PHONY: test-deps
test-deps: ## Install the programs that the tests need (Debian-like, as root).
	scripts/install-test-deps

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Formatting, linters, the arrows of the house, and a tidy go.mod.
	go mod tidy -diff
	$(GOLANGCI_LINT) run --allow-parallel-runners ./...
	for module in $(MODULES); do \
		( \
			cd $$module; \
			go mod tidy -diff; \
			$(CURDIR)/$(GOLANGCI_LINT) run --allow-parallel-runners --config $(CURDIR)/.golangci.yml ./...; \
		); \
	done

.PHONY: cross
cross: ## Vet everything, tests included, for all systems.
	scripts/cross-vet

.PHONY: test-go
test-go: ## The tests of this module, with the race detector.
	CGO_ENABLED=1 go test -race -timeout=20m ./...

.PHONY: test-modules
test-modules: ## The tests of the release's parts and of the Kubernetes manifests.
	cd release; go vet ./...; go test ./...
	cd deploy/kubernetes/check; go vet ./...; go test -count=1 ./... # what it reads is outside of its module

.PHONY: test-e2e
test-e2e: ## The tests against real programs.
	if [[ -e test/e2e/go.mod ]]; then \
		cd test/e2e; \
		go vet ./...; \
		go test -count=1 -timeout=20m ./...; \
	fi

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## Format the sources.
	$(GOLANGCI_LINT) fmt
	for module in $(MODULES); do (cd $$module; $(CURDIR)/$(GOLANGCI_LINT) fmt --config $(CURDIR)/.golangci.yml); done

.PHONY: dashboards
dashboards: ## Write grafana/dashboards from grafana/generate.
	go generate ./grafana/...

.PHONY: bench
bench: test-deps ## Benchmarks, and the exporter beside nmap and others: writes docs/benchmarks.md.
	go test -run '^$$' -bench . -benchmem ./...
	go test ./test/bench -count=1 -timeout=60m -v -runs=5 -write=$(CURDIR)/docs/benchmarks.md

.PHONY: fuzz
fuzz: ## Run every fuzz test for FUZZTIME.
	scripts/fuzz $(FUZZTIME)

.PHONY: image
image: ## Build the container image portscan_exporter:VERSION.
	docker build --tag portscan_exporter:$(VERSION) .

.PHONY: manifests
manifests: ## Make the PrometheusRule in deploy/kubernetes from prometheus/alerts.yml.
	cd deploy/kubernetes/check; go run .

.PHONY: release
release: ## Build archives, packages, checksums and notes of this commit into dist.
	rm -rf dist
	cd release; go run .

.PHONY: clean
clean: ## Remove what the other targets leave.
	rm -rf portscan_exporter .build dist

.PHONY: help
help: ## List the targets.
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

# The linter is a tool of a module of its own, so that its many dependencies are none of the exporter's.
$(GOLANGCI_LINT): tools/go.mod
	mkdir -p $(@D)
	go build -C tools -trimpath -buildvcs=false -ldflags '-s -w' -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	touch $@

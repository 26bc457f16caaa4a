# `make help` lists the targets. Requirements: Go and make.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

# safe.directory: in a container, the checkout can belong to another user.
GIT := git -c safe.directory='*'
VERSION_PACKAGE := github.com/prometheus/common/version
VERSION := $(shell cat VERSION)
REVISION := $(shell $(GIT) describe --always --abbrev=40 --exclude='*' --dirty=-modified 2>/dev/null || echo unknown)
# The commit's date keeps builds reproducible.
BUILD_DATE := $(shell TZ=UTC $(GIT) log -1 --date=format-local:%Y%m%d-%H:%M:%S --format=%cd 2>/dev/null || echo unknown)
LDFLAGS := -s -w \
	-X $(VERSION_PACKAGE).Version=$(VERSION) \
	-X $(VERSION_PACKAGE).Revision=$(REVISION) \
	-X $(VERSION_PACKAGE).BuildDate=$(BUILD_DATE)

GOLANGCI_LINT := .build/bin/golangci-lint
GOTESTSUM := .build/bin/gotestsum
# Runs tests with real networks and programs. On a busy machine these can be late, so failed tests run again by
# themselves, once: not after a data race, a panic or more than five failures. The summary has each failure.
RETRY_TESTS := $(CURDIR)/$(GOTESTSUM) --format=standard-quiet --hide-summary=skipped --rerun-fails=1 \
	--rerun-fails-max-failures=5 --rerun-fails-run-root-test --rerun-fails-abort-on-data-race
# Nested modules, which keep their dependencies out of the exporter's go.mod.
MODULES := $(patsubst %/go.mod,%,$(wildcard test/e2e/go.mod release/go.mod deploy/kubernetes/check/go.mod))
# Output file of `make build`.
OUTPUT ?= portscan_exporter
FUZZTIME ?= 60s

# Programs that scripts/install-test-deps unpacks without installing them.
export PATH := $(PATH):$(CURDIR)/.build/chrony/usr/sbin

.PHONY: build
build: ## Build a static ./portscan_exporter.
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $(OUTPUT) .

.PHONY: test
test: test-deps lint cross test-go test-modules test-e2e ## Install test dependencies, then run linters and all tests.

.PHONY: test-deps
test-deps: ## Install programs that tests need (Debian, as root).
	scripts/install-test-deps

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Check formatting, linters and go.mod.
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
cross: ## Vet all packages and tests for all platforms.
	scripts/cross-vet

.PHONY: test-go
test-go: $(GOTESTSUM) ## Run unit tests with the race detector.
	CGO_ENABLED=1 $(RETRY_TESTS) --packages="$$(go list ./... | grep -v /test/repo$$ | xargs)" -- \
		-race -timeout=20m -parallel=6 # many tests wait most of the time
	CGO_ENABLED=1 go test -race -count=1 ./test/repo # go test does not detect that documents changed

.PHONY: test-modules
test-modules: ## Run tests of the release command and the Kubernetes manifests.
	cd release; go vet ./...; go test ./...
	cd deploy/kubernetes/check; go vet ./...; go test -count=1 ./... # its inputs are outside its module

.PHONY: test-e2e
test-e2e: $(GOTESTSUM) ## Run end-to-end tests.
	if [[ -e test/e2e/go.mod ]]; then \
		cd test/e2e; \
		go vet ./...; \
		$(RETRY_TESTS) --packages=./... -- -count=1 -timeout=20m; \
	fi

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## Format the sources.
	$(GOLANGCI_LINT) fmt
	for module in $(MODULES); do (cd $$module; $(CURDIR)/$(GOLANGCI_LINT) fmt --config $(CURDIR)/.golangci.yml); done

.PHONY: dashboards
dashboards: ## Generate grafana/dashboards.
	go generate ./grafana/...

.PHONY: bench
bench: test-deps ## Run benchmarks and generate docs/benchmarks.md.
	go test -run '^$$' -bench . -benchmem ./...
	go test ./test/bench -count=1 -timeout=60m -v -runs=5 -write=$(CURDIR)/docs/benchmarks.md

.PHONY: fuzz
fuzz: ## Run each fuzz test for FUZZTIME.
	scripts/fuzz $(FUZZTIME)

.PHONY: image
image: ## Build the container image portscan_exporter:VERSION.
	docker build --tag portscan_exporter:$(VERSION) .

.PHONY: manifests
manifests: ## Generate the PrometheusRule in deploy/kubernetes.
	cd deploy/kubernetes/check; go run .

.PHONY: release
release: ## Build archives, packages, checksums and notes in dist.
	rm -rf dist
	cd release; go run .

.PHONY: clean
clean: ## Remove build output.
	rm -rf portscan_exporter .build dist

.PHONY: help
help: ## List the targets.
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 15

# Tools are built from a separate module, which keeps their dependencies out of go.mod.
$(GOLANGCI_LINT): TOOL := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(GOTESTSUM): TOOL := gotest.tools/gotestsum
$(GOLANGCI_LINT) $(GOTESTSUM): tools/go.mod
	mkdir -p $(@D)
	go build -C tools -trimpath -buildvcs=false -ldflags '-s -w' -o ../$@ $(TOOL)
	touch $@

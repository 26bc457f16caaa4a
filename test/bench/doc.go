// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package bench defines benchmarks that compare the exporter with other scanners on
// hosts of package testnet. `go test ./test/bench` runs a short comparison that fails
// only on wrong results. `make bench` runs all of them and generates docs/benchmarks.md.
package bench

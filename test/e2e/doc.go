// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package e2e provides end-to-end tests that run the exporter binary with real listeners, a real
// Prometheus, a browser and a container engine. It is a separate module, so that the dependencies of
// these tests are not dependencies of the exporter.
//
// The tests scan only loopback addresses and networks that they create.
package e2e

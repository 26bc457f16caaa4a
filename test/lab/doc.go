// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package lab defines tests that scan real daemons and real packet filters, on hosts of
// package testnet: rate limits, bans and the logs of services. They require Linux and the
// programs of scripts/install-test-deps.
package lab

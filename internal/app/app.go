// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package app implements the commands of portscan_exporter: it wires the other packages
// together and contains no rules of its own.
package app

// Exit statuses of the commands, documented in docs/cli.md.
const (
	ExitOK      = 0
	ExitFailure = 1 // serve: it could not start; scan: a port is not as expected
	ExitRefused = 2 // an invalid command line; scan: refused, incomplete or failed
)

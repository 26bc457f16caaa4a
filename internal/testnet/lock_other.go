// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package testnet

import "testing"

// lockMachine does nothing, because isolated tests require Linux.
func lockMachine(*testing.T, bool) {}

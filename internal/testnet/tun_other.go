// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package testnet

import (
	"os"
	"testing"
)

// openTUN skips the test.
func openTUN(t *testing.T) (device *os.File, name string) {
	t.Helper()
	Skip(t, "TUN devices require Linux")
	return nil, ""
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package repo

import (
	"fmt"
	"os"
	"testing"
)

// TestMain makes paths relative to the root of the repository.
func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"slices"
	"testing"
)

// TestLoadReplacedFile loads a file that has been removed, as a bind mount of a file that was
// replaced has it.
func TestLoadReplacedFile(t *testing.T) {
	t.Parallel()
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.WriteString(goodText); err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/proc/self/fd/%d", file.Fd())
	want := path + ": file was replaced, but this process reads the old one: mount its directory, not the file"
	for _, removed := range []bool{false, true} {
		if removed {
			if err := os.Remove(file.Name()); err != nil {
				t.Fatal(err)
			}
		}
		_, warnings, err := Load(path, testTime())
		if err != nil || slices.Contains(warnings, want) != removed {
			t.Errorf("removed %t: Load = %q, %v, want the warning %t", removed, warnings, err, removed)
		}
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"testing"

	"portscan_exporter/internal/scan"
)

func TestTruncate(t *testing.T) {
	t.Parallel()
	cases := []struct{ text, want string }{
		{"", ""},
		{"short", "short"},
		{"longer", "longe..."},
		{"naïve é", "naïv..."},
		{"abcdé", "abcd..."}, // no part of a character
	}
	for _, c := range cases {
		if got := scan.Truncate(c.text, 5); got != c.want {
			t.Errorf("Truncate(%q, 5) = %q, want %q", c.text, got, c.want)
		}
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"testing"

	"portscan_exporter/internal/scan"
)

func TestExpectedViolatedBy(t *testing.T) {
	t.Parallel()
	violations := map[scan.Expected][]scan.State{
		scan.ExpectAny:    nil,
		scan.ExpectOpen:   {scan.Closed, scan.Filtered},
		scan.ExpectClosed: {scan.Open},
	}
	for expected, states := range violations {
		want := make(map[scan.State]bool)
		for _, s := range states {
			want[s] = true
		}
		for _, s := range scan.States() {
			if got := expected.ViolatedBy(s); got != want[s] {
				t.Errorf("%v.ViolatedBy(%v) = %v, want %v", expected, s, got, want[s])
			}
		}
	}
}

func TestExpectationViolations(t *testing.T) {
	t.Parallel()
	byState := map[scan.State]scan.PortSet{
		scan.Open: scan.NewPortSet(10, 11, 12), scan.Closed: scan.NewPortSet(20, 21), scan.Filtered: scan.NewPortSet(30, 31),
		scan.OpenFiltered: scan.NewPortSet(40), scan.Unknown: scan.NewPortSet(50),
	}
	open, allowed := scan.NewPortSet(10, 20, 30, 40, 50), scan.NewPortSet(11, 21)
	for name, c := range map[string]struct {
		expect              *scan.Expectation
		unexpected, missing string
	}{
		"no expectation": {nil, "", ""},
		"all closed":     {&scan.Expectation{}, "10-12", ""},
		"open":           {&scan.Expectation{Open: open}, "11-12", "20,30"},
		"open and allow": {&scan.Expectation{Open: open, Allow: allowed}, "12", "20,30"},
	} {
		if unexpected, missing := c.expect.Violations(byState); unexpected.String() != c.unexpected || missing.String() != c.missing {
			t.Errorf("%s: Violations() = %v, %v, want %q, %q", name, unexpected, missing, c.unexpected, c.missing)
		}
	}
}

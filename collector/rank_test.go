// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

// TestRankPortsOpenBefore ranks ports of which some were open before: ports of a lower rank keep
// it, and unknown ports have none.
func TestRankPortsOpenBefore(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		expect *scan.Expectation
		all    bool
		want   [rankCount]string
	}{
		"without an expectation": {want: [rankCount]string{rankOpen: "1-2", rankOpenBefore: "3,5"}},
		"with an expectation": {
			expect: &scan.Expectation{Open: scan.NewPortSet(2, 3)},
			want:   [rankCount]string{rankUnexpectedOpen: "1", rankExpectedOpen: "2-3", rankOpenBefore: "5"},
		},
		"all ports": {
			expect: &scan.Expectation{Allow: scan.NewPortSet(3)}, all: true,
			want: [rankCount]string{rankUnexpectedOpen: "1-2", rankAllowed: "3", rankOpenBefore: "5", rankOther: "4,6-7"},
		},
	} {
		p := ProbeResult{AllPorts: tc.all, Result: &scan.Result{}}
		a := readAddress(t, tc.expect, p.Result)
		got := [rankCount]string{}
		for rank, ports := range p.rankPorts(a, scan.NewPortSet(1, 2, 3, 5, 8, 99)) {
			got[rank] = ports.String()
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: rankPorts() (-want +got):\n%s", name, diff)
		}
	}
}

// readAddress returns the result for an address on which ports 1 and 2 are open, 3 to 7 closed,
// and 8 and 9 unknown, and sets the plan of the result of the scan.
func readAddress(t *testing.T, expect *scan.Expectation, to *scan.Result) *scan.AddressResult {
	t.Helper()
	ports, err := scan.ParsePortSet("1-9")
	if err != nil {
		t.Fatal(err)
	}
	to.Plan, err = scan.NewPlan(scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Ports: ports, Expect: expect,
		Timeout: 1, PortTimeout: 1, MaxInFlight: 1, MaxOpenAttempts: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	scope, err := scan.NewScope([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := scan.ReadAddress([]byte(`{"ip":"192.0.2.1","ports":[{"state":"open","cause":"synack","ports":"1-2"},`+
		`{"state":"closed","cause":"rst","ports":"3-7"},{"state":"unknown","cause":"deadline","ports":"8-9"}]}`), to.Plan, scope)
	if err != nil {
		t.Fatal(err)
	}
	return &a
}

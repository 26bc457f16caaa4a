// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// results returns a result with the states for ports 1, 2, 3... of 192.0.2.1.
func results(t *testing.T, states ...scan.PortResult) []scan.AddressResult {
	t.Helper()
	ports := make([]uint16, len(states))
	for i := range states {
		ports[i] = uint16(i + 1)
	}
	plan, err := scan.NewPlan(scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Ports: scan.NewPortSet(ports...),
		Timeout: time.Second, PortTimeout: time.Second, MaxInFlight: 1, MaxOpenAttempts: 3, ControlPorts: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	to := addr("192.0.2.1")
	scope, err := scan.NewScope([]netip.Prefix{netip.PrefixFrom(to, 32)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	req, _, err := scan.NewRequest(plan, scope, []scan.Address{{IP: to}})
	if err != nil {
		t.Fatal(err)
	}
	recorder, err := scan.NewRecorder(req)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range states {
		r.Address, r.Port = to, uint16(i+1)
		recorder.Record(r)
	}
	addresses, _, _ := recorder.Snapshot(scan.CauseDeadline)
	return addresses
}

func TestScore(t *testing.T) {
	t.Parallel()
	open := scan.PortResult{State: scan.Open, Cause: scan.CauseHandshake}
	closed := scan.PortResult{State: scan.Closed, Cause: scan.CauseRST}
	filtered := scan.PortResult{State: scan.Filtered, Cause: scan.CauseSilence}
	late := scan.PortResult{Cause: scan.CauseDeadline}
	dead := scan.PortResult{Cause: scan.CauseUnresponsive}
	truth := []scan.State{scan.Open, scan.Open, scan.Open, scan.Open, scan.Closed, scan.Closed, scan.Filtered, scan.Unknown, scan.Unknown}
	claims := []scan.PortResult{open, open, filtered, late, closed, open, filtered, dead, filtered}
	is := func(_ netip.Addr, port uint16) scan.State { return truth[port-1] }

	found := results(t, claims...)
	reports := make(map[netip.AddrPort]scan.PortResult)
	for r := range found[0].All() {
		reports[netip.AddrPortFrom(r.Address, r.Port)] = r
	}
	for name, score := range map[string]testnet.Score{
		"results": testnet.Compare(is, found), "reports": testnet.CompareReports(is, reports),
	} {
		for _, c := range []struct {
			state             scan.State
			are, said, right  int
			precision, recall float64
		}{
			{scan.Open, 4, 3, 2, 2.0 / 3, 0.5},
			{scan.Closed, 2, 1, 1, 1, 0.5},
			{scan.Filtered, 1, 3, 1, 1.0 / 3, 1},
			{scan.Unknown, 2, 2, 1, 0.5, 0.5},
			{scan.OpenFiltered, 0, 0, 0, 1, 1},
		} {
			if a, b, d := score.True(c.state), score.Claimed(c.state), score.Right(c.state); a != c.are || b != c.said || d != c.right {
				t.Errorf("%s: %v: True() = %d, Claimed() = %d, Right() = %d, want %d, %d, %d", name, c.state, a, b, d, c.are, c.said, c.right)
			}
			if p, r := score.Precision(c.state), score.Recall(c.state); p != c.precision || r != c.recall {
				t.Errorf("%s: %v: Precision() = %v, Recall() = %v, want %v, %v", name, c.state, p, r, c.precision, c.recall)
			}
		}
		if score.Wrong() != 3 || score.Unknown() != 2 {
			t.Errorf("%s: Wrong() = %d, Unknown() = %d, want 3 and 2", name, score.Wrong(), score.Unknown())
		}
		if a, b, d := score.UnknownByCause(scan.CauseDeadline), score.UnknownByCause(scan.CauseUnresponsive), score.UnknownByCause(scan.CauseNoRoute); a != 1 || b != 1 || d != 0 {
			t.Errorf("%s: UnknownByCause() of deadline, unresponsive and no_route = %d, %d, %d, want 1, 1, 0", name, a, b, d)
		}
		want := `         state  true  claimed  right  precision  recall
          open     4        3      2     0.6667  0.5000
        closed     2        1      1     1.0000  0.5000
      filtered     1        3      1     0.3333  1.0000
       unknown     2        2      1     0.5000  0.5000
1 addresses, 3 wrong, 2 unknown, 1 of them by deadline, 1 of them by unresponsive
192.0.2.1:3 is reported as filtered (silence), want open
192.0.2.1:6 is reported as open (handshake), want closed
192.0.2.1:9 is reported as filtered (silence), want unknown
`
		if got := score.String(); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
			t.Errorf("%s: String() =\n%s, want\n%s", name, got, want)
		}
	}
}

func TestScoreManyMistakes(t *testing.T) {
	t.Parallel()
	claims := make([]scan.PortResult, 13)
	for i := range claims {
		claims[i] = scan.PortResult{State: scan.Open, Cause: scan.CauseHandshake}
	}
	score := testnet.Compare(func(netip.Addr, uint16) scan.State { return scan.Closed }, results(t, claims...))
	got := score.Mistakes()
	if n := strings.Count(got, "\n"); n != 11 || !strings.HasSuffix(got, "and 3 more\n") || !strings.HasPrefix(got, "192.0.2.1:1 is") {
		t.Errorf("got %d lines:\n%s", n, got)
	}
	if clean := testnet.Compare(func(netip.Addr, uint16) scan.State { return scan.Open }, results(t, claims...)); clean.Wrong() != 0 || clean.Mistakes() != "" {
		t.Errorf("got mistakes in a correct scan:\n%v", clean)
	}
}

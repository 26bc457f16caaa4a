// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/collector"
	"portscan_exporter/internal/scan"
)

// TestICMPNotes requires one note for each error, with the ports or their number, and at most
// six notes per address.
func TestICMPNotes(t *testing.T) {
	t.Parallel()
	router := func(code uint8) scan.ICMPError {
		return scan.ICMPError{From: netip.MustParseAddr("198.51.100.1"), Type: 3, Code: code}
	}
	for name, tc := range map[string]struct {
		errors func(port uint16) scan.ICMPError
		want   []string
	}{
		"unknown": {errors: func(uint16) scan.ICMPError { return scan.ICMPError{} }},
		"one":     {func(uint16) scan.ICMPError { return router(13) }, []string{"ports 1-100 of 192.0.2.1: admin-prohibited from 198.51.100.1"}},
		"scattered": {
			func(port uint16) scan.ICMPError { return router(uint8(port % 2)) },
			[]string{"50 ports of 192.0.2.1: host-unreachable from 198.51.100.1", "50 ports of 192.0.2.1: net-unreachable from 198.51.100.1"},
		},
		"many": {
			func(port uint16) scan.ICMPError { return router(min(uint8(port), 106) + 20) },
			[]string{
				"port 1 of 192.0.2.1: type 3 code 21 from 198.51.100.1", "port 2 of 192.0.2.1: type 3 code 22 from 198.51.100.1",
				"port 3 of 192.0.2.1: type 3 code 23 from 198.51.100.1", "port 4 of 192.0.2.1: type 3 code 24 from 198.51.100.1",
				"port 5 of 192.0.2.1: type 3 code 25 from 198.51.100.1", "95 ports of 192.0.2.1: 95 other errors",
			},
		},
	} {
		r := rejectedReport(t, tc.errors)
		var got []string
		for _, note := range r.icmpNotes() {
			got = append(got, strings.TrimPrefix(note, "ICMP error for "))
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if notes := r.Notes(); len(notes) > 0 {
			t.Errorf("%s: Notes() = %v, want none", name, notes)
		}
	}
}

// rejectedReport returns the report of an address of which 100 ports are rejected.
func rejectedReport(t *testing.T, errors func(port uint16) scan.ICMPError) Report {
	t.Helper()
	ports, err := scan.ParsePortSet("1-100")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := scan.NewPlan(scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Timeout: 1, PortTimeout: 1, MaxInFlight: 1, MaxOpenAttempts: 3, ControlPorts: 2, Ports: ports,
	})
	if err != nil {
		t.Fatal(err)
	}
	scope, err := scan.NewScope([]netip.Prefix{netip.PrefixFrom(ip4, 32)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	req, _, err := scan.NewRequest(plan, scope, []scan.Address{{IP: ip4}})
	if err != nil {
		t.Fatal(err)
	}
	recorder, err := scan.NewRecorder(req)
	if err != nil {
		t.Fatal(err)
	}
	for port := range ports.All() {
		recorder.Record(scan.PortResult{Address: ip4, Port: port, State: scan.Filtered, Cause: scan.CauseICMP, ICMP: errors(port)})
	}
	r := &scan.Result{Plan: plan, Started: time.Unix(0, 0)}
	r.Addresses, _, _ = recorder.Snapshot(scan.CauseDeadline)
	return Report{ProbeResult: collector.ProbeResult{Result: r}}
}

// TestTableEscapesFailures checks that the table and JSON escape errors of name servers.
func TestTableEscapesFailures(t *testing.T) {
	t.Parallel()
	r := newReport(t)
	r.Result.Failed = map[scan.Failure]error{scan.FailedDNS: errors.New("lookup a\x1b[2J\u202e\u009b\nb: \xff")}
	if got, want := written(t, r, Table), `scan incomplete (dns): lookup a\u001b[2J\u202e\u009b\nb: `+"\ufffd\n"; !strings.Contains(got, want) {
		t.Errorf("table = %s, want %s", got, want)
	}
	if got, want := written(t, r, JSON), `"message":"lookup a\u001b[2J\u202e\u009b\nb: \ufffd"`; !strings.Contains(got, want) {
		t.Errorf("JSON = %s, want %s", got, want)
	}
}

// TestNotesSuspect requires that a suspect address is noted with the reason, also in JSON.
func TestNotesSuspect(t *testing.T) {
	t.Parallel()
	r := newReport(t)
	plan := r.Result.Plan.Restrict(scan.NewPortSet(22))
	scope, err := scan.NewScope([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	req, _, err := scan.NewRequest(plan, scope, []scan.Address{{IP: ip4}})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := scan.NewRecorder(req)
	if err != nil {
		t.Fatal(err)
	}
	rec.Record(scan.PortResult{Address: ip4, Port: 22, State: scan.Open, Cause: scan.CauseHandshake})
	rec.Record(scan.PortResult{Address: ip4, Ports: new(scan.PortSet), Control: &scan.Control{Open: 2}})
	r.Result.Plan = plan
	r.Result.Addresses, _, _ = rec.Snapshot(scan.CauseDeadline)
	if want := "192.0.2.1 is suspect (control_ports): another device probably answers for this address"; !slices.Contains(r.Notes(), want) {
		t.Errorf("Notes() = %q, want %q", r.Notes(), want)
	}
	if got, want := written(t, r, JSON), `"suspect":true,"suspect_reason":"control_ports"`; !strings.Contains(got, want) {
		t.Errorf("JSON = %s, want %s", got, want)
	}
}

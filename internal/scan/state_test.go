// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"portscan_exporter/internal/scan"
)

// TestCauseSaved requires that each cause survives recording and saving, so that a cause fits
// into a cell and ReadResult accepts all names that Save writes.
func TestCauseSaved(t *testing.T) {
	t.Parallel()
	causes := map[scan.Cause]scan.State{
		scan.CauseHandshake: scan.Open, scan.CauseRST: scan.Closed, scan.CauseSilence: scan.Filtered, scan.CauseNoNeighbor: scan.Filtered,
	}
	for _, c := range scan.UnknownCauses() {
		causes[c] = scan.Unknown
	}
	for cause, state := range causes {
		rec := recorder(t, spec(1), "192.0.2.1")
		rec.Record(scan.PortResult{Address: testAddress, Port: 1, State: state, Cause: cause})
		r := &scan.Result{Plan: plan(t, spec(1))}
		r.Addresses, _, _ = rec.Snapshot(scan.CauseInternal)
		data, err := r.Save()
		if err != nil {
			t.Fatal(err)
		}
		again, err := scan.ReadResult(data, r.Plan, scope(t, []string{"192.0.2.0/24"}, nil))
		if err != nil {
			t.Errorf("ReadResult() with the cause %v = %v", cause, err)
			continue
		}
		for p := range again.Addresses[0].All() {
			if p.State != state || p.Cause != cause {
				t.Errorf("ReadResult() with the cause %v = %v (%v), want %v", cause, p.State, p.Cause, state)
			}
		}
	}
}

// TestReadResultOfEarlierVersion requires that the names of states and causes that earlier
// versions saved remain readable.
func TestReadResultOfEarlierVersion(t *testing.T) {
	t.Parallel()
	earlier := []string{
		"open handshake", "open handshake_reset", "open synack", "open synack_zero_window", "open reply", "closed rst", "closed icmp",
		"filtered icmp", "filtered silence", "open_filtered silence", "unknown deadline", "unknown descriptors", "unknown source_ports",
		"unknown no_route", "unknown permission", "unknown unresponsive", "unknown internal",
	}
	var ports []uint16
	var cells []string
	for i, names := range earlier {
		state, cause, _ := strings.Cut(names, " ")
		ports = append(ports, uint16(i+1))
		cells = append(cells, fmt.Sprintf(`{"state":%q,"cause":%q,"ports":"%d"}`, state, cause, i+1))
	}
	data := fmt.Sprintf(`{"addresses":[{"ip":"192.0.2.1","hosts":["192.0.2.1"],"ports":[%s]}]}`, strings.Join(cells, ","))
	if !json.Valid([]byte(data)) {
		t.Fatal("the saved result is not JSON")
	}
	r, err := scan.ReadResult([]byte(data), plan(t, spec(ports...)), scope(t, []string{"192.0.2.0/24"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	for p := range r.Addresses[0].All() {
		if got := p.State.String() + " " + p.Cause.String(); got != earlier[p.Port-1] {
			t.Errorf("ReadResult() of port %d = %s, want %s", p.Port, got, earlier[p.Port-1])
		}
	}
}

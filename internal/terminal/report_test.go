// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"bytes"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/collector"
	"portscan_exporter/internal/scan"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var (
	ip4 = netip.MustParseAddr("192.0.2.1")
	ip6 = netip.MustParseAddr("2001:db8::1:ff00:42")
)

// newReport returns a report of two addresses with ports in every state.
func newReport(t *testing.T) Report {
	t.Helper()
	plan, err := scan.NewPlan(scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Timeout: 9 * time.Second, PortTimeout: time.Second, MaxInFlight: 1, MaxOpenAttempts: 3, ControlPorts: 2,
		Ports:  scan.NewPortSet(20, 21, 22, 80, 443, 3306, 8000, 8001, 9000, 61234),
		Expect: &scan.Expectation{Open: scan.NewPortSet(22, 80, 443), Allow: scan.NewPortSet(8000, 8001)},
	})
	if err != nil {
		t.Fatal(err)
	}
	scope, err := scan.NewScope([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	req, refused, err := scan.NewRequest(plan, scope, []scan.Address{
		{IP: ip4, Hosts: []string{"192.0.2.1"}}, {IP: ip6, Hosts: []string{"www.example.org"}}, {IP: netip.MustParseAddr("203.0.113.1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := scan.NewRecorder(req)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ports() {
		rec.Record(p)
	}
	started := time.Date(2026, 3, 1, 13, 0, 0, 0, time.FixedZone("", 3600))
	r := &scan.Result{
		Plan: plan, Started: started, Finished: started.Add(1500 * time.Millisecond), Lookup: 2 * time.Millisecond, Refused: refused,
		Failed: map[scan.Failure]error{scan.FailedDNS: errors.New(`no such host: "a<b>.example.org"`)},
	}
	r.Addresses, r.Attempts, r.Retries = rec.Snapshot(scan.CauseDeadline)
	return Report{
		Asked: "web", Module: "tcp_default",
		ProbeResult: collector.ProbeResult{
			Target: "web", Owner: "net team", Reference: "CHG-1234", Expires: time.Date(2027, 7, 1, 0, 0, 0, 0, time.UTC),
			Timeout: 9 * time.Second, MaxPorts: 1000, Duration: 1600 * time.Millisecond, Result: r, Progress: 1,
		},
	}
}

func ports() []scan.PortResult {
	rtt := 98765 * time.Nanosecond // each is longer, from µs to ms
	responded := time.Date(2026, 3, 1, 12, 0, 1, 0, time.UTC)
	answered := func(a netip.Addr, port uint16, s scan.State, c scan.Cause) scan.PortResult {
		rtt *= 2
		return scan.PortResult{Address: a, Port: port, State: s, Cause: c, RTT: rtt, Attempts: 1, LastResponse: responded}
	}
	silent := func(a netip.Addr, port uint16, s scan.State) scan.PortResult {
		return scan.PortResult{Address: a, Port: port, State: s, Cause: scan.CauseSilence, Attempts: 3}
	}
	rejected := func(a netip.Addr, port uint16, code uint8) scan.PortResult {
		return scan.PortResult{
			Address: a, Port: port, State: scan.Filtered, Cause: scan.CauseICMP, RTT: 2 * time.Millisecond, Attempts: 3,
			ICMP: scan.ICMPError{From: netip.MustParseAddr("192.0.2.254"), Type: 3, Code: code},
		}
	}
	return []scan.PortResult{
		answered(ip4, 20, scan.Closed, scan.CauseRST), answered(ip4, 21, scan.Closed, scan.CauseRST),
		answered(ip4, 22, scan.Open, scan.CauseHandshake), answered(ip4, 80, scan.Closed, scan.CauseRST), rejected(ip4, 443, 13),
		answered(ip4, 3306, scan.Open, scan.CauseHandshake), answered(ip4, 8000, scan.Open, scan.CauseHandshake),
		answered(ip4, 8001, scan.Closed, scan.CauseRST), rejected(ip4, 9000, 13), answered(ip4, 61234, scan.Open, scan.CauseHandshakeReset),
		answered(ip6, 22, scan.Open, scan.CauseHandshake), silent(ip6, 443, scan.OpenFiltered),
		{Address: ip6, Port: 80, State: scan.Unknown, Cause: scan.CauseNoRoute, Attempts: 1},
	}
}

func written(t *testing.T, r Report, f Format) string {
	t.Helper()
	var out bytes.Buffer
	if err := r.Write(&out, f); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestReportGolden compares every format with its golden file.
func TestReportGolden(t *testing.T) {
	t.Parallel()
	notable := newReport(t)
	all, painted := notable, notable
	all.ListAll, painted.Color = true, true
	address := notable // asked for by itself
	address.Asked = ip4.String()
	for file, tc := range map[string]struct {
		report Report
		format Format
	}{
		"notable.txt":           {notable, Table},
		"all.txt":               {all, Table},
		"color.txt":             {painted, Table},
		"notable.json":          {notable, JSON},
		"all.json":              {all, JSON},
		"probe.prom":            {notable, Prometheus},
		"textfile.prom":         {notable, Textfile},
		"textfile_address.prom": {address, Textfile},
	} {
		path := filepath.Join("testdata", file)
		got := written(t, tc.report, tc.format)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

// TestTableAligned requires aligned columns for addresses of all lengths, with and without
// colors.
func TestTableAligned(t *testing.T) {
	t.Parallel()
	r := newReport(t)
	r.ListAll = true
	plain := written(t, r, Table)
	r.Color = true
	painted := written(t, r, Table)
	if !strings.Contains(painted, "\x1b[") {
		t.Error("no color")
	}
	var stripped strings.Builder
	for i, part := range strings.Split(painted, "\x1b[") {
		if i > 0 {
			_, part, _ = strings.Cut(part, "m")
		}
		stripped.WriteString(part)
	}
	if diff := cmp.Diff(plain, stripped.String()); diff != "" {
		t.Errorf("colors change more than colors (-without +with):\n%s", diff)
	}
	lines := strings.Split(plain, "\n")
	for _, line := range lines[1:21] {
		for _, name := range []string{"PORT", "PROTOCOL", "STATE", "EXPECTED", "RESPONSE", "SERVICE"} {
			at, runes := strings.Index(lines[0], name), []rune(line)
			if runes[at-1] != ' ' || runes[at] == ' ' {
				t.Errorf("column %s is not aligned in %q", name, line)
			}
		}
	}
}

// full is the number of bytes after which writes fail, as on a full disk.
type full int

func (f *full) Write(p []byte) (int, error) {
	if *f -= full(len(p)); *f < 0 {
		return 0, errors.New("no space left")
	}
	return len(p), nil
}

func TestReportWriteError(t *testing.T) {
	t.Parallel()
	r := newReport(t)
	r.ListAll = true
	for _, f := range Formats() {
		size := len(written(t, r, Format(f)))
		for _, room := range []int{0, size - 1} {
			disk := full(room)
			if err := r.Write(&disk, Format(f)); err == nil {
				t.Errorf("%s of %d bytes was written to a disk with room for %d", f, size, room)
			}
		}
	}
	if err := r.Write(&bytes.Buffer{}, "xml"); err == nil {
		t.Error("there is no such format as xml")
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package collector_test

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"portscan_exporter/collector"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var (
	ip4 = netip.MustParseAddr("192.0.2.1")
	ip6 = netip.MustParseAddr("2001:db8::1")

	// responded is the time of the answers.
	responded = time.Date(2026, 3, 1, 12, 0, 1, 0, time.UTC)
)

// fixture describes a scan result.
type fixture struct {
	spec    scan.Spec
	ports   []scan.PortResult
	missing scan.Cause
	found   []netip.Addr
	failed  map[scan.Failure]error
}

func (f fixture) result(tb testing.TB) *scan.Result {
	tb.Helper()
	f.spec.Protocol, f.spec.Method = scan.TCP, scan.Connect
	f.spec.Timeout, f.spec.PortTimeout, f.spec.MaxInFlight, f.spec.MaxOpenAttempts = 9*time.Second, time.Second, 1, 3
	plan, err := scan.NewPlan(f.spec)
	if err != nil {
		tb.Fatal(err)
	}
	scope, err := scan.NewScope([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/64")}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	var found []scan.Address
	for _, a := range f.found {
		found = append(found, scan.Address{IP: a, Hosts: []string{"www.example.org"}})
	}
	req, refused, err := scan.NewRequest(plan, scope, found)
	if err != nil {
		tb.Fatal(err)
	}
	rec, err := scan.NewRecorder(req)
	if err != nil {
		tb.Fatal(err)
	}
	for _, p := range f.ports {
		rec.Record(p)
	}
	started := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := &scan.Result{
		Plan: plan, Started: started, Finished: started.Add(1500 * time.Millisecond),
		Lookup: 2 * time.Millisecond, Refused: refused, Failed: f.failed,
	}
	r.Addresses, r.Attempts, r.Retries = rec.Snapshot(f.missing)
	return r
}

func probeResult(r *scan.Result) collector.ProbeResult {
	return collector.ProbeResult{
		Target: "web", Owner: "net team", Reference: "CHG-1234", Timeout: 9 * time.Second,
		Expires:  time.Date(2027, 7, 1, 0, 0, 0, 0, time.UTC),
		MaxPorts: 1000, Duration: 1600 * time.Millisecond, Result: r, Progress: 1,
	}
}

func open(a netip.Addr, port uint16) scan.PortResult {
	return scan.PortResult{Address: a, Port: port, State: scan.Open, Cause: scan.CauseHandshake, RTT: 3 * time.Millisecond, Attempts: 1, LastResponse: responded}
}

func closed(a netip.Addr, port uint16) scan.PortResult {
	return scan.PortResult{Address: a, Port: port, State: scan.Closed, Cause: scan.CauseRST, RTT: 2 * time.Millisecond, Attempts: 1, LastResponse: responded}
}

func silent(a netip.Addr, port uint16, s scan.State) scan.PortResult {
	return scan.PortResult{Address: a, Port: port, State: s, Cause: scan.CauseSilence, Attempts: 3}
}

// notable has ports of every rank on two addresses.
func notable() fixture {
	return fixture{
		spec: scan.Spec{
			Ports:  scan.NewPortSet(20, 21, 22, 80, 443, 3306, 8000, 8001, 9000),
			Expect: &scan.Expectation{Open: scan.NewPortSet(22, 80, 443), Allow: scan.NewPortSet(8000, 8001)},
		},
		found:   []netip.Addr{ip4, ip6},
		missing: scan.CauseDeadline,
		ports: []scan.PortResult{
			closed(ip4, 20), closed(ip4, 21), open(ip4, 22), closed(ip4, 80), silent(ip4, 443, scan.Filtered),
			open(ip4, 3306), open(ip4, 8000), closed(ip4, 8001), silent(ip4, 9000, scan.Filtered),
			open(ip6, 22), silent(ip6, 443, scan.OpenFiltered),
			{Address: ip6, Port: 80, State: scan.Unknown, Cause: scan.CauseNoRoute, Attempts: 1},
		},
	}
}

func probeResults(t *testing.T) map[string]collector.ProbeResult {
	t.Helper()
	all := probeResult(notable().result(t))
	all.AllPorts = true
	few := probeResult(notable().result(t))
	few.MaxPorts = 3
	failed := fixture{
		spec:  scan.Spec{Ports: scan.NewPortSet(22)},
		found: []netip.Addr{netip.MustParseAddr("169.254.169.254")},
		failed: map[scan.Failure]error{
			scan.FailedDNS: errors.New("no such host"), scan.FailedAddressRefused: errors.New("outside"),
		},
	}
	unlimited := probeResult(failed.result(t))
	unlimited.Expires = time.Time{}
	complete := fixture{spec: scan.Spec{Ports: scan.NewPortSet(22, 23)}, found: []netip.Addr{ip4}, ports: []scan.PortResult{open(ip4, 22), closed(ip4, 23)}}
	return map[string]collector.ProbeResult{
		"notable": probeResult(notable().result(t)), "all": all, "max_ports": few, "failed": unlimited, "complete": probeResult(complete.result(t)),
	}
}

func exposition(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func TestProbeGolden(t *testing.T) {
	t.Parallel()
	for name, a := range probeResults(t) {
		file := filepath.Join("testdata", name+".prom")
		got := exposition(t, collector.NewProbe(a))
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

func TestProbeGoldenLint(t *testing.T) {
	t.Parallel()
	testnet.NeedProgram(t, "promtool")
	files, err := filepath.Glob("testdata/*.prom")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
		cmd.Stdin = strings.NewReader(string(text))
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("promtool check metrics < %s: %v\n%s", file, err, out)
		}
	}
}

// TestProbeBaseMetrics checks the metrics that every answer has, failed scans included.
func TestProbeBaseMetrics(t *testing.T) {
	t.Parallel()
	for name, a := range probeResults(t) {
		text := "\n" + exposition(t, collector.NewProbe(a))
		for _, want := range []string{
			"probe_success ", "probe_duration_seconds ", "probe_dns_lookup_time_seconds ", "portscan_target_info{",
			"portscan_addresses ", "portscan_addresses_refused ", "portscan_scan_timestamp_seconds ",
			"portscan_scan_duration_seconds ", "portscan_scan_timeout_seconds ", "portscan_scan_max_age_seconds ",
			"portscan_scan_progress_ratio ", `portscan_scan_attempts{protocol="tcp"} `, `portscan_scan_retries{protocol="tcp"} `,
			`portscan_scan_failed{reason="dns"} `, `portscan_scan_failed{reason="internal"} `,
			`portscan_ports_unknown{reason="deadline"} `, `portscan_ports_unknown{reason="unresponsive"} `,
		} {
			if !strings.Contains(text, "\n"+want) {
				t.Errorf("%s: missing %q in the exposition", name, want)
			}
		}
	}
}

func TestReportedPortsOrder(t *testing.T) {
	t.Parallel()
	a := probeResults(t)["notable"]
	var got []string
	report := func() {
		got = nil
		ports, omitted := a.ReportedPorts()
		for _, p := range ports {
			got = append(got, p.Expected.String()+" "+netip.AddrPortFrom(p.Address, p.Port).String())
		}
		for _, ip := range []netip.Addr{ip4, ip6} {
			if omitted[ip] > 0 {
				got = append(got, "omitted on "+ip.String())
			}
		}
	}
	inOrder := []string{
		"closed 192.0.2.1:3306",
		"open 192.0.2.1:22", "open 192.0.2.1:80", "open 192.0.2.1:443", "open [2001:db8::1]:22", "open [2001:db8::1]:443",
		"any 192.0.2.1:8000", "any 192.0.2.1:8001",
	}
	report()
	if diff := cmp.Diff(inOrder, got); diff != "" {
		t.Errorf("ReportedPorts() (-want +got):\n%s", diff)
	}
	a.MaxPorts = 4
	report()
	if diff := cmp.Diff(append(inOrder[:4:4], "omitted on 192.0.2.1", "omitted on 2001:db8::1"), got); diff != "" {
		t.Errorf("ReportedPorts() with MaxPorts 4 (-want +got):\n%s", diff)
	}
	a.MaxPorts, a.AllPorts = 1000, true
	report()
	if len(got) != len(inOrder)+3 || got[8] != "closed 192.0.2.1:20" {
		t.Errorf("ReportedPorts() with AllPorts = %v", got)
	}
}

func BenchmarkProbeNotable(b *testing.B) {
	a := probeResult(notable().result(b))
	b.ReportAllocs()
	for b.Loop() {
		reg := prometheus.NewRegistry()
		reg.MustRegister(collector.NewProbe(a))
		if _, err := reg.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestProbeCachedResult(t *testing.T) {
	t.Parallel()
	a := probeResults(t)["complete"]
	a.MaxAge = time.Minute
	for age, want := range map[time.Duration]string{0: "1", time.Minute + 9*time.Second: "1", time.Minute + 10*time.Second: "0"} {
		a.Age = age
		if got := exposition(t, collector.NewProbe(a)); !strings.Contains(got, "\nprobe_success "+want+"\n") {
			t.Errorf("at age %v, want probe_success %s, got\n%s", age, want, got)
		}
	}
	a.Result, a.Progress = &scan.Result{Plan: a.Result.Plan}, 0.25
	got := exposition(t, collector.NewProbe(a))
	for _, line := range []string{
		"probe_success 0", "portscan_scan_timestamp_seconds 0", "portscan_scan_duration_seconds 0", "portscan_scan_progress_ratio 0.25",
		"portscan_addresses 0", `portscan_ports_unknown{reason="deadline"} 0`, "portscan_scan_max_age_seconds 60",
	} {
		if !strings.Contains(got, "\n"+line+"\n") {
			t.Errorf("without a cached result, missing %q in\n%s", line, got)
		}
	}
	if strings.Contains(got, "portscan_port_") || strings.Contains(got, "portscan_ports{") {
		t.Errorf("without a cached result, got series of ports:\n%s", got)
	}
}

// TestProbeParts checks that content and then status are all metrics of a probe, in order.
func TestProbeParts(t *testing.T) {
	t.Parallel()
	for name, a := range probeResults(t) {
		parts := exposition(t, collector.NewProbeContent(a)) + exposition(t, collector.NewProbeStatus(a))
		if diff := cmp.Diff(exposition(t, collector.NewProbe(a)), parts); diff != "" {
			t.Errorf("%s (-NewProbe +parts):\n%s", name, diff)
		}
		later := a
		later.Age += time.Hour
		later.Duration, later.Progress = a.Duration+time.Second, a.Progress/2
		if diff := cmp.Diff(exposition(t, collector.NewProbeContent(a)), exposition(t, collector.NewProbeContent(later))); diff != "" {
			t.Errorf("%s: content of a later answer (-got first +got later):\n%s", name, diff)
		}
	}
}

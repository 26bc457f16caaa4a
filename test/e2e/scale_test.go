// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"flag"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestScaleSeriesCount compares the numbers of series in docs/scaling.md with a real response.
func TestScaleSeriesCount(t *testing.T) {
	t.Parallel()
	s := newTestPorts(t)
	listenLocal(t, s.listening)
	e := startExporter(t, fmt.Sprintf(`modules:
  few: {ports: [%d, %d]}
targets:
  - name: own
    hosts: [127.0.0.1, 127.0.0.2, 127.0.0.3]
    modules: [few]
    authorization: {owner: "the test", expires: 2099-01-01}
    expect: {tcp: {open: %[1]d}}
`, s.listening, s.free))
	const addresses, reported = 3, 3
	answer, address, port := 0, 0, 0
	for series := range e.probe(t, "target=own") {
		switch {
		case strings.Contains(series, ",port="):
			port++
		case strings.Contains(series, "ip="):
			address++
		default:
			answer++
		}
	}
	p := startPrometheus(t, scrapeConfig(e, "scrape_interval: 1s"))
	p.awaitTargetsUp(t, 1)
	p.awaitValue(t, 10*time.Second, "count(up)", 1)
	all, err := p.queryValue(t, `count({instance="own"})`)
	if err != nil {
		t.Fatal(err)
	}
	for item, n := range map[string]int{
		"answer": answer, "address": address / addresses, "reported port": port / reported,
		"scrape, by Prometheus itself": int(all) - answer - address - port,
	} {
		if want := readScalingNumber(t, `\| each `+item+` \| (\d+) \|`); n != want {
			t.Errorf("each %s has %d series, docs/scaling.md has %d", item, n, want)
		}
	}
}

// readScalingNumber returns a number in docs/scaling.md.
func readScalingNumber(t *testing.T, pattern string) int {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(readFile(t, filepath.Join(repository, "docs/scaling.md")))
	if m == nil {
		t.Fatalf("docs/scaling.md has no match for %s", pattern)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// scaleInterval is the scrape interval of each target. It determines the number of targets.
var scaleInterval = flag.Duration("scale.every", 0, "measure a million address-ports a minute, with this scrape interval, for three of them; 0: try it for a moment")

// scaleLoad scans 1000 ports a target, which are a million ports a minute.
type scaleLoad struct {
	name, method string
	silent       bool // hosts drop packets to all ports but two
	interval     time.Duration
}

func (s scaleLoad) targetCount() int { return int(1000 * s.interval / time.Minute) }

func (s scaleLoad) config() string {
	var b strings.Builder
	fmt.Fprintf(&b, "modules:\n  thousand: {ports: \"1-1000\", method: %s}\ntargets:\n", s.method)
	for i := range s.targetCount() {
		fmt.Fprintf(&b, "  - name: t%d\n    hosts: [127.1.%d.%d]\n    modules: [thousand]\n    authorization: {owner: \"the test\", expires: 2099-01-01}\n    expect: {tcp: {open: \"22,443\"}}\n",
			i, i/250, 1+i%250)
	}
	return b.String()
}

// startExporter starts the exporter in a network namespace, whose loopback device has all
// addresses.
func (s scaleLoad) startExporter(t *testing.T) *exporter {
	t.Helper()
	script := "ip link set lo up"
	if s.silent {
		needProgram(t, "nft")
		script += ` && nft 'add table inet lab; add chain inet lab in { type filter hook input priority 0; }; add rule inet lab in ip daddr 127.1.0.0/16 tcp dport { 1-21, 23-442, 444-1000 } drop'`
	}
	return startInNamespace(t, script, plainBinary(t), s.config())
}

// TestScaleMillionPorts scans a million ports a minute and logs the resources for docs/scaling.md.
// With -scale.every=1m it takes 15 minutes.
func TestScaleMillionPorts(t *testing.T) {
	loads := []scaleLoad{
		{"answering hosts, connect", "connect", false, *scaleInterval},
		{"silent hosts, connect", "connect", true, *scaleInterval},
		{"answering hosts, syn", "syn", false, *scaleInterval},
		{"silent hosts, syn", "syn", true, *scaleInterval},
	}
	if *scaleInterval == 0 {
		t.Parallel() // without measurement
		loads = loads[:1]
		loads[0].interval = 3 * time.Second
	}
	for _, m := range loads {
		t.Run(m.name, func(t *testing.T) {
			m.needDescriptors(t)
			m.run(t)
		})
	}
}

// needDescriptors skips the test if there are too few descriptors. An attempt at a silent port
// holds one for more than a second.
func (s scaleLoad) needDescriptors(t *testing.T) {
	t.Helper()
	const need = 32_768
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if s.silent && s.method == "connect" && limit.Max < need {
		skip(t, fmt.Sprintf("the limit of %d descriptors is too low, want %d", limit.Max, need))
	}
}

func (s scaleLoad) run(t *testing.T) {
	t.Helper()
	e := s.startExporter(t)
	p := startPrometheus(t, scrapeConfig(e, fmt.Sprintf("scrape_interval: %v", s.interval)))
	p.awaitValue(t, 30*time.Second+2*s.interval, `count(probe_success == 1)`, float64(s.targetCount()))
	const intervals = 3
	before, began := e.scrapeMetrics(t), time.Now()
	time.Sleep(intervals * s.interval)
	after, took := e.scrapeMetrics(t), time.Since(began)
	grown := func(name string) float64 { return after.sumByPrefix(name) - before.sumByPrefix(name) }

	over := fmt.Sprintf("[%v]", intervals*s.interval)
	p.wantValue(t, "min(min_over_time(probe_success"+over+"))", 1)
	longest, err := p.queryValue(t, "max(max_over_time(probe_duration_seconds"+over+"))")
	if err != nil {
		t.Error(err)
	}
	scans, cpu := grown("portscan_exporter_scans_total"), grown("process_cpu_seconds_total")
	attempts := grown("portscan_exporter_attempts_total")
	if want := float64((intervals - 1) * s.targetCount()); scans < want {
		t.Errorf("got %v scans in %d intervals, want at least %v", scans, intervals, want)
	}
	own := p.scrapeMetrics(t)
	t.Logf("%d targets every %v: %.0f ports a minute, %.2f attempts a port, %.3f cores, %.1f us a port, slowest response %.2f s; %s",
		s.targetCount(), s.interval, scans*1000/took.Minutes(), attempts/scans/1000, cpu/took.Seconds(), cpu/scans/1000*1e6, longest, after.resourceUsage())
	t.Logf("Prometheus: %v series, %.1f MiB, %.3f cores", own["prometheus_tsdb_head_series"], own["process_resident_memory_bytes"]/mib,
		own["process_cpu_seconds_total"]/time.Since(p.started).Seconds())
}

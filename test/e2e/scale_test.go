package e2e

import (
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSeriesOfAnAnswer holds the series that docs/scaling.md counts with to those that there
// are.
func TestSeriesOfAnAnswer(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	listen(t, s.listening)
	e := serve(t, fmt.Sprintf(`modules:
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
	p := prometheus(t, job(e, "scrape_interval: 1s"))
	p.targets(t, 1)
	p.becomes(t, 10*time.Second, "count(up)", 1)
	all, err := p.one(t, `count({instance="own"})`)
	if err != nil {
		t.Fatal(err)
	}
	for what, n := range map[string]int{
		"answer": answer, "address": address / addresses, "reported port": port / reported,
		"scrape, by Prometheus itself": int(all) - answer - address - port,
	} {
		if want := stated(t, `\| each `+what+` \| (\d+) \|`); n != want {
			t.Errorf("each %s has %d series, and docs/scaling.md says %d", what, n, want)
		}
	}
}

// stated returns a number of docs/scaling.md.
func stated(t *testing.T, pattern string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "docs/scaling.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(pattern).FindSubmatch(text)
	if m == nil {
		t.Fatalf("docs/scaling.md says nothing of %s", pattern)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// scaleEvery is how often each target is scraped while a million address-ports a minute
// are scanned. There are as many targets as that takes.
var scaleEvery = flag.Duration("scale.every", 0, "measure a million address-ports a minute, with this scrape interval, for three of them; 0: try it for a moment")

// million is a load of a thousand ports a target, and a million in all a minute.
type million struct {
	name, method string
	silent       bool // the hosts drop what is sent to all ports but two
	every        time.Duration
}

func (m million) targets() int { return int(1000 * m.every / time.Minute) }

func (m million) config() string {
	var b strings.Builder
	fmt.Fprintf(&b, "modules:\n  thousand: {ports: \"1-1000\", method: %s}\ntargets:\n", m.method)
	for i := range m.targets() {
		fmt.Fprintf(&b, "  - name: t%d\n    hosts: [127.1.%d.%d]\n    modules: [thousand]\n    authorization: {owner: \"the test\", expires: 2099-01-01}\n    expect: {tcp: {open: \"22,443\"}}\n",
			i, i/250, 1+i%250)
	}
	return b.String()
}

// serve starts the exporter in a network of its own, whose loopback device is all the
// hosts.
func (m million) serve(t *testing.T) *exporter {
	t.Helper()
	path, err := buildPlain()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	script := "ip link set lo up"
	if m.silent {
		needProgram(t, "nft")
		script += ` && nft 'add table inet lab; add chain inet lab in { type filter hook input priority 0; }; add rule inet lab in ip daddr 127.1.0.0/16 tcp dport { 1-21, 23-442, 444-1000 } drop'`
	}
	command := append(elsewhere(t, script), path, "--web.systemd-socket", "--config.file="+write(t, "config.yml", m.config()))
	e := socketInto(t, l.(*net.TCPListener), command...)
	e.awaitReady(t)
	return e
}

// TestAMillionAMinute scans a million address-ports a minute from one exporter, and
// says what that took: docs/scaling.md has the figures. With -scale.every=1m it takes a quarter
// of an hour.
func TestAMillionAMinute(t *testing.T) {
	loads := []million{
		{"answering hosts, connect", "connect", false, *scaleEvery},
		{"silent hosts, connect", "connect", true, *scaleEvery},
		{"answering hosts, syn", "syn", false, *scaleEvery},
		{"silent hosts, syn", "syn", true, *scaleEvery},
	}
	if *scaleEvery == 0 {
		t.Parallel() // nothing is measured
		loads = loads[:1]
		loads[0].every = 3 * time.Second
	}
	for _, m := range loads {
		t.Run(m.name, func(t *testing.T) {
			m.needDescriptors(t)
			m.run(t)
		})
	}
}

// needDescriptors skips what this machine has too few descriptors for: a connection to
// a silent port holds one for more than a second.
func (m million) needDescriptors(t *testing.T) {
	t.Helper()
	const need = 32_768
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if m.silent && m.method == "connect" && limit.Max < need {
		skip(t, fmt.Sprintf("%d descriptors are too few, it takes %d", limit.Max, need))
	}
}

func (m million) run(t *testing.T) {
	t.Helper()
	e := m.serve(t)
	p := prometheus(t, job(e, fmt.Sprintf("scrape_interval: %v", m.every)))
	p.becomes(t, 30*time.Second+2*m.every, `count(probe_success == 1)`, float64(m.targets()))
	const intervals = 3
	before, began := e.metrics(t), time.Now()
	time.Sleep(intervals * m.every)
	after, took := e.metrics(t), time.Since(began)
	grown := func(name string) float64 { return after.sum(name) - before.sum(name) }

	over := fmt.Sprintf("[%v]", intervals*m.every)
	p.want(t, "min(min_over_time(probe_success"+over+"))", 1)
	longest, err := p.one(t, "max(max_over_time(probe_duration_seconds"+over+"))")
	if err != nil {
		t.Error(err)
	}
	scans, cpu := grown("portscan_exporter_scans_total"), grown("process_cpu_seconds_total")
	attempts := grown("portscan_exporter_attempts_total")
	if want := float64((intervals - 1) * m.targets()); scans < want {
		t.Errorf("%v scans in %d intervals, want %v at least", scans, intervals, want)
	}
	own := p.metrics(t)
	t.Logf("%d targets every %v: %.0f address-ports a minute, %.2f attempts a port, %.3f cores, %.1f us a port, longest answer %.2f s; %s",
		m.targets(), m.every, scans*1000/took.Minutes(), attempts/scans/1000, cpu/took.Seconds(), cpu/scans/1000*1e6, longest, after.figures())
	t.Logf("Prometheus has %v series in %.1f MiB, and %.3f cores", own["prometheus_tsdb_head_series"], own["process_resident_memory_bytes"]/mib,
		own["process_cpu_seconds_total"]/time.Since(p.began).Seconds())
}

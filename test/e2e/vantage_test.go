package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestVantageRules tries the rule on series that are written for it.
func TestVantageRules(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(needProgram(t, "promtool"), "test", "rules", "vantage_test.yml")
	cmd.Dir = filepath.Join(repository, "prometheus")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool test rules: %v\n%s", err, out)
	}
}

// elsewhere returns what to put before a command, so that it runs in a network of its
// own after a script has.
func elsewhere(t *testing.T, script string) []string {
	t.Helper()
	needProgram(t, "ip")
	unshare := []string{needProgram(t, "unshare"), "--net"}
	if os.Getuid() != 0 {
		unshare = append(unshare, "--user", "--map-root-user")
	}
	if out, err := exec.Command(unshare[0], append(unshare[1:], "true")...).CombinedOutput(); err != nil {
		skip(t, fmt.Sprintf("no network of its own: %v: %s", err, out))
	}
	return append(unshare, "sh", "-c", script+` && exec "$0" "$@"`)
}

// outside starts an exporter that listens here, and stands in a network where nothing
// else does: what it scans as 127.0.0.1 is not what we see there.
func outside(t *testing.T, config string) *exporter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	command := append(elsewhere(t, "ip link set lo up"), binary(t), "--web.systemd-socket", "--config.file="+write(t, "config.yml", config))
	e := socketInto(t, l.(*net.TCPListener), command...)
	e.awaitReady(t)
	return e
}

// vantageConfig has a port that should be open, and others that should not.
func vantageConfig(vantage string, s scene) string {
	return fmt.Sprintf(`modules:
  few: {ports: [%d, %d, %d, %d]}
targets:
  - name: own
    hosts: [127.0.0.1]
    modules: [few]
    authorization: {owner: "the test"}
    expect: {tcp: {open: "%[1]d,%[2]d"}}
external_labels: {vantage: %[5]s}
`, s.listening, s.down, s.unexpected, s.free, vantage)
}

// differing waits until the alert fires for these ports and no others.
func differing(t *testing.T, p *prometheusServer, ports ...int) {
	t.Helper()
	var want []string
	for _, port := range ports {
		want = append(want, fmt.Sprintf("own 127.0.0.1 tcp %d", port))
	}
	slices.Sort(want)
	eventually(t, 30*time.Second, "what differs is told", func() error {
		got := []string{}
		for _, a := range p.firing(t) {
			if a.Labels["alertname"] == "PortscanVantagesDiffer" {
				got = append(got, fmt.Sprintf("%s %s %s %s", a.Labels["instance"], a.Labels["ip"], a.Labels["protocol"], a.Labels["port"]))
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("it is told of %v, want %v", got, want)
		}
		return nil
	})
}

// TestTwoVantages looks at one target from inside and from outside.
func TestTwoVantages(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	listen(t, s.listening)
	shut := listen(t, s.unexpected)
	in, out := serve(t, vantageConfig("inside", s)), outside(t, vantageConfig("outside", s))
	lists := fmt.Sprintf("http_sd_configs: [{url: %s/sd}, {url: %s/sd}]", in.url, out.url)
	p := prometheus(t, fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%s]
scrape_configs:
  - {job_name: portscan, %[2]s}
  - {job_name: merged, %[2]s, relabel_configs: [{action: labeldrop, regex: vantage}]}
`, impatient(t, filepath.Join(repository, "prometheus", "vantage.yml")), lists))

	differing(t, p, s.listening, s.unexpected)
	p.want(t, `count(up{job="portscan"} == 1)`, 2)
	port := func(vantage string) string {
		return fmt.Sprintf(`portscan_port_open{job="portscan",vantage="%s",port="%d"}`, vantage, s.listening)
	}
	p.want(t, port("inside"), 1)
	p.want(t, port("outside"), 0)

	shut()
	differing(t, p, s.listening)
	out.end(t)
	differing(t, p) // from one vantage alone nothing can be compared
	merges(t, p, s.listening)
}

// merges looks at the job whose targets have nothing to tell one exporter's from the
// other's: what docs/scaling.md warns of.
func merges(t *testing.T, p *prometheusServer, port int) {
	t.Helper()
	active, dropped := p.discovered(t)
	n := 0
	for _, target := range active {
		if target.ScrapePool == "merged" {
			n++
		}
	}
	if n != 2 || dropped != 0 {
		t.Errorf("%d targets, and %d dropped, want both exporters' and none dropped", n, dropped)
	}
	open := fmt.Sprintf(`portscan_port_open{job="merged",port="%d"}`, port)
	p.want(t, `count(up{job="merged"})`, 1)                                             // two targets, one series
	p.want(t, fmt.Sprintf("max_over_time(%s[5m]) - min_over_time(%[1]s[5m])", open), 1) // with the verdicts of both
	p.want(t, `sum(count_over_time(up{job="merged"}[1m])) > bool sum(count_over_time(up{job="portscan",vantage="inside"}[1m]))`, 1)
}

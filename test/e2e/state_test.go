package e2e

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// killed is an exporter that a test kills, and starts again.
type killed struct {
	args   []string
	url    string
	cmd    *exec.Cmd
	output safeBuffer
}

// start starts it, and does not ask whether it is ready.
func (k *killed) start(t *testing.T) {
	t.Helper()
	k.cmd = exec.Command(binary(t), k.args...)
	k.cmd.Stdout, k.cmd.Stderr = &k.output, &k.output
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func (k *killed) await(t *testing.T) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("it printed:\n%s", k.output.String())
		}
	}()
	eventually(t, 30*time.Second, "the exporter is ready", func() error { return wantStatus(k.url+"/-/ready", 200) })
}

// kill ends it as the kernel does when memory is short.
func (k *killed) kill() {
	_ = k.cmd.Process.Kill()
	_ = k.cmd.Wait()
}

// TestStateFile kills the exporter again and again, at any moment: what a sweep has
// found, and what was open, is there whenever it runs.
func TestStateFile(t *testing.T) {
	t.Parallel()
	port, never, listening := freePort(t), freePort(t), freePort(t)
	addr := fmt.Sprintf("127.0.0.1:%d", listening)
	k := &killed{url: "http://" + addr, args: []string{
		"--web.listen-address=" + addr, "--state.file=" + filepath.Join(t.TempDir(), "state.json"),
		"--config.file=" + write(t, "config.yml", fmt.Sprintf(`modules:
  sweep: {ports: "1-2000,%[1]d-%[2]d", max_age: 1h, timeout: 1m, scrape_interval: 1m}
  now: {ports: "%[1]d-%[2]d"}
targets:
  - name: own
    hosts: [127.0.0.0/30]
    modules: [sweep, now]
    authorization: {owner: "the test"}
    expect: {tcp: {}}
`, min(port, never), max(port, never))),
	}}
	probe := func(module string) metrics { return parse(t, get(t, k.url+"/probe?target=own&module="+module)) }
	isOpen := func(p int) string { return onLoopback("127.0.0.1", p, "closed") }
	changed := fmt.Sprintf(`portscan_port_last_change_timestamp_seconds{ip="127.0.0.1",port="%d",protocol="tcp"}`, port)
	const ended = "portscan_scan_timestamp_seconds"
	closePort := listen(t, port)
	k.start(t)
	defer func() { k.kill() }()
	k.await(t)
	first := probe("sweep")
	probe("now")
	closePort()
	before := probe("now")
	before.want(t, isOpen(port), 0)
	if before[changed] == 0 {
		t.Errorf("the port has closed, and %s is not there", changed)
	}
	if !strings.Contains(k.output.String(), fmt.Sprintf(`msg="A port changed state" target=own module=now ip=127.0.0.1 port=%d protocol=tcp from=open to=closed expected=closed`, port)) {
		t.Errorf("the log has no line of the change:\n%s", k.output.String())
	}
	time.Sleep(2 * time.Second) // it saves at most once a second

	for round := range 30 {
		k.kill()
		k.start(t)
		if round%3 > 0 { // before it is ready, and while it saves
			time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
			continue
		}
		k.await(t)
		sweep, now := probe("sweep"), probe("now")
		sweep.want(t, "probe_success", 1)
		sweep.want(t, ended, first[ended])
		sweep.want(t, isOpen(port), 1)
		now.want(t, isOpen(port), 0)
		now.want(t, changed, before[changed])
		if _, ok := now[isOpen(never)]; ok {
			t.Errorf("round %d: a port that was never open is reported", round)
		}
	}
	if out := k.output.String(); strings.Contains(out, "level=WARN") || strings.Contains(out, "level=ERROR") {
		t.Errorf("it warns:\n%s", out)
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// crashingExporter is an exporter that a test kills and restarts.
type crashingExporter struct {
	args   []string
	url    string
	cmd    *exec.Cmd
	output safeBuffer
}

// start starts the exporter without waiting until it is ready.
func (e *crashingExporter) start(t *testing.T) {
	t.Helper()
	e.cmd = exec.Command(binary(t), e.args...)
	e.cmd.Stdout, e.cmd.Stderr = &e.output, &e.output
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func (e *crashingExporter) awaitReady(t *testing.T) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("output:\n%s", e.output.String())
		}
	}()
	eventually(t, 30*time.Second, "the exporter is ready", func() error { return checkStatus(e.url+"/-/ready", 200) })
}

// stop ends the exporter.
func (e *crashingExporter) stop(t *testing.T) {
	t.Helper()
	if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := e.cmd.Wait(); err != nil {
		t.Errorf("exporter ended with %v, want status 0", err)
	}
}

// kill sends SIGKILL, as the kernel does when memory is short.
func (e *crashingExporter) kill() {
	_ = e.cmd.Process.Kill()
	_ = e.cmd.Wait()
}

// TestStateFileAfterKill kills the exporter at random times. Results and port history must survive
// each time.
func TestStateFileAfterKill(t *testing.T) {
	t.Parallel()
	port, never, listening := freePort(t), freePort(t), freePort(t)
	addr := fmt.Sprintf("127.0.0.1:%d", listening)
	k := &crashingExporter{url: "http://" + addr, args: []string{
		"--web.listen-address=" + addr, "--state.file=" + filepath.Join(t.TempDir(), "state.json"),
		"--config.file=" + writeFile(t, "config.yml", fmt.Sprintf(`modules:
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
	probe := func(module string) metrics {
		return parseMetrics(t, getBody(t, k.url+"/probe?target=own&module="+module))
	}
	isOpen := func(p int) string { return portOpenSample("127.0.0.1", p, "closed") }
	changed := fmt.Sprintf(`portscan_port_last_change_timestamp_seconds{ip="127.0.0.1",port="%d",protocol="tcp"}`, port)
	const ended = "portscan_scan_timestamp_seconds"
	closePort := listenLocal(t, port)
	k.start(t)
	defer func() { k.kill() }()
	k.awaitReady(t)
	first := probe("sweep")
	probe("now")
	closePort()
	before := probe("now")
	before.wantValue(t, isOpen(port), 0)
	if before[changed] == 0 {
		t.Errorf("%s is missing after the port has closed", changed)
	}
	if !strings.Contains(k.output.String(), fmt.Sprintf(`msg="Port state changed" target=own module=now ip=127.0.0.1 port=%d protocol=tcp from=open to=closed expected=closed`, port)) {
		t.Errorf("log lacks the change:\n%s", k.output.String())
	}
	k.stop(t) // the exporter saves at its end, and at most once a minute before

	for round := range 30 {
		k.start(t)
		if round%3 > 0 { // kill before it is ready, or while it saves
			time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
			k.kill()
			continue
		}
		k.awaitReady(t)
		sweep, now := probe("sweep"), probe("now")
		sweep.wantValue(t, "probe_success", 1)
		sweep.wantValue(t, ended, first[ended])
		sweep.wantValue(t, isOpen(port), 1)
		now.wantValue(t, isOpen(port), 0)
		now.wantValue(t, changed, before[changed])
		if _, ok := now[isOpen(never)]; ok {
			t.Errorf("round %d: a port that was never open is reported", round)
		}
		k.kill()
	}
	if out := k.output.String(); strings.Contains(out, "level=WARN") || strings.Contains(out, "level=ERROR") {
		t.Errorf("got warnings:\n%s", out)
	}
}

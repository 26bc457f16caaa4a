// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// exporter is a running exporter that is measured through /probe.
type exporter struct {
	url string
	pid int
}

// startExporter builds and starts the exporter with two targets.
func startExporter(t *testing.T, addr netip.Addr, expect string) exporter {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "portscan_exporter")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", binary, "../..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	config := fmt.Sprintf(`
modules:
  all: {ports: 1-65535, timeout: 2m}
  ten: {ports: 1-10000, timeout: 2m}
  thousand: {ports: 1-1000}
  twenty: {ports: 1001-1020}
  one: {ports: 1001}
  all_syn: {ports: 1-65535, timeout: 2m, method: syn}
  ten_syn: {ports: 1-10000, timeout: 2m, method: syn}
  thousand_syn: {ports: 1-1000, method: syn}
  twenty_syn: {ports: 1001-1020, method: syn}
  thousand_udp: {ports: 1-1000, timeout: 60s, protocol: udp}
  few_udp: {ports: 1-20, timeout: 60s, protocol: udp}
targets:
  - name: host
    hosts: [%q]
    modules: [all, ten, thousand, twenty, one, all_syn, ten_syn, thousand_syn, twenty_syn, thousand_udp, few_udp]
    authorization: {owner: benchmark}
    expect: {tcp: {allow: %q}}
  - {name: silent, hosts: [%q], modules: [all, all_syn], authorization: {owner: benchmark}}
`, addr, expect, silent)
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	const listen = "127.0.0.1:10115"
	cmd := exec.Command(binary, "--config.file="+file, "--web.listen-address="+listen, "--log.level=error")
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
	e := exporter{url: "http://" + listen, pid: cmd.Process.Pid}
	for range 100 {
		if r, err := http.Get(e.url + "/-/healthy"); err == nil { //nolint:forbidigo // local test server
			_ = r.Body.Close()
			return e
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("exporter is not healthy after 5s")
	return e
}

// measureProbe scans the host with one module and measures the cost.
func (e exporter) measureProbe(t *testing.T, module string) cost {
	t.Helper()
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", e.pid), []byte("5"), 0o600) // resets VmHWM
	user, system := e.readCPU(t)
	stop := watchKernelMemory(t)
	c, err := e.probe("host", module)
	if err != nil {
		t.Fatal(err)
	}
	c.kernel, c.rss = stop(), e.readMemory(t, "VmHWM")
	userAfter, systemAfter := e.readCPU(t)
	c.user, c.system = userAfter-user, systemAfter-system
	return c
}

// probe scans a target with one module.
func (e exporter) probe(target, module string) (cost, error) {
	start := time.Now()
	r, err := http.Get(e.url + "/probe?target=" + target + "&module=" + module) //nolint:forbidigo // local test server
	if err != nil {
		return cost{}, err
	}
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return cost{}, err
	}
	c := cost{wall: time.Since(start), complete: strings.Contains(string(body), "\nprobe_success 1\n")}
	for line := range strings.Lines(string(body)) {
		if !strings.HasPrefix(line, "portscan_ports{") {
			continue
		}
		n, _ := strconv.Atoi(strings.TrimSpace(line[strings.LastIndex(line, " "):]))
		switch {
		case strings.Contains(line, `state="open"`):
			c.open = n
		case strings.Contains(line, `state="open_filtered"`):
			c.openFiltered = n
		}
	}
	return c, nil
}

// readCPU returns the exporter's CPU time in ticks of 10 ms. Repeat shorter operations.
func (e exporter) readCPU(t *testing.T) (user, system time.Duration) {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", e.pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndex(string(stat), ")")+2:]))
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux
	u, _ := strconv.Atoi(fields[11])
	s, _ := strconv.Atoi(fields[12])
	return time.Duration(u) * tick, time.Duration(s) * tick
}

// readMemory returns a field of the process's status, in MiB.
func (e exporter) readMemory(t *testing.T, name string) float64 {
	t.Helper()
	return readField(t, fmt.Sprintf("/proc/%d/status", e.pid), name+":") / 1024
}

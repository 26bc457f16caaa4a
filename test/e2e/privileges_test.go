// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const capNetRaw = 13 // linux/capability.h

// unprivilegedCommand returns a command of the exporter for a user that has only these
// capabilities.
func unprivilegedCommand(t *testing.T, caps []uintptr, args ...string) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		skip(t, "only root can switch to another user")
	}
	cmd := exec.Command(binary(t), args...)
	cmd.Dir = "/"
	const nobody = 65534
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: caps}
	return cmd
}

// startUnprivilegedExporter is [startExporter] for a user that has only these capabilities.
func startUnprivilegedExporter(t *testing.T, caps []uintptr, config string) *exporter {
	t.Helper()
	e := &exporter{addr: freeAddress(t), config: writeReadable(t, config)}
	e.process = startCommand(t, unprivilegedCommand(t, caps, "--config.file="+e.config, "--web.listen-address="+e.addr))
	e.awaitReady(t)
	return e
}

// writeReadable writes a configuration that every user can read.
func writeReadable(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(readableDir(t), "config.yml")
	replaceFileMode(t, path, text, 0o644)
	return path
}

// readableDir returns a directory that every user can read, as is its parent.
func readableDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// rawConfig scans loopback with half-open and UDP scans.
func rawConfig(s testPorts) string {
	return fmt.Sprintf(`modules:
  half: {ports: [%[1]d, %[2]d, %[3]d, %[4]d, %[5]d], method: syn}
  datagrams: {ports: [%[1]d, %[2]d, %[4]d], protocol: udp, timeout: 5s}
targets:
  - name: own
    hosts: [127.0.0.1]
    modules: [half, datagrams]
    authorization: {owner: "the test"}
    expect:
      tcp: {open: "%[1]d,%[2]d", allow: "%[3]d"}
      udp: {open: "%[1]d,%[2]d,%[4]d"}
`, s.listening, s.down, s.allowed, s.unexpected, s.free)
}

// listenUDP opens a UDP port, which answers unless it is mute.
func listenUDP(t *testing.T, port int, mute bool) {
	t.Helper()
	c, err := net.ListenPacket("udp", localAddress(port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		for {
			_, from, err := c.ReadFrom(make([]byte, 1))
			if err != nil {
				return
			}
			if !mute {
				_, _ = c.WriteTo([]byte("here"), from)
			}
		}
	}()
}

// checkTCPScan checks the result of a TCP scan of all ports, of which listening and unexpected are
// open.
func (p testPorts) checkTCPScan(t *testing.T, m metrics) {
	t.Helper()
	m.wantValue(t, "probe_success", 1)
	m.wantValue(t, portOpenSample("127.0.0.1", p.listening, "open"), 1)
	m.wantValue(t, portOpenSample("127.0.0.1", p.down, "open"), 0)
	m.wantValue(t, portOpenSample("127.0.0.1", p.unexpected, "closed"), 1)
	m.wantValue(t, `portscan_ports{ip="127.0.0.1",protocol="tcp",state="closed"}`, 3)
}

// TestUnprivileged probes as a user without capabilities.
func TestUnprivileged(t *testing.T) {
	t.Parallel()
	s := newTestPorts(t)
	listenLocal(t, s.listening)
	listenLocal(t, s.unexpected)
	e := startUnprivilegedExporter(t, nil, s.config())
	status := readFile(t, fmt.Sprintf("/proc/%d/status", e.cmd.Process.Pid))
	for _, line := range []string{"Uid:\t65534\t65534\t65534\t65534\n", "CapEff:\t0000000000000000\n", "CapPrm:\t0000000000000000\n"} {
		if !strings.Contains(status, line) {
			t.Errorf("process status lacks %q:\n%s", line, status)
		}
	}
	s.checkTCPScan(t, e.probe(t, "target=own"))
	postReload(t, e, http.StatusOK)
	if own := e.scrapeMetrics(t); own["process_open_fds"] < 1 || own["portscan_exporter_attempts_in_flight_limit"] < 50 {
		t.Errorf("attempts limit = %v, want at least 50", own["portscan_exporter_attempts_in_flight_limit"])
	}
	getBody(t, e.url+"/")
}

// TestScanWithNetRawOnly runs half-open and UDP scans as a user that has only CAP_NET_RAW.
func TestScanWithNetRawOnly(t *testing.T) {
	t.Parallel()
	s := newTestPorts(t)
	listenLocal(t, s.listening)
	listenLocal(t, s.unexpected)
	listenUDP(t, s.listening, false)
	listenUDP(t, s.unexpected, true)
	e := startUnprivilegedExporter(t, []uintptr{capNetRaw}, rawConfig(s))

	s.checkTCPScan(t, e.probe(t, "target=own&module=half"))
	m := e.probe(t, "target=own&module=datagrams")
	udp := func(name string, port int) string {
		return fmt.Sprintf(`%s{expected="open",ip="127.0.0.1",port="%d",protocol="udp"}`, name, port)
	}
	m.wantValue(t, "probe_success", 1)
	m.wantValue(t, udp("portscan_port_open", s.listening), 1)
	m.wantValue(t, udp("portscan_port_open", s.down), 0)
	m.wantValue(t, udp("portscan_port_filtered", s.unexpected), 1)
	if _, there := m[udp("portscan_port_open", s.unexpected)]; there {
		t.Error("portscan_port_open is present for a silent UDP port")
	}
	m.wantValue(t, `portscan_ports{ip="127.0.0.1",protocol="udp",state="open_filtered"}`, 1)
	m.wantValue(t, `portscan_ports_violating{expected="open",ip="127.0.0.1",protocol="udp"}`, 1)
	if own := e.scrapeMetrics(t); own[`portscan_exporter_attempts_total{protocol="udp"}`] < 3 || own[`portscan_exporter_attempts_total{protocol="tcp"}`] < 5 {
		t.Errorf("attempts by protocol are wrong, total = %v", own.sumByPrefix("portscan_exporter_attempts_total"))
	}
}

// TestScanWithoutNetRaw checks that half-open scans without the capability are refused at the start
// and at a reload, with one line of advice.
func TestScanWithoutNetRaw(t *testing.T) {
	t.Parallel()
	s := newTestPorts(t)
	file := writeReadable(t, rawConfig(s))
	advice := []string{"config.yml:2: modules.half.method: ", "CAP_NET_RAW", "setcap", "AmbientCapabilities", "--cap-add", "method: connect"}
	run := func(want int, args ...string) (stderr string) {
		t.Helper()
		var out strings.Builder
		cmd := unprivilegedCommand(t, nil, append([]string{"--config.file=" + file}, args...)...)
		cmd.Stderr = &out
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%v: exit status = %d, want %d", args, got, want)
		}
		return out.String()
	}
	checkAdvice := func(text, prefix string) {
		t.Helper()
		n := 0
		for line := range strings.Lines(text) {
			if strings.Contains(line, prefix) && !strings.Contains(line, "CAP_NET_RAW") {
				t.Errorf("%q does not name the missing capability", line)
			}
			if strings.Contains(line, "CAP_NET_RAW") {
				n++
				for _, part := range advice {
					if !strings.Contains(line, part) {
						t.Errorf("%q lacks %q", line, part)
					}
				}
			}
		}
		if n == 0 {
			t.Errorf("no line names the missing capability: %s", text)
		}
	}
	checkAdvice(run(1, "--web.listen-address=127.0.0.1:0"), "Failed to start")
	checkAdvice(run(0, "--config.check"), "warning")
	if out := run(2, "scan", "own"); !strings.Contains(out, "CAP_NET_RAW") || strings.Count(out, "\n") != 1 {
		t.Errorf("stderr of scan = %q, want one line with CAP_NET_RAW", out)
	}

	e := startUnprivilegedExporter(t, nil, targetsConfig("first"))
	replaceFileMode(t, e.config, rawConfig(s), 0o644)
	a, err := request("POST", e.url+"/-/reload")
	if err != nil || a.status != http.StatusInternalServerError {
		t.Errorf("POST /-/reload: %v, status = %d, want 500", err, a.status)
	}
	checkAdvice(a.body, "CAP_NET_RAW")
	awaitTarget(t, e, "first")
}

// TestNetRawFileCapability gives the file the permitted capability. The exporter must raise it only
// while it opens a raw socket.
func TestNetRawFileCapability(t *testing.T) {
	t.Parallel()
	setcap := needProgram(t, "setcap")
	s := newTestPorts(t)
	listenLocal(t, s.listening)
	cmd := unprivilegedCommand(t, nil)
	cmd.Path = filepath.Join(readableDir(t), "portscan_exporter")
	copyFile(t, binary(t), cmd.Path)
	if out, err := exec.Command(setcap, "cap_net_raw+p", cmd.Path).CombinedOutput(); err != nil {
		skip(t, fmt.Sprintf("cannot set file capabilities: %v: %s", err, out))
	}
	e := &exporter{addr: freeAddress(t), config: writeReadable(t, rawConfig(s))}
	cmd.Args = append(cmd.Args, "--config.file="+e.config, "--web.listen-address="+e.addr)
	e.process = startCommand(t, cmd)
	e.awaitReady(t)
	m := e.probe(t, "target=own&module=half")
	m.wantValue(t, "probe_success", 1)
	m.wantValue(t, portOpenSample("127.0.0.1", s.listening, "open"), 1)
	checkNoEffectiveCapability(t, strconv.Itoa(cmd.Process.Pid))
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Capabilities of linux/capability.h.
const (
	capDACOverride    = 1
	capSetPCap        = 8
	capNetBindService = 10
	capNetAdmin       = 12
	capNetRaw         = 13
)

// Sets of capabilities in /proc/PID/status.
const (
	noCapability = "0000000000000000"
	onlyNetRaw   = "0000000000002000"
)

// capabilityLines returns lines of /proc/PID/status for a process that has dropped its
// capabilities except the permitted ones.
func capabilityLines(permitted string) []string {
	return []string{"CapInh:\t" + noCapability, "CapPrm:\t" + permitted, "CapEff:\t" + noCapability, "CapAmb:\t" + noCapability, "NoNewPrivs:\t1"}
}

// checkCapabilities fails the test unless all threads of the process have only the permitted
// capabilities, and none in effect.
func checkCapabilities(t *testing.T, pid, permitted string) {
	t.Helper()
	statuses := threadStatuses(pid)
	if len(statuses) == 0 {
		t.Errorf("process %s has no threads", pid)
	}
	for thread, status := range statuses {
		for _, line := range capabilityLines(permitted) {
			if !strings.Contains(status, line+"\n") {
				t.Errorf("%s lacks %q:\n%s", thread, line, status)
			}
		}
	}
}

// threadStatuses returns the content of /proc/PID/task/*/status.
func threadStatuses(pid string) map[string]string {
	threads, _ := filepath.Glob("/proc/" + pid + "/task/*/status") // the pattern is valid
	statuses := make(map[string]string)
	for _, thread := range threads {
		if status, err := os.ReadFile(thread); err == nil { // otherwise the thread has ended
			statuses[thread] = string(status)
		}
	}
	return statuses
}

// watchCapabilities checks the threads of a process until the returned function is called: none may
// have more than CAP_NET_RAW in effect, at any time.
func watchCapabilities(t *testing.T, pid string) (stop func()) {
	t.Helper()
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			case <-time.After(5 * time.Millisecond):
			}
			for thread, status := range threadStatuses(pid) {
				status = strings.ReplaceAll(status, "CapEff:\t"+onlyNetRaw, "CapEff:\t"+noCapability)
				for _, line := range capabilityLines(onlyNetRaw) {
					if !strings.Contains(status, line+"\n") {
						t.Errorf("%s during a scan lacks %q:\n%s", thread, line, status)
						return
					}
				}
			}
		}
	}()
	return func() { close(end); <-ended }
}

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
	pid := strconv.Itoa(e.cmd.Process.Pid)
	if status, line := readFile(t, "/proc/"+pid+"/status"), "Uid:\t65534\t65534\t65534\t65534\n"; !strings.Contains(status, line) {
		t.Errorf("process status lacks %q:\n%s", line, status)
	}
	checkCapabilities(t, pid, noCapability)
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

// TestCapabilitiesDropped starts the exporter with CAP_NET_RAW and other capabilities, on a port that
// requires one of them. All threads must drop the others before the first probe, and have CAP_NET_RAW
// in effect only while they open a raw socket.
func TestCapabilitiesDropped(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		root    bool
		ambient []uintptr
		file    string // of the program
		low     bool   // a port below 1024
		static  bool   // without the C library
		bounded bool   // the bounding set cannot be changed
	}{
		"root":                    {root: true, low: true},
		"root, static":            {root: true, low: true, static: true},
		"ambient":                 {ambient: []uintptr{capNetRaw}, bounded: true},
		"ambient, others":         {ambient: []uintptr{capNetRaw, capNetBindService, capNetAdmin, capDACOverride, capSetPCap}, low: true},
		"ambient, others, static": {ambient: []uintptr{capNetRaw, capNetBindService, capNetAdmin}, low: true, static: true, bounded: true},
		"file, permitted":         {file: "cap_net_raw=p", bounded: true},
		"file, effective":         {file: "cap_net_raw=ep", bounded: true},
		"file, others":            {file: "cap_net_raw,cap_net_bind_service,cap_sys_admin=p", low: true, static: true, bounded: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTestPorts(t)
			listenLocal(t, s.listening)
			listenLocal(t, s.unexpected)
			e := &exporter{addr: freeAddress(t), config: writeReadable(t, rawConfig(s))}
			if tc.low {
				e.addr = lowAddress(t)
			}
			cmd := unprivilegedCommand(t, tc.ambient, "--config.file="+e.config, "--web.listen-address="+e.addr, "--log.level=debug")
			if tc.root {
				cmd.SysProcAttr = nil
			}
			if tc.static {
				var err error
				if cmd.Path, err = buildStatic(); err != nil {
					t.Fatal(err)
				}
			}
			if tc.file != "" {
				cmd.Path = copyWithCapabilities(t, cmd.Path, tc.file)
			}
			e.process = startCommand(t, cmd)
			e.awaitReady(t)
			pid := strconv.Itoa(cmd.Process.Pid)
			checkCapabilities(t, pid, onlyNetRaw)
			stop := watchCapabilities(t, pid)
			for range 5 {
				s.checkTCPScan(t, e.probe(t, "target=own&module=half"))
			}
			postReload(t, e, http.StatusOK)
			stop()
			checkCapabilities(t, pid, onlyNetRaw)
			if bound := "CapBnd:\t" + noCapability + "\n"; !tc.bounded && !strings.Contains(readFile(t, "/proc/"+pid+"/status"), bound) {
				t.Errorf("process status lacks %q", bound)
			}
			dropped := tc.file != "cap_net_raw=p"
			if log := e.output.String(); strings.Contains(log, `msg="Dropped capabilities"`) != dropped || strings.Contains(log, "Failed to drop") {
				t.Errorf("log has dropped capabilities: %v, want %v:\n%s", !dropped, dropped, log)
			}
		})
	}
}

// lowAddress returns an address of loopback with a free port below 1024.
func lowAddress(t *testing.T) string {
	t.Helper()
	for {
		address := fmt.Sprintf("127.%d.%d.%d:443", 1+rand.IntN(200), rand.IntN(256), 1+rand.IntN(254))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
}

// buildStatic builds the exporter once, as releases are built.
var buildStatic = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildDir, "portscan_exporter_static")
	cmd := exec.Command("make", "--silent", "build", "OUTPUT="+path)
	cmd.Dir = repository
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return path, nil
})

// copyWithCapabilities copies a program, sets file capabilities, and returns the path, which every
// user can read.
func copyWithCapabilities(t *testing.T, program, capabilities string) string {
	t.Helper()
	setcap := needProgram(t, "setcap")
	path := filepath.Join(readableDir(t), "portscan_exporter")
	copyFile(t, program, path)
	if out, err := exec.Command(setcap, capabilities, path).CombinedOutput(); err != nil {
		skip(t, fmt.Sprintf("cannot set file capabilities: %v: %s", err, out))
	}
	return path
}

// TestScanCommandDropsCapabilities runs the command as root. The configuration of another user is
// not readable then, as it is for serve at a reload.
func TestScanCommandDropsCapabilities(t *testing.T) {
	t.Parallel()
	s := newTestPorts(t)
	listenLocal(t, s.listening)
	listenLocal(t, s.unexpected)
	file := writeReadable(t, rawConfig(s))
	run := func(args ...string) (status int, out string) {
		t.Helper()
		cmd := unprivilegedCommand(t, nil, append([]string{"--config.file=" + file, "--log.level=debug"}, args...)...)
		cmd.SysProcAttr = nil // as root
		text, _ := cmd.CombinedOutput()
		return cmd.ProcessState.ExitCode(), string(text)
	}
	if status, out := run("scan", "own"); status != 1 || !strings.Contains(out, `after="cap_net_raw=p"`) || !strings.Contains(out, " OPEN ") {
		t.Errorf("exit status of scan = %d, want 1, and open ports with cap_net_raw=p:\n%s", status, out)
	}
	const nobody = 65534
	if err := errors.Join(os.Chown(file, nobody, nobody), os.Chmod(file, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"scan own", "serve --config.check", "serve --web.listen-address=127.0.0.1:0"} {
		if status, out := run(strings.Fields(command)...); status == 0 || !strings.Contains(out, file+": cannot read file: permission denied") {
			t.Errorf("%s: exit status = %d, want another than 0, and permission denied:\n%s", command, status, out)
		}
	}
}

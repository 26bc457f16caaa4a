// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// toolTimeout is the time limit for other programs.
const toolTimeout = 5 * time.Minute

// runProgram runs another scanner, which must print open ports in grepable format.
func runProgram(t *testing.T, name string, args ...string) cost {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), toolTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out strings.Builder
	cmd.Stdout = &out
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := watchMemory(cmd.Process.Pid)
	err := cmd.Wait()
	c := cost{wall: time.Since(start), complete: err == nil, open: strings.Count(out.String(), "/open/"), openFiltered: countOpenFiltered(out.String()), rss: stop()}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.user, c.system = time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano())
	}
	return c
}

// countOpenFiltered returns the number of ports that nmap reports as "open|filtered".
// nmap prints only the number of ports in the most frequent state.
func countOpenFiltered(out string) int {
	n := 0
	if _, rest, ok := strings.Cut(out, "Ignored State: open|filtered ("); ok {
		number, _, _ := strings.Cut(rest, ")")
		n, _ = strconv.Atoi(number)
	}
	return n + strings.Count(out, "/open|filtered/")
}

// runNmap returns a runner for nmap with its defaults and a scan type.
func runNmap(scanType string) func(*testing.T, testbed) cost {
	return func(t *testing.T, b testbed) cost {
		t.Helper()
		return runProgram(t, "nmap", scanType, "-n", "-Pn", "-oG", "-", "-p"+b.scenario.ports, target.String())
	}
}

// runMasscan measures masscan at its highest rate on this network. masscan builds its
// own frames, so it needs interface and addresses as flags. It blocks for a packet
// before it checks for the end of the scan, so another connection has to send some.
func runMasscan(t *testing.T, b testbed) cost {
	t.Helper()
	stop := keepConnecting(t, netip.AddrPortFrom(target, 22))
	defer stop()
	return runProgram(t, "masscan", target.String(), "-p"+b.scenario.ports, "--rate", "200000", "--wait", "1", "-e", vethName(t),
		"--adapter-ip", "198.51.100.254", "--router-mac", strings.Fields(b.host.Exec(t, "ip", "-brief", "link", "show", "wire"))[2], "-oG", "-")
}

// vethName returns the name of the scanner's end of the veth pair.
func vethName(t *testing.T) string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if strings.HasPrefix(i.Name, "to") {
			return i.Name
		}
	}
	t.Fatal("no veth interface found")
	return ""
}

// keepConnecting connects to an open port ten times per second until it is stopped.
func keepConnecting(t *testing.T, addr netip.AddrPort) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr.String()); err == nil {
					_ = conn.Close()
				}
			}
		}
	}()
	return func() { cancel(); <-done }
}

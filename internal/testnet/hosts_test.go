// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// dial connects to the port. The caller must close the connection.
func dial(t *testing.T, to netip.Addr, port uint16, timeout time.Duration) (net.Conn, error) {
	t.Helper()
	dialer := net.Dialer{Timeout: timeout}
	return dialer.DialContext(t.Context(), "tcp", netip.AddrPortFrom(to, port).String())
}

// observe returns the behavior of a port as a client sees it, independently of package testnet.
func observe(t *testing.T, to netip.Addr, port uint16) string {
	t.Helper()
	conn, err := dial(t, to, port, 1500*time.Millisecond)
	timeout, isTimeout := errors.AsType[net.Error](err)
	switch {
	case err == nil:
		defer conn.Close()
		return "accepted, then " + observeConn(conn)
	case errors.Is(err, syscall.ECONNRESET):
		return "accepted, then reset"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.EHOSTUNREACH):
		return "host unreachable"
	case errors.Is(err, syscall.EACCES):
		return "prohibited"
	case isTimeout && timeout.Timeout():
		return "silent"
	default:
		return err.Error()
	}
}

// observeConn returns the behavior of a connection.
func observeConn(conn net.Conn) string {
	conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	_, err := conn.Read(make([]byte, 1))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "held"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(err, io.EOF):
		return "closed"
	default:
		return fmt.Sprint(err)
	}
}

// observations returns the results of observe by answer, with IPv4 and IPv6.
func observations() map[testnet.Answer][2]string {
	return map[testnet.Answer][2]string{
		testnet.Refuse:      {"refused", "refused"},
		testnet.Accept:      {"accepted, then held", "accepted, then held"},
		testnet.AcceptReset: {"accepted, then reset", "accepted, then reset"},
		testnet.AcceptClose: {"accepted, then closed", "accepted, then closed"},
		testnet.Drop:        {"silent", "silent"},
		testnet.RejectPort:  {"refused", "refused"},
		testnet.RejectHost:  {"host unreachable", "host unreachable"},
		testnet.RejectAdmin: {"host unreachable", "prohibited"},
		testnet.RejectReset: {"refused", "refused"},
		testnet.BacklogFull: {"silent", "silent"},
	}
}

// both returns an address of each family.
func both() [2]netip.Addr { return [2]netip.Addr{addr("192.0.2.1"), addr("2001:db8::1")} }

// observeAll checks the ports of both addresses concurrently.
func observeAll(t *testing.T, ports map[uint16]testnet.Answer) {
	t.Helper()
	var wait sync.WaitGroup
	for i, to := range both() {
		for port, answer := range ports {
			wait.Go(func() {
				if got, want := observe(t, to, port), observations()[answer][i]; got != want {
					t.Errorf("%v port %d (%v): got %s, want %s", to, port, answer, got, want)
				}
			})
		}
	}
	wait.Wait()
}

func TestHostAnswers(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	state := map[testnet.Answer]scan.State{
		testnet.Refuse: scan.Closed, testnet.Accept: scan.Open, testnet.AcceptReset: scan.Open, testnet.AcceptClose: scan.Open,
		testnet.Drop: scan.Filtered, testnet.RejectPort: scan.Filtered, testnet.RejectHost: scan.Filtered,
		testnet.RejectAdmin: scan.Filtered, testnet.RejectReset: scan.Closed, testnet.BacklogFull: scan.Filtered,
	}
	ports := make(map[string]testnet.Answer)
	look := map[uint16]testnet.Answer{7: testnet.Drop, 65535: testnet.Drop}
	for _, answer := range testnet.Answers() {
		one, some := 1000+uint16(answer), 2000+10*uint16(answer)
		ports[fmt.Sprintf("%d,%d-%d", one, some, some+4)] = answer
		look[one], look[some], look[some+4] = answer, answer, answer
	}
	addrs := both()
	host := testnet.Start(t, testnet.Host{Addrs: addrs[:], Default: testnet.Drop, Ports: ports, ICMPsPerSecond: -1})[0]
	observeAll(t, look)
	for port, answer := range look {
		for _, to := range addrs {
			if got := host.State(to, port); got != state[answer] {
				t.Errorf("State(%v, %d) = %v, want %v", to, port, got, state[answer])
			}
		}
	}
	if got := host.State(addr("192.0.2.2"), 1000); got != scan.Unknown {
		t.Errorf("State() of another address = %v, want unknown", got)
	}
}

// TestHostSharedListeners has more open ports than separate listeners.
func TestHostSharedListeners(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	addrs := both()
	host := testnet.Start(t, testnet.Host{Addrs: addrs[:], Ports: map[string]testnet.Answer{
		"1-20000": testnet.Accept, "21000-22000": testnet.AcceptReset, "23000": testnet.AcceptClose, "24000": testnet.Drop, "24001": testnet.BacklogFull,
	}})[0]
	look := map[uint16]testnet.Answer{
		20001: testnet.Refuse, 20999: testnet.Refuse, 65535: testnet.Refuse, 24000: testnet.Drop, 24001: testnet.BacklogFull,
		21000: testnet.AcceptReset, 21500: testnet.AcceptReset, 22000: testnet.AcceptReset, 23000: testnet.AcceptClose,
	}
	for port := uint16(1); port <= 20000; port += 199 {
		look[port] = testnet.Accept
	}
	// Connections to the ports of shared listeners must be refused.
	listeners := 0
	for line := range strings.Lines(host.Exec(t, "ss", "--no-header", "--tcp", "--listening", "--numeric")) {
		at := strings.Fields(line)[3]
		port, err := strconv.ParseUint(at[strings.LastIndex(at, ":")+1:], 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		if port > 24001 {
			look[uint16(port)] = testnet.Refuse
			listeners++
		}
	}
	if listeners != 6 {
		t.Errorf("got %d shared listeners, want one per answer and family", listeners)
	}
	observeAll(t, look)
}

func TestHostManyAddresses(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	var hosts [2]testnet.Host
	for i := range 254 {
		hosts[0].Addrs = append(hosts[0].Addrs, addr(fmt.Sprintf("203.0.113.%d", i+1)))
	}
	hosts[1].Addrs = []netip.Addr{addr("192.0.2.1"), addr("2001:db8:1::1")}
	hosts[1].Default = testnet.Accept
	started := time.Now()
	running := testnet.Start(t, hosts[:]...)
	t.Logf("started in %v", time.Since(started))
	for _, to := range hosts[0].Addrs {
		if got := observe(t, to, 80); got != "refused" {
			t.Errorf("%v: %s", to, got)
		}
	}
	for _, to := range hosts[1].Addrs {
		if got := observe(t, to, 80); got != "accepted, then held" {
			t.Errorf("%v: %s", to, got)
		}
	}
	if n := running[0].Counts(t).SYNsIn; n != 254 {
		t.Errorf("got %d SYNs at the first host, want 254", n)
	}
	truth := testnet.Truth(running...)
	for at, want := range map[string]scan.State{
		"203.0.113.9": scan.Closed, "2001:db8:1::1": scan.Open, "203.0.113.255": scan.Unknown,
	} {
		if got := truth(addr(at), 80); got != want {
			t.Errorf("State(%s) = %v, want %v", at, got, want)
		}
	}
}

func TestRunningHostCounts(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	addrs := both()
	host := testnet.Start(t, testnet.Host{
		Addrs: addrs[:], Ports: map[string]testnet.Answer{"22": testnet.Accept, "23": testnet.Drop, "24": testnet.RejectAdmin}, ICMPsPerSecond: -1,
	})[0]
	if got := host.Counts(t); got != (testnet.Counts{}) {
		t.Errorf("Counts() before a packet was sent = %+v, want zeros", got)
	}
	for _, to := range addrs {
		connectAndClose(t, to, func(*net.TCPConn) {})
		connectAndClose(t, to, func(c *net.TCPConn) { c.Write([]byte("hello")) })
		connectAndClose(t, to, func(c *net.TCPConn) { c.SetLinger(0); c.Close() })
		dial(t, to, 25, time.Second)           // refused
		dial(t, to, 23, 100*time.Millisecond)  // dropped
		dial(t, to, 24, 1500*time.Millisecond) // rejected, with a retry by the kernel with IPv6
	}
	got := host.Counts(t)
	got.ACKsIn = 0 // depends on the kernel
	// With IPv6 the error waits for the kernel's second SYN, after the client has stopped waiting.
	extra := got.SYNsIn - 12
	want := testnet.Counts{SYNsIn: 12 + extra, DataIn: 2, RSTsIn: 2, FINsIn: 4, SYNACKsOut: 6, RSTsOut: 2, ICMPsOut: 2 + extra}
	if got != want || extra < 0 || extra > 2 {
		t.Errorf("Counts() =\n%+v, want\n%+v", got, want)
	}
}

// connectAndClose connects to port 22, calls a function with the connection, and waits until
// the host has closed it.
func connectAndClose(t *testing.T, to netip.Addr, do func(*net.TCPConn)) {
	t.Helper()
	conn, err := dial(t, to, 22, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	tcp := conn.(*net.TCPConn)
	do(tcp)
	tcp.CloseWrite() // fails after a reset
	tcp.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	tcp.Read(make([]byte, 1))
	tcp.Close()
}

// TestHostsStop requires that hosts stop with their test, and that their addresses can be
// used again.
func TestHostsStop(t *testing.T) { //nolint:tparallel // subtests must run in order
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	addrs := both()
	var namespaces []string
	var held []*os.File
	defer func() {
		for _, file := range held {
			file.Close()
		}
	}()
	for range 2 {
		t.Run("", func(t *testing.T) {
			host := testnet.Start(t, testnet.Host{Addrs: addrs[:], Default: testnet.RejectReset})[0]
			namespace := strings.TrimSpace(host.Exec(t, "readlink", "/proc/self/ns/net"))
			namespaces = append(namespaces, namespace)
			held = append(held, holdNamespace(t, namespace))
			for _, to := range addrs {
				if got := observe(t, to, 80); got != "refused" {
					t.Errorf("%v: %s", to, got)
				}
			}
		})
	}
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if namespaces[0] == ours || namespaces[1] == ours || !strings.HasPrefix(namespaces[0], "net:") {
		t.Errorf("got namespaces %v of hosts, want others than %v", namespaces, ours)
	}
	if left, err := net.Interfaces(); err != nil || len(left) != 1 {
		t.Errorf("remaining interfaces: %v, %v", left, err)
	}
	for _, namespace := range namespaces {
		if pids := inNamespace(t, namespace); len(pids) > 0 {
			t.Errorf("processes %v are still running in %s", pids, namespace)
		}
	}
}

// holdNamespace opens the namespace of a running host. Until it is closed, the kernel gives
// the number of the namespace to no other one, such as a host of a concurrent test.
func holdNamespace(t *testing.T, namespace string) *os.File {
	t.Helper()
	for _, link := range inNamespace(t, namespace) {
		if file, err := os.Open(link); err == nil {
			return file
		}
	}
	t.Fatalf("no process is running in %s", namespace)
	return nil
}

// inNamespace returns the processes in a network namespace.
func inNamespace(t *testing.T, namespace string) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	var pids []string
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && to == namespace {
			pids = append(pids, link)
		}
	}
	return pids
}

// TestHostStopsAfterCrash kills a test's process.
func TestHostStopsAfterCrash(t *testing.T) {
	t.Parallel()
	testnet.NeedProgram(t, "nsenter")
	testnet.NeedNamespaces(t)
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	mark := "PORTSCAN_TEST_CRASH=" + t.TempDir()
	command := exec.CommandContext(t.Context(), binary, "-test.run=^TestOutcome$", "-test.v", "-outcome=dies")
	command.Env = append(os.Environ(), mark)
	out, err := command.CombinedOutput()
	if err == nil {
		t.Fatal("killed test passed, want a failure")
	}
	if !strings.Contains(string(out), "NAMESPACE net:") {
		t.Fatalf("output has no namespace of the host:\n%s", out)
	}
	var left []string
	for range 100 {
		if left = withEnvironment(t, mark); len(left) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("processes of the host are still running: %v", left)
}

// withEnvironment returns the processes with a variable in their environment, which they
// inherit. A namespace does not identify them, because the kernel reuses its number.
func withEnvironment(t *testing.T, variable string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(files, func(file string) bool {
		environment, err := os.ReadFile(file)
		return err != nil || !slices.Contains(strings.Split(string(environment), "\x00"), variable)
	})
}

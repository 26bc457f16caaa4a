// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

func testSYN(tb testing.TB, l Limits) *Engine {
	tb.Helper()
	return engines(tb, l)["syn"]
}

// TestHalfOpen counts what a scan leaves at the target: never an ACK nor a byte,
// and no connection, half open or whole.
func TestHalfOpen(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{
		Addrs: []netip.Addr{four, six},
		Ports: map[string]testnet.Answer{"22,80,1000-1999": testnet.Accept, "81": testnet.AcceptReset, "82": testnet.AcceptClose, "3000-3099": testnet.Drop},
	})[0]
	e := testSYN(t, Limits{})
	for range 3 {
		score := testnet.CompareReports(host.State, scanAll(t.Context(), t, e, testRequest(t, defaultSpec("1-5000"), four, six)))
		if score.Wrong() > 0 || score.Unknown() > 0 {
			t.Errorf("\n%v", score)
		}
	}
	n := host.Counts(t)
	if n.ACKsIn != 0 || n.DataIn != 0 || n.FINsIn != 0 {
		t.Errorf("the target saw %d ACKs, %d FINs and data %d times", n.ACKsIn, n.FINsIn, n.DataIn)
	}
	if n.SYNACKsOut < 6*1004 || n.RSTsIn != n.SYNACKsOut {
		t.Errorf("%d SYN+ACKs were answered with %d RSTs", n.SYNACKsOut, n.RSTsIn)
	}
	if half, whole := host.HalfOpen(t), host.Established(t); half+whole != 0 {
		t.Errorf("the target keeps %d connections half open, and %d whole ones", half, whole)
	}
}

// TestForgedFlood has somebody send SYN+ACKs that nobody asked for, from every port
// of the target to every port of ours, and doubled and late answers: none of it
// counts.
func TestForgedFlood(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	target := netip.MustParseAddr("203.0.113.7")
	answer := func(port uint16) testnet.Reply {
		switch {
		case port%50 == 0:
			return testnet.Reply{Answer: testnet.Accept, Copies: 20, Every: 10 * time.Millisecond}
		case port%50 == 1:
			return testnet.Reply{Answer: testnet.Refuse, Copies: 3, Delay: 120 * time.Millisecond}
		case port%10 == 5:
			return testnet.Reply{Answer: testnet.Refuse}
		default:
			return testnet.Reply{Answer: testnet.Drop}
		}
	}
	far := testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
		Reply:    func(_ netip.Addr, port uint16, _ int) testnet.Reply { return answer(port) },
	})
	ctx, stop := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	defer flood.Wait()
	defer stop()
	flood.Go(func() {
		for ctx.Err() == nil {
			for _, ours := range far.Sources(target, 1005) {
				for port := uint16(1); port <= 2000; port += 7 {
					far.SendUnsolicited(netip.AddrPortFrom(target, port), netip.AddrPortFrom(netip.MustParseAddr("198.51.100.254"), ours), 1)
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	truth := func(_ netip.Addr, port uint16) scan.State { return answer(port).Answer.State() }
	spec := defaultSpec("1-2000")
	spec.Expect = &scan.Expectation{Allow: scan.NewPortSet(1005)} // first of all, so that our port is known
	got := scanAll(t.Context(), t, testSYN(t, Limits{}), testRequest(t, spec, target))
	if score := testnet.CompareReports(truth, got); score.Wrong() > 0 || score.Unknown() > 0 {
		t.Errorf("\n%v", score)
	}
	if far.Counts().SYNACKsOut < 3000 {
		t.Errorf("no flood was made: %+v", far.Counts())
	}
}

// TestCookies looks at what is sent: sequence numbers that nobody can foresee, and
// ports of our own that differ from attempt to attempt and from scan to scan.
func TestCookies(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	target := netip.MustParseAddr("203.0.113.7")
	far := testnet.StartSimulation(t, testnet.Simulation{Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}})
	e := testSYN(t, Limits{})
	const scans = 3
	for range scans {
		scanAll(t.Context(), t, e, testRequest(t, testSpec("1-20"), target))
	}
	numbers := make(map[uint32]bool)
	for port := uint16(1); port <= 20; port++ {
		sources, sequences := far.Sources(target, port), far.Sequences(target, port)
		if len(sources) != 2*scans {
			t.Fatalf("port %d was tried %d times", port, len(sources))
		}
		slices.Sort(sources)
		if unique := slices.Compact(sources); len(unique) != 2*scans {
			t.Errorf("port %d was tried %d times from the ports %v", port, 2*scans, unique)
		}
		for _, n := range sequences {
			numbers[n] = true
		}
	}
	if len(numbers) != 20*2*scans {
		t.Errorf("%d attempts had %d sequence numbers", 20*2*scans, len(numbers))
	}
}

// TestScansSideBySide has many scans at once, of the same addresses and others:
// none takes another's answer for its own.
func TestScansSideBySide(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{four, six}, Ports: map[string]testnet.Answer{"22,1000-1099": testnet.Accept, "2000-2099": testnet.Drop}})[0]
	e := testSYN(t, Limits{})
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			ports, addrs := []string{"1-3000", "1000-1200", "22", "1-5000"}[i%4], []netip.Addr{four, six}
			score := testnet.CompareReports(host.State, scanBeside(t.Context(), t, e, testRequest(t, defaultSpec(ports), addrs...)))
			if score.Wrong() > 0 || score.Unknown() > 0 {
				t.Errorf("scan %d, ports %s:\n%v", i, ports, score)
			}
		})
	}
	all.Wait()
}

// TestRingOverflows has more answers come than the ring holds, while nobody reads.
func TestRingOverflows(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	held, ports, err := holdPorts(1)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(held)
	var pool receivers
	defer pool.close()
	in, err := pool.take(kind{family4, smallRing}, ports)
	if err != nil {
		t.Fatal(err)
	}
	out, err := newSender(family4, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	defer out.close()
	lo := netip.MustParseAddr("127.0.0.1")
	sendMany := func(count int) {
		for i := range count {
			if out.add(attemptID{}, netip.AddrPortFrom(lo, ports[0]), netip.AddrPortFrom(lo, uint16(1+i%1000)), uint32(i)) {
				out.flush(func(_ attemptID, err error) { t.Error(err) })
			}
		}
		out.flush(func(_ attemptID, err error) { t.Error(err) })
	}
	count := func() (n int) {
		for more := true; more; {
			more = in.read(func([]byte, bool) { n++ })
		}
		return n
	}
	sendMany(1000)
	if n := count(); n != 1000 || in.overflown() {
		t.Errorf("%d of 1000 answers came", n)
	}
	sendMany(int(smallRing) + 1000)
	if n := count(); n != int(smallRing) || !in.overflown() {
		t.Errorf("%d answers are in a ring for %d, and more came", n, smallRing)
	}
	sendMany(1000)
	if n := count(); n != 1000 || in.overflown() {
		t.Errorf("afterwards %d of 1000 answers came", n)
	}
	pool.put(in)
	sendMany(10)
	if again, err := pool.take(kind{family4, smallRing}, ports); err != nil || again != in || count() != 0 {
		t.Errorf("a receiver that waits for its next scan hears something, or is not kept: %v", err)
	}
	pool.put(in)
}

const rawAlone = "PORTSCAN_TEST_RAW_ALONE"

// TestRawAlone scans as a user with no privilege but CAP_NET_RAW, and with none.
func TestRawAlone(t *testing.T) {
	if role := os.Getenv(rawAlone); role != "" {
		scanUnprivileged(t, role)
		return
	}
	if !testnet.Isolated(t) {
		return
	}
	testnet.Start(t, testnet.Host{Addrs: []netip.Addr{four, six}, Ports: map[string]testnet.Answer{"22,80": testnet.Accept, "100-199": testnet.Drop}})
	for role, caps := range map[string][]uintptr{"granted": {unix.CAP_NET_RAW}, "none": nil} {
		// The binary may lie where only root gets to; this leads there all the same.
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestRawAlone$", "-test.v")
		cmd.Env = append(os.Environ(), rawAlone+"="+role)
		cmd.Dir = "/"
		const nobody = 65534
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: os.Getuid() != 0}, AmbientCaps: caps}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EPERM) {
			testnet.Skip(t, "can't become another user: "+err.Error())
		}
		if err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%s: %v\n%s", role, err, out)
		}
	}
}

// scanUnprivileged is what the other user does.
func scanUnprivileged(t *testing.T, role string) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{"granted": 1 << unix.CAP_NET_RAW, "none": 0}[role]
	if line := fmt.Sprintf("CapEff:\t%016x\n", want); !strings.Contains(string(status), line) || os.Getuid() == 0 {
		t.Fatalf("this is user %d, and not with %s:\n%s", os.Getuid(), line, status)
	}
	e, err := NewSYN(testBudget(t, Limits{}))
	if role == "none" {
		if !errors.Is(err, ErrNoRaw) || strings.Contains(err.Error(), "\n") {
			t.Errorf("without the capability: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	got := census(scanAll(t.Context(), t, e, testRequest(t, defaultSpec("1-1000"), four, six)))
	if got["open synack"] != 4 || got["filtered silence"] != 200 || got["closed rst"] != 1796 {
		t.Errorf("with CAP_NET_RAW alone: %v", got)
	}
}

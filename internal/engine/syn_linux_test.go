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

	"portscan_exporter/internal/privilege"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// testSYN returns the engine for half-open scans.
func testSYN(tb testing.TB, l Limits) *Engine {
	tb.Helper()
	return engines(tb, l)["syn"]
}

// TestSYNHalfOpen counts the packets of half-open scans at the target. It must receive no ACK,
// no FIN and no data, but a RST for each SYN+ACK that it sends. Afterwards it must have no
// connection, neither half-open nor established.
func TestSYNHalfOpen(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{
		Addrs: []netip.Addr{target4, target6},
		Ports: map[string]testnet.Answer{"22,80,1000-1999": testnet.Accept, "81": testnet.AcceptReset, "82": testnet.AcceptClose, "3000-3099": testnet.Drop},
	})[0]
	e := testSYN(t, Limits{})
	for range 3 {
		score := testnet.CompareReports(host.State, scanAll(t.Context(), t, e, testRequest(t, defaultSpec("1-5000"), target4, target6)))
		if score.Wrong() > 0 || score.Unknown() > 0 {
			t.Errorf("\n%v", score)
		}
	}
	n := host.Counts(t)
	if n.ACKsIn != 0 || n.DataIn != 0 || n.FINsIn != 0 {
		t.Errorf("the target received %d ACKs, %d FINs and %d packets with data, want 0", n.ACKsIn, n.FINsIn, n.DataIn)
	}
	if n.SYNACKsOut < 6*1004 || n.RSTsIn != n.SYNACKsOut {
		t.Errorf("the target received %d RSTs for %d SYN+ACKs, want one for each, and at least %d", n.RSTsIn, n.SYNACKsOut, 6*1004)
	}
	if half, established := host.HalfOpen(t), host.Established(t); half+established != 0 {
		t.Errorf("the target has %d half-open and %d established connections, want 0", half, established)
	}
}

// TestSYNUnsolicitedAnswers sends unsolicited SYN+ACKs from many ports of the target to the
// scanner's source ports during a scan, and duplicate and late answers of other ports. None of
// them may change a state: all states must be right.
func TestSYNUnsolicitedAnswers(t *testing.T) {
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
	sim := testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
		Reply:    func(_ netip.Addr, port uint16, _ int) testnet.Reply { return answer(port) },
	})
	ctx, stop := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	defer flood.Wait()
	defer stop()
	flood.Go(func() {
		for ctx.Err() == nil {
			for _, source := range sim.Sources(target, 1005) {
				for port := uint16(1); port <= 2000; port += 7 {
					sim.SendUnsolicited(netip.AddrPortFrom(target, port), netip.AddrPortFrom(netip.MustParseAddr("198.51.100.254"), source), 1)
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	truth := func(_ netip.Addr, port uint16) scan.State { return answer(port).Answer.State() }
	spec := defaultSpec("1-2000")
	spec.Expect = &scan.Expectation{Allow: scan.NewPortSet(1005)} // scanned first, so that the simulation learns the source ports
	got := scanAll(t.Context(), t, testSYN(t, Limits{}), testRequest(t, spec, target))
	if score := testnet.CompareReports(truth, got); score.Wrong() > 0 || score.Unknown() > 0 {
		t.Errorf("\n%v", score)
	}
	if n := sim.Counts().SYNACKsOut; n < 3000 {
		t.Errorf("unsolicited SYN+ACKs = %d, want at least 3000", n)
	}
}

// TestSYNSequenceNumbers reads the SYNs of three scans: all sequence numbers must differ, and
// so must the source ports of all attempts at a port.
func TestSYNSequenceNumbers(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	target := netip.MustParseAddr("203.0.113.7")
	sim := testnet.StartSimulation(t, testnet.Simulation{Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}})
	e := testSYN(t, Limits{})
	const scans = 3
	for range scans {
		scanAll(t.Context(), t, e, testRequest(t, testSpec("1-20"), target))
	}
	numbers := make(map[uint32]bool)
	for port := uint16(1); port <= 20; port++ {
		sources, sequences := sim.Sources(target, port), sim.Sequences(target, port)
		if len(sources) != 2*scans {
			t.Fatalf("attempts at port %d = %d, want %d", port, len(sources), 2*scans)
		}
		slices.Sort(sources)
		if unique := slices.Compact(sources); len(unique) != 2*scans {
			t.Errorf("source ports of port %d = %v, want %d different ones", port, unique, 2*scans)
		}
		for _, n := range sequences {
			numbers[n] = true
		}
	}
	if len(numbers) != 20*2*scans {
		t.Errorf("different sequence numbers = %d, want %d, one per attempt", len(numbers), 20*2*scans)
	}
}

// TestSYNConcurrentScans runs 12 scans of the same addresses at the same time: no scan may
// accept the answers of another one, so all states must be right.
func TestSYNConcurrentScans(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4, target6}, Ports: map[string]testnet.Answer{"22,1000-1099": testnet.Accept, "2000-2099": testnet.Drop}})[0]
	e := testSYN(t, Limits{})
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			ports, addrs := []string{"1-3000", "1000-1200", "22", "1-5000"}[i%4], []netip.Addr{target4, target6}
			score := testnet.CompareReports(host.State, scanConcurrently(t.Context(), t, e, testRequest(t, defaultSpec(ports), addrs...)))
			if score.Wrong() > 0 || score.Unknown() > 0 {
				t.Errorf("scan %d, ports %s:\n%v", i, ports, score)
			}
		})
	}
	all.Wait()
}

// TestReceiverOverflow sends more packets to a receiver than its ring can store before they are
// read: the receiver must report the overflow. In the pool it must receive no packets.
func TestReceiverOverflow(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	held, ports, err := holdPorts(1)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(held)
	var pool receiverPool
	defer pool.close()
	in, err := pool.take(receiverKind{family4, smallRing}, ports)
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
	if n := count(); n != 1000 || in.overflowed() {
		t.Errorf("received packets = %d, want 1000 and no overflow", n)
	}
	sendMany(int(smallRing) + 1000)
	if n := count(); n != int(smallRing) || !in.overflowed() {
		t.Errorf("received packets = %d, want %d and an overflow", n, smallRing)
	}
	sendMany(1000)
	if n := count(); n != 1000 || in.overflowed() {
		t.Errorf("received packets after the overflow = %d, want 1000 and no overflow", n)
	}
	pool.put(in)
	sendMany(10)
	if again, err := pool.take(receiverKind{family4, smallRing}, ports); err != nil || again != in || count() != 0 {
		t.Errorf("pool.take() = %p, %v, want %p without packets", again, err, in)
	}
	pool.put(in)
}

// unprivilegedRole is an environment variable with the privileges of TestSYNUnprivileged's
// child process.
const unprivilegedRole = "PORTSCAN_TEST_UNPRIVILEGED_ROLE"

// TestSYNUnprivileged scans as a user with only CAP_NET_RAW and as root that has dropped all
// other capabilities, which must succeed and detect local NAT, and without CAP_NET_RAW, for
// which NewSYN must return an error.
func TestSYNUnprivileged(t *testing.T) {
	if role := os.Getenv(unprivilegedRole); role != "" {
		scanUnprivileged(t, role)
		return
	}
	if !testnet.Isolated(t) {
		return
	}
	testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4, target6}, Ports: map[string]testnet.Answer{"22,80": testnet.Accept, "100-199": testnet.Drop}})
	for _, family := range []string{"ip", "ip6"} {
		testnet.Filter(t, strings.ReplaceAll(natRules("postrouting", "tcp dport 999 masquerade to :10000-20000 fully-random"), "FAMILY", family))
	}
	for role, caps := range map[string][]uintptr{"granted": {unix.CAP_NET_RAW}, "none": nil, "dropped": nil} {
		// Only root may have access to the binary's folder. This path needs no access to it.
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestSYNUnprivileged$", "-test.v")
		cmd.Env = append(os.Environ(), unprivilegedRole+"="+role)
		cmd.Dir = "/"
		const nobody = 65534
		if role != "dropped" {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: os.Getuid() != 0}, AmbientCaps: caps}
		}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EPERM) {
			testnet.Skip(t, "cannot run as another user: "+err.Error())
		}
		if err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("test with capability %s: %v\n%s", role, err, out)
		}
	}
}

// scanUnprivileged is the part of TestSYNUnprivileged in the child process.
func scanUnprivileged(t *testing.T, role string) {
	t.Helper()
	if role == "dropped" {
		if _, _, err := privilege.Drop(); err != nil {
			t.Fatal(err)
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{"granted": 1 << unix.CAP_NET_RAW}[role]
	if line := fmt.Sprintf("CapEff:\t%016x\n", want); !strings.Contains(string(status), line) || (os.Getuid() == 0) != (role == "dropped") {
		t.Fatalf("user = %d, want %s:\n%s", os.Getuid(), line, status)
	}
	e, err := NewSYN(testBudget(t, Limits{}))
	if role == "none" {
		if !errors.Is(err, ErrNoRaw) || strings.Contains(err.Error(), "\n") {
			t.Errorf("NewSYN() without CAP_NET_RAW = %v, want %v on one line", err, ErrNoRaw)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	got := census(scanAll(t.Context(), t, e, testRequest(t, defaultSpec("1-1000"), target4, target6)))
	if got["open synack"] != 4 || got["filtered silence"] != 200 || got["closed rst"] != 1794 || got["unknown translated"] != 2 {
		t.Errorf("states with only CAP_NET_RAW = %v, want 4 open (synack), 200 filtered (silence), 1794 closed (rst), 2 unknown (translated)", got)
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/bpf"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// TestSYNAnswersFilter runs the filter of the listening sockets: it must drop exactly the segments
// that answer a SYN, and SYNs.
func TestSYNAnswersFilter(t *testing.T) {
	t.Parallel()
	raw, err := synAnswers()
	if err != nil {
		t.Fatal(err)
	}
	program, _ := bpf.Disassemble(raw)
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	const fin, syn, rst, psh, ack = 0x01, 0x02, 0x04, 0x08, 0x10
	for _, tc := range []struct {
		name     string
		flags    byte
		sequence byte
		drops    bool
	}{
		{"SYN+ACK", syn | ack, 7, true},
		{"reset of a SYN", rst | ack, 0, true},
		{"SYN of a client", syn, 7, true},
		{"reset of a connection", rst | ack, 7, false},
		{"data of a connection", psh | ack, 7, false},
		{"end of a connection", fin | ack, 7, false},
		{"ACK", ack, 0, false},
	} {
		header := make([]byte, 20)
		header[7], header[13] = tc.sequence, tc.flags
		kept, err := vm.Run(header)
		if err != nil || (kept == 0) != tc.drops {
			t.Errorf("%s: bytes kept = %d, error %v, want 0: %v", tc.name, kept, err, tc.drops)
		}
	}
}

// lateProbe is a prober with one slot, and the detector of its late answers.
type lateProbe struct {
	detector *heldLateDetector
	prober   *connectProber
	slot     int32
	addr     netip.Addr
}

func newLateProbe(t *testing.T, addr netip.Addr) *lateProbe {
	t.Helper()
	system := &connectSystem{}
	d := newHeldLateDetector(system, defaultSpec("1-100"), []netip.Addr{addr}, func(int) bool { return true })
	t.Cleanup(d.close)
	if !d.detects(addr) {
		t.Fatalf("detects(%v) = false, want true", addr)
	}
	p, err := newConnectProber(system, netip.Addr{}, d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	slot, _ := p.open(slotFamily(addr))
	return &lateProbe{detector: d, prober: p, slot: slot, addr: addr}
}

// attempt makes an attempt, drops it after the time, and reports whether an answer arrived before.
func (l *lateProbe) attempt(t *testing.T, port uint16, variant int, listens time.Duration) (answered bool) {
	t.Helper()
	if cause := l.prober.send(attemptID{slot: l.slot}, netip.AddrPortFrom(l.addr, port), attemptOptions{variant: variant}); cause != scan.CauseNone {
		t.Fatalf("send() to port %d = %v, want none", port, cause)
	}
	time.Sleep(listens)
	ended, _ := l.prober.wait(0, nil)
	l.prober.drop(l.slot)
	return len(ended) > 0
}

// TestLateDetectorAnswers makes attempts for each kind of answer, which arrives before or after
// the attempt is dropped. Exactly the late answers, other than ICMP errors, must be detected,
// once each.
func TestLateDetectorAnswers(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	answers := []testnet.Answer{testnet.Accept, testnet.Refuse, testnet.AcceptReset, testnet.AcceptClose, testnet.RejectPort, testnet.Drop}
	const delay = 150 * time.Millisecond
	simulateLate(t, func(port uint16) testnet.Reply {
		return testnet.Reply{Answer: answers[int(port)%len(answers)], Delay: delay}
	})
	for _, addr := range []netip.Addr{lateAddr4, lateAddr6} {
		l := newLateProbe(t, addr)
		for port := range uint16(2 * len(answers)) {
			answer, late := answers[int(port)%len(answers)], int(port) < len(answers)
			listens := 2 * delay
			if late {
				listens = delay / 3
			}
			answered := l.attempt(t, 100*uint16(len(answers))+port, int(port), listens)
			time.Sleep(2 * delay) // also for the resets of connections
			if want := !late && answer != testnet.Drop; answered != want {
				t.Errorf("%v, answer %v, late: %v: answered = %v, want %v", addr, answer, late, answered, want)
			}
			want := late && answer != testnet.Drop && answer != testnet.RejectPort
			if got := l.detector.came(); got != want {
				t.Errorf("%v, answer %v, late: %v: came() = %v, want %v", addr, answer, late, got, want)
			}
			if l.detector.came() {
				t.Errorf("%v, answer %v, late: %v: second came() = true, want false", addr, answer, late)
			}
		}
	}
}

// TestLateConnectionIsReset scans a target that repeats its late SYN+ACK: the scanner must reset
// the connection, and make later attempts from another port.
func TestLateConnectionIsReset(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	sim := testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.PrefixFrom(lateAddr4, 32)},
		Reply: func(netip.Addr, uint16, int) testnet.Reply {
			return testnet.Reply{Answer: testnet.Accept, Delay: 100 * time.Millisecond, Copies: 1, Every: 1500 * time.Millisecond}
		},
	})
	l := newLateProbe(t, lateAddr4)
	l.attempt(t, 22, 0, 20*time.Millisecond)
	before := sim.Sources(lateAddr4, 22)
	for range 20 {
		time.Sleep(100 * time.Millisecond)
		l.detector.came()
	}
	if resets := sim.Counts().RSTsIn; resets != 1 {
		t.Errorf("resets received by the target = %d, want 1", resets)
	}
	l.attempt(t, 22, 0, 20*time.Millisecond)
	if after := sim.Sources(lateAddr4, 22); after[len(after)-1] == before[0] {
		t.Errorf("source port after a late answer = %d, want another one", before[0])
	}
}

// TestLateDetectorWithoutCounts scans through a local filter that drops the segment with which the
// detector tests the kernel. The detector must not detect late answers, and all states must be
// right, because attempts wait for the complete port_timeout.
func TestLateDetectorWithoutCounts(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	truth := simulateLate(t, func(port uint16) testnet.Reply {
		switch {
		case port == 77:
			return testnet.Reply{Answer: testnet.Refuse, Delay: 400 * time.Millisecond}
		case port%2 == 0:
			return testnet.Reply{Answer: testnet.Refuse}
		default:
			return testnet.Reply{Answer: testnet.Drop}
		}
	})
	testnet.Filter(t, "table inet r { chain in { type filter hook input priority 0 ; iifname lo drop\n}\n}\n")
	e := engines(t, Limits{})["connect"]
	d := newHeldLateDetector(e.system.(*connectSystem), defaultSpec("1-100"), []netip.Addr{lateAddr4}, func(int) bool { return true })
	defer d.close()
	if d.detects(lateAddr4) || d.came() {
		t.Error("detects() or came() without counts = true, want false")
	}
	score := testnet.CompareReports(truth, scanAll(t.Context(), t, e, testRequest(t, defaultSpec("1-5000"), lateAddr4)))
	if score.Wrong() > 0 || score.Unknown() > 0 {
		t.Errorf("\n%v", score)
	}
}

// TestLateDetectorOfOwnAddress requires that no local ports are held while an address of this
// machine is scanned.
func TestLateDetectorOfOwnAddress(t *testing.T) {
	t.Parallel()
	addrs := []netip.Addr{lateAddr4, netip.MustParseAddr("127.0.0.1")}
	if d := newHeldLateDetector(&connectSystem{}, defaultSpec("1-100"), addrs, nil); d != nil {
		d.close()
		t.Error("newHeldLateDetector() with an own address = a detector, want nil")
	}
}

// TestHeldPortOfOwnAddress makes an attempt at a port of this machine that another scan holds. The
// attempt must fail with the cause source_ports, so that the port is unknown, not filtered.
func TestHeldPortOfOwnAddress(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	simulateLate(t, func(uint16) testnet.Reply { return testnet.Reply{Answer: testnet.Refuse} })
	l := newLateProbe(t, lateAddr4)
	local := l.detector.sourceTo(lateAddr4).current.Load().local(0)
	p, err := newConnectProber(l.detector.system, netip.Addr{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	slot, _ := p.open(family4)
	if cause := p.send(attemptID{slot: slot}, local, attemptOptions{}); cause != scan.CauseSourcePorts {
		t.Errorf("send() to a held port = %v, want %v", cause, scan.CauseSourcePorts)
	}
	if cause := p.send(attemptID{slot: slot}, netip.AddrPortFrom(local.Addr(), 1), attemptOptions{}); cause != scan.CauseNone {
		t.Errorf("send() to another port = %v, want none", cause)
	}
}

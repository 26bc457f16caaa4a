package testnet

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Reply is what comes back to one SYN.
type Reply struct {
	Answer Answer
	Delay  time.Duration // until it comes; also of what follows in the same connection
	From   netip.Addr    // who sends an ICMP error; zero: the address itself
	Copies int           // how many copies of the answer follow it
	Every  time.Duration // the time between them; 0: they come at once
}

// Simulation is a part of the net that is far away, as [StartSimulation] makes it.
type Simulation struct {
	// Prefixes are the addresses in it, for documentation.
	Prefixes []netip.Prefix

	// Reply decides about every SYN that is intact; attempt counts those to this
	// port of this address, from 1. It is called by one goroutine, and not at once.
	// nil stands for silence.
	Reply func(addr netip.Addr, port uint16, attempt int) Reply

	// Datagram does the same for every UDP datagram, whose data it must not keep.
	Datagram func(addr netip.Addr, port uint16, attempt int, data []byte) DatagramReply

	// Queue is how many answers may wait for their delay. More are lost, and
	// counted in [Counts].LostOut. 0 stands for any number.
	Queue int
}

// Simulator is a [Simulation] that [StartSimulation] has made. It may be used concurrently.
type Simulator struct {
	far    Simulation
	device *os.File
	delay  *delayer

	mu        sync.Mutex
	counts    Counts
	ports     map[netip.AddrPort]farPort
	datagrams map[netip.AddrPort][][]byte // what came, by where to
	failed    error                       // the first
}

// farPort is what is remembered of a port.
type farPort struct {
	syns []syn
	last Reply
}

// syn is what is remembered of a SYN.
type syn struct {
	source uint16 // port
	seq    uint32
}

const (
	// firstSeq is the sequence number with which all connections begin.
	firstSeq = 0x6c61_6200

	// deviceQueue is how many packets wait for our program at the device; its
	// usual 500 would be full at every burst.
	deviceQueue = 20_000

	// maxPacket is the length of the device's longest packet.
	maxPacket = 1500
)

// StartSimulation makes addresses that a program of ours answers for, through a TUN
// device in the scanner's namespace. Unlike the hosts of [Start] they can be
// thousands, their answers can take time and overtake each other, and every
// single one can be told apart; but they are no real kernel's. Packets with wrong
// checksums are counted and ignored.
//
// The scanner's own address is 198.51.100.254 or 2001:db8:ffff::fe; in a prefix
// around it, it stays the scanner's. Only inside [Isolated]; it ends with the
// test.
func StartSimulation(t *testing.T, far Simulation) *Simulator {
	t.Helper()
	needIsolated(t)
	for _, prefix := range far.Prefixes {
		inside := func(p netip.Prefix) bool { return p.Contains(prefix.Addr()) && p.Bits() <= prefix.Bits() }
		if prefix != prefix.Masked() || !slices.ContainsFunc(documentation, inside) {
			t.Fatalf("%v is not a prefix for documentation (%v)", prefix, documentation)
		}
	}
	settle(t)
	device, name := openTUN(t)
	d := &Simulator{
		far: far, device: device,
		ports:     make(map[netip.AddrPort]farPort),
		datagrams: make(map[netip.AddrPort][][]byte),
	}
	d.delay = newDelayer(far.Queue, d.write)

	var script strings.Builder
	fmt.Fprintf(&script, "link set %s txqueuelen %d mtu %d up\n", name, deviceQueue, maxPacket)
	fmt.Fprintf(&script, "address add %s dev %s\naddress add %s dev %s nodad\n", outside4, name, outside6, name)
	for _, prefix := range far.Prefixes {
		fmt.Fprintf(&script, "route add %s dev %s src %s\n", prefix, name, oursFor(prefix.Addr()))
	}
	run(t, script.String(), "ip", "-batch", "-")
	await(t, name, func() bool { return delivers(t, os.Getpid(), ours6()) })

	var wait sync.WaitGroup
	wait.Go(d.read)
	wait.Go(d.delay.run)
	t.Cleanup(func() {
		_ = device.Close()
		d.delay.stop()
		wait.Wait()
		if d.failed != nil {
			t.Error(d.failed)
		}
	})
	return d
}

// read answers what arrives until the device is closed.
func (d *Simulator) read() {
	packet := make([]byte, maxPacket)
	for {
		n, err := d.device.Read(packet)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			d.fail(err)
			return
		}
		d.arrived(packet[:n])
	}
}

// write sends a packet to the scanner.
func (d *Simulator) write(packet []byte) {
	if _, err := d.device.Write(packet); err != nil && !errors.Is(err, os.ErrClosed) {
		d.fail(err)
	}
}

// fail remembers the first error.
func (d *Simulator) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed == nil {
		d.failed = fmt.Errorf("the far end: %w", err)
	}
}

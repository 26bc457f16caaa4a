// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

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

// Reply is the reply to a SYN.
type Reply struct {
	Answer Answer
	Delay  time.Duration // before this reply, and later ones of the connection
	From   netip.Addr    // source of an ICMP error; zero: the requested address
	Copies int           // number of additional copies
	Every  time.Duration // interval between copies
}

// Simulation is the configuration of a [Simulator].
type Simulation struct {
	// Prefixes has its addresses, reserved for documentation.
	Prefixes []netip.Prefix

	// Reply returns the reply to an intact SYN. attempt counts the SYNs to the port of the
	// address, starting at 1. Calls are not concurrent. nil: no replies.
	Reply func(addr netip.Addr, port uint16, attempt int) Reply

	// Datagram returns the reply to a UDP datagram. It must not retain data.
	Datagram func(addr netip.Addr, port uint16, attempt int, data []byte) DatagramReply

	// Queue is the maximum number of delayed replies. Further ones are dropped and counted
	// in [Counts].LostOut. 0: unlimited.
	Queue int
}

// Simulator answers for simulated addresses. It may be used concurrently.
type Simulator struct {
	config Simulation
	device *os.File
	delay  *delayer

	mu        sync.Mutex
	counts    Counts
	ports     map[netip.AddrPort]simulatedPort
	datagrams map[netip.AddrPort][][]byte // received data by destination
	failed    error                       // first error
}

// simulatedPort is the state of a port.
type simulatedPort struct {
	syns []syn
	last Reply
}

// syn is a received SYN.
type syn struct {
	source uint16 // port
	seq    uint32
}

const (
	// firstSeq is the initial sequence number of all connections.
	firstSeq = 0x6c61_6200

	// deviceQueue is the length of the device's queue in packets. The default of 500 is too
	// short for bursts.
	deviceQueue = 20_000

	// maxPacket is the MTU of the device.
	maxPacket = 1500
)

// StartSimulation starts a simulator that answers for addresses through a TUN device in the
// scanner's namespace. Unlike the hosts of [Start], simulations can have thousands of
// addresses, delays and reordering, and individual replies to each packet, but they do not
// have the behavior of a kernel. Packets with wrong checksums are counted and ignored.
//
// The scanner's addresses are 198.51.100.254 and 2001:db8:ffff::fe, even within one of the
// prefixes. StartSimulation requires [Isolated]. The simulator stops at the end of the test.
func StartSimulation(t *testing.T, config Simulation) *Simulator {
	t.Helper()
	needIsolated(t)
	for _, prefix := range config.Prefixes {
		inside := func(p netip.Prefix) bool { return p.Contains(prefix.Addr()) && p.Bits() <= prefix.Bits() }
		if prefix != prefix.Masked() || !slices.ContainsFunc(documentation, inside) {
			t.Fatalf("prefix %v is not reserved for documentation (%v)", prefix, documentation)
		}
	}
	disableDAD(t)
	device, name := openTUN(t)
	sim := &Simulator{
		config: config, device: device,
		ports:     make(map[netip.AddrPort]simulatedPort),
		datagrams: make(map[netip.AddrPort][][]byte),
	}
	sim.delay = newDelayer(config.Queue, sim.write)

	var script strings.Builder
	fmt.Fprintf(&script, "link set %s txqueuelen %d mtu %d up\n", name, deviceQueue, maxPacket)
	fmt.Fprintf(&script, "address add %s dev %s\naddress add %s dev %s nodad\n", scannerPrefix4, name, scannerPrefix6, name)
	for _, prefix := range config.Prefixes {
		fmt.Fprintf(&script, "route add %s dev %s src %s\n", prefix, name, scannerFor(prefix.Addr()))
	}
	run(t, script.String(), "ip", "-batch", "-")
	waitUntil(t, name, func() bool { return hasLocalRoutes(t, os.Getpid(), scanner6()) })

	var wait sync.WaitGroup
	wait.Go(sim.read)
	wait.Go(sim.delay.run)
	t.Cleanup(func() {
		_ = device.Close()
		sim.delay.stop()
		wait.Wait()
		if sim.failed != nil {
			t.Error(sim.failed)
		}
	})
	return sim
}

// read handles packets until the device is closed.
func (sim *Simulator) read() {
	packet := make([]byte, maxPacket)
	for {
		n, err := sim.device.Read(packet)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			sim.fail(err)
			return
		}
		sim.handlePacket(packet[:n])
	}
}

// write sends a packet to the scanner.
func (sim *Simulator) write(packet []byte) {
	if _, err := sim.device.Write(packet); err != nil && !errors.Is(err, os.ErrClosed) {
		sim.fail(err)
	}
}

// fail stores the first error.
func (sim *Simulator) fail(err error) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	if sim.failed == nil {
		sim.failed = fmt.Errorf("simulating hosts: %w", err)
	}
}

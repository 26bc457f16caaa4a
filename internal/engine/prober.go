// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"
	"time"

	"portscan_exporter/internal/scan"
)

// prober makes the attempts of a worker. It is the interface between the engine and the
// system. An attempt in flight occupies a slot, which is reused. A prober may be used by one
// goroutine; close ends all attempts.
type prober interface {
	// open adds a slot for attempts of the family, see [slotFamily], or returns the cause
	// if it cannot.
	open(family uint8) (slot int32, cause scan.Cause)

	// send starts an attempt, or returns the cause if it cannot. Then it has no completion.
	send(id attemptID, to netip.AddrPort, o attemptOptions) scan.Cause

	// wait appends completions to ended and waits for the first at most d. It reports
	// whether there can be more.
	wait(d time.Duration, ended []completion) (all []completion, more bool)

	// flush sends the packets that send has queued. It returns the number of packets that the
	// system has accepted since the prober was made: SYNs, without retransmissions by the
	// system, or datagrams.
	flush() (sent int)

	// drop ends the slot's attempt without a completion.
	drop(slot int32)

	// shut removes a free slot.
	shut(slot int32)

	close()
}

// attemptOptions are options of an attempt. The zero value is for a first attempt.
type attemptOptions struct {
	variant int // see [pace.Attempt.Variant]

	// quiet is set if the port is probably open and no evidence other than that is needed.
	// The service does not have to see the connection.
	quiet bool

	// unresolved is set if the next hop is not resolved: the packet waits in the kernel and
	// must not delay those for others.
	unresolved bool
}

// natWatcher is a prober that can report which attempts this machine translates (NAT).
type natWatcher interface {
	// watchNAT starts to watch, which costs time for each packet that this machine sends.
	// The cause is why the prober cannot watch. Later calls do nothing.
	watchNAT() scan.Cause
}

// attemptID identifies an attempt of a worker. The number distinguishes attempts in the same
// slot, because the outcome of an earlier one can be read later.
type attemptID struct {
	slot   int32 // or one of the constants below
	number uint32
}

// completion is the outcome of an attempt, whose slot is free.
type completion struct {
	id      attemptID
	verdict verdict

	// Of a late answer, if the prober receives them.
	from  netip.AddrPort
	first bool // it answers the port's first attempt
}

// Slots of completions of no attempt in flight.
const (
	lateAnswer  = -1 // an answer to a dropped attempt
	answersLost = -2 // answers to unknown attempts were dropped for lack of space
)

// system is the interface between an engine and the machine.
type system interface {
	traits() traits

	// newProber returns a prober for attempts from the source address, or, if it is
	// invalid, from an address that the system selects. The attempts end with ctx at the
	// latest; attempts is their approximate number.
	newProber(ctx context.Context, source netip.Addr, attempts int, late lateDetector) (prober, error)

	// newLateDetector returns the detector of late answers for a scan of the addresses, or nil
	// if the system has none. reserve takes descriptors from the budget.
	newLateDetector(spec scan.Spec, addrs []netip.Addr, reserve func(descriptors int) bool) lateDetector

	linkLayer

	// isLocal reports whether the address is one of this machine.
	isLocal(addr netip.Addr) bool

	// close releases the resources that are kept between scans.
	close()
}

// traits are properties of a system's probers.
type traits struct {
	maxInFlight  int           // maximum number of attempts in flight of a scan
	receivesLate bool          // answers to dropped attempts are received
	lag          time.Duration // maximum delay of reading an answer, see [pace.Options]
	datagrams    payloadCounts
}

// A lateDetector detects answers to attempts of a scan that were given up. It may be used
// concurrently.
type lateDetector interface {
	// detects reports whether late answers from the address are detected. That does not
	// change during a scan.
	detects(addr netip.Addr) bool

	// came reports whether late answers have come since the last call, from any address.
	came() bool

	close()
}

// The families of slots.
const (
	family4 = 0
	family6 = 1
)

func slotFamily(addr netip.Addr) uint8 {
	if addr.Is4() {
		return family4
	}
	return family6
}

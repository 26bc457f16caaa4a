// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"
	"time"

	"portscan_exporter/internal/scan"
)

// A line is how one lane of a scan makes attempts, and the seam between the
// engine and the system. An attempt occupies a slot, which is used for one after
// another. A line is for one goroutine; close ends all that it has begun.
type line interface {
	// open adds a slot for attempts of the family (see [slotFamily]); cause tells
	// why there can be none.
	open(family uint8) (slot int32, cause scan.Cause)

	// send begins an attempt; see [pace.Try.Variant]. A cause is why it could not be
	// made, and then nothing ends it.
	send(id attemptID, to netip.AddrPort, variant int) scan.Cause

	// wait returns, appended to ended, the attempts that something came of; it
	// waits for the first of them no longer than d. More may have come than it
	// took.
	wait(d time.Duration, ended []ending) (all []ending, more bool)

	// drop gives the slot's attempt up, so that the slot is free again.
	drop(slot int32)

	// shut closes a free slot for good.
	shut(slot int32)

	close()
}

// attemptID names one attempt of a lane. Slots are used again, and what came of an
// attempt may be read after its slot has been: the number tells the two apart.
type attemptID struct {
	slot   int32 // or one of those below
	number uint32
}

// ending is what came of an attempt, whose slot is free by then. A verdict with a
// cause that is no answer is our own side's doing.
type ending struct {
	id      attemptID
	verdict verdict

	// Where late answers are heard: whose it is, and whether to the port's first attempt.
	from  netip.AddrPort
	first bool
}

// Slots of endings that belong to no attempt.
const (
	lateAnswer  = -1 // to one that had been dropped
	answersLost = -2 // nobody knows whose: there was no room for them
)

// system is what an engine needs of the machine it runs on.
type system interface {
	// line returns a line for attempts from the source, or from whichever address the
	// system picks. Its attempts end with ctx at the latest; attempts is about how many
	// there will be.
	line(ctx context.Context, source netip.Addr, attempts int) (line, error)

	// late counts the answers that came, to anybody on this machine, after their
	// attempt was given up; ok is false where that can't be told.
	late() (count int64, ok bool)

	// resolved reports whether the link-layer address of the next hop to the address is
	// known; true if the system cannot tell. An invalid source is the system's choice.
	resolved(source, addr netip.Addr) bool

	// ours tells whether the address is this machine's own.
	ours(addr netip.Addr) bool

	// most is how many attempts a scan may have under way.
	most() int

	// packets is how many an attempt at the port takes.
	packets(port uint16) int

	// hears tells whether lines hear answers to attempts that were dropped.
	hears() bool

	// lag is how late an answer may be noticed; see [pace.Options].
	lag() time.Duration

	// close gives back what was kept from scan to scan.
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

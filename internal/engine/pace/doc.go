// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package pace decides, for one address, which port is tried next and when, how
// long an answer is waited for, and what silence means. It knows no socket and
// reads no clock: whoever sends tells it what happened and what time it is, so
// that all of it can be tested in made-up time against a made-up network.
//
// The moving parts, a file each: [Order] (what comes first), the window (how
// much may be unanswered at once), the round trips (how long to listen), the
// canaries (whether the path worked while a port was silent), late answers, the
// quota (how often a target says "closed" to datagrams), and [Path], which puts
// them together.
package pace

import "time"

// An instant is a moment of a scan, counted from its start.
type instant = time.Duration

// Kind is how long an attempt listens; [Path.Hold] has the time.
type Kind uint8

// The kinds of attempts.
const (
	Brief   Kind = iota // a first attempt, which another will follow
	Final               // one that may settle the port
	Patient             // listens for the whole port_timeout, whatever is known of the path
	Canary              // asks a port that has answered before
)

// Kinds is how many kinds there are.
const Kinds = 4

// Try is one attempt that is to be made. What it means to the port it is for is
// the [Path]'s own affair.
type Try struct {
	Index uint16 // of the port, in the plan's rising order
	Kind  Kind

	nth      uint8  // attempts at the port, with this one; stops at 255
	counted  uint8  // silent ones among those before, made while the path worked
	evidence uint8  // how unlikely it is that loss alone made those silent; see evidence.go
	dark     bool   // those were counted while the address had never answered
	failures uint8  // attempts that our own side could not make
	mark     uint16 // of a canary: which mark its answer proves
	tick     uint32 // of the window, in which it was given out
	pace     uint8  // the target's budget, as it was taken to be, for which silence was counted; see quota.go
	vain     bool   // made when the budget might have been spent
}

// Variants is how many attempts at one port may be under way side by side: senders
// have to tell them apart by [Try.Variant].
const Variants = 8

// Variant tells the attempts at one port apart that may be under way side by side.
// A port's first is of variant 0.
func (t *Try) Variant() int {
	nth := int(t.nth) - 1
	if t.Kind == Canary {
		nth = int(t.mark)
	}
	return (nth + nth/Variants) % Variants // canaries go round as many ports
}

// entry is a try that waits for something.
type entry struct {
	Try

	sent instant // when it was made, or may be made again
}

// queue is a ring of entries, first in, first out. The zero value is empty.
type queue struct {
	ring        []entry
	first, used int
}

func (q *queue) push(e entry) {
	if q.used == len(q.ring) {
		bigger := make([]entry, max(64, 2*len(q.ring)))
		n := copy(bigger, q.ring[q.first:])
		copy(bigger[n:], q.ring[:q.first])
		q.ring, q.first = bigger, 0
	}
	q.ring[(q.first+q.used)&(len(q.ring)-1)] = e
	q.used++
}

func (q *queue) front() *entry { return &q.ring[q.first] }

func (q *queue) pop() entry {
	e := q.ring[q.first]
	q.first = (q.first + 1) & (len(q.ring) - 1)
	q.used--
	return e
}

// bitset is one bit a port.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (b bitset) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }

func (b bitset) set(i int) { b[i/64] |= 1 << (i % 64) }

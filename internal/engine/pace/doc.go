// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package pace implements the pacing of the scan of one address: which port is tried next
// and when, the timeout of an attempt, the number of attempts, and the verdict on silence.
// It uses no socket and no clock: the caller passes events with their time, so tests run
// in simulated time against simulated networks.
//
// [Pacer] combines the policies, which have a file each:
//
//	next.go        the next attempt
//	order.go       order of the ports
//	window.go      congestion window: maximum number of unanswered attempts
//	ratelimit.go   maximum packet rates
//	timeout.go     round-trip times and timeouts (RFC 6298)
//	retry.go       number of attempts, and the evidence needed to report silence
//	loss.go        estimates of packet loss
//	rejects.go     evidence at hosts that reject by ICMP
//	canary.go      tests of the path during the scan, at closed ports
//	openports.go   checks at open ports, within max_open_attempts
//	unproven.go    results that a check or a canary has to verify, and bans
//	confirm.go     filters that reject attempts beyond a rate
//	known.go       bans that have lasted since the last scan
//	late.go        answers after the timeout
//	quota.go       rate limits of ICMP errors (UDP)
//	vouch.go       evidence of silence under these limits (UDP)
//	localerror.go  attempts that this machine could not make
package pace

import (
	"time"

	"portscan_exporter/internal/scan"
)

// instant is a time since the start of the scan.
type instant = time.Duration

// Kind selects the timeout of an attempt, see [Pacer.Timeout].
type Kind uint8

// The kinds of attempts.
const (
	Short  Kind = iota // a first attempt, which a retry follows
	Final              // an attempt whose silence can decide the port's state
	Full               // an attempt with the complete port_timeout
	Retry              // a further attempt after one with the complete port_timeout
	Canary             // a test of the path at a port that has answered closed, or a check
)

// Kinds is the number of kinds.
const Kinds = 5

// Attempt is an attempt to make, see [Pacer.Next]. The caller returns it with its outcome.
type Attempt struct {
	Index uint16 // of the port, in the ascending order of the plan
	Kind  Kind

	sequence     uint32 // number of the attempt among those at the address
	number       uint8  // number of attempts at the port including this one; at most 255
	reported     uint8  // number of those that the next report must not have
	silences     uint8  // number of earlier silent ones that were made while the path worked
	fullSilences uint8  // number of those with the complete port_timeout
	full         bool   // it timed out after the complete port_timeout
	listened     uint16 // longest time that one of the silent ones listened, in milliseconds
	evidence     uint8  // of those, that they were not lost, in decibans
	beforeAnswer bool   // those were counted before the address first answered
	failures     uint8  // number of attempts that this machine could not make
	mark         uint16 // number of a canary's mark, of a check, or of a round, see [quota]
	confirms     bool   // it is that of a [confirmation]
	check        bool   // it is a check, see [openPorts]
	ended        bool   // the port was answered late while it was in a queue
	sentTick     uint32 // tick of the window at which it was sent

	vouched [senders]uint8 // evidence, in decibans, that the port draws no ICMP errors, by sender
}

// Answer is an answer to an attempt. ICMP is set for [scan.CauseICMP].
type Answer struct {
	State scan.State
	Cause scan.Cause
	ICMP  scan.ICMPError
}

// forgetSilences drops the evidence of earlier attempts.
func (t *Attempt) forgetSilences() {
	t.silences, t.fullSilences, t.evidence, t.vouched = 0, 0, 0, [senders]uint8{}
}

// IsRetry reports whether there were earlier attempts at the port in this scan, except
// for canaries.
func (t *Attempt) IsRetry() bool { return t.number > 1 && t.Kind != Canary }

// IsQuiet reports whether the port may well be open, because it is watched or has answered, or
// because its answers may have been late or lost.
func (t *Attempt) IsQuiet() bool { return t.Kind == Full || t.Kind == Retry || t.check }

// Variants is the maximum number of attempts at a port that are in flight at once, see
// [Attempt.Variant].
const Variants = 8

// Variant returns a number that distinguishes the attempts at a port that can be in flight
// at once, less than [Variants]. It is 0 for the first attempt.
func (t *Attempt) Variant() int {
	nth := int(t.number) - 1
	if t.Kind == Canary {
		nth = int(t.mark)
	}
	return (nth + nth/Variants) % Variants // canaries alternate between up to as many ports
}

// pendingAttempt is an attempt in a queue.
type pendingAttempt struct {
	Attempt

	sent instant // time of the attempt, or the earliest time of the next one
}

// queue is a FIFO queue in a ring buffer. The zero value is empty.
type queue struct {
	ring        []pendingAttempt
	first, used int
}

func (q *queue) push(e pendingAttempt) {
	if q.used == len(q.ring) {
		bigger := make([]pendingAttempt, max(64, 2*len(q.ring)))
		n := copy(bigger, q.ring[q.first:])
		copy(bigger[n:], q.ring[:q.first])
		q.ring, q.first = bigger, 0
	}
	q.ring[(q.first+q.used)&(len(q.ring)-1)] = e
	q.used++
}

func (q *queue) front() *pendingAttempt { return &q.ring[q.first] }

func (q *queue) last() *pendingAttempt { return &q.ring[(q.first+q.used-1)&(len(q.ring)-1)] }

func (q *queue) popLast() pendingAttempt {
	e := *q.last()
	q.used--
	return e
}

func (q *queue) pop() pendingAttempt {
	e := q.ring[q.first]
	q.first = (q.first + 1) & (len(q.ring) - 1)
	q.used--
	return e
}

// bitset has one bit per port.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (b bitset) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }

func (b bitset) set(i int) { b[i/64] |= 1 << (i % 64) }

func (b bitset) clear(i int) { b[i/64] &^= 1 << (i % 64) }

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

// testimony makes canaries that were sent every 100 ms from 100 ms on, with what
// became of them.
func testimony(results ...outcome) *canaries {
	c := new(canaries)
	places := make([]uint16, len(results))
	for i := range results {
		places[i] = c.add(time.Duration(i+1)*100*ms, pending)
	}
	for i, r := range results {
		if r != pending {
			c.settle(places[i], time.Duration(i+1)*100*ms, r)
		}
	}
	return c
}

// TestProof asks what an attempt's silence is worth: only as much as the path
// was, before it and after.
func TestProof(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		results []outcome
		sent    time.Duration
		want    outcome
	}{
		"between answers":              {[]outcome{answered, answered}, 150 * ms, answered},
		"with the first":               {[]outcome{answered, answered}, 100 * ms, answered},
		"before the first":             {[]outcome{answered, answered}, 50 * ms, missed},
		"after the last":               {[]outcome{answered, answered}, 250 * ms, pending},
		"with the last":                {[]outcome{answered, answered}, 200 * ms, pending},
		"nothing was sent":             {nil, 50 * ms, pending},
		"missed before":                {[]outcome{missed, answered}, 150 * ms, missed},
		"missed after":                 {[]outcome{answered, missed}, 150 * ms, missed},
		"missed on both sides":         {[]outcome{missed, missed}, 150 * ms, missed},
		"the next is on its way":       {[]outcome{answered, pending}, 150 * ms, pending},
		"the one before is on its way": {[]outcome{pending, answered}, 150 * ms, pending},
		"missed well before":           {[]outcome{missed, answered, answered}, 250 * ms, answered},
		"missed well after":            {[]outcome{answered, answered, missed}, 150 * ms, answered},
	} {
		if got := testimony(tc.results...).proof(tc.sent); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

// TestProofOfLongAgo asks after more marks than are kept: what is too old to be
// known must not be taken for proven, and what is recent must still be known.
func TestProofOfLongAgo(t *testing.T) {
	t.Parallel()
	results := slices.Repeat([]outcome{answered}, 5*marksKept/2)
	c := testimony(results...)
	at := func(mark int) time.Duration { return time.Duration(mark+1)*100*ms + 50*ms }
	for mark, want := range map[int]outcome{
		0: missed, 10: missed, len(results) - marksKept - 2: missed,
		len(results) - marksKept: answered, len(results) - 2: answered, len(results) - 1: pending,
	} {
		if got := c.proof(at(mark)); got != want {
			t.Errorf("after mark %d of %d: %d, want %d", mark, len(results), got, want)
		}
	}
}

// TestResetsArePreferred has a port that refuses push out those that accept: to
// ask it again disturbs no service.
func TestResetsArePreferred(t *testing.T) {
	t.Parallel()
	var c canaries
	picks := func() []uint16 {
		var all []uint16
		for range 50 {
			all = append(all, c.pick())
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	if c.known() {
		t.Error("a port is known before one was offered")
	}
	c.offer(5, false)
	c.offer(6, false)
	if got := picks(); !slices.Equal(got, []uint16{5, 6}) || c.every() != openCanaryEvery {
		t.Errorf("of open ports %v are asked every %v", got, c.every())
	}
	c.offer(7, true)
	c.offer(8, false)
	if got := picks(); !slices.Equal(got, []uint16{7}) || c.every() != canaryEvery {
		t.Errorf("with a port that refuses, %v are asked every %v; want it alone", got, c.every())
	}
	for i := range uint16(20) {
		c.offer(100+i, true)
	}
	if got := picks(); !slices.Equal(got, []uint16{112, 113, 114, 115, 116, 117, 118, 119}) {
		t.Errorf("after many others %v are asked, want the latest eight", got)
	}
}

// TestDarkAndGone counts canaries missed in a row. Only an attempt that was made
// after the first of them can say that the address is there again.
func TestDarkAndGone(t *testing.T) {
	t.Parallel()
	var c canaries
	miss := func(sent time.Duration) { c.settle(c.add(sent, pending), sent, missed) }
	for i := range darkMisses {
		if c.dark() {
			t.Errorf("dark after %d misses", i)
		}
		miss(time.Duration(1000+i*100) * ms)
	}
	c.heard(900 * ms)
	if !c.dark() {
		t.Errorf("after %d misses in a row, and an answer to what was sent before them: not dark", darkMisses)
	}
	c.heard(1050 * ms)
	if c.dark() {
		t.Error("dark after an answer to what was sent meanwhile")
	}
	for i := range goneMisses {
		if c.gone(time.Hour) {
			t.Errorf("gone after %d misses", i)
		}
		miss(time.Duration(5000+i*100) * ms)
	}
	if c.gone(5*time.Second + goneAfter - 1) {
		t.Errorf("gone within %v of the first miss", goneAfter)
	}
	if !c.gone(5*time.Second + goneAfter) {
		t.Errorf("%d misses in a row and %v after the first: not gone", goneMisses, goneAfter)
	}
}

// TestLossInOrder settles canaries in the order in which their fates are known:
// answers at once, losses after a while. That must not make the share too low.
func TestLossInOrder(t *testing.T) {
	t.Parallel()
	var c canaries
	place := make([]uint16, 4)
	for i := range place {
		place[i] = c.add(time.Duration(i)*50*ms, pending)
	}
	for i := range place[1:] {
		c.settle(place[i+1], time.Duration(i+1)*50*ms, answered)
	}
	if got := c.loss(300 * ms); got != 0 || c.sentInAll != 0 {
		t.Errorf("%v of %d is lost while the first is on its way; want nothing to be counted", got, c.sentInAll)
	}
	if got := c.proof(120 * ms); got != pending {
		t.Errorf("proof of what came after it is %d, want that it is pending", got)
	}
	c.settle(place[0], 0, missed)
	if got, all := c.loss(300*ms), c.lossInAll(); got != 0.25 || all != 0.25 {
		t.Errorf("%v and %v in all is lost, want one of four", got, all)
	}
}

// TestLossFades forgets old losses by halves, and remembers them in all.
func TestLossFades(t *testing.T) {
	t.Parallel()
	results := append(slices.Repeat([]outcome{missed}, 16), slices.Repeat([]outcome{answered}, 16)...)
	c := testimony(results...)
	if got := c.loss(900 * ms); got != 0.5 {
		t.Errorf("the share is %v, want half", got)
	}
	c.loss(1100 * ms) // forgets 16 of 32, 8 of them lost
	for i := range 16 {
		sent := 4*time.Second + time.Duration(i)*50*ms
		c.settle(c.add(sent, pending), sent, answered)
	}
	if got := c.loss(1200 * ms); got != 0.25 {
		t.Errorf("after a second and 16 more answers the share is %v, want a quarter", got)
	}
	if got := c.lossInAll(); got != 1.0/3 {
		t.Errorf("the share in all is %v, want a third", got)
	}
}

// TestManyCanaries makes more than there is room for before any is settled.
func TestManyCanaries(t *testing.T) {
	t.Parallel()
	c := testimony(slices.Repeat([]outcome{pending}, 3*marksKept)...)
	last := 3 * marksKept
	if got := c.lastSent(); got != time.Duration(last)*100*ms {
		t.Errorf("the last was sent at %v", got)
	}
	if got := c.proof(time.Duration(last-1) * 100 * ms); got != pending {
		t.Errorf("with all on their way, proof is %d", got)
	}
	for i := range 2 * marksKept {
		c.settle(uint16(i), 0, answered) // too old to mean anything
	}
	if got := c.proof(time.Duration(last-1) * 100 * ms); got != pending || c.sentInAll != 0 {
		t.Errorf("marks that are gone were settled, and proof is %d of %d", got, c.sentInAll)
	}
	for i := 2 * marksKept; i < last; i++ {
		c.settle(uint16(i), 0, answered) // the ring is full of the latest
	}
	if got := c.proof(time.Duration(last-1) * 100 * ms); got != answered {
		t.Errorf("with the latest answered, proof is %d", got)
	}
	if c.sentInAll != marksKept {
		t.Errorf("%d were counted, want the %d that are kept", c.sentInAll, marksKept)
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

// newCanaries returns canaries that were sent every 100 ms from 100 ms on, with the given
// outcomes.
func newCanaries(outcomes ...outcome) *canaries {
	c := new(canaries)
	marks := make([]uint16, len(outcomes))
	for i := range outcomes {
		marks[i] = c.add(time.Duration(i+1)*100*ms, pending)
	}
	for i, o := range outcomes {
		if o != pending {
			c.settle(marks[i], time.Duration(i+1)*100*ms, o)
		}
	}
	return c
}

// TestProof requires that the path counts as working at the time of an attempt only if the
// canaries directly before and after it were answered.
func TestProof(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		outcomes []outcome
		sent     time.Duration
		want     outcome
	}{
		"between answers":      {[]outcome{answered, answered}, 150 * ms, answered},
		"with the first":       {[]outcome{answered, answered}, 100 * ms, answered},
		"before the first":     {[]outcome{answered, answered}, 50 * ms, missed},
		"after the last":       {[]outcome{answered, answered}, 250 * ms, pending},
		"with the last":        {[]outcome{answered, answered}, 200 * ms, pending},
		"no canary":            {nil, 50 * ms, pending},
		"missed before":        {[]outcome{missed, answered}, 150 * ms, missed},
		"missed after":         {[]outcome{answered, missed}, 150 * ms, missed},
		"missed on both sides": {[]outcome{missed, missed}, 150 * ms, missed},
		"next is pending":      {[]outcome{answered, pending}, 150 * ms, pending},
		"previous is pending":  {[]outcome{pending, answered}, 150 * ms, pending},
		"missed well before":   {[]outcome{missed, answered, answered}, 250 * ms, answered},
		"missed well after":    {[]outcome{answered, answered, missed}, 150 * ms, answered},
	} {
		if got := newCanaries(tc.outcomes...).proof(tc.sent); got != tc.want {
			t.Errorf("%s: proof(%v) = %d, want %d", name, tc.sent, got, tc.want)
		}
	}
}

// TestProofBeyondMaxMarks sends more canaries than are stored. An attempt from before the
// stored ones must not count as proven, and one from between them must.
func TestProofBeyondMaxMarks(t *testing.T) {
	t.Parallel()
	outcomes := slices.Repeat([]outcome{answered}, 5*maxMarks/2)
	c := newCanaries(outcomes...)
	at := func(mark int) time.Duration { return time.Duration(mark+1)*100*ms + 50*ms }
	for mark, want := range map[int]outcome{
		0: missed, 10: missed, len(outcomes) - maxMarks - 2: missed,
		len(outcomes) - maxMarks: answered, len(outcomes) - 2: answered, len(outcomes) - 1: pending,
	} {
		if got := c.proof(at(mark)); got != want {
			t.Errorf("after mark %d of %d: proof(%v) = %d, want %d", mark, len(outcomes), at(mark), got, want)
		}
	}
}

// TestCanariesToLatestPorts adds closed ports, and requires that canaries are sent to the
// latest eight.
func TestCanariesToLatestPorts(t *testing.T) {
	t.Parallel()
	var c canaries
	if c.isKnown() {
		t.Error("isKnown() = true without a port, want false")
	}
	for i := range uint16(20) {
		c.addPort(100 + i)
	}
	var picks []uint16
	for range 50 {
		picks = append(picks, c.pick())
	}
	slices.Sort(picks)
	if got := slices.Compact(picks); !slices.Equal(got, []uint16{112, 113, 114, 115, 116, 117, 118, 119}) {
		t.Errorf("got canaries to ports %v, want the latest eight of 100 to 119", got)
	}
}

// TestCanariesToOnePort has one port answer again and again: it stays one port, so that all
// canaries in flight are of different variants.
func TestCanariesToOnePort(t *testing.T) {
	t.Parallel()
	var c canaries
	c.addPort(5)
	used := make(map[int]bool)
	for !c.isCrowded() && len(used) <= Variants {
		c.addPort(5)
		canary := Attempt{Index: c.pick(), Kind: Canary, mark: c.add(0, pending)}
		if used[canary.Variant()] {
			t.Fatalf("two canaries in flight are of variant %d", canary.Variant())
		}
		used[canary.Variant()] = true
	}
	if len(used) < 2 {
		t.Errorf("canaries in flight = %d, want several", len(used))
	}
}

// TestCanariesMissedInRow misses canaries in a row, and requires that the address counts as
// silent and then as gone. Only an answer to an attempt made after the first miss ends the
// row.
func TestCanariesMissedInRow(t *testing.T) {
	t.Parallel()
	var c canaries
	miss := func(sent time.Duration) { c.settle(c.add(sent, pending), sent, missed) }
	for i := range darkMisses {
		if c.isSilent() {
			t.Errorf("isSilent() = true after %d misses, want false", i)
		}
		miss(time.Duration(1000+i*100) * ms)
	}
	c.noteAnswer(900 * ms)
	if !c.isSilent() {
		t.Errorf("isSilent() = false after %d misses and an answer to an earlier attempt, want true", darkMisses)
	}
	c.noteAnswer(1050 * ms)
	if c.isSilent() {
		t.Error("isSilent() = true after an answer to an attempt between the misses, want false")
	}
	for i := range goneMisses {
		if c.isGone(time.Hour) {
			t.Errorf("isGone() = true after %d misses, want false", i)
		}
		miss(time.Duration(5000+i*100) * ms)
	}
	if c.isGone(5*time.Second + goneAfter - 1) {
		t.Errorf("isGone() = true within %v of the first miss, want false", goneAfter)
	}
	if !c.isGone(5*time.Second + goneAfter) {
		t.Errorf("isGone() = false after %d misses and %v, want true", goneMisses, goneAfter)
	}
}

// TestCanaryLossCountedInOrder settles later canaries before the first, since an answer
// arrives before a miss is detected. They must not be counted until the first is settled:
// the loss would be estimated too low.
func TestCanaryLossCountedInOrder(t *testing.T) {
	t.Parallel()
	var c canaries
	marks := make([]uint16, 4)
	for i := range marks {
		marks[i] = c.add(time.Duration(i)*50*ms, pending)
	}
	for i := range marks[1:] {
		c.settle(marks[i+1], time.Duration(i+1)*50*ms, answered)
	}
	if got := c.recentLoss(300 * ms); got != 0 || c.totalSent != 0 {
		t.Errorf("first canary pending: got loss %v of %d canaries, want 0 of 0", got, c.totalSent)
	}
	if got := c.proof(120 * ms); got != pending {
		t.Errorf("first canary pending: proof(120ms) = %d, want %d", got, pending)
	}
	c.settle(marks[0], 0, missed)
	if got, total := c.recentLoss(300*ms), c.totalLoss(); got != 0.25 || total != 0.25 {
		t.Errorf("got recent loss %v and total loss %v, want 0.25 and 0.25", got, total)
	}
}

// TestCanaryLossDecays requires that the recent loss counts each canary half as much after
// a second, and that the total loss counts all canaries alike.
func TestCanaryLossDecays(t *testing.T) {
	t.Parallel()
	outcomes := append(slices.Repeat([]outcome{missed}, 16), slices.Repeat([]outcome{answered}, 16)...)
	c := newCanaries(outcomes...)
	if got := c.recentLoss(900 * ms); got != 0.5 {
		t.Errorf("recentLoss(900ms) = %v, want 0.5", got)
	}
	c.recentLoss(1100 * ms) // halves the counts to 16 canaries, 8 of them missed
	for i := range 16 {
		sent := 4*time.Second + time.Duration(i)*50*ms
		c.settle(c.add(sent, pending), sent, answered)
	}
	if got := c.recentLoss(1200 * ms); got != 0.25 {
		t.Errorf("after 16 more answers: recentLoss(1.2s) = %v, want 0.25", got)
	}
	if got := c.totalLoss(); got != 1.0/3 {
		t.Errorf("totalLoss() = %v, want %v", got, 1.0/3)
	}
}

// TestCanariesBeyondMaxMarks adds three times as many pending canaries as are stored, and
// settles them. Those that are no longer stored must have no effect.
func TestCanariesBeyondMaxMarks(t *testing.T) {
	t.Parallel()
	c := newCanaries(slices.Repeat([]outcome{pending}, 3*maxMarks)...)
	last := 3 * maxMarks
	beforeLast := time.Duration(last-1) * 100 * ms
	if got, want := c.lastSent(), time.Duration(last)*100*ms; got != want {
		t.Errorf("lastSent() = %v, want %v", got, want)
	}
	if got := c.proof(beforeLast); got != pending {
		t.Errorf("all canaries pending: proof(%v) = %d, want %d", beforeLast, got, pending)
	}
	for i := range 2 * maxMarks {
		c.settle(uint16(i), 0, answered) // no longer stored
	}
	if got := c.proof(beforeLast); got != pending || c.totalSent != 0 {
		t.Errorf("stored canaries pending: got proof %d with %d canaries counted, want %d with 0", got, c.totalSent, pending)
	}
	for i := 2 * maxMarks; i < last; i++ {
		c.settle(uint16(i), 0, answered) // stored
	}
	if got := c.proof(beforeLast); got != answered {
		t.Errorf("stored canaries answered: proof(%v) = %d, want %d", beforeLast, got, answered)
	}
	if c.totalSent != maxMarks {
		t.Errorf("got %d canaries counted, want %d", c.totalSent, maxMarks)
	}
}

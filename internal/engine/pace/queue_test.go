// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestQueueKeepsOrder compares a queue with a slice during random pushes and pops, so that
// the ring grows with its first entry at various positions.
func TestQueueKeepsOrder(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		var q queue
		var want []uint16
		next := uint16(0)
		for range 2000 {
			if random.IntN(5) < 3 || len(want) == 0 {
				q.push(pendingAttempt{Attempt{Index: next}, time.Duration(next)})
				want = append(want, next)
				next++
			} else {
				front := q.front().Index
				if e := q.pop(); e.Index != want[0] || e.sent != time.Duration(want[0]) || front != want[0] {
					t.Fatalf("got front %d and popped %d, want %d", front, e.Index, want[0])
				}
				want = want[1:]
			}
			if q.used != len(want) {
				t.Fatalf("got %d entries, want %d", q.used, len(want))
			}
		}
	}
}

// TestQueueReusesRing pushes and pops 10,000 entries one by one, and requires that the ring
// does not grow beyond its initial size.
func TestQueueReusesRing(t *testing.T) {
	t.Parallel()
	var q queue
	for i := range uint16(10000) {
		q.push(pendingAttempt{Attempt: Attempt{Index: i}})
		if got := q.pop().Index; got != i {
			t.Fatalf("got entry %d, want %d", got, i)
		}
	}
	if len(q.ring) > 64 {
		t.Errorf("got a ring of %d entries, want at most 64", len(q.ring))
	}
}

func TestBitset(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 63, 64, 65, 1000, 65535} {
		b := newBitset(n)
		for i := 0; i < n; i += 7 {
			b.set(i)
			b.set(i) // has no further effect
		}
		for i := range n {
			if b.has(i) != (i%7 == 0) {
				t.Fatalf("newBitset(%d): has(%d) = %v, want %v", n, i, b.has(i), i%7 == 0)
			}
		}
	}
}

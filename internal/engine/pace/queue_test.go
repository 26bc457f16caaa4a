// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestQueueKeepsOrder compares a queue with a slice, while it grows at every
// place that its ring can be turned to.
func TestQueueKeepsOrder(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		var q queue
		var plain []uint16
		next := uint16(0)
		for range 2000 {
			if random.IntN(5) < 3 || len(plain) == 0 {
				q.push(entry{Try{Index: next}, time.Duration(next)})
				plain = append(plain, next)
				next++
			} else {
				front := q.front().Index
				if e := q.pop(); e.Index != plain[0] || e.sent != time.Duration(plain[0]) || front != plain[0] {
					t.Fatalf("%d came out after %d at the front, want %d", e.Index, front, plain[0])
				}
				plain = plain[1:]
			}
			if q.used != len(plain) {
				t.Fatalf("%d are said to be in it, want %d", q.used, len(plain))
			}
		}
	}
}

// TestQueueReusesItsRing has few entries pass through: what is kept must not
// grow with how many there were.
func TestQueueReusesItsRing(t *testing.T) {
	t.Parallel()
	var q queue
	for i := range uint16(10000) {
		q.push(entry{Try: Try{Index: i}})
		if got := q.pop().Index; got != i {
			t.Fatalf("%d came out, want %d", got, i)
		}
	}
	if len(q.ring) > 64 {
		t.Errorf("%d entries are kept room for, and there was one at a time", len(q.ring))
	}
}

func TestBitset(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 63, 64, 65, 1000, 65535} {
		b := newBitset(n)
		for i := 0; i < n; i += 7 {
			b.set(i)
			b.set(i) // again changes nothing
		}
		for i := range n {
			if b.has(i) != (i%7 == 0) {
				t.Fatalf("bit %d of %d is %v", i, n, b.has(i))
			}
		}
	}
}

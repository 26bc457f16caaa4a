// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"math/bits"

	"portscan_exporter/internal/scan"
)

// Order is the order in which the ports of a plan are tried: those that must or
// may be open, or were so before, first, so that a scan that is cut off has learnt what matters,
// then the rest; each part shuffled, since firewalls take a rising sequence for
// an attack. It takes a bit a port, and may be used concurrently.
type Order struct {
	declared      bitset
	declaredCount int
	ports         int
	width         int // bits of the smallest power of two that holds all indexes
}

// NewOrder returns the order of the plan's ports.
func NewOrder(plan scan.Plan) *Order {
	n := plan.Ports().Len()
	o := &Order{declared: newBitset(n), ports: n, width: bits.Len(uint(max(1, n-1)))}
	i := 0
	for port := range plan.Ports().All() {
		if plan.Watched(port) {
			o.declared.set(i)
			o.declaredCount++
		}
		i++
	}
	return o
}

// cursor walks an order once, from a seed.
type cursor struct {
	order  *Order
	seed   uint32
	second bool // past the declared ports
	at     uint32
}

// next returns the next index, and whether it is a declared port's; ok is false
// at the end.
func (c *cursor) next() (index int, declared, ok bool) {
	for {
		if !c.second && (c.order.declaredCount == 0 || c.at >= 1<<c.order.width) {
			c.second, c.at = true, 0
		}
		if c.at >= 1<<c.order.width {
			return 0, false, false
		}
		i := int(shuffle(c.at, c.seed, c.order.width))
		c.at++
		if i < c.order.ports && c.order.declared.has(i) != c.second {
			return i, !c.second, true
		}
	}
}

// ended tells whether every index has been given out; it may be late in saying
// so, by indexes that next will skip.
func (c *cursor) ended() bool { return c.second && c.at >= 1<<c.order.width }

// shuffle maps the numbers of so many bits onto themselves, each onto one: every
// step (exclusive or, an odd factor, a shift folded in) can be undone. A random
// permutation would have to be kept; this one costs three nanoseconds.
func shuffle(x, seed uint32, width int) uint32 {
	mask := uint32(1)<<width - 1
	half := (width + 1) / 2
	x = (x ^ seed) & mask
	x = x * 0x9E3779B1 & mask // Knuth's multiplier, odd
	x ^= x >> half
	x = x * (seed>>16<<1 | 0x85EBCA6B) & mask
	x ^= x >> half
	return (x + seed>>8) & mask
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"math/bits"

	"portscan_exporter/internal/scan"
)

// Order is the order in which the ports of a plan are tried: watched ports first, see
// [scan.Plan.Watched], so that an incomplete scan has tried the most important ones, and then
// the ports of common services, which are then known before a filter blocks the scanner. Each
// group is shuffled, because firewalls detect ascending sequences as attacks. It needs a few
// bits per port and may be used concurrently.
type Order struct {
	groups [lastGroup]bitset // nil: empty
	ports  int
	width  int // number of bits of an index
}

// The groups of ports, in the order in which they are tried.
const (
	watchedGroup = iota
	commonGroup
	lastGroup // all other ports
)

// isCommon reports whether services on the TCP port are common.
func isCommon(port uint16) bool {
	switch port {
	case 21, 22, 23, 25, 53, 80, 110, 111, 135, 139, 143, 389, 443, 445, 465, 512, 513, 514, 587, 631, 636, 873, 993, 995,
		1080, 1433, 1521, 1723, 1883, 2049, 2181, 2375, 2376, 2379, 3000, 3128, 3268, 3306, 3389, 4369, 5000, 5060, 5222, 5432, 5601, 5672,
		5900, 5984, 5985, 5986, 6379, 6443, 7001, 8000, 8008, 8080, 8081, 8086, 8088, 8443, 8500, 8883, 8888, 9000, 9042, 9090, 9092, 9093,
		9100, 9200, 9300, 9418, 10000, 10050, 10250, 11211, 15672, 27017:
		return true
	default:
		return false
	}
}

// NewOrder returns the order of the plan's ports.
func NewOrder(plan scan.Plan) *Order {
	n := plan.Ports().Len()
	o := &Order{ports: n, width: bits.Len(uint(max(1, n-1)))}
	i := 0
	for port := range plan.Ports().All() {
		switch {
		case plan.Watched(port):
			o.add(watchedGroup, i)
		case plan.Spec().Protocol == scan.TCP && isCommon(port):
			o.add(commonGroup, i)
		}
		i++
	}
	return o
}

func (o *Order) add(group, index int) {
	if o.groups[group] == nil {
		o.groups[group] = newBitset(o.ports)
	}
	o.groups[group].set(index)
}

// group returns the group of an index.
func (o *Order) group(index int) int {
	for g := range o.groups {
		if o.groups[g] != nil && o.groups[g].has(index) {
			return g
		}
	}
	return lastGroup
}

// cursor iterates over an order once, shuffled by a seed.
type cursor struct {
	order *Order
	seed  uint32
	group int
	at    uint32
}

// next returns the next index, and whether its port is watched; ok is false at the end.
func (c *cursor) next() (index int, watched, ok bool) {
	for {
		if c.group < lastGroup && (c.order.groups[c.group] == nil || c.at >= 1<<c.order.width) {
			c.group, c.at = c.group+1, 0
			continue
		}
		if c.at >= 1<<c.order.width {
			return 0, false, false
		}
		i := int(shuffle(c.at, c.seed, c.order.width))
		c.at++
		if i < c.order.ports && c.order.group(i) == c.group {
			return i, c.group == watchedGroup, true
		}
	}
}

// isDone reports whether next has returned every index. It can be false while only
// indexes are left that next skips.
func (c *cursor) isDone() bool { return c.group == lastGroup && c.at >= 1<<c.order.width }

// shuffle is a permutation of the numbers of width bits: each step (exclusive or, odd
// factor, xorshift) is invertible. It needs no memory and takes three nanoseconds.
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

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"container/heap"
	"sync"
	"time"
)

// delayedPacket is a packet that waits to be sent.
type delayedPacket struct {
	due    time.Time
	number uint64 // order of packets that are due at the same time
	packet []byte
}

// packetHeap is a heap with the packet that is due next on top.
type packetHeap []delayedPacket

// Len implements heap.Interface.
func (h *packetHeap) Len() int { return len(*h) }

// Less implements heap.Interface.
func (h *packetHeap) Less(i, j int) bool {
	a, b := &(*h)[i], &(*h)[j]
	if a.due.Equal(b.due) {
		return a.number < b.number
	}
	return a.due.Before(b.due)
}

// Swap implements heap.Interface.
func (h *packetHeap) Swap(i, j int) { (*h)[i], (*h)[j] = (*h)[j], (*h)[i] }

// Push implements heap.Interface.
func (h *packetHeap) Push(x any) { *h = append(*h, x.(delayedPacket)) } //nolint:forcetypeassert // the only type in the heap

// Pop implements heap.Interface.
func (h *packetHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = delayedPacket{} // release the packet
	*h = (*h)[:last]
	return x
}

// delayer sends packets when they are due.
type delayer struct {
	send  func([]byte)
	limit int // maximum number of waiting packets; 0: unlimited
	wake  chan struct{}
	quit  chan struct{}

	mu      sync.Mutex
	waiting packetHeap
	number  uint64
}

func newDelayer(limit int, send func([]byte)) *delayer {
	return &delayer{send: send, limit: limit, wake: make(chan struct{}, 1), quit: make(chan struct{})}
}

// add sends the packet after the delay. It reports whether the queue had space.
func (d *delayer) add(packet []byte, delay time.Duration) bool {
	if delay <= 0 {
		d.send(packet)
		return true
	}
	d.mu.Lock()
	if d.limit > 0 && len(d.waiting) >= d.limit {
		d.mu.Unlock()
		return false
	}
	d.number++
	heap.Push(&d.waiting, delayedPacket{due: time.Now().Add(delay), number: d.number, packet: packet})
	first := d.waiting[0].number == d.number
	d.mu.Unlock()
	if first {
		select {
		case d.wake <- struct{}{}:
		default: // already signaled
		}
	}
	return true
}

// run sends packets until stop.
func (d *delayer) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		packet, wait := d.next()
		if packet != nil {
			d.send(packet)
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-d.wake:
		case <-d.quit:
			return
		}
	}
}

// next returns a packet that is due, or the time until one is.
func (d *delayer) next() (packet []byte, wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting) == 0 {
		return nil, time.Hour
	}
	if wait := time.Until(d.waiting[0].due); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&d.waiting).(delayedPacket).packet, 0 //nolint:forcetypeassert // the only type in the heap
}

// stop stops run and discards waiting packets.
func (d *delayer) stop() { close(d.quit) }

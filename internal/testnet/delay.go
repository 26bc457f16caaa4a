package testnet

import (
	"container/heap"
	"sync"
	"time"
)

// later is what waits for its time to be sent.
type later struct {
	due    time.Time
	number uint64 // of two that are due together the earlier goes first
	packet []byte
}

// laters is a heap of them, the next on top.
type laters []later

// Len is for container/heap, as are the others.
func (l *laters) Len() int { return len(*l) }

// Less tells which is due first.
func (l *laters) Less(i, j int) bool {
	a, b := &(*l)[i], &(*l)[j]
	if a.due.Equal(b.due) {
		return a.number < b.number
	}
	return a.due.Before(b.due)
}

// Swap changes the places of two.
func (l *laters) Swap(i, j int) { (*l)[i], (*l)[j] = (*l)[j], (*l)[i] }

// Push adds one.
func (l *laters) Push(x any) { *l = append(*l, x.(later)) } //nolint:forcetypeassert // we alone push

// Pop takes the last away.
func (l *laters) Pop() any {
	last := len(*l) - 1
	x := (*l)[last]
	(*l)[last] = later{} // let go of the packet
	*l = (*l)[:last]
	return x
}

// delayer sends packets when they are due.
type delayer struct {
	send func([]byte)
	most int // that may wait; 0: any number
	wake chan struct{}
	quit chan struct{}

	mu      sync.Mutex
	waiting laters
	number  uint64
}

func newDelayer(most int, send func([]byte)) *delayer {
	return &delayer{send: send, most: most, wake: make(chan struct{}, 1), quit: make(chan struct{})}
}

// add lets the packet wait for so long, and tells whether there was room for it.
func (d *delayer) add(packet []byte, delay time.Duration) bool {
	if delay <= 0 {
		d.send(packet)
		return true
	}
	d.mu.Lock()
	if d.most > 0 && len(d.waiting) >= d.most {
		d.mu.Unlock()
		return false
	}
	d.number++
	heap.Push(&d.waiting, later{due: time.Now().Add(delay), number: d.number, packet: packet})
	first := d.waiting[0].number == d.number
	d.mu.Unlock()
	if first {
		select {
		case d.wake <- struct{}{}:
		default: // it is awake
		}
	}
	return true
}

// run sends until stop.
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

// next returns the packet that is due, or how long it takes until one is.
func (d *delayer) next() (packet []byte, wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting) == 0 {
		return nil, time.Hour
	}
	if wait := time.Until(d.waiting[0].due); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&d.waiting).(later).packet, 0 //nolint:forcetypeassert // we alone push
}

// stop ends run; what still waits is never sent.
func (d *delayer) stop() { close(d.quit) }

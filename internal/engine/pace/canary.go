// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"time"

	"portscan_exporter/internal/scan"
)

const (
	// canaryEvery is the least time between canaries at ports that answer with a
	// RST, which cost the target nothing.
	canaryEvery = 50 * time.Millisecond

	// openCanaryEvery is the same where only open ports have answered: each
	// canary is a connection that a service sees come and go.
	openCanaryEvery = 200 * time.Millisecond

	// darkMisses canaries in a row without an answer from any port stop the scan
	// of the address until one is answered.
	darkMisses = 3

	// goneMisses canaries in a row and goneAfter without any answer mean that the
	// address has died or banned us.
	goneMisses = 6
	goneAfter  = 2 * time.Second

	// early is how far before the first answer's arrival the path is taken to have
	// worked already. Before that, packets may have waited for a hardware address
	// and been dropped.
	early = 20 * time.Millisecond
)

// outcome of a canary.
type outcome uint8

const (
	pending outcome = iota
	answered
	missed
	untold // our own side gave it up: nothing is proven, and nothing lost
)

// mark is a moment at which the path was tested.
type mark struct {
	sent   instant
	result outcome
}

const marksKept = 64 // at 20 a second, more than three seconds of them

// canaries tell silence that means something from a path that did not work:
// they go, all through a scan, to ports that have answered before.
type canaries struct {
	ports  [8]uint16 // that have answered, the latest ones
	found  int       // how many were offered
	next   int
	resets bool // the ports answer with a RST

	marks  [marksKept]mark
	newest int // of all marks made; mark i is at i % marksKept
	oldest int
	judged int // those before this one are settled

	inRow       int // canaries missed since anything answered
	firstMissed instant

	sent, lost float64 // of late: halved every second
	faded      instant
	sentInAll  int
	lostInAll  int
}

// offer adds a port that has answered. One that refuses is worth more than one
// that accepts: asking it again disturbs no service.
func (c *canaries) offer(index uint16, reset bool) {
	if reset && !c.resets {
		c.resets, c.found = true, 0
	}
	if reset == c.resets {
		c.ports[c.found%len(c.ports)] = index
		c.found++
	}
}

func (c *canaries) known() bool { return c.found > 0 }

// pick returns the port to ask next.
func (c *canaries) pick() uint16 {
	c.next++
	return c.ports[c.next%min(c.found, len(c.ports))]
}

func (c *canaries) every() time.Duration {
	if c.resets {
		return canaryEvery
	}
	return openCanaryEvery
}

// crowded tells whether so many canaries are under way to the same ports that their
// answers could not be told apart.
func (c *canaries) crowded() bool {
	const mostEach = 6
	return c.newest-c.judged >= mostEach*min(c.found, len(c.ports))
}

// add makes a mark and returns its number, which comes round again after 65,536
// others.
func (c *canaries) add(sent instant, result outcome) uint16 {
	number := uint16(c.newest) //nolint:gosec // it comes round
	c.marks[c.newest%marksKept] = mark{sent, result}
	c.newest++
	c.oldest = max(c.oldest, c.newest-marksKept)
	c.judged = max(c.judged, c.oldest)
	return number
}

// mark notes an ordinary attempt that was answered as a canary would have been,
// where they are so far apart that their answers come in order.
func (c *canaries) mark(sent instant) {
	if sent >= c.lastSent() && c.judged == c.newest {
		c.add(sent, answered)
		c.judged = c.newest
	}
}

// forget drops what was found of losses.
func (c *canaries) forget() {
	c.sent, c.lost, c.sentInAll, c.lostInAll, c.inRow = 0, 0, 0, 0, 0
}

// lastSent returns when the newest mark was made.
func (c *canaries) lastSent() instant {
	if c.newest == 0 {
		return -time.Hour
	}
	return c.marks[(c.newest-1)%marksKept].sent
}

// settle says what became of a canary. Its mark may have made room for others.
func (c *canaries) settle(number uint16, sent instant, result outcome) {
	if age := uint16(c.newest) - number; age <= marksKept { //nolint:gosec // it comes round
		c.marks[(c.newest-int(age))%marksKept].result = result
	}
	switch {
	case result == untold:
		c.inRow = 0
	case result == missed && c.inRow == 0:
		c.inRow, c.firstMissed = 1, sent
	case result == missed:
		c.inRow++
	}
	// In the order of their sending: an answer is known at once and a loss only
	// after a while, so that the latest to be settled are always the lucky ones.
	for ; c.judged < c.newest; c.judged++ {
		switch c.marks[c.judged%marksKept].result {
		case pending:
			return
		case untold:
			continue
		case missed:
			c.lost++
			c.lostInAll++
		case answered:
		}
		c.sent++
		c.sentInAll++
	}
}

// heard notes that an attempt made at sent was answered.
func (c *canaries) heard(sent instant) {
	if sent >= c.firstMissed {
		c.inRow = 0
	}
}

func (c *canaries) dark() bool { return c.inRow >= darkMisses }

func (c *canaries) gone(now instant) bool {
	return c.inRow >= goneMisses && now-c.firstMissed >= goneAfter
}

// proof tells whether the path worked around an attempt made at sent: whether
// the canaries before and after it were both answered. It is pending while the
// second has not been made or settled.
func (c *canaries) proof(sent instant) outcome {
	before := missed // earlier than all we know of
	for i := c.oldest; i < c.newest; i++ {
		m := c.marks[i%marksKept]
		if m.sent <= sent {
			before = m.result
			continue
		}
		switch {
		case i >= c.judged:
			return pending
		case before == answered && m.result == answered:
			return answered
		default:
			return missed
		}
	}
	return pending
}

// loss returns the share of canaries lost of late.
func (c *canaries) loss(now instant) float64 {
	for now-c.faded >= time.Second && c.faded < now {
		c.faded += time.Second
		if c.sent > 8 {
			c.sent, c.lost = c.sent/2, c.lost/2
		}
	}
	if c.sent == 0 {
		return 0
	}
	return c.lost / c.sent
}

// lossInAll returns the share of canaries lost since the start.
func (c *canaries) lossInAll() float64 {
	return float64(c.lostInAll) / float64(max(1, c.sentInAll))
}

// vouch notes a port that answers: silence around a later attempt at it means
// that the path does not work. With UDP that takes one that is said to be closed.
func (p *Path) vouch(now, sent instant, index uint16, state scan.State) {
	if p.udp && state != scan.Closed {
		return // it would prove nothing, and a service may answer only so often
	}
	if !p.canaries.known() {
		p.canaries.add(max(sent, now-early), answered)
	}
	p.canaries.offer(index, state == scan.Closed)
}

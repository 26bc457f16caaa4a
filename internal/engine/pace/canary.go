// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"slices"
	"time"

	"portscan_exporter/internal/scan"
)

const (
	// canaryInterval is the minimum time between canaries. They cost the target a RST.
	canaryInterval = 50 * time.Millisecond

	// darkMisses is the number of canaries in a row without an answer from any port
	// that stops the scan of the address until one is answered.
	darkMisses = 3

	// After goneMisses canaries in a row, and goneAfter without an answer, the host is
	// down or blocks the scanner.
	goneMisses = 6
	goneAfter  = 2 * time.Second

	// turnedAfter is that time if closed ports now answer with ICMP errors, which loss
	// does not explain.
	turnedAfter = 1500 * time.Millisecond

	// early is the time before the first answer from which the path is assumed to have
	// worked. Before it, packets may have been dropped while the neighbor was resolved.
	early = 20 * time.Millisecond
)

// outcome is the result of a canary.
type outcome uint8

const (
	pending outcome = iota
	answered
	missed
	inconclusive // given up by this machine: evidence of neither an answer nor a loss
)

// mark is a test of the path.
type mark struct {
	sent   instant
	result outcome
}

const maxMarks = 64 // at 20 a second, more than three seconds of them

// latestPorts are the latest ports that have answered in a certain way, for canaries.
type latestPorts struct {
	ports [8]uint16
	found int // number of such ports, also those that were replaced
	next  int
}

func (l *latestPorts) addPort(index uint16) {
	if !slices.Contains(l.ports[:min(l.found, len(l.ports))], index) {
		l.ports[l.found%len(l.ports)] = index
		l.found++
	}
}

// pick returns the port of the next canary.
func (l *latestPorts) pick() uint16 {
	l.next++
	return l.ports[l.next%min(l.found, len(l.ports))]
}

// canaries are attempts at ports that have answered closed, which disturb no service. They are
// made during the complete scan and separate the silence of a port from a path that does not
// work.
type canaries struct {
	latestPorts // that have answered closed

	marks  [maxMarks]mark
	newest int // number of marks made; mark i is at i % maxMarks
	oldest int
	judged int // number of the first mark that is not settled

	opened []uint16 // ports that answered open later

	missedInRow int // canaries missed since the address has answered
	turnedInRow int // those that were answered by an ICMP error
	firstMissed instant

	recent    recentCount
	totalSent int
	totalLost int
}

// noteOpened notes that a port answers open now, and reports whether it is a new one.
func (c *canaries) noteOpened(index uint16) bool {
	if len(c.opened) == len(c.ports) || slices.Contains(c.opened, index) {
		return false
	}
	c.opened = append(c.opened, index)
	return true
}

func (c *canaries) isKnown() bool { return c.found > 0 }

// isCrowded reports whether the ports have as many canaries in flight as can be
// distinguished, see [Variants].
func (c *canaries) isCrowded() bool {
	const mostEach = 6
	return c.newest-c.judged >= mostEach*min(c.found, len(c.ports))
}

// add adds a mark and returns its number modulo 65,536.
func (c *canaries) add(sent instant, result outcome) uint16 {
	number := uint16(c.newest) //nolint:gosec // modulo 65,536
	c.marks[c.newest%maxMarks] = mark{sent, result}
	c.newest++
	c.oldest = max(c.oldest, c.newest-maxMarks)
	c.judged = max(c.judged, c.oldest)
	return number
}

// lastSent returns the time of the newest mark.
func (c *canaries) lastSent() instant {
	if c.newest == 0 {
		return -time.Hour
	}
	return c.marks[(c.newest-1)%maxMarks].sent
}

// settle sets the outcome of a canary. Its mark may have been overwritten.
func (c *canaries) settle(number uint16, sent instant, result outcome) {
	if age := uint16(c.newest) - number; age <= maxMarks { //nolint:gosec // modulo 65,536
		c.marks[(c.newest-int(age))%maxMarks].result = result
	}
	switch {
	case result == inconclusive:
		c.missedInRow, c.turnedInRow = 0, 0
	case result == missed && c.missedInRow == 0:
		c.missedInRow, c.firstMissed = 1, sent
	case result == missed:
		c.missedInRow++
	}
	// Outcomes count in the order of sending. Answers arrive before losses are
	// detected, so the latest outcomes would underestimate the loss.
	for ; c.judged < c.newest; c.judged++ {
		switch outcome := c.marks[c.judged%maxMarks].result; outcome {
		case pending:
			return
		case inconclusive:
		case missed, answered:
			c.count(outcome == missed)
		}
	}
}

// count counts a canary or a check in the loss.
func (c *canaries) count(lost bool) {
	c.recent.add(lost)
	c.totalSent++
	if lost {
		c.totalLost++
	}
}

// noteAnswer notes an answer to an attempt that was made at sent.
func (c *canaries) noteAnswer(sent instant) {
	if sent >= c.firstMissed {
		c.missedInRow, c.turnedInRow = 0, 0
	}
}

func (c *canaries) isSilent() bool { return c.missedInRow >= darkMisses }

func (c *canaries) isGone(now instant) bool {
	after := goneAfter
	if c.turnedInRow > 0 {
		after = turnedAfter
	}
	return c.missedInRow >= goneMisses && now-c.firstMissed >= after
}

// proof returns whether the path worked at the time of an attempt: answered if both the
// canary before and the one after it were answered, pending until the second is settled.
func (c *canaries) proof(sent instant) outcome {
	before := missed // earlier than the oldest mark
	for i := c.oldest; i < c.newest; i++ {
		m := c.marks[i%maxMarks]
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

// recentLoss returns the ratio of canaries that were lost recently.
func (c *canaries) recentLoss(now instant) float64 {
	const keep = 8 // canaries, a few of which would be a small sample
	c.recent.decay(now, keep)
	if c.recent.all == 0 {
		return 0
	}
	return c.recent.lost / c.recent.all
}

// totalLoss returns the ratio of canaries that were lost since the start.
func (c *canaries) totalLoss() float64 {
	return float64(c.totalLost) / float64(max(1, c.totalSent))
}

// offerCanary adds a port that has answered to those of the canaries if it is closed.
func (p *Pacer) offerCanary(now, sent instant, t *Attempt, state scan.State) {
	if state != scan.Closed {
		p.noteOpen(now, sent, t)
		return
	}
	if !p.canaries.isKnown() {
		p.canaries.add(max(sent, now-early), answered)
		p.rejects.prove(sent) // as open ports have until now
	}
	p.canaries.addPort(t.Index)
}

// settleCanary handles the answer to a canary. A closed port that is now rejected is no evidence
// of the path: a filter may have blocked the scanner.
func (p *Pacer) settleCanary(now, sent instant, t *Attempt, a Answer) {
	switch {
	case p.udp:
		p.noteICMP(now, sent, t, a.State)
		result := answered
		if a.State == scan.Open { // without an ICMP error
			result = inconclusive
		}
		p.quota.settleCanary(sent, t.mark, result, p.roundLimit())
		return
	case a.State == scan.Filtered:
		p.missCanary(sent, t)
		p.canaries.turnedInRow++
		p.rejects.noteLimit()
		return
	}
	if a.State == scan.Open && p.canaries.noteOpened(t.Index) {
		p.reportControl(scan.Control{TurnedOpen: 1})
	}
	p.canaries.noteAnswer(sent)
	p.canaries.settle(t.mark, sent, answered)
	p.noteGoodCanary(sent)
	p.verifySilence(sent)
}

// missCanary handles a canary that was not answered.
func (p *Pacer) missCanary(sent instant, t *Attempt) {
	if p.udp {
		p.quota.settleCanary(sent, t.mark, missed, p.roundLimit())
		return
	}
	p.canaries.settle(t.mark, sent, missed)
	p.window.canariesMissed++
}

// settleInconclusive ends a canary or a check that this machine has not completed.
func (p *Pacer) settleInconclusive(sent instant, t *Attempt, made bool) {
	switch {
	case p.udp:
		p.quota.settleCanary(sent, t.mark, inconclusive, p.roundLimit())
		return
	case !t.check:
		p.canaries.settle(t.mark, sent, inconclusive)
		return
	}
	p.open.active = false
	if port := p.open.find(t.Index); port != nil && !made {
		port.attempts--
	}
}

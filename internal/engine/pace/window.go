// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import "time"

const (
	startWindow  = 16                      // until the first answer or timeout: neighbor resolution queues few packets
	firstWindow  = 64                      // after that
	floorWindow  = 64                      // minimum with packet loss
	lowestWindow = 4                       // minimum with a host that limits its answers
	boldWindow   = 512                     // maximum up to which silence lets the window grow fourfold
	maxLoss      = 0.5                     // of canaries; above it, the window follows the rate of answers
	acceptedFor  = 2 * time.Second         // for which findings about the path are valid
	slowFor      = 1500 * time.Millisecond // after which canaries show whether a lower rate helps
	lossyLook    = 100 * time.Millisecond  // minimum interval of adjustments on a lossy path, for enough answers
	tick         = 8 * time.Millisecond    // resolution of the ages of unanswered attempts
	ticks        = 128                     // of a second, longer than any short timeout
)

// window is a congestion window: it limits the number of recent unanswered attempts to
// the estimated capacity of the path and the target. An attempt leaves it after the short
// timeout, even if it is in flight for longer.
type window struct {
	size, limit int
	started     bool

	recent     [ticks]int32 // unanswered attempts by tick of sending
	tail       int64        // oldest tick in the window
	unanswered int
	spread     RateLimit
	paced      bool // attempts are spread evenly, at any size

	// Since the last adjustment:
	adjusted       instant
	full           bool
	sent, answers  int
	canariesMissed int

	// Effect of growing:
	before       float64 // answers a second at the last adjustment
	sizeBefore   int
	ceiling      int // size above which the rate of answers did not increase
	ceilingUntil instant

	// Effect of shrinking:
	halvings        int // since the first loss
	lossBefore      float64
	sizeBeforeLoss  int
	followed        instant // time since which the rate of answers is followed; 0: it is not
	lossAccepted    bool    // a lower rate has not helped
	lossAcceptedEnd instant
}

func newWindow(most int) window {
	return window{size: min(startWindow, most), limit: most, ceiling: most}
}

// allows reports whether another attempt may be made; hold is the short timeout.
func (w *window) allows(now instant, hold time.Duration) bool {
	from := max(int64((now-hold)/tick), int64(now/tick)-ticks+1)
	for ; w.tail < from; w.tail++ {
		w.unanswered -= int(w.recent[w.tail%ticks])
		w.recent[w.tail%ticks] = 0
	}
	if w.unanswered >= w.size {
		w.full = true
		return false
	}
	if !w.started || w.size >= min(firstWindow, w.limit) && !w.paced {
		w.spread = RateLimit{}
		return true
	}
	// A burst would exceed the target's rate limit, which the pause after it would not use.
	w.spread.Interval, w.spread.Burst = hold/time.Duration(w.size), burst
	w.spread.next = min(w.spread.next, now+hold) // canaries may have used more than that
	if !w.spread.Allows(now) {
		w.full = true
		return false
	}
	return true
}

func (w *window) send(now instant) (at uint32) {
	w.recent[int64(now/tick)%ticks]++
	w.unanswered++
	w.sent++
	w.spread.Reserve(now, 1)
	return uint32(now / tick) //nolint:gosec // 400 days
}

// remove removes an attempt that was answered or not made.
func (w *window) remove(at uint32) {
	if t := int64(at); t >= w.tail && w.recent[t%ticks] > 0 {
		w.recent[t%ticks]--
		w.unanswered--
	}
}

func (w *window) answered() {
	w.answers++
	if !w.started {
		w.start()
	}
	if w.full && w.size < w.ceiling {
		w.size++
	}
}

// start ends the initial phase.
func (w *window) start() {
	w.started = true
	w.size = min(max(w.size, firstWindow), w.limit)
}

// adjust adjusts the size at most once per short timeout, within which answers arrive.
// Without loss the window grows by one per answer and doubles in silence. It returns to
// the earlier size if the rate of answers grew by less than a quarter. It shrinks if
// canaries are lost, unless that does not help.
func (w *window) adjust(now instant, hold time.Duration, loss float64) {
	span := now - w.adjusted
	if loss > 0 {
		hold = max(hold, lossyLook)
	}
	if span < hold {
		return
	}
	rate := float64(w.answers) / span.Seconds()
	switch {
	case !w.started:
		w.start()
	case w.lossAccepted && now > w.lossAcceptedEnd:
		w.lossAccepted, w.halvings, w.followed = false, 0, 0
	case w.canariesMissed > 0 && !w.lossAccepted:
		w.slow(now, rate, loss)
	case w.lossAccepted && w.followed > 0:
		w.growDespiteLoss(now, rate)
	case w.full && w.canariesMissed == 0 && loss < maxLoss/2:
		w.followed = 0
		w.grow(now, rate)
	}
	w.adjusted, w.full, w.sent, w.answers, w.canariesMissed = now, false, 0, 0, 0
}

// grow doubles the window if answers are few, and evaluates the effect of the last growth
// if they are many.
func (w *window) grow(now instant, rate float64) {
	few := w.answers*4 <= w.sent
	grown := w.size*4 >= w.sizeBefore*5
	switch {
	case now <= w.ceilingUntil:
	case !few && grown && rate < 1.25*w.before:
		w.size = w.sizeBefore
		w.ceiling, w.ceilingUntil = w.size, now+time.Second
	case few, 2*w.size >= w.limit:
		w.ceiling, w.paced = w.limit, false
	default:
		w.ceiling = max(w.ceiling, min(2*w.size, w.limit))
	}
	if !few {
		w.before, w.sizeBefore = rate, w.size
		return
	}
	if w.size < boldWindow {
		w.size *= 2
	}
	w.size = min(2*w.size, w.ceiling)
}

func (w *window) slow(now instant, rate, loss float64) {
	if loss > maxLoss {
		w.followAnswers(now, rate)
		return
	}
	w.shrink(now, loss)
	w.before, w.sizeBefore = rate, w.size
}

// shrink halves the window when canaries are lost. If two halvings have not reduced the
// loss, it is accepted for a time as a property of the path.
func (w *window) shrink(now instant, loss float64) {
	if w.halvings == 0 {
		w.lossBefore, w.sizeBeforeLoss = loss, w.size
	}
	if w.halvings >= 2 && loss > w.lossBefore*2/3 {
		w.size = min(max(w.size, w.sizeBeforeLoss), w.ceiling)
		w.lossAccepted, w.lossAcceptedEnd = true, now+acceptedFor
		return
	}
	w.halvings++
	w.size = min(w.size, max(w.size/2, floorWindow))
}

// followAnswers sets the window by the rate of answers: if most attempts are lost, the
// target or a middlebox probably limits them. If the loss is the same after slowFor, it is
// accepted for a time.
func (w *window) followAnswers(now instant, rate float64) {
	const ahead = 1.5 // times the rate of answers, to detect an increase
	if w.followed == 0 {
		w.followed = now
	}
	w.size = min(w.size, max(int(ahead*rate*minShort.Seconds()), lowestWindow))
	w.paced, w.ceiling, w.ceilingUntil = true, w.size, now+acceptedFor
	w.before, w.sizeBefore = rate, w.size
	w.halvings = 0
	if now-w.followed >= slowFor {
		w.lossAccepted, w.lossAcceptedEnd = true, now+acceptedFor
		w.size = min(max(2*w.size, floorWindow), w.limit)
	}
}

// growDespiteLoss doubles the window although most attempts are lost. If the rate of
// answers increases too, the loss is a property of the path. Otherwise the rate is followed
// again.
func (w *window) growDespiteLoss(now instant, rate float64) {
	if rate < 1.25*w.before {
		w.lossAccepted, w.followed = false, now
		w.size = w.sizeBefore
		return
	}
	w.before, w.sizeBefore = rate, w.size
	w.lossAcceptedEnd = now + acceptedFor
	w.size = min(2*w.size, w.limit)
}

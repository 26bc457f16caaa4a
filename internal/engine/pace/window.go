// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import "time"

const (
	startWindow  = 16                      // attempts until something answers, or the first hold is over: a neighbour's queue holds few
	firstWindow  = 64                      // after that
	floorWindow  = 64                      // loss alone does not push it lower
	lowestWindow = 4                       // a host that limits its answers does
	boldWindow   = 512                     // up to which silence lets it grow fourfold: fewer packets than a page of pictures
	mostLoss     = 0.5                     // of canaries, beyond which the window follows the answers
	acceptedFor  = 2 * time.Second         // for which what was found of a path is held to be so
	slowFor      = 1500 * time.Millisecond // after which it would show in the canaries that going slower helps
	lossyLook    = 100 * time.Millisecond  // between looks at a path with losses, over which few answers make no rate
	tick         = 8 * time.Millisecond    // how exactly young attempts are counted
	ticks        = 128                     // a second of them, more than any hold
)

// window bounds how many attempts are young and unanswered: as many as the path
// and the target seem to carry. An attempt that stays silent leaves it after the
// first hold and listens on outside.
type window struct {
	size, most int
	started    bool

	recent [ticks]int32 // unanswered attempts by the tick of their sending
	tail   int64        // oldest tick that counts
	young  int
	spread limit
	even   bool // whatever the size, it is spread over its time

	// Since the last look:
	looked         instant
	full           bool
	sent, answers  int
	canariesMissed int

	// What growing has brought:
	before       float64 // answers a second at the last look
	sizeBefore   int
	ceiling      int // beyond this, answers did not come any faster
	ceilingUntil instant

	// What shrinking has brought:
	halvings        int // since losses began
	lossBefore      float64
	sizeBeforeLoss  int
	followed        instant // since when the answers are followed; 0: they are not
	lossAccepted    bool    // the path's own: going slower has not helped
	lossAcceptedEnd instant
}

func newWindow(most int) window {
	return window{size: min(startWindow, most), most: most, ceiling: most}
}

// open tells whether another attempt may be made; hold is how long one is young.
func (w *window) open(now instant, hold time.Duration) bool {
	from := max(int64((now-hold)/tick), int64(now/tick)-ticks+1)
	for ; w.tail < from; w.tail++ {
		w.young -= int(w.recent[w.tail%ticks])
		w.recent[w.tail%ticks] = 0
	}
	if w.young >= w.size {
		w.full = true
		return false
	}
	if !w.started || w.size >= min(firstWindow, w.most) && !w.even {
		w.spread = limit{}
		return true
	}
	// A burst would find a target's limit used up, and the pause after it unused.
	w.spread.every = hold / time.Duration(w.size)
	if !w.spread.allows(now) {
		w.full = true
		return false
	}
	return true
}

func (w *window) send(now instant) (at uint32) {
	w.recent[int64(now/tick)%ticks]++
	w.young++
	w.sent++
	w.spread.take(now)
	return uint32(now / tick) //nolint:gosec // 400 days
}

// back takes an attempt out that was answered or never made.
func (w *window) back(at uint32) {
	if t := int64(at); t >= w.tail && w.recent[t%ticks] > 0 {
		w.recent[t%ticks]--
		w.young--
	}
}

func (w *window) answered() {
	w.answers++
	if !w.started {
		w.begin()
	}
	if w.full && w.size < w.ceiling {
		w.size++
	}
}

// begin ends the start.
func (w *window) begin() {
	w.started = true
	w.size = min(max(w.size, firstWindow), w.most)
}

// look adjusts the size, as often as a first attempt's hold, which is long enough
// for answers to come. Where nothing is lost it grows: by one an answer, and in
// silence it doubles. It goes back where growing brought less than a quarter more
// answers a second; and it slows down when canaries are lost, unless that turns
// out to be in vain.
func (w *window) look(now instant, hold time.Duration, loss float64) {
	span := now - w.looked
	if loss > 0 {
		hold = max(hold, lossyLook)
	}
	if span < hold {
		return
	}
	rate := float64(w.answers) / span.Seconds()
	switch {
	case !w.started:
		w.begin()
	case w.lossAccepted && now > w.lossAcceptedEnd:
		w.lossAccepted, w.halvings, w.followed = false, 0, 0
	case w.canariesMissed > 0 && !w.lossAccepted:
		w.slow(now, rate, loss)
	case w.lossAccepted && w.followed > 0:
		w.outgrow(now, rate)
	case w.full && w.canariesMissed == 0 && loss < mostLoss/2:
		w.followed = 0
		w.grow(now, rate)
	}
	w.looked, w.full, w.sent, w.answers, w.canariesMissed = now, false, 0, 0, 0
}

// grow doubles the window where answers are few, and judges what the last growth
// has brought where they are many.
func (w *window) grow(now instant, rate float64) {
	few := w.answers*4 <= w.sent
	grown := w.size*4 >= w.sizeBefore*5
	switch {
	case now <= w.ceilingUntil:
	case !few && grown && rate < 1.25*w.before:
		w.size = w.sizeBefore
		w.ceiling, w.ceilingUntil = w.size, now+time.Second
	case few, 2*w.size >= w.most:
		w.ceiling, w.even = w.most, false
	default:
		w.ceiling = max(w.ceiling, min(2*w.size, w.most))
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
	if loss > mostLoss {
		w.follow(now, rate)
		return
	}
	w.shrink(now, loss)
	w.before, w.sizeBefore = rate, w.size
}

// shrink halves the window once canaries are lost. Where the loss is none the
// less for two halvings, it is the path's own, and is lived with for a while.
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

// follow sets the window by the answers that come: where most attempts are lost,
// the target, or something on the way, answers only so fast. If as many are lost
// when it has gone slower for a while, that may not be so.
func (w *window) follow(now instant, rate float64) {
	const ahead = 1.5 // of the answers, so that it is seen when more come
	if w.followed == 0 {
		w.followed = now
	}
	w.size = min(w.size, max(int(ahead*rate*briefFloor.Seconds()), lowestWindow))
	w.even, w.ceiling, w.ceilingUntil = true, w.size, now+acceptedFor
	w.before, w.sizeBefore = rate, w.size
	w.halvings = 0
	if now-w.followed >= slowFor {
		w.lossAccepted, w.lossAcceptedEnd = true, now+acceptedFor
		w.size = min(max(2*w.size, floorWindow), w.most)
	}
}

// outgrow goes faster again, though most attempts are lost. If answers come
// faster too, the loss is the path's own; else they are followed again.
func (w *window) outgrow(now instant, rate float64) {
	if rate < 1.25*w.before {
		w.lossAccepted, w.followed = false, now
		w.size = w.sizeBefore
		return
	}
	w.before, w.sizeBefore = rate, w.size
	w.lossAcceptedEnd = now + acceptedFor
	w.size = min(2*w.size, w.most)
}

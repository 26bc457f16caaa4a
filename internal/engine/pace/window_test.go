// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"
)

const hold = 50 * ms

// fill makes as many attempts at once as the window lets out.
func fill(w *window, now time.Duration) int {
	sent := 0
	for w.open(now, hold) && sent < 1<<16 {
		w.send(now)
		sent++
	}
	return sent
}

// begun returns a window that is past its start, with the given size.
func begun(size, most int) *window {
	w := newWindow(most)
	w.begin()
	w.size = size
	return &w
}

// TestWindowStarts small, for a neighbour's queue may have to hold what is sent
// before its hardware address is known.
func TestWindowStarts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ most, first, then int }{{10000, 16, 64}, {40, 16, 40}, {7, 7, 7}, {1, 1, 1}} {
		w := newWindow(tc.most)
		if got := fill(&w, 0); got != tc.first {
			t.Errorf("of at most %d, %d go at first, want %d", tc.most, got, tc.first)
		}
		w.look(hold/2, hold, 0)
		if got := fill(&w, hold/2); got != 0 {
			t.Errorf("of at most %d, %d more go before anything is known", tc.most, got)
		}
		w.look(hold, hold, 0)
		if w.size != tc.then {
			t.Errorf("of at most %d: after the first hold %d, want %d", tc.most, w.size, tc.then)
		}
	}
	w := newWindow(10000)
	w.answered()
	if w.size != firstWindow {
		t.Errorf("after an answer %d, want %d", w.size, firstWindow)
	}
}

// TestWindowCountsTheYoung lets another out for each that is answered or has
// been silent for its hold, and for no other.
func TestWindowCountsTheYoung(t *testing.T) {
	t.Parallel()
	w := begun(100, 10000)
	if got := fill(w, time.Second); got != 100 {
		t.Fatalf("%d went, want 100", got)
	}
	at := uint32(time.Second / tick)
	for range 10 {
		w.back(at)
	}
	if got := fill(w, time.Second+ms); got != 10 {
		t.Errorf("after ten answers %d went, want 10", got)
	}
	if got := fill(w, time.Second+hold-tick); got != 0 {
		t.Errorf("%d went before the first were old", got)
	}
	if got := fill(w, time.Second+hold+tick); got != 100 {
		t.Errorf("after all had grown old %d went, want 100", got)
	}
	w.back(at) // old already: nobody's place becomes free by it
	if got := fill(w, time.Second+hold+tick); got != 0 {
		t.Errorf("after a late answer %d went, want none", got)
	}
	if got := fill(w, time.Hour); got != 100 {
		t.Errorf("after a long pause %d went, want 100", got)
	}
}

// TestWindowGrowsByAnswers adds one for each while there is demand, up to the
// most there may be.
func TestWindowGrowsByAnswers(t *testing.T) {
	t.Parallel()
	w := begun(100, 120)
	w.answered()
	if w.size != 100 {
		t.Errorf("it grew to %d without demand", w.size)
	}
	fill(w, 0)
	for range 5 {
		w.answered()
	}
	if w.size != 105 {
		t.Errorf("after five answers %d, want 105", w.size)
	}
	for range 50 {
		w.answered()
	}
	if w.size != 120 {
		t.Errorf("after many %d, want the most, 120", w.size)
	}
}

// TestWindowGrowsInSilence doubles once a hold while nothing says that it should
// not; more while it is small. Without demand it stays.
func TestWindowGrowsInSilence(t *testing.T) {
	t.Parallel()
	w := begun(64, 10000)
	for i, want := range []int{256, 1024, 2048, 4096, 8192, 10000, 10000} {
		now := time.Duration(i+1) * 2 * hold
		fill(w, now-hold)
		w.look(now, hold, 0)
		if w.size != want {
			t.Errorf("after %d holds of silence %d, want %d", i+1, w.size, want)
		}
		w.look(now+hold/2, hold, 0)
		if w.size != want {
			t.Errorf("within a hold it became %d", w.size)
		}
	}
	w = begun(64, 10000)
	w.look(hold, hold, 0)
	if w.size != 64 {
		t.Errorf("nothing was held back, and it became %d", w.size)
	}
}

// round is one hold in which the window is filled and answered at a rate.
func round(w *window, now time.Duration, answers int, loss float64) {
	fill(w, now-hold)
	w.sent = max(w.sent, answers)
	for range answers {
		w.answered()
	}
	w.look(now, hold, loss)
}

// TestWindowStopsWhereGrowthIsVain holds the size where more attempts do not
// bring answers any faster, and tries anew later.
func TestWindowStopsWhereGrowthIsVain(t *testing.T) {
	t.Parallel()
	w := begun(1000, 10000)
	round(w, 2*hold, 600, 0)
	round(w, 4*hold, 600, 0) // no faster than before
	stop := w.size
	at := 6 * hold
	for ; at <= 4*hold+time.Second; at += 2 * hold {
		round(w, at, 600, 0)
	}
	if w.size != stop {
		t.Errorf("answers came no faster, and it grew from %d to %d", stop, w.size)
	}
	round(w, at, 6000, 0) // ten times as fast
	round(w, at+2*hold, 12000, 0)
	if w.size <= stop {
		t.Errorf("answers come faster after a while, and it stays at %d", w.size)
	}
	w = begun(1000, 10000)
	for i, answers := range []int{300, 600, 1200, 2400} {
		size := w.size
		round(w, time.Duration(i+1)*2*hold, answers, 0)
		if w.size != size+answers {
			t.Errorf("answers come twice as fast, and it went from %d to %d", size, w.size)
		}
	}
}

// TestWindowHalves when canaries are missed, once a hold, down to a floor.
func TestWindowHalves(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ size, want int }{{1000, 500}, {100, 64}, {64, 64}, {20, 20}} {
		w := begun(tc.size, 10000)
		w.canariesMissed = 3
		w.look(2*lossyLook, hold, 0.2)
		if w.size != tc.want {
			t.Errorf("after three misses in one hold, of %d are left %d, want %d", tc.size, w.size, tc.want)
		}
		w.canariesMissed = 1
		w.look(2*lossyLook+hold/2, hold, 0.2)
		if w.size != tc.want {
			t.Errorf("within a hold it was cut again, from %d to %d", tc.want, w.size)
		}
		w.canariesMissed = 0
		w.look(4*lossyLook, hold, 0.1)
		w.look(6*lossyLook, hold, 0)
		if w.size != tc.want {
			t.Errorf("with no further miss it went from %d to %d", tc.want, w.size)
		}
	}
}

// TestWindowLivesWithLoss halves twice, sees that as much is lost, and returns
// to where it was for a while: the loss is the path's own.
func TestWindowLivesWithLoss(t *testing.T) {
	t.Parallel()
	w := begun(1000, 10000)
	at := time.Duration(0)
	miss := func(loss float64) int {
		at += lossyLook
		w.canariesMissed = 1
		w.look(at, hold, loss)
		return w.size
	}
	for i, want := range []int{500, 250, 1000, 1000, 1000} {
		if got := miss(0.2); got != want {
			t.Errorf("after %d misses: %d, want %d", i+1, got, want)
		}
	}
	at += acceptedFor
	miss(0.2) // notices that the time is over
	if got := miss(0.2); got != 500 {
		t.Errorf("long after, a miss makes it %d, want 500", got)
	}
	w, at = begun(1000, 10000), 0
	for i, want := range []int{500, 250, 125, 64, 64} {
		if got := miss(0.2 / float64(1+i)); got != want {
			t.Errorf("each time less is lost, after %d misses: %d, want %d", i+1, got, want)
		}
	}
}

// TestWindowFollows the answers where most attempts are lost: one and a half
// times as many as come within a first wait.
func TestWindowFollows(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ size, answers, want int }{
		{1000, 0, 4}, {1000, 10, 7}, {1000, 100, 75}, {1000, 100000, 1000}, {3, 100, 3},
	} {
		w := begun(tc.size, 10000)
		w.answers, w.canariesMissed = tc.answers, 1
		w.look(lossyLook, hold, 0.6)
		if w.size != tc.want {
			t.Errorf("%d answers in 100 ms make of %d %d, want %d", tc.answers, tc.size, w.size, tc.want)
		}
	}
}

// TestSmallWindowIsSpread over the hold: a burst would find a target's limit used
// up, and the pause after it unused.
func TestSmallWindowIsSpread(t *testing.T) {
	t.Parallel()
	w := begun(10, 10000)
	sent, most := 0, 0
	for now := time.Second; now < 2*time.Second; now += ms {
		n := fill(w, now)
		sent, most = sent+n, max(most, n)
	}
	if most > 3 || sent < 150 || sent > 210 {
		t.Errorf("%d of a window of 10 went at once, and %d in a second of holds of %v", most, sent, hold)
	}
}

// TestWindowRecovers from having followed a trickle of answers, when each
// attempt is answered at once.
func TestWindowRecovers(t *testing.T) {
	t.Parallel()
	w := begun(4, 10000)
	w.looked = time.Second
	for now := time.Second; now < 5*time.Second; now += ms {
		for range fill(w, now) {
			w.back(uint32(now / tick))
			w.answered()
		}
		w.look(now, hold, 0)
	}
	if w.size < 64 {
		t.Errorf("after four seconds of answers it is %d", w.size)
	}
}

// TestWindowOutgrowsLoss follows the answers at first where most attempts are
// lost, and goes faster again where the loss is no smaller for that: as fast as
// it goes if answers come faster too, and back to slow if they do not.
func TestWindowOutgrowsLoss(t *testing.T) {
	t.Parallel()
	for _, limited := range []bool{false, true} {
		w := begun(1000, 10000)
		sizes := make(map[int]bool)
		for at := lossyLook; at < 4*time.Second; at += lossyLook {
			w.full, w.canariesMissed, w.answers = true, 1, 6*w.size/10 // three of ten, in two holds
			if limited {
				w.answers = 20
			}
			w.look(at, hold, 0.7)
			if at > slowFor+lossyLook {
				sizes[w.size] = true
			}
		}
		if want := 2 * firstWindow; limited == sizes[want] || !sizes[15] == limited {
			t.Errorf("answers limited: %v; the sizes are %v", limited, sizes)
		}
	}
}

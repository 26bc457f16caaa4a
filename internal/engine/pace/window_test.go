// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"
)

const hold = 50 * ms

// fill makes as many attempts at once as the window allows, and returns their number.
func fill(w *window, now time.Duration) int {
	sent := 0
	for w.allows(now, hold) && sent < 1<<16 {
		w.send(now)
		sent++
	}
	return sent
}

// startedWindow returns a window that is past its start, with the given size.
func startedWindow(size, most int) *window {
	w := newWindow(most)
	w.start()
	w.size = size
	return &w
}

// TestWindowStart requires a small window until the first answer or the end of the first
// hold: the kernel queues few packets until it has resolved the hardware address.
func TestWindowStart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ most, first, then int }{{10000, 16, 64}, {40, 16, 40}, {7, 7, 7}, {1, 1, 1}} {
		w := newWindow(tc.most)
		if got := fill(&w, 0); got != tc.first {
			t.Errorf("limit %d: got %d attempts at first, want %d", tc.most, got, tc.first)
		}
		w.adjust(hold/2, hold, 0)
		if got := fill(&w, hold/2); got != 0 {
			t.Errorf("limit %d: got %d more attempts within the first hold, want 0", tc.most, got)
		}
		w.adjust(hold, hold, 0)
		if w.size != tc.then {
			t.Errorf("limit %d: got size %d after the first hold, want %d", tc.most, w.size, tc.then)
		}
	}
	w := newWindow(10000)
	w.answered()
	if w.size != firstWindow {
		t.Errorf("got size %d after an answer, want %d", w.size, firstWindow)
	}
}

// TestWindowCountsRecent requires that the window allows another attempt for each one that
// was answered, or was silent for its hold, and none in other cases.
func TestWindowCountsRecent(t *testing.T) {
	t.Parallel()
	w := startedWindow(100, 10000)
	if got := fill(w, time.Second); got != 100 {
		t.Fatalf("got %d attempts, want 100", got)
	}
	at := uint32(time.Second / tick)
	for range 10 {
		w.remove(at)
	}
	if got := fill(w, time.Second+ms); got != 10 {
		t.Errorf("after ten answers: got %d attempts, want 10", got)
	}
	if got := fill(w, time.Second+hold-tick); got != 0 {
		t.Errorf("before the end of the hold: got %d attempts, want 0", got)
	}
	if got := fill(w, time.Second+hold+tick); got != 100 {
		t.Errorf("after the end of the hold: got %d attempts, want 100", got)
	}
	w.remove(at) // has left the window before
	if got := fill(w, time.Second+hold+tick); got != 0 {
		t.Errorf("after a late answer: got %d attempts, want 0", got)
	}
	if got := fill(w, time.Hour); got != 100 {
		t.Errorf("after an hour: got %d attempts, want 100", got)
	}
}

// TestWindowGrowsByAnswers requires that the window grows by one for each answer while it is
// full, up to its limit.
func TestWindowGrowsByAnswers(t *testing.T) {
	t.Parallel()
	w := startedWindow(100, 120)
	w.answered()
	if w.size != 100 {
		t.Errorf("got size %d after an answer while not full, want 100", w.size)
	}
	fill(w, 0)
	for range 5 {
		w.answered()
	}
	if w.size != 105 {
		t.Errorf("got size %d after 5 answers, want 105", w.size)
	}
	for range 50 {
		w.answered()
	}
	if w.size != 120 {
		t.Errorf("got size %d after 55 answers, want the limit 120", w.size)
	}
}

// TestWindowGrowsInSilence requires that a full window without answers and misses grows
// fourfold once in a hold while it is small, and twofold later. If it is not full, its size
// must stay.
func TestWindowGrowsInSilence(t *testing.T) {
	t.Parallel()
	w := startedWindow(64, 10000)
	for i, want := range []int{256, 1024, 2048, 4096, 8192, 10000, 10000} {
		now := time.Duration(i+1) * 2 * hold
		fill(w, now-hold)
		w.adjust(now, hold, 0)
		if w.size != want {
			t.Errorf("got size %d after %d adjustments, want %d", w.size, i+1, want)
		}
		w.adjust(now+hold/2, hold, 0)
		if w.size != want {
			t.Errorf("got size %d within a hold, want %d", w.size, want)
		}
	}
	w = startedWindow(64, 10000)
	w.adjust(hold, hold, 0)
	if w.size != 64 {
		t.Errorf("got size %d while not full, want 64", w.size)
	}
}

// fillAndAnswer fills the window, passes a number of answers and adjusts the size.
func fillAndAnswer(w *window, now time.Duration, answers int, loss float64) {
	fill(w, now-hold)
	w.sent = max(w.sent, answers)
	for range answers {
		w.answered()
	}
	w.adjust(now, hold, loss)
}

// TestWindowStopsGrowth requires that the window keeps its size if more attempts do not
// result in more answers per second, and grows again later if they do.
func TestWindowStopsGrowth(t *testing.T) {
	t.Parallel()
	w := startedWindow(1000, 10000)
	fillAndAnswer(w, 2*hold, 600, 0)
	fillAndAnswer(w, 4*hold, 600, 0) // at the same rate
	stop := w.size
	at := 6 * hold
	for ; at <= 4*hold+time.Second; at += 2 * hold {
		fillAndAnswer(w, at, 600, 0)
	}
	if w.size != stop {
		t.Errorf("same rate of answers: got size %d, want %d", w.size, stop)
	}
	fillAndAnswer(w, at, 6000, 0) // at ten times the rate
	fillAndAnswer(w, at+2*hold, 12000, 0)
	if w.size <= stop {
		t.Errorf("higher rate of answers: got size %d, want more than %d", w.size, stop)
	}
	w = startedWindow(1000, 10000)
	for i, answers := range []int{300, 600, 1200, 2400} {
		size := w.size
		fillAndAnswer(w, time.Duration(i+1)*2*hold, answers, 0)
		if w.size != size+answers {
			t.Errorf("double rate of answers: got size %d, want %d", w.size, size+answers)
		}
	}
}

// TestWindowShrinks requires that missed canaries halve the window once in a hold, down to
// floorWindow.
func TestWindowShrinks(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ size, want int }{{1000, 500}, {100, 64}, {64, 64}, {20, 20}} {
		w := startedWindow(tc.size, 10000)
		w.canariesMissed = 3
		w.adjust(2*lossyLook, hold, 0.2)
		if w.size != tc.want {
			t.Errorf("size %d: got %d after three misses in a hold, want %d", tc.size, w.size, tc.want)
		}
		w.canariesMissed = 1
		w.adjust(2*lossyLook+hold/2, hold, 0.2)
		if w.size != tc.want {
			t.Errorf("size %d: got %d after another miss in the hold, want %d", tc.size, w.size, tc.want)
		}
		w.canariesMissed = 0
		w.adjust(4*lossyLook, hold, 0.1)
		w.adjust(6*lossyLook, hold, 0)
		if w.size != tc.want {
			t.Errorf("size %d: got %d without further misses, want %d", tc.size, w.size, tc.want)
		}
	}
}

// TestWindowAcceptsLoss misses canaries at the same rate in spite of two halvings. Such a loss
// does not depend on the speed: the window must return to its size for acceptedFor. If the
// loss decreases, the window must shrink further.
func TestWindowAcceptsLoss(t *testing.T) {
	t.Parallel()
	w := startedWindow(1000, 10000)
	at := time.Duration(0)
	miss := func(loss float64) int {
		at += lossyLook
		w.canariesMissed = 1
		w.adjust(at, hold, loss)
		return w.size
	}
	for i, want := range []int{500, 250, 1000, 1000, 1000} {
		if got := miss(0.2); got != want {
			t.Errorf("same loss: got size %d after %d misses, want %d", got, i+1, want)
		}
	}
	at += acceptedFor
	miss(0.2) // ends the time in which the loss is accepted
	if got := miss(0.2); got != 500 {
		t.Errorf("got size %d after a miss later, want 500", got)
	}
	w, at = startedWindow(1000, 10000), 0
	for i, want := range []int{500, 250, 125, 64, 64} {
		if got := miss(0.2 / float64(1+i)); got != want {
			t.Errorf("decreasing loss: got size %d after %d misses, want %d", got, i+1, want)
		}
	}
}

// TestWindowFollowsAnswers requires that with a loss of 60 % the size is one and a half times
// the number of answers within minShort.
func TestWindowFollowsAnswers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ size, answers, want int }{
		{1000, 0, 4}, {1000, 10, 7}, {1000, 100, 75}, {1000, 100000, 1000}, {3, 100, 3},
	} {
		w := startedWindow(tc.size, 10000)
		w.answers, w.canariesMissed = tc.answers, 1
		w.adjust(lossyLook, hold, 0.6)
		if w.size != tc.want {
			t.Errorf("size %d: got %d after %d answers in 100 ms, want %d", tc.size, w.size, tc.answers, tc.want)
		}
	}
}

// TestWindowSpreadsAttempts requires that a small window spreads its attempts over the hold.
// A burst would exceed the rate limit of a target, and the pause after it would not use it.
func TestWindowSpreadsAttempts(t *testing.T) {
	t.Parallel()
	w := startedWindow(10, 10000)
	sent, most := 0, 0
	for now := time.Second; now < 2*time.Second; now += ms {
		n := fill(w, now)
		sent, most = sent+n, max(most, n)
	}
	if most > 3 || sent < 150 || sent > 210 {
		t.Errorf("got %d attempts at once and %d in a second, want at most 3 and 150 to 210", most, sent)
	}
}

// TestWindowRecovers requires that a window of the smallest size grows again if each attempt
// is answered at once.
func TestWindowRecovers(t *testing.T) {
	t.Parallel()
	w := startedWindow(4, 10000)
	w.adjusted = time.Second
	for now := time.Second; now < 5*time.Second; now += ms {
		for range fill(w, now) {
			w.remove(uint32(now / tick))
			w.answered()
		}
		w.adjust(now, hold, 0)
	}
	if w.size < 64 {
		t.Errorf("got size %d after 4 s of answers, want at least 64", w.size)
	}
}

// TestWindowGrowsDespiteLoss simulates a loss of 70 % that does not decrease when the window
// follows the answers, so that the window grows for a trial. It must keep growing if more
// answers arrive, and must follow the answers again if their number is limited.
func TestWindowGrowsDespiteLoss(t *testing.T) {
	t.Parallel()
	for _, limited := range []bool{false, true} {
		w := startedWindow(1000, 10000)
		sizes := make(map[int]bool)
		for at := lossyLook; at < 4*time.Second; at += lossyLook {
			w.full, w.canariesMissed, w.answers = true, 1, 6*w.size/10 // 30 % in each of two holds
			if limited {
				w.answers = 20
			}
			w.adjust(at, hold, 0.7)
			if at > slowFor+lossyLook {
				sizes[w.size] = true
			}
		}
		if want := 2 * firstWindow; limited == sizes[want] || !sizes[15] == limited {
			t.Errorf("answers limited %v: got sizes %v, want %d %v and 15 %v", limited, sizes, want, !limited, limited)
		}
	}
}

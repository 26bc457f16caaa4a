// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// stopRecorder adds answers to a schedule, and records after what time their scans stop.
type stopRecorder struct {
	*answerSchedule

	began time.Time
	mu    sync.Mutex
	stops map[int]time.Duration
}

func newStopRecorder() *stopRecorder {
	return &stopRecorder{answerSchedule: newAnswerSchedule(), began: time.Now(), stops: make(map[int]time.Duration)}
}

// addAnswer adds the answer i, which is due after a time.
func (r *stopRecorder) addAnswer(i int, due, cost time.Duration) *pendingAnswer {
	return r.add(r.began.Add(due), cost, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stops[i] = time.Since(r.began)
	})
}

// want checks after what time the scans stopped.
func (r *stopRecorder) want(t *testing.T, want ...time.Duration) {
	t.Helper()
	time.Sleep(time.Minute)
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, w := range want {
		if got := r.stops[i]; got != w {
			t.Errorf("scan %d stopped after %v, want %v", i, got, w)
		}
	}
}

const milli = time.Millisecond

func TestScheduleOneAnswer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name                 string
		slowdown             float64
		budget, cost, stopAt time.Duration
	}{
		{"idle machine", 1, 9500 * milli, 32 * milli, 9458 * milli},
		{"starved machine", 10, 9500 * milli, 32 * milli, 9026 * milli},
		{"large network", 1, 20000 * milli, 250 * milli, 18940 * milli}, // five times the cost, less 200 ms
		{"large answer", 1, 9000 * milli, 4000 * milli, 5840 * milli},   // a quarter for the answer and a tenth for a slowdown
		{"large answer on a starved machine", 10, 9000 * milli, 4000 * milli, 900 * milli},
		{"no time", 1, 0, 32 * milli, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newStopRecorder()
				r.slowdown = test.slowdown
				p := r.addAnswer(0, test.budget, test.cost)
				if got := p.scanEnd.Sub(r.began); got != test.stopAt {
					t.Errorf("scanEnd = %v, want %v", got, test.stopAt)
				}
				r.want(t, test.stopAt)
			})
		})
	}
}

// TestScheduleBlock adds answers that are due together, and others.
func TestScheduleBlock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newStopRecorder()
		for i := range 10 {
			r.addAnswer(i, 9*time.Second+time.Duration(i)*milli, 100*milli)
		}
		r.addAnswer(10, 5*time.Second, 100*milli)
		last := 8*time.Second - 1*milli // ten answers until 9.009 s, and the margin
		r.want(t, last, last, last, last, last, last, last, last, last, last, 4690*milli)
	})
}

// TestScheduleFinished finishes an answer: that of another probe gets its time.
func TestScheduleFinished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newStopRecorder()
		r.addAnswer(0, 9*time.Second, 100*milli)
		p := r.addAnswer(1, 9*time.Second, 1000*milli)
		p.scanEnded()
		p.finish()
		p.finish()
		r.want(t, 8690*milli, 0)
		if len(r.pending) != 1 || r.due != 1 {
			t.Errorf("got %d pending answers and %d due, want those of the first", len(r.pending), r.due)
		}
	})
}

// answer makes an answer that takes a time, and is due after one.
func (r *stopRecorder) answer(due, cost, took time.Duration) {
	p := r.add(time.Now().Add(due), cost, func() {})
	p.scanEnded()
	p.begin(cost)
	time.Sleep(took)
	p.finish()
}

func TestScheduleSlowdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newStopRecorder()
		want := func(after string, low, high float64) {
			t.Helper()
			if r.slowdown < low || r.slowdown > high {
				t.Errorf("slowdown after %s = %.2f, want %v to %v", after, r.slowdown, low, high)
			}
		}
		r.answer(time.Second, 100*milli, 20*milli)
		want("a fast answer", 1, 1)
		r.answer(time.Second, 1*milli, 100*milli)
		want("a small slow answer", 1.5, 2.5)
		r.answer(time.Second, 100*milli, 800*milli)
		want("a slow answer", 8, 8)
		r.answer(time.Second, 20*milli, 1200*milli)
		want("a late answer", 60, 60)
		r.answer(time.Second, 10*milli, 10*milli)
		want("a fast answer after it", 50, 55)
		for range 30 {
			r.answer(time.Second, 10*milli, 5*milli)
		}
		want("many fast answers", 1, 3)
		r.answer(time.Second, 1*milli, 10*time.Second)
		want("a small answer during a pause of the machine", 1, 12)
		for range 10 {
			r.answer(time.Second, 1*milli, 1*milli)
		}
		want("ten fast answers after the pause", 1, 5)
		r.answer(time.Minute, 10*milli, 20*time.Second)
		high := r.slowdown
		r.answer(time.Minute, 5000*milli, 2000*milli)
		want("a large fast answer", high*0.8, high*0.95)
	})
}

// TestScheduleStarvedMachine answers many probes at once on a machine that takes longer than the
// schedule assumes at first, and on which scans take the CPU from answers.
func TestScheduleStarvedMachine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const probes, budget, cutoff = 14, 9500 * milli, 9750 * milli
		s := newAnswerSchedule()
		for _, slowdown := range []int{10, 100, 30, 1, 20} {
			cpu := make(chan struct{}, 1)
			var all sync.WaitGroup
			late, least := 0, time.Hour
			for range probes {
				all.Go(func() {
					began := time.Now()
					stopped := make(chan struct{})
					p := s.add(began.Add(budget), 31*milli, func() { close(stopped) })
					<-stopped
					cpu <- struct{}{}
					defer func() { <-cpu }()
					cost := max(1*milli, min(31*milli, p.affordable(began.Add(cutoff))))
					p.begin(cost)
					for range slowdown {
						time.Sleep(cost)
					}
					if time.Since(began) > 10*time.Second {
						late++
					}
					least = min(least, cost)
					p.finish()
				})
			}
			all.Wait()
			t.Logf("slowdown %d: smallest answer %v, %d late, then slowdown %.1f", slowdown, least, late, s.slowdown)
			if late > 0 {
				t.Errorf("slowdown %d: got %d late answers, want none", slowdown, late)
			}
		}
	})
}

// TestScheduleFirstSlowdown sets the slowdown from samples.
func TestScheduleFirstSlowdown(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		took time.Duration
		want float64
	}{
		{5 * milli, 1},
		{50 * milli, 10},
		{time.Minute, 20},
	} {
		s := newAnswerSchedule()
		if s.setSlowdown(tc.took, 10*milli); s.slowdown != tc.want {
			t.Errorf("setSlowdown(%v, 10ms) sets %v, want %v", tc.took, s.slowdown, tc.want)
		}
	}
}

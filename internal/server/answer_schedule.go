// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"slices"
	"sync"
	"time"
)

// answerSchedule decides when scans stop, so that their answers are written at their deadlines. It
// measures how much longer answers take than their cost, which is the time on an idle machine: they
// wait for the CPU, for each other and for engines that end. It may be used concurrently.
//
// Answers that are due together share the CPU, and scans take it from them. Therefore all scans
// stop when the encoder must start with the first of these answers.
type answerSchedule struct {
	mu       sync.Mutex
	pending  []*pendingAnswer // by deadline
	slowdown float64          // time that answers take, relative to their cost; at least 1

	// The answers whose scans have stopped are due. If there are some, there has been work without a
	// pause since busySince; the cost of the answers that were started is busyCost.
	due       int
	late      bool // some were
	busySince time.Time
	busyCost  time.Duration
}

// pendingAnswer is the answer to a probe, until it is written. Its schedule's lock guards the fields
// below the blank line.
type pendingAnswer struct {
	schedule *answerSchedule
	deadline time.Time // by which the answer must be written
	earliest time.Time // when its scan may stop
	scanEnd  time.Time // when its scan stops at the latest
	stop     func()    // stops the scan

	cost    time.Duration
	least   time.Duration // time to reserve for the answer in any case
	stopAt  time.Time
	timer   *time.Timer // calls stop
	due     bool
	written bool
}

func newAnswerSchedule() *answerSchedule { return &answerSchedule{slowdown: 1} }

// scheduleMargin is the time that remains after answers.
const scheduleMargin = 10 * time.Millisecond

// add adds the answer to a probe that has arrived now. The function stop is called when its scan
// must stop, and must not block.
func (s *answerSchedule) add(deadline time.Time, cost time.Duration, stop func()) *pendingAnswer {
	const (
		scanShare = 10 // a tenth of the time is for the scan, even if the answer will be late
		costShare = 4  // on an idle machine, a quarter of the time is for the answer
	)
	now := time.Now()
	budget := max(0, deadline.Sub(now))
	p := &pendingAnswer{
		schedule: s, deadline: deadline, earliest: now.Add(budget / scanShare), stop: stop, cost: min(cost, budget/costShare),
	}
	p.least = leastReserve(p.cost, budget)
	s.mu.Lock()
	defer s.mu.Unlock()
	p.scanEnd = p.stopTime(deadline.Add(-s.duration(p.cost)))
	p.timer = time.AfterFunc(budget, func() { s.onStop(p) })
	at, _ := slices.BinarySearchFunc(s.pending, deadline, func(o *pendingAnswer, t time.Time) int { return o.deadline.Compare(t) })
	s.pending = slices.Insert(s.pending, at, p)
	s.plan()
	return p
}

// duration returns the time to reserve for an answer. Time that exceeds the cost varies, so there
// is a reserve of a half.
func (s *answerSchedule) duration(cost time.Duration) time.Duration {
	const reserve = 1.5
	return time.Duration(float64(cost) * (1 + reserve*(s.slowdown-1)))
}

// leastReserve returns the time to reserve for an answer on a machine that seemed idle. It can become
// busy during a scan, and no answer has shown that before. Answers of a few addresses are written
// within the time that the scrape timeout leaves, those of thousands are not.
func leastReserve(cost, budget time.Duration) time.Duration {
	const (
		slowdown = 5
		spare    = 200 * time.Millisecond
		share    = 10 // at most a tenth of the time
	)
	return cost + min(max(0, (slowdown-1)*cost-spare), budget/share)
}

// plan sets when scans stop. Answers are written in the order of their deadlines. Those between
// which there is no time left form a block. The caller holds the lock.
func (s *answerSchedule) plan() {
	end := len(s.pending) // of the block
	var begin time.Time   // of its first answer
	for i, p := range slices.Backward(s.pending) {
		if i == len(s.pending)-1 || p.deadline.Before(begin) {
			setStops(s.pending[i+1:end], begin)
			end, begin = i+1, p.deadline
		}
		begin = begin.Add(-s.duration(p.cost))
	}
	setStops(s.pending[:end], begin)
}

// setStops stops the scans of a block before its first answer.
func setStops(block []*pendingAnswer, begin time.Time) {
	for _, p := range block {
		if at := p.stopTime(begin); !p.due && !at.Equal(p.stopAt) {
			p.stopAt = at
			p.timer.Reset(time.Until(at))
		}
	}
}

// stopTime returns when the scan stops if its answer starts at a time.
func (p *pendingAnswer) stopTime(begin time.Time) time.Time {
	if alone := p.deadline.Add(-p.least); alone.Before(begin) {
		begin = alone
	}
	if at := begin.Add(-scheduleMargin); at.After(p.earliest) {
		return at
	}
	return p.earliest
}

// onStop stops a scan, unless it has just ended or was given more time.
func (s *answerSchedule) onStop(p *pendingAnswer) {
	s.mu.Lock()
	stops := !p.due && !p.written && !time.Now().Before(p.stopAt)
	if stops {
		s.setDue(p, p.stopAt)
	}
	s.mu.Unlock()
	if stops {
		p.stop()
	}
}

// setDue notes that a scan has ended. The caller holds the lock.
func (s *answerSchedule) setDue(p *pendingAnswer, at time.Time) {
	p.due = true
	s.due++
	if s.due == 1 {
		s.busySince, s.busyCost, s.late = at, 0, false
	}
}

// scanEnded notes that the scan has ended.
func (p *pendingAnswer) scanEnded() {
	s := p.schedule
	s.mu.Lock()
	defer s.mu.Unlock()
	p.timer.Stop()
	if !p.due {
		s.setDue(p, time.Now())
	}
}

// affordable returns the cost of the answer that can be written by a time, if all that are due get
// the same share. The scan has ended.
func (p *pendingAnswer) affordable(by time.Time) time.Duration {
	s := p.schedule
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration(float64(time.Until(by)) / max(s.slowdown, s.measured()) / float64(s.due))
}

// begin notes that the answer is being written, and its cost.
func (p *pendingAnswer) begin(cost time.Duration) {
	s := p.schedule
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busyCost += cost
}

// finish removes the answer, which has been written or refused. Further calls have no effect.
func (p *pendingAnswer) finish() {
	s := p.schedule
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.written {
		return
	}
	p.written = true
	p.timer.Stop()
	if p.due {
		s.late = s.late || time.Now().After(p.deadline)
		s.due--
		if s.due == 0 {
			s.learn()
		}
	}
	s.pending = slices.DeleteFunc(s.pending, func(o *pendingAnswer) bool { return o == p })
	s.plan()
}

// measured returns the slowdown of the answers that are due, at least 1. The caller holds the lock.
func (s *answerSchedule) measured() float64 {
	const most = 100
	if s.busyCost <= 0 {
		return 1
	}
	return min(most, max(1, float64(time.Since(s.busySince))/float64(s.busyCost)))
}

// learn adapts the slowdown to the answers that were written without a pause. It follows longer
// times fast, those of late answers faster, and shorter ones slowly. A small answer has little
// weight: a short pause of the machine multiplies its time. The caller holds the lock.
func (s *answerSchedule) learn() {
	const (
		// The cost of answers that replace what was measured before.
		lateRise = 10 * time.Millisecond
		rise     = 100 * time.Millisecond

		fall = 1.0 / 8 // weight of shorter times
	)
	measured := s.measured()
	weight := fall
	switch {
	case s.busyCost <= 0:
		return
	case measured > s.slowdown && s.late:
		weight = float64(s.busyCost) / float64(lateRise)
	case measured > s.slowdown:
		weight = float64(s.busyCost) / float64(rise)
	}
	s.slowdown += (measured - s.slowdown) * min(1, weight)
}

// setSlowdown sets the slowdown before the first answer, from the time that a sample took. It is
// doubled, because the sample is not all of an answer. It is limited, because the machine may be
// busy only during the start, and scans get less time until answers were measured.
func (s *answerSchedule) setSlowdown(took, cost time.Duration) {
	const most = 20 // a tenth of a core
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slowdown = min(most, max(1, 2*float64(took)/float64(cost)))
}

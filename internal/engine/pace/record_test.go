// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

// record is what happened in a simulation.
type record struct {
	spec  scan.Spec
	plan  scan.Plan
	hears bool

	results    []scan.PortResult // by the port's index
	reported   []bool
	reportedAt []time.Duration
	answers    []reply // that reached us, by the port's index
	order      []int   // of the reports
	flights    []flight

	most   int // in flight
	took   time.Duration
	cut    bool // the time was up
	faults []string
}

// faultf notes that a rule was broken.
func (r *record) faultf(format string, args ...any) {
	const enough = 5
	if len(r.faults) < enough {
		r.faults = append(r.faults, fmt.Sprintf(format, args...))
	}
}

// check holds the record against what has to be so for every host.
func (r *record) check(tb testing.TB) {
	tb.Helper()
	r.checkReports()
	r.checkSilence()
	r.checkAttempts()
	r.checkApart()
	r.checkRate(r.spec.Rate, len(r.flights))
	if r.most > r.spec.MaxInFlight {
		r.faultf("%d were in flight, of at most %d", r.most, r.spec.MaxInFlight)
	}
	for _, f := range r.faults {
		tb.Error(f)
	}
}

// checkReports holds the results against what the network has answered.
func (r *record) checkReports() {
	for i, p := range r.results {
		told := r.answers[i]
		switch {
		case !r.reported[i]:
			r.faultf("port %d was not reported", i)
		case told != silence && (p.State != told.state || p.Cause != told.cause):
			r.faultf("port %d answered %v, %v and is %v, %v", i, told.state, told.cause, p.State, p.Cause)
		case told == silence && (p.State == scan.Filtered || p.State == scan.OpenFiltered) != (p.Cause == scan.CauseSilence), told == silence && p.Cause.Answered():
			r.faultf("port %d never answered and is %v, %v", i, p.State, p.Cause)
		case (p.RTT > 0) != (told != silence):
			r.faultf("port %d is %v, %v with a round trip of %v", i, p.State, p.Cause, p.RTT)
		case p.State != scan.Unknown && p.Attempts < 1:
			r.faultf("port %d is %v after %d attempts", i, p.State, p.Attempts)
		}
	}
}

// checkSilence holds the ports that are said to be silent against what was done
// to hear of them: two attempts, where there may be more than one, and a listen
// that was not a first attempt's short one.
func (r *record) checkSilence() {
	least := finalFloor
	if r.hears {
		least = r.spec.PortTimeout
	}
	silent, longest := make([]int, len(r.results)), make([]time.Duration, len(r.results))
	for _, f := range r.flights {
		if f.ending == endedSilent && f.Kind != Canary {
			silent[f.Index]++
			ended := f.ended
			if r.hears { // it is listened for until the port is reported
				ended = r.reportedAt[f.Index]
			}
			longest[f.Index] = max(longest[f.Index], ended-f.sent)
		}
	}
	for i, p := range r.results {
		if p.Cause == scan.CauseSilence && (silent[i] < 1+min(1, r.spec.Retries) || longest[i] < min(least, r.spec.PortTimeout)) {
			r.faultf("port %d is filtered after %d silent attempts, the longest of %v", i, silent[i], longest[i])
		}
	}
}

// checkAttempts adds up what was reported, which must be what was made. An
// attempt for which there was no descriptor is none.
func (r *record) checkAttempts() {
	made, told := 0, 0
	for _, f := range r.flights {
		if f.ending != endedFailed || f.cause != scan.CauseDescriptors {
			made++
		}
	}
	for _, p := range r.results {
		told += p.Attempts
	}
	if told != made {
		r.faultf("%d attempts were made and %d reported", made, told)
	}
}

// checkApart looks for attempts at a port that follow each other too soon. One
// that failed or was interrupted told nothing, so that the next may be made at
// once; and what had been silent of an address before it first answered is
// examined anew.
func (r *record) checkApart() {
	last := make([]int, len(r.results))
	awake := r.firstAnswer()
	for i := range last {
		last[i] = -1
	}
	for i, f := range r.flights {
		if f.Kind == Canary {
			continue
		}
		if before := last[f.Index]; before >= 0 {
			b := r.flights[before]
			if b.ending == endedSilent && f.sent-b.sent < apart && b.ended > awake {
				r.faultf("port %d was tried at %v and again at %v", f.Index, b.sent, f.sent)
			}
		}
		last[f.Index] = i
	}
}

// firstAnswer returns when the address first answered; the end where it did not.
func (r *record) firstAnswer() time.Duration {
	first := r.took
	for _, f := range r.flights {
		if f.ending == endedAnswered && (f.cause != scan.CauseICMP) != (r.spec.Protocol == scan.UDP) {
			first = min(first, f.ended)
		}
	}
	return first
}

// checkRate looks for more attempts among the first n than a ceiling allows: in
// any span of time as many as are due in it and in 10 ms, and one.
func (r *record) checkRate(perSecond, n int) {
	if perSecond == 0 {
		return
	}
	every := time.Second / time.Duration(perSecond)
	lowest := time.Duration(1 << 62)
	for i, f := range r.flights[:n] {
		ahead := time.Duration(i)*every - f.sent
		lowest = min(lowest, ahead)
		if ahead-lowest > 10*time.Millisecond {
			r.faultf("attempt %d, at %v, is above %d a second", i, f.sent, perSecond)
			return
		}
	}
}

// census counts the ports by state and cause.
func (r *record) census() map[string]int {
	counts := make(map[string]int)
	for _, p := range r.results {
		counts[p.State.String()+" "+p.Cause.String()]++
	}
	return counts
}

// want compares the census.
func (r *record) want(tb testing.TB, want map[string]int) {
	tb.Helper()
	if diff := cmp.Diff(want, r.census()); diff != "" {
		tb.Errorf("after %v, less what was wanted, more what came:\n%s", r.took, diff)
	}
}

// within holds the time that the scan took against a bound.
func (r *record) within(tb testing.TB, least, most time.Duration) {
	tb.Helper()
	if r.took < least || r.took > most {
		tb.Errorf("it took %v, want %v to %v", r.took, least, most)
	}
}

// perPort counts the attempts at each port, canaries left out.
func (r *record) perPort() []int {
	counts := make([]int, len(r.results))
	for _, f := range r.flights {
		if f.Kind != Canary {
			counts[f.Index]++
		}
	}
	return counts
}

// wantAttempts holds the attempts at silent ports against a number. Those of the
// first batch that went before the first to be answered may take one more.
func (r *record) wantAttempts(tb testing.TB, want int, n network) {
	tb.Helper()
	early := 0
	for i, got := range r.perPort() {
		switch {
		case n(question{index: i}) != silence || got == want:
		case got == want+1 && r.firstAnswer() < r.took && early < startWindow:
			early++
		default:
			tb.Errorf("silent port %d took %d attempts, want %d", i, got, want)
		}
	}
}

// kinds counts the attempts by kind.
func (r *record) kinds() [Kinds]int {
	var counts [Kinds]int
	for _, f := range r.flights {
		counts[f.Kind]++
	}
	return counts
}

// first returns the ports in the order in which each was first tried.
func (r *record) first() []int {
	order := make([]int, 0, len(r.results))
	seen := make([]bool, len(r.results))
	for _, f := range r.flights {
		if !seen[f.Index] {
			seen[f.Index] = true
			order = append(order, int(f.Index))
		}
	}
	return order
}

// busiest returns the most attempts that were made within a span of time.
func (r *record) busiest(span time.Duration) int {
	most, from := 0, 0
	for i, f := range r.flights {
		for f.sent-r.flights[from].sent >= span {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// only tells whether all ports of the list are in the state, and no others.
func (r *record) only(state scan.State, ports ...int) bool {
	for i, p := range r.results {
		if (p.State == state) != slices.Contains(ports, i) {
			return false
		}
	}
	return true
}

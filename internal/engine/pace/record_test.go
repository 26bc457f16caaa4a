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

// record contains the results of a simulation and the attempts that it made.
type record struct {
	spec         scan.Spec
	plan         scan.Plan
	receivesLate bool

	results    []scan.PortResult // by the port's index
	reported   []bool
	withdrawn  []bool // a result of the port was replaced
	reportedAt []time.Duration
	openedAt   []time.Duration // time of the first answer of an open port; 0: none
	answers    []attemptResult // received, by the port's index
	attempts   []sentAttempt

	reportedAttempts int // in all results, also those that were replaced
	maxInFlight      int // attempts at once
	duration         time.Duration
	stopped          bool     // at a deadline, before its end
	violations       []string // of the rules for every scan
}

// violationf adds a violation of a rule.
func (r *record) violationf(format string, args ...any) {
	const enough = 5
	if len(r.violations) < enough {
		r.violations = append(r.violations, fmt.Sprintf(format, args...))
	}
}

// check fails the test if the record breaks a rule that every scan must follow.
func (r *record) check(tb testing.TB) {
	tb.Helper()
	r.checkReports()
	r.checkSilence()
	r.checkAttempts()
	r.checkOpenAttempts()
	r.checkRetryInterval()
	r.checkRate(r.spec.Rate, len(r.attempts))
	if r.maxInFlight > r.spec.MaxInFlight {
		r.violationf("got %d attempts in flight, want at most %d", r.maxInFlight, r.spec.MaxInFlight)
	}
	for _, v := range r.violations {
		tb.Error(v)
	}
}

// checkReports requires that each port is reported, with its answer if one was received, and
// as silent or unknown otherwise.
func (r *record) checkReports() {
	for i, p := range r.results {
		want := r.answers[i]
		switch {
		case !r.reported[i]:
			r.violationf("port %d: got no result, want one", i)
		case p.Cause == scan.CauseUnresponsive && (want.cause == scan.CauseICMP || want.cause == scan.CauseRST), r.withdrawn[i] && !p.Cause.Answered():
		case want != silence && (p.State != want.state || p.Cause != want.cause):
			r.violationf("port %d: got %v, %v, want %v, %v as answered", i, p.State, p.Cause, want.state, want.cause)
		case want == silence && (p.State == scan.Filtered || p.State == scan.OpenFiltered) != (p.Cause == scan.CauseSilence), want == silence && p.Cause.Answered():
			r.violationf("port %d: got %v, %v without an answer, want silence or unknown", i, p.State, p.Cause)
		case (p.RTT > 0) != (want != silence):
			r.violationf("port %d: got %v, %v with a round trip of %v, want a round trip only for an answer", i, p.State, p.Cause, p.RTT)
		case p.State != scan.Unknown && p.Attempts < 1 && !r.withdrawn[i]:
			r.violationf("port %d: got %v after %d attempts, want at least 1", i, p.State, p.Attempts)
		}
	}
}

// checkSilence requires that a port is reported as silent only after two attempts, or one
// without retries, and after at least one attempt that waited longer than a first one.
func (r *record) checkSilence() {
	least := minFinal
	if r.receivesLate {
		least = r.spec.PortTimeout
	}
	silent, longest := make([]int, len(r.results)), make([]time.Duration, len(r.results))
	for _, attempt := range r.attempts {
		if attempt.ending == endedSilent && attempt.Kind != Canary {
			silent[attempt.Index]++
			ended := attempt.ended
			if r.receivesLate { // its answer is accepted until the port is reported
				ended = r.reportedAt[attempt.Index]
			}
			longest[attempt.Index] = max(longest[attempt.Index], ended-attempt.sent)
		}
	}
	for i, p := range r.results {
		if p.Cause == scan.CauseSilence && (silent[i] < 1+min(1, r.spec.Retries) || longest[i] < min(least, r.spec.PortTimeout)) {
			r.violationf("port %d: got %v after %d silent attempts, the longest of %v, want %d and %v",
				i, p.State, silent[i], longest[i], 1+min(1, r.spec.Retries), min(least, r.spec.PortTimeout))
		}
	}
}

// checkAttempts requires that the reported attempts of all ports add up to the attempts that
// were sent. Those that this machine failed to make are not, except for translated ones.
func (r *record) checkAttempts() {
	made := 0
	for _, attempt := range r.attempts {
		if attempt.ending != endedFailed || attempt.cause == scan.CauseTranslated {
			made++
		}
	}
	if r.reportedAttempts != made {
		r.violationf("got %d reported attempts, want %d", r.reportedAttempts, made)
	}
}

// checkOpenAttempts requires that a port that has answered open has at most max_open_attempts.
func (r *record) checkOpenAttempts() {
	made := make([]int, len(r.results))
	for _, attempt := range r.attempts {
		if attempt.ending == endedFailed && isUnsent(attempt.cause) {
			continue
		}
		made[attempt.Index]++
		if opened := r.openedAt[attempt.Index]; opened > 0 && attempt.sent >= opened && made[attempt.Index] > r.spec.MaxOpenAttempts {
			r.violationf("port %d: got attempt %d after it was open, want at most %d", attempt.Index, made[attempt.Index], r.spec.MaxOpenAttempts)
		}
	}
}

// checkRetryInterval requires that a silent attempt at a port is followed by another only after
// retryInterval. It exempts attempts that ended before the first answer of the address: the
// port may be tried again at once after that.
func (r *record) checkRetryInterval() {
	last := make([]int, len(r.results))
	firstAnswer := r.firstAnswer()
	for i := range last {
		last[i] = -1
	}
	for i, attempt := range r.attempts {
		if attempt.Kind == Canary {
			continue
		}
		if l := last[attempt.Index]; l >= 0 {
			previous := r.attempts[l]
			if previous.ending == endedSilent && attempt.sent-previous.sent < retryInterval && previous.ended > firstAnswer {
				r.violationf("port %d: got attempts at %v and %v, want at least %v in between", attempt.Index, previous.sent, attempt.sent, retryInterval)
			}
		}
		last[attempt.Index] = i
	}
}

// firstAnswer returns the time of the first answer of the address, or the end of the scan if
// there was none.
func (r *record) firstAnswer() time.Duration {
	first := r.duration
	for _, attempt := range r.attempts {
		if attempt.ending == endedAnswered && (attempt.cause != scan.CauseICMP) != (r.spec.Protocol == scan.UDP) {
			first = min(first, attempt.ended)
		}
	}
	return first
}

// checkRate requires that the first n attempts follow a rate limit: in any period, at most
// those that are due in it and in 10 ms, and one more.
func (r *record) checkRate(perSecond, n int) {
	if perSecond == 0 {
		return
	}
	interval := time.Second / time.Duration(perSecond)
	lowest := time.Duration(1 << 62)
	for i, attempt := range r.attempts[:n] {
		ahead := time.Duration(i)*interval - attempt.sent
		lowest = min(lowest, ahead)
		if ahead-lowest > 10*time.Millisecond {
			r.violationf("attempt %d at %v exceeds %d attempts per second", i, attempt.sent, perSecond)
			return
		}
	}
}

// lastSent returns the time of the last attempt, 0 if there was none.
func (r *record) lastSent() time.Duration {
	if len(r.attempts) == 0 {
		return 0
	}
	return r.attempts[len(r.attempts)-1].sent
}

// counts returns the number of ports by state and cause.
func (r *record) counts() map[string]int {
	counts := make(map[string]int)
	for _, p := range r.results {
		counts[p.State.String()+" "+p.Cause.String()]++
	}
	return counts
}

// wantCounts fails the test if the number of ports by state and cause differs.
func (r *record) wantCounts(tb testing.TB, want map[string]int) {
	tb.Helper()
	if diff := cmp.Diff(want, r.counts()); diff != "" {
		tb.Errorf("ports after %v (-want +got):\n%s", r.duration, diff)
	}
}

// wantDuration fails the test if the scan did not take from least to most.
func (r *record) wantDuration(tb testing.TB, least, most time.Duration) {
	tb.Helper()
	if r.duration < least || r.duration > most {
		tb.Errorf("got a scan of %v, want %v to %v", r.duration, least, most)
	}
}

// attemptsByPort returns the number of attempts at each port, without canaries.
func (r *record) attemptsByPort() []int {
	counts := make([]int, len(r.results))
	for _, attempt := range r.attempts {
		if attempt.Kind != Canary {
			counts[attempt.Index]++
		}
	}
	return counts
}

// wantAttempts fails the test if the number of attempts at a silent port differs. The ports that
// were tried before the first answer, up to those of common services, may have one more.
func (r *record) wantAttempts(tb testing.TB, want int, n network) {
	tb.Helper()
	const common = 100
	early := 0
	for i, got := range r.attemptsByPort() {
		switch {
		case n(attemptInfo{index: i}) != silence || got == want:
		case got == want+1 && r.firstAnswer() < r.duration && early < startWindow+common:
			early++
		default:
			tb.Errorf("silent port %d: got %d attempts, want %d", i, got, want)
		}
	}
}

// attemptsByKind returns the number of attempts of each kind.
func (r *record) attemptsByKind() [Kinds]int {
	var counts [Kinds]int
	for _, attempt := range r.attempts {
		counts[attempt.Kind]++
	}
	return counts
}

// firstTried returns the ports in the order of their first attempts.
func (r *record) firstTried() []int {
	order := make([]int, 0, len(r.results))
	seen := make([]bool, len(r.results))
	for _, attempt := range r.attempts {
		if !seen[attempt.Index] {
			seen[attempt.Index] = true
			order = append(order, int(attempt.Index))
		}
	}
	return order
}

// maxAttemptsWithin returns the largest number of attempts in any period of the given length.
func (r *record) maxAttemptsWithin(span time.Duration) int {
	most, from := 0, 0
	for i, attempt := range r.attempts {
		for attempt.sent-r.attempts[from].sent >= span {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// onlyPortsHave reports whether the given ports have the state, and no other port has.
func (r *record) onlyPortsHave(state scan.State, ports ...int) bool {
	for i, p := range r.results {
		if (p.State == state) != slices.Contains(ports, i) {
			return false
		}
	}
	return true
}

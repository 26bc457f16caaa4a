// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	"portscan_exporter/internal/scan"
)

// maxMistakes is the number of wrong ports that a [Score] lists.
const maxMistakes = 10

// truth returns the true state of a port, see [RunningHost.State] and [Truth].
type truth = func(netip.Addr, uint16) scan.State

// Score is the accuracy of a scan.
type Score struct {
	by        map[scan.State]tally
	unknown   map[scan.Cause]int
	wrong     int
	mistakes  []mistake
	addresses map[netip.Addr]struct{}
}

// tally has numbers of ports in one state.
type tally struct {
	actual  int
	claimed int
	right   int
}

// mistake is a port with a wrong state.
type mistake struct {
	at      netip.AddrPort
	claimed scan.State
	cause   scan.Cause
	actual  scan.State
}

// Compare compares the results of a scan with the true states. A port whose true state is
// unknown must be reported as unknown.
func Compare(is func(netip.Addr, uint16) scan.State, results []scan.AddressResult) Score {
	s := newScore()
	for i := range results {
		for r := range results[i].All() {
			addPort(&s, is, r)
		}
	}
	return s
}

// CompareReports compares the reports of an engine with the true states. It ignores ports
// without a report.
func CompareReports(is func(netip.Addr, uint16) scan.State, reports map[netip.AddrPort]scan.PortResult) Score {
	s := newScore()
	// In order, so that the listed mistakes are deterministic.
	for _, at := range slices.SortedFunc(maps.Keys(reports), netip.AddrPort.Compare) {
		addPort(&s, is, reports[at])
	}
	return s
}

// EachPort yields an engine's report port by port. The attempts at several ports are divided
// evenly, and the first ports have the remainder.
func EachPort(r scan.PortResult) iter.Seq[scan.PortResult] {
	ports := scan.NewPortSet(r.Port)
	if r.Ports != nil {
		ports = *r.Ports
	}
	return func(yield func(scan.PortResult) bool) {
		one, count := r, ports.Len()
		one.Ports = nil
		for i, port := range slices.Collect(ports.All()) {
			one.Port, one.Attempts = port, (r.Attempts+count-1-i)/count
			if !yield(one) {
				return
			}
		}
	}
}

func newScore() Score {
	return Score{
		by:        make(map[scan.State]tally),
		unknown:   make(map[scan.Cause]int),
		addresses: make(map[netip.Addr]struct{}),
	}
}

// addPort adds a port to the score.
func addPort(s *Score, is truth, r scan.PortResult) {
	state := is(r.Address, r.Port)
	s.addresses[r.Address] = struct{}{}
	right := 0
	switch {
	case r.State == state:
		right = 1
	case r.State != scan.Unknown:
		s.wrong++
		if len(s.mistakes) < maxMistakes {
			s.mistakes = append(s.mistakes, mistake{netip.AddrPortFrom(r.Address, r.Port), r.State, r.Cause, state})
		}
	}
	if r.State == scan.Unknown {
		s.unknown[r.Cause]++
	}
	t := s.by[state]
	t.actual++
	s.by[state] = t
	t = s.by[r.State]
	t.claimed++
	t.right += right
	s.by[r.State] = t
}

// True returns the number of ports whose true state it is.
func (s Score) True(state scan.State) int { return s.by[state].actual }

// Claimed returns the number of ports that the scan reports in the state.
func (s Score) Claimed(state scan.State) int { return s.by[state].claimed }

// Right returns the number of ports that the scan correctly reports in the state.
func (s Score) Right(state scan.State) int { return s.by[state].right }

// Precision returns the ratio of correct ports among those that the scan reports in the
// state, or 1 if there are none.
func (s Score) Precision(state scan.State) float64 {
	return ratio(s.by[state].right, s.by[state].claimed)
}

// Recall returns the ratio of correctly reported ports among those whose true state it is,
// or 1 if there are none.
func (s Score) Recall(state scan.State) float64 {
	return ratio(s.by[state].right, s.by[state].actual)
}

func ratio(part, total int) float64 {
	if total == 0 {
		return 1
	}
	return float64(part) / float64(total)
}

// Wrong returns the number of ports that the scan reports in a wrong state. Unknown ports
// are not wrong.
func (s Score) Wrong() int { return s.wrong }

// Unknown returns the number of ports that the scan reports as unknown.
func (s Score) Unknown() int { return s.by[scan.Unknown].claimed }

// UnknownByCause returns the number of ports that the scan reports as unknown for the cause.
func (s Score) UnknownByCause(cause scan.Cause) int { return s.unknown[cause] }

// Mistakes returns a line for each of the first wrong ports. It is empty if there are none.
func (s Score) Mistakes() string {
	var b strings.Builder
	for _, m := range s.mistakes {
		fmt.Fprintf(&b, "%v is reported as %v (%v), want %v\n", m.at, m.claimed, m.cause, m.actual)
	}
	if more := s.wrong - len(s.mistakes); more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	return b.String()
}

// String returns a table of the score, followed by the mistakes.
func (s Score) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "state\ttrue\tclaimed\tright\tprecision\trecall\t")
	for _, state := range scan.States() {
		if t := s.by[state]; t != (tally{}) {
			fmt.Fprintf(w, "%v\t%d\t%d\t%d\t%.4f\t%.4f\t\n", state, t.actual, t.claimed, t.right, s.Precision(state), s.Recall(state))
		}
	}
	_ = w.Flush() // to memory
	fmt.Fprintf(&b, "%d addresses, %d wrong, %d unknown", len(s.addresses), s.wrong, s.Unknown())
	for _, cause := range slices.SortedFunc(maps.Keys(s.unknown), cmp.Compare[scan.Cause]) {
		fmt.Fprintf(&b, ", %d of them by %v", s.unknown[cause], cause)
	}
	return b.String() + "\n" + s.Mistakes()
}

package testnet

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	"portscan_exporter/internal/scan"
)

// maxMistakes is how many wrong ports a [Score] names.
const maxMistakes = 10

// Truth of ports, as [RunningHost.State] and [Truth] tell it.
type truth = func(netip.Addr, uint16) scan.State

// Score says how well a scan did, measured at the truth.
type Score struct {
	by        map[scan.State]tally
	unknown   map[scan.Cause]int
	wrong     int
	mistakes  []mistake
	addresses map[netip.Addr]struct{}
}

// tally are the ports of one state.
type tally struct {
	are     int // in truth
	claimed int
	right   int
}

// mistake is a port whose state is claimed wrongly.
type mistake struct {
	at      netip.AddrPort
	claimed scan.State
	cause   scan.Cause
	is      scan.State
}

// Compare measures the results of a scan at the truth. A port whose true state
// is unknown, one that nothing can be known of, has to be claimed to be unknown.
func Compare(is func(netip.Addr, uint16) scan.State, results []scan.AddressResult) Score {
	s := newScore()
	for i := range results {
		for r := range results[i].All() {
			add(&s, is, r)
		}
	}
	return s
}

// CompareReports does as [Compare] with what an engine has reported. A port that
// was never reported is not seen.
func CompareReports(is func(netip.Addr, uint16) scan.State, reports map[netip.AddrPort]scan.PortResult) Score {
	s := newScore()
	// In order, so that the mistakes named are the same each time.
	for _, at := range slices.SortedFunc(maps.Keys(reports), netip.AddrPort.Compare) {
		add(&s, is, reports[at])
	}
	return s
}

func newScore() Score {
	return Score{
		by:        make(map[scan.State]tally),
		unknown:   make(map[scan.Cause]int),
		addresses: make(map[netip.Addr]struct{}),
	}
}

// add takes one port into account.
func add(s *Score, is truth, r scan.PortResult) {
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
	t.are++
	s.by[state] = t
	t = s.by[r.State]
	t.claimed++
	t.right += right
	s.by[r.State] = t
}

// True returns how many ports are in the state in truth.
func (s Score) True(state scan.State) int { return s.by[state].are }

// Claimed returns how many ports the scan says are in the state.
func (s Score) Claimed(state scan.State) int { return s.by[state].claimed }

// Right returns how many ports the scan says are in the state, and are.
func (s Score) Right(state scan.State) int { return s.by[state].right }

// Precision returns the share, of the ports claimed to be in the state, that
// are: 1 where none is claimed to be.
func (s Score) Precision(state scan.State) float64 {
	return share(s.by[state].right, s.by[state].claimed)
}

// Recall returns the share, of the ports that are in the state, that the scan
// found: 1 where none is.
func (s Score) Recall(state scan.State) float64 {
	return share(s.by[state].right, s.by[state].are)
}

func share(part, of int) float64 {
	if of == 0 {
		return 1
	}
	return float64(part) / float64(of)
}

// Wrong returns how many ports the scan says are in a state that they are not
// in. To say that a port is unknown is no mistake.
func (s Score) Wrong() int { return s.wrong }

// Unknown returns how many ports the scan leaves unknown.
func (s Score) Unknown() int { return s.by[scan.Unknown].claimed }

// UnknownByCause returns how many ports the scan leaves unknown for that cause.
func (s Score) UnknownByCause(cause scan.Cause) int { return s.unknown[cause] }

// Mistakes describes the first few wrong ports, a line each; it is empty where
// there are none.
func (s Score) Mistakes() string {
	var b strings.Builder
	for _, m := range s.mistakes {
		fmt.Fprintf(&b, "%v is said to be %v (%v) and is %v\n", m.at, m.claimed, m.cause, m.is)
	}
	if more := s.wrong - len(s.mistakes); more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	return b.String()
}

// String prints the score as a table, with the mistakes below.
func (s Score) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "state\ttrue\tclaimed\tright\tprecision\trecall\t")
	for _, state := range scan.States() {
		if t := s.by[state]; t != (tally{}) {
			fmt.Fprintf(w, "%v\t%d\t%d\t%d\t%.4f\t%.4f\t\n", state, t.are, t.claimed, t.right, s.Precision(state), s.Recall(state))
		}
	}
	_ = w.Flush() // to memory
	fmt.Fprintf(&b, "%d addresses, %d wrong, %d unknown", len(s.addresses), s.wrong, s.Unknown())
	for _, cause := range slices.SortedFunc(maps.Keys(s.unknown), cmp.Compare[scan.Cause]) {
		fmt.Fprintf(&b, ", %d of them by %v", s.unknown[cause], cause)
	}
	return b.String() + "\n" + s.Mistakes()
}

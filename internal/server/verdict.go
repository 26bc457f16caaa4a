package server

import (
	"slices"
	"time"

	"portscan_exporter/internal/config"
	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// verdict is what is to be seen of a target and a module at a glance. The worst comes
// first.
type verdict uint8

const (
	violating  verdict = iota // a port is open that should not be, or the other way round
	incomplete                // not all is known, or not any more
	ended                     // the authorization has; nothing is shown of what was seen before
	never                     // scanned
	asExpected
)

func verdicts() []verdict { return []verdict{violating, incomplete, ended, never, asExpected} }

// String returns the verdict's words.
func (v verdict) String() string {
	switch v {
	case violating:
		return "violating"
	case incomplete:
		return "incomplete"
	case ended:
		return "authorization expired"
	case never:
		return "never scanned"
	default:
		return "as expected"
	}
}

// Key returns the verdict's name in classes, marks and addresses.
func (v verdict) Key() string {
	return [...]string{violating: "violating", incomplete: "incomplete", ended: "ended", never: "never", asExpected: "expected"}[v]
}

// standing is how a target is seen with one of its modules.
type standing struct {
	target  *config.Target
	module  *config.Module
	sum     *coordinator.Summary // nil: there is none, or it is not to be shown
	sight   *coordinator.Sight   // with its addresses, where they are to be shown
	verdict verdict
	why     []string // it is incomplete
	stale   bool     // with a max_age: it is too old to be taken for the truth
}

// judge says how a target is seen. It shows no more than /probe would: nothing, once
// the authorization has ended.
func judge(t *config.Target, m *config.Module, sum *coordinator.Summary, now time.Time) *standing {
	s := &standing{target: t, module: m, sum: sum}
	switch {
	case t.Authorization.Expired(now):
		s.sum, s.verdict = nil, ended
		return s
	case sum == nil:
		s.verdict = never
		return s
	}
	s.stale = m.MaxAge > 0 && now.Sub(sum.Finished) > m.MaxAge+m.Timeout
	s.why = s.lacks()
	switch {
	case sum.WithUnexpected+sum.WithMissing > 0:
		s.verdict = violating
	case len(s.why) > 0:
		s.verdict = incomplete
	default:
		s.verdict = asExpected
	}
	return s
}

// lacks says what keeps the picture from being whole.
func (s *standing) lacks() (why []string) {
	if s.sum.Unknown > 0 {
		why = append(why, plural(s.sum.Unknown, "port")+" unknown")
	}
	if s.sum.Others {
		why = append(why, "some addresses never scanned")
	}
	for _, f := range scan.Failures() {
		if err := s.sum.Failed[f]; err != nil {
			why = append(why, failureWords(f))
		}
	}
	if n := len(s.sum.Refused); n > 0 && s.sum.Failed[scan.FailedAddressRefused] == nil {
		why = append(why, failureWords(scan.FailedAddressRefused))
	}
	if s.sum.Gone > 0 {
		why = append(why, plural(s.sum.Gone, "address")+" evicted")
	}
	if s.sum.Scanned == 0 && len(why) == 0 {
		why = append(why, "no addresses")
	}
	if s.stale {
		why = append(why, "older than max_age + timeout")
	}
	return why
}

func failureWords(f scan.Failure) string {
	switch f {
	case scan.FailedDNS:
		return "name not resolved"
	case scan.FailedAddressRefused:
		return "name resolves outside networks"
	case scan.FailedTooManyAddresses:
		return "more addresses than max_addresses"
	case scan.FailedCanceled:
		return "scan canceled"
	default:
		return "internal error, see the log"
	}
}

// union spares the work where one of the sets is empty, as they mostly are.
func union(a, b scan.PortSet) scan.PortSet {
	switch {
	case b.IsEmpty():
		return a
	case a.IsEmpty():
		return b
	default:
		return a.Union(b)
	}
}

// standings returns how all targets are seen with each of their modules, the worst
// first.
func (s *Server) standings(now time.Time) []*standing {
	sums := s.options.Scans.Summaries()
	by := make(map[key]*coordinator.Summary, len(sums))
	for i := range sums {
		by[key{sums[i].Target, sums[i].Module}] = &sums[i]
	}
	var all []*standing
	for _, t := range s.options.Config.Get().Targets() {
		for _, m := range t.Modules {
			all = append(all, judge(t, m, by[key{t.Name, m.Name}], now))
		}
	}
	slices.SortStableFunc(all, func(a, b *standing) int { return int(a.verdict) - int(b.verdict) })
	return all
}

// standingsOf returns how a target is seen with each of its modules, in their order, with
// its addresses.
func (s *Server) standingsOf(t *config.Target, now time.Time) []*standing {
	by := make(map[string]*coordinator.Sight)
	for _, sight := range s.options.Scans.Sights(t.Name) {
		by[sight.Module] = sight
	}
	all := make([]*standing, 0, len(t.Modules))
	for _, m := range t.Modules {
		var sum *coordinator.Summary
		sight := by[m.Name]
		if sight != nil {
			sum = &sight.Summary
		}
		st := judge(t, m, sum, now)
		if st.sum != nil {
			st.sight = sight
		}
		all = append(all, st)
	}
	return all
}

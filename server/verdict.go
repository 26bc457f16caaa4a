package server

import (
	"slices"
	"time"

	"portscan_exporter/config"
	"portscan_exporter/coordinator"
	"portscan_exporter/scan"
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
		return "authorization ended"
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
	sight   *coordinator.Sight // nil: there is none, or it is not to be shown
	verdict verdict
	why     []string // it is incomplete

	unexpected, missing scan.PortSet // on any address
	withUnexpected      int          // addresses
	withMissing         int          // addresses
	open, unknown       int          // ports of addresses
	suspect             int          // addresses
	stale               bool         // with a max_age: it is too old to be taken for the truth
}

// judge says how a target is seen. It shows no more than /probe would: nothing, once
// the authorization has ended.
func judge(t *config.Target, m *config.Module, sight *coordinator.Sight, now time.Time) *standing {
	s := &standing{target: t, module: m, sight: sight}
	switch {
	case t.Authorization.Expired(now):
		s.sight, s.verdict = nil, ended
		return s
	case sight == nil:
		s.verdict = never
		return s
	}
	for _, a := range sight.Addresses {
		unexpected, missing := sight.Unexpected(a), sight.Missing(a)
		if !unexpected.IsEmpty() {
			s.unexpected = union(s.unexpected, unexpected)
			s.withUnexpected++
		}
		if !missing.IsEmpty() {
			s.missing = union(s.missing, missing)
			s.withMissing++
		}
		s.open += a.States[scan.Open].Len()
		s.unknown += a.States[scan.Unknown].Len()
		if a.Suspect {
			s.suspect++
		}
	}
	s.stale = m.MaxAge > 0 && now.Sub(sight.Finished) > m.MaxAge+m.Timeout
	s.why = s.lacks()
	switch {
	case s.withUnexpected+s.withMissing > 0:
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
	if s.unknown > 0 {
		why = append(why, plural(s.unknown, "port")+" unknown")
	}
	for _, f := range scan.Failures() {
		if err := s.sight.Failed[f]; err != nil {
			why = append(why, failureWords(f))
		}
	}
	if n := len(s.sight.Refused); n > 0 && s.sight.Failed[scan.FailedAddressRefused] == nil {
		why = append(why, failureWords(scan.FailedAddressRefused))
	}
	if s.sight.Gone > 0 {
		why = append(why, plural(s.sight.Gone, "address")+" forgotten")
	}
	if len(s.sight.Addresses) == 0 && len(why) == 0 {
		why = append(why, "no address")
	}
	if s.stale {
		why = append(why, "older than max_age and timeout")
	}
	return why
}

func failureWords(f scan.Failure) string {
	switch f {
	case scan.FailedDNS:
		return "a name did not resolve"
	case scan.FailedAddressRefused:
		return "a name leads outside the networks"
	case scan.FailedTooManyAddresses:
		return "more addresses than max_addresses"
	case scan.FailedCanceled:
		return "the scan was cancelled"
	default:
		return "a fault of the exporter's own, see its log"
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
// first, or one of them with its modules in their order.
func (s *Server) standings(of *config.Target, now time.Time) []*standing {
	targets, name := s.options.Config.Get().Targets(), ""
	if of != nil {
		targets, name = []*config.Target{of}, of.Name
	}
	sights := s.options.Scans.Sights(name)
	by := make(map[key]*coordinator.Sight, len(sights))
	for _, sight := range sights {
		by[key{sight.Target, sight.Module}] = sight
	}
	all := make([]*standing, 0, len(targets))
	for _, t := range targets {
		for _, m := range t.Modules {
			all = append(all, judge(t, m, by[key{t.Name, m.Name}], now))
		}
	}
	if of == nil {
		slices.SortStableFunc(all, func(a, b *standing) int { return int(a.verdict) - int(b.verdict) })
	}
	return all
}

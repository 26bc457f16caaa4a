// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"slices"
	"strings"
	"time"

	"portscan_exporter/collector"
	"portscan_exporter/internal/config"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/store"
)

// status summarizes the last results of a target and module. A worse status is
// smaller.
type status uint8

const (
	statusViolating  status = iota // a port is unexpected or missing
	statusIncomplete               // ports, addresses or names are unknown, or the result is too old
	statusExpired                  // the authorization has expired, and results are hidden
	statusNeverScanned
	statusAsExpected
)

// statuses returns all statuses, the worst first.
func statuses() []status {
	return []status{statusViolating, statusIncomplete, statusExpired, statusNeverScanned, statusAsExpected}
}

// String returns the text of the status on pages.
func (s status) String() string {
	return [...]string{
		statusViolating: "violating", statusIncomplete: "incomplete", statusExpired: "authorization expired",
		statusNeverScanned: "never scanned", statusAsExpected: "as expected",
	}[s]
}

// Key returns the name of the status in classes, symbols and URLs.
func (s status) Key() string {
	return [...]string{
		statusViolating: "violating", statusIncomplete: "incomplete", statusExpired: "expired",
		statusNeverScanned: "never", statusAsExpected: "expected",
	}[s]
}

// targetStatus is the status of a target and module, and the results behind it.
type targetStatus struct {
	target  *config.Target
	module  *config.Module
	summary *store.Summary    // nil: never scanned, or hidden
	view    *store.TargetView // results by address; nil on the index page
	status  status
	reasons []string // why the results are incomplete
	stale   bool     // the result is older than max_age and timeout; by address, each has its own age
}

// evaluate returns the status of a target and module. It shows no more than
// /probe: no results after the authorization has expired.
func evaluate(t *config.Target, m *config.Module, summary *store.Summary, now time.Time) *targetStatus {
	ts := &targetStatus{target: t, module: m, summary: summary}
	switch {
	case t.Authorization.Expired(now):
		ts.summary, ts.status = nil, statusExpired
		return ts
	case summary == nil:
		ts.status = statusNeverScanned
		return ts
	}
	ts.stale = !t.IsByAddress() && collector.IsStale(now.Sub(summary.Finished), m.MaxAge, m.Timeout)
	ts.reasons = ts.incompleteReasons()
	switch {
	case summary.WithUnexpected+summary.WithMissing > 0:
		ts.status = statusViolating
	case len(ts.reasons) > 0:
		ts.status = statusIncomplete
	default:
		ts.status = statusAsExpected
	}
	return ts
}

// incompleteReasons returns the reasons why the results are incomplete.
func (ts *targetStatus) incompleteReasons() (reasons []string) {
	if ts.summary.Unknown > 0 {
		reasons = append(reasons, formatCount(ts.summary.Unknown, "port")+" unknown")
	}
	if ts.summary.Partial {
		reasons = append(reasons, "some addresses never scanned")
	}
	for _, f := range scan.Failures() {
		if err := ts.summary.Failed[f]; err != nil {
			reasons = append(reasons, describeFailure(f))
		}
	}
	if n := len(ts.summary.Refused); n > 0 && ts.summary.Failed[scan.FailedAddressRefused] == nil {
		reasons = append(reasons, describeFailure(scan.FailedAddressRefused))
	}
	if ts.summary.Evicted > 0 {
		reasons = append(reasons, formatCount(ts.summary.Evicted, "address")+" evicted")
	}
	if ts.summary.Scanned == 0 && len(reasons) == 0 {
		reasons = append(reasons, "no addresses")
	}
	if ts.stale {
		reasons = append(reasons, "older than max_age + timeout")
	}
	return reasons
}

// note returns the details that pages show beside the status.
func (ts *targetStatus) note() string {
	var notes []string
	if ts.status == statusExpired {
		notes = append(notes, ts.target.Authorization.Expires.UTC().Format(time.DateOnly))
	}
	if ts.status == statusViolating && len(ts.reasons) > 0 {
		notes = append(notes, "and incomplete")
	}
	notes = append(notes, ts.reasons...)
	if ts.summary != nil && ts.summary.Suspect > 0 {
		notes = append(notes, formatCount(ts.summary.Suspect, "address")+" suspect")
	}
	if ts.summary != nil && ts.summary.Dark > 0 {
		notes = append(notes, formatCount(ts.summary.Dark, "address")+" dark")
	}
	if ts.status == statusAsExpected && ts.summary.Plan.Spec().Expect == nil {
		notes = append(notes, "no expectations")
	}
	return strings.Join(notes, ", ")
}

// targetModule identifies a target with one of its modules.
type targetModule struct{ target, module string }

// allStatuses returns the status of each target and module, the worst first.
func (s *Server) allStatuses(now time.Time) []*targetStatus {
	summaries := s.options.Results.Summaries()
	byModule := make(map[targetModule]*store.Summary, len(summaries))
	for _, sum := range summaries {
		byModule[targetModule{sum.Target, sum.Module}] = sum
	}
	var all []*targetStatus
	for _, t := range s.options.Config.Get().Targets() {
		for _, m := range t.Modules {
			all = append(all, evaluate(t, m, byModule[targetModule{t.Name, m.Name}], now))
		}
	}
	slices.SortStableFunc(all, func(a, b *targetStatus) int { return int(a.status) - int(b.status) })
	return all
}

// moduleStatuses returns the status of a target with each of its modules, in
// their order, including results by address.
func (s *Server) moduleStatuses(t *config.Target, now time.Time) []*targetStatus {
	views := make(map[string]*store.TargetView)
	for _, view := range s.options.Results.TargetViews(t.Name) {
		views[view.Module] = view
	}
	all := make([]*targetStatus, 0, len(t.Modules))
	for _, m := range t.Modules {
		var summary *store.Summary
		view := views[m.Name]
		if view != nil {
			summary = &view.Summary
		}
		ts := evaluate(t, m, summary, now)
		if ts.summary != nil {
			ts.view = view
		}
		all = append(all, ts)
	}
	return all
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"time"

	"portscan_exporter/internal/scan"
)

// restoreRecord restores what is known of an address. The results are dropped if the
// configuration has changed.
func (r *restorer) restoreRecord(s *savedRecord, at fileLine) error {
	rec, err := r.restoreHistory(s)
	if err != nil {
		return fmt.Errorf("port history of %v: %w", s.IP, err)
	}
	task, ip := r.entry.task, s.IP.Unmap()
	if _, ok := task.Scope.Match(ip); !ok {
		return nil
	}
	unchanged := r.same
	if r.same {
		rec.newest = r.restoreScanned(s.Newest, rec, s)
		if rec.newest != nil {
			rec.previous = r.restoreScanned(s.Previous, rec, s)
		}
		unchanged = (rec.newest != nil) == (s.Newest != nil) && (rec.previous != nil) == (s.Previous != nil)
	}
	rec.restrict(task)
	r.entry.records[ip] = rec
	if unchanged {
		r.lines[rec] = at
	}
	return nil
}

// restoreScanned returns the result of a scan, or nil if there is none or it does not match the
// configuration. Ports that were open once have details in it.
func (r *restorer) restoreScanned(s *savedScanned, rec *record, of *savedRecord) *scanned {
	if s == nil || !r.isPast(s.Scan) {
		return nil
	}
	plan := r.entry.task.Plan.WithWatched(rec.opened)
	a, err := scan.ReadAddress(s.Result, plan, r.entry.task.Scope)
	if err != nil || a.IP != of.IP.Unmap() {
		return nil
	}
	return &scanned{result: a, by: r.info(s.Scan)}
}

// restoreHistory returns the record without results.
func (r *restorer) restoreHistory(s *savedRecord) (*record, error) {
	opened, err := scan.ParsePortSet(s.Opened)
	if err != nil {
		return nil, err
	}
	rec := &record{last: r.past(s.Last), history: history{
		opened: opened, lastResponse: r.past(s.LastResponse), dark: r.past(s.Dark), turned: r.restoreCount(s.Turned),
	}}
	if s.Baseline != nil {
		if rec.baseline, err = restoreBaseline(r.past(s.Baseline.Started), s.Baseline.States); err != nil {
			return nil, err
		}
	}
	for _, c := range s.Changed {
		ports, err := scan.ParsePortSet(c.Ports)
		if err != nil {
			return nil, err
		}
		rec.changed = append(rec.changed, portChange{changeCount: r.restoreCount(c.savedCount), ports: ports})
	}
	rec.changed = mergeChanges(rec.changed)
	return rec, nil
}

func (r *restorer) restoreCount(s savedCount) changeCount {
	return changeCount{at: r.past(s.At), since: r.past(s.Since), times: s.Times}
}

func restoreBaseline(started time.Time, saved map[string]string) (*baseline, error) {
	b := &baseline{started: started, states: make(map[scan.State]scan.PortSet, len(saved))}
	for name, text := range saved {
		state, err := parseName("state", name, scan.States()...)
		if err != nil {
			return nil, err
		}
		if b.states[state], err = scan.ParsePortSet(text); err != nil {
			return nil, err
		}
	}
	return b, nil
}

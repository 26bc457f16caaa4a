// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"

	"portscan_exporter/internal/scan"
)

// savedEntry is an entry. The lines of its addresses and of its unfinished scans follow.
type savedEntry struct {
	Target   string        `json:"target"`
	Module   string        `json:"module"`
	Protocol string        `json:"protocol"`
	Digest   string        `json:"task"` // of the complete target
	Full     *savedFull    `json:"full,omitempty"`
	Changes  []savedChange `json:"changes,omitempty"` // oldest first

	ChangesSince time.Time `json:"changes_since,omitzero"`
	Logged       int       `json:"changes_logged,omitempty"`
}

// savedScan describes a scan.
type savedScan struct {
	ID       string    `json:"id"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	Attempts int       `json:"attempts"`
	Retries  int       `json:"retries"`
}

// savedFull is a scan of the complete target.
type savedFull struct {
	savedScan

	Lookup    time.Duration     `json:"lookup"`
	Failed    map[string]string `json:"failed,omitempty"` // by name of the failure
	Refused   []netip.Addr      `json:"refused,omitempty"`
	Addresses []netip.Addr      `json:"addresses,omitempty"`
}

// savedUnfinished is an unfinished scan. The lines of its addresses follow.
type savedUnfinished struct {
	savedFull

	Asked string     `json:"asked"`
	Addr  netip.Addr `json:"addr,omitzero"` // the only one of the task
}

// savedRecord is a record of an address.
type savedRecord struct {
	IP           netip.Addr     `json:"ip"`
	Last         time.Time      `json:"last"`
	Newest       *savedScanned  `json:"newest,omitempty"`
	Previous     *savedScanned  `json:"previous,omitempty"`
	Baseline     *savedBaseline `json:"baseline,omitempty"`
	Opened       string         `json:"opened,omitempty"`
	Changed      []savedPorts   `json:"changed,omitempty"`
	LastResponse time.Time      `json:"last_response,omitzero"`
	Dark         time.Time      `json:"dark,omitzero"`
	Turned       savedCount     `json:"turned,omitzero"`
}

type savedScanned struct {
	Scan   savedScan       `json:"scan"`
	Result json.RawMessage `json:"result"` // see [scan.AddressResult.Save]
}

type savedBaseline struct {
	Started time.Time         `json:"started"`
	States  map[string]string `json:"states"` // ports by state
}

// savedPorts has ports that changed at the same times.
type savedPorts struct {
	savedCount

	Ports string `json:"ports"`
}

type savedCount struct {
	At    time.Time `json:"at"`
	Since time.Time `json:"since"`
	Times int       `json:"times"`
}

// savedChange is a change. Earlier versions have only changes of ports, without a kind.
type savedChange struct {
	Kind     string     `json:"kind,omitempty"` // empty: of a port
	Time     time.Time  `json:"time"`
	Module   string     `json:"module"`
	IP       netip.Addr `json:"ip"`
	Port     uint16     `json:"port,omitempty"`
	Protocol string     `json:"protocol"`
	From     string     `json:"from,omitempty"`
	To       string     `json:"to,omitempty"`
	Expected string     `json:"expected,omitempty"`
	Flapping bool       `json:"flapping,omitempty"`
}

// The kinds of lines.
const (
	kindEntry      = "entry"
	kindRecord     = "record"
	kindUnfinished = "unfinished"
	kindAddress    = "address" // of the unfinished scan above
)

// stateWriter writes the state file. Records are immutable, so that their lines are copied from
// the file that is replaced: they are encoded once.
type stateWriter struct {
	*lineWriter

	old     io.ReaderAt // nil: none
	lines   map[*record]fileLine
	written map[*record]fileLine // is lines in the next call
	limit   int64                // of the file's size
	omitted int                  // addresses and unfinished scans beyond it
}

// writeState writes the entries with their running scans, the last used one first: those that were
// used least recently do not fit into a file that is too large.
func (s *Store) writeState(w *bufio.Writer, sw *stateWriter, running []Unfinished) error {
	var err error
	if sw.lineWriter, err = newLineWriter(w); err != nil {
		return err
	}
	byEntry := make(map[entryID][]Unfinished)
	for _, u := range running {
		id := entryID{u.Task.Target, u.Task.Module}
		byEntry[id] = append(byEntry[id], u)
	}
	for _, e := range s.lastUsedFirst() {
		if err := sw.writeEntry(e.copyState(byEntry[e.id])); err != nil {
			return err
		}
	}
	return sw.end()
}

// lastUsedFirst returns the entries, the last used one first. Those without results precede them:
// they may have running scans.
func (s *Store) lastUsedFirst() (entries []*entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.place == nil {
			entries = append(entries, e)
		}
	}
	for place := s.used.Front(); place != nil; place = place.Next() {
		e := place.Value.(*entry) //nolint:forcetypeassert // used holds only these
		entries = append(entries, e)
	}
	return entries
}

// entryState is the content of an entry at a moment.
type entryState struct {
	task       scan.Task
	full       *fullScan
	records    map[netip.Addr]*record
	unfinished map[netip.Addr]Unfinished
	changes    changeLog
}

// copyState returns the content of the entry. Running scans replace the unfinished ones that
// they resume.
func (e *entry) copyState(running []Unfinished) *entryState {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := &entryState{
		task: e.task, full: e.full, records: maps.Clone(e.records), unfinished: maps.Clone(e.unfinished), changes: e.changes,
	}
	for _, u := range running {
		if u.Task.Key().Digest == e.task.Key().Digest {
			s.unfinished[u.Task.Addr] = u
		}
	}
	return s
}

func (w *stateWriter) writeEntry(s *entryState) error {
	if s.full == nil && len(s.records) == 0 && len(s.unfinished) == 0 && len(s.changes.changes) == 0 {
		return nil
	}
	if w.offset >= w.limit {
		w.omitted += len(s.records) + len(s.unfinished)
		return nil
	}
	saved := savedEntry{
		Target: s.task.Target, Module: s.task.Module, Protocol: s.task.Plan.Spec().Protocol.String(), Digest: s.task.Key().Digest,
		Full: s.full.toSaved(), Changes: toSavedChanges(s.changes.changes), ChangesSince: s.changes.since, Logged: s.changes.logged,
	}
	if _, err := w.write(kindEntry, saved); err != nil {
		return err
	}
	for _, ip := range slices.SortedFunc(maps.Keys(s.records), netip.Addr.Compare) {
		if err := w.writeRecord(ip, s.records[ip]); err != nil {
			return err
		}
	}
	for _, addr := range slices.SortedFunc(maps.Keys(s.unfinished), netip.Addr.Compare) {
		if err := w.writeUnfinished(s.unfinished[addr]); err != nil {
			return err
		}
	}
	return nil
}

// writeRecord copies the line of a record, or encodes the record.
func (w *stateWriter) writeRecord(ip netip.Addr, r *record) error {
	if w.offset >= w.limit {
		w.omitted++
		return nil
	}
	at, known := w.lines[r]
	if known && w.old != nil {
		copied, ok, err := w.copyLine(w.old, at)
		if ok || err != nil {
			w.written[r] = copied
			return err
		}
	}
	saved, err := r.toSaved(ip)
	if err != nil {
		return err
	}
	w.written[r], err = w.write(kindRecord, saved)
	return err
}

func (w *stateWriter) writeUnfinished(u Unfinished) error {
	if w.offset >= w.limit {
		w.omitted++
		return nil
	}
	r := u.Result
	full := &fullScan{by: infoOf(u.ID, r), lookup: r.Lookup, failed: r.Failed, refused: r.Refused}
	if _, err := w.write(kindUnfinished, savedUnfinished{savedFull: *full.toSaved(), Asked: u.Task.Asked, Addr: u.Task.Addr}); err != nil {
		return err
	}
	for i := range r.Addresses {
		if w.offset >= w.limit { // the scan that resumes it scans the other addresses
			w.omitted++
			return nil
		}
		data, err := r.Addresses[i].Save()
		if err != nil {
			return err
		}
		if _, err := w.write(kindAddress, json.RawMessage(data)); err != nil {
			return err
		}
	}
	return nil
}

func infoOf(id string, r *scan.Result) *scanInfo {
	return &scanInfo{id: id, started: r.Started, finished: r.Finished, attempts: r.Attempts, retries: r.Retries}
}

func (i *scanInfo) toSaved() savedScan {
	return savedScan{ID: i.id, Started: i.started, Finished: i.finished, Attempts: i.attempts, Retries: i.retries}
}

func (f *fullScan) toSaved() *savedFull {
	if f == nil {
		return nil
	}
	s := &savedFull{
		savedScan: f.by.toSaved(), Lookup: f.lookup, Failed: make(map[string]string, len(f.failed)), Refused: f.refused, Addresses: f.addresses,
	}
	for failure, err := range f.failed {
		s.Failed[failure.String()] = err.Error()
	}
	return s
}

func (r *record) toSaved(ip netip.Addr) (s *savedRecord, err error) {
	s = &savedRecord{IP: ip, Last: r.last, Opened: r.opened.String(), LastResponse: r.lastResponse, Dark: r.dark, Turned: r.turned.toSaved()}
	if s.Newest, err = r.newest.toSaved(); err != nil {
		return nil, err
	}
	if s.Previous, err = r.previous.toSaved(); err != nil {
		return nil, err
	}
	if b := r.baseline; b != nil {
		s.Baseline = &savedBaseline{Started: b.started, States: make(map[string]string, len(b.states))}
		for state, ports := range b.states {
			s.Baseline.States[state.String()] = ports.String()
		}
	}
	for _, c := range r.changed {
		s.Changed = append(s.Changed, savedPorts{savedCount: c.toSaved(), Ports: c.ports.String()})
	}
	return s, nil
}

func (s *scanned) toSaved() (*savedScanned, error) {
	if s == nil {
		return nil, nil //nolint:nilnil // no result is saved as none
	}
	data, err := s.result.Save()
	if err != nil {
		return nil, fmt.Errorf("encoding state: %w", err)
	}
	return &savedScanned{Scan: s.by.toSaved(), Result: data}, nil
}

func (c changeCount) toSaved() savedCount {
	return savedCount{At: c.at, Since: c.since, Times: c.times}
}

func toSavedChanges(changes []Change) (all []savedChange) {
	for _, c := range changes {
		s := savedChange{Time: c.Time, Module: c.Module, IP: c.IP, Protocol: c.Protocol.String()}
		if c.Kind == PortChanged {
			s.Port, s.From, s.To, s.Expected, s.Flapping = c.Port, c.From.String(), c.To.String(), c.Expected.String(), c.Flapping
		} else {
			s.Kind = c.Kind.String()
		}
		all = append(all, s)
	}
	return all
}

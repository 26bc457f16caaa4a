// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"time"

	"portscan_exporter/internal/regularfile"
	"portscan_exporter/internal/scan"
)

// restorer makes the entries of a state file, as far as the configuration has them.
type restorer struct {
	now     time.Time
	tasks   map[entryID]scan.Task
	allow   func(scan.Task) (scan.Task, error)
	byID    map[entryID]*entry
	entries []*entry // the last used one first
	lines   map[*record]fileLine
	infos   map[scanInfo]*scanInfo // shared by the addresses of a scan

	entry      *entry // of the last line with one; nil: not configured
	same       bool   // the configuration has the task with which it was scanned
	unfinished *Unfinished
}

func newRestorer(o StateOptions, now time.Time) *restorer {
	r := &restorer{
		now: now, allow: o.Allow, tasks: make(map[entryID]scan.Task, len(o.Tasks)), byID: make(map[entryID]*entry),
		lines: make(map[*record]fileLine), infos: make(map[scanInfo]*scanInfo),
	}
	for _, t := range o.Tasks {
		r.tasks[entryID{t.Target, t.Module}] = t.WithDigest()
	}
	if r.allow == nil {
		r.allow = func(scan.Task) (scan.Task, error) { return scan.Task{}, errors.New("no configuration") }
	}
	return r
}

// readState reads the file, if there is one, into the restorer. The error is errUnusable if the
// file has no valid state.
func readState(path string, r *restorer) (*restorer, error) {
	file, err := regularfile.Open(path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxStateSize {
		return nil, fmt.Errorf("%w: more than %d bytes", errUnusable, maxStateSize)
	}
	if err := r.read(bufio.NewReader(io.LimitReader(file, maxStateSize))); err != nil {
		return nil, err
	}
	return r, nil
}

// read reads a state file of any version.
func (r *restorer) read(from *bufio.Reader) error {
	header, err := from.Peek(len(stateHeader))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if string(header) != stateHeader {
		return r.readOldState(from)
	}
	if _, err := from.Discard(len(stateHeader)); err != nil {
		return err
	}
	lines := newLineReader(from)
	for {
		line, at, err := lines.read()
		if errors.Is(err, io.EOF) {
			r.finish()
			return nil
		}
		if err == nil {
			err = r.restoreLine(line, at)
		}
		if err != nil {
			return err
		}
	}
}

// stateLine has the value of a line's kind.
type stateLine struct {
	Entry      *savedEntry      `json:"entry"`
	Record     *savedRecord     `json:"record"`
	Unfinished *savedUnfinished `json:"unfinished"`
	Address    json.RawMessage  `json:"address"`
}

func (r *restorer) restoreLine(line []byte, at fileLine) error {
	var l stateLine
	if err := json.Unmarshal(line, &l); err != nil {
		return fmt.Errorf("%w: %w", errUnusable, err)
	}
	var err error
	switch {
	case l.Entry != nil:
		err = r.restoreEntry(l.Entry)
	case r.entry == nil: // its target or module is not configured
	case l.Record != nil:
		err = r.restoreRecord(l.Record, at)
	case l.Unfinished != nil:
		err = r.restoreUnfinished(l.Unfinished)
	case l.Address != nil:
		r.restoreAddress(l.Address)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errUnusable, err)
	}
	return nil
}

// obtain returns the entry of a target and module, or nil if it is not configured.
func (r *restorer) obtain(id entryID) *entry {
	e := r.byID[id]
	if task, ok := r.tasks[id]; ok && e == nil {
		e = newEntry(task, true)
		r.byID[id] = e
		r.entries = append(r.entries, e)
	}
	return e
}

func (r *restorer) restoreEntry(s *savedEntry) error {
	r.entry, r.unfinished = nil, nil
	id := entryID{s.Target, s.Module}
	if r.byID[id] != nil {
		return fmt.Errorf("target %s with module %s occurs twice", s.Target, s.Module)
	}
	protocol, err := parseName("protocol", s.Protocol, scan.TCP, scan.UDP)
	if err != nil {
		return err
	}
	e := r.obtain(id)
	if e == nil || e.task.Plan.Spec().Protocol != protocol {
		return nil
	}
	r.entry, r.same = e, e.task.Key().Digest == s.Digest
	e.changes = changeLog{since: r.past(s.ChangesSince), logged: s.Logged}
	if e.changes.changes, err = r.restoreChanges(s.Changes); err != nil {
		return err
	}
	e.changes.keep(e.task)
	if s.Full == nil || !r.same || !r.isPast(s.Full.savedScan) {
		return nil
	}
	e.full, err = r.restoreFull(s.Full)
	return err
}

func (r *restorer) restoreChanges(saved []savedChange) (all []Change, err error) {
	for _, s := range saved[max(0, len(saved)-maxChanges):] {
		c, err := s.restore()
		if err != nil {
			return nil, err
		}
		c.Time = r.past(c.Time)
		all = append(all, c)
	}
	return all, nil
}

func (s *savedChange) restore() (Change, error) {
	protocol, err := parseName("protocol", s.Protocol, scan.TCP, scan.UDP)
	c := Change{Time: s.Time, Module: s.Module, IP: s.IP, Protocol: protocol}
	if s.Kind != "" {
		var errKind error
		c.Kind, errKind = parseName("kind of change", s.Kind, NewHost)
		return c, errors.Join(err, errKind)
	}
	var errFrom, errTo, errExpected error
	c.Port, c.Flapping = s.Port, s.Flapping
	c.From, errFrom = parseName("state", s.From, scan.States()...)
	c.To, errTo = parseName("state", s.To, scan.States()...)
	c.Expected, errExpected = parseName("expectation", s.Expected, scan.ExpectAny, scan.ExpectOpen, scan.ExpectClosed)
	return c, errors.Join(err, errFrom, errTo, errExpected)
}

// restoreFull returns the scan of a complete target. Its addresses outside the scope are dropped.
func (r *restorer) restoreFull(s *savedFull) (*fullScan, error) {
	full := &fullScan{by: r.info(s.savedScan), lookup: s.Lookup, failed: make(map[scan.Failure]error, len(s.Failed)), refused: s.Refused}
	for name, text := range s.Failed {
		failure, err := parseName("failure", name, scan.Failures()...)
		if err != nil {
			return nil, err
		}
		full.failed[failure] = errors.New(text)
	}
	for _, ip := range s.Addresses {
		if _, ok := r.entry.task.Scope.Match(ip); ok {
			full.addresses = append(full.addresses, ip.Unmap())
		}
	}
	slices.SortFunc(full.addresses, netip.Addr.Compare)
	full.addresses = slices.Compact(full.addresses)
	return full, nil
}

// info returns the description of a scan, the same one for equal ones.
func (r *restorer) info(s savedScan) *scanInfo {
	i := scanInfo{id: s.ID, started: s.Started.UTC(), finished: s.Finished.UTC(), attempts: s.Attempts, retries: s.Retries}
	if r.infos[i] == nil {
		r.infos[i] = &i
	}
	return r.infos[i]
}

// isPast reports whether the times of a scan can be right.
func (r *restorer) isPast(s savedScan) bool {
	return !s.Finished.After(r.now) && !s.Started.After(s.Finished)
}

// past returns the time, or now if that is earlier: the clock may have been wrong.
func (r *restorer) past(t time.Time) time.Time {
	if t.After(r.now) {
		return r.now
	}
	return t
}

// restoreUnfinished restores an unfinished scan, whose addresses follow.
func (r *restorer) restoreUnfinished(s *savedUnfinished) error {
	r.unfinished = nil
	task, err := r.entry.task, error(nil)
	if s.Addr.IsValid() {
		task, err = r.allow(scan.Task{Asked: s.Asked, Target: task.Target, Module: task.Module})
	}
	if err != nil || !r.same || !r.isPast(s.savedScan) || task.Key() != (scan.Key{Digest: r.entry.task.Key().Digest, Addr: s.Addr}) {
		return nil //nolint:nilerr // the configuration does not have the scan
	}
	full, err := r.restoreFull(&s.savedFull)
	if err != nil {
		return err
	}
	r.unfinished = &Unfinished{Task: task, ID: s.ID, Result: &scan.Result{
		Plan: task.Plan, Started: s.Started, Finished: s.Finished, Lookup: s.Lookup, Refused: full.refused, Failed: full.failed,
		Attempts: s.Attempts, Retries: s.Retries,
	}}
	r.entry.unfinished[s.Addr] = *r.unfinished
	return nil
}

// restoreAddress adds an address to the unfinished scan. It drops addresses that the
// configuration does not have: the scan that resumes it scans them.
func (r *restorer) restoreAddress(data []byte) {
	if r.unfinished == nil {
		return
	}
	task, result := r.unfinished.Task, r.unfinished.Result
	a, err := scan.ReadAddress(data, task.Plan, task.Scope)
	if n := len(result.Addresses); err == nil && (n == 0 || result.Addresses[n-1].IP.Less(a.IP)) {
		result.Addresses = append(result.Addresses, a)
	}
}

// finish notes addresses of complete targets whose results are missing.
func (r *restorer) finish() {
	for _, e := range r.entries {
		if e.full == nil {
			continue
		}
		for _, ip := range e.full.addresses {
			if rec := e.records[ip]; rec == nil || rec.newest == nil {
				e.miss(ip)
			}
		}
	}
}

// parseName returns the value with the name.
func parseName[T fmt.Stringer](kind, name string, all ...T) (found T, err error) {
	i := slices.IndexFunc(all, func(v T) bool { return v.String() == name })
	if i < 0 {
		return found, fmt.Errorf("unknown %s %q", kind, name)
	}
	return all[i], nil
}

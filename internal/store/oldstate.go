// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"portscan_exporter/internal/scan"
)

// The state file of version 1 is one JSON object, which has the content and its checksum.
const (
	oldFormat   = "portscan_exporter state"
	oldVersion  = 1
	maxOldState = 192 << 20 // bytes of the file
)

type oldEnvelope struct {
	Format  string          `json:"format"`
	Version int             `json:"version"`
	SHA256  string          `json:"sha256"` // of the content
	Content json.RawMessage `json:"content"`
}

type oldContent struct {
	Remembered []oldHistory             `json:"remembered"`
	Changes    map[string][]savedChange `json:"changes"` // by target, oldest first
	Results    []oldResult              `json:"results"` // the last requested first
	Unfinished []oldResult              `json:"unfinished"`
}

// oldHistory is the port history of an address.
type oldHistory struct {
	Target   string                `json:"target"`
	Module   string                `json:"module"`
	Protocol string                `json:"protocol"`
	IP       netip.Addr            `json:"ip"`
	Last     time.Time             `json:"last"`
	Whole    time.Time             `json:"whole"` // start of the last complete scan
	States   map[string]string     `json:"states"`
	Opened   string                `json:"opened"`
	Changed  map[uint16]savedCount `json:"changed"`

	LastResponse time.Time `json:"last_response"`
	Dark         time.Time `json:"dark"`
}

// oldResult is the result of a task, which is known by its digest.
type oldResult struct {
	Asked  string          `json:"asked"`
	Target string          `json:"target"`
	Module string          `json:"module"`
	Digest string          `json:"task"`
	Result json.RawMessage `json:"result"`
}

// readOldState reads a file that is not of the current version.
func (r *restorer) readOldState(from io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(from, maxOldState+1))
	if err != nil {
		return err
	}
	if len(data) > maxOldState {
		return fmt.Errorf("%w: more than %d bytes", errUnusable, maxOldState)
	}
	content, err := parseOldState(data)
	if err != nil {
		return err
	}
	if err := r.restoreOld(content); err != nil {
		return fmt.Errorf("%w: %w", errUnusable, err)
	}
	return nil
}

func parseOldState(data []byte) (*oldContent, error) {
	var e oldEnvelope
	if err := json.Unmarshal(data, &e); err != nil || e.Format != oldFormat {
		return nil, fmt.Errorf("%w: unknown format", errUnusable)
	}
	if e.Version != oldVersion {
		return nil, fmt.Errorf("%w: version %d is unknown", errUnusable, e.Version)
	}
	if sum := sha256.Sum256(e.Content); hex.EncodeToString(sum[:]) != e.SHA256 {
		return nil, fmt.Errorf("%w: checksum mismatch", errUnusable)
	}
	var content oldContent
	if err := json.Unmarshal(e.Content, &content); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnusable, err)
	}
	return &content, nil
}

func (r *restorer) restoreOld(c *oldContent) error {
	for i := range c.Remembered {
		if err := r.restoreOldHistory(&c.Remembered[i]); err != nil {
			return fmt.Errorf("port history of %v: %w", c.Remembered[i].IP, err)
		}
	}
	for target, changes := range c.Changes {
		if err := r.restoreOldChanges(target, changes); err != nil {
			return fmt.Errorf("changes of target %s: %w", target, err)
		}
	}
	r.restoreOldResults(c.Results)
	for i := range c.Unfinished {
		if u, e := r.readOldResult(&c.Unfinished[i]); e != nil {
			e.unfinished[u.Task.Addr] = u
		}
	}
	r.finish()
	return nil
}

// restoreOldHistory restores the record of an address, which a complete scan may have made even
// if its result is not in the file.
func (r *restorer) restoreOldHistory(s *oldHistory) error {
	rec, err := r.restoreHistory(&savedRecord{IP: s.IP, Last: s.Last, Opened: s.Opened, LastResponse: s.LastResponse, Dark: s.Dark})
	if err != nil {
		return err
	}
	protocol, err := parseName("protocol", s.Protocol, scan.TCP, scan.UDP)
	if err != nil {
		return err
	}
	if len(s.States) > 0 {
		if rec.baseline, err = restoreBaseline(r.past(s.Whole), s.States); err != nil {
			return err
		}
	}
	for port, c := range s.Changed {
		rec.changed = append(rec.changed, portChange{changeCount: r.restoreCount(c), ports: scan.NewPortSet(port)})
	}
	rec.changed = mergeChanges(rec.changed)
	e := r.obtain(entryID{s.Target, s.Module})
	if e == nil || protocol != e.task.Plan.Spec().Protocol {
		return nil
	}
	if _, ok := e.task.Scope.Match(s.IP); ok {
		rec.restrict(e.task)
		e.records[s.IP.Unmap()] = rec
	}
	return nil
}

func (r *restorer) restoreOldChanges(target string, saved []savedChange) error {
	changes, err := r.restoreChanges(saved)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if e := r.obtain(entryID{target, c.Module}); e != nil {
			e.changes.changes = append(e.changes.changes, c)
		}
	}
	for _, e := range r.entries {
		if e.id.target == target {
			e.changes.keep(e.task)
		}
	}
	return nil
}

// restoreOldResults records the results in the order of their scans, and orders the entries by
// their use.
func (r *restorer) restoreOldResults(saved []oldResult) {
	lastUsed := make(map[*entry]int, len(saved))
	var results []Unfinished
	for i := range saved {
		u, e := r.readOldResult(&saved[i])
		if e == nil {
			continue
		}
		results = append(results, u)
		if lastUsed[e] == 0 {
			lastUsed[e] = len(saved) - i
		}
	}
	slices.SortStableFunc(results, func(a, b Unfinished) int { return a.Result.Finished.Compare(b.Result.Finished) })
	for _, u := range results {
		e := r.byID[entryID{u.Task.Target, u.Task.Module}]
		changes := e.changes
		e.record(u.Task, "", u.Result, nil)
		e.changes = changes // those of these scans are in the file
	}
	slices.SortStableFunc(r.entries, func(a, b *entry) int { return cmp.Compare(lastUsed[b], lastUsed[a]) })
}

// readOldResult returns a result and its entry, or nil if the configuration does not have its
// task.
func (r *restorer) readOldResult(s *oldResult) (Unfinished, *entry) {
	task, err := r.allow(scan.Task{Asked: s.Asked, Target: s.Target, Module: s.Module})
	if err != nil || task.MaxAge == 0 || task.Target != s.Target {
		return Unfinished{}, nil
	}
	e := r.obtain(entryID{task.Target, task.Module})
	if e == nil || e.task.Key().Digest != task.Key().Digest || oldDigest(task, e.task) != s.Digest {
		return Unfinished{}, nil
	}
	var of struct {
		Addresses []scan.Address `json:"addresses"`
	}
	if err := json.Unmarshal(s.Result, &of); err != nil {
		return Unfinished{}, nil
	}
	result, err := scan.ReadResult(s.Result, task.Plan.WithWatched(e.opened(of.Addresses)), task.Scope)
	if err != nil || !r.isPast(savedScan{Started: result.Started, Finished: result.Finished}) {
		return Unfinished{}, nil
	}
	result.Plan = task.Plan
	return Unfinished{Task: task, Result: result}, e
}

// oldDigest returns the digest of version 1 for a task of one address or of the complete target: both
// had the scope of the target.
func oldDigest(task, complete scan.Task) string {
	task.Scope = complete.Scope
	return task.Digest()
}

// opened returns the ports of addresses that were open once.
func (e *entry) opened(addresses []scan.Address) (ports scan.PortSet) {
	for _, a := range addresses {
		if rec := e.records[a.IP.Unmap()]; rec != nil {
			ports = ports.Union(rec.opened)
		}
	}
	return ports
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"portscan_exporter/internal/scan"
)

// The state file is JSON: an envelope by which it is known, and the content, with a
// checksum, since a disk may lie.
const (
	stateFormat  = "portscan_exporter state"
	stateVersion = 1
	mostState    = 192 << 20 // bytes of the file
	mostResults  = 96 << 20  // bytes of results in it; the rest is for the memory, which is bounded
)

var errTooLarge = errors.New("writing the state: maximum size exceeded")

var errUnusable = errors.New("unusable state file")

type envelope struct {
	Format  string          `json:"format"`
	Version int             `json:"version"`
	SHA256  string          `json:"sha256"` // of the content
	Content json.RawMessage `json:"content"`
}

// content is what outlives the program.
type content struct {
	Remembered []savedMemory            `json:"remembered"`
	Changes    map[string][]savedChange `json:"changes"` // by target, oldest first
	Results    []savedResult            `json:"results"`
	Unfinished []savedResult            `json:"unfinished"` // scans under way
}

// savedResult is a retained result. What it was asked for is known by its digest.
type savedResult struct {
	Asked  string          `json:"asked"`
	Target string          `json:"target"`
	Module string          `json:"module"`
	Digest string          `json:"task"`
	Result json.RawMessage `json:"result"`
}

// readBounded reads the file, if it is not larger than any of ours.
func readBounded(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, mostState+1))
	if err != nil {
		return nil, err
	}
	if len(data) > mostState {
		return nil, fmt.Errorf("%w: more than %d bytes", errUnusable, mostState)
	}
	return data, nil
}

// state returns the content of the state file, and how many results were left out
// because it would be too large: those that were not asked for the longest go first.
func (c *Coordinator) state() (data []byte, left int, err error) {
	all := c.memory.saved()
	c.mu.Lock()
	results := c.shelf.all()
	c.mu.Unlock()
	slices.SortFunc(results, func(a, b kept) int { return b.asked.Compare(a.asked) })
	room := mostResults
	if all.Results, left, err = saveResults(results, &room); err != nil {
		return nil, 0, err
	}
	unfinished, more, err := saveResults(c.sweeping(), &room)
	if err != nil {
		return nil, 0, err
	}
	all.Unfinished, left = unfinished, left+more
	inner, err := json.Marshal(all)
	if err != nil {
		return nil, 0, fmt.Errorf("writing the state: %w", err)
	}
	data, err = json.Marshal(envelope{Format: stateFormat, Version: stateVersion, SHA256: checksum(inner), Content: inner})
	if err != nil {
		return nil, 0, fmt.Errorf("writing the state: %w", err)
	}
	if len(data) > mostState {
		return nil, 0, errTooLarge
	}
	return data, left, nil
}

// saveResults writes results for which there is room, of which it takes some, and
// returns how many were left.
func saveResults(results []kept, room *int) (saved []savedResult, left int, err error) {
	for _, k := range results {
		result, err := k.result.Save()
		if err != nil {
			return nil, 0, err
		}
		if len(result) > *room {
			left++
			continue
		}
		*room -= len(result)
		saved = append(saved, savedResult{
			Asked: k.task.Asked, Target: k.task.Target, Module: k.task.Module, Digest: k.task.Digest(), Result: result,
		})
	}
	return saved, left, nil
}

func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// parseState reads what [Coordinator.state] has written.
func parseState(data []byte) (*content, error) {
	var e envelope
	if err := json.Unmarshal(data, &e); err != nil || e.Format != stateFormat {
		return nil, fmt.Errorf("%w: unknown format", errUnusable)
	}
	if e.Version != stateVersion {
		return nil, fmt.Errorf("%w: version %d, want %d", errUnusable, e.Version, stateVersion)
	}
	if checksum(e.Content) != e.SHA256 {
		return nil, fmt.Errorf("%w: checksum mismatch", errUnusable)
	}
	var all content
	if err := json.Unmarshal(e.Content, &all); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnusable, err)
	}
	return &all, nil
}

// restore takes in what a state file holds. Results are taken where the configuration
// still has the same task; the rest is sorted out by [memory.reconfigured].
func (c *Coordinator) restore(data []byte) error {
	all, err := parseState(data)
	if err != nil {
		return err
	}
	memory := newMemory()
	if err := memory.restore(all); err != nil {
		return err
	}
	c.memory = memory
	for _, r := range slices.Backward(all.Results) { // what was asked for last comes last
		if k, ok := c.readResult(r); ok {
			c.mu.Lock()
			c.shelf.put(k.task, k.result, k.asked)
			c.mu.Unlock()
			c.memory.learn(k.task, k.result) // so that it is seen; there is no news in it
		}
	}
	for _, r := range all.Unfinished {
		if k, ok := c.readResult(r); ok {
			c.mu.Lock()
			c.unfinished[r.Digest] = k
			c.mu.Unlock()
		}
	}
	return nil
}

// readResult reads a result, if the configuration still has the same task. Ports that
// were open once have details in it.
func (c *Coordinator) readResult(r savedResult) (k kept, ok bool) {
	task, err := c.options.Allow(scan.Task{Asked: r.Asked, Target: r.Target, Module: r.Module})
	if err != nil || task.MaxAge == 0 || task.Digest() != r.Digest {
		return kept{}, false
	}
	var addresses struct{ Addresses []scan.Address }
	if err := json.Unmarshal(r.Result, &addresses); err != nil {
		return kept{}, false
	}
	watching := task.Plan.WithWatched(c.memory.opened(groupOf(task), addresses.Addresses))
	result, err := scan.ReadResult(r.Result, watching, task.Scope)
	if now := time.Now(); err != nil || result.Finished.After(now) || result.Started.After(result.Finished) {
		return kept{}, false
	}
	result.Plan = task.Plan
	return kept{task: task, result: result, asked: time.Now()}, true
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package audit implements the audit file: one JSON line for each scan and each
// refused probe.
//
// Entries are queued and written in the background, so that a slow or full disk
// never blocks a probe. Entries that cannot be written are dropped and counted.
package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"
)

// The values of [Entry.Event].
const (
	EventScan    = "scan"
	EventRefusal = "refusal"
)

// Entry is one line of the audit file.
type Entry struct {
	Time   time.Time `json:"time"`   // arrival of the request
	Event  string    `json:"event"`  // [EventScan] or [EventRefusal]
	Remote string    `json:"remote"` // client address and port
	User   string    `json:"user,omitempty"`

	// A refusal may have unconfigured names here, as requested and cut to 64 bytes.
	Target    string `json:"target"`
	Module    string `json:"module,omitempty"`
	Owner     string `json:"owner,omitempty"`
	Reference string `json:"reference,omitempty"`

	// These fields are set for scans only.
	Addresses []netip.Addr  `json:"addresses,omitempty"` // scanned
	Refused   []netip.Addr  `json:"refused,omitempty"`   // outside the target's networks, not scanned
	Ports     int           `json:"ports,omitempty"`     // per address
	Attempts  int           `json:"attempts"`
	Duration  time.Duration `json:"duration_ns,omitempty"`

	Outcome string `json:"outcome"`          // retained, complete, incomplete or failed; for a refusal its reason, as in the metric
	Reason  string `json:"reason,omitempty"` // explanation of the outcome
	Status  int    `json:"status"`           // HTTP status code
}

// queueLength is the maximum number of entries that wait to be written.
const queueLength = 1024

// Log appends entries to a file. It is safe for concurrent use. The methods of a
// nil *Log do nothing.
type Log struct {
	path      string
	countDrop func()
	logger    *slog.Logger
	done      chan struct{} // closed when the writer has returned

	mu     sync.Mutex
	queue  chan queueItem
	closed bool
}

// queueItem is a line to write, or a file to switch to.
type queueItem struct {
	line []byte
	file *os.File
}

// Open opens the file for appending, and creates it with mode 0600 if it does not
// exist. countDrop is called for each dropped entry, possibly concurrently.
func Open(path string, countDrop func(), logger *slog.Logger) (*Log, error) {
	if path == "" || countDrop == nil || logger == nil {
		return nil, errors.New("audit.Open: path, countDrop and logger are required")
	}
	file, err := openFile(path)
	if err != nil {
		return nil, err
	}
	l := &Log{path: path, countDrop: countDrop, logger: logger, queue: make(chan queueItem, queueLength), done: make(chan struct{})}
	go l.writeQueue(file)
	return l, nil
}

func openFile(path string) (*os.File, error) {
	const ownerOnly = 0o600
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, ownerOnly)
	if err != nil {
		return nil, fmt.Errorf("opening the audit file: %w", err)
	}
	return file, nil
}

// Add queues an entry. It does not block: the entry is dropped if the queue is full.
func (l *Log) Add(e Entry) {
	if l == nil {
		return
	}
	line, err := json.Marshal(e)
	if err != nil || !l.enqueue(queueItem{line: append(line, '\n')}) {
		l.countDrop()
	}
}

// enqueue reports whether the queue accepted the item.
func (l *Log) enqueue(i queueItem) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	select {
	case l.queue <- i:
		return true
	default:
		return false
	}
}

// Reopen opens the file again by its path, for use after log rotation. Entries
// that are already queued go to the old file. On an error the old file stays in use.
func (l *Log) Reopen() error {
	if l == nil {
		return nil
	}
	file, err := openFile(l.path)
	if err != nil {
		return err
	}
	if !l.enqueue(queueItem{file: file}) {
		_ = file.Close()
		return errors.New("reopening the audit file: write queue is full")
	}
	return nil
}

// Close writes the queued entries and closes the file. Entries that are added
// later are dropped.
func (l *Log) Close() {
	if l == nil {
		return
	}
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.queue)
	}
	l.mu.Unlock()
	<-l.done
}

// writeQueue writes queued entries until the queue is closed. It logs the first of
// consecutive failures, and the first success after them.
func (l *Log) writeQueue(file *os.File) {
	defer close(l.done)
	failing, partial := false, false
	for i := range l.queue {
		if i.file != nil {
			_ = file.Close()
			file, partial = i.file, false
			continue
		}
		if partial { // start a new line after an incomplete one
			i.line = append([]byte{'\n'}, i.line...)
		}
		n, err := file.Write(i.line)
		partial = err != nil && (partial || n > 0)
		switch {
		case err != nil:
			l.countDrop()
			if !failing {
				l.logger.Error("Failed to write audit entries", "file", l.path, "err", err)
			}
		case failing:
			l.logger.Info("Resumed writing audit entries", "file", l.path)
		}
		failing = err != nil
	}
	_ = file.Close()
}

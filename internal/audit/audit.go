// Package audit keeps a record of every scan and every refusal, a line of JSON
// each, for those who have to answer for what was scanned.
//
// A record never holds a probe up: lines are written by a goroutine of the log's
// own, and one that can't be written is counted and told, and lost.
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

// The events.
const (
	Scan    = "scan"
	Refusal = "refusal"
)

// Entry is one line. What is empty is left out of it, but for the first fields.
type Entry struct {
	Time   time.Time `json:"time"`   // when the request came
	Event  string    `json:"event"`  // [Scan] or [Refusal]
	Remote string    `json:"remote"` // who asked: the address of the connection, with its port
	User   string    `json:"user,omitempty"`

	// What was asked for. Of a refusal these are the request's own words, cut to 64
	// bytes, where the configuration has nothing of the kind.
	Target    string `json:"target"`
	Module    string `json:"module,omitempty"`
	Owner     string `json:"owner,omitempty"`
	Reference string `json:"reference,omitempty"`

	// Of a scan.
	Addresses []netip.Addr  `json:"addresses,omitempty"` // that were scanned
	Refused   []netip.Addr  `json:"refused,omitempty"`   // outside the target's networks, and not touched
	Ports     int           `json:"ports,omitempty"`     // on each of them
	Attempts  int           `json:"attempts"`            // packets or connects
	Duration  time.Duration `json:"duration_ns,omitempty"`

	Outcome string `json:"outcome"`          // retained, complete, incomplete or failed; of a refusal its reason, as the metric has it
	Reason  string `json:"reason,omitempty"` // in words
	Status  int    `json:"status"`           // of HTTP
}

// queued is how many lines may wait to be written.
const queued = 1024

// Log writes entries to a file. Make one with [Open]; it may be used concurrently.
// A nil *Log takes entries and keeps none.
type Log struct {
	path   string
	failed func() // counts a line that was lost
	logger *slog.Logger
	ended  chan struct{} // closed when the writer has ended

	mu     sync.Mutex
	queue  chan item
	closed bool
}

// item is what waits for the writer: a line, or the file to write to from then on.
type item struct {
	line []byte
	file *os.File
}

// Open opens the file to append to it, and makes it where it is not there, for its
// owner alone. failed is called for each line that is lost; it may be called concurrently.
func Open(path string, failed func(), logger *slog.Logger) (*Log, error) {
	if path == "" || failed == nil || logger == nil {
		return nil, errors.New("an audit log needs a path, somebody to count failures, and a logger")
	}
	file, err := open(path)
	if err != nil {
		return nil, err
	}
	l := &Log{path: path, failed: failed, logger: logger, queue: make(chan item, queued), ended: make(chan struct{})}
	go l.write(file)
	return l, nil
}

func open(path string) (*os.File, error) {
	const ownerAlone = 0o600
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, ownerAlone)
	if err != nil {
		return nil, fmt.Errorf("opening the audit file: %w", err)
	}
	return file, nil
}

// Add takes an entry, and does not wait until it is written.
func (l *Log) Add(e Entry) {
	if l == nil {
		return
	}
	line, err := json.Marshal(e)
	if err != nil || !l.put(item{line: append(line, '\n')}) {
		l.failed()
	}
}

// put lets an item wait for the writer, where there is room for it.
func (l *Log) put(i item) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	select {
	case l.queue <- i:
		return true
	default: // the disk is stuck
		return false
	}
}

// Reopen opens the file anew by its name, as after logrotate has moved it away; what
// waits to be written by now goes to the old one. Where that fails the old one
// stays in use.
func (l *Log) Reopen() error {
	if l == nil {
		return nil
	}
	file, err := open(l.path)
	if err != nil {
		return err
	}
	if !l.put(item{file: file}) {
		_ = file.Close()
		return errors.New("reopening the audit file: lines still wait for the old one")
	}
	return nil
}

// Close waits until what was added by now is written, and closes the file. What is
// added afterwards is lost, and counted.
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
	<-l.ended
}

// write writes what waits, until there will be no more. The first of several
// failures is told, and when they are over.
func (l *Log) write(file *os.File) {
	defer close(l.ended)
	broken, torn := false, false
	for i := range l.queue {
		if i.file != nil {
			_ = file.Close()
			file, torn = i.file, false
			continue
		}
		if torn { // half a line is there, of which the next one is no part
			i.line = append([]byte{'\n'}, i.line...)
		}
		n, err := file.Write(i.line)
		torn = err != nil && (torn || n > 0)
		switch {
		case err != nil:
			l.failed()
			if !broken {
				l.logger.Error("Audit lines can't be written, and are lost", "file", l.path, "err", err)
			}
		case broken:
			l.logger.Info("Audit lines are written again", "file", l.path)
		}
		broken = err != nil
	}
	_ = file.Close()
}

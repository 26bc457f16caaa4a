// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package audit implements the audit file: one JSON line for each scan, each answered
// probe and each refused probe.
//
// Lines are queued and written in the background, so that a slow, full or stuck disk
// blocks neither a probe nor the shutdown. Lines that cannot be written are dropped and
// counted.
package audit

import (
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	queueLength = 1024     // maximum number of lines that wait to be written
	queueBytes  = 16 << 20 // maximum length of these lines together

	defaultCloseTimeout = 500 * time.Millisecond
)

var (
	errQueueFull = errors.New("write queue is full")
	errClosed    = errors.New("audit file is closed")
)

// Log appends events to a file. It is safe for concurrent use. The methods of a nil *Log
// do nothing.
type Log struct {
	path      string
	open      func() (*os.File, error)
	countDrop func()
	logger    *slog.Logger
	done      chan struct{} // closed when the writer has returned

	closeTimeout time.Duration // how long Close waits for the queued lines

	mu        sync.Mutex
	queue     chan []byte // lines, and nil to reopen the file
	pending   int         // lines in the queue and in the current write
	bytes     int         // of the pending lines
	reopening bool        // the queue contains nil
	failing   bool        // the last failure has been logged
	closed    bool
	abandoned bool // the pending lines have been counted as dropped
}

// Open opens the file for appending, and creates it with mode 0600 if it does not exist.
// It returns an error if the path is not a regular file. countDrop is called for each
// dropped line, possibly concurrently.
func Open(path string, countDrop func(), logger *slog.Logger) (*Log, error) {
	if path == "" || countDrop == nil || logger == nil {
		return nil, errors.New("audit.Open: path, countDrop and logger are required")
	}
	open := func() (*os.File, error) { return openFile(path, logger) }
	file, err := open()
	if err != nil {
		return nil, err
	}
	return newLog(path, file, open, countDrop, logger), nil
}

// newLog starts to write lines to file, and to the files that open returns.
func newLog(path string, file *os.File, open func() (*os.File, error), countDrop func(), logger *slog.Logger) *Log {
	l := &Log{
		path: path, open: open, countDrop: countDrop, logger: logger,
		queue: make(chan []byte, queueLength+1), // and one to reopen the file
		done:  make(chan struct{}), closeTimeout: defaultCloseTimeout,
	}
	go l.writeQueue(file)
	return l
}

// addLine queues a line, or drops it if the queue is full.
func (l *Log) addLine(line []byte) {
	if err := l.enqueue(line); err != nil {
		l.drop(1, err)
	}
}

func (l *Log) enqueue(line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	if l.pending == queueLength || l.bytes+len(line) > queueBytes {
		return errQueueFull
	}
	l.pending++
	l.bytes += len(line)
	l.queue <- line // does not block: its capacity exceeds queueLength
	return nil
}

// Reopen opens the file again by its path, for use after log rotation. It does not wait
// for that. Lines that are already queued go to the old file. If the file cannot be
// opened, the error is logged and the old file stays in use.
func (l *Log) Reopen() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed && !l.reopening {
		l.reopening = true
		l.queue <- nil // does not block: there is one place for it
	}
}

// Close writes the queued lines and closes the file. If a write takes too long, Close
// returns within a second and drops the rest. Lines that are added later are dropped.
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
	select {
	case <-l.done:
	case <-time.After(l.closeTimeout):
		l.abandon()
	}
}

// abandon drops the pending lines. The writer returns after its current write.
func (l *Log) abandon() {
	l.mu.Lock()
	n := l.pending
	l.pending, l.abandoned = 0, true
	l.mu.Unlock()
	if n > 0 {
		l.logger.Error("Dropped audit entries at shutdown", "file", l.path, "entries", n)
	}
	for range n {
		l.countDrop()
	}
}

// drop counts dropped lines. It logs the first of consecutive failures.
func (l *Log) drop(n int, err error) {
	for range n {
		l.countDrop()
	}
	l.mu.Lock()
	first := !l.failing
	l.failing = true
	l.mu.Unlock()
	if first {
		l.logger.Error("Failed to write audit entries", "file", l.path, "err", err)
	}
}

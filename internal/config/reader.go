// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"portscan_exporter/internal/regularfile"
)

const (
	maxFileSize = 64 << 20         // bytes
	readTimeout = 10 * time.Second // for all files of a load together
)

var (
	errOverdue = errors.New("an earlier read still waits for its file system: check the file system")
	errStopped = errors.New("exporter is shutting down")
	errEnded   = errors.New("the session has ended with an earlier error")
)

// reader reads configuration files, whose file system can hang: each operation has a goroutine and
// a timeout. A hanging goroutine keeps the only slot until its file system responds or the process
// exits. Meanwhile, further operations fail at once: at most one goroutine hangs.
type reader struct {
	read    func(path string) (content, error)
	timeout time.Duration                 // of a session
	slot    chan struct{}                 // capacity 1
	hanging atomic.Pointer[chan struct{}] // of the last operation that hung, closed when it has finished
	end     chan struct{}                 // closed by stop
	once    sync.Once
}

// content is what a file has.
type content struct {
	data     []byte
	unlinked bool // another file has replaced it
}

func newReader() *reader {
	return &reader{read: readRegular, timeout: readTimeout, slot: make(chan struct{}, 1), end: make(chan struct{})}
}

func readRegular(path string) (content, error) {
	data, err := regularfile.Read(path, maxFileSize)
	return content{data, err == nil && regularfile.IsUnlinked(path)}, err
}

// isHanging reports whether an operation hangs.
func (r *reader) isHanging() bool {
	finished := r.hanging.Load()
	if finished == nil {
		return false
	}
	select {
	case <-*finished:
		return false
	default:
		return true
	}
}

// stop ends the sessions. It does not wait for a hanging goroutine, which nothing can end.
func (r *reader) stop() { r.once.Do(func() { close(r.end) }) }

// readSession is a series of operations with a common timeout. It ends with the first operation
// that does not finish.
type readSession struct {
	*reader

	left  time.Duration
	ended bool
}

func (r *reader) newSession() *readSession { return &readSession{reader: r, left: r.timeout} }

// await runs an operation and returns its result. The operation must not use what the caller uses
// afterwards: it may go on after await has returned an error.
func await[T any](s *readSession, operation func() (T, error)) (T, error) {
	var none T
	abort := func(err error) (T, error) {
		s.ended = true
		return none, err
	}
	switch {
	case s.ended:
		return none, errEnded
	case s.isHanging():
		return abort(errOverdue)
	}
	started, timer := time.Now(), time.NewTimer(s.left)
	defer timer.Stop()
	select {
	case <-s.end:
		return abort(errStopped)
	case <-timer.C:
		return abort(errOverdue)
	case s.slot <- struct{}{}:
	}
	var value T
	var err error
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		value, err = operation()
		<-s.slot
	}()
	select {
	case <-s.end:
		return abort(errStopped)
	case <-timer.C:
		s.hanging.Store(&finished)
		return abort(fmt.Errorf("file system did not respond within %v: check the file system", s.timeout))
	case <-finished:
		s.left -= time.Since(started)
		return value, err
	}
}

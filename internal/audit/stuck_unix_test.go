// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package audit

import (
	"bufio"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// blockingPipe returns a pipe whose write(2) blocks, as that of a file on an unreachable
// file server does. The runtime cannot interrupt it.
func blockingPipe(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe(fds[:]); err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fds[0]), "reader"), os.NewFile(uintptr(fds[1]), "stuck.log")
}

// TestCloseStuck checks that neither events nor Close wait for a stuck write, and that
// each event is either written or counted, except for the one in the stuck write, which
// may be both.
func TestCloseStuck(t *testing.T) {
	t.Parallel()
	reader, writer := blockingPipe(t)
	l, dropped, messages := startLog(writer, defaultCloseTimeout)
	const senders, each = 8, 1000
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for range each {
				l.Probe(Probe{Target: strings.Repeat("x", 50)})
			}
		})
	}
	all.Wait()
	full := dropped.Load()
	if full == 0 || strings.Count(messages.String(), "write queue is full") != 1 {
		t.Errorf("got %d dropped entries and these messages, want some and one message:\n%s", full, messages.String())
	}
	l.Reopen()
	l.Close()
	if dropped.Load() == full || !strings.Contains(messages.String(), "Dropped audit entries at shutdown") {
		t.Errorf("Close dropped %d entries, messages:\n%s", dropped.Load()-full, messages.String())
	}
	written := int64(0)
	for scanner := bufio.NewScanner(reader); scanner.Scan(); {
		written++
	}
	<-l.done
	if got, want := written+dropped.Load(), int64(senders*each); got != want && got != want+1 {
		t.Errorf("got %d written and %d dropped entries, want %d in total", written, dropped.Load(), want)
	}
	_ = reader.Close()
}

// TestQueueBytes requires that few long lines fill the queue.
func TestQueueBytes(t *testing.T) {
	t.Parallel()
	reader, writer := blockingPipe(t)
	l, dropped, _ := startLog(writer, time.Minute)
	const lines = 20
	for range lines {
		l.Refusal(Refusal{Reason: strings.Repeat("x", queueBytes/10)})
	}
	if got, want := dropped.Load(), int64(lines-9); got != want {
		t.Errorf("dropped = %d, want %d", got, want)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = reader.WriteTo(&strings.Builder{})
	}()
	l.Close()
	<-l.done
	<-done
	_ = reader.Close()
}

// TestResumeAfterFullQueue requires one message when the queue is full and one when it is
// empty again.
func TestResumeAfterFullQueue(t *testing.T) {
	t.Parallel()
	reader, writer := blockingPipe(t)
	l, dropped, messages := startLog(writer, time.Minute)
	const lines = 4 * queueLength
	for range lines {
		l.Probe(Probe{Target: strings.Repeat("x", 50)})
	}
	written := make(chan int64)
	go func() {
		n := int64(0)
		for scanner := bufio.NewScanner(reader); scanner.Scan(); {
			n++
		}
		written <- n
	}()
	l.Close()
	<-l.done
	if n := <-written; n+dropped.Load() != lines || dropped.Load() == 0 {
		t.Errorf("got %d written and %d dropped entries, want %d in total", n, dropped.Load(), lines)
	}
	if got := messages.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "Resumed writing audit entries") {
		t.Errorf("messages = %q, want a failure and a resumption", got)
	}
	_ = reader.Close()
}

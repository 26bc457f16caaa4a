// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// waker is an epoll that waits in Go's own poller. A thread that waits in the kernel
// keeps its turn at a processor until the runtime takes it away, milliseconds
// later: a few dozen idle lanes would starve everything else. It is for one
// goroutine.
type waker struct {
	epoll  int
	file   *os.File
	conn   syscall.RawConn
	events []unix.EpollEvent
}

func newWaker() (*waker, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(epoll, true); err != nil { // or the runtime would not wait for it
		_ = unix.Close(epoll)
		return nil, os.NewSyscallError("fcntl", err)
	}
	const eventsAtOnce = 256
	w := &waker{epoll: epoll, file: os.NewFile(uintptr(epoll), "epoll"), events: make([]unix.EpollEvent, eventsAtOnce)}
	if w.conn, err = w.file.SyscallConn(); err != nil {
		_ = w.file.Close()
		return nil, err
	}
	return w, nil
}

func (w *waker) close() { _ = w.file.Close() }

// watch has the waker tell of events on fd, with mark as what tells whose they are.
func (w *waker) watch(fd int, mark int32, events uint32) error {
	event := unix.EpollEvent{Events: events, Fd: mark}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, fd, &event))
}

// change has the waker tell of other events on fd from now on, of those that are so
// already too.
func (w *waker) change(fd int, mark int32, events uint32) {
	event := unix.EpollEvent{Events: events, Fd: mark}
	_ = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_MOD, fd, &event) // never fails for what is watched
}

// wait returns what has happened, and waits for the first of it no longer than d.
func (w *waker) wait(d time.Duration) []unix.EpollEvent {
	n := w.look()
	if n > 0 || d <= 0 {
		return w.events[:n]
	}
	if err := w.file.SetReadDeadline(time.Now().Add(d)); err != nil {
		time.Sleep(d) // this kernel's epoll can't be waited for: late is better than never
		return w.events[:w.look()]
	}
	_ = w.conn.Read(func(uintptr) bool { // the error is that the time is up
		n = w.look()
		return n > 0
	})
	return w.events[:n]
}

// look takes what has happened by now.
func (w *waker) look() int {
	n, err := unix.EpollWait(w.epoll, w.events, 0)
	if err != nil {
		return 0 // EINTR
	}
	return n
}

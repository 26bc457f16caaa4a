// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// poller is an epoll instance that waits in Go's network poller. A thread that waits in
// epoll_wait keeps its processor until the runtime takes it away milliseconds later, so a
// few dozen idle workers would starve all other goroutines. It may be used by one
// goroutine.
type poller struct {
	epoll  int
	file   *os.File
	conn   syscall.RawConn
	events []unix.EpollEvent
}

func newPoller() (*poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(epoll, true); err != nil { // required by the runtime's poller
		_ = unix.Close(epoll)
		return nil, os.NewSyscallError("fcntl", err)
	}
	const eventsAtOnce = 256
	w := &poller{epoll: epoll, file: os.NewFile(uintptr(epoll), "epoll"), events: make([]unix.EpollEvent, eventsAtOnce)}
	if w.conn, err = w.file.SyscallConn(); err != nil {
		_ = w.file.Close()
		return nil, err
	}
	return w, nil
}

func (p *poller) close() { _ = p.file.Close() }

// add adds a descriptor; its events have the mark.
func (p *poller) add(fd int, mark int32, events uint32) error {
	event := unix.EpollEvent{Events: events, Fd: mark}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &event))
}

// modify changes the events of a descriptor. Conditions that already hold raise events.
func (p *poller) modify(fd int, mark int32, events uint32) {
	event := unix.EpollEvent{Events: events, Fd: mark}
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_MOD, fd, &event) // cannot fail for an added descriptor
}

// wait returns events, and waits for the first at most d.
func (p *poller) wait(d time.Duration) []unix.EpollEvent {
	n := p.poll()
	if n > 0 || d <= 0 {
		return p.events[:n]
	}
	if err := p.file.SetReadDeadline(time.Now().Add(d)); err != nil {
		time.Sleep(d) // this kernel's epoll cannot be polled by the runtime
		return p.events[:p.poll()]
	}
	_ = p.conn.Read(func(uintptr) bool { // the error is the deadline
		n = p.poll()
		return n > 0
	})
	return p.events[:n]
}

// poll returns the pending events.
func (p *poller) poll() int {
	n, err := unix.EpollWait(p.epoll, p.events, 0)
	if err != nil {
		return 0 // EINTR
	}
	return n
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"container/list"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// LimitConnections limits the open connections of a server, of all its listeners together. Use it
// before the server serves; it sets the server's ConnState.
//
// At the limit, a new connection replaces the one that has been idle for the longest time. A
// connection is idle while it has no complete request header. If none is idle, the server accepts
// no further connection, and the kernel queues new ones. A connection that is idle for less than
// minIdle is not replaced: its request can be on its way.
func LimitConnections(s *http.Server, limit int) error {
	if limit < 1 {
		return errors.New("server.LimitConnections: limit must be positive")
	}
	l := &connLimiter{limit: limit, conns: make(map[net.Conn]*list.Element)}
	l.changed.L = &l.mu
	s.ConnState = l.observe
	s.RegisterOnShutdown(l.stop) // Shutdown waits until no listener accepts
	return nil
}

// minIdle is also long enough to read a request on a busy machine.
const minIdle = 200 * time.Millisecond

// connLimiter observes the connections of a server.
type connLimiter struct {
	limit int

	mu       sync.Mutex
	changed  sync.Cond                  // a connection has become idle or was closed, or stopping was set
	conns    map[net.Conn]*list.Element // open connections; nil: not idle
	idle     list.List                  // of idleConn, in the order in which they became idle
	stopping bool
}

type idleConn struct {
	net.Conn
	since time.Time
}

// observe is called by the server with each state of a connection. A server calls it with
// [http.StateNew] before it accepts the next connection of the listener.
func (l *connLimiter) observe(c net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch state {
	case http.StateNew:
		l.admit(c)
	case http.StateActive:
		l.setBusy(c)
	case http.StateIdle:
		l.setIdle(c)
	case http.StateClosed, http.StateHijacked:
		l.forget(c)
	}
}

// admit adds a new connection when there are fewer than the limit.
func (l *connLimiter) admit(c net.Conn) {
	for len(l.conns) >= l.limit && !l.stopping {
		oldest, ok := l.oldestIdle()
		switch age := time.Since(oldest.since); {
		case !ok:
			l.changed.Wait()
		case age < minIdle:
			l.waitAtMost(minIdle - age)
		default:
			l.forget(oldest.Conn)
			closeNow(oldest.Conn)
		}
	}
	if l.stopping {
		closeNow(c) // as the kernel closes queued connections
		return
	}
	l.addIdle(c)
}

// waitAtMost waits for a change, or until the time has passed.
func (l *connLimiter) waitAtMost(d time.Duration) {
	timer := time.AfterFunc(d, func() {
		l.mu.Lock() // not before Wait has released it
		defer l.mu.Unlock()
		l.changed.Broadcast()
	})
	defer timer.Stop()
	l.changed.Wait()
}

func (l *connLimiter) oldestIdle() (oldest idleConn, ok bool) {
	if front := l.idle.Front(); front != nil {
		oldest, ok = front.Value.(idleConn)
	}
	return oldest, ok
}

func (l *connLimiter) addIdle(c net.Conn) {
	l.conns[c] = l.idle.PushBack(idleConn{c, time.Now()})
	l.changed.Broadcast()
}

func (l *connLimiter) setBusy(c net.Conn) {
	if at := l.conns[c]; at != nil {
		l.idle.Remove(at)
		l.conns[c] = nil
	}
}

func (l *connLimiter) setIdle(c net.Conn) {
	if at, open := l.conns[c]; open && at == nil { // HTTP/2 can report it twice
		l.addIdle(c)
	}
}

func (l *connLimiter) forget(c net.Conn) {
	l.setBusy(c)
	delete(l.conns, c)
	l.changed.Broadcast()
}

// stop admits no further connections, and ends the wait for a free place.
func (l *connLimiter) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopping = true
	l.changed.Broadcast()
}

// closeNow closes a connection without the alert of TLS, which can block.
func closeNow(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	_ = c.Close()
}

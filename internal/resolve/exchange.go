// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// exchange is the traffic of one lookup with a DNS server. Its sockets end with its context.
type exchange struct {
	ctx     context.Context //nolint:containedctx // package net does not pass it to Dial
	server  netip.AddrPort  // zero: the servers of the system
	sockets chan struct{}

	mu    sync.Mutex
	dials map[string]int // by network
	asked string         // the last server
	fault error          // of the last socket

	code     int    // of the last response, or noResponse
	response []byte // the last one
}

// errEnough prevents more exchanges than maxDials.
var errEnough = errors.New("asked before")

// errNoSocket is the error of a question that has waited for a socket until its end.
var errNoSocket = errors.New("not asked: too many other questions have no answer")

// maxDials is the maximum number of UDP and of TCP sockets for a server. Package net uses more if the
// system has several servers, but all of them lead to one here.
const maxDials = 2

// dial is the Dial function of a [net.Resolver].
//
//nolint:contextcheck // the context of package net does not end with that of the lookup
func (x *exchange) dial(_ context.Context, network, address string) (net.Conn, error) {
	if x.server.IsValid() {
		address = x.server.String()
	}
	if err := x.begin(network, address); err != nil {
		return nil, err
	}
	if !x.acquireSocket() {
		x.setFault(errNoSocket)
		return nil, errNoSocket
	}
	inner, err := (&net.Dialer{}).DialContext(x.ctx, network, address)
	if err != nil {
		<-x.sockets
		x.setFault(err)
		return nil, err
	}
	base := socket{exchange: x, inner: inner, until: x.deadline()}
	base.stop = context.AfterFunc(x.ctx, func() { _ = inner.Close() })
	if udp, ok := inner.(*net.UDPConn); ok {
		return &packetSocket{UDPConn: udp, socket: base}, nil
	}
	return &streamSocket{Conn: inner, socket: base}, nil
}

// acquireSocket waits for the permission to open a socket, and reports whether it has come before the
// context's deadline, at which the sockets of other questions end, too.
func (x *exchange) acquireSocket() bool {
	select {
	case x.sockets <- struct{}{}:
	case <-x.ctx.Done():
		return false
	}
	if x.end() != nil {
		<-x.sockets
		return false
	}
	return true
}

// end returns the reason why the exchange has ended, or nil. The deadlines of sockets are over a little
// before the context ends.
func (x *exchange) end() error {
	if deadline, ok := x.ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return errTimeout
	}
	return endOf(x.ctx)
}

// begin starts the exchange with a server, unless enough have been made.
func (x *exchange) begin(network, address string) error {
	if err := x.end(); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dials == nil {
		x.dials = make(map[string]int)
	}
	x.dials[network]++
	if x.server.IsValid() && x.dials[network] > maxDials {
		return errEnough
	}
	x.asked, x.code, x.response, x.fault = address, noResponse, nil, nil
	if network == "tcp" {
		x.asked += " over TCP"
	}
	return nil
}

// deadline returns the end of an exchange that starts now. The servers of the system share the time.
func (x *exchange) deadline() time.Time {
	const shares = 4
	deadline, ok := x.ctx.Deadline()
	switch {
	case !ok:
		return time.Now().Add(maxShare)
	case x.server.IsValid():
		return deadline
	default:
		return time.Now().Add(time.Until(deadline) / shares)
	}
}

// setFault records an error of a socket, unless the context has closed it.
func (x *exchange) setFault(err error) {
	if err == nil || errors.Is(err, net.ErrClosed) {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.fault = innermost(err)
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		x.fault = errTimeout
	}
}

// setResponse records a response and its code (RFC 1035 section 4.1.1) if it has the query's ID.
// Package net ignores others, because they can be spoofed.
func (x *exchange) setResponse(query, response []byte) {
	const headerLength, responseBit = 12, 0x80
	if len(query) < 2 || len(response) < headerLength || [2]byte(query) != [2]byte(response) || response[2]&responseBit == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.code, x.response = int(response[3]&0xf), bytes.Clone(response)
}

// socket is the common part of the sockets of an exchange.
type socket struct {
	exchange *exchange
	inner    net.Conn
	until    time.Time
	stop     func() bool // ends the closing by the context
	query    []byte      // that was written last
}

// limit returns the deadline, or the end of the exchange if that is earlier.
func (s *socket) limit(deadline time.Time) time.Time {
	if deadline.IsZero() || deadline.After(s.until) {
		return s.until
	}
	return deadline
}

// close closes the socket.
func (s *socket) close() error {
	s.stop()
	<-s.exchange.sockets
	return s.inner.Close()
}

// packetSocket is a UDP socket that repeats the query, because packets can be lost.
type packetSocket struct {
	*net.UDPConn
	socket

	deadline time.Time
	interval time.Duration // between queries
	queries  int           // sent before the deadline
}

// maxQueries is the maximum number of queries before a deadline.
const maxQueries = 3

// SetDeadline implements [net.Conn].
func (p *packetSocket) SetDeadline(t time.Time) error {
	p.deadline, p.queries = p.limit(t), 0
	p.interval = time.Until(p.deadline) / maxQueries
	return p.UDPConn.SetDeadline(p.deadline)
}

// Write implements [net.Conn].
func (p *packetSocket) Write(b []byte) (int, error) {
	p.query = b
	p.queries++
	n, err := p.UDPConn.Write(b)
	p.exchange.setFault(err)
	return n, err
}

// Read implements [net.Conn]. It repeats the query at a third and at two thirds of the time, however
// many packets are not a response.
func (p *packetSocket) Read(b []byte) (int, error) {
	for {
		until := p.deadline.Add(-time.Duration(maxQueries-p.queries) * p.interval)
		if err := p.UDPConn.SetReadDeadline(until); err != nil {
			return 0, err
		}
		n, err := p.UDPConn.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) && p.queries < maxQueries {
			if _, err := p.Write(p.query); err != nil {
				return 0, err
			}
			continue
		}
		p.exchange.setFault(err)
		p.exchange.setResponse(p.query, b[:n])
		return n, err
	}
}

// Close implements [net.Conn].
func (p *packetSocket) Close() error { return p.close() }

// streamSocket is a TCP socket.
type streamSocket struct {
	net.Conn
	socket

	received []byte
}

// SetDeadline implements [net.Conn].
func (s *streamSocket) SetDeadline(t time.Time) error { return s.Conn.SetDeadline(s.limit(t)) }

// Write implements [net.Conn].
func (s *streamSocket) Write(b []byte) (int, error) {
	s.query = b
	n, err := s.Conn.Write(b)
	s.exchange.setFault(err)
	return n, err
}

// Read implements [net.Conn].
func (s *streamSocket) Read(b []byte) (int, error) {
	const prefix = 2 // bytes with the length of a message (RFC 1035 section 4.2.2)
	n, err := s.Conn.Read(b)
	s.exchange.setFault(err)
	s.received = append(s.received, b[:n]...)
	if len(s.received) > prefix && len(s.query) > prefix {
		if message := s.received[prefix:]; len(message) == int(binary.BigEndian.Uint16(s.received)) {
			s.exchange.setResponse(s.query[prefix:], message)
		}
	}
	return n, err
}

// Close implements [net.Conn].
func (s *streamSocket) Close() error { return s.close() }

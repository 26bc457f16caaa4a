// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"sync"

	"portscan_exporter/internal/engine/packet"
)

// natMonitor receives the SYNs of attempts that leave this machine with other addresses or
// ports than they were sent with. Packet sockets see them after connection tracking has
// translated them, and see answers before the translation is reverted, so that no answer
// matches such an attempt.
//
// All probers of the engine share one socket, because the kernel runs its filter for each
// packet that this machine sends. The socket is open while probers watch. A natMonitor is
// safe for concurrent use.
type natMonitor struct {
	mu       sync.Mutex
	socket   *natSocket // nil without probers
	watchers map[*synProber]*natInbox

	closing sync.WaitGroup
}

// natInbox contains what was received and not yet delivered to a prober.
type natInbox struct {
	syns []packet.SYN
	lost bool // the socket's buffer was full
}

// join adds a prober.
func (m *natMonitor) join(p *synProber) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.socket == nil {
		s, err := newNATSocket()
		if err != nil {
			return err
		}
		m.socket, m.watchers = s, make(map[*synProber]*natInbox)
	}
	m.watchers[p] = &natInbox{}
	return nil
}

// leave removes a prober, if it has joined. The last one closes the socket, without
// waiting: closing takes about 10 ms, until no processor uses the socket any more.
func (m *natMonitor) leave(p *synProber) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.watchers, p)
	if len(m.watchers) == 0 && m.socket != nil {
		m.closing.Go(m.socket.close)
		m.socket = nil
	}
}

// close waits until the socket is closed. No prober may watch.
func (m *natMonitor) close() { m.closing.Wait() }

// receive hands over the SYNs that were received since the last call, and reports whether
// others may have been lost. The prober must have joined.
func (m *natMonitor) receive(p *synProber, take func(syn packet.SYN)) (lost bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	overflow := m.socket.read(func(syn packet.SYN) {
		for _, inbox := range m.watchers { // one of them has sent it
			inbox.syns = append(inbox.syns, syn)
		}
	})
	if overflow {
		for _, inbox := range m.watchers {
			inbox.lost = true
		}
	}
	inbox := m.watchers[p]
	for _, syn := range inbox.syns {
		take(syn)
	}
	lost = inbox.lost
	inbox.syns, inbox.lost = inbox.syns[:0], false
	return lost
}

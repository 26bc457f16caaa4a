// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"portscan_exporter/internal/scan"
)

// connectSystem implements [system] for connect scans on Linux.
type connectSystem struct {
	machine

	queuesErrors bool // the kernel queues ICMP errors of TCP
	maxInFlight  int  // see memoryLimit
	heldPorts    portRegistry
	dropsCounted atomic.Bool // see countsDrops
}

// NewConnect returns the connect engine. On Linux it reuses sockets on epoll. All scans share
// the budget. A connection is reset as soon as it is established, and no data is sent.
//
// The kernel retransmits a SYN after a second. Such SYNs do not count as attempts.
//
// Linux before 5.8 does not queue ICMP errors of TCP, see [CheckErrorQueue]. There, errors
// are read like those of [NewDial].
func NewConnect(budget *Budget) (*Engine, error) {
	if budget == nil {
		return nil, errNoBudget
	}
	return &Engine{budget: budget, system: newConnectSystem(kernelRelease())}, nil
}

func newConnectSystem(release string) *connectSystem {
	return &connectSystem{machine: machine{connects: true}, queuesErrors: queuesErrors(release), maxInFlight: memoryLimit()}
}

// traits implements [system]. There is no lag: attempts expire by the time up to which events
// have been read.
func (s *connectSystem) traits() traits { return traits{maxInFlight: s.maxInFlight} }

func (s *connectSystem) newProber(_ context.Context, source netip.Addr, _ int, late lateDetector) (prober, error) {
	detector, _ := late.(*heldLateDetector)
	return newConnectProber(s, source, detector)
}

func (s *connectSystem) newLateDetector(spec scan.Spec, addrs []netip.Addr, reserve func(int) bool) lateDetector {
	if d := newHeldLateDetector(s, spec, addrs, reserve); d != nil {
		return d
	}
	return nil
}

func (*connectSystem) close() {}

// memoryLimit returns the number of attempts for which the kernel has memory. Each needs
// about a page, and all together use at most a quarter of the first limit of TCP (tcp(7),
// tcp_mem).
func memoryLimit() int {
	const unlimited, quarter = 1 << 20, 4
	data, err := os.ReadFile("/proc/sys/net/ipv4/tcp_mem")
	if err != nil {
		return unlimited
	}
	fields := strings.Fields(string(data))
	if len(fields) == 0 {
		return unlimited
	}
	pages, err := strconv.Atoi(fields[0])
	if err != nil {
		return unlimited
	}
	return max(1, pages/quarter)
}

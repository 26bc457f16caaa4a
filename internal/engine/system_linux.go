// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// linux is the system of the connect engine at the kernel's speed.
type linux struct {
	machine

	resets atomic.Int64 // RSTs that our own kernel has sent on our own account
}

// NewConnect returns the connect engine at its best on this system: on Linux,
// kept sockets on epoll. All its scans stay within the budget. A connection is
// reset as soon as it is established, and no byte is ever sent over it.
func NewConnect(budget *Budget) (*Engine, error) {
	if budget == nil {
		return nil, errNoBudget
	}
	return &Engine{budget: budget, system: &linux{}}, nil
}

// lag is nothing: an attempt's time is up by the moment up to which the kernel's
// events have been read.
func (*linux) lag() time.Duration { return 0 }

func (s *linux) line(_ context.Context, source netip.Addr, _ int) (line, error) {
	return newSockets(s, source)
}

func (*linux) most() int { return memoryLimit() }

func (*linux) hears() bool { return false }

func (*linux) packets(uint16) int { return 1 }

func (*linux) close() {}

// late counts the RSTs that the kernel has sent beyond those of our own making:
// a SYN+ACK that comes after its attempt was dropped draws one. Others on this
// machine may cause some too; that costs a scan time, and never the truth.
func (s *linux) late() (int64, bool) {
	sent, err := resetsSent()
	return sent - s.resets.Load(), err == nil
}

// resetsSent reads Tcp.OutRsts, which counts both families' (proc(5)).
func resetsSent() (int64, error) {
	data, err := os.ReadFile("/proc/self/net/snmp")
	if err != nil {
		return 0, err
	}
	return parseResets(data)
}

// parseResets finds the counter: a line of names is followed by one of numbers.
func parseResets(data []byte) (int64, error) {
	var names []string
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || fields[0] != "Tcp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			if name == "OutRsts" && i < len(fields) {
				return strconv.ParseInt(fields[i], 10, 64)
			}
		}
	}
	return 0, errors.ErrUnsupported
}

// memoryLimit returns how many attempts the kernel's memory for TCP allows: each
// holds about a page of it, and a quarter of what TCP may use before it comes
// under pressure is enough (tcp(7), tcp_mem).
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

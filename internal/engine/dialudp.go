// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"
	"time"

	"portscan_exporter/internal/engine/payload"
	"portscan_exporter/internal/scan"
)

// NewDialUDP returns the portable engine of UDP scans. All scans share the budget, and each
// has at most 2,000 attempts in flight. Each attempt has its own connected socket, because a
// socket reports errors of earlier datagrams.
//
// ECONNREFUSED is closed; other ICMP errors are read like those of [NewDial]. None of them is
// a response of the address ([scan.PortResult].LastResponse), because the sender is not
// known. Answers from another address or port are not received. Attempts count like those of
// [NewDial].
func NewDialUDP(budget *Budget) (*Engine, error) {
	if budget == nil {
		return nil, errNoBudget
	}
	return &Engine{budget: budget, system: &dialSystem{dial: dialNet, hasSource: hasSource, udp: true, datagrams: countPayloads()}}, nil
}

// payloadCounts has the number of datagrams of ports with several datagrams per attempt. The
// zero value has none.
type payloadCounts map[uint16]int

// perAttempt returns the number of packets of an attempt at the port.
func (c payloadCounts) perAttempt(port uint16) int { return max(1, c[port]) }

func countPayloads() payloadCounts {
	counts := make(payloadCounts)
	for _, port := range payload.Ports() {
		if n := len(payload.ForPort(port)); n > 1 {
			counts[port] = n
		}
	}
	return counts
}

// attemptUDP makes one attempt at a port until ctx ends and returns its verdict.
func (d *dialSystem) attemptUDP(ctx context.Context, source netip.Addr, to netip.AddrPort) verdict {
	conn, err := d.dial(ctx, source, "udp", to)
	if err != nil {
		return d.explain(completionVerdict(err, unreachable), source, to)
	}
	defer func() { _ = conn.Close() }()
	if conn.LocalAddr().String() == conn.RemoteAddr().String() {
		return verdict{cause: scan.CauseSourcePorts} // the system has chosen the tried port as the local one
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for _, p := range payload.ForPort(to.Port()) {
		if _, err := conn.Write(p.Data); err != nil {
			return d.sendFailure(ctx, source, to, err)
		}
	}
	var reply [1]byte
	if _, err := conn.Read(reply[:]); err != nil && !isTruncated(err) {
		return d.refusal(ctx, source, to, err)
	}
	return verdict{state: scan.Open, cause: scan.CauseReply}
}

// sendFailure returns the verdict of a datagram that was not sent. A send needs no
// descriptor, so a lack of resources is a full queue of the interface.
func (d *dialSystem) sendFailure(ctx context.Context, source netip.Addr, to netip.AddrPort, err error) verdict {
	v := d.refusal(ctx, source, to, err)
	if v.cause == scan.CauseDescriptors {
		v.cause = scan.CauseDeadline
	}
	return v
}

// refusal returns the verdict of an attempt with an error. Some systems return ECONNRESET for
// a port unreachable.
func (d *dialSystem) refusal(ctx context.Context, source netip.Addr, to netip.AddrPort, err error) verdict {
	v := completionVerdict(err, func() bool { return d.reachable(ctx, source, to) })
	if v.cause == scan.CauseRST || v.cause == scan.CauseHandshakeReset {
		return verdict{state: scan.Closed, cause: scan.CauseICMP}
	}
	return v
}

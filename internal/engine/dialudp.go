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

// NewDialUDP returns the portable engine of UDP scans; all its scans stay within
// the budget, and each within 2,000 attempts at a time. Every attempt has a
// connected socket of its own: one that is kept would be told of the port before.
//
// What it can't tell: which ICMP error it was. A port unreachable arrives as
// ECONNREFUSED and reads as closed; others are read as [NewDial] reads them, and an
// answer that comes from another port or address is not seen.
func NewDialUDP(budget *Budget) (*Engine, error) {
	if budget == nil {
		return nil, errNoBudget
	}
	return &Engine{budget: budget, system: &dialer{dial: dialSystem, udp: true, many: countPayloads()}}, nil
}

// payloadCounts are the ports that are sent more than one datagram at an attempt.
type payloadCounts map[uint16]int

func countPayloads() payloadCounts {
	counts := make(payloadCounts)
	for _, port := range payload.Ports() {
		if n := len(payload.ForPort(port)); n > 1 {
			counts[port] = n
		}
	}
	return counts
}

// ask tries one port once with datagrams, until ctx ends, and says what came of it.
func (d *dialer) ask(ctx context.Context, source netip.Addr, to netip.AddrPort) verdict {
	conn, err := d.dial(ctx, source, "udp", to)
	if err != nil {
		return classify(err, never)
	}
	defer func() { _ = conn.Close() }()
	if conn.LocalAddr().String() == conn.RemoteAddr().String() {
		return verdict{cause: scan.CauseSourcePorts} // the system picked the very port that is tried
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for _, p := range payload.ForPort(to.Port()) {
		if _, err := conn.Write(p.Data); err != nil {
			return d.refusal(ctx, source, to, err)
		}
	}
	var reply [1]byte
	if _, err := conn.Read(reply[:]); err != nil && !tooLong(err) {
		return d.refusal(ctx, source, to, err)
	}
	return verdict{state: scan.Open, cause: scan.CauseReply}
}

// refusal reads the error of an attempt. A port that is closed is told by ICMP; some
// systems call that a connection that was reset.
func (d *dialer) refusal(ctx context.Context, source netip.Addr, to netip.AddrPort, err error) verdict {
	v := classify(err, func() bool { return d.reachable(ctx, source, to) })
	if v.cause == scan.CauseRST || v.cause == scan.CauseHandshakeReset {
		return verdict{state: scan.Closed, cause: scan.CauseICMP}
	}
	return v
}

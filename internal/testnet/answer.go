// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import "portscan_exporter/internal/scan"

// Answer is the behavior of a TCP port.
type Answer uint8

// The answers, with the states that a scanner must report.
const (
	Refuse      Answer = iota // no listener, the kernel sends a RST: closed
	Accept                    // accepted and kept open: open
	AcceptReset               // accepted and reset at once: open
	AcceptClose               // accepted and closed: open
	Drop                      // dropped by a filter: filtered
	RejectPort                // a filter sends ICMP, port unreachable: filtered
	RejectHost                // a filter sends ICMP, host or address unreachable: filtered
	RejectAdmin               // a filter sends ICMP, administratively prohibited: filtered
	RejectReset               // a filter sends a RST: closed
	BacklogFull               // a listener with a full backlog, no answer: filtered
)

// The answers that only a [Simulator] supports. [Answers] does not return them. After
// ZeroWindow and BrokenAccept, the simulator ignores further packets.
const (
	TimeExceeded    Answer = BacklogFull + 1 + iota // a router sends ICMP, hop limit exceeded: filtered
	Forged                                          // spoofed ICMP, port unreachable, that quotes another sequence number: filtered
	BareReset                                       // spoofed RST without acknowledgment: filtered
	Challenge                                       // challenge ACK of another connection (RFC 5961 section 4): filtered
	ForgedAccept                                    // SYN+ACK that acknowledges another sequence number: filtered
	ForgedReset                                     // RST that acknowledges another sequence number: filtered
	ZeroWindow                                      // accepted with a window of 0, like a tarpit: open
	AcceptThenReset                                 // accepted and reset before the ACK, like some load balancers: open
	BrokenAccept                                    // SYN+ACK with a wrong checksum, which must be ignored: filtered
)

// Answers returns the answers of test hosts.
func Answers() []Answer {
	return []Answer{
		Refuse, Accept, AcceptReset, AcceptClose, Drop,
		RejectPort, RejectHost, RejectAdmin, RejectReset, BacklogFull,
	}
}

// State returns the state that a scanner must report for a port with the answer.
func (a Answer) State() scan.State {
	switch a {
	case Refuse, RejectReset:
		return scan.Closed
	case Accept, AcceptReset, AcceptClose, ZeroWindow, AcceptThenReset:
		return scan.Open
	case Drop, RejectPort, RejectHost, RejectAdmin, BacklogFull, TimeExceeded, Forged, BareReset, Challenge,
		ForgedAccept, ForgedReset, BrokenAccept:
		return scan.Filtered
	default:
		return scan.Unknown
	}
}

// String returns the name of the answer.
func (a Answer) String() string {
	names := [...]string{
		Refuse: "refuse", Accept: "accept", AcceptReset: "accept_reset", AcceptClose: "accept_close",
		Drop: "drop", RejectPort: "reject_port", RejectHost: "reject_host", RejectAdmin: "reject_admin",
		RejectReset: "reject_reset", BacklogFull: "backlog_full",
		TimeExceeded: "time_exceeded", Forged: "forged", BareReset: "bare_reset", Challenge: "challenge",
		ForgedAccept: "forged_accept", ForgedReset: "forged_reset", ZeroWindow: "zero_window",
		AcceptThenReset: "accept_then_reset", BrokenAccept: "broken_accept",
	}
	if int(a) >= len(names) {
		return "none"
	}
	return names[a]
}

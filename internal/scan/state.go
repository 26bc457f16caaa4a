// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

// State is the state of a port. The zero value is [Unknown], so that a port that was not
// scanned is never reported as closed.
type State uint8

// The states. For their meaning, see docs/metrics.md.
const (
	Unknown      State = iota // could not be determined, see the [Cause]
	Open                      // accepts connections or answers datagrams
	Closed                    // the host reports that the port is closed
	Filtered                  // silent, or rejected by a filter
	OpenFiltered              // a silent UDP port: open or filtered
)

// States returns all states in the order of output.
func States() []State { return []State{Open, Closed, Filtered, OpenFiltered, Unknown} }

// String returns the state's value in the label "state".
func (s State) String() string {
	switch s {
	case Open:
		return "open"
	case Closed:
		return "closed"
	case Filtered:
		return "filtered"
	case OpenFiltered:
		return "open_filtered"
	default:
		return "unknown"
	}
}

// Cause is the evidence for a [State]: the kind of answer for a known state, or the reason
// for [Unknown].
type Cause uint8

// Evidence for a known state.
const (
	CauseNone           Cause = iota // no result
	CauseHandshake                   // connection established
	CauseHandshakeReset              // connection accepted and reset at once
	CauseRST                         // RST: ECONNREFUSED
	CauseICMP                        // ICMP error
	CauseSYNACK                      // SYN+ACK of a half-open scan
	CauseZeroWindow                  // SYN+ACK with a window of 0, typical of tarpits
	CauseReply                       // datagram
	CauseSilence                     // no answer to any attempt
	CauseNoNeighbor                  // no host has the address on its link
)

// Reasons for [Unknown]. Their names are the values of the label "reason" of
// portscan_ports_unknown.
const (
	CauseDeadline      Cause = iota + 16 // the scan timed out or was canceled
	CauseDescriptors                     // no file descriptor or memory for a socket
	CauseSourcePorts                     // no free source port for that destination
	CauseNoRoute                         // no route to the address
	CausePermission                      // the operating system does not permit the attempt
	CauseUnresponsive                    // the address stopped answering during the scan
	CauseInternal                        // a bug of the exporter
	CauseNeighborTable                   // the operating system's neighbor table is full
	CauseTranslated                      // this machine translates the packets of the scan (NAT)
)

// UnknownCauses returns the reasons for [Unknown] in the order of output.
func UnknownCauses() []Cause {
	return []Cause{
		CauseDeadline, CauseDescriptors, CauseSourcePorts, CauseNoRoute,
		CausePermission, CauseUnresponsive, CauseInternal, CauseNeighborTable, CauseTranslated,
	}
}

// explainsUnknown reports whether the cause is one of [UnknownCauses].
func (c Cause) explainsUnknown() bool { return c >= CauseDeadline && c <= CauseTranslated }

// Answered reports whether the cause is an answer, including RSTs and ICMP errors.
func (c Cause) Answered() bool { return c >= CauseHandshake && c <= CauseReply }

// String returns the name of the cause. For [UnknownCauses] it is the value of the label
// "reason".
func (c Cause) String() string {
	names := [...]string{
		CauseHandshake: "handshake", CauseHandshakeReset: "handshake_reset", CauseRST: "rst", CauseICMP: "icmp",
		CauseSYNACK: "synack", CauseZeroWindow: "synack_zero_window", CauseReply: "reply", CauseSilence: "silence",
		CauseNoNeighbor: "no_neighbor",
		CauseDeadline:   "deadline", CauseDescriptors: "descriptors", CauseSourcePorts: "source_ports",
		CauseNoRoute: "no_route", CausePermission: "permission", CauseUnresponsive: "unresponsive", CauseInternal: "internal",
		CauseNeighborTable: "neighbor_table", CauseTranslated: "translated",
	}
	if int(c) >= len(names) || names[c] == "" {
		return "none"
	}
	return names[c]
}

// Protocol is a transport protocol. The zero value is none.
type Protocol uint8

// The protocols.
const (
	TCP Protocol = iota + 1
	UDP
)

// String returns the protocol's value in the label "protocol".
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	default:
		return "none"
	}
}

// Method is a way to scan TCP ports. The zero value is none.
type Method uint8

// The methods.
const (
	Connect Method = iota + 1 // complete handshake by the operating system
	SYN                       // half-open, with raw packets
)

// String returns the method's name in config.yml.
func (m Method) String() string {
	switch m {
	case Connect:
		return "connect"
	case SYN:
		return "syn"
	default:
		return "none"
	}
}

// Expected is the expected state of a port. The zero value is [ExpectAny].
type Expected uint8

// The expected states.
const (
	ExpectAny    Expected = iota // may be open: allowed, or without an expectation for the protocol
	ExpectOpen                   // must be open
	ExpectClosed                 // must not be open
)

// String returns the value of the label "expected".
func (e Expected) String() string {
	switch e {
	case ExpectOpen:
		return "open"
	case ExpectClosed:
		return "closed"
	default:
		return "any"
	}
}

package scan

// State is what is known of one port. The zero value is [Unknown], so that a
// port nobody looked at is never taken for a closed one.
type State uint8

// The five states. They are kept apart because they mean different things to
// the owner of the port: see the table in docs/metrics.md.
const (
	Unknown      State = iota // not found out; the [Cause] says why
	Open                      // something accepts connections or answers datagrams
	Closed                    // the host itself says that nothing listens
	Filtered                  // silent, or refused by something on the way
	OpenFiltered              // a silent UDP port: open, or filtered
)

// States lists every state, in the order in which they are shown.
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

// Cause is the evidence behind a [State]: for a known state what came back, for
// [Unknown] why nothing could be learnt.
type Cause uint8

// Evidence for a known state.
const (
	CauseNone           Cause = iota // nothing reported yet
	CauseHandshake                   // the connection was established
	CauseHandshakeReset              // it was accepted and reset at once
	CauseRST                         // a RST came back: ECONNREFUSED
	CauseICMP                        // an ICMP error came back
	CauseSYNACK                      // a SYN+ACK came back, and no connection was made
	CauseZeroWindow                  // a SYN+ACK came back that takes no data: a tarpit's mark
	CauseReply                       // a datagram came back
	CauseSilence                     // nothing came back in any attempt
)

// Why a port is [Unknown]. Their names are the values of the label "reason" of
// portscan_ports_unknown.
const (
	CauseDeadline     Cause = iota + 16 // time ran out, or the scan was cancelled
	CauseDescriptors                    // no file descriptor, or no memory for a socket
	CauseSourcePorts                    // no free local port towards that destination
	CauseNoRoute                        // this machine has no way to the address
	CausePermission                     // this machine forbids the attempt
	CauseUnresponsive                   // the address stopped answering in mid-scan
	CauseInternal                       // a fault of our own
)

// UnknownCauses lists the causes for which a port can be [Unknown], in the
// order in which they are shown.
func UnknownCauses() []Cause {
	return []Cause{
		CauseDeadline, CauseDescriptors, CauseSourcePorts, CauseNoRoute,
		CausePermission, CauseUnresponsive, CauseInternal,
	}
}

// explainsUnknown tells whether the cause is one of [UnknownCauses].
func (c Cause) explainsUnknown() bool { return c >= CauseDeadline && c <= CauseInternal }

// Answered tells whether the cause is an answer from the network, a RST or an
// ICMP error included.
func (c Cause) Answered() bool { return c >= CauseHandshake && c <= CauseReply }

// String returns a word for the cause; for the [UnknownCauses] it is the value
// of the label "reason".
func (c Cause) String() string {
	words := [...]string{
		CauseHandshake: "handshake", CauseHandshakeReset: "handshake_reset", CauseRST: "rst", CauseICMP: "icmp",
		CauseSYNACK: "synack", CauseZeroWindow: "synack_zero_window", CauseReply: "reply", CauseSilence: "silence",
		CauseDeadline: "deadline", CauseDescriptors: "descriptors", CauseSourcePorts: "source_ports",
		CauseNoRoute: "no_route", CausePermission: "permission", CauseUnresponsive: "unresponsive", CauseInternal: "internal",
	}
	if int(c) >= len(words) || words[c] == "" {
		return "none"
	}
	return words[c]
}

// Protocol is the transport whose ports are scanned. The zero value is none.
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

// Method is how a TCP port is tried. The zero value is none.
type Method uint8

// The methods.
const (
	Connect Method = iota + 1 // a full handshake through the operating system
	SYN                       // half-open, with packets of our own
)

// String returns the method as config.yml writes it.
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

// Expected is what the target's owner says of a port. The zero value is
// [ExpectAny]: nothing was said.
type Expected uint8

// What may be expected of a port.
const (
	ExpectAny    Expected = iota // may be open: allowed, or nothing is expected of that protocol
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

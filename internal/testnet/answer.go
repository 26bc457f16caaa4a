package testnet

import "portscan_exporter/internal/scan"

// Answer is what a host does with an attempt at one of its ports.
type Answer uint8

// The answers, and what a scanner has to say of a port that gives them.
const (
	Refuse      Answer = iota // nothing listens, and the kernel sends a RST: closed
	Accept                    // accepted and held: open
	AcceptReset               // accepted and reset at once: open
	AcceptClose               // accepted and closed in order: open
	Drop                      // swallowed by a filter: filtered
	RejectPort                // a filter sends ICMP, port unreachable: filtered
	RejectHost                // a filter sends ICMP, host or address unreachable: filtered
	RejectAdmin               // a filter sends ICMP, administratively prohibited: filtered
	RejectReset               // a filter sends a RST: closed
	BacklogFull               // a listener that takes no more connections says nothing: filtered
)

// The answers that only the program of [StartSimulation] gives; [Answers] does not list
// them. After ZeroWindow and BrokenAccept everything else is ignored.
const (
	TimeExceeded    Answer = BacklogFull + 1 + iota // a router sends ICMP, hop limit exceeded: filtered
	Forged                                          // somebody sends ICMP, port unreachable, about another sequence number: filtered
	BareReset                                       // a RST that acknowledges nothing, as anybody could send: filtered
	Challenge                                       // an ACK of something else, as of a connection that is still there (RFC 5961 section 4): filtered
	ForgedAccept                                    // a SYN+ACK that acknowledges another sequence number: filtered
	ForgedReset                                     // a RST that does: filtered
	ZeroWindow                                      // accepted with a window of 0, as a tarpit does: open
	AcceptThenReset                                 // accepted and reset at once, without waiting for the ACK, as some load balancers do: open
	BrokenAccept                                    // a SYN+ACK with a wrong checksum, which everybody has to ignore: filtered
)

// Answers lists them all.
func Answers() []Answer {
	return []Answer{
		Refuse, Accept, AcceptReset, AcceptClose, Drop,
		RejectPort, RejectHost, RejectAdmin, RejectReset, BacklogFull,
	}
}

// State returns the state of a port that answers so, as far as it can be seen
// from outside.
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

// String returns a word for the answer.
func (a Answer) String() string {
	words := [...]string{
		Refuse: "refuse", Accept: "accept", AcceptReset: "accept_reset", AcceptClose: "accept_close",
		Drop: "drop", RejectPort: "reject_port", RejectHost: "reject_host", RejectAdmin: "reject_admin",
		RejectReset: "reject_reset", BacklogFull: "backlog_full",
		TimeExceeded: "time_exceeded", Forged: "forged", BareReset: "bare_reset", Challenge: "challenge",
		ForgedAccept: "forged_accept", ForgedReset: "forged_reset", ZeroWindow: "zero_window",
		AcceptThenReset: "accept_then_reset", BrokenAccept: "broken_accept",
	}
	if int(a) >= len(words) {
		return "none"
	}
	return words[a]
}

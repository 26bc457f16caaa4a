package testnet

import "portscan_exporter/internal/scan"

// UDPAnswer is what a host does with a datagram that comes to one of its UDP
// ports.
type UDPAnswer uint8

// The answers, and what a scanner has to say of a port that gives them.
const (
	UDPRefuse         UDPAnswer = iota // nothing listens, and the kernel sends ICMP, port unreachable: closed
	UDPReply                           // a listener replies to whatever comes, an empty datagram too: open
	UDPMute                            // a listener reads and never replies: open_filtered
	UDPDrop                            // swallowed by a filter, which from outside looks like UDPMute: open_filtered
	UDPRejectHost                      // a filter sends ICMP, host or address unreachable: filtered
	UDPRejectAdmin                     // a filter sends ICMP, administratively prohibited: filtered
	UDPRejectPort                      // a filter sends ICMP, port unreachable, as the host itself would: closed
	UDPReplyElsewhere                  // a listener replies from another port of the address, as TFTP does, with an error of TFTP's: open
	UDPReplyOtherAddr                  // a listener replies from another address of the host's, if it has one of that family: open_filtered
)

// UDPAnswers lists them all.
func UDPAnswers() []UDPAnswer {
	return []UDPAnswer{
		UDPRefuse, UDPReply, UDPMute, UDPDrop, UDPRejectHost, UDPRejectAdmin, UDPRejectPort,
		UDPReplyElsewhere, UDPReplyOtherAddr,
	}
}

// heard are the answers for which something has to listen.
func heard() []UDPAnswer { return []UDPAnswer{UDPReply, UDPMute, UDPReplyElsewhere, UDPReplyOtherAddr} }

// State returns the state of a port that answers so, as far as it can be seen
// from outside.
func (a UDPAnswer) State() scan.State {
	switch a {
	case UDPRefuse, UDPRejectPort:
		return scan.Closed
	case UDPReply, UDPReplyElsewhere:
		return scan.Open
	case UDPMute, UDPDrop, UDPReplyOtherAddr: // the last: nobody can tell who that was
		return scan.OpenFiltered
	case UDPRejectHost, UDPRejectAdmin:
		return scan.Filtered
	default:
		return scan.Unknown
	}
}

// String returns a word for the answer.
func (a UDPAnswer) String() string {
	words := [...]string{
		UDPRefuse: "refuse", UDPReply: "reply", UDPMute: "mute", UDPDrop: "drop",
		UDPRejectHost: "reject_host", UDPRejectAdmin: "reject_admin", UDPRejectPort: "reject_port",
		UDPReplyElsewhere: "reply_elsewhere", UDPReplyOtherAddr: "reply_other_addr",
	}
	if int(a) >= len(words) {
		return "none"
	}
	return words[a]
}

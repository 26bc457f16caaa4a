// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import "portscan_exporter/internal/scan"

// UDPAnswer is the behavior of a UDP port.
type UDPAnswer uint8

// The answers, with the states that a scanner must report.
const (
	UDPRefuse         UDPAnswer = iota // no listener, the kernel sends ICMP, port unreachable: closed
	UDPReply                           // a listener replies to each datagram, including empty ones: open
	UDPMute                            // a listener never replies: open_filtered
	UDPDrop                            // dropped by a filter: open_filtered
	UDPRejectHost                      // a filter sends ICMP, host or address unreachable: filtered
	UDPRejectAdmin                     // a filter sends ICMP, administratively prohibited: filtered
	UDPRejectPort                      // a filter sends ICMP, port unreachable, like the kernel: closed
	UDPReplyElsewhere                  // a listener replies with a TFTP error from another port of the address: open
	UDPReplyOtherAddr                  // a listener replies from another address of the host, if there is one of that family: open_filtered
)

// UDPAnswers returns all UDP answers.
func UDPAnswers() []UDPAnswer {
	return []UDPAnswer{
		UDPRefuse, UDPReply, UDPMute, UDPDrop, UDPRejectHost, UDPRejectAdmin, UDPRejectPort,
		UDPReplyElsewhere, UDPReplyOtherAddr,
	}
}

// listeningAnswers returns the answers that need a listener.
func listeningAnswers() []UDPAnswer {
	return []UDPAnswer{UDPReply, UDPMute, UDPReplyElsewhere, UDPReplyOtherAddr}
}

// State returns the state that a scanner must report for a port with the answer.
func (a UDPAnswer) State() scan.State {
	switch a {
	case UDPRefuse, UDPRejectPort:
		return scan.Closed
	case UDPReply, UDPReplyElsewhere:
		return scan.Open
	case UDPMute, UDPDrop, UDPReplyOtherAddr: // the reply from another address cannot be attributed
		return scan.OpenFiltered
	case UDPRejectHost, UDPRejectAdmin:
		return scan.Filtered
	default:
		return scan.Unknown
	}
}

// String returns the name of the answer.
func (a UDPAnswer) String() string {
	names := [...]string{
		UDPRefuse: "refuse", UDPReply: "reply", UDPMute: "mute", UDPDrop: "drop",
		UDPRejectHost: "reject_host", UDPRejectAdmin: "reject_admin", UDPRejectPort: "reject_port",
		UDPReplyElsewhere: "reply_elsewhere", UDPReplyOtherAddr: "reply_other_addr",
	}
	if int(a) >= len(names) {
		return "none"
	}
	return names[a]
}

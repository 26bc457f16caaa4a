package payload

import (
	"slices"
	"strings"
)

// Types and classes of questions (RFC 1035 section 3.2, RFC 1002 section 4.2.1.2).
const (
	typePTR    = 12
	typeNBSTAT = 0x21
	classIN    = 1
)

// dns asks for the name of 127.0.0.1 (RFC 1035 section 4.1). Who is to serve that
// one serves it out of himself: a resolver (RFC 6303 section 4.2) and a forwarder
// answer it although the servers behind them are out of reach, and a server of
// other zones refuses it, which is an answer too. The question for the root's
// servers, by comparison, waits at a forwarder for somebody else, or is answered
// by fourteen times as many bytes as it has; and the one for "version.bind" is
// answered as widely but is taken for an attack. Recursion is not desired, so that nobody is asked on our
// behalf.
func dns() []byte { return question("1.0.0.127.in-addr.arpa", typePTR) }

// mdns asks which kinds of services there are (RFC 6763 section 9). The question
// goes to one host and comes from another port than 5353, which makes it a legacy
// one that is answered as an ordinary server would (RFC 6762 sections 5.5, 6.7).
func mdns() []byte { return question("_services._dns-sd._udp.local", typePTR) }

// question returns a DNS message that asks one thing of the class IN.
func question(name string, kind int) []byte {
	var labels []byte // RFC 1035 section 3.1
	for label := range strings.SplitSeq(name, ".") {
		labels = append(labels, u8(len(label))...)
		labels = append(labels, label...)
	}
	return slices.Concat(
		questionHeader(),
		labels, []byte{0},
		u16(kind), u16(classIN), // RFC 1035 section 4.1.2
	)
}

// questionHeader is the header of a message with one question (RFC 1035 section
// 4.1.1, RFC 1002 section 4.2.1.1).
func questionHeader() []byte {
	return slices.Concat(
		letters(2),     // ID
		u16(0),         // QR, OPCODE, AA, TC, RD, RA, Z, RCODE: a plain query
		u16(1),         // QDCOUNT
		u16(0),         // ANCOUNT
		u16(0), u16(0), // NSCOUNT, ARCOUNT
	)
}

// netbios asks a node for its status, that is for its names (RFC 1002 section
// 4.2.17). Every node has the name "*".
func netbios() []byte {
	const length = 16 // of a name, which zeros fill up (RFC 1001 section 14.1)
	// Each half of a byte is a letter, from A on: '*' is 0x2a.
	encoded := "CK" + strings.Repeat("AA", length-1)
	return slices.Concat(
		questionHeader(),
		u8(len(encoded)), []byte(encoded), []byte{0}, // no scope
		u16(typeNBSTAT), u16(classIN),
	)
}

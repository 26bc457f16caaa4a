package payload

import (
	"slices"
	"strings"
)

// host is what we call ourselves where a host's name is wanted. No such host can
// exist (RFC 6761 section 6.4).
const host = "portscan-exporter.invalid"

// lines returns lines of text as most protocols that are made of text end them,
// with an empty one behind them.
func lines(all ...string) []byte {
	return []byte(strings.Join(all, "\r\n") + "\r\n\r\n")
}

// sip asks what a server can do (RFC 3261 section 11.1). With no hop left nobody
// passes it on: whoever gets it answers himself, by what he can do or by 483 (RFC
// 3261 sections 11, 16.3).
func sip() []byte {
	const uri = "sip:" + host
	return lines(
		"OPTIONS "+uri+" SIP/2.0", // section 7.1
		// Section 20.42; rport, or else the answer goes to port 5060 (RFC 3581 section 3).
		"Via: SIP/2.0/UDP "+host+";rport;branch=z9hG4bK"+from,
		"Max-Forwards: 0",           // section 20.22
		"From: <"+uri+">;tag="+from, // section 20.20
		"To: <"+uri+">",             // section 20.39
		"Call-ID: "+from,            // section 20.8
		"CSeq: 1 OPTIONS",           // section 20.16
		"Content-Length: 0",         // section 20.14
	)
}

// ssdp searches for root devices at one host (UPnP Device Architecture 2.0,
// section 1.3.2), which have one answer each; a search for everything has dozens.
// A search at one host needs no MX, but devices of version 1.0 are silent without
// it, and want the group's address as the HOST.
func ssdp() []byte {
	return lines(
		"M-SEARCH * HTTP/1.1",
		"HOST: 239.255.255.250:1900",
		`MAN: "ssdp:discover"`,
		"MX: 1", // seconds within which the answer comes
		"ST: upnp:rootdevice",
	)
}

// memcached asks for the version (memcached's protocol.txt, "UDP protocol" and
// "version"), which changes nothing and has a short answer.
func memcached() []byte {
	return slices.Concat(
		letters(2),     // request ID
		u16(0), u16(1), // this datagram's number, and how many there are
		u16(0), // reserved
		[]byte("version\r\n"),
	)
}

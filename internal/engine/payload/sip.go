// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

// sip is an OPTIONS request (RFC 3261 section 11.1). With Max-Forwards 0 no proxy
// forwards it: the receiver answers with its capabilities or with 483 (RFC 3261
// sections 11, 16.3).
func sip() []byte {
	const uri = "sip:" + senderHost
	return crlfLines(
		"OPTIONS "+uri+" SIP/2.0", // section 7.1
		// Section 20.42. Without rport the answer goes to port 5060 (RFC 3581 section 3).
		"Via: SIP/2.0/UDP "+senderHost+";rport;branch=z9hG4bK"+senderName,
		"Max-Forwards: 0",                 // section 20.22
		"From: <"+uri+">;tag="+senderName, // section 20.20
		"To: <"+uri+">",                   // section 20.39
		"Call-ID: "+senderName,            // section 20.8
		"CSeq: 1 OPTIONS",                 // section 20.16
		"Content-Length: 0",               // section 20.14
	)
}

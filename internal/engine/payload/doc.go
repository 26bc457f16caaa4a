// Package payload holds what a UDP scan sends to a port. A closed UDP port is
// said to be closed by the kernel, but an open one is silent unless the service
// behind it is asked something it understands; so each port that a well-known
// service lives at has questions of its own, and every other gets an empty
// datagram. An empty one is enough for the services of RFC 862, 865, 867 and
// 868, which answer anything, and says nothing to a syslog server, which would
// write any more than that into a log.
//
// Every payload asks and changes nothing. None logs in with anybody's name, and
// each is as small as its protocol allows and asks, of the questions that are
// answered as widely, the one with the smallest answer, so that nobody gains by
// having our address forged. No [Payload] is longer than 1,200 bytes, which any
// path carries in one piece (RFC 9000 section 14).
//
// The payloads are written from the documents named beside them, a function
// each; the table in table.go says which port gets which. Where a protocol wants
// an identifier, a nonce or random bytes, it gets the letters of
// "portscan_exporter": nothing here is kept secret by them, an attempt that is
// made twice is one that was retransmitted, and who finds such a packet in a
// capture sees where it came from.
package payload

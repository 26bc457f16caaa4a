// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package payload defines the datagrams that a UDP scan sends to each port.
//
// A service answers only requests of its protocol, so each port of a well-known
// service has payloads of its own. All other ports receive an empty datagram,
// which the services of RFC 862, 865, 867 and 868 answer and which a syslog server
// does not log.
//
// Payloads are read-only and log in to no account. They are as small as the
// protocol allows, and request the smallest answer of those that servers give
// equally often, so that they are useless for amplification attacks. No payload
// exceeds 1,200 bytes, which any path carries unfragmented (RFC 9000 section 14).
//
// Identifiers, nonces and random bytes are taken from the letters of
// "portscan_exporter". They keep nothing secret, make a retry identical to the
// first attempt, and identify the sender in a packet capture.
//
// Protocols of one family share a file; table.go maps ports to payloads.
package payload

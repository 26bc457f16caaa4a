// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"iter"
	"slices"
)

// nameEmpty is the name of the payload without data.
const nameEmpty = "empty"

// Payload is a datagram to send to a port.
type Payload struct {
	Name string // protocol in lower case, or "empty"
	Data []byte // UDP data, owned by the caller; nil for the empty datagram
}

// AcceptsFromOtherPort reports whether reply, received from the target's address
// but from another port, is an answer to p. Only TFTP servers answer from a new
// port (RFC 1350 section 4). reply is not retained.
func (p Payload) AcceptsFromOtherPort(reply []byte) bool {
	return p.Name == nameTFTP && isTFTPReply(reply)
}

// ForPort returns the datagrams of one attempt at the port, the one most likely to
// be answered first. It returns at least one: the empty datagram if the port has
// no payload. They are built for each call. It is safe for concurrent use.
func ForPort(port uint16) []Payload {
	var found []Payload
	list := services()
	for i := range list {
		if list[i].ports.has(port) {
			found = append(found, Payload{Name: list[i].name, Data: list[i].build()})
		}
	}
	if len(found) == 0 {
		return []Payload{{Name: nameEmpty}}
	}
	return found
}

// Ports returns the ports that have payloads, in ascending order without
// duplicates. It is safe for concurrent use.
func Ports() []uint16 {
	var all []uint16
	list := services()
	for i := range list {
		for _, port := range list[i].ports {
			if port != 0 {
				all = append(all, port)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// AllPayloads returns each port of [Ports] with each payload of [ForPort]. It is
// safe for concurrent use.
func AllPayloads() iter.Seq2[uint16, Payload] {
	return func(yield func(uint16, Payload) bool) {
		for _, port := range Ports() {
			for _, p := range ForPort(port) {
				if !yield(port, p) {
					return
				}
			}
		}
	}
}

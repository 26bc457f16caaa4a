package payload

import (
	"iter"
	"slices"
)

// empty is the name of the payload without data.
const empty = "empty"

// Payload is a datagram to be sent to a port.
type Payload struct {
	Name string // of the protocol, in small letters; "empty" for none
	Data []byte // of the UDP datagram; nil for none. It belongs to whoever asked for it

	moves bool // the answer comes from another port
}

// AnswersElsewhere tells whether reply, which came from the address that p was
// sent to but from another port than that, is nevertheless an answer to p. Only
// TFTP does so: a server answers from a port it takes for this transfer alone
// (RFC 1350 section 4). Of every other payload, and of a reply that is no TFTP
// packet a server would send, it is false. It keeps no reference to reply.
func (p Payload) AnswersElsewhere(reply []byte) bool {
	return p.moves && fromTFTPServer(reply)
}

// For returns the datagrams to send to a port at each attempt, the one that is
// most likely to be answered first. There is always at least one; for a port of
// no known service it is the empty datagram. They are built anew at each call
// and belong to the caller. That takes less than a microsecond for most ports
// and a few for the worst, and memory as well; who asks for one port often keeps
// the answer. It may be called concurrently.
func For(port uint16) []Payload {
	var found []Payload
	rows := table()
	for i := range rows {
		if rows[i].ports.has(port) {
			found = append(found, rows[i].payload())
		}
	}
	if len(found) == 0 {
		return []Payload{{Name: empty}}
	}
	return found
}

// Ports returns the ports that have a payload of their own, in rising order and
// each once. It may be called concurrently.
func Ports() []uint16 {
	var all []uint16
	rows := table()
	for i := range rows {
		for _, port := range rows[i].ports {
			if port != 0 {
				all = append(all, port)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// All returns every port of [Ports] with each payload that [For] gives for it, in
// the order of both. It may be called concurrently.
func All() iter.Seq2[uint16, Payload] {
	return func(yield func(uint16, Payload) bool) {
		for _, port := range Ports() {
			for _, p := range For(port) {
				if !yield(port, p) {
					return
				}
			}
		}
	}
}

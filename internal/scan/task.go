package scan

import (
	"iter"
	"math"
	"net/netip"
	"reflect"
	"time"
)

// Family says which IP versions a target is scanned over. The zero value is both.
type Family uint8

// The families.
const (
	AnyFamily Family = iota
	IPv4
	IPv6
)

// Includes tells whether the address is of the family. An IPv4-mapped IPv6
// address counts as IPv4.
func (f Family) Includes(addr netip.Addr) bool {
	switch f {
	case IPv4:
		return addr.Unmap().Is4()
	case IPv6:
		return addr.Unmap().Is6()
	default:
		return addr.IsValid()
	}
}

// String returns the family as config.yml writes it.
func (f Family) String() string {
	switch f {
	case IPv4:
		return "ip4"
	case IPv6:
		return "ip6"
	default:
		return "any"
	}
}

// Host is one entry of a target's hosts.
type Host struct {
	Entry   string       // as the owner wrote it
	Network netip.Prefix // the addresses that it stands for; invalid where Entry is a name
}

// IsName tells whether the entry has to be resolved.
func (h Host) IsName() bool { return !h.Network.IsValid() }

// Count returns how many addresses the entry stands for, or [math.MaxInt] where
// they are more than an int holds. A name stands for none yet.
func (h Host) Count() int {
	if h.IsName() {
		return 0
	}
	bits := h.Network.Addr().BitLen() - h.Network.Bits()
	if bits >= 62 {
		return math.MaxInt
	}
	n := 1 << bits
	if h.Network.Addr().Is4() && bits >= 2 {
		n -= 2 // the network and the broadcast address
	}
	return n
}

// All yields the addresses that the entry stands for, in rising order, without
// an IPv4 network's own and broadcast address.
func (h Host) All() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		if h.IsName() {
			return
		}
		for a := h.Network.Addr(); h.Network.Contains(a); a = a.Next() {
			if !isNetworkEnd(h.Network, a) && !yield(a) {
				return
			}
		}
	}
}

// Task is a scan that somebody asked for, before its names are resolved: whom
// and how. What comes of it is a [Request].
type Task struct {
	Asked        string // what the request names: the target, or an address inside it
	Target       string // the target's name
	Module       string // the module's name
	Hosts        []Host
	Family       Family
	MaxAddresses int           // a target that resolves to more is an error
	MaxAge       time.Duration // how old a result may be that saves a scan; 0: every scan belongs to who asked
	Expires      time.Time     // when the owner's leave to scan ends; zero: never
	Scope        Scope
	Plan         Plan
}

// Equal tells whether two tasks are the same scan: whoever asked for them, in whatever
// words, and however long they may.
func (t Task) Equal(o Task) bool {
	other := o
	other.Asked, other.Expires = t.Asked, t.Expires
	return reflect.DeepEqual(t, other)
}

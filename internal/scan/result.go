// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"net/netip"
	"time"
)

// PortResult is the result for one port of one address. Engines report the same result for
// several ports of an address with Ports in place of Port, for example for those that a scan
// has not reached at its deadline: a call a port would delay the end of a large scan. If Ports
// is empty, the result has only attempts that belong to no port's result.
type PortResult struct {
	Address  netip.Addr
	Port     uint16
	Ports    *PortSet // several ports with this result; nil: Port only
	State    State
	Cause    Cause         // evidence for the state
	ICMP     ICMPError     // the answer, if it is known; see [Cause.hasICMP]
	RTT      time.Duration // from the last attempt to its answer; 0 if there is none
	Attempts int           // see [Result.Attempts], all Ports together; 0: none was made

	// LastResponse is the time of the last answer in the scan that the address itself sent,
	// from any port; zero if there is none. An ICMP error from another sender, such as a
	// router, is not such an answer.
	LastResponse time.Time

	// Unroutable is set if this machine has no route to the address, or no address to send
	// from. No attempt was made, and all ports are unknown.
	Unroutable bool

	// Control has answers to attempts that detect an interceptor. Then the result has no
	// state, and Ports has the ports that are not part of the plan.
	Control *Control
}

// Count returns the number of ports that the result is for.
func (p PortResult) Count() int {
	if p.Ports == nil {
		return 1
	}
	return p.Ports.Len()
}

// Evidence returns the cause, with the ICMP error if it is known.
func (p PortResult) Evidence() string {
	switch {
	case !p.ICMP.IsKnown():
		return p.Cause.String()
	case p.Cause == CauseICMP:
		return p.Cause.String() + " " + p.ICMP.String()
	default:
		return p.Cause.String() + " after icmp " + p.ICMP.String()
	}
}

// Failure is a reason why a scan is incomplete, apart from unknown ports.
type Failure uint8

// The failures. Their names are the values of the label "reason" of
// portscan_scan_failed.
const (
	FailedDNS              Failure = iota + 1 // a name was not resolved, or not in time
	FailedAddressRefused                      // a name resolved to an address outside the target's networks
	FailedTooManyAddresses                    // the target resolved to more than max_addresses
	FailedCanceled                            // all waiting clients disconnected, or the exporter is shutting down
	FailedInternal                            // a bug of the exporter
)

// Failures returns all failures in the order of output.
func Failures() []Failure {
	return []Failure{FailedDNS, FailedAddressRefused, FailedTooManyAddresses, FailedCanceled, FailedInternal}
}

// String returns the value of the label "reason".
func (f Failure) String() string {
	switch f {
	case FailedDNS:
		return "dns"
	case FailedAddressRefused:
		return "address_refused"
	case FailedTooManyAddresses:
		return "too_many_addresses"
	case FailedCanceled:
		return "canceled"
	case FailedInternal:
		return "internal"
	default:
		return "none"
	}
}

// Result is the result of a scan, or of its part up to a point in time. It is immutable and
// may be used concurrently.
type Result struct {
	Plan      Plan
	Started   time.Time
	Finished  time.Time
	Lookup    time.Duration   // duration of name resolution
	Addresses []AddressResult // in ascending order
	Refused   []netip.Addr    // resolved outside the target's networks and not scanned
	Failed    map[Failure]error

	// Attempts is the number of SYNs, connections or datagrams that the system has accepted
	// for sending, with those that detect loss, bans and interceptors. An attempt at a UDP
	// port counts as many times as it has datagrams. Retransmissions by the system do not
	// count, and occur only if an attempt takes longer than a second.
	Attempts int
	Retries  int // attempts other than a port's first
}

// Success reports whether the scan is complete: it has at least one address, each port has
// a known state on each address, no address was refused, and there is no failure.
func (r *Result) Success() bool {
	if len(r.Failed) > 0 || len(r.Refused) > 0 || len(r.Addresses) == 0 {
		return false
	}
	for i := range r.Addresses {
		if r.Addresses[i].Count(Unknown) > 0 {
			return false
		}
	}
	return true
}

// UnknownByCause returns the number of ports in state [Unknown] by cause, all addresses together.
func (r *Result) UnknownByCause() map[Cause]int {
	by := make(map[Cause]int)
	for i := range r.Addresses {
		for cause, n := range r.Addresses[i].UnknownByCause() {
			by[cause] += n
		}
	}
	return by
}

// Size returns about how many bytes the results of all addresses take, see
// [AddressResult.Size].
func (r *Result) Size() (bytes int) {
	for i := range r.Addresses {
		bytes += r.Addresses[i].Size()
	}
	return bytes
}

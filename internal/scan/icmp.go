// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// ICMPError is an ICMP error that an attempt was answered with: ICMP for an IPv4 sender
// (RFC 792), ICMPv6 for an IPv6 one (RFC 4443). The zero value is none.
type ICMPError struct {
	From       netip.Addr // the sender; invalid if the operating system does not report it
	Type, Code uint8
}

// IsKnown reports whether the error's type and sender are known.
func (e ICMPError) IsKnown() bool { return e.From.IsValid() }

// Message returns the error in words, such as admin-prohibited.
func (e ICMPError) Message() string {
	messages := icmp6Messages
	if e.From.Is4() {
		messages = icmp4Messages
	}
	if codes := messages(e.Type); int(e.Code) < len(codes) {
		return codes[e.Code]
	}
	return fmt.Sprintf("type %d code %d", e.Type, e.Code)
}

// String returns the message and the sender.
func (e ICMPError) String() string {
	if !e.IsKnown() {
		return "unknown"
	}
	return e.Message() + " from " + e.From.String()
}

// icmp4Messages returns the messages of an ICMP type by code (RFC 792, RFC 1122 section
// 3.2.2.1, RFC 1812 section 5.2.7.1).
func icmp4Messages(kind uint8) []string {
	switch kind {
	case 3:
		return []string{
			"net-unreachable", "host-unreachable", "proto-unreachable", "port-unreachable", "frag-needed", "source-route-failed",
			"net-unknown", "host-unknown", "source-isolated", "net-prohibited", "host-prohibited",
			"net-tos-unreachable", "host-tos-unreachable", "admin-prohibited", "host-precedence", "precedence-cutoff",
		}
	case 11:
		return []string{"time-exceeded", "reassembly-time-exceeded"}
	case 12:
		return []string{"parameter-problem", "parameter-missing", "parameter-length"}
	default:
		return nil
	}
}

// icmp6Messages returns the messages of an ICMPv6 type by code (RFC 4443 section 3, and
// IANA's registry of ICMPv6 parameters).
func icmp6Messages(kind uint8) []string {
	switch kind {
	case 1:
		return []string{
			"no-route", "admin-prohibited", "beyond-scope", "addr-unreachable", "port-unreachable", "policy-failed", "reject-route",
			"source-routing-header", "headers-too-long",
		}
	case 2:
		return []string{"packet-too-big"}
	case 3:
		return []string{"time-exceeded", "reassembly-time-exceeded"}
	case 4:
		return []string{"parameter-problem", "next-header-unknown", "option-unknown", "header-chain-incomplete"}
	default:
		return nil
	}
}

// hasICMP reports whether a port with the cause can have an ICMP error: the answer, or the last
// answer before the address was found to be unresponsive, because an ICMP error may be how it
// blocks the exporter.
func (c Cause) hasICMP() bool { return c == CauseICMP || c == CauseUnresponsive }

// maxICMPErrors is the maximum number of different ICMP errors per address. Results with
// further ones have none.
const maxICMPErrors = 255

// icmpTable has the ICMP errors of an address during a scan by index of the port in the plan,
// with one byte per port. The zero value has none, and needs no memory.
type icmpTable struct {
	errors []ICMPError // in order of appearance
	number []uint8     // of the port's error in errors, from 1; 0: none
}

// set sets the error of count ports, of ports in total, from the index first.
func (t *icmpTable) set(first, count, ports int, e ICMPError) {
	number := t.numberOf(e)
	if number == 0 && t.number == nil {
		return
	}
	if t.number == nil {
		t.number = make([]uint8, ports)
	}
	for i := range t.number[first : first+count] {
		t.number[first+i] = number
	}
}

// numberOf returns the number of an error, or 0 if it is unknown or there are too many.
func (t *icmpTable) numberOf(e ICMPError) uint8 {
	e.From = e.From.Unmap()
	if !e.IsKnown() {
		return 0
	}
	i := slices.Index(t.errors, e)
	if i < 0 {
		if len(t.errors) == maxICMPErrors {
			return 0
		}
		i = len(t.errors)
		t.errors = append(t.errors, e)
	}
	return uint8(i + 1) //nolint:gosec // at most maxICMPErrors
}

// groupByError returns the errors with their ports, in order of appearance. The table has those
// of the set.
func (t *icmpTable) groupByError(ports PortSet) (all []ICMPPorts) {
	if t.number == nil {
		return nil
	}
	by := groupByKey(ports, t.number)
	for i, e := range t.errors {
		if found, ok := by[uint8(i+1)]; ok {
			all = append(all, ICMPPorts{e, found})
		}
	}
	return all
}

// ICMPPorts are ports of an address that were answered with the same ICMP error.
type ICMPPorts struct {
	ICMPError

	Ports PortSet
}

// addICMP adds ports to those of an error. It ignores an unknown error, and a further one if
// there are too many.
func addICMP(all []ICMPPorts, e ICMPError, ports PortSet) []ICMPPorts {
	e.From = e.From.Unmap()
	if !e.IsKnown() || ports.IsEmpty() {
		return all
	}
	for i := range all {
		if all[i].ICMPError == e {
			all[i].Ports = all[i].Ports.Union(ports)
			return all
		}
	}
	if len(all) == maxICMPErrors {
		return all
	}
	return append(all, ICMPPorts{e, ports})
}

// ICMPErrors returns the known ICMP errors with their ports, those of the most ports first, then
// by port.
func (a *AddressResult) ICMPErrors() (all []ICMPPorts) {
	all = slices.Clone(a.icmp)
	slices.SortFunc(all, func(x, y ICMPPorts) int {
		return cmp.Or(cmp.Compare(y.Ports.Len(), x.Ports.Len()), cmp.Compare(x.Ports.At(0), y.Ports.At(0)))
	})
	return all
}

// icmpError returns the error of a port.
func (a *AddressResult) icmpError(port uint16) ICMPError {
	for i := range a.icmp {
		if a.icmp[i].Ports.Contains(port) {
			return a.icmp[i].ICMPError
		}
	}
	return ICMPError{}
}

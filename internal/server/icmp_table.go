// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"cmp"
	"net/netip"
	"slices"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/store"
)

// icmpRow is a row of the table of ICMP errors: an error, and the addresses and ports that it
// was the answer of.
type icmpRow struct {
	Message   string
	From      string
	Own       bool // the address itself sent it
	Addresses string
	PortCount string // all addresses together
	Count     int
	Ports     foldedText
}

// maxICMPRows is the number of ICMP errors that a page lists.
const maxICMPRows = 100

// icmpGroup has the addresses and ports with the same error.
type icmpGroup struct {
	scan.ICMPPorts

	addresses []netip.Addr
	count     int // ports of all addresses
}

// icmpRows returns the ICMP errors of the addresses, those of the most ports first. omitted is
// the number of errors beyond the limit, as text.
func icmpRows(addresses []*store.AddressView) (rows []icmpRow, omitted string) {
	groups := groupICMP(addresses)
	if more := len(groups) - maxICMPRows; more > 0 {
		groups, omitted = groups[:maxICMPRows], formatCount(more, "error")
	}
	for _, g := range groups {
		r := icmpRow{
			Message: g.Message(), From: g.From.String(), Own: g.addresses[0] == g.From,
			Count: g.count, PortCount: formatNumber(g.count), Ports: foldPorts(g.Ports),
		}
		if r.Addresses = g.addresses[0].String(); len(g.addresses) > 1 {
			r.Addresses = formatCount(len(g.addresses), "address")
		}
		rows = append(rows, r)
	}
	return rows, omitted
}

// groupICMP returns the ICMP errors of the addresses, those of the most ports first. An error of
// an address itself has a group of its own.
func groupICMP(addresses []*store.AddressView) []*icmpGroup {
	type groupKey struct {
		scan.ICMPError

		own bool
	}
	var groups []*icmpGroup
	byKey := make(map[groupKey]*icmpGroup)
	for _, a := range addresses {
		for _, e := range a.ICMP {
			k := groupKey{e.ICMPError, e.From == a.IP}
			g := byKey[k]
			if g == nil {
				g = &icmpGroup{ICMPPorts: scan.ICMPPorts{ICMPError: e.ICMPError}}
				byKey[k], groups = g, append(groups, g)
			}
			g.addresses = append(g.addresses, a.IP)
			g.count += e.Ports.Len()
			g.Ports = union(g.Ports, e.Ports)
		}
	}
	slices.SortFunc(groups, func(x, y *icmpGroup) int {
		return cmp.Or(cmp.Compare(y.count, x.count), x.addresses[0].Compare(y.addresses[0]), cmp.Compare(x.Ports.At(0), y.Ports.At(0)))
	})
	return groups
}

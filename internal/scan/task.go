// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"net/netip"
	"time"
)

// Family is a set of IP versions. The zero value is both.
type Family uint8

// The families.
const (
	AnyFamily Family = iota
	IPv4
	IPv6
)

// Includes reports whether the address is of the family. An IPv4-mapped IPv6 address counts
// as IPv4.
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

// IncludesHost reports whether the family includes addresses of the host, as it may those of a name.
func (f Family) IncludesHost(h Host) bool { return h.IsName() || f.Includes(h.Network.Addr()) }

// String returns the family's name in config.yml.
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

// NameGroup is names that are looked up in the same way.
type NameGroup struct {
	Names    []Host
	Family   Family
	Resolver netip.AddrPort // DNS server for the names; zero: those of the system
}

// Task is a requested scan before its names are resolved, from which a [Request] is made.
type Task struct {
	Asked        string     // target or address in the client's request
	Target       string     // the target's name
	Module       string     // the module's name
	Owner        string     // of the target, who has authorized the scan
	Reference    string     // of the authorization
	Addr         netip.Addr // the only address to scan, see [Task.ForAddress]; zero: the complete target
	Hosts        []Host
	Family       Family
	Resolver     netip.AddrPort // DNS server for names in Hosts; zero: those of the system
	MaxAddresses int            // maximum number of resolved addresses
	MaxAge       time.Duration  // maximum age of a cached result; 0: results are not cached
	Expires      time.Time      // end of the authorization; zero: never
	Scope        Scope
	Plan         Plan

	digest string // of the scan of the complete target; empty: not computed
}

// ForAddress returns the task for one address of the target, with the entry of the target's
// hosts that leads to it. Its scope is that address. It is the scan of the complete target if that
// is its only host.
func (t Task) ForAddress(addr netip.Addr, entry string) Task {
	t = t.WithDigest()
	t.Asked = addr.String()
	t.Scope = t.Scope.Only(addr)
	host := Host{Entry: entry, Network: netip.PrefixFrom(addr, addr.BitLen())}
	if len(t.Hosts) != 1 || t.Hosts[0] != host {
		t.Addr, t.Hosts = addr, []Host{host}
	}
	return t
}

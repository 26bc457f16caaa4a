// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"portscan_exporter/internal/scan"
)

// sourceAddress is a module's source_address with its position.
type sourceAddress struct {
	addr netip.Addr
	at   value
}

// CheckHost returns the requirements of a configuration that this machine does
// not meet: an [*Error] for each source_address that is on none of its
// interfaces, and one for each module with method syn if syn returns an error.
// syn is called only if there is such a module.
func CheckHost(c *Config, syn func() error) []error {
	var missing []error
	if len(c.synModules) > 0 {
		if err := syn(); err != nil {
			for _, at := range c.synModules {
				missing = append(missing, at.newError(fmt.Sprintf("cannot use method syn: %v; or write method: connect", err)))
			}
		}
	}
	if len(c.sources) == 0 {
		return missing
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return append(missing, newAddrsError(err))
	}
	return append(missing, c.missingSources(addrs)...)
}

func newAddrsError(err error) error {
	return fmt.Errorf("listing this machine's addresses: %w", err)
}

// ownAddrs returns the addresses of interfaces.
func ownAddrs(addrs []net.Addr) (own []netip.Addr) {
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p.Addr().Unmap())
		}
	}
	return own
}

func (c *Config) missingSources(addrs []net.Addr) []error {
	own := ownAddrs(addrs)
	var missing []error
	for _, s := range c.sources {
		if !slices.Contains(own, s.addr) {
			missing = append(missing, s.at.newError(
				fmt.Sprintf("no interface of this machine has the address %s: write an address of this machine, or remove the key", s.addr)))
		}
	}
	return missing
}

// numericHost is a numeric entry of a target's hosts with its position.
type numericHost struct {
	scan.Host

	target *Target
	at     value // without its node
}

// OwnHosts returns warnings about addresses of this machine in hosts: an [*Error] for each target
// that has some. Packets between them go over the loopback interface, so that a scan does not see
// firewall rules of other interfaces. Addresses of the loopback interface are no reason to warn.
func OwnHosts(c *Config) []error {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return []error{newAddrsError(err)}
	}
	return c.ownHosts(addrs)
}

func (c *Config) ownHosts(addrs []net.Addr) (warnings []error) {
	own := slices.DeleteFunc(ownAddrs(addrs), netip.Addr.IsLoopback)
	var warned *Target
	for _, h := range c.numericHosts {
		if h.target == warned {
			continue
		}
		for _, ip := range own {
			if h.scans(ip) {
				warned = h.target
				warnings = append(warnings, h.at.newError(fmt.Sprintf(
					"%s is an address of this machine, and scans of it go over loopback, not through the firewall rules of its interface: write the target for an exporter on another machine, or exclude_hosts: [%s]", ip, ip)))
				break
			}
		}
	}
	return warnings
}

// scans reports whether the target scans an address because of this entry.
func (h numericHost) scans(ip netip.Addr) bool {
	_, inScope := h.target.Scope.Match(ip)
	return inScope && h.Contains(ip) && h.target.covers(ip)
}

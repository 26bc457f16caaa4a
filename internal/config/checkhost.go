// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
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

// hostPlaces has the positions of a target's hosts.
type hostPlaces struct {
	target *Target
	places []place // one for each entry of Hosts
}

// place is the position of a value, without its YAML node.
type place struct {
	file, path string
	line       int
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
	for _, p := range c.hostPlaces {
		if i, ip := p.target.findHost(own); i >= 0 {
			at := value{file: p.places[i].file, path: p.places[i].path, line: p.places[i].line}
			warnings = append(warnings, at.newError(fmt.Sprintf(
				"%s is an address of this machine, and scans of it go over loopback, not through the firewall rules of its interface: write the target for an exporter on another machine, or exclude_hosts: [%s]", ip, ip)))
		}
	}
	return warnings
}

// findHost returns the first numeric entry of hosts because of which the target scans one of the
// addresses, or -1.
func (t *Target) findHost(addrs []netip.Addr) (int, netip.Addr) {
	scanned := slices.DeleteFunc(slices.Clone(addrs), func(ip netip.Addr) bool {
		_, inScope := t.Scope.Match(ip)
		_, covered := t.moduleFor(ip)
		return !inScope || !covered
	})
	for i, h := range t.Hosts {
		for _, ip := range scanned {
			if h.Contains(ip) {
				return i, ip
			}
		}
	}
	return -1, netip.Addr{}
}

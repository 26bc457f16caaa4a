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
		return append(missing, fmt.Errorf("listing this machine's addresses: %w", err))
	}
	return append(missing, c.missingSources(addrs)...)
}

func (c *Config) missingSources(addrs []net.Addr) []error {
	var own []netip.Addr
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p.Addr().Unmap())
		}
	}
	var missing []error
	for _, s := range c.sources {
		if !slices.Contains(own, s.addr) {
			missing = append(missing, s.at.newError(
				fmt.Sprintf("no interface of this machine has the address %s: write an address of this machine, or remove the key", s.addr)))
		}
	}
	return missing
}

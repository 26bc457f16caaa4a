// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// dnsPort is the port of DNS servers (RFC 1035 section 4.2).
const dnsPort = 53

// resolver returns a decoder for the address of a DNS server, which may be empty.
func (l *loader) resolver(dst *netip.AddrPort) func(value) {
	return func(v value) {
		text, ok := l.scalar(v)
		if !ok || text == "" {
			return
		}
		server, err := parseResolver(text)
		if err != nil {
			l.errorf(v, "%s", err)
			return
		}
		*dst = server
	}
}

// parseResolver parses an address with a port. The port may be missing, except after an IPv6 address
// without brackets, whose end could be a port.
func parseResolver(text string) (netip.AddrPort, error) {
	host, port := text, strconv.Itoa(dnsPort)
	if addr, err := netip.ParseAddr(text); err == nil && addr.Is6() && addr.Zone() == "" {
		return netip.AddrPort{}, fmt.Errorf("%s has no brackets, and its end could be a port: write %q",
			quoteValue(text), netip.AddrPortFrom(addr, dnsPort))
	}
	if h, p, err := net.SplitHostPort(text); err == nil {
		host, port = h, p
	} else if inner, ok := strings.CutPrefix(text, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, resolverError(text, host)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	switch {
	case addr.Zone() != "":
		return netip.AddrPort{}, zoneError(text)
	case err != nil || number == 0:
		return netip.AddrPort{}, fmt.Errorf("%s is not a port: write a number from 1 to 65535, such as %d", quoteValue(port), dnsPort)
	}
	addr = addr.Unmap()
	return netip.AddrPortFrom(addr, uint16(number)), checkUnicast(netip.PrefixFrom(addr, addr.BitLen()))
}

// resolverError returns the error for a DNS server whose host is not an address.
func resolverError(text, host string) error {
	const fix = `write its address, such as 192.0.2.53:53 or "[2001:db8::53]:53"`
	switch {
	case strings.Contains(text, "://"):
		return fmt.Errorf("%s is a URL, but the exporter asks DNS servers over UDP and TCP: %s", quoteValue(RedactURL(text)), fix)
	case checkHostName(host, host) == nil:
		return fmt.Errorf("%s is the name of a DNS server, and only a DNS server could resolve it: %s", quoteValue(host), fix)
	default:
		return fmt.Errorf("%s is not the address of a DNS server: %s", quoteValue(text), fix)
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"testing"
)

// documentation has the prefixes that are reserved for documentation (RFC 5737, RFC 3849).
var documentation = []netip.Prefix{ //nolint:gochecknoglobals // a constant list
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("2001:db8::/32"),
}

// needDocumentation fails the test unless the address is reserved for documentation.
func needDocumentation(tb testing.TB, addr netip.Addr) {
	tb.Helper()
	for _, prefix := range documentation {
		if prefix.Contains(addr) {
			return
		}
	}
	tb.Fatalf("address %v is not reserved for documentation (%v)", addr, documentation)
}

// AddAddress adds addresses to the loopback interface, so that listeners can use them and
// connections to other ports are refused. It requires [Isolated].
func AddAddress(tb testing.TB, addrs ...netip.Addr) {
	tb.Helper()
	needIsolated(tb)
	for _, addr := range addrs {
		needDocumentation(tb, addr)
		prefix := netip.PrefixFrom(addr, addr.BitLen())
		args := []string{"address", "add", prefix.String(), "dev", "lo"}
		if addr.Is6() {
			// An address is not usable during duplicate address detection.
			args = append(args, "nodad")
		}
		run(tb, "", "ip", args...)
	}
}

// The addresses of the scanner's interfaces for the default routes and for test hosts. They
// are the last of their prefixes, because tests use the first.
const (
	scannerPrefix4 = "198.51.100.254/32"
	scannerPrefix6 = "2001:db8:ffff::fe/128"
)

// scanner4 returns the scanner's IPv4 address.
func scanner4() netip.Addr { return netip.MustParsePrefix(scannerPrefix4).Addr() }

// scanner6 returns the scanner's IPv6 address.
func scanner6() netip.Addr { return netip.MustParsePrefix(scannerPrefix6).Addr() }

// scannerFor returns the scanner's address of the same family.
func scannerFor(addr netip.Addr) netip.Addr {
	if addr.Is4() {
		return scanner4()
	}
	return scanner6()
}

// DefaultRoute adds default routes for both families, so that packets to any destination are
// sent and counted (see [CountTo]). They are all lost. DefaultRoute requires [Isolated] and
// can be called once.
//
// The routes lead to a veth pair without neighbor discovery. Kernels for containers support
// veth pairs, but not always dummy interfaces.
func DefaultRoute(tb testing.TB) {
	tb.Helper()
	needIsolated(tb)
	for _, args := range [][]string{
		{"link", "add", "outside", "arp", "off", "type", "veth", "peer", "name", "nowhere"},
		{"link", "set", "outside", "addrgenmode", "none"},
		{"link", "set", "nowhere", "arp", "off", "addrgenmode", "none"},
		{"link", "set", "nowhere", "up"},
		{"link", "set", "outside", "up"},
		{"address", "add", scannerPrefix4, "dev", "outside"},
		{"address", "add", scannerPrefix6, "dev", "outside", "nodad"},
		{"-4", "route", "add", "default", "dev", "outside"},
		{"-6", "route", "add", "default", "dev", "outside"},
	} {
		run(tb, "", "ip", args...)
	}
}

// setSysctl sets a kernel parameter of this namespace. It ignores parameters that the kernel
// does not have, for example without IPv6.
func setSysctl(tb testing.TB, name, value string) {
	tb.Helper()
	err := os.WriteFile("/proc/sys/net/"+name, []byte(value+"\n"), 0o600)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		tb.Fatal(err)
	}
}

// disableDAD disables duplicate address detection and router discovery for new interfaces, so
// that their IPv6 addresses are usable at once.
func disableDAD(tb testing.TB) {
	tb.Helper()
	for _, name := range []string{"accept_dad", "dad_transmits", "router_solicitations", "accept_ra"} {
		setSysctl(tb, "ipv6/conf/default/"+name, "0")
	}
}

package testnet

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"testing"
)

// documentation are the prefixes that belong to nobody (RFC 5737, RFC 3849).
var documentation = []netip.Prefix{ //nolint:gochecknoglobals // a constant list
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("2001:db8::/32"),
}

// needDocumentation fails the test unless the address belongs to nobody.
func needDocumentation(tb testing.TB, addr netip.Addr) {
	tb.Helper()
	for _, prefix := range documentation {
		if prefix.Contains(addr) {
			return
		}
	}
	tb.Fatalf("%v is not an address for documentation (%v)", addr, documentation)
}

// AddAddress gives these addresses to the loopback interface: from then on they
// are this machine's, a listener can have them, and where none listens a
// connection is refused. Only inside [Isolated].
func AddAddress(tb testing.TB, addrs ...netip.Addr) {
	tb.Helper()
	needIsolated(tb)
	for _, addr := range addrs {
		needDocumentation(tb, addr)
		prefix := netip.PrefixFrom(addr, addr.BitLen())
		args := []string{"address", "add", prefix.String(), "dev", "lo"}
		if addr.Is6() {
			// An address is not usable while the kernel still looks for another owner of it.
			args = append(args, "nodad")
		}
		run(tb, "", "ip", args...)
	}
}

// The addresses of the scanner's own interfaces: of the one that the default
// routes lead through, and of those that lead to hosts. Tests use others, so
// they are at the far end of their prefixes.
const (
	outside4 = "198.51.100.254/32"
	outside6 = "2001:db8:ffff::fe/128"
)

// ours4 returns the scanner's own IPv4 address.
func ours4() netip.Addr { return netip.MustParsePrefix(outside4).Addr() }

// ours6 returns the scanner's own IPv6 address.
func ours6() netip.Addr { return netip.MustParsePrefix(outside6).Addr() }

// oursFor returns the scanner's own address of the same family.
func oursFor(addr netip.Addr) netip.Addr {
	if addr.Is4() {
		return ours4()
	}
	return ours6()
}

// DefaultRoute gives the namespace a way out, for both address families, so
// that a packet to anywhere is really sent and a counter (see [CountTo]) really
// sees it. Behind the interface is nothing: every such packet is lost, and none
// is answered. Only inside [Isolated], and once.
//
// The way out is one end of a veth pair that does not ask for its neighbors'
// hardware addresses: unlike the kernel's dummy interface, every kernel for
// containers has it.
func DefaultRoute(tb testing.TB) {
	tb.Helper()
	needIsolated(tb)
	for _, args := range [][]string{
		{"link", "add", "outside", "arp", "off", "type", "veth", "peer", "name", "nowhere"},
		{"link", "set", "outside", "addrgenmode", "none"},
		{"link", "set", "nowhere", "arp", "off", "addrgenmode", "none"},
		{"link", "set", "nowhere", "up"},
		{"link", "set", "outside", "up"},
		{"address", "add", outside4, "dev", "outside"},
		{"address", "add", outside6, "dev", "outside", "nodad"},
		{"-4", "route", "add", "default", "dev", "outside"},
		{"-6", "route", "add", "default", "dev", "outside"},
	} {
		run(tb, "", "ip", args...)
	}
}

// set writes one of the kernel's settings for this namespace. What this kernel
// does not have, IPv6 switched off for one, is left alone.
func set(tb testing.TB, name, value string) {
	tb.Helper()
	err := os.WriteFile("/proc/sys/net/"+name, []byte(value+"\n"), 0o600)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		tb.Fatal(err)
	}
}

// settle makes IPv6 addresses of interfaces to come usable at once, and keeps
// the kernel from asking for routers: nobody else is on the wire.
func settle(tb testing.TB) {
	tb.Helper()
	for _, name := range []string{"accept_dad", "dad_transmits", "router_solicitations", "accept_ra"} {
		set(tb, "ipv6/conf/default/"+name, "0")
	}
}

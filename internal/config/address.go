// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"portscan_exporter/internal/scan"
)

// parseHost parses a name, an address, a network or a range of addresses. Other notations of
// addresses, such as 010.0.0.1 and 127.1, are errors because programs and resolvers interpret
// them differently.
func parseHost(text string) (scan.Host, error) {
	if strings.Contains(text, "://") {
		return scan.Host{}, urlError(text)
	}
	if len(text) > utf8.UTFMax*longestName {
		return scan.Host{}, longNameError(text)
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		if addr.Zone() != "" {
			return scan.Host{}, zoneError(text)
		}
		addr = addr.Unmap()
		return scan.Host{Entry: text, Network: netip.PrefixFrom(addr, addr.BitLen())}, nil
	}
	if isRange(text) {
		return parseRange(text)
	}
	if strings.Contains(text, "/") {
		p, err := parseCIDR(text)
		return scan.Host{Entry: text, Network: p}, err
	}
	return parseName(text)
}

func urlError(text string) error {
	shown := RedactURL(text)
	if u, err := url.Parse(shown); err == nil && u.Hostname() != "" {
		return fmt.Errorf("%s is a URL: write only the host, %s", quoteValue(shown), quoteValue(u.Hostname()))
	}
	return fmt.Errorf("%s is a URL: write only the host", quoteValue(shown))
}

func zoneError(text string) error {
	return fmt.Errorf("%s has an IPv6 zone, which is not supported: write the address without the zone", quoteValue(text))
}

func parseCIDR(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, cidrError(text)
	}
	if p.Addr().Is4In6() {
		const mapped = 96 // bits before the IPv4 address
		if p.Bits() < mapped {
			return netip.Prefix{}, fmt.Errorf("%s is an IPv4-mapped network: write the IPv4 network, such as 192.0.2.0/24", quoteValue(text))
		}
		v4 := netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped).Masked()
		return netip.Prefix{}, fmt.Errorf("%s is an IPv4-mapped network: write %s", quoteValue(text), v4)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%s has host bits set: write %s for the network, or %s for the single address",
			quoteValue(text), p.Masked(), p.Addr())
	}
	return p, nil
}

// cidrError returns the error for a network that cannot be parsed.
func cidrError(text string) error {
	base, bits, _ := strings.Cut(text, "/")
	addr, err := netip.ParseAddr(base)
	switch {
	case strings.Contains(text, "%"):
		return zoneError(text)
	case err != nil:
		return fmt.Errorf("%s is not a network: write a network in CIDR notation, such as 192.0.2.0/24 or 2001:db8::/64", quoteValue(text))
	default:
		return fmt.Errorf("%s is not a valid prefix length: write a number from 0 to %d after the slash, such as %s/%d",
			quoteValue(bits), addr.BitLen(), addr, addr.BitLen())
	}
}

// checkScannable returns an error if a target must not have the addresses.
func checkScannable(h scan.Host) error {
	switch {
	case h.IsRange() && h.Bits() < 1:
		return fmt.Errorf("%s has more than half of all addresses: write only the networks that you own, such as 192.0.2.0/24", h)
	case h.IsRange():
		return checkUnicastRange(h)
	case h.Network.Bits() == 0:
		return fmt.Errorf("%s has all addresses: write only the networks that you own, such as 192.0.2.0/24", h.Network)
	default:
		return checkUnicast(h.Network)
	}
}

// checkUnicastRange returns an error if addresses of the range cannot be scanned.
func checkUnicastRange(h scan.Host) error {
	first, last := h.Bounds()
	multicast := last.IsMulticast() || slices.ContainsFunc(h.Prefixes(), func(p netip.Prefix) bool { return p.Addr().IsMulticast() })
	switch {
	case first.IsUnspecified():
		return fmt.Errorf("%s has the unspecified address: write a range that starts at %s or later", h, first.Next())
	case multicast:
		return fmt.Errorf("%s has multicast addresses: write a range of unicast addresses", h)
	case last == broadcastAddr():
		return fmt.Errorf("%s has the broadcast address: write a range that ends at %s or earlier", h, last.Prev())
	default:
		return nil
	}
}

// broadcastAddr returns the limited broadcast address.
func broadcastAddr() netip.Addr { return netip.AddrFrom4([4]byte{255, 255, 255, 255}) }

// checkUnicast returns an error if the addresses cannot be scanned.
func checkUnicast(p netip.Prefix) error {
	switch {
	case p.Addr().IsMulticast():
		return fmt.Errorf("%s is multicast: write unicast addresses", formatPrefix(p))
	case p.IsSingleIP() && p.Addr().IsUnspecified():
		return fmt.Errorf("%s is the unspecified address: write the address of a host", p.Addr())
	case p.Addr() == broadcastAddr():
		return fmt.Errorf("%s is the broadcast address: write the address of a host", p.Addr())
	default:
		return nil
	}
}

var (
	hostLabel   = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)
	numberLabel = regexp.MustCompile(`^(\d+|0[xX][0-9A-Fa-f]*)$`)
)

// parseName parses a host name, which can be internationalized.
func parseName(text string) (scan.Host, error) {
	switch {
	case text == "":
		return scan.Host{}, errors.New("must not be empty: write a host name, an address or a network")
	case strings.HasPrefix(text, "["):
		return scan.Host{}, bracketError(text)
	case strings.Contains(text, ":"):
		return scan.Host{}, colonError(text)
	}
	other, err := convertName(text)
	if err != nil {
		return scan.Host{}, err
	}
	h := scan.NewName(text, other)
	return h, checkHostName(text, h.Name())
}

// checkHostName checks the ASCII form of a host name by RFC 1123. Underscores and a trailing dot are
// permitted. A last label that is a number is not, because resolvers parse such a
// name as an address.
func checkHostName(text, ascii string) error {
	name := strings.TrimSuffix(ascii, ".")
	labels := strings.Split(name, ".")
	switch {
	case numberLabel.MatchString(labels[len(labels)-1]):
		return ipv4Error(text)
	case len(name) > longestName:
		return longNameError(text)
	}
	for _, label := range labels {
		if !hostLabel.MatchString(label) {
			return fmt.Errorf("%s is not a valid host name, address or network: write one such as www.example.org or 192.0.2.0/24", quoteValue(text))
		}
	}
	return nil
}

const longestName = 253 // characters of the ASCII form

func longNameError(text string) error {
	return fmt.Errorf("%s is too long for a host name: write at most %d characters", quoteValue(text), longestName)
}

func ipv4Error(text string) error {
	return fmt.Errorf("%s is not a valid IPv4 address: write four decimal numbers without leading zeros, such as 192.0.2.10", quoteValue(text))
}

func bracketError(text string) error {
	if plain := strings.NewReplacer("[", "", "]", "").Replace(text); isRange(plain) {
		return fmt.Errorf("%s has brackets: write only the addresses, %s", quoteValue(text), quoteValue(plain))
	}
	inner, _, _ := strings.Cut(strings.TrimPrefix(text, "["), "]")
	if addr, err := netip.ParseAddr(inner); err == nil && addr.Zone() == "" {
		return fmt.Errorf("%s has brackets: write only the address, %q", quoteValue(text), addr)
	}
	return fmt.Errorf("%s is not a valid address: write an address without brackets, such as \"2001:db8::10\"", quoteValue(text))
}

func colonError(text string) error {
	host, port, _ := strings.Cut(text, ":")
	if host != "" && !strings.Contains(port, ":") {
		return fmt.Errorf("%s has a port: write only the host, %s, and the ports in the module", quoteValue(text), quoteValue(host))
	}
	return fmt.Errorf("%s is not a valid IPv6 address: write one such as \"2001:db8::10\"", quoteValue(text))
}

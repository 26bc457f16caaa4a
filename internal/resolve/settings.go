// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"net/netip"
	"os"
	"strconv"
	"strings"

	"portscan_exporter/internal/regularfile"
)

// dnsPort is the port of DNS servers (RFC 1035 section 4.2).
const dnsPort = 53

// Settings are the settings of a DNS client. The zero value leaves them to the system.
type Settings struct {
	Servers []netip.AddrPort // asked in order; empty: those of the system
	Search  []string         // search domains in order, absolute
	Ndots   int              // names with fewer dots are looked up in search domains, too
}

// resolvConf is the file with the settings of the system, see resolv.conf(5).
const resolvConf = "/etc/resolv.conf"

// systemSettings returns the settings of the system. On Windows, which has no resolvConf, they are
// the zero value.
func systemSettings() Settings { return readSettings(resolvConf) }

// readSettings returns the settings in a file, or the zero value if it cannot be read.
func readSettings(path string) Settings {
	const limit = 64 << 10 // bytes; such files are much shorter
	text, err := regularfile.Read(path, limit)
	if err != nil {
		return Settings{}
	}
	host, _ := os.Hostname() // without it there is no default domain
	return parseSettings(string(text), host)
}

// parseSettings parses the text of resolv.conf as glibc and Go do: unknown and invalid lines have no
// effect, and of several lists of search domains, the last applies. Without one, the domain of the
// host's name is the search domain.
func parseSettings(text, host string) Settings {
	const maxServers = 3 // MAXNS of glibc
	s := Settings{Ndots: 1}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.ContainsAny(line[:1], "#;") {
			continue
		}
		switch fields[0] {
		case "nameserver":
			if addr, err := netip.ParseAddr(fields[1]); err == nil && len(s.Servers) < maxServers {
				s.Servers = append(s.Servers, netip.AddrPortFrom(addr.Unmap(), dnsPort))
			}
		case "domain":
			s.Search = searchDomains(fields[1:2])
		case "search":
			s.Search = searchDomains(fields[1:])
		case "options":
			s.Ndots = parseNdots(fields[1:], s.Ndots)
		}
	}
	if len(s.Servers) == 0 {
		s.Servers = []netip.AddrPort{
			netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort), netip.AddrPortFrom(netip.IPv6Loopback(), dnsPort),
		}
	}
	if _, domain, ok := strings.Cut(host, "."); ok && s.Search == nil {
		s.Search = searchDomains([]string{domain})
	}
	return s
}

// searchDomains returns absolute domains. The root is not a search domain: names are looked up in it
// in any case.
func searchDomains(fields []string) []string {
	domains := []string{}
	for _, f := range fields {
		if domain := absoluteName(f); domain != "." {
			domains = append(domains, domain)
		}
	}
	return domains
}

// parseNdots returns the value of ndots in options, or the given one. The client of package net parses
// the other options.
func parseNdots(options []string, ndots int) int {
	const maxNdots = 15 // RES_MAXNDOTS of glibc
	for _, option := range options {
		if digits, ok := strings.CutPrefix(option, "ndots:"); ok {
			if n, err := strconv.Atoi(digits); err == nil {
				ndots = min(max(n, 0), maxNdots)
			}
		}
	}
	return ndots
}

// absoluteName returns the name with a final dot.
func absoluteName(name string) string { return strings.TrimSuffix(name, ".") + "." }

// isAbsolute reports whether the name has a final dot.
func isAbsolute(name string) bool { return strings.HasSuffix(name, ".") }

// candidates returns the names to look up for a name, in order. Only the first one that has an
// address counts. An absolute name has no other candidates. A name with a dot is first looked up as
// it is, unlike in glibc, so that no search domain can replace it.
func (s Settings) candidates(name string) []string {
	const longest = 254 // characters with the final dot (RFC 1035 section 2.3.4)
	absolute, dots := absoluteName(name), strings.Count(name, ".")
	if isAbsolute(name) || dots >= max(1, s.Ndots) {
		return []string{absolute}
	}
	if len(s.Servers) == 0 && dots == 0 {
		return []string{name} // package net appends the search domains of the system
	}
	var found []string
	for _, domain := range s.Search {
		if full := absolute + domain; len(full) <= longest {
			found = append(found, full)
		}
	}
	if dots > 0 {
		return append([]string{absolute}, found...)
	}
	return append(found, absolute)
}

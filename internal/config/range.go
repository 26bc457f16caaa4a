// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"portscan_exporter/internal/scan"
)

var (
	dash     = regexp.MustCompile(`\s*[-\x{2010}-\x{2015}\x{2212}]\s*`) // as keyboards and text processors write it
	numeric  = regexp.MustCompile(`^[0-9.*,/-]*[*,-][0-9.*,/-]*$`)
	hexGroup = regexp.MustCompile(`^[0-9A-Fa-f]{1,4}$`)
)

// isRange reports whether the text is meant as a range or a list of addresses. No name of a host
// consists of these characters.
func isRange(text string) bool {
	text = dash.ReplaceAllLiteralString(text, "-")
	if numeric.MatchString(text) {
		return true
	}
	first, last, found := strings.Cut(text, "-")
	addr, err := netip.ParseAddr(first)
	if !found || err != nil {
		return false
	}
	return addr.Is6() || strings.Trim(last, "0123456789abcdefABCDEF:.%/") == "" && strings.Contains(last, ":")
}

// parseRange parses a range of addresses: two addresses, or an address and the last octet or group
// of the last one.
func parseRange(text string) (scan.Host, error) {
	plain := dash.ReplaceAllLiteralString(text, "-")
	first, last, err := parseEnds(plain)
	switch {
	case err != nil:
		return scan.Host{}, err
	case first.BitLen() != last.BitLen():
		return scan.Host{}, fmt.Errorf("%s mixes IPv4 and IPv6: write two addresses of the same IP version", quoteValue(text))
	case last.Less(first):
		return scan.Host{}, fmt.Errorf("range %s is reversed: write %s-%s", quoteValue(text), last, first)
	case plain != text:
		return scan.Host{}, fmt.Errorf("%s is not a valid range: write %s, with - and without blanks", quoteValue(text), plain)
	}
	return scan.NewRange(text, first, last)
}

// parseEnds parses the first and the last address of a range.
func parseEnds(text string) (first, last netip.Addr, err error) {
	left, right, _ := strings.Cut(text, "-")
	first, err = netip.ParseAddr(left)
	switch {
	case strings.ContainsAny(text, "*,"):
		return first, last, nmapError(text)
	case strings.Contains(text, "%"):
		return first, last, zoneError(text)
	case strings.Contains(text, "/"):
		return first, last, fmt.Errorf("%s has a prefix length in a range: write the first and the last address, such as 192.0.2.0-192.0.2.255", quoteValue(text))
	case err != nil && strings.Count(left, ".") == 3:
		return first, last, ipv4Error(left)
	case err != nil && strings.Count(text, ".") == 3:
		return first, last, nmapError(text)
	case err != nil:
		return first, last, rangeError(text)
	}
	if last, err = netip.ParseAddr(right); err == nil {
		return first.Unmap(), last.Unmap(), nil
	}
	last, err = replaceEnd(left, right, text)
	return first.Unmap(), last.Unmap(), err
}

// replaceEnd returns an address with another last octet, in decimal, or last group, in hexadecimal.
func replaceEnd(addr, end, text string) (netip.Addr, error) {
	separator := "."
	if strings.Contains(addr, ":") {
		separator = ":"
	}
	last, err := netip.ParseAddr(addr[:strings.LastIndex(addr, separator)+1] + end)
	switch {
	case separator == "." && strings.Trim(end, "0123456789") == "" && !strings.HasPrefix(end, "0") && end != "" && err != nil:
		return netip.Addr{}, fmt.Errorf("%s ends above 255: write a number up to 255, or the complete last address, such as 192.0.2.10-192.0.3.50", quoteValue(text))
	case err != nil, separator == ":" && (strings.Contains(addr, ".") || !hexGroup.MatchString(end)):
		return netip.Addr{}, rangeError(text)
	default:
		return last, nil
	}
}

func rangeError(text string) error {
	return fmt.Errorf("%s is not a valid range: write the first and the last address, such as 192.0.2.10-192.0.2.50 or 192.0.2.10-50", quoteValue(text))
}

// nmapError returns the error for several addresses in a notation of nmap.
func nmapError(text string) error {
	const anyOctet = "*"
	octets := strings.Split(text, ".")
	fixed := 0
	for fixed < len(octets) && isOctet(octets[fixed]) {
		fixed++
	}
	switch {
	case len(octets) != 4 || fixed == 0:
		return fmt.Errorf("%s is not one address, network or range: write an entry for each, such as 192.0.2.0/24 and 192.0.3.10-50", quoteValue(text))
	case strings.Trim(strings.Join(octets[fixed:], ""), anyOctet) == "":
		network := strings.Join(octets[:fixed], ".") + strings.Repeat(".0", len(octets)-fixed)
		return fmt.Errorf("%s has a wildcard: write %s/%d", quoteValue(text), network, 8*fixed)
	case fixed == 3 && strings.Contains(octets[3], ","):
		base := strings.Join(octets[:fixed], ".") + "."
		parts := strings.FieldsFunc(scan.Truncate(octets[3], maxQuoted), func(r rune) bool { return r == ',' })
		return fmt.Errorf("%s is a list: write an entry for each: %s%s", quoteValue(text), base, strings.Join(parts, ", "+base))
	default:
		return fmt.Errorf("%s is a notation of nmap: write networks and ranges, such as 192.0.2.0/24 and 192.0.3.10-50, as entries of their own", quoteValue(text))
	}
}

func isOctet(text string) bool {
	n, err := strconv.ParseUint(text, 10, 8)
	return err == nil && strconv.FormatUint(n, 10) == text
}

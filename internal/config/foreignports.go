// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"regexp"
	"strings"

	"portscan_exporter/internal/scan"
)

// Notations of other programs.
var (
	// readable matches the texts of which a fix can quote a part.
	readable = regexp.MustCompile(`^[\x20-\x7e\x{2010}-\x{2015}\x{2212}]{1,60}$`)
	// protocolPrefix matches T:80 (nmap, masscan), tcp/80 and tcp:80.
	protocolPrefix = regexp.MustCompile(`(?i)^(t|u|s|p|tcp|udp|sctp)[:/](.+)$`)
	// protocolSuffix matches 80/tcp, as in /etc/services.
	protocolSuffix = regexp.MustCompile(`(?i)^([^/]+)/(tcp|udp|sctp)$`)
	// urlPorts matches http://www.example.org:8080/.
	urlPorts = regexp.MustCompile(`(?i)^([a-z][a-z0-9+.-]*)://[^/?#]*?(?::(\d+))?(?:[/?#].*)?$`)
	// hostPort matches 192.0.2.1:80, [2001:db8::1]:80 and www.example.org:80.
	hostPort = regexp.MustCompile(`^(\[?[0-9A-Za-z_.:%-]+\]?):(\d+|\*)$`)
	// otherRange matches 8000:8010 (iptables), 8000..8010, 8000~8010, and ranges with dashes.
	otherRange = regexp.MustCompile(`^(\d+)\s*(?::|\.\.+|~|[\x{2010}-\x{2015}\x{2212}]|\bto\b)\s*(\d+)$`)
	// topWithout matches top, top100, "top 100", top_100 and --top-ports=100.
	topWithout = regexp.MustCompile(`(?i)^(?:--?)?top[-_ ]?(?:ports)?[-_ =]*(\d*)$`)
	// separated matches "22 80" and "22;80".
	separated = regexp.MustCompile(`^[A-Za-z0-9-]+(?:\s*[\s;|]\s*[A-Za-z0-9-]+)+$`)
	separator = regexp.MustCompile(`\s*[\s;|]\s*`)
)

// describeForeignPorts returns the problem of an entry in the notation of another program,
// with a fix, or "".
func describeForeignPorts(protocol scan.Protocol, entry string) string {
	if !readable.MatchString(entry) {
		return ""
	}
	if m := otherRange.FindStringSubmatch(entry); m != nil {
		return fmt.Sprintf("is not a range: write %s-%s", m[1], m[2])
	}
	if m := topWithout.FindStringSubmatch(entry); m != nil {
		return "is not a service: write top-" + orText(m[1], "100")
	}
	if m := protocolPrefix.FindStringSubmatch(entry); m != nil {
		return describeProtocol(protocol, m[1], m[2])
	}
	if m := protocolSuffix.FindStringSubmatch(entry); m != nil {
		return describeProtocol(protocol, m[2], m[1])
	}
	if m := urlPorts.FindStringSubmatch(entry); m != nil {
		port := orText(m[2], m[1])
		if strings.Contains(entry, "@") {
			port = m[1] // the digits may be those of a password
		}
		return fmt.Sprintf("is a URL: write only its port here, such as %s, and its host in hosts", port)
	}
	if h, err := parseHost(entry); err == nil && !h.IsName() {
		return "is an address: write it in hosts"
	}
	if m := hostPort.FindStringSubmatch(entry); m != nil {
		return fmt.Sprintf("has a host: write only %s here, and the host in hosts", strings.Replace(m[2], "*", allPortsEntry, 1))
	}
	return describeCharacters(entry)
}

// allPortsEntry is the entry for all ports.
const allPortsEntry = "all"

// describeCharacters is describeForeignPorts for entries with characters that no list has.
func describeCharacters(entry string) string {
	switch {
	case entry == "*" || strings.EqualFold(entry, "any"):
		return "is not a port: write all, for every port"
	case strings.ContainsAny(entry, "*?"):
		return "has a wildcard: write each service, such as http,https"
	case strings.ContainsAny(entry, "[](){}"):
		return fmt.Sprintf("has brackets: write %s", orText(strings.Trim(entry, "[](){} "), "8000-8100"))
	case strings.ContainsAny(entry[:1], "!^~"):
		return fmt.Sprintf("is negated: write %s in exclude_ports", orText(strings.Trim(entry, "!^~ "), "the port"))
	case separated.MatchString(entry):
		return "has no commas: write " + separator.ReplaceAllString(entry, ",")
	}
	return ""
}

// describeProtocol returns the problem of ports with a protocol, written as T, U, tcp, udp or
// that of another protocol.
func describeProtocol(protocol scan.Protocol, written, ports string) string {
	for _, p := range protocols() {
		switch {
		case !strings.EqualFold(written, p.name) && !strings.EqualFold(written, p.name[:1]):
		case p.value == protocol:
			return "has a protocol: write only " + ports
		default:
			return fmt.Sprintf("is for %s in a list of %s ports: write %s in a %s module, or in expect.%s", p.name, protocol, ports, p.name, p.name)
		}
	}
	return "is for another protocol: write only ports of tcp or udp"
}

// quoteEntry quotes an entry of a list of ports without the password of a URL.
func quoteEntry(entry string) string {
	if strings.Contains(entry, "://") || strings.Contains(entry, "@") {
		entry = RedactURL(entry)
	}
	return quoteValue(entry)
}

func orText(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

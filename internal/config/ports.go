// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/service"
)

// PortParser parses lists of ports with service names and top-N. Create it with
// [NewPortParser]. It may be used concurrently.
type PortParser struct {
	catalog func() service.Catalog // loaded when first used
}

// NewPortParser returns a parser.
func NewPortParser() PortParser { return PortParser{catalog: sync.OnceValue(service.NewCatalog)} }

// Parse parses a list of ports as [scan.ParsePortSet] does. It also accepts, for the
// protocol, service names such as "ssh" and the most important ports, such as "top-100".
// Errors have one line and include a suggested fix.
func (p PortParser) Parse(protocol scan.Protocol, text string) (scan.PortSet, error) {
	return scan.ParseNamedPorts(text, func(entry string) (scan.PortSet, error) {
		return p.parseEntry(protocol, entry)
	})
}

var topEntry = regexp.MustCompile(`(?i)^top-(\d+)$`)

// parseEntry parses an entry that is neither a port nor a range.
func (p PortParser) parseEntry(protocol scan.Protocol, entry string) (scan.PortSet, error) {
	if m := topEntry.FindStringSubmatch(entry); m != nil {
		return p.top(protocol, m[1])
	}
	if set, ok := p.catalog().Ports(protocol, entry); ok {
		return set, nil
	}
	if problem := describeForeignPorts(protocol, entry); problem != "" {
		return scan.PortSet{}, fmt.Errorf("%s %s", quoteEntry(entry), problem)
	}
	return scan.PortSet{}, p.unknownService(protocol, entry)
}

// top returns the most important ports of a protocol.
func (p PortParser) top(protocol scan.Protocol, count string) (scan.PortSet, error) {
	ranked := p.catalog().Ranked(protocol)
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > len(ranked) {
		return scan.PortSet{}, fmt.Errorf("top-%s is out of range: write top-1 to top-%d, or all", truncateNumber(count), len(ranked))
	}
	return scan.NewPortSet(ranked[:n]...), nil
}

// misspelled matches texts that may be misspelled service names. For shorter ones, any
// suggestion is a guess.
var misspelled = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.+-]{3,}$`)

// unknownService returns the error for an entry that no rule accepts.
func (p PortParser) unknownService(protocol scan.Protocol, entry string) error {
	quoted := quoteEntry(entry)
	for _, other := range protocols() {
		if set, ok := p.catalog().Ports(other.value, entry); ok {
			return fmt.Errorf("service %s has only %s %s: write its %s port, or %s in a list of %s ports",
				quoted, other.name, formatPorts(set), protocol, entry, other.name)
		}
	}
	if fix := p.fixServiceRange(protocol, entry); fix != "" {
		return fmt.Errorf("%s is a range of service names: write %s", quoted, fix)
	}
	if misspelled.MatchString(entry) {
		if near, ok := Nearest(entry, p.catalog().Names(protocol)); ok {
			return fmt.Errorf("unknown service %s: did you mean %q?", quoted, near)
		}
	}
	return fmt.Errorf("%s is not a port, a range or a service: write a number from 1 to 65535, a range such as 8000-8100, or a service such as ssh", quoted)
}

// fixServiceRange returns the ports of a range whose ends are services or ports, or "" for
// other entries.
func (p PortParser) fixServiceRange(protocol scan.Protocol, entry string) string {
	for i := range entry {
		if entry[i] != '-' {
			continue
		}
		first, hasFirst := p.rangeEnd(protocol, entry[:i])
		last, hasLast := p.rangeEnd(protocol, entry[i+1:])
		switch {
		case !hasFirst || !hasLast:
		case first == 0:
			return fmt.Sprintf("-%d", last)
		case last == 0:
			return fmt.Sprintf("%d-", first)
		default:
			return fmt.Sprintf("%d-%d", min(first, last), max(first, last))
		}
	}
	return ""
}

// rangeEnd returns a port, or the first port of a service, or 0 if the text is empty. It
// returns false for other texts.
func (p PortParser) rangeEnd(protocol scan.Protocol, text string) (uint16, bool) {
	text = strings.TrimSpace(text)
	if set, ok := p.catalog().Ports(protocol, text); ok {
		return set.At(0), true
	}
	port, err := strconv.ParseUint(text, 10, 16)
	return uint16(port), text == "" || err == nil && port > 0
}

var (
	// looksLikePorts matches a port or a range.
	looksLikePorts = regexp.MustCompile(`^(\d+(-\d*)?|-\d+)$`)
	// looksLikeService matches what can be a service name, top-N or all.
	looksLikeService = regexp.MustCompile(`^[A-Za-z0-9-]+$`)
)

// countStrayPorts returns how many entries from i on are ports after a comma, which YAML parses as
// keys without values. Names are ports only if they follow ports on the same line.
func countStrayPorts(found []mappingEntry, i int) (count int) {
	follows := i > 0 && isPlainPorts(found[i-1])
	for _, e := range found[i:] {
		isName := follows && found[i+count-1].line == e.line && looksLikeService.MatchString(e.name)
		if !(value{node: e.node}.isNull()) || !isName && !looksLikePorts.MatchString(e.name) {
			break
		}
		follows = true
		count++
	}
	return count
}

// isPlainPorts reports whether the value of an entry can be the start of a list of ports.
func isPlainPorts(e mappingEntry) bool {
	hasPorts := slices.Contains([]string{"ports", "exclude_ports", "open", "allow"}, e.name)
	return e.node.Kind == yaml.ScalarNode &&
		(looksLikePorts.MatchString(e.node.Value) || hasPorts && looksLikeService.MatchString(e.node.Value))
}

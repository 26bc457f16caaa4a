// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"

	"portscan_exporter/internal/printable"
	"portscan_exporter/internal/scan"
)

// choice is a permitted text of a scalar with the value that it stands for.
type choice[T any] struct {
	name  string
	value T
}

func protocols() []choice[scan.Protocol] {
	return []choice[scan.Protocol]{{"tcp", scan.TCP}, {"udp", scan.UDP}}
}

func methods() []choice[scan.Method] {
	return []choice[scan.Method]{{"connect", scan.Connect}, {"syn", scan.SYN}}
}

func families() []choice[scan.Family] {
	return []choice[scan.Family]{{"any", scan.AnyFamily}, {"ip4", scan.IPv4}, {"ip6", scan.IPv6}}
}

func reports() []choice[bool] {
	return []choice[bool]{{"notable", false}, {"all", true}}
}

// oneOf returns a decoder for one of the choices.
func oneOf[T any](l *loader, dst *T, choices []choice[T]) func(value) {
	return func(v value) {
		text, ok := l.scalar(v)
		if !ok {
			return
		}
		var words []string
		for _, c := range choices {
			if c.name == text {
				*dst = c.value
				return
			}
			words = append(words, c.name)
		}
		l.errorf(v, "unknown value %s: %s", quoteValue(text), suggest(text, words))
	}
}

// text returns a decoder for a scalar that programs display.
func (l *loader) text(dst *string) func(value) {
	return func(v value) {
		if text, ok := l.visible(v); ok {
			*dst = text
		}
	}
}

// visible returns the text of a scalar that programs display. It reports an error for
// characters that change how the text around them is displayed.
func (l *loader) visible(v value) (string, bool) {
	text, ok := l.scalar(v)
	if r, found := printable.FindDeceptive(text); ok && found {
		l.errorf(v, "character %U is not permitted: write one line without control characters and bidirectional marks", r)
		return "", false
	}
	return text, ok
}

// variable matches an environment variable as shells write it.
var variable = regexp.MustCompile(`\$(\{|[A-Za-z_])`)

// warnVariable warns about a text that other programs expand.
func (l *loader) warnVariable(v value, text string) {
	if variable.MatchString(text) {
		l.warnf(v, "environment variables are not expanded in %s: write the value itself", quoteValue(text))
	}
}

// integer returns a decoder for an integer that is at least least.
func (l *loader) integer(dst *int, least int) func(value) {
	return func(v value) {
		text, ok := l.scalar(v)
		if !ok {
			return
		}
		digits, negative := strings.CutPrefix(text, "-")
		n, err := strconv.ParseInt(digits, 10, 32)
		switch {
		case digits == "" || strings.Trim(digits, "0123456789") != "":
			l.errorf(v, "%s is not an integer: write only digits, such as %s", quoteValue(text), v.example)
		case negative || err == nil && int(n) < least:
			l.errorf(v, "%s is too small: write %d or more", truncateNumber(text), least)
		case err != nil:
			l.errorf(v, "%s is too large: write %d or less", truncateNumber(text), math.MaxInt32)
		default:
			l.warnLeadingZeros(v, text)
			*dst = int(n)
		}
	}
}

func truncateNumber(number string) string { return scan.Truncate(number, 24) }

var leadingZeros = regexp.MustCompile(`\b0+(\d+)\b`)

// warnLeadingZeros warns about numbers that other programs parse as octal.
func (l *loader) warnLeadingZeros(v value, text string) {
	for _, m := range leadingZeros.FindAllStringSubmatch(text, -1) {
		l.warnf(v, "%s is read as %s: write %s", truncateNumber(m[0]), truncateNumber(m[1]), truncateNumber(m[1]))
	}
}

// warnPortZeros warns about numbers with leading zeros in a list of ports.
func (l *loader) warnPortZeros(v value, text string) {
	for entry := range strings.SplitSeq(text, ",") {
		isName := strings.ContainsFunc(entry, unicode.IsLetter) // such as bears-01
		if !isName || topEntry.MatchString(strings.TrimSpace(entry)) {
			l.warnLeadingZeros(v, entry)
		}
	}
}

// longNumber matches numbers that may exceed 64 bits.
var longNumber = regexp.MustCompile(`^\d{20,}`)

// maxDuration prevents overflows in sums of durations.
const maxDuration = 365 * 24 * time.Hour

// duration returns a decoder for a Prometheus duration that is at least least.
func (l *loader) duration(dst *time.Duration, least time.Duration) func(value) {
	return func(v value) {
		text, ok := l.scalar(v)
		if !ok {
			return
		}
		d, err := model.ParseDuration(text)
		isNumber := text != "" && strings.Trim(text, "0123456789") == ""
		switch {
		case strings.HasPrefix(text, "-"):
			l.errorf(v, "%s is negative: write a duration such as %s", quoteValue(text), v.example)
		case isNumber && strings.Trim(text, "0") != "":
			l.errorf(v, "%s has no unit: write %ss for seconds", quoteValue(text), truncateNumber(text))
		case err != nil && (longNumber.MatchString(text) || strings.Contains(err.Error(), "out of range")), time.Duration(d) > maxDuration:
			l.errorf(v, "%s is too long: write 1y or less", quoteValue(text))
		case err != nil:
			l.errorf(v, "%s is not a duration: write integers with units, such as 500ms, 1m30s or %s", quoteValue(text), v.example)
		case time.Duration(d) < least:
			l.errorf(v, "must be positive: write %s", v.example)
		default:
			*dst = time.Duration(d)
		}
	}
}

// ports returns a decoder for a list of ports of a protocol, as a scalar or as a YAML list.
// The protocol must have been decoded before.
func (l *loader) ports(protocol *scan.Protocol, dst *scan.PortSet) func(value) {
	return func(v value) {
		parts := []value{v}
		if v.node.Kind == yaml.SequenceNode {
			parts = v.items()
		}
		var all scan.PortSet
		for _, part := range parts {
			text, ok := l.scalar(part)
			if !ok {
				continue
			}
			set, err := l.portParser.Parse(*protocol, text)
			if err != nil {
				l.errorf(part, "%s", oneLine(err.Error()))
				continue
			}
			l.warnPortZeros(part, text)
			all = all.Union(set)
		}
		*dst = all
	}
}

// address returns a decoder for an address of this machine, which may be empty.
func (l *loader) address(dst *netip.Addr) func(value) {
	return func(v value) {
		text, ok := l.scalar(v)
		if !ok || text == "" {
			return
		}
		h, err := parseHost(text)
		if err == nil && !h.IsName() {
			err = checkUnicast(h.Network)
		}
		switch {
		case err != nil:
			l.errorf(v, "%s", err)
		case h.IsName() || !h.Network.IsSingleIP() || strings.ContainsAny(text, "/-"):
			l.errorf(v, "%s is not an address: write one address of this machine, such as %s", quoteValue(text), v.example)
		default:
			*dst = h.Network.Addr()
		}
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"portscan_exporter/internal/scan"
)

func formatTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// timestamp is a time as pages show it.
type timestamp struct {
	Ago, Exact, Machine string
	Unix                int64
	Seconds             int64 // age
}

func newTimestamp(t, now time.Time) timestamp {
	age := now.Sub(t)
	return timestamp{Ago: formatAge(age), Exact: formatTime(t), Machine: t.UTC().Format(time.RFC3339), Unix: t.Unix(), Seconds: int64(age / time.Second)}
}

// formatAge returns an age in its two largest units.
func formatAge(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(0, d)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm %ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh %dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%dd %dh", d/day, d%day/time.Hour)
	}
}

// formatDuration returns a duration in about three digits.
func formatDuration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

// formatPorts returns the ports as a list that a browser can wrap.
func formatPorts(ports scan.PortSet) string { return strings.ReplaceAll(ports.String(), ",", ", ") }

// formatFirstPorts returns the first ports, and the number of the others.
func formatFirstPorts(ports scan.PortSet) string {
	const limit = 5
	if ports.Len() <= limit {
		return formatPorts(ports)
	}
	first := make([]string, 0, limit)
	for port := range ports.All() {
		if len(first) == limit-1 {
			break
		}
		first = append(first, strconv.Itoa(int(port)))
	}
	return strings.Join(first, ", ") + " and " + formatNumber(ports.Len()-len(first)) + " more"
}

// foldedText is a text that pages fold if it is long.
type foldedText struct {
	Summary string // its beginning; "": the text is short
	Text    string
}

// foldPorts returns the ports as text, folded after a port.
func foldPorts(ports scan.PortSet) foldedText {
	const limit = 120 // characters
	f := foldedText{Text: formatPorts(ports)}
	if len(f.Text) > limit {
		f.Summary = f.Text[:strings.LastIndexByte(f.Text[:limit], ' ')]
	}
	return f
}

// formatCount returns a number with its noun.
func formatCount(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case noun == "address":
		return formatNumber(n) + " addresses"
	default:
		return formatNumber(n) + " " + noun + "s"
	}
}

// formatNumber returns a number with thousands separators, as in 65,535.
func formatNumber(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return formatNumber(n/1000) + fmt.Sprintf(",%03d", n%1000)
}

func formatState(s scan.State) string {
	if s == scan.OpenFiltered {
		return "open or filtered"
	}
	return s.String()
}

func formatProtocol(p scan.Protocol) string { return strings.ToUpper(p.String()) }

func formatFamily(f scan.Family) string {
	switch f {
	case scan.IPv4:
		return "IPv4 only"
	case scan.IPv6:
		return "IPv6 only"
	default:
		return ""
	}
}

// formatAll returns the texts of all hosts.
func formatAll(hosts []scan.Host) (texts []string) {
	for _, h := range hosts {
		texts = append(texts, h.String())
	}
	return texts
}

// listHosts returns the texts of the hosts that a target's page or a log lists.
func listHosts(hosts []scan.Host) []string {
	const limit = 256
	return formatFirst(hosts, limit)
}

// formatFirst returns the texts of the first hosts, and the number of the others if there are at
// least two.
func formatFirst(hosts []scan.Host, limit int) []string {
	more := len(hosts) - limit
	if more < 2 {
		return formatAll(hosts)
	}
	return append(formatAll(hosts[:limit]), "and "+formatNumber(more)+" more")
}

const internalError = "internal error, see the log"

// describeEvidence returns the evidence for the state of a port.
func describeEvidence(p scan.PortResult) string {
	switch {
	case !p.ICMP.IsKnown():
		return describeCause(p.Cause)
	case p.Cause == scan.CauseICMP:
		return "ICMP " + p.ICMP.String()
	default:
		return describeCause(p.Cause) + " after ICMP " + p.ICMP.String()
	}
}

// describeCause returns the evidence for a state, or why the state is unknown.
func describeCause(c scan.Cause) string {
	return map[scan.Cause]string{
		scan.CauseHandshake:      "connection established",
		scan.CauseHandshakeReset: "accepted, then reset",
		scan.CauseRST:            "reset received",
		scan.CauseICMP:           "ICMP error received",
		scan.CauseSYNACK:         "SYN+ACK received",
		scan.CauseZeroWindow:     "SYN+ACK with zero window (tarpit)",
		scan.CauseReply:          "reply received",
		scan.CauseSilence:        "no response",
		scan.CauseNoNeighbor:     "no host on the link has the address",
		scan.CauseDeadline:       "deadline reached",
		scan.CauseDescriptors:    "no free file descriptor",
		scan.CauseSourcePorts:    "no free source port",
		scan.CauseNoRoute:        "no route to the address",
		scan.CausePermission:     "not permitted on this machine",
		scan.CauseUnresponsive:   "address stopped responding",
		scan.CauseInternal:       internalError,
		scan.CauseNeighborTable:  "neighbor table of this machine is full",
		scan.CauseTranslated:     "translated (NAT) on this machine",
	}[c]
}

func describeFailure(f scan.Failure) string {
	switch f {
	case scan.FailedDNS:
		return "name not resolved"
	case scan.FailedAddressRefused:
		return "name resolves outside networks"
	case scan.FailedTooManyAddresses:
		return "more addresses than max_addresses"
	case scan.FailedCanceled:
		return "scan canceled"
	default:
		return internalError
	}
}

// describeExpected returns the owner's expectation of a port.
func describeExpected(p scan.Plan, port uint16) string {
	switch e := p.Expected(port); {
	case e == scan.ExpectOpen:
		return "must be open"
	case e == scan.ExpectClosed:
		return "must not be open"
	case p.Declared(port):
		return "may be open"
	default:
		return "any"
	}
}

// describeExpectations returns the owner's expectations of all ports of a plan.
func describeExpectations(p scan.Plan) string {
	const others = " No other port may be open."
	switch e := p.Spec().Expect; {
	case e == nil:
		return "No expectations: no port is a violation."
	case e.Open.IsEmpty() && e.Allow.IsEmpty():
		return "No port may be open."
	case e.Allow.IsEmpty():
		return "Must be open: " + formatPorts(e.Open) + "." + others
	case e.Open.IsEmpty():
		return "May be open: " + formatPorts(e.Allow) + "." + others
	default:
		return "Must be open: " + formatPorts(e.Open) + ". May be open: " + formatPorts(e.Allow) + "." + others
	}
}

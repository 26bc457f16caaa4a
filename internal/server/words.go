package server

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"portscan_exporter/internal/scan"
)

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// moment is a time as a page shows it: how long ago, and exactly.
type moment struct {
	Ago, Exact, Machine string
	Unix                int64
	Seconds             int64 // ago
}

func momentOf(t, now time.Time) moment {
	return moment{Ago: ago(now.Sub(t)), Exact: stamp(t), Machine: t.UTC().Format(time.RFC3339), Unix: t.Unix(), Seconds: int64(now.Sub(t) / time.Second)}
}

// ago writes how long something is past in the two largest units at the most.
func ago(d time.Duration) string {
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

// took writes how long something took, in three digits or so.
func took(d time.Duration) string {
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

// few writes the first ports of a set, and how many more there are.
func few(ports scan.PortSet) string {
	const most = 5
	if ports.Len() <= most {
		return strings.ReplaceAll(ports.String(), ",", ", ")
	}
	first := make([]string, 0, most)
	for port := range ports.All() {
		if len(first) == most-1 {
			break
		}
		first = append(first, strconv.Itoa(int(port)))
	}
	return strings.Join(first, ", ") + " and " + thousands(ports.Len()-len(first)) + " more"
}

// stateWords is a state as people read it.
func stateWords(s scan.State) string {
	if s == scan.OpenFiltered {
		return "open or filtered"
	}
	return s.String()
}

// causeWords is the evidence for a state, or why there is none.
func causeWords(c scan.Cause) string {
	words := map[scan.Cause]string{
		scan.CauseHandshake:      "connection established",
		scan.CauseHandshakeReset: "accepted, then reset",
		scan.CauseRST:            "reset received",
		scan.CauseICMP:           "ICMP error received",
		scan.CauseSYNACK:         "SYN+ACK received",
		scan.CauseZeroWindow:     "SYN+ACK with zero window (tarpit)",
		scan.CauseReply:          "reply received",
		scan.CauseSilence:        "no response",
		scan.CauseDeadline:       "deadline reached",
		scan.CauseDescriptors:    "no free file descriptor",
		scan.CauseSourcePorts:    "no free source port",
		scan.CauseNoRoute:        "no route to the address",
		scan.CausePermission:     "not permitted on this machine",
		scan.CauseUnresponsive:   "address stopped responding",
		scan.CauseInternal:       "internal error, see the log",
	}
	return words[c]
}

// expectedWords is what the owner says of a port.
func expectedWords(p scan.Plan, port uint16) string {
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

// plural writes a number of things.
func plural(n int, thing string) string {
	switch {
	case n == 1:
		return "1 " + thing
	case thing == "address":
		return thousands(n) + " addresses"
	default:
		return thousands(n) + " " + thing + "s"
	}
}

// thousands writes a number with commas, as in 65,535.
func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return thousands(n/1000) + fmt.Sprintf(",%03d", n%1000)
}

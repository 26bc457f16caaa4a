// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"fmt"

	"portscan_exporter/internal/scan"
)

// The notes below the table, as formats.
const (
	noteHidden      = "not shown on %v: %s"
	noteICMP        = "ICMP error for %s of %v: %v"
	noteSuspect     = "%v is suspect (%v): another device probably answers for this address"
	noteUnknown     = "unknown on %v: %d (%v)"
	noteInterrupted = "unknown on %v: %d (interrupted)"
	noteRefused     = "%v is outside the target's networks and was not scanned"
	noteFailed      = "scan incomplete (%v): %v"
	noteIncomplete  = "scan incomplete"
)

// NoteFormats returns the format of every note, for the documentation's test.
func NoteFormats() []string {
	return []string{noteHidden, noteICMP, noteSuspect, noteUnknown, noteInterrupted, noteRefused, noteFailed, noteIncomplete}
}

// icmpNotes returns one line for each ICMP error of each address, the most frequent ones first.
func (r Report) icmpNotes() (notes []string) {
	const limit = 5 // of an address
	for i := range r.Result.Addresses {
		a := &r.Result.Addresses[i]
		others, ports := 0, 0
		for j, e := range a.ICMPErrors() {
			if j < limit {
				notes = append(notes, fmt.Sprintf(noteICMP, describePorts(e.Ports), a.IP, e.ICMPError))
				continue
			}
			others, ports = others+1, ports+e.Ports.Len()
		}
		if others > 0 {
			notes = append(notes, fmt.Sprintf(noteICMP, fmt.Sprintf("%d ports", ports), a.IP, fmt.Sprintf("%d other errors", others)))
		}
	}
	return notes
}

// describePorts returns the ports, or their number if the list is long.
func describePorts(ports scan.PortSet) string {
	const limit = 40 // characters
	list := ports.String()
	switch {
	case len(list) > limit:
		return fmt.Sprintf("%d ports", ports.Len())
	case ports.Len() == 1:
		return "port " + list
	default:
		return "ports " + list
	}
}

// Notes returns one line for each suspect address and for each reason why the scan is
// incomplete.
func (r Report) Notes() (notes []string) {
	for i := range r.Result.Addresses {
		notes = append(notes, r.addressNotes(&r.Result.Addresses[i])...)
	}
	for _, ip := range r.Result.Refused {
		notes = append(notes, fmt.Sprintf(noteRefused, ip))
	}
	for _, f := range scan.Failures() {
		if err := r.Result.Failed[f]; err != nil {
			notes = append(notes, fmt.Sprintf(noteFailed, f, err))
		}
	}
	if !r.Success() && len(r.Result.Failed) == 0 {
		notes = append(notes, noteIncomplete)
	}
	return notes
}

func (r Report) addressNotes(a *scan.AddressResult) (notes []string) {
	if reason := a.SuspectedBy(); reason != scan.NotSuspect {
		notes = append(notes, fmt.Sprintf(noteSuspect, a.IP, reason))
	}
	for _, cause := range scan.UnknownCauses() {
		n := a.UnknownByCause()[cause]
		switch {
		case n == 0:
		case cause == scan.CauseDeadline && r.Result.Failed[scan.FailedCanceled] != nil:
			notes = append(notes, fmt.Sprintf(noteInterrupted, a.IP, n))
		default:
			notes = append(notes, fmt.Sprintf(noteUnknown, a.IP, n, cause))
		}
	}
	return notes
}

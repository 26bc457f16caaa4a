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
	noteSuspect     = "%v is suspect: another device probably answers for this address"
	noteUnknown     = "unknown on %v: %d (%v)"
	noteInterrupted = "unknown on %v: %d (interrupted)"
	noteRefused     = "%v is outside the target's networks and was not scanned"
	noteFailed      = "scan incomplete (%v): %v"
	noteIncomplete  = "scan incomplete"
)

// NoteFormats returns the format of every note, for the documentation's test.
func NoteFormats() []string {
	return []string{noteHidden, noteSuspect, noteUnknown, noteInterrupted, noteRefused, noteFailed, noteIncomplete}
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
	if a.Suspect() {
		notes = append(notes, fmt.Sprintf(noteSuspect, a.IP))
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

package terminal

import (
	"fmt"

	"portscan_exporter/internal/scan"
)

// Notes says, a line each, what keeps the scan from being whole and what is odd
// about it. There are none where all is well.
func (r Report) Notes() (notes []string) {
	for i := range r.Result.Addresses {
		a := &r.Result.Addresses[i]
		if a.Suspect() {
			notes = append(notes, fmt.Sprintf("%v is suspect: something in between is likely to answer for it", a.IP))
		}
		for _, cause := range scan.UnknownCauses() {
			n := a.UnknownBy()[cause]
			switch {
			case n == 0:
			case cause == scan.CauseDeadline && r.Result.Failed[scan.FailedCanceled] != nil:
				notes = append(notes, fmt.Sprintf("unknown on %v because the scan was interrupted: %d", a.IP, n))
			default:
				notes = append(notes, fmt.Sprintf("unknown on %v because of %v: %d", a.IP, cause, n))
			}
		}
	}
	for _, ip := range r.Result.Refused {
		notes = append(notes, fmt.Sprintf("%v lies outside the target's networks and was not touched", ip))
	}
	for _, f := range scan.Failures() {
		if err := r.Result.Failed[f]; err != nil {
			notes = append(notes, fmt.Sprintf("the scan is incomplete (%v): %v", f, err))
		}
	}
	if !r.Success() && len(r.Result.Failed) == 0 {
		notes = append(notes, "the scan is incomplete")
	}
	return notes
}

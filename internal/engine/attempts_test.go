// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"sync/atomic"
	"testing"

	"portscan_exporter/internal/scan"
)

// TestAttemptCount reports more attempts than were sent, and then fewer.
func TestAttemptCount(t *testing.T) {
	t.Parallel()
	var total atomic.Int64
	var got []scan.PortResult
	a := attemptCount{total: &total}
	keep := func(p scan.PortResult) { got = append(got, p) }
	report := a.limitReports(keep)
	a.addSent(5)
	for _, attempts := range []int{2, 4, 1} {
		report(scan.PortResult{Address: target4, Port: 1, Attempts: attempts})
	}
	a.addSent(7)
	report(scan.PortResult{Address: target4, Port: 1, Attempts: 3})
	a.reportRest(target4, keep)
	a.reportRest(target4, keep)
	want := []int{2, 3, 0, 3, 4}
	if len(got) != len(want) {
		t.Fatalf("reports = %+v, want %d", got, len(want))
	}
	for i, r := range got {
		if r.Attempts != want[i] {
			t.Errorf("attempts of report %d = %d, want %d", i, r.Attempts, want[i])
		}
	}
	if last := got[len(got)-1]; last.Address != target4 || last.Count() != 0 {
		t.Errorf("last report = %+v, want one of %v without a port", last, target4)
	}
	if n := total.Load(); n != 12 {
		t.Errorf("total = %d, want 12", n)
	}
}

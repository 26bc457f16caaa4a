// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// TestReportCalls requires that the end of a scan reports all ports with the same result in
// one call, and that the reports contain all ports and attempts.
func TestReportCalls(t *testing.T) {
	t.Parallel()
	dying := between(0, 2*time.Second, always(closed(near)), always(silence))
	for name, tc := range map[string]struct {
		network network
		until   time.Duration
		spec    func(*scan.Spec)
		want    []scan.PortResult // reports with several ports
	}{
		"not started":   {network: always(silence), want: []scan.PortResult{{Cause: scan.CauseDeadline}}},
		"silent":        {network: always(silence), until: time.Minute, want: []scan.PortResult{{State: scan.Filtered, Cause: scan.CauseSilence}}},
		"partly silent": {network: always(silence), until: 4500 * time.Millisecond, want: []scan.PortResult{{State: scan.Filtered, Cause: scan.CauseSilence}, {Cause: scan.CauseDeadline}}},
		"answers":       {network: always(closed(near)), until: 50 * time.Millisecond, want: []scan.PortResult{{Cause: scan.CauseDeadline}}},
		"died":          {network: dying, until: time.Minute, spec: func(s *scan.Spec) { s.Rate = 1000 }, want: []scan.PortResult{{Cause: scan.CauseUnresponsive}}},
	} {
		for _, receivesLate := range []bool{false, true} {
			spec := testSpec("1-65535")
			if tc.spec != nil {
				tc.spec(&spec)
			}
			s := simulation{spec: spec, network: tc.network, receivesLate: receivesLate, until: tc.until}
			d := newDriver(t, s)
			var several []scan.PortResult
			singles, attempts, ports := 0, 0, 0
			d.pacer.report = func(r scan.PortResult) {
				ports += r.Count()
				attempts += r.Attempts
				if r.Ports == nil {
					singles++
					return
				}
				several = append(several, r)
			}
			d.run(tc.until)
			if len(several) != len(tc.want) || ports != 65535 || attempts != len(d.attempts) {
				t.Errorf("%s: got %d reports of several ports, %d ports, %d attempts, want %d, 65535, %d", name, len(several), ports, attempts, len(tc.want), len(d.attempts))
				continue
			}
			for i, want := range tc.want {
				if got := several[i]; got.State != want.State || got.Cause != want.Cause || got.Count() == 0 {
					t.Errorf("%s: report %d: got %v, %v for %d ports, want %v, %v", name, i, got.State, got.Cause, got.Count(), want.State, want.Cause)
				}
			}
			t.Logf("%s: %d reports of one port, %d of several, %d attempts, %v", name, singles, len(several), attempts, d.duration)
		}
	}
}

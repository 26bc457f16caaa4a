// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"
)

// TestRoundTrips compares the timeouts with values calculated by hand from RFC 6298 section
// 2, which adds a quarter of each new deviation and an eighth of each new round trip.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, tc := range map[string]struct {
		samples      []time.Duration
		most         time.Duration
		short, final time.Duration
	}{
		"no samples": {nil, 950 * ms, 50 * ms, 950 * ms},
		"one sample": {[]time.Duration{100 * ms}, 950 * ms, 300 * ms, 300 * ms},
		// mean 100, 112.5, 110.9375; deviation 50, 62.5, 50
		"varying": {
			[]time.Duration{100 * ms, 200 * ms, 100 * ms},
			950 * ms,
			110937500 + 4*50*ms, 600 * ms,
		},
		// deviation 200, 150, 112.5
		"steady":                            {[]time.Duration{400 * ms, 400 * ms, 400 * ms}, 5 * time.Second, 400*ms + 4*112500*time.Microsecond, 1200 * ms},
		"minimum of both":                   {[]time.Duration{ms, ms, ms, ms}, 950 * ms, 50 * ms, 150 * ms},
		"just above the minimum":            {[]time.Duration{51 * ms, 51 * ms, 51 * ms}, 950 * ms, 51*ms + 4*14343750, 153 * ms},
		"largest sample":                    {[]time.Duration{ms, ms, ms, 90 * ms, ms, ms, ms, ms, ms, ms, ms, ms, ms, ms, ms, ms, ms, ms}, 950 * ms, 50 * ms, 270 * ms},
		"maximum":                           {[]time.Duration{900 * ms, 900 * ms, 900 * ms}, 950 * ms, 950 * ms, 950 * ms},
		"maximum below minimum":             {[]time.Duration{ms, ms, ms}, 20 * ms, 20 * ms, 20 * ms},
		"maximum below minimum, no samples": {nil, 20 * ms, 20 * ms, 20 * ms},
	} {
		var r, lagging roundTrips
		lagging.lag = 30 * ms
		for _, d := range tc.samples {
			r.update(d)
			lagging.update(d)
		}
		if got := r.short(tc.most); got != tc.short {
			t.Errorf("%s: short(%v) = %v, want %v", name, tc.most, got, tc.short)
		}
		if got := r.final(tc.most); got != tc.final {
			t.Errorf("%s: final(%v) = %v, want %v", name, tc.most, got, tc.final)
		}
		if got, want := lagging.short(tc.most), min(tc.short+30*ms, tc.most); got != want {
			t.Errorf("%s, lag 30ms: short(%v) = %v, want %v", name, tc.most, got, want)
		}
		if got, want := lagging.final(tc.most), min(tc.final+30*ms, tc.most); got != want {
			t.Errorf("%s, lag 30ms: final(%v) = %v, want %v", name, tc.most, got, want)
		}
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"
)

// TestRoundTrips compares the waits with numbers worked out by hand from RFC
// 6298 section 2: a quarter of each deviation, an eighth of each round trip.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, tc := range map[string]struct {
		samples      []time.Duration
		most         time.Duration
		brief, final time.Duration
	}{
		"nothing known":           {nil, 950 * ms, 50 * ms, 950 * ms},
		"two answers are too few": {[]time.Duration{400 * ms, 400 * ms}, 950 * ms, 50 * ms, 950 * ms},
		// mean 100, 112.5, 110.9375; deviation 50, 62.5, 59.375: 50 less a quarter of it, and so on
		"by hand": {
			[]time.Duration{100 * ms, 200 * ms, 100 * ms},
			950 * ms,
			110937500 + 4*50*ms, 600 * ms,
		},
		// deviation 200, 150, 112.5
		"steady":                  {[]time.Duration{400 * ms, 400 * ms, 400 * ms}, 5 * time.Second, 400*ms + 4*112500*time.Microsecond, 1200 * ms},
		"near: the floors":        {[]time.Duration{ms, ms, ms, ms}, 950 * ms, 50 * ms, 150 * ms},
		"just above the floor":    {[]time.Duration{51 * ms, 51 * ms, 51 * ms}, 950 * ms, 51*ms + 4*14343750, 153 * ms},
		"the largest counts":      {[]time.Duration{ms, ms, ms, 90 * ms, ms, ms, ms, ms, ms, ms, ms, ms, ms, ms, ms, ms, ms, ms}, 950 * ms, 50 * ms, 270 * ms},
		"far: the ceiling":        {[]time.Duration{900 * ms, 900 * ms, 900 * ms}, 950 * ms, 950 * ms, 950 * ms},
		"a ceiling below floors":  {[]time.Duration{ms, ms, ms}, 20 * ms, 20 * ms, 20 * ms},
		"that, and nothing known": {nil, 20 * ms, 20 * ms, 20 * ms},
	} {
		var r, late roundTrips
		late.lag = 30 * ms
		for _, d := range tc.samples {
			r.sample(d)
			late.sample(d)
		}
		if got := r.brief(tc.most); got != tc.brief {
			t.Errorf("%s: a first attempt listens %v, want %v", name, got, tc.brief)
		}
		if got := r.final(tc.most); got != tc.final {
			t.Errorf("%s: a last attempt listens %v, want %v", name, got, tc.final)
		}
		if got, want := late.brief(tc.most), min(tc.brief+30*ms, tc.most); got != want {
			t.Errorf("%s: a first attempt of a sender that hears late listens %v, want %v", name, got, want)
		}
		if got, want := late.final(tc.most), min(tc.final+30*ms, tc.most); got != want {
			t.Errorf("%s: a last attempt of a sender that hears late listens %v, want %v", name, got, want)
		}
	}
}

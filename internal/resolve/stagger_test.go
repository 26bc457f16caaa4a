// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestCallStaggered has calls that return true, false or, as their context ends, nothing.
func TestCallStaggered(t *testing.T) {
	t.Parallel()
	const never = time.Hour
	type call struct {
		takes  time.Duration
		result bool
	}
	for name, tc := range map[string]struct {
		calls   []call
		timeout time.Duration
		started []time.Duration // of the calls
		ended   time.Duration
	}{
		"one":                      {[]call{{time.Second, true}}, 3 * time.Second, []time.Duration{0}, time.Second},
		"the first succeeds":       {[]call{{time.Millisecond, true}, {0, true}}, 3 * time.Second, []time.Duration{0}, time.Millisecond},
		"the first fails":          {[]call{{time.Millisecond, false}, {0, true}}, 3 * time.Second, []time.Duration{0, time.Millisecond}, time.Millisecond},
		"the first is silent":      {[]call{{never, true}, {time.Millisecond, true}}, 3 * time.Second, []time.Duration{0, maxStagger}, maxStagger + time.Millisecond},
		"the first is slow":        {[]call{{time.Second, true}, {never, true}}, 3 * time.Second, []time.Duration{0, maxStagger}, time.Second},
		"silent, with little time": {[]call{{never, true}, {never, true}}, 300 * time.Millisecond, []time.Duration{0, 100 * time.Millisecond}, 300 * time.Millisecond},
		"all fail":                 {[]call{{0, false}, {0, false}, {0, false}}, 3 * time.Second, []time.Duration{0, 0, 0}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), tc.timeout)
			defer cancel()
			begin, started := time.Now(), make([]time.Duration, len(tc.calls))
			for i := range started {
				started[i] = -1
			}
			callStaggered(ctx, len(tc.calls), func(ctx context.Context, i int) bool {
				started[i] = time.Since(begin)
				select {
				case <-time.After(tc.calls[i].takes):
					return tc.calls[i].result
				case <-ctx.Done():
					return false
				}
			}, func(results []*bool) bool {
				return slices.ContainsFunc(results, func(r *bool) bool { return r != nil && *r })
			})
			started = slices.DeleteFunc(started, func(d time.Duration) bool { return d < 0 })
			if ended := time.Since(begin); !slices.Equal(started, tc.started) || ended != tc.ended {
				t.Errorf("%s: got calls at %v, end at %v, want %v and %v", name, started, ended, tc.started, tc.ended)
			}
		})
	}
}

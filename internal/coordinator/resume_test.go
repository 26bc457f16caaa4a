// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// slow is a program whose engine takes a second a port, and says which it has tried.
type slow struct {
	*coordinator.Coordinator

	tried scan.PortSet
}

func newSlow(t *testing.T, file string, one scan.Task) *slow {
	t.Helper()
	s := &slow{}
	var err error
	s.Coordinator, err = coordinator.New(coordinator.Options{
		Resolver: resolver{addrs: []string{"192.0.2.1"}}, MaxScans: 1, Logger: slog.New(slog.DiscardHandler),
		Allow: func(scan.Task) (scan.Task, error) { return one, nil },
		Engines: map[coordinator.Kind]scan.Scanner{{Protocol: scan.TCP, Method: scan.Connect}: engine(
			func(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
				for port := range req.Plan().Ports().All() {
					select {
					case <-time.After(time.Second):
					case <-ctx.Done():
						return nil
					}
					for range req.Addresses() {
						s.tried = s.tried.Union(scan.NewPortSet(port))
						report(scan.PortResult{Address: theHost, Port: port, State: scan.Closed, Cause: scan.CauseRST, Attempts: 1})
					}
				}
				return nil
			})},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(file, []scan.Task{one}); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSweepGoesOn ends the program in the middle of a sweep.
func TestSweepGoesOn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		down  time.Duration // how long the program does not run
		tried string        // by the second one
	}{
		"at once":  {0, "21-40"},
		"in time":  {20 * time.Second, "21-40"},
		"too late": {60 * time.Second, "1-40"},
	} {
		synctest.Test(t, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "state.json")
			one := taskOf(t, "1-40")
			spec := one.Plan.Spec()
			spec.Timeout = 75 * time.Second
			var err error
			if one.Plan, err = scan.NewPlan(spec); err != nil {
				t.Fatal(err)
			}
			one.MaxAge = time.Hour
			ask := func(s *slow, d time.Duration) coordinator.Answer {
				t.Helper()
				a, err := s.Scan(within(t, d), one)
				if err != nil {
					t.Fatal(err)
				}
				return a
			}
			first := newSlow(t, file, one)
			begun := time.Now()
			ask(first, 20500*time.Millisecond)
			first.Close()
			time.Sleep(c.down)
			second := newSlow(t, file, one)
			defer second.Close()
			again := time.Now()
			a := ask(second, time.Minute)
			if got := second.tried.String(); got != c.tried || !a.Result.Success() {
				t.Errorf("%s: %s were tried, want %s; success %v, %v", name, got, c.tried, a.Result.Success(), a.Result.Failed)
			}
			want := begun
			if name == "too late" {
				want = again
			}
			if !a.Result.Started.Equal(want) || a.Result.Attempts != 40 {
				t.Errorf("%s: the scan began at %v, want %v, and took %d attempts", name, a.Result.Started, want, a.Result.Attempts)
			}
			if a = ask(second, time.Second); !a.Retained {
				t.Errorf("%s: it is not retained", name)
			}
		})
	}
}

// TestKilledSweepGoesOn kills the program in the middle of a sweep: what was found until
// the last minute is not tried again.
func TestKilledSweepGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		file, killed := filepath.Join(folder, "state.json"), filepath.Join(folder, "killed.json")
		one := taskOf(t, "1-200")
		spec := one.Plan.Spec()
		spec.Timeout = 10 * time.Minute
		var err error
		if one.Plan, err = scan.NewPlan(spec); err != nil {
			t.Fatal(err)
		}
		one.MaxAge = time.Hour
		first := newSlow(t, file, one)
		defer first.Close()
		if _, err := first.Scan(within(t, 150*time.Second), one); err != nil {
			t.Fatal(err)
		}
		copyFile(t, file, killed)
		second := newSlow(t, killed, one)
		defer second.Close()
		a, err := second.Scan(within(t, 5*time.Minute), one)
		if err != nil || !a.Result.Success() || second.tried.Contains(118) || !second.tried.Contains(121) {
			t.Errorf("%v were tried; %v, %v", second.tried, a.Result, err)
		}
	})
}

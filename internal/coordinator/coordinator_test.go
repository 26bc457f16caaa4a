// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// resolver answers every task with the same addresses.
type resolver struct {
	addrs  []string
	failed map[scan.Failure]error
	wait   time.Duration
}

func (r resolver) Resolve(ctx context.Context, _ scan.Task) ([]scan.Address, map[scan.Failure]error) {
	select {
	case <-time.After(r.wait):
	case <-ctx.Done():
		return nil, map[scan.Failure]error{scan.FailedDNS: ctx.Err()}
	}
	var found []scan.Address
	for _, a := range r.addrs {
		found = append(found, scan.Address{IP: netip.MustParseAddr(a), Hosts: []string{a}})
	}
	return found, r.failed
}

// engine is a scanner made of a function.
type engine func(ctx context.Context, req scan.Request, report func(scan.PortResult)) error

func (e engine) Scan(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
	return e(ctx, req, report)
}

// closedAfter reports every port closed after some time, or nothing if ctx ends
// before.
func closedAfter(d time.Duration) engine {
	return func(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return nil
		}
		for _, a := range req.Addresses() {
			for p := range req.Plan().Ports().All() {
				report(scan.PortResult{Address: a.IP, Port: p, State: scan.Closed, Cause: scan.CauseRST, Attempts: 1})
			}
		}
		return nil
	}
}

func task(tb testing.TB) scan.Task {
	tb.Helper()
	plan, err := scan.NewPlan(scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Ports: scan.NewPortSet(1, 2, 3),
		Timeout: time.Second, PortTimeout: time.Second, MaxInFlight: 1,
	})
	if err != nil {
		tb.Fatal(err)
	}
	scope, err := scan.NewScope([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, []netip.Prefix{netip.MustParsePrefix("192.0.2.9/32")})
	if err != nil {
		tb.Fatal(err)
	}
	return scan.Task{Target: "t", Module: "m", Plan: plan, Scope: scope, MaxAddresses: 10}
}

func newCoordinator(t *testing.T, r coordinator.Resolver, e scan.Scanner, maxScans int) *coordinator.Coordinator {
	t.Helper()
	c, err := coordinator.New(coordinator.Options{
		Resolver: r, MaxScans: maxScans, Logger: slog.New(slog.DiscardHandler),
		Engines: map[coordinator.Kind]scan.Scanner{{Protocol: scan.TCP, Method: scan.Connect}: e},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAllowedAtTheStart has a task wait for a place while it ceases to be allowed, or
// becomes another one.
func TestAllowedAtTheStart(t *testing.T) {
	t.Parallel()
	forbidden := errors.New("no more")
	for name, allow := range map[string]func(scan.Task) (scan.Task, error){
		"forbidden": func(scan.Task) (scan.Task, error) { return scan.Task{}, forbidden },
		"changed":   func(task scan.Task) (scan.Task, error) { task.Module = "changed"; return task, nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			seen := make(chan string, 2)
			first := true
			c, err := coordinator.New(coordinator.Options{
				Resolver: resolver{addrs: []string{"192.0.2.1"}}, MaxScans: 1, Logger: slog.New(slog.DiscardHandler),
				Engines: map[coordinator.Kind]scan.Scanner{{Protocol: scan.TCP, Method: scan.Connect}: closedAfter(100 * time.Millisecond)},
				Observe: func(module string, _ *scan.Result) { seen <- module },
				Allow: func(task scan.Task) (scan.Task, error) {
					if first {
						first = false
						return task, nil
					}
					return allow(task)
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			begun := make(chan struct{})
			go func() { close(begun); _, _ = c.Scan(within(t, time.Second), task(t)) }()
			<-begun
			synctest.Wait()
			second := task(t)
			second.Target = "another"
			_, err = c.Scan(within(t, time.Second), second)
			if name == "forbidden" && !errors.Is(err, forbidden) {
				t.Errorf("it was scanned all the same: %v", err)
			}
			if got := <-seen; got != "m" {
				t.Errorf("the first was %s", got)
			}
			if name == "changed" {
				if got := <-seen; err != nil || got != "changed" {
					t.Errorf("the second was %s, %v", got, err)
				}
			}
			if c.InFlight() != 0 {
				t.Errorf("%d are in flight", c.InFlight())
			}
		})
	}
}

// TestRefusedAddressesAreToldOnce has names lead outside, elsewhere, nowhere and back.
func TestRefusedAddressesAreToldOnce(t *testing.T) {
	t.Parallel()
	var told bytes.Buffer
	r := &resolver{}
	c, err := coordinator.New(coordinator.Options{
		Resolver: r, MaxScans: 1, Logger: slog.New(slog.NewTextHandler(&told, nil)),
		Engines: map[coordinator.Kind]scan.Scanner{{Protocol: scan.TCP, Method: scan.Connect}: closedAfter(0)},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, step := range []struct {
		addrs  []string
		failed map[scan.Failure]error
		want   string
	}{
		{[]string{"192.0.2.1"}, nil, ""},
		{[]string{"192.0.2.1", "198.51.100.1"}, nil, "198.51.100.1"},
		{[]string{"198.51.100.1"}, nil, ""},
		{[]string{"198.51.100.2"}, nil, "198.51.100.2"},
		{nil, map[scan.Failure]error{scan.FailedDNS: errors.New("no answer")}, ""},
		{[]string{"198.51.100.2"}, nil, ""},
		{[]string{"192.0.2.1"}, nil, "again"},
		{[]string{"192.0.2.1"}, nil, ""},
	} {
		told.Reset()
		r.addrs, r.failed = step.addrs, step.failed
		mustScan(within(t, time.Second), t, c)
		if got := told.String(); (step.want == "") != (got == "") || !strings.Contains(got, step.want) {
			t.Errorf("%v, %v: it says %q, want %q", step.addrs, step.failed, got, step.want)
		}
	}
}

func within(tb testing.TB, d time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), d)
	tb.Cleanup(cancel)
	return ctx
}

func mustScan(ctx context.Context, t *testing.T, c *coordinator.Coordinator) *scan.Result {
	t.Helper()
	a, err := c.Scan(ctx, task(t))
	if err != nil {
		t.Fatal(err)
	}
	return a.Result
}

func TestScanWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCoordinator(t, resolver{addrs: []string{"192.0.2.1", "192.0.2.2"}, wait: 20 * time.Millisecond}, closedAfter(100*time.Millisecond), 1)
		defer c.Close()
		r := mustScan(within(t, time.Second), t, c)
		if !r.Success() || len(r.Addresses) != 2 || r.Attempts != 6 {
			t.Errorf("success %v, %d addresses, %d attempts", r.Success(), len(r.Addresses), r.Attempts)
		}
		if r.Lookup != 20*time.Millisecond || r.Finished.Sub(r.Started) != 120*time.Millisecond {
			t.Errorf("lookup took %v, scan %v", r.Lookup, r.Finished.Sub(r.Started))
		}
		if c.InFlight() != 0 {
			t.Errorf("%d scans in flight afterwards", c.InFlight())
		}
	})
}

func TestDeadlineGivesWhatIsKnown(t *testing.T) {
	t.Parallel()
	stubborn := engine(func(_ context.Context, req scan.Request, report func(scan.PortResult)) error {
		report(scan.PortResult{Address: req.Addresses()[0].IP, Port: 2, State: scan.Open, Cause: scan.CauseHandshake, Attempts: 1})
		time.Sleep(time.Hour) // whatever its context says
		return nil
	})
	for name, e := range map[string]engine{"stubborn": stubborn, "obedient": closedAfter(time.Hour)} {
		synctest.Test(t, func(t *testing.T) {
			c := newCoordinator(t, resolver{addrs: []string{"192.0.2.1"}}, e, 1)
			begun := time.Now()
			r := mustScan(within(t, time.Second), t, c)
			if took := time.Since(begun); took > time.Second {
				t.Errorf("%s: answered after %v, with a deadline of 1s", name, took)
			}
			want := map[string]int{"stubborn": 2, "obedient": 3}[name]
			if got := r.Addresses[0].UnknownByCause()[scan.CauseDeadline]; got != want || r.Success() || len(r.Failed) != 0 {
				t.Errorf("%s: %d ports unknown for the deadline, want %d; success %v, failed %v", name, got, want, r.Success(), r.Failed)
			}
			c.Close()
		})
	}
}

// others returns tasks for so many targets, which share no scan.
func others(t *testing.T, n int) (all []scan.Task) {
	t.Helper()
	for i := range n {
		one := task(t)
		one.Target = strconv.Itoa(i)
		all = append(all, one)
	}
	return all
}

// TestStubbornScanKeepsItsPlace holds the place of a scan whose probe has left
// until its engine is home: it still costs what a scan costs.
func TestStubbornScanKeepsItsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stubborn := engine(func(context.Context, scan.Request, func(scan.PortResult)) error {
			time.Sleep(10 * time.Second)
			return nil
		})
		c := newCoordinator(t, resolver{addrs: []string{"192.0.2.1"}}, stubborn, 1)
		defer c.Close()
		mustScan(within(t, time.Second), t, c)
		if _, err := c.Scan(within(t, time.Second), task(t)); !errors.Is(err, coordinator.ErrBusy) {
			t.Errorf("a second scan beside a limit of 1: %v", err)
		}
		time.Sleep(9 * time.Second)
		mustScan(within(t, time.Second), t, c)
	})
}

func TestWaitsForAPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCoordinator(t, resolver{addrs: []string{"192.0.2.1"}}, closedAfter(300*time.Millisecond), 1)
		defer c.Close()
		var whole atomic.Int64
		for _, one := range others(t, 3) {
			go func() {
				if a, err := c.Scan(within(t, time.Second), one); err == nil && a.Result.Success() {
					whole.Add(1)
				}
			}()
		}
		time.Sleep(2 * time.Second)
		if whole.Load() != 3 {
			t.Errorf("%d of 3 scans got their place in time", whole.Load())
		}
		c.SetMaxScans(2)
		begun := time.Now()
		go func() { _, _ = c.Scan(within(t, time.Second), others(t, 1)[0]) }()
		mustScan(within(t, time.Second), t, c)
		if took := time.Since(begun); took != 300*time.Millisecond {
			t.Errorf("two scans beside a limit of 2 took %v", took)
		}
	})
}

func TestRefusedAddresses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCoordinator(t, resolver{addrs: []string{"192.0.2.1", "198.51.100.1"}}, closedAfter(0), 1)
		defer c.Close()
		r := mustScan(within(t, time.Second), t, c)
		if len(r.Addresses) != 1 || len(r.Refused) != 1 || r.Failed[scan.FailedAddressRefused] == nil || r.Success() {
			t.Errorf("%d addresses, %d refused, failed %v, success %v", len(r.Addresses), len(r.Refused), r.Failed, r.Success())
		}
	})
}

func TestFailures(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, tc := range map[string]struct {
		resolver resolver
		engine   engine
		want     scan.Failure
		unknown  scan.Cause // of the ports of an address that was to be scanned
	}{
		"dns":       {resolver{failed: map[scan.Failure]error{scan.FailedDNS: broken}}, closedAfter(0), scan.FailedDNS, 0},
		"slow dns":  {resolver{wait: time.Hour}, closedAfter(0), scan.FailedDNS, 0},
		"too many":  {resolver{failed: map[scan.Failure]error{scan.FailedTooManyAddresses: broken}}, closedAfter(0), scan.FailedTooManyAddresses, 0},
		"excluded":  {resolver{addrs: []string{"192.0.2.9"}}, closedAfter(0), scan.FailedDNS, 0},
		"an error":  {resolver{addrs: []string{"192.0.2.1"}}, func(context.Context, scan.Request, func(scan.PortResult)) error { return broken }, scan.FailedInternal, scan.CauseInternal},
		"a panic":   {resolver{addrs: []string{"192.0.2.1"}}, func(context.Context, scan.Request, func(scan.PortResult)) error { panic("broken") }, scan.FailedInternal, scan.CauseInternal},
		"no engine": {resolver{addrs: []string{"192.0.2.1"}}, nil, scan.FailedInternal, scan.CauseInternal},
	} {
		synctest.Test(t, func(t *testing.T) {
			engines := map[coordinator.Kind]scan.Scanner{{Protocol: scan.TCP, Method: scan.Connect}: tc.engine}
			if tc.engine == nil {
				engines = map[coordinator.Kind]scan.Scanner{{Protocol: scan.UDP, Method: scan.Connect}: closedAfter(0)}
			}
			var observed *scan.Result
			c, err := coordinator.New(coordinator.Options{
				Resolver: tc.resolver, MaxScans: 1, Logger: slog.New(slog.DiscardHandler), Engines: engines,
				Observe: func(_ string, r *scan.Result) { observed = r },
			})
			if err != nil {
				t.Fatal(err)
			}
			r := mustScan(within(t, time.Second), t, c)
			c.Close()
			if r.Failed[tc.want] == nil || len(r.Failed) != 1 || r.Success() {
				t.Errorf("%s: failed %v, success %v; want %v", name, r.Failed, r.Success(), tc.want)
			}
			if observed == nil || observed.Success() {
				t.Errorf("%s: the observer was told %v", name, observed)
			}
			for i := range r.Addresses {
				if got := r.Addresses[i].UnknownByCause()[tc.unknown]; got != 3 {
					t.Errorf("%s: %d ports unknown for %v", name, got, tc.unknown)
				}
			}
		})
	}
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCoordinator(t, resolver{addrs: []string{"192.0.2.1"}}, closedAfter(time.Hour), 1)
		time.AfterFunc(500*time.Millisecond, c.Interrupt)
		begun := time.Now()
		r := mustScan(within(t, time.Minute), t, c)
		if took := time.Since(begun); took != 500*time.Millisecond {
			t.Errorf("answered %v after the start, interrupted after 500ms", took)
		}
		if r.Failed[scan.FailedCanceled] == nil || r.Addresses[0].Count(scan.Unknown) != 3 {
			t.Errorf("failed %v, %d ports unknown", r.Failed, r.Addresses[0].Count(scan.Unknown))
		}
		if _, err := c.Scan(within(t, time.Second), task(t)); !errors.Is(err, coordinator.ErrClosing) {
			t.Errorf("a scan after the end: %v", err)
		}
		c.Close()
		c.Close() // once more does no harm
	})
}

func TestClientGoesAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCoordinator(t, resolver{addrs: []string{"192.0.2.1"}}, closedAfter(time.Hour), 1)
		defer c.Close()
		ctx, cancel := context.WithCancel(within(t, time.Minute))
		time.AfterFunc(500*time.Millisecond, cancel)
		r := mustScan(ctx, t, c)
		if r.Failed[scan.FailedCanceled] == nil {
			t.Errorf("failed %v, want canceled", r.Failed)
		}
		synctest.Wait()
		if c.InFlight() != 0 {
			t.Error("its place was not given back at once")
		}
	})
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	whole := coordinator.Options{
		Resolver: resolver{}, MaxScans: 1, Logger: slog.New(slog.DiscardHandler),
		Engines: map[coordinator.Kind]scan.Scanner{{}: closedAfter(0)},
	}
	for name, breakIt := range map[string]func(*coordinator.Options){
		"resolver": func(o *coordinator.Options) { o.Resolver = nil },
		"engines":  func(o *coordinator.Options) { o.Engines = nil },
		"logger":   func(o *coordinator.Options) { o.Logger = nil },
		"places":   func(o *coordinator.Options) { o.MaxScans = 0 },
	} {
		o := whole
		breakIt(&o)
		if _, err := coordinator.New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

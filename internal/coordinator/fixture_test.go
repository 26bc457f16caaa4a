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
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/store"
)

var (
	firstAddr  = netip.MustParseAddr("192.0.2.1")
	secondAddr = netip.MustParseAddr("192.0.2.2")
)

// resolver resolves every task to the same addresses, or to its only address.
type resolver struct {
	addrs  []string
	failed map[scan.Failure]error
	wait   time.Duration

	fullName string              // of all addresses
	ask      func(time.Duration) // gets the time for the lookups; nil: none
}

func (r resolver) Resolve(ctx context.Context, task scan.Task) ([]scan.Address, map[scan.Failure]error) {
	if deadline, ok := ctx.Deadline(); ok && r.ask != nil {
		r.ask(time.Until(deadline))
	}
	select {
	case <-time.After(r.wait):
	case <-ctx.Done():
		return nil, map[scan.Failure]error{scan.FailedDNS: ctx.Err()}
	}
	if task.Addr.IsValid() {
		return []scan.Address{{IP: task.Addr, Hosts: []string{task.Asked}}}, nil
	}
	var found []scan.Address
	for _, a := range r.addrs {
		found = append(found, scan.Address{IP: netip.MustParseAddr(a), Hosts: []string{a}, FullName: r.fullName})
	}
	return found, r.failed
}

// engine is a scanner made of a function.
type engine func(ctx context.Context, req scan.Request, report func(scan.PortResult)) error

func (e engine) Scan(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
	return e(ctx, req, report)
}

// closedPort returns the result of a port that answered with RST.
func closedPort(ip netip.Addr, port uint16) scan.PortResult {
	return scan.PortResult{Address: ip, Port: port, State: scan.Closed, Cause: scan.CauseRST, Attempts: 1, LastResponse: time.Now()}
}

// openPort returns the result of a port that accepted a connection.
func openPort(ip netip.Addr, port uint16) scan.PortResult {
	r := closedPort(ip, port)
	r.State, r.Cause = scan.Open, scan.CauseHandshake
	return r
}

// noRoute returns the result of a port to which there was no route.
func noRoute(ip netip.Addr, port uint16) scan.PortResult {
	return scan.PortResult{Address: ip, Port: port, State: scan.Unknown, Cause: scan.CauseNoRoute, Attempts: 1}
}

// closedAfter reports all ports closed after d, or none if ctx ends earlier.
func closedAfter(d time.Duration) engine {
	return func(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return nil
		}
		for _, a := range req.Addresses() {
			for port := range req.Plan().Ports().All() {
				report(closedPort(a.IP, port))
			}
		}
		return nil
	}
}

// openThenClosedAfter reports port 1 of the first address open at once, and all ports closed
// after d.
func openThenClosedAfter(d time.Duration) engine {
	return func(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
		report(openPort(req.Addresses()[0].IP, 1))
		return closedAfter(d)(ctx, req, report)
	}
}

// ignoringContext reports nothing and returns after d, even if ctx ends earlier.
func ignoringContext(d time.Duration) engine {
	return func(context.Context, scan.Request, func(scan.PortResult)) error {
		time.Sleep(d)
		return nil
	}
}

// setup has the options of a coordinator under test. The zero value has a resolver for one
// address, one slot, a new store and an engine that reports all ports closed at once.
type setup struct {
	resolver coordinator.Resolver
	engine   engine
	maxScans int
	store    *store.Store
	allow    func(scan.Task) (scan.Task, error)
	observe  func(coordinator.Event)
}

// fixture is a coordinator under test, with counts of what it did.
type fixture struct {
	*coordinator.Coordinator

	store    *store.Store
	log      safeLog
	scans    atomic.Int64 // calls of the engine
	attempts atomic.Int64 // that the engine reported
	joined   atomic.Int64

	mu    sync.Mutex
	ended []coordinator.Event
}

func (s setup) start(tb testing.TB) *fixture {
	tb.Helper()
	f := &fixture{store: s.store}
	logger := slog.New(slog.NewTextHandler(&f.log, nil))
	if f.store == nil {
		f.store = newStore(tb)
	}
	var resolves coordinator.Resolver = resolver{addrs: []string{"192.0.2.1"}}
	if s.resolver != nil {
		resolves = s.resolver
	}
	scans := closedAfter(0)
	if s.engine != nil {
		scans = s.engine
	}
	var allow func(context.Context, scan.Task) (scan.Task, error)
	if s.allow != nil {
		allow = func(_ context.Context, task scan.Task) (scan.Task, error) { return s.allow(task) }
	}
	var err error
	f.Coordinator, err = coordinator.New(coordinator.Options{
		Resolver: resolves, MaxScans: max(1, s.maxScans), Logger: logger, Store: f.store, Allow: allow, Keep: s.allow,
		Engines: map[coordinator.Kind]scan.Scanner{{Protocol: scan.TCP, Method: scan.Connect}: engine(
			func(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
				f.scans.Add(1)
				return scans(ctx, req, func(p scan.PortResult) {
					f.attempts.Add(int64(p.Attempts))
					report(p)
				})
			})},
		Joined: func(string) { f.joined.Add(1) },
		Observe: func(e coordinator.Event) {
			f.mu.Lock()
			f.ended = append(f.ended, e)
			f.mu.Unlock()
			if s.observe != nil {
				s.observe(e)
			}
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func newStore(tb testing.TB) *store.Store {
	tb.Helper()
	s, err := store.New(slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// isComplete reports whether the newest scan of the answer has a state for all ports and did not fail.
func isComplete(a coordinator.Answer) bool {
	if a.View != nil {
		return a.View.Complete()
	}
	return a.Result.Success()
}

// unverified returns the numbers of ports that the newest scan does not know.
func unverified(a coordinator.Answer) map[scan.Cause]int {
	if a.View != nil {
		return a.View.Unverified
	}
	return a.Result.UnknownByCause()
}

// events returns the events of scans so far.
func (f *fixture) events() []coordinator.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]coordinator.Event(nil), f.ended...)
}

// wantScans checks the number of calls of the engine and the number of probes that joined.
func (f *fixture) wantScans(t *testing.T, scans, joined int64) {
	t.Helper()
	if f.scans.Load() != scans || f.joined.Load() != joined {
		t.Errorf("got %d scans and %d probes that joined, want %d and %d", f.scans.Load(), f.joined.Load(), scans, joined)
	}
}

// mustScan sends a probe with a deadline and returns its answer.
func (f *fixture) mustScan(t *testing.T, d time.Duration, one scan.Task) coordinator.Answer {
	t.Helper()
	a, err := f.Scan(within(t, d), one, coordinator.Client{})
	if err != nil {
		t.Fatalf("Scan(%s) = %v, want nil error", one.Target, err)
	}
	return a
}

// wantError sends a probe with a deadline and checks its error.
func (f *fixture) wantError(t *testing.T, d time.Duration, one scan.Task, want error) {
	t.Helper()
	if _, err := f.Scan(within(t, d), one, coordinator.Client{}); !errors.Is(err, want) {
		t.Errorf("Scan(%s) = %v, want %v", one.Target, err, want)
	}
}

// safeLog is a buffer that several goroutines may use.
type safeLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// take returns the text and clears it.
func (l *safeLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

func within(tb testing.TB, d time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), d)
	tb.Cleanup(cancel)
	return ctx
}

// newTask returns a task of ports 1 to 3 without a max_age and with a timeout of 1 s.
func newTask(tb testing.TB) scan.Task {
	tb.Helper()
	scope, err := scan.NewScope([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, []netip.Prefix{netip.MustParsePrefix("192.0.2.9/32")})
	if err != nil {
		tb.Fatal(err)
	}
	plan, err := scan.NewPlan(scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Ports: scan.NewPortSet(1, 2, 3),
		Timeout: time.Second, PortTimeout: time.Second, MaxInFlight: 1, MaxOpenAttempts: 3, ControlPorts: 2,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return scan.Task{Asked: "t", Target: "t", Module: "m", Plan: plan, Scope: scope, MaxAddresses: 10}
}

// newSweep returns a task with a max_age and a timeout.
func newSweep(tb testing.TB, ports string, maxAge, timeout time.Duration) scan.Task {
	tb.Helper()
	one := withPorts(tb, newTask(tb), ports)
	spec := one.Plan.Spec()
	spec.Timeout = timeout
	var err error
	if one.Plan, err = scan.NewPlan(spec); err != nil {
		tb.Fatal(err)
	}
	one.MaxAge = maxAge
	return one
}

// minuteSweep returns a task of ports 1 to 3 with a max_age of 1 min and a timeout of 50 s.
func minuteSweep(tb testing.TB) scan.Task {
	tb.Helper()
	return newSweep(tb, "1-3", time.Minute, 50*time.Second)
}

func withPorts(tb testing.TB, one scan.Task, ports string) scan.Task {
	tb.Helper()
	spec := one.Plan.Spec()
	var err error
	if spec.Ports, err = scan.ParsePortSet(ports); err != nil {
		tb.Fatal(err)
	}
	if one.Plan, err = scan.NewPlan(spec); err != nil {
		tb.Fatal(err)
	}
	return one
}

// forTarget returns the task for another target.
func forTarget(one scan.Task, name string) scan.Task {
	one.Asked, one.Target = name, name
	return one.ResetDigest()
}

// numbered returns the task for n other targets.
func numbered(one scan.Task, n int) (all []scan.Task) {
	for i := range n {
		all = append(all, forTarget(one, strconv.Itoa(i)))
	}
	return all
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// host is a host whose ports the test opens and closes, the coordinator that scans it,
// and the log.
type host struct {
	*coordinator.Coordinator

	states  map[uint16]scan.State // those that are not closed
	watched scan.PortSet          // by the last scan
	log     safeLog
	task    scan.Task
}

// safeLog is a text that is written to from several goroutines.
type safeLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// take returns the text, and begins anew.
func (l *safeLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

func newHost(t *testing.T, ports string) *host {
	t.Helper()
	h := &host{states: make(map[uint16]scan.State), task: taskOf(t, ports)}
	h.build(t)
	return h
}

func (h *host) build(t *testing.T) {
	t.Helper()
	var err error
	h.Coordinator, err = coordinator.New(coordinator.Options{
		Resolver: resolver{addrs: []string{"192.0.2.1"}}, MaxScans: 1,
		Logger:  slog.New(slog.NewTextHandler(&h.log, nil)),
		Engines: map[coordinator.Kind]scan.Scanner{{Protocol: scan.TCP, Method: scan.Connect}: engine(h.answer)},
		Allow:   func(scan.Task) (scan.Task, error) { return h.task, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
}

func taskOf(tb testing.TB, ports string) scan.Task {
	tb.Helper()
	one := task(tb)
	spec := one.Plan.Spec()
	var err error
	if spec.Ports, err = scan.ParsePortSet(ports); err != nil {
		tb.Fatal(err)
	}
	spec.Expect = &scan.Expectation{Open: scan.NewPortSet(1)}
	if one.Plan, err = scan.NewPlan(spec); err != nil {
		tb.Fatal(err)
	}
	return one
}

func (h *host) answer(_ context.Context, req scan.Request, report func(scan.PortResult)) error {
	h.watched = scan.PortSet{}
	for port := range req.Plan().Ports().All() {
		if req.Plan().Watched(port) {
			h.watched = h.watched.Union(scan.NewPortSet(port))
		}
		r := scan.PortResult{Address: theHost, Port: port, State: scan.Closed, Cause: scan.CauseRST, Attempts: 1}
		if s, ok := h.states[port]; ok {
			r.State = s
			r.Cause = map[scan.State]scan.Cause{
				scan.Open: scan.CauseHandshake, scan.Filtered: scan.CauseSilence, scan.Unknown: scan.CauseNoRoute, scan.Closed: scan.CauseRST,
			}[s]
		}
		report(r)
	}
	return nil
}

var theHost = netip.MustParseAddr("192.0.2.1")

// scan scans with some ports in the state, and the others closed; it returns the answer
// and what was logged.
func (h *host) scan(t *testing.T, state scan.State, ports ...uint16) (coordinator.Answer, []string) {
	t.Helper()
	h.states = make(map[uint16]scan.State)
	for _, p := range ports {
		h.states[p] = state
	}
	return h.again(t)
}

func (h *host) again(t *testing.T) (coordinator.Answer, []string) {
	t.Helper()
	h.log.take()
	a, err := h.Scan(within(t, time.Second), h.task)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSpace(h.log.take())
	if text == "" {
		return a, nil
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		_, lines[i], _ = strings.Cut(line, "msg=")
	}
	return a, lines
}

func change(port int, from, to, expected string) string {
	return fmt.Sprintf(`"Port state changed" target=t module=m ip=192.0.2.1 port=%d protocol=tcp from=%s to=%s expected=%s`, port, from, to, expected)
}

// TestChanges follows ports through scans: what is told, and what is remembered.
func TestChanges(t *testing.T) {
	t.Parallel()
	h := newHost(t, "1-5")
	defer h.Close()
	for i, step := range []struct {
		state  scan.State
		ports  []uint16
		told   []string
		opened string
	}{
		{scan.Open, []uint16{1}, nil, "1"}, // nobody has seen it before
		{scan.Open, []uint16{1}, nil, "1"},
		{scan.Open, []uint16{1, 3}, []string{change(3, "closed", "open", "closed")}, "1,3"},
		{scan.Open, []uint16{3}, []string{change(1, "open", "closed", "open")}, "1,3"},
		{scan.Unknown, []uint16{3}, nil, "1,3"}, // nobody knows
		{scan.Open, []uint16{3}, nil, "1,3"},    // as before
		{scan.Unknown, []uint16{3}, nil, "1,3"},
		{scan.Closed, nil, []string{change(3, "open", "closed", "closed")}, "1,3"}, // it has closed in the meantime
		{scan.Filtered, []uint16{2, 4}, []string{change(2, "closed", "filtered", "closed"), change(4, "closed", "filtered", "closed")}, "1,3"},
	} {
		a, told := h.scan(t, step.state, step.ports...)
		if diff := cmp.Diff(step.told, told); diff != "" {
			t.Errorf("step %d tells (-want +got):\n%s", i, diff)
		}
		if got := a.Memory.Opened(theHost).String(); got != step.opened {
			t.Errorf("step %d: %s were open once, want %s", i, got, step.opened)
		}
		for port := range a.Result.Plan.Ports().All() {
			changed := strings.Contains(strings.Join(told, "\n"), fmt.Sprintf("port=%d ", port))
			if at, ok := a.Memory.LastChange(theHost, port); changed != (ok && at.Equal(a.Result.Finished)) {
				t.Errorf("step %d: port %d last changed at %v, %v; the scan ended at %v", i, port, at, ok, a.Result.Finished)
			}
		}
	}
	if h.watched.String() != "1,3" {
		t.Errorf("the last scan watched %v, want what is expected and what was open", h.watched)
	}
	var got []string
	for _, c := range h.Changes("t") {
		got = append(got, fmt.Sprintf("%d %v-%v", c.Port, c.From, c.To))
	}
	want := []string{"2 closed-filtered", "4 closed-filtered", "3 open-closed", "1 open-closed", "3 closed-open"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the history (-want +got):\n%s", diff)
	}
}

// TestAfterAnIncompleteScan has a port that an incomplete scan saw open.
func TestAfterAnIncompleteScan(t *testing.T) {
	t.Parallel()
	h := newHost(t, "1-5")
	defer h.Close()
	h.scan(t, scan.Closed)
	h.states = map[uint16]scan.State{2: scan.Open, 3: scan.Unknown}
	a, told := h.again(t)
	if len(told) != 0 || a.Memory.Opened(theHost).String() != "2" {
		t.Errorf("it tells %q, and remembers %v", told, a.Memory.Opened(theHost))
	}
	a, told = h.scan(t, scan.Closed)
	if len(told) != 0 || a.Memory.Opened(theHost).String() != "2" {
		t.Errorf("then it tells %q, and remembers %v", told, a.Memory.Opened(theHost))
	}
}

// TestFlapping has a port change in each of 100 scans.
func TestFlapping(t *testing.T) {
	t.Parallel()
	h := newHost(t, "1-5")
	defer h.Close()
	lines, flapping := 0, 0
	for i := range 101 {
		state := []scan.State{scan.Closed, scan.Open}[i%2]
		_, told := h.scan(t, state, 4)
		lines += len(told)
		flapping += strings.Count(strings.Join(told, ""), "flapping=")
	}
	a, _ := h.scan(t, scan.Open, 4)
	if at, ok := a.Memory.LastChange(theHost, 4); !ok || !at.Equal(a.Result.Finished) {
		t.Errorf("its last change was at %v, and not in the last scan", at)
	}
	if lines != 10 || flapping != 1 || len(h.Changes("t")) != 10 {
		t.Errorf("%d lines, %d that say that it flaps, %d changes kept; want 10, 1, 10", lines, flapping, len(h.Changes("t")))
	}
}

// TestManyChanges has a firewall come up, and a proxy that answers for every port.
func TestManyChanges(t *testing.T) {
	t.Parallel()
	h := newHost(t, "1-3000")
	defer h.Close()
	var all []uint16
	for p := uint16(1); p <= 3000; p++ {
		all = append(all, p)
	}
	h.scan(t, scan.Open, 1)
	if a, told := h.scan(t, scan.Open, all...); len(told) != 0 || a.Memory.Opened(theHost).String() != "1" {
		t.Errorf("of an address that is suspect it tells %d changes, and remembers %v", len(told), a.Memory.Opened(theHost))
	}
	h.states = make(map[uint16]scan.State)
	for _, p := range all {
		h.states[p] = scan.Filtered
	}
	a, told := h.again(t)
	if len(told) != 1001 || told[0] != change(1, "open", "filtered", "open") ||
		told[1000] != `"Omitted further port state changes" target=t module=m ports=2000` {
		t.Errorf("%d lines: %.1q", len(told), told)
	}
	if n := len(h.Changes("t")); n != 100 || h.Changes("t")[0].Port != 1 {
		t.Errorf("%d changes are kept, want 100, the open port's first: %+v", n, h.Changes("t")[0])
	}
	if _, ok := a.Memory.LastChange(theHost, 3000); ok {
		t.Error("of more than 1000 ports the last change is remembered")
	}
	for i := range 3 { // 1200 ports, no more than 500 at once
		var some []uint16
		for p := range uint16(400) {
			some = append(some, uint16(i)*400+p+10)
		}
		a, _ = h.scan(t, scan.Open, some...)
	}
	if opened := a.Memory.Opened(theHost); opened.Len() != 1000 || !opened.Contains(1209) || !opened.Contains(810) || opened.Contains(1) {
		t.Errorf("%d ports are remembered: %v", opened.Len(), opened)
	}
}

// TestManyFlappingPorts has ports change in each scan, all of them not too often.
func TestManyFlappingPorts(t *testing.T) {
	t.Parallel()
	h := newHost(t, "1-3000")
	defer h.Close()
	lines := 0
	for i := range 20 {
		h.states = make(map[uint16]scan.State)
		for p := range uint16(1000) {
			h.states[1+p+1000*uint16(i%3)] = scan.Filtered
		}
		_, told := h.again(t)
		lines += strings.Count(strings.Join(told, "\n"), "Port state changed")
	}
	if lines != 3000 {
		t.Errorf("%d lines, want 3000 for a target in an hour", lines)
	}
}

// TestProbeDuringASweep has a probe of an address come and go, cut short, while its
// whole target is scanned: the scan counts all the same.
func TestProbeDuringASweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		open := scan.Closed
		c := newCounted(t, 2, func(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
			if len(req.Plan().Ports().String()) > 1 {
				report(scan.PortResult{Address: theHost, Port: 2, State: open, Cause: map[scan.State]scan.Cause{scan.Open: scan.CauseHandshake, scan.Closed: scan.CauseRST}[open]})
			}
			select {
			case <-time.After(10 * time.Second):
			case <-ctx.Done():
				return nil
			}
			for _, p := range []uint16{1, 3} {
				report(scan.PortResult{Address: theHost, Port: p, State: scan.Closed, Cause: scan.CauseRST})
			}
			return nil
		}, nil)
		defer c.Close()
		whole := sweep(t)
		whole.MaxAge = time.Second
		whole.Asked = "t"
		sweepOnce := func() coordinator.Answer {
			t.Helper()
			a, err := c.Scan(within(t, 20*time.Second), whole)
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		sweepOnce()
		time.Sleep(5 * time.Second)
		open = scan.Open
		alone := task(t)
		alone.Asked, alone.Hosts = "192.0.2.1", []scan.Host{{Entry: "192.0.2.1", Network: netip.MustParsePrefix("192.0.2.1/32")}}
		go func() {
			time.Sleep(3 * time.Second)
			_, _ = c.Scan(within(t, time.Second), alone)
		}()
		a := sweepOnce()
		if at, ok := a.Memory.LastChange(theHost, 2); !ok || !at.Equal(a.Result.Finished) || a.Memory.Opened(theHost).String() != "2" {
			t.Errorf("the change of port 2 was seen at %v, %v, and %v were open", at, ok, a.Memory.Opened(theHost))
		}
	})
}

// TestReconfiguredMemory has a reload take ports, and then all, away.
func TestReconfiguredMemory(t *testing.T) {
	t.Parallel()
	h := newHost(t, "1-5")
	defer h.Close()
	h.scan(t, scan.Open, 2, 3)
	h.scan(t, scan.Closed)
	h.task = taskOf(t, "1-2,9")
	h.Reconfigured([]scan.Task{h.task})
	a, told := h.scan(t, scan.Open, 9)
	for _, c := range h.Changes("t") {
		if c.Port != 2 {
			t.Errorf("of port %d, which is scanned no more, it remembers a change", c.Port)
		}
	}
	if a.Memory.Opened(theHost).String() != "2,9" || len(told) != 0 {
		t.Errorf("with other ports it remembers %v, and tells %q", a.Memory.Opened(theHost), told)
	}
	if _, ok := a.Memory.LastChange(theHost, 3); ok {
		t.Error("the change of a port that is scanned no more is remembered")
	}
	if _, ok := a.Memory.LastChange(theHost, 2); !ok {
		t.Error("the change of a port that is still scanned is forgotten")
	}
	h.Reconfigured(nil)
	for _, c := range h.Changes("t") {
		t.Errorf("of a target that is gone it remembers %v", c)
	}
	if a, _ := h.scan(t, scan.Open, 2); !a.Memory.Opened(theHost).IsEmpty() {
		t.Errorf("of a target that is gone it learns %v", a.Memory.Opened(theHost))
	}
	h.Reconfigured([]scan.Task{h.task})
	if a, _ := h.scan(t, scan.Closed); !a.Memory.Opened(theHost).IsEmpty() {
		t.Errorf("of a target that is back it remembers %v", a.Memory.Opened(theHost))
	}
}

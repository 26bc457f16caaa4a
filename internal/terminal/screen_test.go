// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vbauerster/mpb/v8"
	"go.uber.org/goleak"

	"portscan_exporter/internal/scan"
)

// buffer may be used concurrently.
type buffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

func TestTally(t *testing.T) {
	t.Parallel()
	plan, err := scan.NewPlan(scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Timeout: 1, PortTimeout: 1, MaxInFlight: 1, MaxOpenAttempts: 3, ControlPorts: 2, Ports: scan.NewPortSet(1, 2, 3),
	})
	if err != nil {
		t.Fatal(err)
	}
	scope, err := scan.NewScope([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	req, _, err := scan.NewRequest(plan, scope, []scan.Address{{IP: ip4}, {IP: ip4.Next()}})
	if err != nil {
		t.Fatal(err)
	}
	var tally Tally
	now := time.Now()
	if got, want := tally.status(now, now.Add(time.Minute)), "resolving names"; got != want {
		t.Errorf("status() before the scan = %q, want %q", got, want)
	}
	failed := errors.New("failed")
	var reported []scan.PortResult
	engine := tally.Watch(scannerFunc(func(_ context.Context, _ scan.Request, report func(scan.PortResult)) error {
		report(scan.PortResult{Address: ip4, Port: 1, State: scan.Open})
		rest := scan.NewPortSet(2, 3)
		report(scan.PortResult{Address: ip4, Ports: &rest})
		return failed
	}))
	if err := engine.Scan(t.Context(), req, func(p scan.PortResult) { reported = append(reported, p) }); !errors.Is(err, failed) {
		t.Errorf("Scan() = %v, want the engine's error", err)
	}
	if len(reported) != 2 {
		t.Errorf("%d results reported, want 2", len(reported))
	}
	for after, want := range map[time.Duration]string{
		time.Second:      "3 of 6 ports, 1 open, 3/s, 1s left",
		30 * time.Second: "3 of 6 ports, 1 open, 0/s, at most 20s left", // at that rate it would take 30s
		time.Hour:        "3 of 6 ports, 1 open, 0/s, at most 0s left",
	} {
		if got := tally.status(tally.started.Load().Add(after), tally.started.Load().Add(50*time.Second)); got != want {
			t.Errorf("status() after %v = %q, want %q", after, got, want)
		}
	}
}

// TestTallyReportedAgain requires that ports which are reported again do not exceed the total.
func TestTallyReportedAgain(t *testing.T) {
	t.Parallel()
	var tally Tally
	now := time.Now()
	tally.started.Store(&now)
	tally.total.Store(3)
	all := scan.NewPortSet(1, 2, 3)
	tally.count(scan.PortResult{Address: ip4, Port: 1, State: scan.Closed, Cause: scan.CauseRST})
	tally.count(scan.PortResult{Address: ip4, Ports: &all, Cause: scan.CauseUnresponsive})
	if got, want := tally.status(now.Add(time.Second), now.Add(time.Minute)), "3 of 3 ports, 0 open, 3/s, 0s left"; got != want {
		t.Errorf("status() = %q, want %q", got, want)
	}
}

type scannerFunc func(context.Context, scan.Request, func(scan.PortResult)) error

func (f scannerFunc) Scan(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
	return f(ctx, req, report)
}

// TestScreenKeepsLines writes lines before, during and after a bar: none is lost.
func TestScreenKeepsLines(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
	var out buffer
	s := NewScreen(&out)
	log := func(line string) {
		if n, err := s.Write([]byte(line + "\n")); n != len(line)+1 || err != nil {
			t.Errorf("Write(%q) = %d, %v", line, n, err)
		}
	}
	var tally Tally
	log("before")
	hide := s.show("web", &tally, time.Now().Add(time.Hour), mpb.WithAutoRefresh())
	log("at once")
	for !strings.Contains(out.String(), "resolving names") {
		time.Sleep(10 * time.Millisecond)
	}
	log("beside the bar")
	now := time.Now()
	tally.total.Store(100)
	tally.done.Store(50)
	tally.started.Store(&now)
	for !strings.Contains(out.String(), "50 of 100 ports, 0 open, ") {
		time.Sleep(10 * time.Millisecond)
	}
	log("at the end")
	hide()
	log("after")
	for _, line := range []string{"before", "at once", "beside the bar", "at the end", "after"} {
		if strings.Count(out.String(), line+"\n") != 1 {
			t.Errorf("line %q appears %d times, want 1", line, strings.Count(out.String(), line))
		}
	}
}

// TestScreenNotTerminal shows a short scan on a terminal, and a long one on a file.
func TestScreenNotTerminal(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
	var out buffer
	s := NewScreen(&out)
	s.show("web", &Tally{}, time.Now().Add(time.Hour), mpb.WithAutoRefresh())()
	if out.String() != "" {
		t.Errorf("output = %q, want none", out.String())
	}
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	hide := NewScreen(file).Show("web", &Tally{}, time.Now().Add(time.Hour))
	time.Sleep(500 * time.Millisecond) // longer than the delay of a bar
	hide()
	if info, err := file.Stat(); err != nil || info.Size() > 0 {
		t.Errorf("%d bytes in the file, %v, want none", info.Size(), err)
	}
	if Colorful(file) || Colorful(&out) {
		t.Error("Colorful() = true for a file")
	}
}

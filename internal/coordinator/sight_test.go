// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// pair is a target of two addresses whose ports the test sets, and the coordinator that
// scans it.
type pair struct {
	*coordinator.Coordinator

	task   scan.Task
	states map[string]scan.State // by address and port, as in "192.0.2.1:80"; the others are closed
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{task: taskOf(t, "1-3"), states: make(map[string]scan.State)}
	p.task.Asked = "t"
	p.task.Hosts = hosts("192.0.2.1", "192.0.2.2")
	p.build(t)
	return p
}

func hosts(all ...string) (h []scan.Host) {
	for _, a := range all {
		ip := netip.MustParseAddr(a)
		h = append(h, scan.Host{Entry: a, Network: netip.PrefixFrom(ip, ip.BitLen())})
	}
	return h
}

// byHosts resolves a task to what its hosts say in numbers.
type byHosts struct{}

func (byHosts) Resolve(_ context.Context, task scan.Task) (found []scan.Address, _ map[scan.Failure]error) {
	for _, h := range task.Hosts {
		found = append(found, scan.Address{IP: h.Network.Addr(), Hosts: []string{h.Entry}})
	}
	return found, nil
}

func (p *pair) build(t *testing.T) {
	t.Helper()
	var err error
	p.Coordinator, err = coordinator.New(coordinator.Options{
		Resolver: byHosts{}, MaxScans: 1, Logger: slog.New(slog.DiscardHandler),
		Engines: map[coordinator.Kind]scan.Scanner{{Protocol: scan.TCP, Method: scan.Connect}: engine(p.answer)},
		Allow: func(asked scan.Task) (scan.Task, error) {
			now := p.task
			if asked.Asked != "t" {
				now = p.alone(asked.Asked)
			}
			return now, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// alone is the task of one address.
func (p *pair) alone(addr string) scan.Task {
	one := p.task
	one.Asked, one.Hosts = addr, hosts(addr)
	return one
}

func (p *pair) answer(_ context.Context, req scan.Request, report func(scan.PortResult)) error {
	for _, a := range req.Addresses() {
		for port := range req.Plan().Ports().All() {
			r := scan.PortResult{Address: a.IP, Port: port, State: scan.Closed, Cause: scan.CauseRST, Attempts: 1, RTT: time.Millisecond}
			switch p.states[netip.AddrPortFrom(a.IP, port).String()] {
			case scan.Open:
				r.State, r.Cause = scan.Open, scan.CauseHandshake
			case scan.Unknown:
				if _, ok := p.states[netip.AddrPortFrom(a.IP, port).String()]; ok {
					r.State, r.Cause, r.RTT = scan.Unknown, scan.CauseNoRoute, 0
				}
			default:
			}
			report(r)
		}
	}
	return nil
}

// scan scans the task with these ports open.
func (p *pair) scan(t *testing.T, task scan.Task, open ...string) coordinator.Answer {
	t.Helper()
	p.states = make(map[string]scan.State)
	for _, o := range open {
		p.states[o] = scan.Open
	}
	return p.again(t, task)
}

func (p *pair) again(t *testing.T, task scan.Task) coordinator.Answer {
	t.Helper()
	a, err := p.Scan(within(t, time.Second), task)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// text is what the sights say, a line for each address.
func (p *pair) text(target string) (lines []string) {
	for _, s := range p.Sights(target) {
		head := fmt.Sprintf("%s/%s success=%v", s.Target, s.Module, s.Success())
		if s.Gone > 0 {
			head += fmt.Sprintf(" gone=%d", s.Gone)
		}
		if s.Others {
			head += " others"
		}
		lines = append(lines, head)
		for _, a := range s.Addresses {
			line := fmt.Sprintf("%v of %s: open %v, unexpected %v, missing %v, unknown %v, opened %v;", a.IP, strings.Join(a.Hosts, " "),
				a.States[scan.Open], a.Unexpected, a.Missing, a.States[scan.Unknown], a.Opened)
			line = strings.NewReplacer(" ,", " -,", " ;", " -", ";", "").Replace(line)
			lines = append(lines, line)
		}
	}
	return lines
}

func (p *pair) want(t *testing.T, what string, lines ...string) {
	t.Helper()
	if diff := cmp.Diff(lines, p.text("t")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
	if diff := cmp.Diff(lines, p.text("")); diff != "" {
		t.Errorf("%s, of all targets (-want +got):\n%s", what, diff)
	}
}

// TestSights scans a target whole, one address of it, and again when little can be
// learnt.
func TestSights(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	defer p.Close()
	p.scan(t, p.alone("192.0.2.1"), "192.0.2.1:1")
	p.want(t, "one address alone", "t/m success=false others",
		"192.0.2.1 of 192.0.2.1: open 1, unexpected -, missing -, unknown -, opened 1")

	whole := p.scan(t, p.task, "192.0.2.1:1", "192.0.2.1:3", "192.0.2.2:2")
	p.want(t, "the whole target", "t/m success=true",
		"192.0.2.1 of 192.0.2.1: open 1,3, unexpected 3, missing -, unknown -, opened 1,3",
		"192.0.2.2 of 192.0.2.2: open 2, unexpected 2, missing 1, unknown -, opened 2")
	s := p.Sights("t")[0]
	if !s.Finished.Equal(whole.Result.Finished) || !s.Started.Equal(whole.Result.Started) {
		t.Errorf("it began at %v and ended at %v, want those of the scan", s.Started, s.Finished)
	}
	a := s.Addresses[0]
	if d := a.Details[3]; d.State != scan.Open || d.Cause != scan.CauseHandshake || d.RTT != time.Millisecond || !a.Responding || a.Suspect {
		t.Errorf("of port 3 it says %+v; responding %v, suspect %v", d, a.Responding, a.Suspect)
	}
	if at, ok := a.LastChange(3); !ok || !at.Equal(whole.Result.Finished) {
		t.Errorf("port 3, closed when its address was scanned alone, changed at %v, %v", at, ok)
	}
	if _, ok := a.LastChange(1); ok {
		t.Error("port 1 is said to have changed")
	}

	one := p.scan(t, p.alone("192.0.2.1"), "192.0.2.1:1", "192.0.2.2:1")
	p.want(t, "after a probe of one address", "t/m success=true",
		"192.0.2.1 of 192.0.2.1: open 1, unexpected -, missing -, unknown -, opened 1,3",
		"192.0.2.2 of 192.0.2.2: open 2, unexpected 2, missing 1, unknown -, opened 2")
	s = p.Sights("t")[0]
	if !s.Finished.Equal(whole.Result.Finished) || !s.Addresses[0].Finished.Equal(one.Result.Finished) || !s.Addresses[1].Finished.Equal(whole.Result.Finished) {
		t.Error("the times are not those of the scans")
	}
	if at, ok := s.Addresses[0].LastChange(3); !ok || !at.Equal(one.Result.Finished) {
		t.Errorf("port 3 changed at %v, %v", at, ok)
	}
	if a.States[scan.Open].String() != "1,3" {
		t.Error("what was returned before has changed")
	}

	p.states = map[string]scan.State{"192.0.2.1:2": scan.Unknown, "192.0.2.2:1": scan.Open}
	p.again(t, p.task)
	p.want(t, "after an incomplete scan", "t/m success=false",
		"192.0.2.1 of 192.0.2.1: open -, unexpected -, missing 1, unknown 2, opened 1,3",
		"192.0.2.2 of 192.0.2.2: open 1, unexpected -, missing -, unknown -, opened 1-2")
	if got := p.Sights("t")[0].Addresses[0].Unknown; got[scan.CauseNoRoute] != 1 || len(got) != 1 {
		t.Errorf("unknown by cause: %v", got)
	}
	p.scan(t, p.alone("192.0.2.1"))
	if s := p.Sights("t")[0]; !s.Success() {
		t.Error("when a probe has found out what was unknown it is still incomplete")
	}
}

// TestSightsAfterAReload has the configuration change in ways that matter, or not.
func TestSightsAfterAReload(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*scan.Task)
		stays  bool
	}{
		"nothing":      {func(*scan.Task) {}, true},
		"ports":        {func(task *scan.Task) { task.Plan = taskOf(t, "1-2").Plan }, false},
		"more ports":   {func(task *scan.Task) { task.Plan = taskOf(t, "1-9").Plan }, false},
		"hosts":        {func(task *scan.Task) { task.Hosts = hosts("192.0.2.2") }, false},
		"another name": {func(task *scan.Task) { task.Target, task.Asked = "u", "u" }, false},
	} {
		p := newPair(t)
		p.Reconfigured([]scan.Task{p.task})
		p.scan(t, p.task, "192.0.2.1:1")
		before := p.text("")
		old := p.task
		c.change(&p.task)
		p.Reconfigured([]scan.Task{p.task})
		if after := p.text(""); c.stays != slices.Equal(before, after) || c.stays != (len(after) > 0) {
			t.Errorf("%s: after it there is %q", name, after)
		}
		p.Reconfigured([]scan.Task{old})
		p.task = old
		p.scan(t, p.alone("192.0.2.1"), "192.0.2.1:1")
		if after := p.text(""); c.stays == strings.Contains(after[0], "others") {
			t.Errorf("%s: when it was undone, and one address probed, there is %q", name, after)
		}
		p.Close()
	}
}

// TestSightsByAddress has a target that is scraped address by address only.
func TestSightsByAddress(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	defer p.Close()
	p.Reconfigured([]scan.Task{p.task})
	first := p.scan(t, p.alone("192.0.2.1"), "192.0.2.1:1", "192.0.2.1:3")
	one := "192.0.2.1 of 192.0.2.1: open 1,3, unexpected 3, missing -, unknown -, opened 1,3"
	p.want(t, "one of two addresses", "t/m success=false others", one)
	p.Reconfigured([]scan.Task{p.task})
	p.want(t, "after a reload", "t/m success=false others", one)
	p.scan(t, p.alone("192.0.2.2"), "192.0.2.2:1")
	p.want(t, "both", "t/m success=true", one,
		"192.0.2.2 of 192.0.2.2: open 1, unexpected -, missing -, unknown -, opened 1")
	sum := p.Summaries()[0]
	if sum.Whole || !sum.Finished.Equal(first.Result.Finished) || sum.WithUnexpected != 1 || sum.Unexpected.String() != "3" || sum.Open != 3 {
		t.Errorf("the sum is %+v", sum)
	}
	p.scan(t, p.alone("192.0.2.1"), "192.0.2.1:1")
	if sum := p.Summaries()[0]; sum.WithUnexpected != 0 || !sum.Unexpected.IsEmpty() || sum.Open != 2 || !sum.Success() {
		t.Errorf("when the port is closed the sum is %+v", sum)
	}
	p.task.Hosts = append(p.task.Hosts, scan.Host{Entry: "www.example.org"})
	p.Reconfigured([]scan.Task{p.task})
	p.want(t, "of a task that is configured otherwise now")
	p.scan(t, p.alone("192.0.2.1"))
	p.scan(t, p.alone("192.0.2.2"))
	if sum := p.Summaries()[0]; sum.Scanned != 2 || !sum.Others {
		t.Errorf("with a name, which may lead anywhere, the sum is %+v", sum)
	}
}

// TestSightOfAnOldScan has the configuration change while a scan is under way.
func TestSightOfAnOldScan(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	defer p.Close()
	old := p.task
	p.Reconfigured([]scan.Task{old})
	p.scan(t, p.task, "192.0.2.1:1")
	now := old
	now.Plan = taskOf(t, "1-4").Plan
	p.Reconfigured([]scan.Task{now}) // and the old task goes on
	p.again(t, old)
	p.want(t, "of a task that is configured no more")
	p.task = now
	p.again(t, now)
	p.task = old
	p.scan(t, p.alone("192.0.2.1"), "192.0.2.1:2")
	p.want(t, "with an old probe of one address", "t/m success=true",
		"192.0.2.1 of 192.0.2.1: open 1, unexpected -, missing -, unknown -, opened 1-2",
		"192.0.2.2 of 192.0.2.2: open -, unexpected -, missing 1, unknown -, opened -")
}

// TestSightsAfterARestart has a state file, with a result that is retained.
func TestSightsAfterARestart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state.json")
	p := newPair(t)
	defer func() { p.Close() }()
	restart := func() {
		p.Close()
		p.build(t)
		if err := p.Restore(file, []scan.Task{p.task}); err != nil {
			t.Fatal(err)
		}
	}
	restart()
	p.scan(t, p.task, "192.0.2.1:1")
	restart()
	p.want(t, "of a result that is not retained")
	p.task.MaxAge = time.Hour
	restart()
	p.scan(t, p.task, "192.0.2.1:1", "192.0.2.1:2")
	p.task.MaxAge = 0 // so that this probe scans; what it saw is not retained
	p.scan(t, p.alone("192.0.2.2"), "192.0.2.2:3")
	p.task.MaxAge = time.Hour
	restart()
	p.want(t, "of a retained result, beside what is remembered", "t/m success=true",
		"192.0.2.1 of 192.0.2.1: open 1-2, unexpected 2, missing -, unknown -, opened 1-2",
		"192.0.2.2 of 192.0.2.2: open -, unexpected -, missing 1, unknown -, opened 3")
	if d := p.Sights("t")[0].Addresses[0].Details[2]; d.RTT != time.Millisecond {
		t.Errorf("of port 2 it says %+v", d)
	}
	p.task.Plan = taskOf(t, "1-4").Plan
	restart()
	p.want(t, "of a task that is configured otherwise now")
}

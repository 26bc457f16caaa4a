// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

// stateTask returns a task with these ports for the addresses of 192.0.2.0/28.
func stateTask(tb testing.TB, ports string) scan.Task {
	tb.Helper()
	set, err := scan.ParsePortSet(ports)
	if err != nil {
		tb.Fatal(err)
	}
	plan, err := scan.NewPlan(scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Ports: set, Expect: &scan.Expectation{Open: scan.NewPortSet(1)},
		Timeout: time.Minute, PortTimeout: time.Second, MaxInFlight: 1, MaxOpenAttempts: 3, ControlPorts: 2,
	})
	if err != nil {
		tb.Fatal(err)
	}
	network := netip.MustParsePrefix("192.0.2.0/28")
	scope, err := scan.NewScope([]netip.Prefix{network}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return scan.Task{
		Asked: "t", Target: "t", Module: "m", Hosts: []scan.Host{{Entry: network.String(), Network: network}}, MaxAge: time.Hour,
		Plan: plan, Scope: scope,
	}.WithDigest()
}

// stateTime is the start of the first scan.
func stateTime() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// stateResult returns the result of a scan in which some ports are open and others unknown, that
// lasts a second.
func stateResult(tb testing.TB, task scan.Task, at time.Time, ips []string, open, unknown scan.PortSet) *scan.Result {
	tb.Helper()
	var found []scan.Address
	for _, ip := range ips {
		found = append(found, scan.Address{IP: netip.MustParseAddr(ip), Hosts: []string{task.Hosts[0].Entry}})
	}
	req, refused, err := scan.NewRequest(task.Plan.WithWatched(open), task.Scope, found)
	if err != nil || len(refused) > 0 {
		tb.Fatal(refused, err)
	}
	recorder, err := scan.NewRecorder(req)
	if err != nil {
		tb.Fatal(err)
	}
	closed := task.Plan.Ports().Minus(open).Minus(unknown)
	for _, a := range req.Addresses() {
		for port := range open.All() {
			recorder.Record(scan.PortResult{
				Address: a.IP, Port: port, State: scan.Open, Cause: scan.CauseHandshake, RTT: time.Millisecond, Attempts: 1, LastResponse: at.Add(time.Millisecond),
			})
		}
		recorder.Record(scan.PortResult{
			Address: a.IP, Ports: &closed, State: scan.Closed, Cause: scan.CauseRST, Attempts: closed.Len(), LastResponse: at.Add(time.Millisecond),
		})
	}
	r := &scan.Result{Plan: task.Plan, Started: at, Finished: at.Add(time.Second), Lookup: time.Millisecond}
	r.Addresses, r.Attempts, r.Retries = recorder.Snapshot(scan.CauseDeadline)
	return r
}

// silentResult returns the complete result of a scan without an answer.
func silentResult(tb testing.TB, task scan.Task, at time.Time, ip string) *scan.Result {
	tb.Helper()
	req, _, err := scan.NewRequest(task.Plan, task.Scope, []scan.Address{{IP: netip.MustParseAddr(ip)}})
	if err != nil {
		tb.Fatal(err)
	}
	recorder, err := scan.NewRecorder(req)
	if err != nil {
		tb.Fatal(err)
	}
	ports := task.Plan.Ports()
	recorder.Record(scan.PortResult{Address: netip.MustParseAddr(ip), Ports: &ports, State: scan.Filtered, Cause: scan.CauseSilence})
	r := &scan.Result{Plan: task.Plan, Started: at, Finished: at.Add(time.Second)}
	r.Addresses, r.Attempts, r.Retries = recorder.Snapshot(scan.CauseDeadline)
	return r
}

// lockedLog is a log that several goroutines write and read.
type lockedLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newStateStore(tb testing.TB, log *lockedLog) *Store {
	tb.Helper()
	logger := slog.New(slog.DiscardHandler)
	if log != nil {
		logger = slog.New(slog.NewTextHandler(log, nil))
	}
	s, err := New(logger)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// allowTask returns an Allow that has one task and its addresses.
func allowTask(task scan.Task) func(scan.Task) (scan.Task, error) {
	return func(t scan.Task) (scan.Task, error) {
		ip, err := netip.ParseAddr(t.Asked)
		switch {
		case t.Asked == task.Target:
			return task, nil
		case err != nil:
			return scan.Task{}, errors.New("unknown target")
		default:
			return task.ForAddress(ip, task.Hosts[0].Entry), nil
		}
	}
}

// fillStore records changes of port states, unknown ports, an address that goes dark, failures,
// single addresses and unfinished scans.
func fillStore(tb testing.TB, s *Store, task scan.Task) {
	tb.Helper()
	both := []string{"192.0.2.1", "192.0.2.2"}
	none, at := scan.PortSet{}, stateTime()
	s.Record(task, "1", stateResult(tb, task, at, both, scan.NewPortSet(1, 2), none))
	s.Record(task, "2", stateResult(tb, task, at.Add(time.Minute), both, scan.NewPortSet(1, 4), none))
	last := stateResult(tb, task, at.Add(2*time.Minute), both, scan.NewPortSet(1), scan.NewPortSet(3))
	last.Failed = map[scan.Failure]error{scan.FailedDNS: errors.New("no answer")}
	last.Refused = []netip.Addr{netip.MustParseAddr("198.51.100.1")}
	s.Record(task, "3", last)
	single := task.ForAddress(netip.MustParseAddr("192.0.2.3"), task.Hosts[0].Entry)
	s.Record(single, "4", stateResult(tb, task, at.Add(3*time.Minute), []string{"192.0.2.3"}, scan.NewPortSet(5), none))
	s.Record(single, "5", silentResult(tb, task, at.Add(4*time.Minute), "192.0.2.3"))
	s.Suspend(task, "6", stateResult(tb, task, at.Add(5*time.Minute), both, scan.NewPortSet(1), scan.NewPortSet(2, 3)))
	s.Suspend(single, "7", stateResult(tb, task, at.Add(5*time.Minute), []string{"192.0.2.3"}, none, scan.NewPortSet(2)))
}

// encodeStore returns the state file of a store, all of it encoded again.
func encodeStore(tb testing.TB, s *Store, running ...Unfinished) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	if err := s.writeState(w, &stateWriter{limit: maxStateSize, written: make(map[*record]fileLine)}, running); err != nil {
		tb.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// decodeStore returns a store with the content of a state file.
func decodeStore(tb testing.TB, data []byte, o StateOptions, now time.Time) (*Store, error) {
	tb.Helper()
	s, r := newStateStore(tb, nil), newRestorer(o, now)
	if err := r.read(bufio.NewReader(bytes.NewReader(data))); err != nil {
		return nil, err
	}
	s.install(r)
	s.Reconfigure(o.Tasks)
	return s, nil
}

func mustDecodeStore(tb testing.TB, data []byte, task scan.Task, now time.Time) *Store {
	tb.Helper()
	s, err := decodeStore(tb, data, StateOptions{Tasks: []scan.Task{task}, Allow: allowTask(task)}, now)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestStateRoundTrip(t *testing.T) {
	t.Parallel()
	task := stateTask(t, "1-5")
	s := newStateStore(t, nil)
	s.Reconfigure([]scan.Task{task})
	fillStore(t, s, task)
	data := encodeStore(t, s)
	for _, part := range []string{
		`"full":`, `"failed":{"dns":"no answer"}`, `"refused":`, `"previous":`, `"baseline":`, `"opened":"1-2,4"`, `"changed":`, `"turned":`,
		`"last_response":`, `"changes":`, `"unfinished":`, `"address":`, `"rtts":`,
	} {
		if !bytes.Contains(data, []byte(part)) {
			t.Errorf("state file lacks %s:\n%s", part, data)
		}
	}
	now := stateTime().Add(10 * time.Minute)
	restored := mustDecodeStore(t, data, task, now)
	if diff := cmp.Diff(strings.Split(string(data), "\n"), strings.Split(string(encodeStore(t, restored)), "\n")); diff != "" {
		t.Errorf("restored state (-want +got):\n%s", diff)
	}
	want, got := s.View(task, now), restored.View(task, now)
	if got == nil || got.Result.Failed[scan.FailedDNS] == nil || got.ScanID != "3" || !got.Result.Finished.Equal(want.Result.Finished) ||
		got.Result.Addresses[0].Count(scan.Open) != want.Result.Addresses[0].Count(scan.Open) || len(got.Unverified) != len(want.Unverified) {
		t.Errorf("View() = %+v, want %+v", got, want)
	}
	if diff := cmp.Diff(changeTexts(s.Changes("t")), changeTexts(restored.Changes("t"))); diff != "" {
		t.Errorf("Changes(t) (-want +got):\n%s", diff)
	}
	if got, want := restored.size, s.size; got != want {
		t.Errorf("size = %d, want %d", got, want)
	}
	if r := restored.Resume(task, stateTime().Add(5*time.Minute)); r == nil || r.Addresses[1].Count(scan.Unknown) != 2 {
		t.Errorf("Resume(t) = %v, want the unfinished result", r)
	}
	single := task.ForAddress(netip.MustParseAddr("192.0.2.3"), task.Hosts[0].Entry)
	if r := restored.Resume(single, stateTime().Add(5*time.Minute)); r == nil || r.Addresses[0].Count(scan.Unknown) != 1 {
		t.Errorf("Resume(192.0.2.3) = %v, want the unfinished result", r)
	}
}

func changeTexts(changes []Change) (all []string) {
	for _, c := range changes {
		c.Time = c.Time.UTC().Round(0)
		all = append(all, fmt.Sprintf("%+v", c))
	}
	return all
}

// TestStateOfRunningScan saves the results so far in place of those that the scan resumed.
func TestStateOfRunningScan(t *testing.T) {
	t.Parallel()
	task := stateTask(t, "1-5")
	s := newStateStore(t, nil)
	fillStore(t, s, task)
	r := stateResult(t, task, stateTime(), []string{"192.0.2.1", "192.0.2.9"}, scan.NewPortSet(4), scan.NewPortSet(3))
	data := encodeStore(t, s, Unfinished{Task: task, ID: "8", Result: r})
	got := mustDecodeStore(t, data, task, stateTime().Add(time.Hour)).Resume(task, stateTime().Add(time.Second))
	if got == nil || len(got.Addresses) != 2 || got.Addresses[1].IP.String() != "192.0.2.9" || got.Attempts != r.Attempts {
		t.Errorf("Resume() = %v, want %v", got, r)
	}
}

// TestAddressProbedTargetSurvivesRestart has a target of which only addresses were scanned.
func TestAddressProbedTargetSurvivesRestart(t *testing.T) {
	t.Parallel()
	task := stateTask(t, "1-5")
	s := newStateStore(t, nil)
	s.Reconfigure([]scan.Task{task})
	one := task.ForAddress(netip.MustParseAddr("192.0.2.3"), task.Hosts[0].Entry)
	s.Record(one, "1", stateResult(t, task, stateTime(), []string{"192.0.2.3"}, scan.NewPortSet(5), scan.PortSet{}))
	restored := mustDecodeStore(t, encodeStore(t, s), task, time.Now())
	if views := restored.TargetViews("t"); len(views) != 1 || !views[0].Partial || len(views[0].Addresses) != 1 || views[0].Addresses[0].Opened.String() != "5" {
		t.Errorf("TargetViews(t) = %+v, want one with the address", views)
	}
	if v := restored.View(one, stateTime().Add(time.Minute)); v == nil || !v.IsFresh(one, stateTime().Add(time.Minute)) {
		t.Errorf("View(192.0.2.3) = %+v, want the cached result", v)
	}
}

func TestStateOfOtherConfiguration(t *testing.T) {
	t.Parallel()
	task, now := stateTask(t, "1-5"), stateTime().Add(time.Hour)
	s := newStateStore(t, nil)
	fillStore(t, s, task)
	data := encodeStore(t, s)
	other := task
	other.Target = "other"
	udp := stateTask(t, "1-5")
	spec := udp.Plan.Spec()
	spec.Protocol = scan.UDP
	var err error
	if udp.Plan, err = scan.NewPlan(spec); err != nil {
		t.Fatal(err)
	}
	small := stateTask(t, "1-5")
	if small.Scope, err = scan.NewScope([]netip.Prefix{netip.MustParsePrefix("192.0.2.2/32")}, nil); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		task      scan.Task
		opened    string // by both addresses
		addresses int
		changes   int
	}{
		"fewer ports":      {stateTask(t, "1-3"), "1-2", 3, 2},
		"fewer addresses":  {small.ResetDigest(), "1-2,4", 1, 2},
		"other target":     {other.ResetDigest(), "", 0, 0},
		"another protocol": {udp.ResetDigest(), "", 0, 0},
	} {
		restored := mustDecodeStore(t, data, c.task, now)
		if v := restored.View(c.task, now); v != nil {
			t.Errorf("%s: View() = %+v, want none", name, v)
		}
		e := restored.find(c.task)
		if got := restored.Opened(c.task, []scan.Address{{IP: netip.MustParseAddr("192.0.2.2")}}).String(); got != c.opened || len(e.records) != c.addresses {
			t.Errorf("%s: Opened() = %s, %d addresses, want %s, %d", name, got, len(e.records), c.opened, c.addresses)
		}
		if got := len(restored.Changes(c.task.Target)); got != c.changes {
			t.Errorf("%s: %d changes, want %d", name, got, c.changes)
		}
		if r := restored.Resume(c.task, stateTime()); r != nil {
			t.Errorf("%s: Resume() = %v, want none", name, r)
		}
	}
}

// TestStateFromTheFuture restores state with a clock that is behind: results are dropped, and
// times of the history are cut.
func TestStateFromTheFuture(t *testing.T) {
	t.Parallel()
	task, now := stateTask(t, "1-5"), stateTime().Add(-time.Hour)
	s := newStateStore(t, nil)
	fillStore(t, s, task)
	restored := mustDecodeStore(t, encodeStore(t, s), task, now)
	if v := restored.View(task, now); v != nil {
		t.Errorf("View() = %+v, want none", v)
	}
	ip := netip.MustParseAddr("192.0.2.1")
	h := restored.History(task, stateResult(t, task, now, []string{"192.0.2.1"}, scan.PortSet{}, scan.PortSet{}))
	if at, ok := h.LastChange(ip, 2); !ok || !at.Equal(now) || !h.LastResponse(ip).Equal(now) {
		t.Errorf("LastChange(2) = %v, %v, LastResponse() = %v, want %v", at, ok, h.LastResponse(ip), now)
	}
	for _, c := range restored.Changes("t") {
		if c.Time.After(now) {
			t.Errorf("change at %v, want %v at the latest", c.Time, now)
		}
	}
}

// TestDamagedState flips bits, cuts the file, and removes, repeats and exchanges lines.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	task := stateTask(t, "1-5")
	s := newStateStore(t, nil)
	fillStore(t, s, task)
	good := encodeStore(t, s)
	check := func(name string, data []byte) {
		t.Helper()
		if _, err := decodeStore(t, data, StateOptions{Tasks: []scan.Task{task}}, time.Now()); !errors.Is(err, errUnusable) {
			t.Errorf("%s: error %v, want %v", name, err, errUnusable)
		}
	}
	const step = 17 // so that it takes seconds
	for i := 0; i < len(good); i += step {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		check(fmt.Sprintf("bit %d of byte %d flipped", i%8, i), bad)
		check(fmt.Sprintf("cut at byte %d", i), good[:i])
	}
	lines := bytes.SplitAfter(good, []byte("\n"))
	for i := range len(lines) - 2 {
		check(fmt.Sprintf("line %d removed", i), bytes.Join(append(append([][]byte{}, lines[:i]...), lines[i+1:]...), nil))
		check(fmt.Sprintf("line %d repeated", i), bytes.Join(append(append([][]byte{}, lines[:i+1]...), lines[i:]...), nil))
	}
	swapped := append([][]byte{}, lines...)
	swapped[2], swapped[3] = swapped[3], swapped[2]
	check("lines exchanged", bytes.Join(swapped, nil))
	check("data appended", append(bytes.Clone(good), lines[1]...))
}

// TestUnusableStateFile starts with an empty state and keeps the file under another name.
func TestUnusableStateFile(t *testing.T) {
	t.Parallel()
	task := stateTask(t, "1-5")
	source := newStateStore(t, nil)
	fillStore(t, source, task)
	good := encodeStore(t, source)
	for name, data := range map[string]string{
		"empty":     "",
		"cut":       string(good[:len(good)/2]),
		"later":     strings.Replace(string(good), `"version":2`, `"version":3`, 1),
		"old later": `{"format":"portscan_exporter state","version":0,"sha256":"","content":{}}`,
		"foreign":   `{"users": ["me"]}`,
		"no JSON":   "root:x:0:0:root:/root:/bin/bash\n",
		"large":     string(good),
	} {
		file, log := filepath.Join(t.TempDir(), "state.json"), &lockedLog{}
		if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if name == "large" { // only zeros follow
			if err := os.Truncate(file, maxStateSize+1); err != nil {
				t.Fatal(err)
			}
		}
		s := newStateStore(t, log)
		if err := s.Restore(file, StateOptions{Tasks: []scan.Task{task}}); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), file+".unusable") {
			t.Errorf("%s: log %q, want one warning", name, log)
		}
		if v := s.View(task, time.Now()); v != nil || len(s.find(task).records) != 0 {
			t.Errorf("%s: View() = %+v, want none", name, v)
		}
		if kept, err := readStart(file+".unusable", len(data)); err != nil || kept != data {
			t.Errorf("%s: kept %q, %v, want %q", name, kept, err, data)
		}
		again := newStateStore(t, nil)
		if err := again.Restore(file, StateOptions{}); err != nil {
			t.Errorf("%s: second Restore() = %v, want nil", name, err)
		}
		again.Close()
	}
}

// readStart returns the first bytes of a file.
func readStart(file string, length int) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	start := make([]byte, length)
	_, err = io.ReadFull(f, start)
	return string(start), errors.Join(err, f.Close())
}

// FuzzState reads lines with right checksums, so that the fuzzer reaches the values.
func FuzzState(f *testing.F) {
	task := stateTask(f, "1-5")
	s := newStateStore(f, nil)
	fillStore(f, s, task)
	var inner []string
	for _, line := range strings.Split(string(encodeStore(f, s)), "\n")[1:] {
		if len(line) > 30 && !strings.Contains(line, `"end"`) {
			inner = append(inner, line[len(linePrefix)+sumLength+3:])
		}
	}
	f.Add(strings.Join(inner, "\n"))
	f.Fuzz(func(t *testing.T, text string) {
		var b bytes.Buffer
		w, err := newLineWriter(bufio.NewWriter(&b))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(text, "\n") {
			w.buffer.Reset()
			w.buffer.WriteString(linePrefix + "00000000" + `","` + line + "\n")
			if _, err := w.seal(); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.end(), w.w.Flush()); err != nil {
			t.Fatal(err)
		}
		now := stateTime().Add(time.Hour)
		restored, err := decodeStore(t, b.Bytes(), StateOptions{Tasks: []scan.Task{task}, Allow: allowTask(task)}, now)
		if err != nil {
			if !errors.Is(err, errUnusable) {
				t.Errorf("reading %q: %v, want %v", text, err, errUnusable)
			}
			return
		}
		mustDecodeStore(t, encodeStore(t, restored), task, now)
		restored.View(task, now)
		restored.TargetViews("t")
		restored.Record(task, "9", stateResult(t, task, now, []string{"192.0.2.1"}, scan.NewPortSet(2), scan.PortSet{}))
	})
}

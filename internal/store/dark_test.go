// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

const (
	wentDark      = "Address went dark"
	respondsAgain = "Address responds again"
)

// turnLine returns the log line of an address that went dark or responds again.
func turnLine(event string, since time.Time) string {
	const millis = "2006-01-02T15:04:05.000Z07:00"
	return fmt.Sprintf(`%q target=t module=m ip=192.0.2.1 since=%s`, event, since.Format(millis))
}

// wantLog requires these lines.
func wantLog(tb testing.TB, what string, got []string, want ...string) {
	tb.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("log of %s (-want +got):\n%s", what, diff)
	}
}

// TestDarkAddress requires that scans of an address that went dark are not evidence of
// changes: one log line, and the port history remains.
func TestDarkAddress(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-1000")
	st.scan(t, hostStates{open: "1-3"})
	st.scan(t, hostStates{open: "1,3"})
	changedAt, since := st.now, st.history().LastResponse(addr1())
	for i, want := range [][]string{{turnLine(wentDark, since)}, nil, nil} {
		wantLog(t, fmt.Sprintf("dark scan %d", i), st.scan(t, hostStates{silent: true}), want...)
		st.wantOpened(t, "1-3")
		if _, ok := st.history().LastChange(addr1(), 1); ok {
			t.Errorf("LastChange(1) after dark scan %d has a time, want none", i)
		}
		if at, _ := st.history().LastChange(addr1(), 2); !at.Equal(changedAt) {
			t.Errorf("LastChange(2) after dark scan %d = %v, want %v", i, at, changedAt)
		}
		if got := st.history().LastResponse(addr1()); !got.Equal(since) {
			t.Errorf("LastResponse() after dark scan %d = %v, want %v", i, got, since)
		}
		v := st.TargetViews("t")[0]
		if a := v.Addresses[0]; !a.Dark || v.Dark != 1 || a.Count(scan.Filtered) != 1000 || !v.Success() {
			t.Errorf("view after dark scan %d = dark %v, %d dark addresses, %d filtered ports, success %v; want true, 1, 1000, true",
				i, a.Dark, v.Dark, a.Count(scan.Filtered), v.Success())
		}
	}
	if got := len(st.Changes("t")); got != 1 {
		t.Errorf("Changes() has %d changes, want 1", got)
	}
	wantLog(t, "the next response", st.scan(t, hostStates{open: "1,4"}), // compared with the last scan that it answered
		turnLine(respondsAgain, since), changeLine(4, "closed", "open", "closed"), changeLine(3, "open", "closed", "closed"))
	wantLog(t, "the scan after that", st.scan(t, hostStates{open: "1,4"}))
}

// TestDarkIncompleteScan requires that an incomplete scan makes no address dark, and that a
// response to one ends the darkness.
func TestDarkIncompleteScan(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-5")
	st.scan(t, hostStates{open: "1"})
	since := st.now
	wantLog(t, "an incomplete silent scan", st.scan(t, hostStates{unknown: "1", silent: true}))
	wantLog(t, "a silent scan", st.scan(t, hostStates{silent: true}), turnLine(wentDark, since))
	wantLog(t, "an incomplete scan with responses", st.scan(t, hostStates{unknown: "2"}), turnLine(respondsAgain, since))
}

// TestDarkNeverResponded requires that an address that never responded is not dark: its ports
// are filtered, and its first responses are changes.
func TestDarkNeverResponded(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-2")
	for range 2 {
		wantLog(t, "an address that never responded", st.scan(t, hostStates{silent: true}))
	}
	wantLog(t, "the first response", st.scan(t, hostStates{open: "1"}),
		changeLine(1, "filtered", "open", "open"), changeLine(2, "filtered", "closed", "closed"))
}

// TestDarkReconfigured requires that a reload that removes ports does not end the darkness.
func TestDarkReconfigured(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-5")
	st.scan(t, hostStates{open: "1,3"})
	st.scan(t, hostStates{silent: true})
	st.task = changed(st.task, func(task *scan.Task) { task.Plan = newPlan(t, "1-3") })
	st.Reconfigure([]scan.Task{st.task})
	wantLog(t, "a dark scan after a reload", st.scan(t, hostStates{silent: true}))
	st.wantOpened(t, "1,3")
}

// TestDarkFlapping has an address go dark in every second scan.
func TestDarkFlapping(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-5")
	var all []string
	for range 50 {
		all = append(all, st.scan(t, hostStates{})...)
		all = append(all, st.scan(t, hostStates{silent: true})...)
	}
	if len(all) != 10 || strings.Count(strings.Join(all, "\n"), "flapping=true") != 1 || !strings.HasSuffix(all[9], "flapping=true") {
		t.Errorf("log = %q, want 10 lines, the last one with flapping=true", all)
	}
}

// TestDarkManyAddresses has 1,200 addresses of a target go dark at once.
func TestDarkManyAddresses(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-3")
	responding, dark := make(map[string]hostStates), make(map[string]hostStates)
	for i := range 1200 {
		ip := fmt.Sprintf("2001:db8::%x", i+1)
		responding[ip], dark[ip] = hostStates{}, hostStates{silent: true}
	}
	st.scanHosts(t, st.task, responding)
	log := st.scanHosts(t, st.task, dark)
	if lines := strings.Count(strings.Join(log, "\n"), wentDark); lines != 1000 || len(log) != 1001 ||
		log[1000] != `"Omitted further address changes" target=t module=m addresses=200` {
		t.Errorf("log has %d lines, %d of them %q, last %q; want 1000 addresses and the number of the others", len(log), lines, wentDark, log[len(log)-1])
	}
	wantLog(t, "the next dark scan", st.scanHosts(t, st.task, dark))
}

// TestDarkOverlappingScans has a scan of one address within a scan of the complete target. The
// longer scan does not make an address dark that has answered the shorter one. An answer to the
// longer scan ends the darkness only if it is newer than the start of the shorter one.
func TestDarkOverlappingScans(t *testing.T) {
	t.Parallel()
	first := testStart().Add(2 * time.Second) // end of the first scan
	responding, silent := hostStates{}, hostStates{silent: true}
	dark, again := []string{turnLine(wentDark, first)}, []string{turnLine(respondsAgain, first)}
	for name, tc := range map[string]struct {
		long, short hostStates
		answered    time.Duration // after the start of the long scan
		wantShort   []string
		wantLong    []string
	}{
		"answers to the short scan":      {long: silent, short: responding, answered: 2 * time.Second},
		"early answers to the long scan": {long: responding, short: silent, answered: 500 * time.Millisecond, wantShort: dark},
		"late answers to the long scan":  {long: responding, short: silent, answered: 1500 * time.Millisecond, wantShort: dark, wantLong: again},
	} {
		st := newStoreTest(t, "1-5")
		st.scan(t, hostStates{})
		start := st.now.Add(time.Second)
		spec := resultSpec{answered: start.Add(tc.answered)}
		spec.started, spec.finished, spec.hosts = start.Add(time.Second), start.Add(2*time.Second), map[string]hostStates{host1: tc.short}
		wantLog(t, name+": the short scan", st.record(t, st.forAddress(host1), spec), tc.wantShort...)
		spec.started, spec.finished, spec.hosts = start, start.Add(3*time.Second), map[string]hostStates{host1: tc.long}
		wantLog(t, name+": the long scan", st.record(t, st.task, spec), tc.wantLong...)
	}
}

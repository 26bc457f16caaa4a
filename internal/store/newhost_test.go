// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

const newHost1 = `"New host" target=t module=m ip=192.0.2.1`

// newNetworkTest returns a store with a target whose hosts are a network.
func newNetworkTest(tb testing.TB, ports string) *storeTest {
	tb.Helper()
	st := newStoreTest(tb, ports)
	st.setHosts(networkHost("192.0.2.0/24"))
	return st
}

// setHosts configures the hosts of the target.
func (st *storeTest) setHosts(hosts ...scan.Host) {
	st.task = changed(st.task, func(task *scan.Task) { task.Hosts = hosts })
	st.Reconfigure([]scan.Task{st.task})
}

// setPorts configures the ports of the module.
func (st *storeTest) setPorts(tb testing.TB, ports string) {
	tb.Helper()
	st.task = changed(st.task, func(task *scan.Task) { task.Plan = newPlan(tb, ports) })
	st.Reconfigure([]scan.Task{st.task})
}

// changeTexts returns the changes of the target, newest first.
func (st *storeTest) changeTexts() (all []string) {
	for _, c := range st.Changes("t") {
		text := fmt.Sprintf("%v %v %v/%v", c.Kind, c.IP, c.Port, c.Protocol)
		if c.Kind == PortChanged {
			text += fmt.Sprintf(" %v-%v", c.From, c.To)
		}
		all = append(all, text)
	}
	return all
}

// TestNewHost requires one line and one change for a host that appears in a network, and the
// changes of its open ports. It is not new again after it was silent.
func TestNewHost(t *testing.T) {
	t.Parallel()
	for name, hosts := range map[string][]scan.Host{
		"network": {networkHost("192.0.2.0/24")}, "no hosts": nil, "network and name": {{Entry: "www.example.org"}, networkHost("192.0.2.0/28")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := newStoreTest(t, "1-1000")
			st.setHosts(hosts...)
			silent := hostStates{silent: true}
			wantLog(t, "the first scan", st.scan(t, silent))
			wantLog(t, "the second scan", st.scan(t, silent))
			wantLog(t, "the first response", st.scan(t, hostStates{open: "1,22"}), newHost1,
				changeLine(22, "filtered", "open", "closed"), changeLine(1, "filtered", "open", "open"))
			at := st.now
			wantLog(t, "the second response", st.scan(t, hostStates{open: "1,22"}))
			again := st.now
			wantLog(t, "a restart of the host", st.scan(t, silent), turnLine(wentDark, again))
			wantLog(t, "the host is back", st.scan(t, hostStates{open: "1,22"}), turnLine(respondsAgain, again))
			want := []string{"new_host 192.0.2.1 0/tcp", "port_changed 192.0.2.1 22/tcp filtered-open", "port_changed 192.0.2.1 1/tcp filtered-open"}
			if diff := cmp.Diff(want, st.changeTexts()); diff != "" {
				t.Errorf("Changes() (-want +got):\n%s", diff)
			}
			if c := st.Changes("t")[0]; !c.Time.Equal(at) || c.Module != "m" || c.Violating() {
				t.Errorf("change = %+v, want time %v, module m, not violating", c, at)
			}
		})
	}
}

// TestNewHostIncompleteScan requires that a response to an incomplete scan shows a new host, and
// that silence in an incomplete scan does not show that the address was free.
func TestNewHostIncompleteScan(t *testing.T) {
	t.Parallel()
	st := newNetworkTest(t, "1-3")
	st.scan(t, hostStates{silent: true, unknown: "2"})
	wantLog(t, "the first response after an incomplete scan", st.scan(t, hostStates{}))

	st = newNetworkTest(t, "1-3")
	st.scan(t, hostStates{silent: true})
	wantLog(t, "an incomplete response", st.scan(t, hostStates{unknown: "2"}), newHost1)
	wantLog(t, "a complete response", st.scan(t, hostStates{open: "1"})) // is the first to compare with
	wantLog(t, "a change", st.scan(t, hostStates{open: "1,3"}), changeLine(3, "closed", "open", "closed"))
}

// TestNewHostQuiet requires that hosts are not new without an earlier complete scan that would have
// shown them.
func TestNewHostQuiet(t *testing.T) {
	t.Parallel()
	listed := append(addressHosts(host1), scan.Host{Entry: "www.example.org"}, networkHost("192.0.2.128/25"), networkHost("192.0.2.1/32"))
	for name, scans := range map[string]func(*testing.T, *storeTest){
		"first scan": func(*testing.T, *storeTest) {},
		"answered before": func(t *testing.T, st *storeTest) {
			t.Helper()
			st.scan(t, hostStates{})
			st.scan(t, hostStates{silent: true})
		},
		"listed or a name": func(t *testing.T, st *storeTest) {
			t.Helper()
			st.setHosts(listed...)
			st.scan(t, hostStates{silent: true})
		},
		"evicted": func(t *testing.T, st *storeTest) { t.Helper(); st.scan(t, hostStates{silent: true}); st.evictAll(t) },
		"more ports than before": func(t *testing.T, st *storeTest) {
			t.Helper()
			st.setPorts(t, "1-2")
			st.scan(t, hostStates{silent: true})
			st.setPorts(t, "1-3")
		},
		"rejected before": func(t *testing.T, st *storeTest) {
			t.Helper()
			st.scan(t, hostStates{rejected: "1-3"})
			st.scan(t, hostStates{silent: true})
		},
		"closed ports without a time, of an early version": func(t *testing.T, st *storeTest) {
			t.Helper()
			st.scan(t, hostStates{})
			st.forgetResponse()
		},
		"open ports without a time, of an early version": func(t *testing.T, st *storeTest) {
			t.Helper()
			st.scan(t, hostStates{open: "1"})
			st.forgetResponse()
			st.scan(t, hostStates{silent: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := newNetworkTest(t, "1-3")
			scans(t, st)
			if log := strings.Join(st.scan(t, hostStates{open: "1,3"}), "\n"); strings.Contains(log, "New host") {
				t.Errorf("log = %q, want no new host", log)
			}
			if slices.ContainsFunc(st.Changes("t"), func(c Change) bool { return c.Kind == NewHost }) {
				t.Error("Changes() has a new host, want none")
			}
		})
	}
}

// forgetResponse removes the time of the last response, which state files of early versions lack.
func (st *storeTest) forgetResponse() {
	e := st.entries[entryID{"t", "m"}]
	less := *e.records[addr1()]
	less.lastResponse = time.Time{}
	e.records[addr1()] = &less
}

// TestNewHostOverlappingScans has a silent scan of one address within a scan of the complete target.
// An answer from before the silent scan does not show a new host.
func TestNewHostOverlappingScans(t *testing.T) {
	t.Parallel()
	for answered, want := range map[time.Duration][]string{
		500 * time.Millisecond:  nil,
		1500 * time.Millisecond: {newHost1},
	} {
		st := newNetworkTest(t, "1-3")
		start := st.now.Add(time.Second)
		spec := resultSpec{answered: start.Add(answered)}
		spec.started, spec.finished, spec.hosts = start.Add(time.Second), start.Add(2*time.Second), map[string]hostStates{host1: {silent: true}}
		wantLog(t, "the short scan", st.record(t, st.forAddress(host1), spec))
		spec.started, spec.finished, spec.hosts = start, start.Add(3*time.Second), map[string]hostStates{host1: {open: "1"}}
		wantLog(t, fmt.Sprintf("the long scan, answered after %v", answered), st.record(t, st.task, spec), want...)
		if want != nil {
			wantLog(t, "the next scan", st.scan(t, hostStates{open: "1"})) // is the first to compare with
		}
	}
}

// TestNewHostSuspect requires that a suspect address is no new host.
func TestNewHostSuspect(t *testing.T) {
	t.Parallel()
	st := newNetworkTest(t, "1-1000")
	st.scan(t, hostStates{silent: true})
	wantLog(t, "the suspect address", st.scan(t, hostStates{open: "1-1000"}))
}

// TestNewHostModules requires one line for a host that responds to two modules, and none for one that
// has responded to another module before. In each module, the changes are those of its open ports.
func TestNewHostModules(t *testing.T) {
	t.Parallel()
	st := newNetworkTest(t, "1-3")
	other := changed(st.task, func(task *scan.Task) { task.Module = "other" })
	st.Reconfigure([]scan.Task{st.task, other})
	inOther := func(line string) string { return strings.Replace(line, "module=m", "module=other", 1) }
	silent, open := hostStates{silent: true}, hostStates{open: "1"}
	opened := changeLine(1, "filtered", "open", "open")

	wantLog(t, "the baseline", st.scanHosts(t, st.task, map[string]hostStates{host1: silent, host2: open}))
	wantLog(t, "the other baseline", st.scanHosts(t, other, map[string]hostStates{host1: silent, host2: silent}))
	wantLog(t, "the first response", st.scanHosts(t, st.task, map[string]hostStates{host1: open, host2: open}), newHost1, opened)
	wantLog(t, "the first response to the other module", st.scanHosts(t, other, map[string]hostStates{host1: open, host2: open}),
		inOther(opened), strings.Replace(inOther(opened), host1, host2, 1))
}

// TestNewHostMany has 1,200 hosts appear at once, some with violating ports.
func TestNewHostMany(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-3")
	st.setHosts(networkHost("2001:db8::/112"))
	silent, responding := make(map[string]hostStates), make(map[string]hostStates)
	for i := range 1200 {
		ip := fmt.Sprintf("2001:db8::%x", i+1)
		silent[ip], responding[ip] = hostStates{silent: true}, hostStates{open: "1"}
	}
	responding["2001:db8::5"] = hostStates{open: "1,3"}
	wantLog(t, "the first scan", st.scanHosts(t, st.task, silent))
	log := st.scanHosts(t, st.task, responding)
	lines := strings.Join(log, "\n")
	if strings.Count(lines, `"New host"`) != 1000 || strings.Count(lines, "Port state changed") != 1000 {
		t.Errorf("log has %d new hosts and %d port changes, want 1000 each", strings.Count(lines, `"New host"`), strings.Count(lines, "Port state changed"))
	}
	for _, want := range []string{
		`"Omitted further new hosts" target=t module=m addresses=200`, `"Omitted further port state changes" target=t module=m ports=201`,
	} {
		if !slices.Contains(log, want) {
			t.Errorf("log lacks %s", want)
		}
	}
	texts := st.changeTexts()
	if len(texts) != 100 || texts[0] != "new_host 2001:db8::1 0/tcp" || texts[49] != "new_host 2001:db8::32 0/tcp" ||
		texts[50] != "port_changed 2001:db8::5 3/tcp filtered-open" {
		t.Errorf("Changes() = %d changes, %q, want 50 new hosts and 50 port changes", len(texts), texts)
	}
}

// TestNewHostSaved requires that new hosts survive a restart, and that the hosts of a network are
// not new after it.
func TestNewHostSaved(t *testing.T) {
	t.Parallel()
	st := newNetworkTest(t, "1-3")
	st.scanHosts(t, st.task, map[string]hostStates{host1: {silent: true}, host2: {silent: true}, "192.0.2.3": {}})
	st.scanHosts(t, st.task, map[string]hostStates{host1: {open: "1"}, host2: {silent: true}, "192.0.2.3": {silent: true}})
	want := st.changeTexts()
	restored := newNetworkTest(t, "1-3")
	restored.now, restored.Store = st.now, mustDecodeStore(t, encodeStore(t, st.Store), st.task, st.now)
	restored.logger = slog.New(slog.NewTextHandler(&restored.log, nil))
	if diff := cmp.Diff(want, restored.changeTexts()); diff != "" || want[0] != "new_host 192.0.2.1 0/tcp" {
		t.Errorf("changes after a restart (-want +got):\n%s", diff)
	}
	log := restored.scanHosts(t, restored.task, map[string]hostStates{host1: {open: "1"}, host2: {open: "1"}, "192.0.2.3": {}})
	wantLog(t, "a scan after the restart", log, strings.Replace(turnLine(respondsAgain, testStart().Add(2*time.Second)), host1, "192.0.2.3", 1),
		strings.Replace(newHost1, host1, host2, 1), strings.Replace(changeLine(1, "filtered", "open", "open"), host1, host2, 1))
}

// TestStateOfVersion2 reads a file that an exporter wrote before changes had a kind. Its addresses
// are not new, except the one that was silent.
func TestStateOfVersion2(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/state-v2.json")
	if err != nil {
		t.Fatal(err)
	}
	task, log := stateTask(t, "1-5"), &lockedLog{}
	now := stateTime().Add(10 * time.Minute)
	s := mustDecodeStore(t, data, task, now)
	s.logger = slog.New(slog.NewTextHandler(log, nil))
	changes := s.Changes("t")
	if len(changes) != 4 || changes[0].Kind != PortChanged || changes[0].Port == 0 || changes[0].From == changes[0].To {
		t.Errorf("Changes() = %+v, want 4 of ports", changes)
	}
	s.Record(task, "9", stateResult(t, task, now, []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}, scan.NewPortSet(1), scan.PortSet{}))
	if got := log.String(); strings.Count(got, `"New host"`) != 1 || !strings.Contains(got, `"New host" target=t module=m ip=192.0.2.4`) {
		t.Errorf("log = %s, want one new host, 192.0.2.4", got)
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// oldTask returns a task of the configuration with which the exporter wrote state-v1.json:
//
//	modules:
//	  tcp_cached: {protocol: tcp, method: connect, ports: "18080-18089", timeout: 9s, max_age: 1h}
//	  tcp_live: {protocol: tcp, method: connect, ports: "18080-18089", timeout: 9s}
//	  tcp_slow: {protocol: tcp, method: connect, ports: "18080-18180", timeout: 4h, max_age: 1d, rate: 2}
//	targets:
//	  - name: pair
//	    hosts: [127.0.0.2, 127.0.0.3]
//	    modules: [tcp_cached, tcp_live, tcp_slow]
//	    expect: {tcp: {open: "18080", allow: "18081"}}
//	  - name: net
//	    hosts: [127.0.0.8/29]
//	    modules: [tcp_cached]
func oldTask(tb testing.TB, target, module string) scan.Task {
	tb.Helper()
	settings := map[string]struct {
		ports   string
		timeout time.Duration
		maxAge  time.Duration
		rate    int
	}{
		"tcp_cached": {"18080-18089", 9 * time.Second, time.Hour, 0},
		"tcp_live":   {"18080-18089", 9 * time.Second, 0, 0},
		"tcp_slow":   {"18080-18180", 4 * time.Hour, 24 * time.Hour, 2},
	}[module]
	hosts := map[string][]string{"pair": {"127.0.0.2", "127.0.0.3"}, "net": {"127.0.0.8/29"}}[target]
	spec := scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Timeout: settings.timeout, PortTimeout: 950 * time.Millisecond, Retries: 2, MaxRetries: 10,
		MaxInFlight: 10_000, Rate: settings.rate, MaxOpenAttempts: 3, ControlPorts: 2,
	}
	var err error
	if spec.Ports, err = scan.ParsePortSet(settings.ports); err != nil {
		tb.Fatal(err)
	}
	if target == "pair" {
		spec.Expect = &scan.Expectation{Open: scan.NewPortSet(18080), Allow: scan.NewPortSet(18081)}
	}
	task := scan.Task{Asked: target, Target: target, Module: module, MaxAddresses: 256, MaxAge: settings.maxAge}
	var networks []netip.Prefix
	for _, text := range hosts {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			network = netip.PrefixFrom(netip.MustParseAddr(text), 32)
		}
		networks = append(networks, network)
		task.Hosts = append(task.Hosts, scan.Host{Entry: text, Network: network})
	}
	if task.Plan, err = scan.NewPlan(spec); err != nil {
		tb.Fatal(err)
	}
	if task.Scope, err = scan.NewScope(networks, nil); err != nil {
		tb.Fatal(err)
	}
	return task.WithDigest()
}

// oldOptions returns the configuration's tasks.
func oldOptions(tb testing.TB) StateOptions {
	tb.Helper()
	var o StateOptions
	for _, module := range []string{"tcp_cached", "tcp_live", "tcp_slow"} {
		o.Tasks = append(o.Tasks, oldTask(tb, "pair", module))
	}
	o.Tasks = append(o.Tasks, oldTask(tb, "net", "tcp_cached"))
	o.Allow = func(t scan.Task) (scan.Task, error) {
		for _, task := range o.Tasks {
			if task.Target == t.Target && task.Module == t.Module {
				return allowTask(task)(t)
			}
		}
		return scan.Task{}, errors.New("unknown target")
	}
	return o
}

func readOldFixture(tb testing.TB) []byte {
	tb.Helper()
	data, err := os.ReadFile("testdata/state-v1.json")
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// oldNow is a moment after the end of the process that wrote the fixture.
func oldNow() time.Time { return time.Date(2026, 11, 28, 16, 30, 0, 0, time.UTC) }

func TestOldStateResults(t *testing.T) {
	t.Parallel()
	s, err := decodeStore(t, readOldFixture(t), oldOptions(t), oldNow())
	if err != nil {
		t.Fatal(err)
	}
	cached := oldTask(t, "pair", "tcp_cached")
	v := s.View(cached, oldNow())
	if v == nil || !v.Complete() || !v.IsFresh(cached, oldNow()) || len(v.Result.Addresses) != 2 || v.Result.Addresses[0].Count(scan.Open) != 2 {
		t.Errorf("View(pair) = %+v, want the complete result", v)
	}
	network := oldTask(t, "net", "tcp_cached")
	if v := s.View(network, oldNow()); v != nil {
		t.Errorf("View(net) = %+v, want none", v)
	}
	for _, ip := range []string{"127.0.0.9", "127.0.0.10"} {
		one := network.ForAddress(netip.MustParseAddr(ip), "127.0.0.8/29")
		if v := s.View(one, oldNow()); v == nil || !v.IsFresh(one, oldNow()) {
			t.Errorf("View(%s) = %+v, want the cached result", ip, v)
		}
	}
	if views := s.TargetViews("net"); len(views) != 1 || len(views[0].Addresses) != 2 || !views[0].Partial {
		t.Errorf("TargetViews(net) = %+v, want one with both addresses", views)
	}
	r := s.Resume(oldTask(t, "pair", "tcp_slow"), oldNow())
	if r == nil || r.Attempts != 36 || r.Addresses[0].Count(scan.Unknown) == 0 || r.Addresses[0].Count(scan.Closed) == 0 {
		t.Errorf("Resume(pair) = %+v, want the unfinished result", r)
	}
}

func TestOldStateHistory(t *testing.T) {
	t.Parallel()
	s, err := decodeStore(t, readOldFixture(t), oldOptions(t), oldNow())
	if err != nil {
		t.Fatal(err)
	}
	ip, live := netip.MustParseAddr("127.0.0.2"), oldTask(t, "pair", "tcp_live")
	h := s.History(live, &scan.Result{Addresses: []scan.AddressResult{{Address: scan.Address{IP: ip}}}})
	want := time.Date(2026, 11, 28, 16, 26, 58, 50936889, time.UTC)
	for port, isChanged := range map[uint16]bool{18080: false, 18081: true, 18085: true} {
		if at, ok := h.LastChange(ip, port); ok != isChanged || ok && !at.Equal(want) {
			t.Errorf("LastChange(%d) = %v, %v, want %v, %v", port, at, ok, want, isChanged)
		}
	}
	if got := h.Opened(ip).String(); got != "18080-18081,18085" || h.LastResponse(ip).IsZero() {
		t.Errorf("Opened() = %s, LastResponse() = %v, want 18080-18081,18085 and a response", got, h.LastResponse(ip))
	}
	known := s.Known(live, []scan.Address{{IP: ip}}, time.Time{})[ip]
	if known.Open.String() != "18080,18085" || known.Closed.String() != "18081-18084,18086-18089" {
		t.Errorf("Known() = %v, want the last complete scan", known)
	}
	changes := s.Changes("pair")
	if len(changes) != 2 || changes[0].Module != "tcp_live" || !changes[0].Time.Equal(want) {
		t.Errorf("Changes(pair) = %v, want two of tcp_live", changes)
	}
}

// sealOldState returns a file of version 1 with the content.
func sealOldState(tb testing.TB, content []byte) []byte {
	tb.Helper()
	inner, err := json.Marshal(json.RawMessage(content))
	if err != nil {
		tb.Fatal(err)
	}
	sum := sha256.Sum256(inner)
	data, err := json.Marshal(oldEnvelope{Format: oldFormat, Version: oldVersion, SHA256: hex.EncodeToString(sum[:]), Content: inner})
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// TestOldStateFromTheFuture has times that a wrong clock has written.
func TestOldStateFromTheFuture(t *testing.T) {
	t.Parallel()
	const ahead = `"2999-01-01T00:00:00Z"`
	data := sealOldState(t, []byte(`{"remembered":[{"target":"pair","module":"tcp_cached","protocol":"tcp","ip":"127.0.0.2","last":`+ahead+`,"whole":`+ahead+
		`,"states":{"closed":"18080-18089"},"changed":{"18082":{"at":`+ahead+`,"since":`+ahead+`,"times":10}}}]}`))
	s, err := decodeStore(t, data, oldOptions(t), oldNow())
	if err != nil {
		t.Fatal(err)
	}
	rec := s.find(oldTask(t, "pair", "tcp_cached")).records[netip.MustParseAddr("127.0.0.2")]
	if at, ok := rec.lastChange(18082); !ok || !at.Equal(oldNow()) || !rec.last.Equal(oldNow()) || !rec.baseline.started.Equal(oldNow()) {
		t.Errorf("LastChange(18082) = %v, %v, want %v", at, ok, oldNow())
	}
}

func TestDamagedOldState(t *testing.T) {
	t.Parallel()
	good, o := readOldFixture(t), oldOptions(t)
	const step = 31 // so that it takes a second
	for i := 0; i < len(good); i += step {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		for name, data := range map[string][]byte{"bit flipped": bad, "cut": good[:i]} {
			if _, err := decodeStore(t, data, o, oldNow()); !errors.Is(err, errUnusable) {
				t.Errorf("%s at byte %d: error %v, want %v", name, i, err, errUnusable)
			}
		}
	}
}

func FuzzOldState(f *testing.F) {
	var e oldEnvelope
	if err := json.Unmarshal(readOldFixture(f), &e); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(e.Content))
	f.Add([]byte(`{"remembered":[{"target":"pair","module":"tcp_cached","protocol":"tcp","ip":"127.0.0.2","states":{"open":"1-5"},"opened":"1","changed":{"1":{}}}]}`))
	f.Add([]byte(`{"changes":{"pair":[{"protocol":"udp","from":"open","to":"closed","expected":"any"}]},"results":[{"asked":"pair"}]}`))
	o := oldOptions(f)
	f.Fuzz(func(t *testing.T, content []byte) {
		if !json.Valid(content) {
			return
		}
		r := newRestorer(o, oldNow())
		if err := r.read(bufio.NewReader(bytes.NewReader(sealOldState(t, content)))); err != nil {
			if !errors.Is(err, errUnusable) {
				t.Errorf("reading %q: %v, want %v", content, err, errUnusable)
			}
			return
		}
		s := newStateStore(t, nil)
		s.install(r)
		for _, task := range o.Tasks {
			s.View(task, oldNow())
			s.TargetViews(task.Target)
		}
		encodeStore(t, s)
	})
}

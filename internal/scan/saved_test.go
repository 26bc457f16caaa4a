// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"portscan_exporter/internal/scan"
)

// sampleResult returns a result with ports in all states, and its plan and scope.
func sampleResult(tb testing.TB) (*scan.Result, scan.Plan, scan.Scope) {
	tb.Helper()
	p, err := scan.NewPlan(scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Ports: scan.NewPortSet(1, 2, 3, 4, 5, 6, 7, 80), Expect: &scan.Expectation{Open: scan.NewPortSet(80)},
		Timeout: time.Second, PortTimeout: time.Second, MaxInFlight: 1,
	})
	if err != nil {
		tb.Fatal(err)
	}
	s, err := scan.NewScope([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	req, _, err := scan.NewRequest(p, s, found("192.0.2.1", "192.0.2.2"))
	if err != nil {
		tb.Fatal(err)
	}
	rec, err := scan.NewRecorder(req)
	if err != nil {
		tb.Fatal(err)
	}
	ip := netip.MustParseAddr("192.0.2.1")
	for port, state := range map[uint16]scan.State{1: scan.Closed, 2: scan.Closed, 3: scan.Filtered, 4: scan.OpenFiltered, 80: scan.Open} {
		cause := map[scan.State]scan.Cause{scan.Closed: scan.CauseRST, scan.Open: scan.CauseSYNACK}[state]
		if cause == scan.CauseNone {
			cause = scan.CauseSilence
		}
		rec.Record(scan.PortResult{Address: ip, Port: port, State: state, Cause: cause, RTT: time.Duration(port) * time.Millisecond, Attempts: 2})
	}
	rec.Record(scan.PortResult{Address: ip, Port: 5, State: scan.Unknown, Cause: scan.CauseNoRoute})
	started := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := &scan.Result{
		Plan: p, Started: started, Finished: started.Add(time.Hour), Lookup: time.Second,
		Refused: []netip.Addr{netip.MustParseAddr("198.51.100.1")}, Failed: map[scan.Failure]error{scan.FailedDNS: errors.New("no answer")},
	}
	r.Addresses, r.Attempts, r.Retries = rec.Snapshot(scan.CauseDeadline)
	return r, p, s
}

func TestResultSave(t *testing.T) {
	t.Parallel()
	want, p, s := sampleResult(t)
	data, err := want.Save()
	if err != nil {
		t.Fatal(err)
	}
	got, err := scan.ReadResult(data, p, s)
	if err != nil {
		t.Fatal(err)
	}
	sameText := cmp.Comparer(func(a, b error) bool { return a.Error() == b.Error() })
	inside := cmp.Exporter(func(reflect.Type) bool { return true })
	addrs := cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
	if diff := cmp.Diff(want, got, sameText, inside, addrs); diff != "" {
		t.Errorf("ReadResult() (-want +got):\n%s", diff)
	}
	narrow := scope(t, []string{"192.0.2.1/32"}, nil)
	for name, c := range map[string]struct {
		data  string
		plan  scan.Plan
		scope scan.Scope
	}{
		"no JSON":            {"{", p, s},
		"other ports":        {string(data), plan(t, spec(1, 2)), s},
		"an address outside": {string(data), p, narrow},
		"no plan":            {string(data), scan.Plan{}, s},
		"an unknown state":   {strings.Replace(string(data), `"open"`, `"ajar"`, 1), p, s},
		"an unknown reason":  {strings.Replace(string(data), `"dns"`, `"weather"`, 1), p, s},
		"a port twice":       {strings.Replace(string(data), `"ports":"80"`, `"ports":"1,80"`, 1), p, s},
		"a missing port":     {strings.Replace(string(data), `"ports":"1-2"`, `"ports":"1"`, 1), p, s},
		"an invalid port":    {strings.Replace(string(data), `"ports":"1-2"`, `"ports":"x"`, 1), p, s},
	} {
		if _, err := scan.ReadResult([]byte(c.data), c.plan, c.scope); err == nil {
			t.Errorf("ReadResult() with %s = nil error, want an error", name)
		}
	}
}

func FuzzReadResult(f *testing.F) {
	r, p, s := sampleResult(f)
	data, err := r.Save()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"addresses":[{"ip":"::ffff:192.0.2.1","ports":[{"state":"open","cause":"rst","ports":"1-7,80"}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := scan.ReadResult(data, p, s)
		if err != nil {
			return
		}
		for i := range got.Addresses {
			if _, ok := s.Match(got.Addresses[i].IP); !ok {
				t.Fatalf("%v is not in the scope", got.Addresses[i].IP)
			}
		}
		again, err := got.Save()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := scan.ReadResult(again, p, s); err != nil {
			t.Fatalf("ReadResult() of a result that was read and saved = %v\n%s", err, again)
		}
	})
}

// TestTaskDigest requires another digest for a change of any field of the task or its spec.
func TestTaskDigest(t *testing.T) {
	t.Parallel()
	base := func() (scan.Task, scan.Spec) {
		s := spec(22)
		s.Expect = &scan.Expectation{Open: scan.NewPortSet(22)}
		s.MaxRetries = 5
		return scan.Task{
			Target: "t", Module: "m", Hosts: []scan.Host{{Entry: "192.0.2.0/28", Network: netip.MustParsePrefix("192.0.2.0/28")}},
			MaxAddresses: 1, Scope: scope(t, []string{"192.0.2.0/24"}, nil),
		}, s
	}
	seen := make(map[string]string)
	add := func(name string, task scan.Task, s scan.Spec) {
		task.Plan = plan(t, s)
		d := task.Digest()
		if other, ok := seen[d]; ok {
			t.Errorf("Digest() of a change of %s equals that of %s", name, other)
		}
		seen[d] = name
	}
	task, s := base()
	add("the task", task, s)
	golden, s := base()
	golden.Scope = scope(t, []string{"192.0.2.0/24", "2001:db8::/32"}, []string{"192.0.2.9/32"}).
		WithExclusion(netip.MustParsePrefix("192.0.2.0/28"), netip.MustParsePrefix("192.0.2.1/32"))
	golden.Plan = plan(t, s)
	if got, want := golden.Digest(), "19a5b68b0b5accbaa799cf8d593e19b0ab6e3209dc088a8520e91d59dfe928e3"; got != want { // of an earlier version
		t.Errorf("Digest() = %s, want %s: state files of earlier versions become unusable", got, want)
	}
	if again, s := base(); true {
		again.Plan, again.Asked, again.Expires = plan(t, s), "another name", time.Now()
		if _, ok := seen[again.Digest()]; !ok {
			t.Error("Digest() depends on Asked or Expires")
		}
	}
	for i := range reflect.TypeFor[scan.Task]().NumField() {
		task, s := base()
		switch name := reflect.TypeFor[scan.Task]().Field(i).Name; name {
		case "Asked", "Expires", "Plan": // ignored, or changed below
		case "Scope":
			task.Scope = scope(t, []string{"192.0.2.0/25"}, nil)
			add("allowed", task, s)
			task.Scope = scope(t, []string{"192.0.2.0/24"}, []string{"192.0.2.1/32"})
			add("excluded", task, s)
			task.Scope = scope(t, []string{"192.0.2.0/24"}, nil).WithExclusion(netip.MustParsePrefix("192.0.2.0/28"), netip.MustParsePrefix("192.0.2.1/32"))
			add("exclusion of a part", task, s)
		case "Hosts":
			task.Hosts = []scan.Host{{Entry: "192.0.2.0/29", Network: netip.MustParsePrefix("192.0.2.0/29")}}
			add(name, task, s)
		default:
			alter(t, reflect.ValueOf(&task).Elem().Field(i))
			add(name, task, s)
		}
	}
	for i := range reflect.TypeFor[scan.Spec]().NumField() {
		task, s := base()
		switch name := reflect.TypeFor[scan.Spec]().Field(i).Name; name {
		case "Expect":
			s.Expect = nil
			add("no expectation", task, s)
			s.Expect = &scan.Expectation{Open: scan.NewPortSet(22), Allow: scan.NewPortSet(23)}
			add("another expectation", task, s)
		case "Ports", "Exclude":
			reflect.ValueOf(&s).Elem().Field(i).Set(reflect.ValueOf(scan.NewPortSet(443)))
			add(name, task, s)
		case "Source":
			s.Source = netip.MustParseAddr("192.0.2.1")
			add(name, task, s)
		default:
			alter(t, reflect.ValueOf(&s).Elem().Field(i))
			add(name, task, s)
		}
	}
}

func alter(t *testing.T, v reflect.Value) {
	t.Helper()
	switch {
	case v.CanInt():
		v.SetInt(v.Int() + 1)
	case v.CanUint():
		v.SetUint(map[bool]uint64{true: 2, false: 1}[v.Uint() == 1])
	case v.Kind() == reflect.String:
		v.SetString(v.String() + "2")
	case v.Kind() == reflect.Bool:
		v.SetBool(!v.Bool())
	default:
		t.Fatalf("cannot alter a %v: add a case", v.Type())
	}
}

func TestAddressResultByState(t *testing.T) {
	t.Parallel()
	r, _, _ := sampleResult(t)
	got := make(map[string]string)
	for s, ports := range r.Addresses[0].ByState() {
		got[s.String()] = ports.String()
	}
	want := map[string]string{"open": "80", "closed": "1-2", "filtered": "3", "open_filtered": "4", "unknown": "5-7"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("got other ports (-want +got):\n%s", diff)
	}
}

func TestAddressResultWatched(t *testing.T) {
	t.Parallel()
	s := spec(1, 2, 3, 4, 5)
	s.Expect = &scan.Expectation{Open: scan.NewPortSet(1), Allow: scan.NewPortSet(2, 99)}
	req, _, err := scan.NewRequest(plan(t, s).WithWatched(scan.NewPortSet(4)), scope(t, []string{"192.0.2.0/24"}, nil), found("192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	rec, err := scan.NewRecorder(req)
	if err != nil {
		t.Fatal(err)
	}
	rec.Record(scan.PortResult{Address: testAddress, Port: 3, State: scan.Open, Cause: scan.CauseHandshake, RTT: time.Second})
	rec.Record(scan.PortResult{Address: testAddress, Port: 4, State: scan.Closed, Cause: scan.CauseRST, RTT: time.Second})
	rec.Record(scan.PortResult{Address: testAddress, Port: 5, State: scan.Closed, Cause: scan.CauseRST, RTT: time.Second})
	addresses, _, _ := rec.Snapshot(scan.CauseDeadline)
	var got []string
	for p := range addresses[0].Watched() {
		got = append(got, fmt.Sprint(p.Port, p.State, p.RTT))
	}
	want := []string{"1 unknown 0s", "2 unknown 0s", "3 open 1s", "4 closed 1s"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("got other ports (-want +got):\n%s", diff)
	}
}

func TestPlanWithWatched(t *testing.T) {
	t.Parallel()
	s := spec(1, 2, 3)
	s.Expect = &scan.Expectation{Open: scan.NewPortSet(1)}
	p := plan(t, s).WithWatched(scan.NewPortSet(2, 99))
	for port, want := range map[uint16]bool{1: true, 2: true, 3: false, 99: false} {
		if p.Watched(port) != want {
			t.Errorf("Watched(%d) = %v, want the opposite", port, !want)
		}
	}
	if p.Ports().String() != "1-3" {
		t.Errorf("Ports() = %v, want 1-3", p.Ports())
	}
}

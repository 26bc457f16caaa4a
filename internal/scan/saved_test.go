// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
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
		Timeout: time.Second, PortTimeout: time.Second, MaxInFlight: 1, MaxOpenAttempts: 3, ControlPorts: 2,
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
	ip, started := netip.MustParseAddr("192.0.2.1"), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for port, state := range map[uint16]scan.State{1: scan.Closed, 2: scan.Closed, 3: scan.Filtered, 4: scan.OpenFiltered, 80: scan.Open} {
		cause := map[scan.State]scan.Cause{scan.Closed: scan.CauseRST, scan.Open: scan.CauseSYNACK}[state]
		if cause == scan.CauseNone {
			cause = scan.CauseSilence
		}
		rec.Record(scan.PortResult{
			Address: ip, Port: port, State: state, Cause: cause, RTT: time.Duration(port) * time.Millisecond, Attempts: 2,
			LastResponse: started.Add(time.Minute),
		})
	}
	rec.Record(scan.PortResult{Address: ip, Port: 5, State: scan.Unknown, Cause: scan.CauseNoRoute})
	router := scan.ICMPError{From: netip.MustParseAddr("198.51.100.1"), Type: 3, Code: 1}
	for port := range uint16(4) {
		one := scan.PortResult{Address: netip.MustParseAddr("192.0.2.2"), Port: port + 1, State: scan.Filtered, Cause: scan.CauseICMP, ICMP: router}
		if router.Code = 13; port == 2 {
			one.ICMP = scan.ICMPError{} // not known
		}
		rec.Record(one)
	}
	rec.Record(scan.PortResult{Address: ip, Ports: new(scan.PortSet), Control: &scan.Control{Open: 1, NotOpen: 2, TurnedOpen: 3, TurnedClosed: 4}})
	withdrawn := scan.NewPortSet(4)
	rec.Record(scan.PortResult{Address: netip.MustParseAddr("192.0.2.2"), Ports: &withdrawn, Cause: scan.CauseUnresponsive})
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
		"no JSON":                               {"{", p, s},
		"other ports":                           {string(data), plan(t, spec(1, 2)), s},
		"an address outside":                    {string(data), p, narrow},
		"no plan":                               {string(data), scan.Plan{}, s},
		"an unknown state":                      {strings.Replace(string(data), `"open"`, `"ajar"`, 1), p, s},
		"an unknown reason":                     {strings.Replace(string(data), `"dns"`, `"weather"`, 1), p, s},
		"a port twice":                          {strings.Replace(string(data), `"ports":"80"`, `"ports":"1,80"`, 1), p, s},
		"a missing port":                        {strings.Replace(string(data), `"ports":"1-2"`, `"ports":"1"`, 1), p, s},
		"an invalid port":                       {strings.Replace(string(data), `"ports":"1-2"`, `"ports":"x"`, 1), p, s},
		"an error of a port with another cause": {strings.Replace(string(data), `"ports":"2,4"`, `"ports":"2-5"`, 1), p, s},
		"an error of a port of no plan":         {strings.Replace(string(data), `"ports":"2,4"`, `"ports":"2,4,99"`, 1), p, s},
		"an error of an invalid port":           {strings.Replace(string(data), `"ports":"2,4"`, `"ports":"x"`, 1), p, s},
	} {
		if _, err := scan.ReadResult([]byte(c.data), c.plan, c.scope); err == nil {
			t.Errorf("ReadResult() with %s = nil error, want an error", name)
		}
	}
}

// TestReadResultResponseAfterEnd reads a result whose scan ended after the clock was set back.
func TestReadResultResponseAfterEnd(t *testing.T) {
	t.Parallel()
	r, p, s := sampleResult(t)
	r.Finished = r.Started.Add(time.Second)
	data, err := r.Save()
	if err != nil {
		t.Fatal(err)
	}
	got, err := scan.ReadResult(data, p, s)
	if err != nil {
		t.Fatal(err)
	}
	if last := got.Addresses[0].LastResponse(); !last.Equal(r.Finished) {
		t.Errorf("LastResponse() = %v, want the end of the scan, %v", last, r.Finished)
	}
}

// TestReadResultEarlierVersion reads a result without times of last responses, ICMP errors and
// answers of control ports. An address with open or closed ports has responded.
func TestReadResultEarlierVersion(t *testing.T) {
	t.Parallel()
	r, p, s := sampleResult(t)
	data, err := r.Save()
	if err != nil {
		t.Fatal(err)
	}
	earlier := string(data)
	for _, field := range []string{
		`,"last_response":"2026-03-01T12:01:00Z"`,
		`,"control":{"open":1,"not_open":2,"turned_open":3,"turned_closed":4}`,
		`,"icmp":[{"type":3,"code":1,"from":"198.51.100.1","ports":"1"},{"type":3,"code":13,"from":"198.51.100.1","ports":"2,4"}]`,
	} {
		without := strings.Replace(earlier, field, "", 1)
		if len(without) != len(earlier)-len(field) {
			t.Fatalf("saved result = %s, want one with %s", data, field)
		}
		earlier = without
	}
	got, err := scan.ReadResult([]byte(earlier), p, s)
	if err != nil {
		t.Fatal(err)
	}
	if last := got.Addresses[0].LastResponse(); !last.Equal(r.Started) {
		t.Errorf("LastResponse() = %v, want the start of the scan, %v", last, r.Started)
	}
	if got.Addresses[1].Responding() {
		t.Error("an address without open and closed ports responds")
	}
	if errors := got.Addresses[1].ICMPErrors(); len(errors) > 0 || got.Addresses[1].Count(scan.Filtered) != 3 {
		t.Errorf("ICMPErrors() = %v, want none, and 3 filtered ports", errors)
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
	for _, icmp := range []string{
		`{"type":3,"code":13,"from":"198.51.100.1","ports":"1-7,80"}`,
		`{"type":3,"code":13,"from":"198.51.100.1","ports":"1-7"},{"type":1,"code":255,"from":"fe80::1%eth0","ports":"7,80"}`,
		`{"type":3,"code":13,"from":"","ports":"80"}`,
	} {
		f.Add([]byte(`{"addresses":[{"ip":"192.0.2.1","ports":[{"state":"filtered","cause":"icmp","ports":"1-7,80"}],"icmp":[` + icmp + `]}]}`))
	}
	f.Add([]byte(`{"addresses":[{"ip":"192.0.2.1","ports":[{"state":"open","cause":"handshake","ports":"1-7,80"}],"control":{"open":2,"turned_closed":-1}}]}`))
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

// diffInside compares values with their unexported fields.
func diffInside(want, got any) string {
	return cmp.Diff(want, got, cmp.Exporter(func(reflect.Type) bool { return true }), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}))
}

func TestAddressResultSave(t *testing.T) {
	t.Parallel()
	r, p, s := sampleResult(t)
	saved := make([]string, 0, len(r.Addresses))
	for i := range r.Addresses {
		data, err := r.Addresses[i].Save()
		if err != nil {
			t.Fatal(err)
		}
		got, err := scan.ReadAddress(data, p, s)
		if err != nil {
			t.Fatal(err)
		}
		if diff := diffInside(r.Addresses[i], got); diff != "" {
			t.Errorf("ReadAddress() of %v (-want +got):\n%s", r.Addresses[i].IP, diff)
		}
		saved = append(saved, string(data))
	}
	all, err := r.Save()
	if want := `"addresses":[` + strings.Join(saved, ",") + `]`; err != nil || !strings.Contains(string(all), want) {
		t.Errorf("Result.Save() = %s, %v, want one with %s", all, err, want)
	}
}

func TestReadAddressInvalid(t *testing.T) {
	t.Parallel()
	r, p, s := sampleResult(t)
	first, err := r.Addresses[0].Save()
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.Addresses[1].Save()
	if err != nil {
		t.Fatal(err)
	}
	excluding := scope(t, []string{"192.0.2.0/24"}, []string{"192.0.2.1/32"})
	for name, c := range map[string]struct {
		data, old, replacement string
		plan                   scan.Plan
		scope                  scan.Scope
	}{
		"no JSON":                  {string(first), "{", "", p, s},
		"no address":               {string(first), `"ip":"192.0.2.1"`, `"ip":""`, p, s},
		"an address outside":       {string(first), `"ip":"192.0.2.1"`, `"ip":"198.51.100.1"`, p, s},
		"an excluded address":      {string(first), "", "", p, excluding},
		"no plan":                  {string(first), "", "", scan.Plan{}, s},
		"no scope":                 {string(first), "", "", p, scan.Scope{}},
		"a plan with other ports":  {string(first), "", "", plan(t, spec(1, 2)), s},
		"an unknown state":         {string(first), `"open"`, `"ajar"`, p, s},
		"an unknown cause":         {string(first), `"synack"`, `"weather"`, p, s},
		"open without evidence":    {string(first), `"synack"`, `"deadline"`, p, s},
		"unknown with an answer":   {string(first), `"no_route"`, `"rst"`, p, s},
		"no cause":                 {string(first), `"no_route"`, `"none"`, p, s},
		"a port twice":             {string(first), `"ports":"80"`, `"ports":"1,80"`, p, s},
		"a missing port":           {string(first), `"ports":"1-2"`, `"ports":"1"`, p, s},
		"a further port":           {string(first), `"ports":"80"`, `"ports":"80-81"`, p, s},
		"an invalid port":          {string(first), `"ports":"1-2"`, `"ports":"x"`, p, s},
		"an error of a wrong port": {string(second), `"ports":"2,4"`, `"ports":"2-5"`, p, s},
		"two errors of a port":     {string(second), `"ports":"2,4"`, `"ports":"1,2,4"`, p, s},
		"an error without plan":    {string(second), `"ports":"2,4"`, `"ports":"2,4,99"`, p, s},
		"an error of no port":      {string(second), `"ports":"2,4"`, `"ports":"x"`, p, s},
	} {
		data := strings.Replace(c.data, c.old, c.replacement, 1)
		if c.old != "" && data == c.data {
			t.Fatalf("%s: no %s in %s", name, c.old, c.data)
		}
		if got, err := scan.ReadAddress([]byte(data), c.plan, c.scope); err == nil {
			t.Errorf("ReadAddress() with %s = %v, nil, want an error", name, got.ByState())
		}
	}
}

// TestReadAddressRTTs requires that only the response times are read which a scan keeps.
func TestReadAddressRTTs(t *testing.T) {
	t.Parallel()
	_, p, s := sampleResult(t)
	data := `{"ip":"::ffff:192.0.2.1","rtts":{"1":5,"3":5,"4":-5,"80":5,"99":5},"ports":[{"state":"open","cause":"synack","ports":"1,4"},` +
		`{"state":"closed","cause":"rst","ports":"2-3,80"},{"state":"filtered","cause":"silence","ports":"5-7"}]}`
	a, err := scan.ReadAddress([]byte(data), p, s)
	if err != nil {
		t.Fatal(err)
	}
	var got []uint16
	for r := range a.All() {
		if r.RTT > 0 {
			got = append(got, r.Port)
		}
	}
	if want := []uint16{1, 80}; a.IP != testAddress || !slices.Equal(got, want) {
		t.Errorf("ReadAddress() = %v with response times of %v, want %v with those of %v", a.IP, got, testAddress, want)
	}
}

// TestReadAddressRTTUnknown requires that a watched port in state unknown has no response time.
func TestReadAddressRTTUnknown(t *testing.T) {
	t.Parallel()
	_, p, s := sampleResult(t)
	data := `{"ip":"192.0.2.1","rtts":{"80":5},"ports":[{"state":"unknown","cause":"unresponsive","ports":"1-7,80"}]}`
	a, err := scan.ReadAddress([]byte(data), p, s)
	if err != nil {
		t.Fatal(err)
	}
	if saved, err := a.Save(); err != nil || strings.Contains(string(saved), "rtts") {
		t.Errorf("Save() = %s, %v, want no response times", saved, err)
	}
}

func FuzzReadAddress(f *testing.F) {
	r, p, s := sampleResult(f)
	for i := range r.Addresses {
		data, err := r.Addresses[i].Save()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"ip":"::ffff:192.0.2.1","ports":[{"state":"open","cause":"rst","ports":"1-7"},{"state":"open","cause":"rst","ports":"80"}],"rtts":{"1":-5,"99":5}}`))
	f.Add([]byte(`{"ip":"192.0.2.1","ports":[{"state":"unknown","cause":"unresponsive","ports":"1-7,80"}],` +
		`"icmp":[{"type":1,"code":255,"from":"fe80::1%eth0","ports":"7,80"},{"type":3,"code":13,"from":"","ports":"1-3"}],"control":{"open":-1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := scan.ReadAddress(data, p, s)
		if err != nil {
			return
		}
		if _, ok := s.Match(got.IP); !ok {
			t.Fatalf("%v is not in the scope", got.IP)
		}
		known := 0
		for port := range got.All() {
			if r, ok := got.Port(port.Port); !ok || r != port || !p.Ports().Contains(port.Port) {
				t.Fatalf("Port(%d) = %v, %v, want %v", port.Port, r, ok, port)
			}
			known++
		}
		if known != p.Ports().Len() {
			t.Fatalf("All() = %d ports, want %d", known, p.Ports().Len())
		}
		saved, err := got.Save()
		if err != nil {
			t.Fatal(err)
		}
		again, err := scan.ReadAddress(saved, p, s)
		if err != nil {
			t.Fatalf("ReadAddress() of a result that was read and saved = %v\n%s", err, saved)
		}
		if resaved, err := again.Save(); err != nil || string(resaved) != string(saved) {
			t.Fatalf("Save() = %s, %v after reading, want %s", resaved, err, saved)
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
	golden.Scope = withExclusion(t, scope(t, []string{"192.0.2.0/24", "2001:db8::/32"}, []string{"192.0.2.9/32"}), "192.0.2.0/28", "192.0.2.1/32")
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
		case "Asked", "Owner", "Reference", "Addr", "Expires", "Plan", "digest": // ignored, or changed below
		case "Scope":
			task.Scope = scope(t, []string{"192.0.2.0/25"}, nil)
			add("allowed", task, s)
			task.Scope = scope(t, []string{"192.0.2.0/24"}, []string{"192.0.2.1/32"})
			add("excluded", task, s)
			task.Scope = withExclusion(t, scope(t, []string{"192.0.2.0/24"}, nil), "192.0.2.0/28", "192.0.2.1/32")
			add("exclusion of a part", task, s)
		case "Hosts":
			task.Hosts = []scan.Host{{Entry: "192.0.2.0/29", Network: netip.MustParsePrefix("192.0.2.0/29")}}
			add(name, task, s)
		case "Resolver":
			task.Resolver = netip.MustParseAddrPort("192.0.2.53:53")
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

// TestTaskDigestDefaults requires that fields which are left out with their default do not make two
// specs equal.
func TestTaskDigestDefaults(t *testing.T) {
	t.Parallel()
	seen := make(map[string]scan.Spec)
	for _, set := range []func(*scan.Spec){
		func(s *scan.Spec) { s.Rate, s.MaxOpenAttempts, s.ControlPorts = 10, 30, 2 },
		func(s *scan.Spec) { s.Rate, s.MaxOpenAttempts, s.ControlPorts = 100, 3, 2 },
		func(s *scan.Spec) { s.Rate, s.MaxOpenAttempts, s.ControlPorts = 10, 4, 20 },
		func(s *scan.Spec) { s.Rate, s.MaxOpenAttempts, s.ControlPorts = 10, 40, 2 },
	} {
		s := spec(22)
		set(&s)
		d := scan.Task{Target: "t", Module: "m", Plan: plan(t, s)}.Digest()
		if other, ok := seen[d]; ok {
			t.Errorf("Digest() of %+v equals that of %+v", s, other)
		}
		seen[d] = s
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

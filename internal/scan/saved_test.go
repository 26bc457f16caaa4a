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

// saved is a result with every kind of port, and its task.
func saved(tb testing.TB) (*scan.Result, scan.Plan, scan.Scope) {
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
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := &scan.Result{
		Plan: p, Started: began, Finished: began.Add(time.Hour), Lookup: time.Second,
		Refused: []netip.Addr{netip.MustParseAddr("198.51.100.1")}, Failed: map[scan.Failure]error{scan.FailedDNS: errors.New("no answer")},
	}
	r.Addresses, r.Attempts, r.Retries = rec.Snapshot(scan.CauseDeadline)
	return r, p, s
}

func TestSaved(t *testing.T) {
	t.Parallel()
	want, p, s := saved(t)
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
		t.Errorf("read back (-want +got):\n%s", diff)
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
		"a port too few":     {strings.Replace(string(data), `"ports":"1-2"`, `"ports":"1"`, 1), p, s},
		"no port":            {strings.Replace(string(data), `"ports":"1-2"`, `"ports":"x"`, 1), p, s},
	} {
		if _, err := scan.ReadResult([]byte(c.data), c.plan, c.scope); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}

func FuzzReadResult(f *testing.F) {
	r, p, s := saved(f)
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
			t.Fatalf("what was read and saved is not read again: %v\n%s", err, again)
		}
	})
}

// TestDigest changes every field of a task and of its plan's spec, one by one: each has
// to show.
func TestDigest(t *testing.T) {
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
	note := func(name string, task scan.Task, s scan.Spec) {
		task.Plan = plan(t, s)
		d := task.Digest()
		if other, ok := seen[d]; ok {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[d] = name
	}
	task, s := base()
	note("the task", task, s)
	golden, s := base()
	golden.Scope = scope(t, []string{"192.0.2.0/24", "2001:db8::/32"}, []string{"192.0.2.9/32"}).
		WithExclusion(netip.MustParsePrefix("192.0.2.0/28"), netip.MustParsePrefix("192.0.2.1/32"))
	golden.Plan = plan(t, s)
	if got, want := golden.Digest(), "19a5b68b0b5accbaa799cf8d593e19b0ab6e3209dc088a8520e91d59dfe928e3"; got != want { // as another process has made it
		t.Errorf("the digest is %s, want %s: results in state files are of no use any more", got, want)
	}
	if again, s := base(); true {
		again.Plan, again.Asked, again.Expires = plan(t, s), "in other words", time.Now()
		if _, ok := seen[again.Digest()]; !ok {
			t.Error("the same task has another digest")
		}
	}
	for i := range reflect.TypeFor[scan.Task]().NumField() {
		task, s := base()
		switch name := reflect.TypeFor[scan.Task]().Field(i).Name; name {
		case "Asked", "Expires", "Plan": // no matter; no matter; below
		case "Scope":
			task.Scope = scope(t, []string{"192.0.2.0/25"}, nil)
			note("allowed", task, s)
			task.Scope = scope(t, []string{"192.0.2.0/24"}, []string{"192.0.2.1/32"})
			note("excluded", task, s)
			task.Scope = scope(t, []string{"192.0.2.0/24"}, nil).WithExclusion(netip.MustParsePrefix("192.0.2.0/28"), netip.MustParsePrefix("192.0.2.1/32"))
			note("another's", task, s)
		case "Hosts":
			task.Hosts = []scan.Host{{Entry: "192.0.2.0/29", Network: netip.MustParsePrefix("192.0.2.0/29")}}
			note(name, task, s)
		default:
			alter(t, reflect.ValueOf(&task).Elem().Field(i))
			note(name, task, s)
		}
	}
	for i := range reflect.TypeFor[scan.Spec]().NumField() {
		task, s := base()
		switch name := reflect.TypeFor[scan.Spec]().Field(i).Name; name {
		case "Expect":
			s.Expect = nil
			note("no expectation", task, s)
			s.Expect = &scan.Expectation{Open: scan.NewPortSet(22), Allow: scan.NewPortSet(23)}
			note("another expectation", task, s)
		case "Ports", "Exclude":
			reflect.ValueOf(&s).Elem().Field(i).Set(reflect.ValueOf(scan.NewPortSet(443)))
			note(name, task, s)
		case "Source":
			s.Source = netip.MustParseAddr("192.0.2.1")
			note(name, task, s)
		default:
			alter(t, reflect.ValueOf(&s).Elem().Field(i))
			note(name, task, s)
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
		t.Fatalf("no way to alter a %v: say here how", v.Type())
	}
}

func TestByState(t *testing.T) {
	t.Parallel()
	r, _, _ := saved(t)
	got := make(map[string]string)
	for s, ports := range r.Addresses[0].ByState() {
		got[s.String()] = ports.String()
	}
	want := map[string]string{"open": "80", "closed": "1-2", "filtered": "3", "open_filtered": "4", "unknown": "5-7"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWatched(t *testing.T) {
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
	rec.Record(scan.PortResult{Address: home, Port: 3, State: scan.Open, Cause: scan.CauseHandshake, RTT: time.Second})
	rec.Record(scan.PortResult{Address: home, Port: 4, State: scan.Closed, Cause: scan.CauseRST, RTT: time.Second})
	rec.Record(scan.PortResult{Address: home, Port: 5, State: scan.Closed, Cause: scan.CauseRST, RTT: time.Second})
	addresses, _, _ := rec.Snapshot(scan.CauseDeadline)
	var got []string
	for p := range addresses[0].Watched() {
		got = append(got, fmt.Sprint(p.Port, p.State, p.RTT))
	}
	want := []string{"1 unknown 0s", "2 unknown 0s", "3 open 1s", "4 closed 1s"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWatching(t *testing.T) {
	t.Parallel()
	s := spec(1, 2, 3)
	s.Expect = &scan.Expectation{Open: scan.NewPortSet(1)}
	p := plan(t, s).WithWatched(scan.NewPortSet(2, 99))
	for port, want := range map[uint16]bool{1: true, 2: true, 3: false, 99: false} {
		if p.Watched(port) != want {
			t.Errorf("port %d is watched: %v", port, !want)
		}
	}
	if p.Ports().String() != "1-3" {
		t.Errorf("the plan covers %v now", p.Ports())
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

func prefixes(tb testing.TB, texts ...string) []netip.Prefix {
	tb.Helper()
	out := make([]netip.Prefix, 0, len(texts))
	for _, s := range texts {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func scope(tb testing.TB, allow, exclude []string) scan.Scope {
	tb.Helper()
	s, err := scan.NewScope(prefixes(tb, allow...), prefixes(tb, exclude...))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func spec(ports ...uint16) scan.Spec {
	return scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Ports: scan.NewPortSet(ports...),
		Timeout: time.Second, PortTimeout: time.Second, MaxInFlight: 1, MaxOpenAttempts: 3, ControlPorts: 2,
	}
}

func plan(tb testing.TB, s scan.Spec) scan.Plan {
	tb.Helper()
	p, err := scan.NewPlan(s)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func found(addrs ...string) []scan.Address {
	out := make([]scan.Address, 0, len(addrs))
	for _, a := range addrs {
		out = append(out, scan.Address{IP: netip.MustParseAddr(a), Hosts: []string{"host " + a}})
	}
	return out
}

// withExclusion returns the scope with an exclusion of another target.
func withExclusion(tb testing.TB, s scan.Scope, part, excluded string) scan.Scope {
	tb.Helper()
	other := scope(tb, []string{part}, []string{excluded})
	return s.WithExclusions(scan.NewExclusions(maps.All(map[string]scan.Scope{"other": other})))
}

func TestScopeMatch(t *testing.T) {
	t.Parallel()
	s := scope(t,
		[]string{"192.0.2.0/24", "192.0.2.16/28", "198.51.100.8/31", "203.0.113.255/32", "203.0.113.0/24", "2001:db8::/64", "0.0.0.0/4", "224.0.0.0/3", "ff00::/8", "fe80::/10"},
		[]string{"192.0.2.9/32", "192.0.2.64/26"})
	for addr, want := range map[string]float64{ // prefix length, or -1 for no match
		"192.0.2.1":           24,
		"192.0.2.17":          28,
		"192.0.2.16":          24, // network address of the /28, but not of the /24
		"192.0.2.0":           -1, // network
		"192.0.2.255":         -1, // broadcast
		"192.0.2.9":           -1, // excluded
		"192.0.2.64":          -1, // excluded network, including its first and last address
		"192.0.2.127":         -1,
		"192.0.2.128":         24,
		"198.51.100.8":        31, // a /31 has no network address
		"198.51.100.9":        31,
		"198.51.100.7":        -1,
		"203.0.113.255":       32, // broadcast address of the /24, but listed as /32
		"203.0.113.0":         -1,
		"2001:db8::":          64,
		"2001:db8::1":         64,
		"2001:db8:1::":        -1,
		"::ffff:192.0.2.1":    24,
		"::ffff:192.0.2.9":    -1,
		"::ffff:198.51.100.1": -1,
		"::192.0.2.1":         -1, // IPv4-compatible is not IPv4-mapped
		"0.0.0.0":             -1,
		"0.0.0.1":             4,
		"255.255.255.255":     -1,
		"224.0.0.1":           -1,
		"ff02::1":             -1,
		"fe80::1":             10,
		"fe80::1%eth0":        -1,
		"::":                  -1,
	} {
		bits, ok := s.Match(netip.MustParseAddr(addr))
		if ok != (want >= 0) || (ok && bits != want) {
			t.Errorf("Match(%s) = %v, %v, want %v", addr, bits, ok, want)
		}
	}
	if _, ok := s.Match(netip.Addr{}); ok {
		t.Error("Match() of the zero address = true, want false")
	}
	if _, ok := (scan.Scope{}).Match(netip.MustParseAddr("127.0.0.1")); ok {
		t.Error("Match() of the zero scope = true, want false")
	}
}

func TestNewScopeInvalid(t *testing.T) {
	t.Parallel()
	for name, allow := range map[string][]netip.Prefix{
		"no network":  nil,
		"zero prefix": {{}},
		"host bits":   {netip.MustParsePrefix("192.0.2.1/24")},
		"mapped":      {netip.MustParsePrefix("::ffff:192.0.2.0/120")},
	} {
		if _, err := scan.NewScope(allow, nil); err == nil {
			t.Errorf("NewScope() with %s = nil error, want an error", name)
		}
	}
}

func TestNewRequest(t *testing.T) {
	t.Parallel()
	s := scope(t, []string{"192.0.2.0/24", "2001:db8::/64"}, []string{"192.0.2.9/32"})
	req, refused, err := scan.NewRequest(plan(t, spec(22)), s, found(
		"2001:db8::1", "192.0.2.7", "::ffff:192.0.2.7", "198.51.100.1", "192.0.2.9", "198.51.100.1", "192.0.2.255", "169.254.169.254"))
	if err != nil {
		t.Fatal(err)
	}
	wantAddresses := []scan.Address{
		{IP: netip.MustParseAddr("192.0.2.7"), Hosts: []string{"host 192.0.2.7", "host ::ffff:192.0.2.7"}},
		{IP: netip.MustParseAddr("2001:db8::1"), Hosts: []string{"host 2001:db8::1"}},
	}
	same := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if diff := cmp.Diff(wantAddresses, req.Addresses(), same); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	wantRefused := []netip.Addr{
		netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("192.0.2.255"), netip.MustParseAddr("198.51.100.1"),
	}
	if !slices.Equal(refused, wantRefused) {
		t.Errorf("refused %v, want %v", refused, wantRefused)
	}
	if err := req.Check(); err != nil {
		t.Errorf("Check() = %v, want nil", err)
	}
}

func TestNewRequestZeroValues(t *testing.T) {
	t.Parallel()
	s := scope(t, []string{"192.0.2.0/24"}, nil)
	if _, _, err := scan.NewRequest(scan.Plan{}, s, found("192.0.2.1")); err == nil {
		t.Error("NewRequest() with the zero plan = nil error, want an error")
	}
	if _, _, err := scan.NewRequest(plan(t, spec(22)), scan.Scope{}, found("192.0.2.1")); err == nil {
		t.Error("NewRequest() with the zero scope = nil error, want an error")
	}
	if err := (scan.Request{}).Check(); !errors.Is(err, scan.ErrUncheckedRequest) {
		t.Errorf("Check() of the zero request = %v, want ErrUncheckedRequest", err)
	}
	if _, err := scan.NewRecorder(scan.Request{}); !errors.Is(err, scan.ErrUncheckedRequest) {
		t.Errorf("NewRecorder() with the zero request = %v, want ErrUncheckedRequest", err)
	}
}

// TestRequestForControl requires that the derived request has only addresses of the request,
// and no excluded port.
func TestRequestForControl(t *testing.T) {
	t.Parallel()
	s := spec(22)
	s.Exclude, s.Retries, s.MaxRetries = scan.NewPortSet(40001), 2, 10
	s.Expect = &scan.Expectation{Open: scan.NewPortSet(22, 80)}
	req, _, err := scan.NewRequest(plan(t, s), scope(t, []string{"192.0.2.0/24"}, nil), found("192.0.2.1", "192.0.2.2"))
	if err != nil {
		t.Fatal(err)
	}
	first, outside := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.3")
	ports := scan.NewPortSet(40000, 40001)
	got, ok := req.ForControl(ports, time.Millisecond, 1, []netip.Addr{outside, first})
	if !ok || got.Check() != nil || len(got.Addresses()) != 1 || got.Addresses()[0].IP != first {
		t.Fatalf("ForControl() = %v, %v, want a checked request for %v", got.Addresses(), ok, first)
	}
	if p := got.Plan(); p.Ports().String() != "40000" || p.Declared(22) || p.Spec().PortTimeout != time.Millisecond || p.Spec().Retries != 1 || p.Spec().MaxRetries != 1 || p.Spec().MaxOpenAttempts != 1 {
		t.Errorf("plan = ports %v, %+v, want port 40000, a timeout of 1ms and one retry", p.Ports(), p.Spec())
	}
	for name, ok := range map[string]bool{
		"an address outside": second(req.ForControl(ports, time.Second, 1, []netip.Addr{outside})),
		"no address":         second(req.ForControl(ports, time.Second, 1, nil)),
		"no port":            second(req.ForControl(scan.NewPortSet(40001), time.Second, 1, []netip.Addr{first})),
		"the zero request":   second(scan.Request{}.ForControl(ports, time.Second, 1, []netip.Addr{first})),
	} {
		if ok {
			t.Errorf("ForControl() with %s = true, want false", name)
		}
	}
}

func second[T any](_ T, ok bool) bool { return ok }

func TestRequestAddressesCopied(t *testing.T) {
	t.Parallel()
	req, _, err := scan.NewRequest(plan(t, spec(22)), scope(t, []string{"192.0.2.0/24"}, nil), found("192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	req.Addresses()[0].IP = netip.MustParseAddr("198.51.100.1")
	if got := req.Addresses()[0].IP.String(); got != "192.0.2.1" {
		t.Errorf("Addresses() after a change of its result = %s, want 192.0.2.1", got)
	}
}

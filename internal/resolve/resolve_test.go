// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"portscan_exporter/internal/resolve"
	"portscan_exporter/internal/scan"
)

// zone is a Lookup with answers by network and name, for example "ip4 name". The answer
// "fails" is an error.
type zone map[string][]string

func (z zone) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	texts := z[network+" "+host]
	if len(texts) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	addrs := make([]netip.Addr, 0, len(texts))
	for _, s := range texts {
		if s == "fails" {
			return nil, fmt.Errorf("%s of %s: server misbehaving", network, host)
		}
		addrs = append(addrs, netip.MustParseAddr(s))
	}
	return addrs, nil
}

// TestResolvePartialAnswer requires a failure if the lookup of one family fails.
func TestResolvePartialAnswer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		four, six []string
		want      string
		failed    bool
	}{
		{[]string{"192.0.2.7"}, nil, "[www=192.0.2.7]", false},
		{nil, []string{"2001:db8::7"}, "[www=2001:db8::7]", false},
		{[]string{"192.0.2.7"}, []string{"fails"}, "[www=192.0.2.7]", true},
		{[]string{"fails"}, []string{"2001:db8::7"}, "[www=2001:db8::7]", true},
		{nil, []string{"fails"}, "[]", true},
		{[]string{"fails"}, []string{"fails"}, "[]", true},
		{nil, nil, "[]", true},
	} {
		z := zone{"ip www": append(tc.four, tc.six...), "ip4 www": tc.four, "ip6 www": tc.six}
		got, failed := resolveTask(t, z, task(t, scan.AnyFamily, 10, "", "www"))
		if err := failed[scan.FailedDNS]; fmt.Sprint(got) != tc.want || (err != nil) != tc.failed {
			t.Errorf("%v, %v: Resolve() = %v, %v, want %s", tc.four, tc.six, got, err, tc.want)
		}
	}
}

func task(t *testing.T, family scan.Family, maximum int, exclude string, entries ...string) scan.Task {
	t.Helper()
	var exclusions []netip.Prefix
	if exclude != "" {
		exclusions = append(exclusions, netip.MustParsePrefix(exclude))
	}
	scope, err := scan.NewScope([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, exclusions)
	if err != nil {
		t.Fatal(err)
	}
	task := scan.Task{Module: "m", Family: family, MaxAddresses: maximum, Scope: scope}
	for _, e := range entries {
		network, err := netip.ParsePrefix(e)
		if err != nil {
			network = netip.Prefix{}
		}
		task.Hosts = append(task.Hosts, scan.Host{Entry: e, Network: network})
	}
	return task
}

func resolveTask(t *testing.T, z zone, task scan.Task) ([]string, map[scan.Failure]error) {
	t.Helper()
	r, err := resolve.New(z)
	if err != nil {
		t.Fatal(err)
	}
	found, failed := r.Resolve(t.Context(), task)
	var got []string
	for _, a := range found {
		got = append(got, a.Hosts[0]+"="+a.IP.String())
	}
	return got, failed
}

func TestResolve(t *testing.T) {
	t.Parallel()
	z := zone{
		"ip www":  {"192.0.2.7", "2001:db8::7", "::ffff:192.0.2.8", "fe80::1%eth0"},
		"ip4 www": {"192.0.2.7"},
		"ip6 www": {"2001:db8::7", "192.0.2.9"}, // a resolver that ignores the network
		"ip evil": {"169.254.169.254", "192.0.2.7"},
	}
	for name, tc := range map[string]struct {
		task scan.Task
		want []string
	}{
		"both families": {task(t, scan.AnyFamily, 9, "", "www"), []string{"www=192.0.2.7", "www=2001:db8::7", "www=192.0.2.8", "www=fe80::1%eth0"}},
		"IPv4":          {task(t, scan.IPv4, 9, "", "www", "2001:db8::/127"), []string{"www=192.0.2.7"}},
		"IPv6":          {task(t, scan.IPv6, 9, "", "www", "192.0.2.1/32"), []string{"www=2001:db8::7"}},
		"numbers": {
			task(t, scan.AnyFamily, 9, "192.0.2.2/32", "192.0.2.0/29", "192.0.2.1/32"),
			[]string{"192.0.2.0/29=192.0.2.1", "192.0.2.0/29=192.0.2.3", "192.0.2.0/29=192.0.2.4", "192.0.2.0/29=192.0.2.5", "192.0.2.0/29=192.0.2.6", "192.0.2.1/32=192.0.2.1"},
		},
		"outside the scope": {task(t, scan.AnyFamily, 9, "", "evil"), []string{"evil=169.254.169.254", "evil=192.0.2.7"}},
		"duplicates":        {task(t, scan.AnyFamily, 2, "", "evil", "evil", "192.0.2.7/32"), []string{"evil=169.254.169.254", "evil=192.0.2.7", "evil=169.254.169.254", "evil=192.0.2.7", "192.0.2.7/32=192.0.2.7"}},
	} {
		got, failed := resolveTask(t, z, tc.task)
		if len(failed) > 0 || !slices.Equal(got, tc.want) {
			t.Errorf("%s: Resolve() = %v, %v, want %v", name, got, failed, tc.want)
		}
	}
}

func TestResolveFailedName(t *testing.T) {
	t.Parallel()
	got, failed := resolveTask(t, zone{"ip www": {"192.0.2.7"}}, task(t, scan.AnyFamily, 9, "", "nowhere", "www"))
	if failed[scan.FailedDNS] == nil || !slices.Equal(got, []string{"www=192.0.2.7"}) {
		t.Errorf("Resolve() = %v, %v, want the address of www and a DNS failure", got, failed)
	}
}

func TestResolveTooManyAddresses(t *testing.T) {
	t.Parallel()
	for name, tk := range map[string]scan.Task{
		"a name":    task(t, scan.AnyFamily, 1, "", "www"),
		"a network": task(t, scan.AnyFamily, 13, "", "192.0.2.0/28"),
	} {
		got, failed := resolveTask(t, zone{"ip www": {"192.0.2.7", "192.0.2.8"}}, tk)
		if failed[scan.FailedTooManyAddresses] == nil || len(got) != 0 {
			t.Errorf("%s: Resolve() = %v, %v, want no address and a failure", name, got, failed)
		}
	}
}

// hangingLookup returns when its context ends.
type hangingLookup struct{}

func (hangingLookup) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestResolveContextCanceled(t *testing.T) {
	t.Parallel()
	r, err := resolve.New(hangingLookup{})
	if err != nil {
		t.Fatal(err)
	}
	entries := make([]string, 40) // more than are looked up at once
	for i := range entries {
		entries[i] = fmt.Sprintf("host%d", i)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, failed := r.Resolve(ctx, task(t, scan.AnyFamily, 9, "", entries...))
	if !errors.Is(failed[scan.FailedDNS], context.Canceled) {
		t.Errorf("Resolve() failed with %v, want context.Canceled", failed)
	}
}

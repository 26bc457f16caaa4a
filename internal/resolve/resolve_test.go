// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/resolve"
	"portscan_exporter/internal/scan"
)

// zone has the answers to questions, for example to "ip4 name.". The answer "fails" is an error.
type zone map[string][]string

func (z zone) ask(_ context.Context, q resolve.Question) ([]netip.Addr, error) {
	texts := z[q.Family.String()+" "+q.Name]
	if len(texts) == 0 {
		return nil, resolve.ErrNoName
	}
	addrs := make([]netip.Addr, 0, len(texts))
	for _, s := range texts {
		if s == "fails" {
			return nil, errors.New("server misbehaving")
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
		err       string // "": none
	}{
		{[]string{"192.0.2.7"}, nil, "[www.=192.0.2.7]", ""},
		{nil, []string{"2001:db8::7"}, "[www.=2001:db8::7]", ""},
		{[]string{"192.0.2.7"}, []string{"fails"}, "[www.=192.0.2.7]", "resolving www.: AAAA www.: server misbehaving"},
		{[]string{"fails"}, []string{"2001:db8::7"}, "[www.=2001:db8::7]", "resolving www.: A www.: server misbehaving"},
		{nil, []string{"fails"}, "[]", "resolving www.: AAAA www.: server misbehaving"},
		{[]string{"fails"}, []string{"fails"}, "[]", "resolving www.: A and AAAA www.: server misbehaving"},
		{nil, nil, "[]", "resolving www.: A and AAAA www.: no such name"},
	} {
		z := zone{"ip4 www.": tc.four, "ip6 www.": tc.six}
		got, failed := resolveTask(t, z, task(t, scan.AnyFamily, 10, "", "www."))
		if text := errorText(failed[scan.FailedDNS]); fmt.Sprint(got) != tc.want || text != tc.err {
			t.Errorf("%v, %v: Resolve() = %v, %q, want %s, %q", tc.four, tc.six, got, text, tc.want, tc.err)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
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
	plan, err := scan.NewPlan(scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Ports: scan.NewPortSet(1), Timeout: 9 * time.Second, PortTimeout: time.Second, MaxInFlight: 1, MaxOpenAttempts: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	task := scan.Task{Module: "m", Family: family, MaxAddresses: maximum, Scope: scope, Plan: plan}
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
	r := newResolver(t, resolve.Options{Ask: z.ask})
	found, failed := r.Resolve(t.Context(), task)
	var got []string
	for _, a := range found {
		got = append(got, a.Hosts[0]+a.FullName+"="+a.IP.String())
	}
	return got, failed
}

// TestResolveInternationalName checks that names are looked up in ASCII, and that errors have both
// forms.
func TestResolveInternationalName(t *testing.T) {
	t.Parallel()
	internationalized := task(t, scan.IPv4, 9, "", "www")
	internationalized.Hosts = []scan.Host{scan.NewName("bücher.example", "xn--bcher-kva.example"), scan.NewName("weiß.example", "xn--wei-7ka.example")}
	got, failed := resolveTask(t, zone{"ip4 xn--bcher-kva.example.": {"192.0.2.7"}}, internationalized)
	if want := "[bücher.example=192.0.2.7]"; fmt.Sprint(got) != want {
		t.Errorf("Resolve() = %v, want %s", got, want)
	}
	if err := failed[scan.FailedDNS]; err == nil || !strings.Contains(err.Error(), "resolving weiß.example (xn--wei-7ka.example): ") {
		t.Errorf("Resolve() fails with %v, want both forms of the name", err)
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	z := zone{
		"ip4 www":  {"192.0.2.7", "::ffff:192.0.2.8"},
		"ip6 www":  {"2001:db8::7", "fe80::1%eth0"},
		"ip4 evil": {"169.254.169.254", "192.0.2.7"},
	}
	for name, tc := range map[string]struct {
		task scan.Task
		want []string
	}{
		"both families": {task(t, scan.AnyFamily, 9, "", "www"), []string{"www=192.0.2.7", "www=192.0.2.8", "www=2001:db8::7", "www=fe80::1%eth0"}},
		"IPv4":          {task(t, scan.IPv4, 9, "", "www", "2001:db8::/64"), []string{"www=192.0.2.7", "www=192.0.2.8"}},
		"IPv6":          {task(t, scan.IPv6, 9, "", "www", "192.0.2.1/32"), []string{"www=2001:db8::7", "www=fe80::1%eth0"}},
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
	got, failed := resolveTask(t, zone{"ip4 www": {"192.0.2.7"}}, task(t, scan.AnyFamily, 9, "", "nowhere", "www"))
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
		got, failed := resolveTask(t, zone{"ip4 www": {"192.0.2.7", "192.0.2.8"}}, tk)
		if failed[scan.FailedTooManyAddresses] == nil || len(got) != 0 {
			t.Errorf("%s: Resolve() = %v, %v, want no address and a failure", name, got, failed)
		}
	}
}

// hang returns when its context ends.
func hang(ctx context.Context, _ resolve.Question) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestResolveContextCanceled(t *testing.T) {
	t.Parallel()
	r := newResolver(t, resolve.Options{Ask: hang})
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

func newResolver(t *testing.T, o resolve.Options) *resolve.Resolver {
	t.Helper()
	r, err := resolve.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestResolveShare has silent names among others. Lookups end after a third of the time, at most
// three seconds, with the addresses of all names that answer, however many are silent.
func TestResolveShare(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		names, silent int
		total, want   time.Duration
	}{
		{1, 0, 9 * time.Second, 0},
		{1, 1, 9 * time.Second, 3 * time.Second},
		{2, 1, 3 * time.Second, time.Second},
		{100, 30, 9 * time.Second, 3 * time.Second},
		{300, 40, 9 * time.Second, 3 * time.Second},
		{300, 200, 9 * time.Second, 3 * time.Second},
		{300, 40, time.Second, time.Second / 3},
		{2, 1, time.Hour, 3 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newResolver(t, resolve.Options{Ask: func(ctx context.Context, q resolve.Question) ([]netip.Addr, error) {
				if strings.HasPrefix(q.Name, "silent") {
					return hang(ctx, q)
				}
				time.Sleep(2 * time.Millisecond)
				return zone{"ip4 " + q.Name: {"192.0.2.7"}}.ask(ctx, q)
			}})
			var entries []string
			for i := range tc.names {
				entries = append(entries, fmt.Sprintf("%s%d.example.org", map[bool]string{true: "silent", false: "www"}[i < tc.silent], i))
			}
			ctx, cancel := context.WithTimeout(t.Context(), tc.total)
			defer cancel()
			started := time.Now()
			found, failed := r.Resolve(ctx, task(t, scan.AnyFamily, 1000, "", append(entries, "192.0.2.1/32")...))
			took := time.Since(started)
			if len(found) != tc.names-tc.silent+1 || (failed[scan.FailedDNS] != nil) != (tc.silent > 0) {
				t.Errorf("%d names, %d silent: got %d addresses, %v", tc.names, tc.silent, len(found), failed)
			}
			if took < tc.want || took > max(tc.want, time.Second/10) {
				t.Errorf("%d names, %d silent: Resolve() took %v, want %v", tc.names, tc.silent, took, tc.want)
			}
		})
	}
}

// TestResolveNoSearch requires that a name with an address is not looked up in search domains while
// the question for the other family has no answer.
func TestResolveNoSearch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked []string // for IPv4
		r := newResolver(t, resolve.Options{
			Settings: func() resolve.Settings { return resolve.Settings{Search: []string{"a.lab.", "b.lab."}, Ndots: 5} },
			Ask: func(ctx context.Context, q resolve.Question) ([]netip.Addr, error) {
				if q.Family == scan.IPv6 {
					return hang(ctx, q)
				}
				asked = append(asked, q.Name)
				return zone{"ip4 www.example.org.": {"192.0.2.7"}}.ask(ctx, q)
			},
		})
		found, failed := r.Resolve(t.Context(), task(t, scan.AnyFamily, 10, "", "www.example.org"))
		if len(found) != 1 || failed[scan.FailedDNS] == nil || !slices.Equal(asked, []string{"www.example.org."}) {
			t.Errorf("Resolve() = %v, %v with questions for %v, want an address, a failure, and no search domain", found, failed, asked)
		}
	})
}

// TestResolveWithoutNames resolves numeric hosts, for which the system's settings must not be read.
func TestResolveWithoutNames(t *testing.T) {
	t.Parallel()
	r, err := resolve.New(resolve.Options{
		Settings: func() resolve.Settings { t.Error("settings read"); return resolve.Settings{} },
		Ask:      func(context.Context, resolve.Question) ([]netip.Addr, error) { return nil, resolve.ErrNoName },
	})
	if err != nil {
		t.Fatal(err)
	}
	found, failed := r.Resolve(t.Context(), task(t, scan.AnyFamily, 10, "", "192.0.2.1/32", "2001:db8::1/128"))
	if len(found) != 2 || len(failed) != 0 {
		t.Errorf("Resolve = %v, %v, want two addresses", found, failed)
	}
}

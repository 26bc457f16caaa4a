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
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/resolve"
	"portscan_exporter/internal/scan"
)

// slowZone has an address for each name, which it returns after a time. Names without an address do
// not exist. It counts concurrent questions.
type slowZone struct {
	addrs map[string]string // "": the lookup fails
	delay map[string]time.Duration

	mu                 sync.Mutex
	lookups, now, most int
}

// count adds to the current lookups.
func (z *slowZone) count(n int) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.lookups += max(0, n)
	z.now += n
	z.most = max(z.most, z.now)
}

func (z *slowZone) ask(ctx context.Context, q resolve.Question) ([]netip.Addr, error) {
	z.count(1)
	defer z.count(-1)
	if q.Family != scan.IPv4 {
		return nil, errors.New("asked for IPv6")
	}
	host := q.Name
	select {
	case <-time.After(z.delay[host]):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	addr, ok := z.addrs[host]
	switch {
	case !ok:
		return nil, resolve.ErrNoName
	case addr == "":
		return nil, errors.New("server misbehaving")
	}
	return []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr(addr)}, nil
}

func nameGroups(groups ...[]string) (all []scan.NameGroup) {
	for _, names := range groups {
		all = append(all, scan.NameGroup{Names: hostNames(names...)})
	}
	return all
}

func hostNames(names ...string) (hosts []scan.Host) {
	for _, name := range names {
		hosts = append(hosts, scan.NewName(name, ""))
	}
	return hosts
}

// TestFindNameInternational checks that names are looked up in ASCII, and that errors have both forms.
func TestFindNameInternational(t *testing.T) {
	t.Parallel()
	r := newResolver(t, resolve.Options{Ask: zone{"ip4 xn--bcher-kva.example.": {"192.0.2.1"}, "ip4 xn--wei-7ka.example.": {"fails"}}.ask})
	found, failing := scan.NewName("bücher.example", "xn--bcher-kva.example"), scan.NewName("weiß.example", "xn--wei-7ka.example")
	addr := netip.MustParseAddr("192.0.2.1")
	if _, name, err := r.FindName(t.Context(), addr, []scan.NameGroup{{Names: []scan.Host{found}}}); err != nil || name != "bücher.example" {
		t.Errorf("FindName() = %q, %v, want the name as written", name, err)
	}
	_, name, err := r.FindName(t.Context(), addr, []scan.NameGroup{{Names: []scan.Host{failing}}})
	if name != "" || err == nil || !strings.HasPrefix(err.Error(), "resolving weiß.example (xn--wei-7ka.example): ") {
		t.Errorf("FindName() = %q, %v, want an error with both forms", name, err)
	}
}

// TestFindNameHostsFile requires that the hosts file overrides DNS for both families.
func TestFindNameHostsFile(t *testing.T) {
	t.Parallel()
	hosts := func(string) []netip.Addr { return []netip.Addr{netip.MustParseAddr("2001:db8::1")} }
	r := newResolver(t, resolve.Options{Ask: zone{"ip4 www.example.org.": {"192.0.2.1"}}.ask, Hosts: hosts})
	for addr, want := range map[string]string{"2001:db8::1": "www.example.org", "192.0.2.1": ""} {
		if _, name, err := r.FindName(t.Context(), netip.MustParseAddr(addr), nameGroups([]string{"www.example.org"})); err != nil || name != want {
			t.Errorf("FindName(%s) = %q, %v, want %q", addr, name, err, want)
		}
	}
}

func TestFindName(t *testing.T) {
	t.Parallel()
	const timeout = 4 * time.Second
	for name, tc := range map[string]struct {
		groups [][]string
		group  int
		want   string
		failed bool
		within time.Duration
	}{
		"the first":                   {[][]string{{"other", "www"}, {"same"}}, 0, "www", false, 0},
		"a later group":               {[][]string{{"other", "missing"}, {"other", "same", "www"}}, 1, "same", false, 0},
		"none":                        {[][]string{{"other"}, {"missing"}}, -1, "", false, 0},
		"a failure":                   {[][]string{{"other"}, {"broken", "missing"}, {"broken"}}, 1, "", true, 0},
		"a failure before":            {[][]string{{"broken"}, {"www"}}, 1, "www", false, 0},
		"silence":                     {[][]string{{"silent"}, {"other"}}, 0, "", true, timeout},
		"silence of an earlier group": {[][]string{{"silent"}, {"www"}}, 1, "www", false, timeout},
		"silence of a later group":    {[][]string{{"www"}, {"silent"}}, 0, "www", false, 0},
		"silence in the group":        {[][]string{{"silent", "www", "silent"}}, 0, "www", false, time.Second},
		"a slow name in the group":    {[][]string{{"slow", "www"}}, 0, "slow", false, time.Second},
		"no groups":                   {nil, -1, "", false, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			z := &slowZone{
				addrs: map[string]string{"www": "192.0.2.1", "same": "::ffff:192.0.2.1", "other": "192.0.2.2", "silent": "192.0.2.1", "slow": "192.0.2.1", "broken": ""},
				delay: map[string]time.Duration{"silent": time.Hour, "slow": 100 * time.Millisecond},
			}
			r := newResolver(t, resolve.Options{Ask: z.ask})
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			started := time.Now()
			group, got, err := r.FindName(ctx, netip.MustParseAddr("192.0.2.1"), nameGroups(tc.groups...))
			if group != tc.group || got != tc.want || (err != nil) != tc.failed {
				t.Errorf("%s: FindName() = %d, %q, %v, want %d, %q", name, group, got, err, tc.group, tc.want)
			}
			if took := time.Since(started); took > tc.within {
				t.Errorf("%s: FindName() took %v, want at most %v", name, took, tc.within)
			}
			if z.now != 0 {
				t.Errorf("%s: got %d lookups after the answer, want 0", name, z.now)
			}
		})
	}
}

// TestFindNameBounds has more names and searches than are looked up at once.
func TestFindNameBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		z := &slowZone{addrs: map[string]string{}, delay: map[string]time.Duration{}}
		var names []string
		for i := range 100 {
			names = append(names, fmt.Sprint("name", i))
			z.delay[names[i]] = time.Second / 10
		}
		r := newResolver(t, resolve.Options{Ask: z.ask})
		for _, searches := range []int{1, 10} {
			z.lookups, z.most = 0, 0
			var all sync.WaitGroup
			for range searches {
				all.Go(func() {
					if group, _, err := r.FindName(t.Context(), netip.MustParseAddr("192.0.2.1"), nameGroups(names)); group != -1 || err != nil {
						t.Errorf("FindName() = %d, %v, want no group", group, err)
					}
				})
			}
			all.Wait()
			if got, want := z.most, min(64, 32*searches); got != want || z.lookups != searches*100 {
				t.Errorf("%d searches: got %d lookups, %d at once, want %d at once", searches, z.lookups, got, want)
			}
		}
	})
}

// TestFindNameSearchDomains requires the same addresses of a name as [resolve.Resolver.Resolve] has.
func TestFindNameSearchDomains(t *testing.T) {
	t.Parallel()
	answers := zone{
		"ip4 six.b.lab.": {"192.0.2.1"}, "ip6 six.a.lab.": {"2001:db8::1"}, // IPv6 in a domain before
		"ip4 web.b.lab.": {"192.0.2.1"}, "ip6 web.b.lab.": {"hangs"},
		"ip4 four.a.lab.": {"192.0.2.2"}, "ip6 four.a.lab.": {"fails"},
		"ip4 broken.a.lab.": {"fails"}, "ip6 broken.a.lab.": {"2001:db8::1"},
	}
	server := netip.MustParseAddrPort("192.0.2.53:53")
	ask := func(ctx context.Context, q resolve.Question) ([]netip.Addr, error) {
		if !slices.Equal(q.Servers, []netip.AddrPort{server}) {
			return nil, fmt.Errorf("asked %v", q.Servers)
		}
		if answer := answers[q.Family.String()+" "+q.Name]; slices.Contains(answer, "hangs") {
			return hang(ctx, q)
		}
		return answers.ask(ctx, q)
	}
	settings := func() resolve.Settings { return resolve.Settings{Search: []string{"a.lab.", "b.lab."}, Ndots: 1} }
	for _, tc := range []struct {
		name   string
		family scan.Family
		found  bool
		failed bool
	}{
		{"six", scan.AnyFamily, false, false},
		{"six", scan.IPv4, true, false},
		{"web", scan.AnyFamily, true, false}, // without waiting for IPv6
		{"four", scan.AnyFamily, false, false},
		{"broken", scan.AnyFamily, false, true},
		{"missing", scan.AnyFamily, false, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newResolver(t, resolve.Options{Ask: ask, Settings: settings})
			started := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			group := scan.NameGroup{Names: hostNames(tc.name), Family: tc.family, Resolver: server}
			_, name, err := r.FindName(ctx, netip.MustParseAddr("192.0.2.1"), []scan.NameGroup{group})
			if (name == tc.name) != tc.found || (err != nil) != tc.failed {
				t.Errorf("FindName(%s, %v) = %q, %v, want found %v, failed %v", tc.name, tc.family, name, err, tc.found, tc.failed)
			}
			if took := time.Since(started); took > time.Second/2 {
				t.Errorf("FindName(%s, %v) took %v", tc.name, tc.family, took)
			}
		})
	}
}

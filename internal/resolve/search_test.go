// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/resolve"
)

// slowZone is a Lookup with an address for each name, which it returns after a time. Names
// without an address do not exist. It counts concurrent lookups.
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

func (z *slowZone) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	z.count(1)
	defer z.count(-1)
	if network != "ip4" {
		return nil, fmt.Errorf("looked up %s", network)
	}
	select {
	case <-time.After(z.delay[host]):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	addr, ok := z.addrs[host]
	switch {
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	case addr == "":
		return nil, errors.New("server misbehaving")
	}
	return []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr(addr)}, nil
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
			r, err := resolve.New(z)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			started := time.Now()
			group, got, err := r.FindName(ctx, netip.MustParseAddr("192.0.2.1"), tc.groups)
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
			z.delay[names[i]] = time.Second
		}
		r, err := resolve.New(z)
		if err != nil {
			t.Fatal(err)
		}
		for _, searches := range []int{1, 10} {
			z.lookups, z.most = 0, 0
			var all sync.WaitGroup
			for range searches {
				all.Go(func() {
					if group, _, err := r.FindName(t.Context(), netip.MustParseAddr("192.0.2.1"), [][]string{names}); group != -1 || err != nil {
						t.Errorf("FindName() = %d, %v, want no group", group, err)
					}
				})
			}
			all.Wait()
			if got, want := z.most, min(64, 16*searches); got != want || z.lookups != searches*100 {
				t.Errorf("%d searches: got %d lookups, %d at once, want %d at once", searches, z.lookups, got, want)
			}
		}
	})
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"portscan_exporter/internal/scan"
)

// maxSearches is the maximum number of concurrent lookups of all searches. Requests for
// arbitrary addresses cause searches, but not the lookups of scans.
const maxSearches = 64

// nameAnswer is whether a name has an address.
type nameAnswer struct {
	index int // of the name in its group
	found bool
	err   error
}

// FindName returns the first group with a name that resolves to the address at this moment, and
// that name. If there is none, it returns the first group with a failed lookup and its error, or
// -1. Only the address's family is looked up. A name that does not exist is not a failure.
func (r *Resolver) FindName(ctx context.Context, addr netip.Addr, groups [][]string) (group int, name string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var lookups sync.WaitGroup
	defer lookups.Wait()
	defer cancel()
	answers := r.startSearch(ctx, &lookups, addr, groups)
	group = -1
	for i, names := range groups {
		first, failure := firstFound(answers[i], len(names))
		if first >= 0 {
			return i, names[first], nil
		}
		if failure != nil && group < 0 {
			group, err = i, failure
		}
	}
	return group, "", err
}

// startSearch starts the lookups of all names in order. It returns the answers by group.
func (r *Resolver) startSearch(ctx context.Context, lookups *sync.WaitGroup, addr netip.Addr, groups [][]string) []chan nameAnswer {
	answers := make([]chan nameAnswer, len(groups))
	for i, names := range groups {
		answers[i] = make(chan nameAnswer, len(names))
	}
	slots := make(chan struct{}, maxLookups)
	lookups.Go(func() {
		for i, names := range groups {
			for j, name := range names {
				slots <- struct{}{}
				lookups.Go(func() {
					defer func() { <-slots }()
					found, err := r.hasAddress(ctx, name, addr)
					answers[i] <- nameAnswer{index: j, found: found, err: err}
				})
			}
		}
	})
	return answers
}

// hasAddress reports whether the name resolves to the address.
func (r *Resolver) hasAddress(ctx context.Context, name string, addr netip.Addr) (bool, error) {
	select {
	case r.searches <- struct{}{}:
		defer func() { <-r.searches }()
	case <-ctx.Done():
		return false, fmt.Errorf("resolving %s: %w", name, ctx.Err())
	}
	family := scan.IPv6
	if addr.Is4() {
		family = scan.IPv4
	}
	addrs, err := r.lookup.LookupNetIP(ctx, family.String(), name)
	found := slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Unmap() == addr })
	if err == nil || isNotFound(err) {
		return found, nil
	}
	return found, fmt.Errorf("resolving %s: %w", name, err)
}

// firstFound returns the first of n names that has the address, or -1 and an error of the lookups.
// It waits only a short time for names before one that has the address: they are of the same group.
func firstFound(answers <-chan nameAnswer, n int) (first int, err error) {
	const patience = 200 * time.Millisecond
	first = n
	answered := make([]bool, n)
	var late <-chan time.Time
	for range n {
		select {
		case <-late:
			return first, nil
		case a := <-answers:
			answered[a.index] = true
			if a.found {
				first = min(first, a.index)
			} else if err == nil {
				err = a.err
			}
		}
		switch {
		case first < n && !slices.Contains(answered[:first], false):
			return first, nil
		case first < n && late == nil:
			late = time.After(patience)
		}
	}
	return -1, err
}

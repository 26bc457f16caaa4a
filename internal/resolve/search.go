// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
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
// that name as written. If there is none, it returns the first group with a failed lookup and its error, or
// -1. A name that does not exist is not a failure. Names are looked up as [Resolver.Resolve] does,
// but only the address's family if the other one cannot change the answer.
func (r *Resolver) FindName(ctx context.Context, addr netip.Addr, groups []scan.NameGroup) (group int, name string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var lookups sync.WaitGroup
	defer lookups.Wait()
	defer cancel()
	answers := r.startSearch(ctx, &lookups, addr, groups)
	group = -1
	for i, g := range groups {
		first, failure := firstFound(answers[i], len(g.Names))
		if first >= 0 {
			return i, g.Names[first].Entry, nil
		}
		if failure != nil && group < 0 {
			group, err = i, failure
		}
	}
	return group, "", err
}

// startSearch starts the lookups of all names in order. It returns the answers by group.
func (r *Resolver) startSearch(ctx context.Context, lookups *sync.WaitGroup, addr netip.Addr, groups []scan.NameGroup) []chan nameAnswer {
	answers := make([]chan nameAnswer, len(groups))
	for i, g := range groups {
		answers[i] = make(chan nameAnswer, len(g.Names))
	}
	share := maxShare
	if deadline, ok := ctx.Deadline(); ok {
		share = min(share, time.Until(deadline))
	}
	slots := newSlots(maxLookups, share)
	lookups.Go(func() {
		for i, g := range groups {
			l := lookup{options: r.options, settings: r.settings(g.Resolver), family: g.Family, want: addr}
			for j, h := range g.Names {
				release, ok := slots.acquire(ctx)
				if !ok {
					answers[i] <- nameAnswer{index: j, err: newUnaskedError(ctx, h)}
					continue
				}
				lookups.Go(func() {
					defer release()
					found, err := r.hasAddress(ctx, l, h)
					answers[i] <- nameAnswer{index: j, found: found, err: err}
				})
			}
		}
	})
	return answers
}

// hasAddress reports whether the name resolves to the address of interest.
func (r *Resolver) hasAddress(ctx context.Context, l lookup, h scan.Host) (bool, error) {
	select {
	case r.searches <- struct{}{}:
		defer func() { <-r.searches }()
	case <-ctx.Done():
		return false, newUnaskedError(ctx, h)
	}
	addrs, _, err := l.find(ctx, h.Name())
	if hasNone(err) || slices.ContainsFunc(addrs, familyOf(l.want).Includes) {
		err = nil // of the other family, if it is one
	}
	return l.has(addrs), newNameError(h, err)
}

func familyOf(addr netip.Addr) scan.Family {
	if addr.Is4() {
		return scan.IPv4
	}
	return scan.IPv6
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

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package resolve implements the resolution of a target's hosts to addresses. It does not
// check the addresses against the target's networks: [scan.NewRequest] does.
package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"portscan_exporter/internal/scan"
)

// Lookup resolves a name as [net.Resolver.LookupNetIP] does; network is "ip", "ip4" or
// "ip6". With "ip" it must fail if the lookup of one family fails, as a [net.Resolver] with
// StrictErrors does. It may be called concurrently.
type Lookup interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Resolver resolves the hosts of tasks. Create resolvers with [New]. They may be used
// concurrently.
type Resolver struct {
	lookup   Lookup
	searches chan struct{} // has an element for each lookup of FindName
}

// New returns a resolver that uses lookup.
func New(lookup Lookup) (*Resolver, error) {
	if lookup == nil {
		return nil, errors.New("resolve.New: lookup is required")
	}
	return &Resolver{lookup: lookup, searches: make(chan struct{}, maxSearches)}, nil
}

// Resolve returns the addresses of the task's hosts that are of the task's family and not
// excluded. An address of several hosts is returned for each of them. If a name fails,
// Resolve returns the addresses of the other hosts and [scan.FailedDNS]. If there are more
// than the task's maximum, it returns no address and [scan.FailedTooManyAddresses].
func (r *Resolver) Resolve(ctx context.Context, task scan.Task) ([]scan.Address, map[scan.Failure]error) {
	failed := make(map[scan.Failure]error)
	answers := make([][]netip.Addr, len(task.Hosts))
	errs := make([]error, len(task.Hosts))
	r.lookupAll(ctx, task, answers, errs)
	if err := errors.Join(errs...); err != nil {
		failed[scan.FailedDNS] = err
	}

	var found []scan.Address
	distinct := make(map[netip.Addr]struct{})
	add := func(addr netip.Addr, h scan.Host) bool {
		if addr = addr.Unmap(); !task.Family.Includes(addr) || task.Scope.Excluded(addr.WithZone("")) {
			return true
		}
		distinct[addr] = struct{}{}
		found = append(found, scan.Address{IP: addr, Hosts: []string{h.Entry}})
		return len(distinct) <= task.MaxAddresses
	}
	for i, h := range task.Hosts {
		if !addHost(h, answers[i], add) {
			failed[scan.FailedTooManyAddresses] = fmt.Errorf("more than %d addresses, see max_addresses of module %q", task.MaxAddresses, task.Module)
			return nil, failed
		}
	}
	return found, failed
}

// addHost adds a host's addresses until add returns false.
func addHost(h scan.Host, answer []netip.Addr, add func(netip.Addr, scan.Host) bool) bool {
	for _, addr := range answer {
		if !add(addr, h) {
			return false
		}
	}
	for addr := range h.All() {
		if !add(addr, h) {
			return false
		}
	}
	return true
}

// maxLookups is the maximum number of concurrent lookups for one task or search.
const maxLookups = 16

// lookupAll resolves the names among the hosts, several at a time. It sets answers and errs
// by the index of the host.
func (r *Resolver) lookupAll(ctx context.Context, task scan.Task, answers [][]netip.Addr, errs []error) {
	slots := make(chan struct{}, maxLookups)
	var all sync.WaitGroup
	for i, h := range task.Hosts {
		if !h.IsName() {
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			addrs, err := r.lookupName(ctx, task.Family, h.Name())
			if err != nil {
				errs[i] = fmt.Errorf("resolving %s: %w", h, err)
			}
			answers[i] = addrs
		})
	}
	all.Wait()
}

// lookupName resolves a name. If the lookup of one family fails, it returns the addresses of
// the other with the error.
func (r *Resolver) lookupName(ctx context.Context, family scan.Family, name string) ([]netip.Addr, error) {
	if family != scan.AnyFamily {
		return r.lookup.LookupNetIP(ctx, family.String(), name)
	}
	addrs, err := r.lookup.LookupNetIP(ctx, "ip", name)
	if err == nil || isNotFound(err) {
		return addrs, err
	}
	for _, f := range []scan.Family{scan.IPv4, scan.IPv6} {
		partial, _ := r.lookup.LookupNetIP(ctx, f.String(), name) // err is returned
		addrs = append(addrs, partial...)
	}
	return addrs, err
}

// isNotFound reports whether a name does not exist, unlike a failed lookup.
func isNotFound(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package resolve implements the resolution of a target's hosts to addresses. It does not
// check the addresses against the target's networks: [scan.NewRequest] does.
package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"portscan_exporter/internal/scan"
)

// Options are the sources of a [Resolver]. [System] returns those of the system. The functions may be
// called concurrently.
type Options struct {
	Settings func() Settings                // nil: the zero value
	Hosts    func(name string) []netip.Addr // addresses in the hosts file; nil: none

	// Ask asks a question until the context ends. An error that wraps [ErrNoName] or [ErrNoAddress]
	// is a definite answer.
	Ask func(ctx context.Context, q Question) ([]netip.Addr, error)
}

// Resolver resolves the hosts of tasks. Create resolvers with [New]. They may be used
// concurrently.
type Resolver struct {
	options  Options
	searches chan struct{} // has an element for each lookup of FindName
}

// New returns a resolver with the options.
func New(o Options) (*Resolver, error) {
	if o.Ask == nil {
		return nil, errors.New("resolve.New: Ask is required")
	}
	if o.Settings == nil {
		o.Settings = func() Settings { return Settings{} }
	}
	if o.Hosts == nil {
		o.Hosts = func(string) []netip.Addr { return nil }
	}
	return &Resolver{options: o, searches: make(chan struct{}, maxSearches)}, nil
}

// maxShare is the maximum time for the lookups of a scan.
const maxShare = 3 * time.Second

// Share returns the time for the lookups of a scan that takes the given time: a third of it, at most
// three seconds.
func Share(total time.Duration) time.Duration { return min(total/3, maxShare) }

// Resolve returns the addresses of the task's hosts that are of the task's family and not
// excluded. An address of several hosts is returned for each of them. If a name fails,
// Resolve returns the addresses of the other hosts and [scan.FailedDNS]. If there are more
// than the task's maximum, it returns no address and [scan.FailedTooManyAddresses].
//
// All names and both families are looked up side by side. They have the [Share] of the time until the
// context's deadline or, without one, of the task's timeout. Lookups that take longer fail.
func (r *Resolver) Resolve(ctx context.Context, task scan.Task) ([]scan.Address, map[scan.Failure]error) {
	failed := make(map[scan.Failure]error)
	answers, errs := r.lookupAll(ctx, task)
	if err := joinNames(errs); err != nil {
		failed[scan.FailedDNS] = err
	}

	var found []scan.Address
	distinct := make(map[netip.Addr]struct{})
	add := func(addr netip.Addr, h scan.Host, fullName string) bool {
		if addr = addr.Unmap(); !task.Family.Includes(addr) || task.Scope.Excluded(addr.WithZone("")) {
			return true
		}
		distinct[addr] = struct{}{}
		found = append(found, scan.Address{IP: addr, Hosts: []string{h.Entry}, FullName: fullName})
		return len(distinct) <= task.MaxAddresses
	}
	for i, h := range task.Hosts {
		if task.Family.IncludesHost(h) && !addHost(h, answers[i], add) { // others may have 2^64 addresses
			failed[scan.FailedTooManyAddresses] = fmt.Errorf("more than %d addresses, see max_addresses of module %q", task.MaxAddresses, task.Module)
			return nil, failed
		}
	}
	return found, failed
}

// nameAddrs is the addresses of a name.
type nameAddrs struct {
	addrs    []netip.Addr
	fullName string // if a search domain led to them
}

// addHost adds a host's addresses until add returns false.
func addHost(h scan.Host, answer nameAddrs, add func(addr netip.Addr, h scan.Host, fullName string) bool) bool {
	for _, addr := range answer.addrs {
		if !add(addr, h, answer.fullName) {
			return false
		}
	}
	for addr := range h.All() {
		if !add(addr, h, "") {
			return false
		}
	}
	return true
}

// maxLookups is the maximum number of concurrent lookups of one task or search. A silent name counts
// only for a short time.
const maxLookups = 32

// lookupAll resolves the names among the hosts. It returns answers and errors by the index of the host.
func (r *Resolver) lookupAll(ctx context.Context, task scan.Task) (answers []nameAddrs, errs []error) {
	answers, errs = make([]nameAddrs, len(task.Hosts)), make([]error, len(task.Hosts))
	if !slices.ContainsFunc(task.Hosts, scan.Host.IsName) {
		return answers, errs // without reading the settings
	}
	total := task.Plan.Spec().Timeout
	if deadline, ok := ctx.Deadline(); ok {
		total = time.Until(deadline)
	}
	ctx, cancel := context.WithTimeout(ctx, Share(total))
	defer cancel()
	l := lookup{options: r.options, settings: r.settings(task.Resolver), family: task.Family}
	slots := newSlots(maxLookups, Share(total))
	var all sync.WaitGroup
	for i, h := range task.Hosts {
		if !h.IsName() {
			continue
		}
		release, ok := slots.acquire(ctx)
		if !ok {
			errs[i] = newUnaskedError(ctx, h)
			continue
		}
		all.Go(func() {
			defer release()
			addrs, fullName, err := l.find(ctx, h.Name())
			answers[i], errs[i] = nameAddrs{addrs: addrs, fullName: fullName}, newNameError(h, err)
		})
	}
	all.Wait()
	return answers, errs
}

// settings returns the settings for questions to a server; the zero value: those of the system.
func (r *Resolver) settings(server netip.AddrPort) Settings {
	s := r.options.Settings()
	if server.IsValid() {
		s.Servers = []netip.AddrPort{server}
	}
	return s
}

// slots limits concurrent lookups, except those that have taken some time: silent names do not delay
// others.
type slots struct {
	held     chan struct{}
	patience time.Duration
}

// newSlots returns n slots for lookups that take at most the given time.
func newSlots(n int, most time.Duration) slots {
	const turns = 16 // of lookups that take that long
	return slots{held: make(chan struct{}, n), patience: most / turns}
}

// acquire waits for a slot. The caller must release it once.
func (s slots) acquire(ctx context.Context) (release func(), ok bool) {
	select {
	case s.held <- struct{}{}:
	case <-ctx.Done():
		return nil, false
	}
	free := sync.OnceFunc(func() { <-s.held })
	late := time.AfterFunc(s.patience, free)
	return func() {
		late.Stop()
		free()
	}, true
}

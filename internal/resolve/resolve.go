// Package resolve turns a target's hosts into addresses, once a scan. It
// decides nothing about who may be touched: that is [scan.NewRequest]'s part.
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

// A Lookup asks for the addresses of a name, as [net.Resolver.LookupNetIP]
// does; network is "ip", "ip4" or "ip6". With "ip" it has to fail where one family
// can't be told, as a [net.Resolver] with StrictErrors does. It may be called
// concurrently.
type Lookup interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Resolver resolves tasks. Make one with [New]; it may be used concurrently.
type Resolver struct {
	lookup Lookup
}

// New returns a resolver that asks lookup.
func New(lookup Lookup) (*Resolver, error) {
	if lookup == nil {
		return nil, errors.New("a resolver needs something to ask")
	}
	return &Resolver{lookup: lookup}, nil
}

// Resolve returns the addresses that the task's hosts lead to, of the task's
// family and without those that the target excludes; one that several hosts
// lead to is there for each. Names are looked up side by side. A name that
// fails is [scan.FailedDNS], and the addresses of the others are returned all
// the same; more addresses than the task takes are [scan.FailedTooManyAddresses],
// and none is returned.
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
			failed[scan.FailedTooManyAddresses] = fmt.Errorf("more than the %d addresses that max_addresses of module %q allows", task.MaxAddresses, task.Module)
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

// lookupAll looks the names among the hosts up, a few at a time, and fills
// answers and errs at the hosts' places.
func (r *Resolver) lookupAll(ctx context.Context, task scan.Task, answers [][]netip.Addr, errs []error) {
	const atOnce = 16
	places := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, h := range task.Hosts {
		if !h.IsName() {
			continue
		}
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			addrs, err := r.ask(ctx, task.Family, h.Entry)
			if err != nil {
				errs[i] = fmt.Errorf("resolving %s: %w", h.Entry, err)
			}
			answers[i] = addrs
		})
	}
	all.Wait()
}

// ask looks one name up. Where that fails for one family, the addresses of the other
// are worth having, but the error stays: they are not the whole answer.
func (r *Resolver) ask(ctx context.Context, family scan.Family, name string) ([]netip.Addr, error) {
	if family != scan.AnyFamily {
		return r.lookup.LookupNetIP(ctx, family.String(), name)
	}
	addrs, err := r.lookup.LookupNetIP(ctx, "ip", name)
	if err == nil || notThere(err) {
		return addrs, err
	}
	for _, f := range []scan.Family{scan.IPv4, scan.IPv6} {
		half, _ := r.lookup.LookupNetIP(ctx, f.String(), name) // err says what is wrong
		addrs = append(addrs, half...)
	}
	return addrs, err
}

// notThere tells whether a name does not exist, as opposed to nobody knowing.
func notThere(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}

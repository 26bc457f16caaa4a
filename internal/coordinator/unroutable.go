// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"log/slog"
	"net/netip"
	"sync"

	"portscan_exporter/internal/scan"
)

// unroutables has the targets and modules with addresses to which this machine cannot send, by
// family, so that they are logged when that changes and not at each scan. The zero value is ready
// for use. It may be used concurrently.
type unroutables struct {
	mu   sync.Mutex
	last map[familyKey]netip.Addr // one of the addresses
}

// familyKey identifies the addresses of a family of a target. Modules may have source addresses.
type familyKey struct {
	target, module string
	ipv4           bool
}

// maxUnroutables is the maximum number of keys in unroutables, because targets come and go with
// the configuration.
const maxUnroutables = 10_000

// log logs whether this machine can send to the addresses of a scan, by family, if that has
// changed.
func (u *unroutables) log(logger *slog.Logger, run *scanRun) {
	task, result := run.task, run.result()
	for _, ipv4 := range []bool{true, false} {
		addrs := run.unroutableAddresses(ipv4)
		key := familyKey{task.Target, task.Module, ipv4}
		family, advice := "IPv4", "set ip_protocol: ip6 if this machine has no IPv4"
		if !ipv4 {
			family, advice = "IPv6", "set ip_protocol: ip4 if this machine has no IPv6"
		}
		switch {
		case len(addrs) > 0 && u.add(key, addrs[0]):
			const shown = 10
			logger.Warn("No route to addresses", "target", task.Target, "module", task.Module, "family", family,
				"addresses", addrs[:min(shown, len(addrs))], "count", len(addrs), "advice", advice)
		case len(addrs) == 0 && isFamilyKnown(result, ipv4) && u.remove(key, task.Addr):
			logger.Info("Route to addresses is available again", "target", task.Target, "module", task.Module, "family", family)
		}
	}
}

// isFamilyKnown reports whether a port of an address of the family has a state: this machine can
// send to it.
func isFamilyKnown(r *scan.Result, ipv4 bool) bool {
	for i := range r.Addresses {
		a := &r.Addresses[i]
		if a.IP.Is4() == ipv4 && a.Count(scan.Unknown) < r.Plan.Ports().Len() {
			return true
		}
	}
	return false
}

// add adds a key with one of its addresses, and reports whether the key is new.
func (u *unroutables) add(key familyKey, addr netip.Addr) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, ok := u.last[key]; ok {
		return false
	}
	if u.last == nil || len(u.last) >= maxUnroutables {
		u.last = make(map[familyKey]netip.Addr)
	}
	u.last[key] = addr
	return true
}

// remove removes a key after a scan of one address, or of the complete target if that is zero, and
// reports whether there was one. Other addresses than that of the key may always have had a route.
func (u *unroutables) remove(key familyKey, scanned netip.Addr) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	addr, ok := u.last[key]
	if !ok || scanned.IsValid() && scanned != addr {
		return false
	}
	delete(u.last, key)
	return true
}

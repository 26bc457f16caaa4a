// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"portscan_exporter/internal/scan"
)

// mostSights is how many bytes, about, the pictures of all addresses may take. What
// verdicts stand on is apart: of [mostAddresses] addresses.
const mostSights = 32 << 20

// sights is what people are shown, under the memory's lock.
type sights struct {
	of    map[group]*shown
	count int // addresses
	size  int // of their pictures, in bytes
}

// shown is what people are shown of a target and a module.
type shown struct {
	Summary

	task      scan.Task
	known     bool                         // task is the configuration's
	scanned   []netip.Addr                 // by the last scan of the whole target, in rising order
	gone      map[netip.Addr]bool          // those of them that are forgotten
	addresses map[netip.Addr]*AddressSight // neither of which changes
	stale     bool                         // Unexpected and Missing may have too much in them
	counted   bool                         // Others is right
}

func newSights() sights { return sights{of: make(map[group]*shown)} }

// note keeps what a scan has shown, unless the configuration has another task by now.
// now is that one; the zero value: there is no configuration.
func (s *sights) note(g group, task, now scan.Task, r *scan.Result, seen []*AddressSight) {
	whole, known := task.Asked == task.Target, !now.Plan.IsZero()
	if known {
		whole = task.Equal(now)
		task.Hosts = now.Hosts // it may have been one address alone
		if !task.Equal(now) {
			return
		}
	}
	in := s.of[g]
	switch {
	case in == nil && !whole && len(seen) == 0:
		return
	case in == nil:
		in = &shown{
			Summary: Summary{Target: task.Target, Module: task.Module, Plan: task.Plan},
			task:    task, known: known, addresses: make(map[netip.Addr]*AddressSight),
		}
		s.of[g] = in
	}
	if whole && !in.Finished.After(r.Finished) {
		s.begin(in, task, r)
	}
	expect := task.Plan.Spec().Expect
	for _, a := range seen {
		if old := in.addresses[a.IP]; old == nil || !old.Finished.After(a.Finished) {
			a.judge(expect)
			s.put(in, a)
		}
	}
	if s.count > mostAddresses || s.size > mostSights {
		s.evict()
	}
	in.settle()
}

// begin has a scan of the whole target take the place of the one before, and of what was
// seen until then of addresses that it did not find.
func (s *sights) begin(in *shown, task scan.Task, r *scan.Result) {
	in.task, in.Plan, in.Whole, in.Others, in.gone = task, task.Plan, true, false, nil
	in.Started, in.Finished, in.Failed, in.Refused = r.Started, r.Finished, r.Failed, r.Refused
	in.scanned = make([]netip.Addr, 0, len(r.Addresses))
	for i := range r.Addresses {
		in.scanned = append(in.scanned, r.Addresses[i].IP)
	}
	slices.SortFunc(in.scanned, netip.Addr.Compare)
	for ip, a := range in.addresses {
		if _, found := slices.BinarySearchFunc(in.scanned, ip, netip.Addr.Compare); !found && !a.Finished.After(r.Finished) {
			s.drop(in, a)
		}
	}
}

// put shows an address.
func (s *sights) put(in *shown, a *AddressSight) {
	if old := in.addresses[a.IP]; old != nil {
		s.count, s.size = s.count-1, s.size-old.size()
		in.tally(old, -1)
		in.stale = in.stale || !old.Unexpected.Minus(a.Unexpected).IsEmpty() || !old.Missing.Minus(a.Missing).IsEmpty()
	} else {
		in.counted = false
	}
	delete(in.gone, a.IP)
	in.addresses[a.IP] = a
	s.count, s.size = s.count+1, s.size+a.size()
	in.tally(a, 1)
	in.gather(a)
}

// drop shows an address no more.
func (s *sights) drop(in *shown, a *AddressSight) {
	delete(in.addresses, a.IP)
	s.count, s.size = s.count-1, s.size-a.size()
	in.tally(a, -1)
	in.stale, in.counted = in.stale || a.Violating(), false
}

// tally adds an address to the sums, or takes it off.
func (in *shown) tally(a *AddressSight, by int) {
	in.Scanned += by
	in.Open += by * a.Count(scan.Open)
	in.Summary.Unknown += by * a.Count(scan.Unknown)
	if !a.Unexpected.IsEmpty() {
		in.WithUnexpected += by
	}
	if !a.Missing.IsEmpty() {
		in.WithMissing += by
	}
	if a.Suspect {
		in.Summary.Suspect += by
	}
}

// gather adds an address's ports to those of all.
func (in *shown) gather(a *AddressSight) {
	if !a.Unexpected.Minus(in.Unexpected).IsEmpty() {
		in.Unexpected = in.Unexpected.Union(a.Unexpected)
	}
	if !a.Missing.Minus(in.Missing).IsEmpty() {
		in.Missing = in.Missing.Union(a.Missing)
	}
}

// settle gathers the ports again, if some may have gone.
func (in *shown) settle() {
	if !in.stale {
		return
	}
	in.stale, in.Unexpected, in.Missing = false, scan.PortSet{}, scan.PortSet{}
	for _, a := range in.addresses {
		in.gather(a)
	}
}

// any tells whether there is something to show: all of its addresses may be forgotten.
func (in *shown) any() bool { return in.Whole || len(in.addresses) > 0 }

// sum returns the summary as it is now.
func (in *shown) sum() Summary {
	s := in.Summary
	s.Gone = len(in.gone)
	if in.Whole {
		return s
	}
	if !in.counted {
		in.counted, in.Others = true, in.others()
	}
	s.Others, s.Finished = in.Others, in.oldest()
	return s
}

// oldest returns when the scan ended that is the longest ago.
func (in *shown) oldest() (t time.Time) {
	for _, a := range in.addresses {
		if t.IsZero() || a.Finished.Before(t) {
			t = a.Finished
		}
	}
	return t
}

// others tells whether the target may have addresses that are not shown. It has where a
// name leads to them, since only a scan of the whole target resolves it.
func (in *shown) others() bool {
	if !in.known {
		return true
	}
	looked := 0
	for _, h := range in.task.Hosts {
		if h.IsName() {
			return true
		}
		for ip := range h.All() {
			looked++
			if looked > mostAddresses {
				return true
			}
			_, ours := in.task.Scope.Match(ip)
			if ours && in.task.Family.Includes(ip) && in.addresses[ip.Unmap()] == nil {
				return true
			}
		}
	}
	return len(in.addresses) == 0
}

// evict makes room: it looks at every address, so it forgets a part of all at once. What
// shows no violation goes first, and of that what was seen the longest ago. Of too many
// addresses it forgets everything, of too many pictures nothing else.
func (s *sights) evict() {
	type place struct {
		in *shown
		a  *AddressSight
	}
	all := make([]place, 0, s.count)
	for _, in := range s.of {
		for _, a := range in.addresses {
			all = append(all, place{in, a})
		}
	}
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(order(b.a.Violating(), a.a.Violating()), a.a.Finished.Compare(b.a.Finished))
	})
	if s.count > mostAddresses {
		less := s.count - (mostAddresses - mostAddresses/16)
		for _, p := range all[:less] {
			s.drop(p.in, p.a)
			p.in.miss(p.a.IP)
		}
		for _, in := range s.of {
			in.settle()
		}
		all = all[less:]
	}
	if s.size <= mostSights {
		return
	}
	for _, p := range all {
		if s.size <= mostSights-mostSights/16 {
			return
		}
		s.size -= p.a.size()
		p.in.addresses[p.a.IP] = p.a.forget()
	}
}

// miss counts an address of the whole target's scan that is forgotten.
func (in *shown) miss(ip netip.Addr) {
	if _, found := slices.BinarySearchFunc(in.scanned, ip, netip.Addr.Compare); !found {
		return
	}
	if in.gone == nil {
		in.gone = make(map[netip.Addr]bool)
	}
	in.gone[ip] = true
}

// outdate forgets what the configuration has otherwise now, or no more.
func (s *sights) outdate(current map[group]scan.Task) {
	maps.DeleteFunc(s.of, func(g group, in *shown) bool {
		if now, ok := current[g]; ok && in.task.Equal(now) {
			return false
		}
		for _, a := range in.addresses {
			s.count, s.size = s.count-1, s.size-a.size()
		}
		return true
	})
}

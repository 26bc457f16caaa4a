// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import "iter"

// Union returns the ports that are in at least one of the sets.
func (s PortSet) Union(other PortSet) PortSet {
	if s.IsEmpty() {
		return other
	}
	if other.IsEmpty() {
		return s
	}
	a, b := s.ranges, other.ranges
	out := make([]portRange, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		if len(b) == 0 || len(a) > 0 && a[0].lo < b[0].lo {
			out, a = appendRange(out, a[0]), a[1:]
		} else {
			out, b = appendRange(out, b[0]), b[1:]
		}
	}
	return newPortSet(out)
}

// Minus returns the ports that are not in the other set.
func (s PortSet) Minus(other PortSet) PortSet {
	var out []portRange
	cuts := other.ranges
	add := func(lo, hi int) {
		out = append(out, portRange{lo: uint16(lo), hi: uint16(hi)}) //nolint:gosec // both are ports
	}
	for _, r := range s.ranges {
		lo, hi := int(r.lo), int(r.hi)
		for len(cuts) > 0 && int(cuts[0].hi) < lo {
			cuts = cuts[1:]
		}
		for _, cut := range cuts {
			if int(cut.lo) > hi || lo > hi {
				break
			}
			if int(cut.lo) > lo {
				add(lo, int(cut.lo)-1)
			}
			lo = max(lo, int(cut.hi)+1)
		}
		if lo <= hi {
			add(lo, hi)
		}
	}
	return newPortSet(out)
}

// Intersect returns the ports that are in both sets.
func (s PortSet) Intersect(other PortSet) PortSet {
	var out []portRange
	for a, b := s.ranges, other.ranges; len(a) > 0 && len(b) > 0; {
		if lo, hi := max(a[0].lo, b[0].lo), min(a[0].hi, b[0].hi); lo <= hi {
			out = append(out, portRange{lo: lo, hi: hi})
		}
		if a[0].hi < b[0].hi {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return newPortSet(out)
}

// indexRanges yields the indexes of the ports that are also in the other set, as ranges in
// ascending order: the first index and the number of ports.
func (s PortSet) indexRanges(other PortSet) iter.Seq2[int, int] {
	return func(yield func(first, count int) bool) {
		ranges := s.ranges
		for _, o := range other.ranges {
			for len(ranges) > 0 && ranges[0].hi < o.lo {
				ranges = ranges[1:]
			}
			for _, r := range ranges {
				if r.lo > o.hi {
					break
				}
				lo := max(r.lo, o.lo)
				if !yield(int(r.before)+int(lo-r.lo), int(min(r.hi, o.hi)-lo)+1) {
					return
				}
			}
		}
	}
}

// fillKeys sets the keys of those of the ports that are in the set. The slice has one key per
// index, see [PortSet.Index].
func (s PortSet) fillKeys(keys []uint8, ports PortSet, key uint8) {
	for first, count := range s.indexRanges(ports) {
		for i := range keys[first : first+count] {
			keys[first+i] = key
		}
	}
}

// groupByKey returns the ports of the set by key. The slice has one key per index, see
// [PortSet.Index].
func groupByKey[K ~uint8](s PortSet, keys []K) map[K]PortSet {
	var ranges [1 << 8][]portRange
	for _, r := range s.ranges {
		part := keys[r.before:][:r.len()]
		for first := 0; first < len(part); {
			key, end := part[first], first+1
			for end < len(part) && part[end] == key {
				end++
			}
			ranges[key] = append(ranges[key], portRange{lo: r.lo + uint16(first), hi: r.lo + uint16(end-1)}) //nolint:gosec // both are ports
			first = end
		}
	}
	by := make(map[K]PortSet)
	for key := range ranges {
		if len(ranges[key]) > 0 {
			by[K(key)] = newPortSet(ranges[key])
		}
	}
	return by
}

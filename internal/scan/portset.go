// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"cmp"
	"fmt"
	"iter"
	"math/bits"
	"slices"
	"sort"
	"strconv"
	"strings"
)

const (
	minPort = 1
	maxPort = 65535
)

// PortSet is an immutable set of ports from 1 to 65535. The zero value is the empty set. It
// may be used concurrently.
//
// The set is stored as sorted ranges that neither overlap nor touch, so that "1-65535"
// needs as much memory as a single port.
type PortSet struct {
	ranges []portRange
}

// portRange is the ports from lo to hi, both included.
type portRange struct {
	lo, hi uint16
	before uint16 // number of ports below lo, for a binary search in [PortSet.Index]
}

func (r portRange) len() int { return int(r.hi) - int(r.lo) + 1 }

// NewPortSet returns the set of the ports. It ignores port 0, which does not exist.
func NewPortSet(ports ...uint16) PortSet {
	ranges := make([]portRange, 0, len(ports))
	for _, p := range ports {
		if p >= minPort {
			ranges = append(ranges, portRange{lo: p, hi: p})
		}
	}
	return normalize(ranges)
}

// ParsePortSet parses a list of ports and ranges, for example "22,80,8000-8100". A range
// without one of its ends extends to the first or the last port, and "all" is 1-65535.
// Blanks around numbers, leading zeros and duplicates are allowed. An empty text is the
// empty set. Errors include a suggested fix.
func ParsePortSet(text string) (PortSet, error) {
	return ParseNamedPorts(text, func(entry string) (PortSet, error) {
		return PortSet{}, fmt.Errorf("%q is not a port or a range: write a number from 1 to 65535, or a range such as 8000-8100", shorten(entry))
	})
}

// ParseNamedPorts parses a list as [ParsePortSet] does. It calls resolve for each entry
// that is neither a port nor a range, without the blanks around it.
func ParseNamedPorts(text string, resolve func(entry string) (PortSet, error)) (PortSet, error) {
	if strings.TrimSpace(text) == "" {
		return PortSet{}, nil
	}
	parts := strings.Split(text, ",")
	ranges := make([]portRange, 0, len(parts))
	for _, part := range parts {
		part = strings.TrimSpace(part)
		if part != "" && !isPortOrRange(part) {
			set, err := resolve(part)
			if err != nil {
				return PortSet{}, err
			}
			ranges = append(ranges, set.ranges...)
			continue
		}
		r, err := parseRange(part)
		if err != nil {
			return PortSet{}, err
		}
		ranges = append(ranges, r)
	}
	return normalize(ranges), nil
}

// allPorts is the entry for every port.
const allPorts = "all"

// isPortOrRange reports whether the entry has the form of a port or a range, valid or not.
func isPortOrRange(entry string) bool {
	first, last, _ := strings.Cut(entry, "-")
	return strings.EqualFold(entry, allPorts) || isDigits(strings.TrimSpace(first)) && isDigits(strings.TrimSpace(last))
}

func isDigits(text string) bool { return strings.Trim(text, "0123456789") == "" }

// parseRange parses an entry that is empty or that isPortOrRange accepts.
func parseRange(text string) (portRange, error) {
	first, last, isRange := strings.Cut(text, "-")
	first, last = strings.TrimSpace(first), strings.TrimSpace(last)
	switch {
	case text == "":
		return portRange{}, fmt.Errorf("empty entry in the list of ports: write a list such as 22,80-90")
	case strings.EqualFold(text, allPorts):
		return portRange{lo: minPort, hi: maxPort}, nil
	case first == "" && last == "":
		return portRange{}, fmt.Errorf(`"-" is a range without ports: write all, for every port`)
	case !isRange:
		last = first
	}
	lo, err := parsePort(first, minPort)
	if err != nil {
		return portRange{}, err
	}
	hi, err := parsePort(last, maxPort)
	if err != nil {
		return portRange{}, err
	}
	if lo > hi {
		return portRange{}, fmt.Errorf("range %d-%d is reversed: write %d-%d", lo, hi, hi, lo)
	}
	return portRange{lo: lo, hi: hi}, nil
}

// parsePort parses digits. It returns absent if there are none.
func parsePort(digits string, absent uint16) (uint16, error) {
	if digits == "" {
		return absent, nil
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n < minPort {
		return 0, fmt.Errorf("port %s is out of range: write %d to %d", shorten(digits), minPort, maxPort)
	}
	return uint16(n), nil
}

func shorten(text string) string { return Truncate(text, 40) }

// normalize returns the set of the ranges, merging those that overlap or touch. It modifies
// its argument.
func normalize(ranges []portRange) PortSet {
	slices.SortFunc(ranges, func(a, b portRange) int { return cmp.Compare(a.lo, b.lo) })
	out := ranges[:0]
	for _, r := range ranges {
		out = appendRange(out, r)
	}
	return newPortSet(out)
}

// appendRange appends a range that begins no lower than the last one, or extends that.
func appendRange(ranges []portRange, r portRange) []portRange {
	if n := len(ranges); n > 0 && int(r.lo) <= int(ranges[n-1].hi)+1 {
		ranges[n-1].hi = max(ranges[n-1].hi, r.hi)
		return ranges
	}
	return append(ranges, r)
}

// newPortSet returns the set of sorted ranges that neither overlap nor touch. It modifies
// its argument, and copies it if much of its capacity is unused, because sets can be
// retained for long.
func newPortSet(ranges []portRange) PortSet {
	before := 0
	for i := range ranges {
		ranges[i].before = uint16(before)
		before += ranges[i].len()
	}
	if cap(ranges) > len(ranges)+len(ranges)/8 {
		return PortSet{ranges: slices.Clone(ranges)}
	}
	return PortSet{ranges: slices.Clip(ranges)}
}

// Len returns the number of ports.
func (s PortSet) Len() int {
	n := len(s.ranges)
	if n == 0 {
		return 0
	}
	return int(s.ranges[n-1].before) + s.ranges[n-1].len()
}

// IsEmpty reports whether the set has no ports.
func (s PortSet) IsEmpty() bool { return len(s.ranges) == 0 }

// Index returns the port's index in ascending order, and reports whether the port is in
// the set.
func (s PortSet) Index(port uint16) (int, bool) {
	i, found := slices.BinarySearchFunc(s.ranges, port, func(r portRange, p uint16) int {
		switch {
		case p < r.lo:
			return 1
		case p > r.hi:
			return -1
		default:
			return 0
		}
	})
	if !found {
		return 0, false
	}
	return int(s.ranges[i].before) + int(port-s.ranges[i].lo), true
}

// At returns the port with an index, see [PortSet.Index], or 0 if there is none.
func (s PortSet) At(index int) uint16 {
	i := sort.Search(len(s.ranges), func(i int) bool { return int(s.ranges[i].before) > index }) - 1
	if index < 0 || index >= s.Len() {
		return 0
	}
	return s.ranges[i].lo + uint16(index-int(s.ranges[i].before)) //nolint:gosec // within the range
}

// Contains reports whether the port is in the set.
func (s PortSet) Contains(port uint16) bool {
	_, ok := s.Index(port)
	return ok
}

// All yields the ports in ascending order.
func (s PortSet) All() iter.Seq[uint16] {
	return func(yield func(uint16) bool) {
		for _, r := range s.ranges {
			for p := int(r.lo); p <= int(r.hi); p++ {
				if !yield(uint16(p)) { //nolint:gosec // p is a port
					return
				}
			}
		}
	}
}

// Select returns the ports whose bits are set in a mask with one bit per index (see
// [PortSet.Index]): bit i%64 of word i/64 is that of index i.
func (s PortSet) Select(mask []uint64) PortSet {
	runs := 0
	for _, word := range mask {
		runs += bits.OnesCount64(word &^ (word << 1))
	}
	out := make([]portRange, 0, runs)
	ranges, end := s.ranges, s.Len()
	for first := findBit(mask, 0, 0); first < end; {
		next := min(findBit(mask, first, ^uint64(0)), end)
		for first < next {
			for first >= int(ranges[0].before)+ranges[0].len() {
				ranges = ranges[1:]
			}
			skipped := first - int(ranges[0].before)
			count := min(next-first, ranges[0].len()-skipped)
			lo := int(ranges[0].lo) + skipped
			out = append(out, portRange{lo: uint16(lo), hi: uint16(lo + count - 1)}) //nolint:gosec // both are ports
			first += count
		}
		first = findBit(mask, next, 0)
	}
	return newPortSet(out)
}

// findBit returns the index, from one on, of the first bit that differs from those of the
// inverted word: of the first bit that is set with 0, and of the first that is not with
// all ones. It returns the number of bits if there is none.
func findBit(mask []uint64, from int, inverted uint64) int {
	for word := from / 64; word < len(mask); word++ {
		found := mask[word] ^ inverted
		if word == from/64 {
			found &= ^uint64(0) << (from % 64)
		}
		if found != 0 {
			return word*64 + bits.TrailingZeros64(found)
		}
	}
	return len(mask) * 64
}

// RangeCount returns the number of ranges in which the set is stored, a measure of its size.
func (s PortSet) RangeCount() int { return len(s.ranges) }

// Equal reports whether the sets have the same ports.
func (s PortSet) Equal(other PortSet) bool { return slices.Equal(s.ranges, other.ranges) }

// String returns the set in canonical form: in ascending order, without blanks, and with
// ranges, for example "22,80-90". [ParsePortSet] parses it.
func (s PortSet) String() string {
	var b strings.Builder
	for i, r := range s.ranges {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(r.lo)))
		if r.hi > r.lo {
			b.WriteByte('-')
			b.WriteString(strconv.Itoa(int(r.hi)))
		}
	}
	return b.String()
}

// MarshalText returns the canonical form, see [PortSet.String].
func (s PortSet) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

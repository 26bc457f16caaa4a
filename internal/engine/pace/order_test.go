// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"slices"
	"testing"

	"portscan_exporter/internal/scan"
)

// walk returns all indexes in the order in which a cursor returns them, and those that it
// returned as declared.
func walk(tb testing.TB, o *Order, seed uint32) (all, declared []int) {
	tb.Helper()
	c := cursor{order: o, seed: seed}
	for index, named, ok := c.next(); ok; index, named, ok = c.next() {
		all = append(all, index)
		if named {
			declared = append(declared, index)
		}
		if len(all) > o.ports {
			tb.Fatalf("got more than %d indexes", o.ports)
		}
	}
	if !c.isDone() {
		tb.Error("isDone() = false after the last index, want true")
	}
	return all, declared
}

// TestShuffleIsPermutation requires that shuffle returns each number of a width once.
// Otherwise ports would be omitted and others tried twice.
func TestShuffleIsPermutation(t *testing.T) {
	t.Parallel()
	for width := range 17 {
		for _, seed := range []uint32{0, 1, 0x8000, 0xFFFF, 0x10000, 0xDEADBEEF, 0xFFFFFFFF} {
			seen := newBitset(1 << width)
			for x := range uint32(1) << width {
				y := shuffle(x, seed, width)
				if y >= 1<<width || seen.has(int(y)) {
					t.Fatalf("shuffle(%d, %#x, %d) = %d, want a new number below %d", x, seed, width, y, 1<<width)
				}
				seen.set(int(y))
			}
		}
	}
}

// TestOrderPortsOnce requires that a cursor returns each port once, and the declared ones
// first.
func TestOrderPortsOnce(t *testing.T) {
	t.Parallel()
	expect := func(required, allowed string) *scan.Expectation {
		return &scan.Expectation{Open: testSpec(required).Ports, Allow: testSpec(allowed).Ports}
	}
	for _, tc := range []struct {
		ports    string
		expect   *scan.Expectation
		declared []int // indexes in ascending order
	}{
		{"7", nil, nil},
		{"7", expect("7", ""), []int{0}},
		{"1-2", nil, nil},
		{"1-64", nil, nil},
		{"1-65", expect("65", ""), []int{64}},
		{"10,20,30,40", expect("30", "10"), []int{0, 2}},
		{"10,20,30,40", expect("25", "9"), []int{2}}, // the plan includes 25 but not 9, which is only allowed
		{"1-1000,2000,65535", expect("1-3,65535", "2000"), []int{0, 1, 2, 1000, 1001}},
		{"1-5", expect("1-5", ""), []int{0, 1, 2, 3, 4}},
		{"1-65535", expect("22,80", "443"), []int{21, 79, 442}},
	} {
		spec := testSpec(tc.ports)
		spec.Expect = tc.expect
		o := NewOrder(mustPlan(t, spec))
		for _, seed := range []uint32{0, 1, 12345, 0xFFFFFFFF} {
			all, declared := walk(t, o, seed)
			if first := slices.Sorted(slices.Values(all[:len(tc.declared)])); !slices.Equal(first, tc.declared) {
				t.Errorf("%s, seed %d: got first indexes %v, want %v", tc.ports, seed, first, tc.declared)
			}
			wantCommonNext(t, mustPlan(t, spec), all[len(tc.declared):])
			if slices.Sort(declared); !slices.Equal(declared, tc.declared) {
				t.Errorf("%s, seed %d: got declared indexes %v, want %v", tc.ports, seed, declared, tc.declared)
			}
			slices.Sort(all)
			if len(all) != o.ports || len(slices.Compact(all)) != o.ports || all[0] != 0 || all[len(all)-1] != o.ports-1 {
				t.Errorf("%s, seed %d: got %d different indexes, want %d", tc.ports, seed, len(slices.Compact(all)), o.ports)
			}
		}
	}
}

// wantCommonNext fails the test if a port of no common service precedes one of a common service.
func wantCommonNext(t *testing.T, plan scan.Plan, indexes []int) {
	t.Helper()
	others := 0
	for _, index := range indexes {
		switch common := isCommon(plan.Ports().At(index)); {
		case !common:
			others++
		case others > 0:
			t.Errorf("port %d comes after %d others, want common services first", plan.Ports().At(index), others)
		}
	}
}

// TestOrderShuffled requires that the order avoids the patterns that firewalls detect as a
// port scan: ascending ports and adjacent ports in succession.
func TestOrderShuffled(t *testing.T) {
	t.Parallel()
	for _, ports := range []string{"1-1000", "1-4096", "1-65535"} {
		o := NewOrder(mustPlan(t, testSpec(ports)))
		var last []int
		for _, seed := range []uint32{0, 1, 2, 77777, 0x80000001} {
			all, _ := walk(t, o, seed)
			ascending, adjacent := 0, 0
			for i := 1; i < len(all); i++ {
				if all[i] > all[i-1] {
					ascending++
				}
				if d := all[i] - all[i-1]; d == 1 || d == -1 {
					adjacent++
				}
			}
			if share := float64(ascending) / float64(len(all)); share < 0.3 || share > 0.7 {
				t.Errorf("%s, seed %d: got a share of %.2f ascending steps, want 0.3 to 0.7", ports, seed, share)
			}
			if adjacent > len(all)/20 {
				t.Errorf("%s, seed %d: got %d steps to an adjacent port, want at most %d", ports, seed, adjacent, len(all)/20)
			}
			if slices.Equal(all, last) {
				t.Errorf("%s, seed %d: got the order of the previous seed, want another", ports, seed)
			}
			last = all
		}
	}
}

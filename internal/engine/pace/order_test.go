// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"slices"
	"testing"

	"portscan_exporter/internal/scan"
)

// walk returns all indexes in the order in which a cursor gives them out, and
// which of them it called declared.
func walk(tb testing.TB, o *Order, seed uint32) (all, declared []int) {
	tb.Helper()
	c := cursor{order: o, seed: seed}
	for index, named, ok := c.next(); ok; index, named, ok = c.next() {
		all = append(all, index)
		if named {
			declared = append(declared, index)
		}
		if len(all) > o.ports {
			tb.Fatalf("more than %d indexes were given out", o.ports)
		}
	}
	if !c.ended() {
		tb.Error("the end was reached, and is not said to be")
	}
	return all, declared
}

// TestShuffleIsPermutation has every number of so many bits come out once, or
// ports would be left out and others tried twice.
func TestShuffleIsPermutation(t *testing.T) {
	t.Parallel()
	for width := range 17 {
		for _, seed := range []uint32{0, 1, 0x8000, 0xFFFF, 0x10000, 0xDEADBEEF, 0xFFFFFFFF} {
			seen := newBitset(1 << width)
			for x := range uint32(1) << width {
				y := shuffle(x, seed, width)
				if y >= 1<<width || seen.has(int(y)) {
					t.Fatalf("width %d, seed %#x: %d becomes %d, which is too large or was there before", width, seed, x, y)
				}
				seen.set(int(y))
			}
		}
	}
}

func TestOrderGivesEachPortOnce(t *testing.T) {
	t.Parallel()
	expect := func(must, may string) *scan.Expectation {
		return &scan.Expectation{Open: testSpec(must).Ports, Allow: testSpec(may).Ports}
	}
	for _, tc := range []struct {
		ports    string
		expect   *scan.Expectation
		declared []int // by index, rising
	}{
		{"7", nil, nil},
		{"7", expect("7", ""), []int{0}},
		{"1-2", nil, nil},
		{"1-64", nil, nil},
		{"1-65", expect("65", ""), []int{64}},
		{"10,20,30,40", expect("30", "10"), []int{0, 2}},
		{"10,20,30,40", expect("25", "9"), []int{2}}, // 25 comes to the plan, 9 is allowed and not in it
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
				t.Errorf("%s, seed %d: %v come first, want %v", tc.ports, seed, first, tc.declared)
			}
			if slices.Sort(declared); !slices.Equal(declared, tc.declared) {
				t.Errorf("%s, seed %d: %v are called declared, want %v", tc.ports, seed, declared, tc.declared)
			}
			slices.Sort(all)
			if len(all) != o.ports || len(slices.Compact(all)) != o.ports || all[0] != 0 || all[len(all)-1] != o.ports-1 {
				t.Errorf("%s, seed %d: %d different indexes of %d were given out", tc.ports, seed, len(slices.Compact(all)), o.ports)
			}
		}
	}
}

// TestOrderLooksRandom holds the order against what a firewall looks for: ports
// that rise, and neighbours one after the other.
func TestOrderLooksRandom(t *testing.T) {
	t.Parallel()
	for _, ports := range []string{"1-1000", "1-4096", "1-65535"} {
		o := NewOrder(mustPlan(t, testSpec(ports)))
		var last []int
		for _, seed := range []uint32{0, 1, 2, 77777, 0x80000001} {
			all, _ := walk(t, o, seed)
			rising, neighbours := 0, 0
			for i := 1; i < len(all); i++ {
				if all[i] > all[i-1] {
					rising++
				}
				if d := all[i] - all[i-1]; d == 1 || d == -1 {
					neighbours++
				}
			}
			if share := float64(rising) / float64(len(all)); share < 0.3 || share > 0.7 {
				t.Errorf("%s, seed %d: %.2f of the steps rise, want about half", ports, seed, share)
			}
			if neighbours > len(all)/20 {
				t.Errorf("%s, seed %d: %d of %d steps go to a neighbour", ports, seed, neighbours, len(all))
			}
			if slices.Equal(all, last) {
				t.Errorf("%s: seed %d gives the order of the seed before", ports, seed)
			}
			last = all
		}
	}
}

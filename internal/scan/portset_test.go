// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

func TestParsePortSet(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                  "",
		"  ":                "",
		"22":                "22",
		"0443":              "443",
		"1-65535":           "1-65535",
		"80,443":            "80,443",
		"443, 80 ,80":       "80,443",
		"22,23,24":          "22-24",
		"22 - 24":           "22-24",
		"1-10,5-20,21":      "1-21",
		"65535,65534":       "65534-65535",
		"1,3,5,2":           "1-3,5",
		"8000-8000":         "8000",
		"100-200,1-65535,7": "1-65535",
		"60000-":            "60000-65535",
		"-100":              "1-100",
		"65535-":            "65535",
		"-1":                "1",
		"all":               "1-65535",
		"ALL ":              "1-65535",
		"22,all":            "1-65535",
		"60000 - , - 22":    "1-22,60000-65535",
	} {
		got, err := scan.ParsePortSet(text)
		if err != nil || got.String() != want {
			t.Errorf("ParsePortSet(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestParsePortSetInvalid(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0":                       `port 0 is out of range: write 1 to 65535`,
		"65536":                   `port 65536 is out of range: write 1 to 65535`,
		"1-70000":                 `port 70000 is out of range: write 1 to 65535`,
		"0-5":                     `port 0 is out of range: write 1 to 65535`,
		"90-80":                   `range 90-80 is reversed: write 80-90`,
		"80,":                     `empty entry in the list of ports: write a list such as 22,80-90`,
		",":                       `empty entry in the list of ports: write a list such as 22,80-90`,
		"http":                    `"http" is not a port or a range: write a number from 1 to 65535, or a range such as 8000-8100`,
		"-":                       `"-" is a range without ports: write all, for every port`,
		"22, - ":                  `"-" is a range without ports: write all, for every port`,
		"0-":                      `port 0 is out of range: write 1 to 65535`,
		"-0":                      `port 0 is out of range: write 1 to 65535`,
		"-70000":                  `port 70000 is out of range: write 1 to 65535`,
		"--1":                     `"--1" is not a port or a range: write a number from 1 to 65535, or a range such as 8000-8100`,
		"alles":                   `"alles" is not a port or a range: write a number from 1 to 65535, or a range such as 8000-8100`,
		"1-2-3":                   `"1-2-3" is not a port or a range: write a number from 1 to 65535, or a range such as 8000-8100`,
		"+80":                     `"+80" is not a port or a range: write a number from 1 to 65535, or a range such as 8000-8100`,
		"0x50":                    `"0x50" is not a port or a range: write a number from 1 to 65535, or a range such as 8000-8100`,
		"8_0":                     `"8_0" is not a port or a range: write a number from 1 to 65535, or a range such as 8000-8100`,
		"22 80":                   `"22 80" is not a port or a range: write a number from 1 to 65535, or a range such as 8000-8100`,
		"99999999999999999999999": `port 99999999999999999999999 is out of range: write 1 to 65535`,
	} {
		got, err := scan.ParsePortSet(text)
		if err == nil || err.Error() != want {
			t.Errorf("ParsePortSet(%q) = %q, %v, want error %q", text, got, err, want)
		}
	}
}

// TestPortSetOperations compares each operation with the same operation on maps.
func TestPortSetOperations(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		a, inA := randomSet(random)
		b, inB := randomSet(random)
		checkPortSet(t, "a", a, inA)
		union, minus, both := make(map[uint16]bool), make(map[uint16]bool), make(map[uint16]bool)
		for p := range inA {
			union[p] = true
			if inB[p] {
				both[p] = true
			} else {
				minus[p] = true
			}
		}
		for p := range inB {
			union[p] = true
		}
		checkPortSet(t, "a.Union(b)", a.Union(b), union)
		checkPortSet(t, "a.Minus(b)", a.Minus(b), minus)
		checkPortSet(t, "a.Intersect(b)", a.Intersect(b), both)
		checkPortSet(t, "a, unchanged", a, inA)
	}
}

// randomSet returns a set that is dense enough for ranges that touch and overlap.
func randomSet(random *rand.Rand) (scan.PortSet, map[uint16]bool) {
	base := []int{1, 30000, 65535 - 63}[random.IntN(3)]
	in := make(map[uint16]bool)
	var ports []uint16
	for range random.IntN(60) {
		p := uint16(base + random.IntN(64))
		in[p] = true
		ports = append(ports, p)
	}
	return scan.NewPortSet(ports...), in
}

func checkPortSet(t *testing.T, name string, got scan.PortSet, want map[uint16]bool) {
	t.Helper()
	ports := make([]uint16, 0, len(want))
	for p := range want {
		ports = append(ports, p)
	}
	slices.Sort(ports)
	if diff := cmp.Diff(ports, append([]uint16{}, slices.Collect(got.All())...)); diff != "" {
		t.Fatalf("%s = %v (-want +got):\n%s", name, got, diff)
	}
	if got.Len() != len(ports) || got.IsEmpty() != (len(ports) == 0) {
		t.Fatalf("%s.Len() = %d, want %d", name, got.Len(), len(ports))
	}
	for i, p := range ports {
		if at, ok := got.Index(p); !ok || at != i {
			t.Fatalf("%s.Index(%d) = %d, %v, want %d", name, p, at, ok, i)
		}
	}
	for _, p := range []uint16{0, 1, 29999, 30000, 30064, 65534, 65535} {
		if got.Contains(p) != want[p] {
			t.Fatalf("%s.Contains(%d) = %v", name, p, got.Contains(p))
		}
	}
	back, err := scan.ParsePortSet(got.String())
	if err != nil || !back.Equal(got) {
		t.Fatalf("%s: ParsePortSet(%q) = %q, %v, want the same set", name, got, back, err)
	}
}

func TestNewPortSetPortZero(t *testing.T) {
	t.Parallel()
	if got := scan.NewPortSet(0, 1).String(); got != "1" {
		t.Errorf("NewPortSet(0, 1) = %q, want 1", got)
	}
}

func TestPortSetAllBreak(t *testing.T) {
	t.Parallel()
	everything, err := scan.ParsePortSet("1-65535")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for range everything.All() {
		if seen++; seen == 3 {
			break
		}
	}
	if seen != 3 {
		t.Errorf("got %d ports after a break at the third", seen)
	}
	if n := len(slices.Collect(everything.All())); n != 65535 {
		t.Errorf("got %d ports in 1-65535, want 65535", n)
	}
}

func FuzzParsePortSet(f *testing.F) {
	for _, seed := range []string{"", "22", "1-65535", "80,443,8000-8100", "90-80", "0443", "1-", "-9", "-", "all", "ssh", ",,", "22 - 24", "65536"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, err := scan.ParsePortSet(text)
		if err != nil {
			if msg := err.Error(); msg == "" || len(msg) > 400 {
				t.Fatalf("ParsePortSet() error = %q, want 1 to 400 bytes", msg)
			}
			return
		}
		back, err := scan.ParsePortSet(set.String())
		if err != nil || !back.Equal(set) || back.String() != set.String() {
			t.Fatalf("ParsePortSet(%q) = %q, parsed again = %q, %v", text, set, back, err)
		}
		previous := 0
		for p := range set.All() {
			if int(p) <= previous {
				t.Fatalf("ParsePortSet(%q) yields %d after %d", text, p, previous)
			}
			previous = int(p)
		}
	})
}

func BenchmarkPortSetIndex(b *testing.B) {
	set, err := scan.ParsePortSet("1-1024,3306,8000-8100")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		set.Index(8050)
	}
}

func TestPortSetSelect(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"1-5,65533-65535", "1-65535", "7", "1-64,66-129,200,300-500,65535", "1-128"} {
		set, err := scan.ParsePortSet(text)
		if err != nil {
			t.Fatal(err)
		}
		for name, condition := range map[string]func(index int) bool{
			"none": func(int) bool { return false }, "all": func(int) bool { return true },
			"first": func(i int) bool { return i == 0 }, "last": func(i int) bool { return i == set.Len()-1 },
			"even": func(i int) bool { return i%2 == 0 }, "runs": func(i int) bool { return i/61%3 > 0 }, "words": func(i int) bool { return i/64%2 > 0 },
		} {
			mask := make([]uint64, (set.Len()+63)/64)
			var want []uint16
			for i := range len(mask) * 64 { // the bits beyond the set's ports count for nothing
				if condition(i) || name == "last" && i >= set.Len() {
					mask[i/64] |= 1 << (i % 64)
				}
				if condition(i) && i < set.Len() {
					want = append(want, set.At(i))
				}
			}
			if got := set.Select(mask); !got.Equal(scan.NewPortSet(want...)) {
				t.Errorf("%s: Select(%s) = %s, want %s", text, name, got, scan.NewPortSet(want...))
			}
		}
	}
}

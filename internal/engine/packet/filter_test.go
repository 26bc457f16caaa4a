// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/net/bpf"
)

// TestFilterExamples checks that the filters keep all responses for their ports and
// drop all packets for others.
func TestFilterExamples(t *testing.T) {
	t.Parallel()
	var many []uint16 // one less than the maximum
	for i := range uint16(maxPorts - 1) {
		many = append(many, 50_000+i)
	}
	for _, tc := range examples(t) {
		f, other := family4(), family6()
		if tc.name[:2] == "v6" {
			f, other = other, f
		}
		port, want := f.local.Port(), 0
		if tc.want.Kind != 0 || tc.kept {
			want = SnapLen
		}
		for _, ports := range [][]uint16{{port}, slices.Insert(slices.Clone(many), 0, port), append(many, port)} {
			if got := keptBytes(t, f, tc.packet, ports...); got != want {
				t.Errorf("%s: the filter for ports %v keeps %d bytes of %x, want %d", tc.name, ports, got, tc.packet, want)
			}
		}
		if got := keptBytes(t, f, tc.packet, append(many, port-1)...); got != 0 {
			t.Errorf("%s: a filter for other ports keeps it", tc.name)
		}
		if got := keptBytes(t, f, tc.packet, f.remote.Port()); got != 0 {
			t.Errorf("%s: a filter for the remote port keeps it", tc.name)
		}
		if got := keptBytes(t, other, tc.packet, port); got != 0 {
			t.Errorf("%s: the filter for the other IP version keeps it", tc.name)
		}
		if got := runFilter(t, DropFilter(), tc.packet); got != 0 {
			t.Errorf("%s: DropFilter keeps it", tc.name)
		}
	}
}

func TestFilterTruncated(t *testing.T) {
	t.Parallel()
	for _, tc := range examples(t) {
		f := family4()
		if tc.name[:2] == "v6" {
			f = family6()
		}
		for n := range len(tc.packet) {
			if _, ok := Parse(tc.packet[:n], false); ok && keptBytes(t, f, tc.packet[:n], f.local.Port()) == 0 {
				t.Errorf("%s: the filter drops a response of %d bytes", tc.name, n)
			}
		}
	}
}

func TestFilterPortCount(t *testing.T) {
	t.Parallel()
	for n, valid := range map[int]bool{0: false, 1: true, 16: true, 17: false} {
		for _, filter := range []func([]uint16) ([]bpf.RawInstruction, error){Filter4, Filter6} {
			if got, err := filter(make([]uint16, n)); (err == nil) != valid || (got != nil) != valid {
				t.Errorf("filter for %d ports: %d instructions, %v, want valid = %v", n, len(got), err, valid)
			}
		}
	}
}

func TestSnapLenLongestHeaders(t *testing.T) {
	t.Parallel()
	f := family4()
	quoted := f.syn()
	quoted.options = make([]byte, 40)
	c := f.icmpError(3, 1, quoted.bytes()).datagram(t)
	c.options = make([]byte, 40)
	s := f.reply(0x12)
	s.options = make([]byte, 40)
	d := s.datagram()
	d.options = make([]byte, 40)
	six := family6()
	long := six.syn()
	long.payload = segment{src: six.local, dst: six.remote, seq: sequence, options: make([]byte, 40)}.bytes()
	for _, b := range [][]byte{c.bytes(), d.bytes(), six.icmpError(1, 0, long.bytes()).datagram(t).bytes()} {
		if len(b) > SnapLen {
			t.Errorf("packet has %d bytes, want at most %d", len(b), SnapLen)
		}
		if _, ok := Parse(b, true); !ok {
			t.Errorf("Parse(%x) = false", b)
		}
	}
}

// keptBytes returns the number of bytes that the filter keeps.
func keptBytes(tb testing.TB, f family, b []byte, ports ...uint16) int {
	tb.Helper()
	return runFilter(tb, mustFilter(tb, f.local.Addr(), ports...), b)
}

func mustFilter(tb testing.TB, addr netip.Addr, ports ...uint16) []bpf.RawInstruction {
	tb.Helper()
	filter := Filter4
	if addr.Is6() {
		filter = Filter6
	}
	raw, err := filter(ports)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func runFilter(tb testing.TB, raw []bpf.RawInstruction, b []byte) int {
	tb.Helper()
	program, known := bpf.Disassemble(raw)
	if !known {
		tb.Fatalf("invalid instructions: %v", raw)
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		tb.Fatal(err)
	}
	n, err := vm.Run(b)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"net/netip"
	"testing"
)

// TestSequenceCBC compares with the last block of the standard library's CBC mode.
func TestSequenceCBC(t *testing.T) {
	t.Parallel()
	secret := [16]byte([]byte("a key for a test"))
	for _, f := range []family{family4(), family6()} {
		k, err := newKey(secret)
		if err != nil {
			t.Fatal(err)
		}
		block, err := aes.NewCipher(secret[:])
		if err != nil {
			t.Fatal(err)
		}
		local, remote := f.local.Addr().As16(), f.remote.Addr().As16()
		b := append(local[:], remote[:]...)
		b = binary.BigEndian.AppendUint16(b, f.local.Port())
		b = binary.BigEndian.AppendUint16(b, f.remote.Port())
		b = append(b, make([]byte, 12)...)
		cipher.NewCBCEncrypter(block, make([]byte, 16)).CryptBlocks(b, b)
		want := binary.BigEndian.Uint32(b[32:])
		for range 2 {
			if got := k.Sequence(f.local, f.remote); got != want {
				t.Errorf("Sequence = %#x, want %#x", got, want)
			}
			// A call in between does not change the next result.
			k.Sequence(f.remote, f.local)
		}
	}
}

// TestSequenceDiffers flips every bit of the input, and changes the key.
func TestSequenceDiffers(t *testing.T) {
	t.Parallel()
	k, other := mustKey(t), mustKey(t)
	for _, f := range []family{family4(), family6()} {
		seen := map[uint32]bool{k.Sequence(f.local, f.remote): true}
		try := func(what string, k *Key, local, remote netip.AddrPort) {
			t.Helper()
			got := k.Sequence(local, remote)
			if seen[got] {
				t.Errorf("%s: Sequence = %#x, want a new number", what, got)
			}
			seen[got] = true
		}
		for bit := range f.local.Addr().BitLen() {
			try("local address", k, netip.AddrPortFrom(flipBit(f.local.Addr(), bit), f.local.Port()), f.remote)
			try("remote address", k, f.local, netip.AddrPortFrom(flipBit(f.remote.Addr(), bit), f.remote.Port()))
		}
		for bit := range 16 {
			try("local port", k, netip.AddrPortFrom(f.local.Addr(), f.local.Port()^1<<bit), f.remote)
			try("remote port", k, f.local, netip.AddrPortFrom(f.remote.Addr(), f.remote.Port()^1<<bit))
		}
		try("swapped", k, f.remote, f.local)
		try("another key", other, f.local, f.remote)
	}
}

func TestSequenceStable(t *testing.T) {
	t.Parallel()
	k, f := mustKey(t), family4()
	copied := *k
	want := k.Sequence(f.local, f.remote)
	if got := copied.Sequence(f.local, f.remote); got != want {
		t.Errorf("Sequence of a copied key = %#x, want %#x", got, want)
	}
	mapped := netip.AddrPortFrom(netip.AddrFrom16(f.local.Addr().As16()), f.local.Port())
	if got := k.Sequence(mapped, f.remote); got != want {
		t.Errorf("Sequence(%v) = %#x, want %#x", mapped, got, want)
	}
	k.Sequence(netip.AddrPort{}, netip.AddrPort{}) // must not panic
}

func flipBit(addr netip.Addr, bit int) netip.Addr {
	b := addr.AsSlice()
	b[bit/8] ^= 0x80 >> (bit % 8)
	addr, _ = netip.AddrFromSlice(b)
	return addr
}

func mustKey(tb testing.TB) *Key {
	tb.Helper()
	k, err := NewKey()
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

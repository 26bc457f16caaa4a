package packet

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"net/netip"
	"testing"
)

// TestSequence compares with the last block of the standard library's CBC mode over
// the same three blocks.
func TestSequence(t *testing.T) {
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
			// What was asked in between leaves nothing behind.
			k.Sequence(f.remote, f.local)
		}
	}
}

// TestSequenceDiffers turns every bit of the input, and changes the key.
func TestSequenceDiffers(t *testing.T) {
	t.Parallel()
	k, other := mustKey(t), mustKey(t)
	for _, f := range []family{family4(), family6()} {
		seen := map[uint32]bool{k.Sequence(f.local, f.remote): true}
		try := func(what string, k *Key, local, remote netip.AddrPort) {
			t.Helper()
			got := k.Sequence(local, remote)
			if seen[got] {
				t.Errorf("%s: %#x comes twice", what, got)
			}
			seen[got] = true
		}
		for bit := range f.local.Addr().BitLen() {
			try("local address", k, netip.AddrPortFrom(turned(f.local.Addr(), bit), f.local.Port()), f.remote)
			try("remote address", k, f.local, netip.AddrPortFrom(turned(f.remote.Addr(), bit), f.remote.Port()))
		}
		for bit := range 16 {
			try("local port", k, netip.AddrPortFrom(f.local.Addr(), f.local.Port()^1<<bit), f.remote)
			try("remote port", k, f.local, netip.AddrPortFrom(f.remote.Addr(), f.remote.Port()^1<<bit))
		}
		try("the other way round", k, f.remote, f.local)
		try("another key", other, f.local, f.remote)
	}
}

func TestSequenceSame(t *testing.T) {
	t.Parallel()
	k, f := mustKey(t), family4()
	copied := *k
	want := k.Sequence(f.local, f.remote)
	if got := copied.Sequence(f.local, f.remote); got != want {
		t.Errorf("a copy of the key: Sequence = %#x, want %#x", got, want)
	}
	mapped := netip.AddrPortFrom(netip.AddrFrom16(f.local.Addr().As16()), f.local.Port())
	if got := k.Sequence(mapped, f.remote); got != want {
		t.Errorf("from %v Sequence = %#x, want %#x", mapped, got, want)
	}
	k.Sequence(netip.AddrPort{}, netip.AddrPort{}) // does not panic
}

func turned(addr netip.Addr, bit int) netip.Addr {
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

package packet

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Key makes the initial sequence numbers of SYNs. Only [NewKey] makes one; the zero
// value cannot be used. It is for one goroutine at a time, as it works in a buffer
// of its own. A copy by value has a buffer of its own too, and makes the same
// numbers.
type Key struct {
	block cipher.Block
	mac   [aes.BlockSize]byte
}

// NewKey returns a key that nobody else has, from crypto/rand, which ends the
// program where the system has no random bytes to give. The error is that of the
// cipher. It may be called concurrently.
func NewKey() (*Key, error) {
	var secret [16]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return nil, fmt.Errorf("read random bytes for a key: %w", err)
	}
	return newKey(secret)
}

func newKey(secret [16]byte) (*Key, error) {
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		return nil, fmt.Errorf("make the cipher of a key: %w", err)
	}
	return &Key{block: block}, nil
}

// Sequence returns the initial sequence number of a SYN from local to remote. It is
// the same whenever the same key is asked for the same pair, so that an answer can
// be checked without anything kept of the SYN. It is F of RFC 6528 section 3, a
// keyed function of both addresses and both ports, by which nobody who has not seen
// the SYN can tell the number. The timer M of that section is left out: no data is
// ever sent that an old connection's could be taken for. An IPv4-mapped IPv6 address
// counts as the IPv4 address in it, and a zone for nothing. It allocates nothing and
// is for one goroutine at a time.
//
// The function is the CBC-MAC of AES-128, cut to 32 bits. It is sound here because
// its input always has the same length, three blocks (Bellare, Kilian and Rogaway,
// "The security of the cipher block chaining message authentication code"); for
// inputs of several lengths it would not be.
func (k *Key) Sequence(local, remote netip.AddrPort) uint32 {
	from, to := local.Addr().As16(), remote.Addr().As16()
	ports := [aes.BlockSize]byte{}
	binary.BigEndian.PutUint16(ports[:], local.Port())
	binary.BigEndian.PutUint16(ports[2:], remote.Port())

	k.mac = from
	k.block.Encrypt(k.mac[:], k.mac[:])
	subtle.XORBytes(k.mac[:], k.mac[:], to[:])
	k.block.Encrypt(k.mac[:], k.mac[:])
	subtle.XORBytes(k.mac[:], k.mac[:], ports[:])
	k.block.Encrypt(k.mac[:], k.mac[:])
	return binary.BigEndian.Uint32(k.mac[:])
}

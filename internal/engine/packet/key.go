// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

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

// Key computes the initial sequence numbers of SYNs. Use [NewKey]; the zero value is
// invalid. A Key is not safe for concurrent use, but a copy is independent and computes
// the same numbers.
type Key struct {
	block cipher.Block
	mac   [aes.BlockSize]byte
}

// NewKey returns a random key. It is safe for concurrent use.
func NewKey() (*Key, error) {
	var secret [16]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return nil, fmt.Errorf("reading random bytes: %w", err)
	}
	return newKey(secret)
}

func newKey(secret [16]byte) (*Key, error) {
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		return nil, fmt.Errorf("creating the cipher: %w", err)
	}
	return &Key{block: block}, nil
}

// Sequence returns the initial sequence number of a SYN from local to remote. It is a
// function of the key, both addresses and both ports, so responses can be verified
// without per-SYN state, and an off-path sender cannot compute it. It is F of RFC 6528
// section 3 without the timer M, which protects data that scans do not send.
// IPv4-mapped IPv6 addresses are unmapped and zones ignored. It does not allocate.
//
// The function is the CBC-MAC of AES-128, truncated to 32 bits. It is secure because
// its input always has three blocks (Bellare, Kilian and Rogaway, "The security of the
// cipher block chaining message authentication code").
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

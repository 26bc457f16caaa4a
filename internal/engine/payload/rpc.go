// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "slices"

func portmapper() []byte {
	const program, version = 100_000, 2 // RFC 1833 section 3
	return rpcNull(program, version)
}

func nfs() []byte {
	const program, version = 100_003, 3 // RFC 1813 section 2
	return rpcNull(program, version)
}

// rpcNull calls procedure 0, which every ONC RPC program has and which does nothing
// (RFC 5531 section 12.1). A program without this version returns an error.
func rpcNull(program, version uint32) []byte {
	const rpcVersion = 2
	return slices.Concat( // RFC 5531 section 9
		filler(4), // xid
		u32(0),    // CALL
		u32(rpcVersion),
		u32(program),
		u32(version),
		u32(0),         // procedure
		u32(0), u32(0), // credentials: AUTH_NONE, length 0 (section 10.1)
		u32(0), u32(0), // verifier: the same
	)
}

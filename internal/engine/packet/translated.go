// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/net/bpf"
)

// Offsets of the addresses in the IP header. The ports follow them directly.
const (
	addresses4 = 12
	addresses6 = 8
)

// The bits of hashTuple that fit into the header.
const (
	idBits        = 16 // identification of IPv4
	flowLabelBits = 20
	flowLabelMask = 1<<flowLabelBits - 1
)

// The hash function. The multiplier is that of 32-bit FNV-1a.
const (
	hashMultiplier = 16_777_619
	hashShift      = 15
	hashSeed       = 2_166_136_261
)

// SYN is a packet of [AppendSYN].
type SYN struct {
	Local, Remote netip.AddrPort
	Sequence      uint32
}

// TranslatedFilter returns a classic BPF program for a packet socket of all protocols,
// whose packets start with the IP header. It keeps each outgoing SYN of [AppendSYN]
// whose addresses or ports have changed since, as by NAT on this machine, and drops all
// other packets. SYNs that another machine translated and sent back to be forwarded have a
// lower hop limit; a local rule may raise it. The filter misses one in 65,536 translated SYNs
// of IPv4 and one in 1,048,576 of IPv6, and those whose hop limit a local rule lowers. Use
// [ParseSYN] to read the packet. It is safe for concurrent use.
func TranslatedFilter() ([]bpf.RawInstruction, error) {
	return bpf.Assemble(slices.Concat(requireOutgoing(), translated()))
}

// requireOutgoing drops packets that this machine does not send.
func requireOutgoing() []bpf.Instruction {
	const outgoing = 4 // PACKET_OUTGOING of packet(7)
	return slices.Concat([]bpf.Instruction{bpf.LoadExtension{Num: bpf.ExtType}}, require(bpf.JumpEqual, outgoing))
}

func translated() []bpf.Instruction {
	four := slices.Concat(
		[]bpf.Instruction{bpf.LoadAbsolute{Off: 9, Size: 1}},
		require(bpf.JumpEqual, protocolTCP),
		keepTranslated4(),
	)
	six := slices.Concat(
		[]bpf.Instruction{bpf.LoadAbsolute{Off: 6, Size: 1}},
		require(bpf.JumpEqual, protocolTCP),
		keepTranslated6(),
	)
	return slices.Concat(
		[]bpf.Instruction{
			bpf.LoadAbsolute{Off: 0, Size: 1},
			bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4},
		},
		branch(4, four, 6, six),
	)
}

// keepTranslated4 keeps a TCP packet over IPv4 if it is a SYN of AppendSYN, without options
// in the IP header, whose hash differs.
func keepTranslated4() []bpf.Instruction {
	return slices.Concat(
		requireSYN(8, header4),
		loadHash(addresses4, header4),
		[]bpf.Instruction{
			bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 32 - idBits},
			bpf.TAX{},
			bpf.LoadAbsolute{Off: 4, Size: 2},
		},
		keepUnequal(),
	)
}

// keepTranslated6 is keepTranslated4 for IPv6.
func keepTranslated6() []bpf.Instruction {
	return slices.Concat(
		requireSYN(7, header6),
		loadHash(addresses6, header6),
		[]bpf.Instruction{
			bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 32 - flowLabelBits},
			bpf.TAX{},
			bpf.LoadAbsolute{Off: 0, Size: 4},
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: flowLabelMask},
		},
		keepUnequal(),
	)
}

// requireSYN drops the packet unless header length, flags and window are those of AppendSYN
// and the hop limit is not lower. Kernels send SYNs with more options.
func requireSYN(hopLimit, header uint32) []bpf.Instruction {
	return slices.Concat(
		[]bpf.Instruction{bpf.LoadAbsolute{Off: hopLimit, Size: 1}},
		require(bpf.JumpGreaterOrEqual, hops),
		[]bpf.Instruction{bpf.LoadAbsolute{Off: header + 12, Size: 4}},
		require(bpf.JumpEqual, synFields),
	)
}

// loadHash loads hashTuple. The index register has the hash of the words before.
func loadHash(addresses, header uint32) []bpf.Instruction {
	program := []bpf.Instruction{bpf.LoadConstant{Dst: bpf.RegX, Val: hashSeed}}
	for off := addresses; off <= header; off += wordLen {
		program = append(
			program,
			bpf.LoadAbsolute{Off: off, Size: wordLen},
			bpf.ALUOpX{Op: bpf.ALUOpXor},
			bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: hashMultiplier},
			bpf.TAX{},
			bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: hashShift},
			bpf.ALUOpX{Op: bpf.ALUOpXor},
			bpf.TAX{},
		)
	}
	return program
}

// keepUnequal keeps the packet unless the loaded value is in the index register.
func keepUnequal() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.JumpIfX{Cond: bpf.JumpEqual, SkipFalse: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: SnapLen},
	}
}

// hashTuple returns a hash of the bytes, which are addresses and ports. It has no key:
// all programs that use this package recognize each other's packets.
func hashTuple(b []byte) uint32 {
	h := uint32(hashSeed)
	for ; len(b) >= wordLen; b = b[wordLen:] {
		h = (h ^ binary.BigEndian.Uint32(b)) * hashMultiplier
		h ^= h >> hashShift
	}
	return h
}

// ParseSYN reads a packet of [AppendSYN] that starts with its IP header. b is not
// retained. ParseSYN does not allocate and is safe for concurrent use.
func ParseSYN(b []byte) (SYN, bool) {
	p, ok := parseIP(b, false)
	tcp := p.payload
	if !ok || p.protocol != protocolTCP || len(tcp) < headerTCP || binary.BigEndian.Uint32(tcp[12:]) != synFields {
		return SYN{}, false
	}
	return SYN{
		Local:    netip.AddrPortFrom(p.from, binary.BigEndian.Uint16(tcp)),
		Remote:   netip.AddrPortFrom(p.to, binary.BigEndian.Uint16(tcp[2:])),
		Sequence: binary.BigEndian.Uint32(tcp[4:]),
	}, true
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"fmt"
	"slices"

	"golang.org/x/net/bpf"
)

// SnapLen is the number of bytes of a packet that the filters keep: all that [Parse]
// reads, even with the longest headers, and most ICMP errors completely.
const SnapLen = 176

// maxPorts keeps jumps within the limit of 255 instructions.
const maxPorts = 16

// Filter4 returns a classic BPF program for a packet socket whose packets start with
// the IP header, such as AF_PACKET with SOCK_DGRAM. It keeps the first [SnapLen] bytes
// of each IPv4 packet that may be a [Response] for one of the local ports: TCP with
// RST, or with SYN and ACK, and ICMP errors that quote TCP. It also keeps SYNs of
// [AppendSYN] whose addresses or ports have changed, see [TranslatedFilter]: those that
// this machine translates and sends to itself. It drops other packets and fragments. It
// returns an error unless there are 1 to 16 ports. It is safe for concurrent use.
func Filter4(ports []uint16) ([]bpf.RawInstruction, error) {
	return assembleFilter(ports, program4)
}

// Filter6 returns the program of [Filter4] for IPv6 packets without extension headers.
func Filter6(ports []uint16) ([]bpf.RawInstruction, error) {
	return assembleFilter(ports, program6)
}

// DropFilter returns a program that drops every packet.
func DropFilter() []bpf.RawInstruction {
	const opReturn = 0x06 // BPF_RET | BPF_K: number of bytes to keep
	return []bpf.RawInstruction{{Op: opReturn, K: 0}}
}

func assembleFilter(ports []uint16, program func(ports []uint32) []bpf.Instruction) ([]bpf.RawInstruction, error) {
	if len(ports) < 1 || len(ports) > maxPorts {
		return nil, fmt.Errorf("packet filter: got %d ports, want 1 to %d", len(ports), maxPorts)
	}
	values := make([]uint32, len(ports))
	for i, port := range ports {
		values[i] = uint32(port)
	}
	raw, err := bpf.Assemble(program(values))
	if err != nil {
		return nil, fmt.Errorf("assembling the packet filter: %w", err)
	}
	return raw, nil
}

// program4 keeps the length of the IPv4 header in the index register. A load beyond the
// end of the packet drops it.
func program4(ports []uint32) []bpf.Instruction {
	tcp := slices.Concat(
		branchSYN(bpf.LoadIndirect{Off: 13, Size: 1}, keepTranslated4()),
		requireFlags(bpf.LoadIndirect{Off: 13, Size: 1}),
		keepPorts(ports, bpf.LoadIndirect{Off: 2, Size: 2}),
	)
	icmp := slices.Concat(
		[]bpf.Instruction{bpf.LoadIndirect{Off: 0, Size: 2}}, // type and code
		require(bpf.JumpNotEqual, unreachable<<8|fragmentationNeeded),
		[]bpf.Instruction{bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 8}}, // type
		requireOneOf(unreachable, timeExceeded, parameterProblem),
		[]bpf.Instruction{bpf.LoadIndirect{Off: headerICMP + 6, Size: 2}},
		require(bpf.JumpBitsNotSet, fragmentOffset),
		[]bpf.Instruction{bpf.LoadIndirect{Off: headerICMP + 9, Size: 1}},
		require(bpf.JumpEqual, protocolTCP),
		[]bpf.Instruction{
			// Add the length of the quoted header to the index.
			bpf.LoadIndirect{Off: headerICMP, Size: 1},
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0x0f},
			bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: wordLen},
			bpf.ALUOpX{Op: bpf.ALUOpAdd},
			bpf.TAX{},
		},
		keepPorts(ports, bpf.LoadIndirect{Off: headerICMP, Size: 2}),
	)
	return slices.Concat(
		requireVersion(4),
		[]bpf.Instruction{bpf.LoadAbsolute{Off: 6, Size: 2}},
		require(bpf.JumpBitsNotSet, moreFragments|fragmentOffset),
		[]bpf.Instruction{bpf.LoadMemShift{Off: 0}, bpf.LoadAbsolute{Off: 9, Size: 1}},
		branch(protocolTCP, tcp, protocolICMP, icmp),
	)
}

func program6(ports []uint32) []bpf.Instruction {
	const quoted = header6 + headerICMP
	tcp := slices.Concat(
		branchSYN(bpf.LoadAbsolute{Off: header6 + 13, Size: 1}, keepTranslated6()),
		requireFlags(bpf.LoadAbsolute{Off: header6 + 13, Size: 1}),
		keepPorts(ports, bpf.LoadAbsolute{Off: header6 + 2, Size: 2}),
	)
	icmp := slices.Concat(
		[]bpf.Instruction{bpf.LoadAbsolute{Off: header6, Size: 1}},
		requireOneOf(unreachable6, timeExceeded6, parameterProblem6),
		[]bpf.Instruction{bpf.LoadAbsolute{Off: quoted + 6, Size: 1}},
		require(bpf.JumpEqual, protocolTCP),
		keepPorts(ports, bpf.LoadAbsolute{Off: quoted + header6, Size: 2}),
	)
	return slices.Concat(
		requireVersion(6),
		[]bpf.Instruction{bpf.LoadAbsolute{Off: 6, Size: 1}},
		branch(protocolTCP, tcp, protocolICMPv6, icmp),
	)
}

// requireVersion drops packets of another version of IP.
func requireVersion(n uint32) []bpf.Instruction {
	return slices.Concat([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4},
	}, require(bpf.JumpEqual, n))
}

// require drops the packet unless the loaded value meets the condition.
func require(cond bpf.JumpTest, value uint32) []bpf.Instruction {
	return []bpf.Instruction{bpf.JumpIf{Cond: cond, Val: value, SkipTrue: 1}, bpf.RetConstant{Val: 0}}
}

// requireOneOf drops the packet unless the loaded value is one of these.
func requireOneOf(values ...uint32) []bpf.Instruction {
	program := make([]bpf.Instruction, 0, len(values)+1)
	for i, value := range values {
		skip := uint8(len(values) - i) //nolint:gosec // at most maxPorts
		program = append(program, bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipTrue: skip})
	}
	return append(program, bpf.RetConstant{Val: 0})
}

// branch continues with the program of the loaded protocol.
func branch(a uint32, programA []bpf.Instruction, b uint32, programB []bpf.Instruction) []bpf.Instruction {
	skip := uint8(len(programA)) //nolint:gosec // maxPorts and a few
	return slices.Concat(
		[]bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpEqual, Val: a, SkipFalse: skip}},
		programA,
		require(bpf.JumpEqual, b),
		programB,
	)
}

// branchSYN runs the program, which must end with a result, if the loaded flags are SYN.
func branchSYN(load bpf.Instruction, program []bpf.Instruction) []bpf.Instruction {
	skip := uint8(len(program)) //nolint:gosec // a few dozen
	return slices.Concat([]bpf.Instruction{load, bpf.JumpIf{Cond: bpf.JumpEqual, Val: flagSYN, SkipFalse: skip}}, program)
}

// requireFlags drops the packet unless it has RST, or SYN and ACK. It comes before the
// ports, because most packets of a busy host have neither.
func requireFlags(load bpf.Instruction) []bpf.Instruction {
	return slices.Concat([]bpf.Instruction{
		load,
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: flagRST, SkipTrue: 3},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: flagSYN | flagACK},
	}, require(bpf.JumpEqual, flagSYN|flagACK))
}

// keepPorts keeps the packet if the loaded value is one of the ports.
func keepPorts(ports []uint32, load bpf.Instruction) []bpf.Instruction {
	return slices.Concat([]bpf.Instruction{load}, requireOneOf(ports...), []bpf.Instruction{bpf.RetConstant{Val: SnapLen}})
}

package packet

import (
	"fmt"
	"slices"

	"golang.org/x/net/bpf"
)

// Snap is how many bytes of a packet the filters let through: enough for all that
// [Parse] reads, with the longest headers, and for most ICMP errors as a whole.
const Snap = 176

// maxPorts keeps the programs short, and their jumps within the 255 instructions
// that one can skip.
const maxPorts = 16

// Filter4 returns a classic BPF program for a packet socket that begins with the IP
// header, as Linux's AF_PACKET has it with SOCK_DGRAM. It keeps the first [Snap]
// bytes of IPv4 packets that are no fragments and are either TCP to one of the ports
// with SYN and ACK or with RST, or one of the ICMP errors that [Parse] knows about
// TCP from one of the ports. All else it drops. Whatever Parse calls an answer whose
// Local port is one of these, it keeps; the rest of Parse's rules it leaves to Parse.
// The error is that there are no ports, or more than 16. It may be called
// concurrently.
func Filter4(ports []uint16) ([]bpf.RawInstruction, error) {
	return assemble(ports, program4)
}

// Filter6 does for IPv6 what [Filter4] does for IPv4: TCP and ICMPv6 right behind
// the IPv6 header. The error is that there are no ports, or more than 16. It may be
// called concurrently.
func Filter6(ports []uint16) ([]bpf.RawInstruction, error) {
	return assemble(ports, program6)
}

// FilterNone returns a program that drops every packet. A socket has it until it is
// known what it is for. It may be called concurrently.
func FilterNone() []bpf.RawInstruction {
	const opReturn = 0x06 // BPF_RET | BPF_K: how many bytes to keep
	return []bpf.RawInstruction{{Op: opReturn, K: 0}}
}

func assemble(ports []uint16, program func(ports []uint32) []bpf.Instruction) ([]bpf.RawInstruction, error) {
	if len(ports) < 1 || len(ports) > maxPorts {
		return nil, fmt.Errorf("a filter is for 1 to %d ports, not for %d", maxPorts, len(ports))
	}
	values := make([]uint32, len(ports))
	for i, port := range ports {
		values[i] = uint32(port)
	}
	raw, err := bpf.Assemble(program(values))
	if err != nil {
		return nil, fmt.Errorf("assemble a filter: %w", err)
	}
	return raw, nil
}

// program4 reads by the index register, which holds the length of the IPv4 header. A
// load behind the end of the packet drops the packet.
func program4(ports []uint32) []bpf.Instruction {
	tcp := slices.Concat(
		flags(bpf.LoadIndirect{Off: 13, Size: 1}),
		port(ports, bpf.LoadIndirect{Off: 2, Size: 2}),
	)
	icmp := slices.Concat(
		[]bpf.Instruction{bpf.LoadIndirect{Off: 0, Size: 2}}, // type and code
		must(bpf.JumpNotEqual, unreachable<<8|fragmentationNeeded),
		[]bpf.Instruction{bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 8}}, // type
		among(unreachable, timeExceeded, parameterProblem),
		[]bpf.Instruction{bpf.LoadIndirect{Off: headerICMP + 6, Size: 2}},
		must(bpf.JumpBitsNotSet, fragmentOffset),
		[]bpf.Instruction{bpf.LoadIndirect{Off: headerICMP + 9, Size: 1}},
		must(bpf.JumpEqual, protocolTCP),
		[]bpf.Instruction{
			// The index goes on by the length of the quoted header.
			bpf.LoadIndirect{Off: headerICMP, Size: 1},
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0x0f},
			bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: unit},
			bpf.ALUOpX{Op: bpf.ALUOpAdd},
			bpf.TAX{},
		},
		port(ports, bpf.LoadIndirect{Off: headerICMP, Size: 2}),
	)
	return slices.Concat(
		version(4),
		[]bpf.Instruction{bpf.LoadAbsolute{Off: 6, Size: 2}},
		must(bpf.JumpBitsNotSet, moreFragments|fragmentOffset),
		[]bpf.Instruction{bpf.LoadMemShift{Off: 0}, bpf.LoadAbsolute{Off: 9, Size: 1}},
		either(protocolTCP, tcp, protocolICMP, icmp),
	)
}

func program6(ports []uint32) []bpf.Instruction {
	const quoted = header6 + headerICMP
	tcp := slices.Concat(
		flags(bpf.LoadAbsolute{Off: header6 + 13, Size: 1}),
		port(ports, bpf.LoadAbsolute{Off: header6 + 2, Size: 2}),
	)
	icmp := slices.Concat(
		[]bpf.Instruction{bpf.LoadAbsolute{Off: header6, Size: 1}},
		among(unreachable6, timeExceeded6, parameterProblem6),
		[]bpf.Instruction{bpf.LoadAbsolute{Off: quoted + 6, Size: 1}},
		must(bpf.JumpEqual, protocolTCP),
		port(ports, bpf.LoadAbsolute{Off: quoted + header6, Size: 2}),
	)
	return slices.Concat(
		version(6),
		[]bpf.Instruction{bpf.LoadAbsolute{Off: 6, Size: 1}},
		either(protocolTCP, tcp, protocolICMPv6, icmp),
	)
}

// version drops packets of another version of IP.
func version(n uint32) []bpf.Instruction {
	return slices.Concat([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4},
	}, must(bpf.JumpEqual, n))
}

// must drops the packet unless what was loaded meets the condition.
func must(cond bpf.JumpTest, value uint32) []bpf.Instruction {
	return []bpf.Instruction{bpf.JumpIf{Cond: cond, Val: value, SkipTrue: 1}, bpf.RetConstant{Val: 0}}
}

// among drops the packet unless what was loaded is one of the values.
func among(values ...uint32) []bpf.Instruction {
	program := make([]bpf.Instruction, 0, len(values)+1)
	for i, value := range values {
		skip := uint8(len(values) - i) //nolint:gosec // at most maxPorts
		program = append(program, bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipTrue: skip})
	}
	return append(program, bpf.RetConstant{Val: 0})
}

// either goes on in one of two ways, by the protocol that was loaded.
func either(a uint32, programA []bpf.Instruction, b uint32, programB []bpf.Instruction) []bpf.Instruction {
	skip := uint8(len(programA)) //nolint:gosec // maxPorts and a few
	return slices.Concat(
		[]bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpEqual, Val: a, SkipFalse: skip}},
		programA,
		must(bpf.JumpEqual, b),
		programB,
	)
}

// flags drops the packet unless it has RST, or SYN and ACK. They are asked before
// the ports, since most packets of a busy host have neither.
func flags(load bpf.Instruction) []bpf.Instruction {
	return slices.Concat([]bpf.Instruction{
		load,
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: flagRST, SkipTrue: 3},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: flagSYN | flagACK},
	}, must(bpf.JumpEqual, flagSYN|flagACK))
}

// port is the end: the packet is kept if what was loaded is one of the ports.
func port(ports []uint32, load bpf.Instruction) []bpf.Instruction {
	return slices.Concat([]bpf.Instruction{load}, among(ports...), []bpf.Instruction{bpf.RetConstant{Val: Snap}})
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
)

// sequence is the sequence number of the SYNs of the tests.
const sequence = 0x01020304

// example is a packet with valid checksums and what Parse returns for it.
type example struct {
	name    string
	packet  []byte
	want    Response // zero: not a response
	kept    bool     // the filters keep the packet although it is not a response
	padding int      // bytes added by the network card
}

func examples(tb testing.TB) []example {
	tb.Helper()
	return slices.Concat(
		tcpExamples("v4", family4()), tcpExamples("v6", family6()),
		headerExamples4(), headerExamples6(),
		icmpExamples(tb, "v4", family4(), []byte{3, 11, 12}), icmpExamples(tb, "v6", family6(), []byte{1, 3, 4}),
		icmpExamples4(tb), icmpExamples6(tb),
	)
}

func (f family) reply(flags byte) segment {
	return segment{src: f.remote, dst: f.local, seq: 0xa0b0c0d0, ack: sequence + 1, flags: flags, window: 29_200}
}

func (f family) response(kind ResponseKind) Response {
	a := Response{Kind: kind, Remote: f.remote, Local: f.local, Sequence: sequence, From: f.remote.Addr()}
	if kind == SYNACK {
		a.Window = 29_200
	}
	return a
}

// tcpExamples vary the TCP flags and header.
func tcpExamples(name string, f family) []example {
	const fin, syn, rst, psh, ack, urg, ece, cwr = 1, 2, 4, 8, 16, 32, 64, 128
	list := []example{}
	for _, flags := range []byte{syn | ack, syn | ack | ece, syn | ack | psh | urg | cwr} {
		list = append(list, example{name: "SYN+ACK", packet: f.reply(flags).datagram().bytes(), want: f.response(SYNACK)})
	}
	for _, flags := range []byte{rst | ack, rst | ack | syn, rst | ack | fin, rst | ack | psh} {
		list = append(list, example{name: "RST+ACK", packet: f.reply(flags).datagram().bytes(), want: f.response(RST)})
	}
	for _, flags := range []byte{0, syn, ack, fin, fin | ack, psh | ack, syn | fin, syn | ece | cwr} {
		list = append(list, example{name: "other flags", packet: f.reply(flags).datagram().bytes()})
	}
	for _, flags := range []byte{rst, rst | syn, rst | fin, syn | ack | fin} {
		list = append(list, example{name: "other flags", packet: f.reply(flags).datagram().bytes(), kept: true})
	}

	wrapped, last := f.reply(syn|ack), f.response(SYNACK)
	wrapped.ack, last.Sequence = 0, 0xffffffff
	options, data, zeros := f.reply(syn|ack), f.reply(syn|ack), f.reply(syn|ack)
	options.options = []byte{2, 4, 5, 0xb4, 1, 3, 3, 7}
	data.data, zeros.data = []byte("odd"), make([]byte, 4)
	list = append(
		list,
		example{name: "sequence wraps", packet: wrapped.datagram().bytes(), want: last},
		example{name: "TCP options", packet: options.datagram().bytes(), want: f.response(SYNACK)},
		example{name: "TCP data", packet: data.datagram().bytes(), want: f.response(SYNACK)},
		// Truncated, it still has a valid checksum.
		example{name: "TCP data of zeros", packet: zeros.datagram().bytes(), want: f.response(SYNACK)},
		example{name: "padded", packet: append(f.reply(rst|ack).datagram().bytes(), 1, 2, 3), want: f.response(RST), padding: 3},
	)
	for what, offset := range map[string]byte{"TCP header too short": 4, "TCP header too long": 6} {
		s := f.reply(syn | ack)
		s.edit = func(b []byte) { b[12] = offset << 4 }
		list = append(list, example{name: what, packet: s.datagram().bytes(), kept: true})
	}
	udp := f.reply(syn | ack).datagram()
	udp.protocol = 17
	list = append(list, example{name: "UDP", packet: udp.bytes()})
	return withPrefix(name, list)
}

// headerExamples4 vary the IPv4 header.
func headerExamples4() []example {
	f := family4()
	options := f.reply(0x12).datagram()
	options.options = []byte{148, 4, 0, 0, 1, 1, 1, 1} // router alert (RFC 2113)
	edited := func(edit func(b []byte)) []byte {
		d := f.reply(0x12).datagram()
		d.edit = edit
		return d.bytes()
	}
	field := func(at int, value uint16) func(b []byte) {
		return func(b []byte) { binary.BigEndian.PutUint16(b[at:], value) }
	}
	return withPrefix("v4", []example{
		{name: "IP options", packet: options.bytes(), want: f.response(SYNACK)},
		{name: "do not fragment", packet: edited(field(6, 0x4000)), want: f.response(SYNACK)},
		{name: "first fragment", packet: edited(field(6, 0x2000))},
		{name: "last fragment", packet: edited(field(6, 0x0001))},
		{name: "another fragment", packet: edited(field(6, 0x3000))},
		{name: "version 5", packet: edited(func(b []byte) { b[0] = 0x55 })},
		// At offset 16 there is a SYN+ACK to port 513.
		{name: "header too short", packet: edited(func(b []byte) { b[0], b[28], b[29] = 0x44, 0x50, 0x12 })},
		{name: "header longer than the packet", packet: edited(func(b []byte) { b[0] = 0x4f })},
		{name: "shorter than its header", packet: edited(field(2, 19)), kept: true},
		{name: "no room for TCP", packet: edited(field(2, 39)), kept: true},
	})
}

// headerExamples6 vary the IPv6 header.
func headerExamples6() []example {
	f := family6()
	edited := func(edit func(b []byte)) []byte {
		d := f.reply(0x12).datagram()
		d.edit = edit
		return d.bytes()
	}
	behind := func(extension ...byte) []byte {
		d := f.reply(0x12).datagram()
		d.protocol, d.payload = extension[0], append(extension[1:], d.payload...)
		return d.bytes()
	}
	mapped, toMapped := f, f
	mapped.remote = netip.MustParseAddrPort("[::ffff:198.51.100.2]:80")
	toMapped.local = netip.MustParseAddrPort("[::ffff:192.0.2.1]:40000")
	return withPrefix("v6", []example{
		{name: "version 5", packet: edited(func(b []byte) { b[0] = 0x50 })},
		{name: "traffic class and flow label", packet: edited(func(b []byte) { copy(b, "\x6f\xff\xff\xff") }), want: f.response(SYNACK)},
		{name: "no room for TCP", packet: edited(func(b []byte) { b[5] = 19 }), kept: true},
		{name: "hop-by-hop options", packet: behind(0, 6, 0, 1, 4, 0, 0, 0, 0)},
		{name: "fragment header", packet: behind(44, 6, 0, 0, 0, 0, 0, 0, 1)},
		{name: "destination options", packet: behind(60, 6, 0, 1, 4, 0, 0, 0, 0)},
		{name: "from a mapped address", packet: mapped.reply(0x12).datagram().bytes(), kept: true},
		{name: "to a mapped address", packet: toMapped.reply(0x12).datagram().bytes(), kept: true},
	})
}

func (f family) syn() datagram {
	return segment{src: f.local, dst: f.remote, seq: sequence, flags: 2, window: 64_240, options: []byte{2, 4, 5, 0xb4}}.datagram()
}

func (f family) icmpError(kind, code byte, quoted []byte) icmpError {
	return icmpError{src: f.router, dst: f.local.Addr(), kind: kind, code: code, quoted: quoted}
}

func (f family) icmpResponse(kind, code byte) Response {
	a := f.response(ICMPError)
	a.From, a.Type, a.Code = f.router, kind, code
	return a
}

// icmpExamples are ICMP errors of both versions of IP.
func icmpExamples(tb testing.TB, name string, f family, kinds []byte) []example {
	tb.Helper()
	list := []example{{name: "a SYN", packet: AppendSYN(nil, f.local, f.remote, sequence)}}
	header := 20
	if f.local.Addr().Is6() {
		header = 40
	}
	for _, kind := range kinds {
		for _, code := range []byte{0, 1, 3, 13} {
			list = append(list, example{
				name:   "ICMP error",
				packet: f.icmpError(kind, code, f.syn().bytes()).datagram(tb).bytes(),
				want:   f.icmpResponse(kind, code),
			})
		}
	}
	kind, quoted := kinds[0], f.syn()
	elsewhere, udp := f.icmpError(kind, 0, quoted.bytes()), f.syn()
	elsewhere.dst, udp.protocol = f.other, 17
	foreign := f.icmpError(kind, 0, quoted.bytes()).datagram(tb)
	foreign.protocol = 59 - foreign.protocol // ICMPv6 over IPv4, and ICMP over IPv6
	return withPrefix(name, append(
		list,
		example{
			name:   "minimum quote",
			packet: f.icmpError(kind, 0, quoted.bytes()[:header+8]).datagram(tb).bytes(),
			want:   f.icmpResponse(kind, 0),
		},
		// The filter requires only the ports.
		example{name: "short quote", packet: f.icmpError(kind, 0, quoted.bytes()[:header+7]).datagram(tb).bytes(), kept: true},
		example{name: "no quote", packet: f.icmpError(kind, 0, nil).datagram(tb).bytes()},
		example{name: "to another address", packet: elsewhere.datagram(tb).bytes(), kept: true},
		example{name: "ICMP of the other version", packet: foreign.bytes()},
		example{name: "quotes UDP", packet: f.icmpError(kind, 0, udp.bytes()).datagram(tb).bytes()},
	))
}

// icmpExamples4 are specific to ICMP.
func icmpExamples4(tb testing.TB) []example {
	tb.Helper()
	f := family4()
	list := []example{}
	for _, what := range [][2]byte{{3, 4}, {0, 0}, {4, 0}, {5, 1}, {8, 0}, {1, 0}} {
		list = append(list, example{name: "other ICMP type", packet: f.icmpError(what[0], what[1], f.syn().bytes()).datagram(tb).bytes()})
	}
	quoting := func(edit func(b []byte)) []byte {
		quoted := f.syn()
		quoted.edit = edit
		return f.icmpError(3, 1, quoted.bytes()).datagram(tb).bytes()
	}
	options, outer := f.syn(), f.icmpError(3, 1, f.syn().bytes()).datagram(tb)
	options.options, outer.options = []byte{148, 4, 0, 0}, []byte{1, 1, 1, 1, 1, 1, 1, 0}
	both := f.icmpError(3, 1, options.bytes()).datagram(tb)
	both.options = outer.options
	fragment := f.icmpError(3, 1, f.syn().bytes()).datagram(tb)
	fragment.edit = func(b []byte) { b[6] = 0x20 }
	return withPrefix("v4", append(
		list,
		example{name: "quoted options", packet: f.icmpError(3, 1, options.bytes()).datagram(tb).bytes(), want: f.icmpResponse(3, 1)},
		example{name: "outer options", packet: outer.bytes(), want: f.icmpResponse(3, 1)},
		example{name: "both options", packet: both.bytes(), want: f.icmpResponse(3, 1)},
		example{name: "quoted first fragment", packet: quoting(func(b []byte) { b[6] = 0x20 }), want: f.icmpResponse(3, 1)},
		example{name: "quoted length is wrong", packet: quoting(func(b []byte) { b[2] = 0xff }), want: f.icmpResponse(3, 1)},
		example{name: "quoted later fragment", packet: quoting(func(b []byte) { b[7] = 1 })},
		example{name: "quoted header too short", packet: quoting(func(b []byte) { b[0] = 0x44; b[16], b[17] = 0x9c, 0x40 }), kept: true},
		example{name: "quoted version 6", packet: quoting(func(b []byte) { b[0] = 0x65 }), kept: true},
		example{name: "a fragment", packet: fragment.bytes()},
	))
}

// icmpExamples6 are specific to ICMPv6.
func icmpExamples6(tb testing.TB) []example {
	tb.Helper()
	f := family6()
	list := []example{}
	for _, kind := range []byte{2, 0, 100, 128, 129, 135, 137} {
		list = append(list, example{name: "other ICMP type", packet: f.icmpError(kind, 0, f.syn().bytes()).datagram(tb).bytes()})
	}
	extended, old, mapped := f.syn(), f.syn(), f
	extended.protocol, extended.payload = 44, append([]byte{6, 0, 0, 0, 0, 0, 0, 1}, extended.payload...)
	old.edit = func(b []byte) { b[0] = 0x40 }
	mapped.remote = netip.MustParseAddrPort("[::ffff:198.51.100.2]:80")
	return withPrefix("v6", append(
		list,
		example{name: "quoted extension header", packet: f.icmpError(1, 0, extended.bytes()).datagram(tb).bytes()},
		example{name: "quoted version 4", packet: f.icmpError(1, 0, old.bytes()).datagram(tb).bytes(), kept: true},
		example{name: "quoted mapped address", packet: f.icmpError(1, 0, mapped.syn().bytes()).datagram(tb).bytes(), kept: true},
	))
}

func withPrefix(prefix string, list []example) []example {
	for i := range list {
		list[i].name = prefix + " " + list[i].name
	}
	return list
}

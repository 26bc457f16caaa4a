package packet

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
)

// sequence is that of the SYNs of the tests.
const sequence = 0x01020304

// example is a packet with right checksums. Where want is zero, it is no answer.
// Stray tells that the filters keep it for all that: they do not know every rule.
// Padding is how many bytes behind its end a network card has added.
type example struct {
	name    string
	packet  []byte
	want    Answer
	stray   bool
	padding int
}

func examples(tb testing.TB) []example {
	tb.Helper()
	return slices.Concat(
		segments("v4", family4()), segments("v6", family6()),
		headers4(), headers6(),
		complaints(tb, "v4", family4(), []byte{3, 11, 12}), complaints(tb, "v6", family6(), []byte{1, 3, 4}),
		complaints4(tb), complaints6(tb),
	)
}

func (f family) reply(flags byte) segment {
	return segment{src: f.remote, dst: f.local, seq: 0xa0b0c0d0, ack: sequence + 1, flags: flags, window: 29_200}
}

func (f family) answer(kind Kind) Answer {
	a := Answer{Kind: kind, Remote: f.remote, Local: f.local, Sequence: sequence, From: f.remote.Addr()}
	if kind == SYNACK {
		a.Window = 29_200
	}
	return a
}

// segments are about the flags and the header of TCP.
func segments(name string, f family) []example {
	const fin, syn, rst, psh, ack, urg, ece, cwr = 1, 2, 4, 8, 16, 32, 64, 128
	list := []example{}
	for _, flags := range []byte{syn | ack, syn | ack | ece, syn | ack | psh | urg | cwr} {
		list = append(list, example{name: "SYN+ACK", packet: f.reply(flags).datagram().bytes(), want: f.answer(SYNACK)})
	}
	for _, flags := range []byte{rst | ack, rst | ack | syn, rst | ack | fin, rst | ack | psh} {
		list = append(list, example{name: "RST+ACK", packet: f.reply(flags).datagram().bytes(), want: f.answer(RST)})
	}
	for _, flags := range []byte{0, syn, ack, fin, fin | ack, psh | ack, syn | fin, syn | ece | cwr} {
		list = append(list, example{name: "no answer", packet: f.reply(flags).datagram().bytes()})
	}
	for _, flags := range []byte{rst, rst | syn, rst | fin, syn | ack | fin} {
		list = append(list, example{name: "no answer", packet: f.reply(flags).datagram().bytes(), stray: true})
	}

	wrapped, last := f.reply(syn|ack), f.answer(SYNACK)
	wrapped.ack, last.Sequence = 0, 0xffffffff
	options, data, zeros := f.reply(syn|ack), f.reply(syn|ack), f.reply(syn|ack)
	options.options = []byte{2, 4, 5, 0xb4, 1, 3, 3, 7}
	data.data, zeros.data = []byte("odd"), make([]byte, 4)
	list = append(
		list,
		example{name: "sequence wraps", packet: wrapped.datagram().bytes(), want: last},
		example{name: "TCP options", packet: options.datagram().bytes(), want: f.answer(SYNACK)},
		example{name: "TCP data", packet: data.datagram().bytes(), want: f.answer(SYNACK)},
		// Without its end it still has the right checksum.
		example{name: "TCP data of zeros", packet: zeros.datagram().bytes(), want: f.answer(SYNACK)},
		example{name: "padded", packet: append(f.reply(rst|ack).datagram().bytes(), 1, 2, 3), want: f.answer(RST), padding: 3},
	)
	for what, offset := range map[string]byte{"TCP header too short": 4, "TCP header too long": 6} {
		s := f.reply(syn | ack)
		s.edit = func(b []byte) { b[12] = offset << 4 }
		list = append(list, example{name: what, packet: s.datagram().bytes(), stray: true})
	}
	udp := f.reply(syn | ack).datagram()
	udp.protocol = 17
	list = append(list, example{name: "UDP", packet: udp.bytes()})
	return named(name, list)
}

// headers4 are about the IPv4 header.
func headers4() []example {
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
	return named("v4", []example{
		{name: "IP options", packet: options.bytes(), want: f.answer(SYNACK)},
		{name: "do not fragment", packet: edited(field(6, 0x4000)), want: f.answer(SYNACK)},
		{name: "first fragment", packet: edited(field(6, 0x2000))},
		{name: "last fragment", packet: edited(field(6, 0x0001))},
		{name: "another fragment", packet: edited(field(6, 0x3000))},
		{name: "version 5", packet: edited(func(b []byte) { b[0] = 0x55 })},
		// 16 bytes on there is what would be a SYN+ACK to port 513.
		{name: "header too short", packet: edited(func(b []byte) { b[0], b[28], b[29] = 0x44, 0x50, 0x12 })},
		{name: "header longer than the packet", packet: edited(func(b []byte) { b[0] = 0x4f })},
		{name: "shorter than its header", packet: edited(field(2, 19)), stray: true},
		{name: "no room for TCP", packet: edited(field(2, 39)), stray: true},
	})
}

// headers6 are about the IPv6 header.
func headers6() []example {
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
	return named("v6", []example{
		{name: "version 5", packet: edited(func(b []byte) { b[0] = 0x50 })},
		{name: "traffic class and flow label", packet: edited(func(b []byte) { copy(b, "\x6f\xff\xff\xff") }), want: f.answer(SYNACK)},
		{name: "no room for TCP", packet: edited(func(b []byte) { b[5] = 19 }), stray: true},
		{name: "hop-by-hop options", packet: behind(0, 6, 0, 1, 4, 0, 0, 0, 0)},
		{name: "fragment header", packet: behind(44, 6, 0, 0, 0, 0, 0, 0, 1)},
		{name: "destination options", packet: behind(60, 6, 0, 1, 4, 0, 0, 0, 0)},
		{name: "from a mapped address", packet: mapped.reply(0x12).datagram().bytes(), stray: true},
		{name: "to a mapped address", packet: toMapped.reply(0x12).datagram().bytes(), stray: true},
	})
}

func (f family) syn() datagram {
	return segment{src: f.local, dst: f.remote, seq: sequence, flags: 2, window: 64_240, options: []byte{2, 4, 5, 0xb4}}.datagram()
}

func (f family) complain(kind, code byte, quoted []byte) complaint {
	return complaint{src: f.router, dst: f.local.Addr(), kind: kind, code: code, quoted: quoted}
}

func (f family) complained(kind, code byte) Answer {
	a := f.answer(Error)
	a.From, a.Type, a.Code = f.router, kind, code
	return a
}

// complaints are the ICMP errors that both versions of IP have.
func complaints(tb testing.TB, name string, f family, kinds []byte) []example {
	tb.Helper()
	list := []example{{name: "a SYN", packet: f.syn().bytes()}}
	header := 20
	if f.local.Addr().Is6() {
		header = 40
	}
	for _, kind := range kinds {
		for _, code := range []byte{0, 1, 3, 13} {
			list = append(list, example{
				name:   "ICMP error",
				packet: f.complain(kind, code, f.syn().bytes()).datagram(tb).bytes(),
				want:   f.complained(kind, code),
			})
		}
	}
	kind, quoted := kinds[0], f.syn()
	elsewhere, udp := f.complain(kind, 0, quoted.bytes()), f.syn()
	elsewhere.dst, udp.protocol = f.other, 17
	foreign := f.complain(kind, 0, quoted.bytes()).datagram(tb)
	foreign.protocol = 59 - foreign.protocol // ICMPv6 over IPv4, and ICMP over IPv6
	return named(name, append(
		list,
		example{
			name:   "the least of a quote",
			packet: f.complain(kind, 0, quoted.bytes()[:header+8]).datagram(tb).bytes(),
			want:   f.complained(kind, 0),
		},
		// The filter wants to see the ports only.
		example{name: "too little of a quote", packet: f.complain(kind, 0, quoted.bytes()[:header+7]).datagram(tb).bytes(), stray: true},
		example{name: "no quote", packet: f.complain(kind, 0, nil).datagram(tb).bytes()},
		example{name: "to another address", packet: elsewhere.datagram(tb).bytes(), stray: true},
		example{name: "the other ICMP", packet: foreign.bytes()},
		example{name: "quotes UDP", packet: f.complain(kind, 0, udp.bytes()).datagram(tb).bytes()},
	))
}

// complaints4 are about what only ICMP has.
func complaints4(tb testing.TB) []example {
	tb.Helper()
	f := family4()
	list := []example{}
	for _, what := range [][2]byte{{3, 4}, {0, 0}, {4, 0}, {5, 1}, {8, 0}, {1, 0}} {
		list = append(list, example{name: "no error", packet: f.complain(what[0], what[1], f.syn().bytes()).datagram(tb).bytes()})
	}
	quoting := func(edit func(b []byte)) []byte {
		quoted := f.syn()
		quoted.edit = edit
		return f.complain(3, 1, quoted.bytes()).datagram(tb).bytes()
	}
	options, outer := f.syn(), f.complain(3, 1, f.syn().bytes()).datagram(tb)
	options.options, outer.options = []byte{148, 4, 0, 0}, []byte{1, 1, 1, 1, 1, 1, 1, 0}
	both := f.complain(3, 1, options.bytes()).datagram(tb)
	both.options = outer.options
	fragment := f.complain(3, 1, f.syn().bytes()).datagram(tb)
	fragment.edit = func(b []byte) { b[6] = 0x20 }
	return named("v4", append(
		list,
		example{name: "quoted options", packet: f.complain(3, 1, options.bytes()).datagram(tb).bytes(), want: f.complained(3, 1)},
		example{name: "outer options", packet: outer.bytes(), want: f.complained(3, 1)},
		example{name: "both options", packet: both.bytes(), want: f.complained(3, 1)},
		example{name: "quoted first fragment", packet: quoting(func(b []byte) { b[6] = 0x20 }), want: f.complained(3, 1)},
		example{name: "quoted length is nonsense", packet: quoting(func(b []byte) { b[2] = 0xff }), want: f.complained(3, 1)},
		example{name: "quoted later fragment", packet: quoting(func(b []byte) { b[7] = 1 })},
		example{name: "quoted header too short", packet: quoting(func(b []byte) { b[0] = 0x44; b[16], b[17] = 0x9c, 0x40 }), stray: true},
		example{name: "quoted version 6", packet: quoting(func(b []byte) { b[0] = 0x65 }), stray: true},
		example{name: "a fragment", packet: fragment.bytes()},
	))
}

// complaints6 are about what only ICMPv6 has.
func complaints6(tb testing.TB) []example {
	tb.Helper()
	f := family6()
	list := []example{}
	for _, kind := range []byte{2, 0, 100, 128, 129, 135, 137} {
		list = append(list, example{name: "no error", packet: f.complain(kind, 0, f.syn().bytes()).datagram(tb).bytes()})
	}
	extended, old, mapped := f.syn(), f.syn(), f
	extended.protocol, extended.payload = 44, append([]byte{6, 0, 0, 0, 0, 0, 0, 1}, extended.payload...)
	old.edit = func(b []byte) { b[0] = 0x40 }
	mapped.remote = netip.MustParseAddrPort("[::ffff:198.51.100.2]:80")
	return named("v6", append(
		list,
		example{name: "quoted extension header", packet: f.complain(1, 0, extended.bytes()).datagram(tb).bytes()},
		example{name: "quoted version 4", packet: f.complain(1, 0, old.bytes()).datagram(tb).bytes(), stray: true},
		example{name: "quoted mapped address", packet: f.complain(1, 0, mapped.syn().bytes()).datagram(tb).bytes(), stray: true},
	))
}

func named(prefix string, list []example) []example {
	for i := range list {
		list[i].name = prefix + " " + list[i].name
	}
	return list
}

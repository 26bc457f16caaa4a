// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"math"
	"slices"
	"strconv"
	"testing"
)

// payloadsByName returns all payloads by name.
func payloadsByName(t *testing.T) map[string]Payload {
	t.Helper()
	all := map[string]Payload{}
	for port, p := range AllPayloads() {
		if known, ok := all[p.Name]; ok && !bytes.Equal(known.Data, p.Data) {
			t.Errorf("%s: payload of port %d differs from that of another port", p.Name, port)
		}
		all[p.Name] = p
	}
	if rows := len(services()); len(all) != rows {
		t.Errorf("got %d names, want %d", len(all), rows)
	}
	return all
}

func TestForPortNotEmpty(t *testing.T) {
	known := Ports()
	for port := range math.MaxUint16 + 1 {
		found := ForPort(uint16(port))
		_, listed := slices.BinarySearch(known, uint16(port))
		switch {
		case len(found) == 0:
			t.Fatalf("ForPort(%d) is empty", port)
		case listed:
			for _, p := range found {
				if p.Name == "" || p.Name == nameEmpty || len(p.Data) == 0 {
					t.Errorf("ForPort(%d) = %q with %d bytes, want a payload", port, p.Name, len(p.Data))
				}
			}
		case len(found) != 1 || found[0].Name != nameEmpty || found[0].Data != nil:
			t.Errorf("ForPort(%d) = %v, want the empty datagram", port, found)
		}
	}
}

func TestPortsSortedUnique(t *testing.T) {
	all := Ports()
	if !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) || len(all) == 0 || all[0] == 0 {
		t.Errorf("Ports() = %v, want ascending ports without duplicates", all)
	}
}

func TestForPortOrder(t *testing.T) {
	for port, want := range map[uint16][]string{
		53:   {"dns"},
		161:  {"snmpv3", "snmpv2c", "snmpv1"},
		443:  {"quic", "dtls"},
		500:  {"ikev2", "ikev1"},
		853:  {"quic", "dtls"},
		4500: {"ikev2-nat", "ikev1-nat"},
		5684: {"dtls"},
		514:  {"empty"},
		0:    {"empty"},
	} {
		var got []string
		for _, p := range ForPort(port) {
			got = append(got, p.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("ForPort(%d) = %v, want %v", port, got, want)
		}
	}
}

func TestAllPayloadsMatchesForPort(t *testing.T) {
	got := map[uint16][]string{}
	var order []uint16
	for port, p := range AllPayloads() {
		got[port] = append(got[port], p.Name)
		order = append(order, port)
	}
	if !slices.Equal(slices.Compact(order), Ports()) {
		t.Errorf("AllPayloads() has the ports %v, want %v", order, Ports())
	}
	for port, names := range got {
		for i, p := range ForPort(port) {
			if i >= len(names) || names[i] != p.Name {
				t.Errorf("AllPayloads() has %v for port %d, want %v", names, port, p.Name)
			}
		}
	}
	for range AllPayloads() {
		break // stopping early must not panic
	}
}

func TestPayloadMaxSize(t *testing.T) {
	for name, p := range payloadsByName(t) {
		if len(p.Data) > 1200 {
			t.Errorf("%s has %d bytes, want at most 1200", name, len(p.Data))
		}
	}
}

func TestForPortReturnsCopies(t *testing.T) {
	for port := range AllPayloads() {
		before := ForPort(port)
		for _, p := range ForPort(port) {
			clear(p.Data)
			_ = append(p.Data[:0], "changed"...)
		}
		for i, after := range ForPort(port) {
			if !bytes.Equal(before[i].Data, after.Data) {
				t.Errorf("%s: changing the data of one call changed that of another", after.Name)
			}
		}
	}
}

func TestPayloadsReadOnly(t *testing.T) {
	all := payloadsByName(t)
	if got := string(all["memcached"].Data[8:]); got != "version\r\n" {
		t.Errorf("memcached command = %q, want version", got)
	}
	if op := all[nameTFTP].Data[:2]; !bytes.Equal(op, []byte{0, 1}) {
		t.Errorf("TFTP opcode = %v, want RRQ", op)
	}
	if kind := all["rip"].Data[0]; kind != 1 {
		t.Errorf("RIP command = %d, want a request", kind)
	}
	if family := all["rip"].Data[4:6]; bytes.Equal(family, []byte{0, 0}) {
		t.Error("RIP requests the complete table")
	}
	for _, name := range []string{"portmapper", "nfs"} {
		if procedure := all[name].Data[20:24]; !bytes.Equal(procedure, make([]byte, 4)) {
			t.Errorf("%s calls procedure %v, want 0", name, procedure)
		}
	}
	if !bytes.Contains(all["sip"].Data, []byte("\r\nMax-Forwards: 0\r\n")) {
		t.Error("SIP request has no Max-Forwards: 0")
	}
}

func TestRADIUSSignature(t *testing.T) {
	data := payloadsByName(t)["radius"].Data
	got := slices.Clone(data[22:])
	clear(data[22:])
	mac := hmac.New(md5.New, []byte("testing123"))
	mac.Write(data)
	if want := mac.Sum(nil); !hmac.Equal(want, got) {
		t.Errorf("signature = %x, want %x", got, want)
	}
}

func TestAcceptsFromOtherPort(t *testing.T) {
	full := append([]byte{0, 3, 0, 1}, make([]byte, 512)...)
	for _, c := range []struct {
		name  string
		reply []byte
		want  bool
	}{
		{"error", []byte("\x00\x05\x00\x01File not found\x00"), true},
		{"error without message", []byte("\x00\x05\x00\x00\x00"), true},
		{"an empty file", []byte{0, 3, 0, 1}, true},
		{"short file", []byte("\x00\x03\x00\x01abc"), true},
		{"full block", full, true},
		{"one option", []byte("\x00\x06blksize\x00512\x00"), true},
		{"two options", []byte("\x00\x06blksize\x00512\x00tsize\x000\x00"), true},
		{"empty packet", nil, false},
		{"incomplete opcode", []byte{0}, false},
		{"opcode only", []byte{0, 5}, false},
		{"unterminated error", []byte("\x00\x05\x00\x01File not found"), false},
		{"error without terminator", []byte{0, 5, 0, 1}, false},
		{"data after error", []byte("\x00\x05\x00\x01no\x00more\x00"), false},
		{"second block", []byte{0, 3, 0, 2}, false},
		{"block too long", append(full, 0), false},
		{"OACK without options", []byte{0, 6}, false},
		{"option without value", []byte("\x00\x06blksize\x00"), false},
		{"option without name", []byte("\x00\x06\x00512\x00"), false},
		{"unterminated option", []byte("\x00\x06blksize\x00512"), false},
		{"request", []byte("\x00\x01file\x00octet\x00"), false},
		{"acknowledgment", []byte{0, 4, 0, 0}, false},
		{"another protocol", []byte("HTTP/1.1 200 OK\r\n\r\n"), false},
	} {
		for name, p := range payloadsByName(t) {
			if got, want := p.AcceptsFromOtherPort(c.reply), c.want && name == "tftp"; got != want {
				t.Errorf("%s: %s.AcceptsFromOtherPort(%q) = %v, want %v", c.name, name, c.reply, got, want)
			}
		}
		if ForPort(9)[0].AcceptsFromOtherPort(c.reply) || (Payload{}).AcceptsFromOtherPort(c.reply) {
			t.Errorf("%s: AcceptsFromOtherPort(%q) of an empty payload = true, want false", c.name, c.reply)
		}
	}
}

func BenchmarkForPort(b *testing.B) {
	for _, port := range []uint16{9, 53, 161, 443, 500, 1812} {
		b.Run(strconv.Itoa(int(port)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ForPort(port)
			}
		})
	}
}

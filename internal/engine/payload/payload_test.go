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

// everything returns the payloads by name. Ports that share one share its bytes.
func everything(t *testing.T) map[string]Payload {
	t.Helper()
	all := map[string]Payload{}
	for port, p := range All() {
		if known, ok := all[p.Name]; ok && !bytes.Equal(known.Data, p.Data) {
			t.Errorf("%s has other bytes at port %d", p.Name, port)
		}
		all[p.Name] = p
	}
	if rows := len(table()); len(all) != rows {
		t.Errorf("%d payloads in %d rows of the table", len(all), rows)
	}
	return all
}

func TestEveryPortHasSomethingToSend(t *testing.T) {
	known := Ports()
	for port := range math.MaxUint16 + 1 {
		found := For(uint16(port))
		_, ours := slices.BinarySearch(known, uint16(port))
		switch {
		case len(found) == 0:
			t.Fatalf("nothing for port %d", port)
		case ours:
			for _, p := range found {
				if p.Name == "" || p.Name == empty || len(p.Data) == 0 {
					t.Errorf("port %d has its own payload, and that is %q with %d bytes", port, p.Name, len(p.Data))
				}
			}
		case len(found) != 1 || found[0].Name != empty || found[0].Data != nil:
			t.Errorf("port %d, at which nobody is known, gets %v", port, found)
		}
	}
}

func TestPortsAreSortedAndOnce(t *testing.T) {
	all := Ports()
	if !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) || len(all) == 0 || all[0] == 0 {
		t.Errorf("ports are %v", all)
	}
}

func TestOrder(t *testing.T) {
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
		for _, p := range For(port) {
			got = append(got, p.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("port %d gets %v, want %v", port, got, want)
		}
	}
}

func TestAllIsWhatForSays(t *testing.T) {
	got := map[uint16][]string{}
	var order []uint16
	for port, p := range All() {
		got[port] = append(got[port], p.Name)
		order = append(order, port)
	}
	if !slices.Equal(slices.Compact(order), Ports()) {
		t.Errorf("ports are %v, want %v", order, Ports())
	}
	for port, names := range got {
		for i, p := range For(port) {
			if i >= len(names) || names[i] != p.Name {
				t.Errorf("port %d has %v, and in All %v", port, p.Name, names)
			}
		}
	}
	for range All() {
		break // must not panic
	}
}

func TestNoneIsLong(t *testing.T) {
	for name, p := range everything(t) {
		if len(p.Data) > 1200 {
			t.Errorf("%s has %d bytes", name, len(p.Data))
		}
	}
}

// What a caller does to its datagram is no concern of the next one's.
func TestDataBelongsToTheCaller(t *testing.T) {
	for port := range All() {
		before := For(port)
		spoilt := For(port)
		for _, p := range spoilt {
			clear(p.Data)
			_ = append(p.Data[:0], "spoilt"...)
		}
		for i, after := range For(port) {
			if !bytes.Equal(before[i].Data, after.Data) {
				t.Errorf("%s has changed", after.Name)
			}
		}
	}
}

func TestNothingIsChangedByAsking(t *testing.T) {
	all := everything(t)
	if got := string(all["memcached"].Data[8:]); got != "version\r\n" {
		t.Errorf("memcached is told %q", got)
	}
	if op := all[nameTFTP].Data[:2]; !bytes.Equal(op, []byte{0, 1}) {
		t.Errorf("TFTP's opcode is %v, not RRQ", op)
	}
	if kind := all["rip"].Data[0]; kind != 1 {
		t.Errorf("RIP's command is %d, not a request", kind)
	}
	if family := all["rip"].Data[4:6]; bytes.Equal(family, []byte{0, 0}) {
		t.Error("RIP is asked for the whole table")
	}
	for _, name := range []string{"portmapper", "nfs"} {
		if procedure := all[name].Data[20:24]; !bytes.Equal(procedure, make([]byte, 4)) {
			t.Errorf("%s calls procedure %v", name, procedure)
		}
	}
	if !bytes.Contains(all["sip"].Data, []byte("\r\nMax-Forwards: 0\r\n")) {
		t.Error("a SIP proxy would pass the request on")
	}
}

// A server that knows the secret drops what is not signed with it.
func TestRADIUSIsSigned(t *testing.T) {
	data := everything(t)["radius"].Data
	signature := slices.Clone(data[22:])
	clear(data[22:])
	mac := hmac.New(md5.New, []byte("testing123"))
	mac.Write(data)
	if !hmac.Equal(mac.Sum(nil), signature) {
		t.Errorf("the signature is %x", signature)
	}
}

func TestAnswersElsewhere(t *testing.T) {
	full := append([]byte{0, 3, 0, 1}, make([]byte, 512)...)
	for _, c := range []struct {
		what  string
		reply []byte
		want  bool
	}{
		{"an error", []byte("\x00\x05\x00\x01File not found\x00"), true},
		{"an error without words", []byte("\x00\x05\x00\x00\x00"), true},
		{"an empty file", []byte{0, 3, 0, 1}, true},
		{"a short file", []byte("\x00\x03\x00\x01abc"), true},
		{"a full block", full, true},
		{"an option", []byte("\x00\x06blksize\x00512\x00"), true},
		{"two options", []byte("\x00\x06blksize\x00512\x00tsize\x000\x00"), true},
		{"nothing", nil, false},
		{"half an opcode", []byte{0}, false},
		{"an opcode", []byte{0, 5}, false},
		{"an error that does not end", []byte("\x00\x05\x00\x01File not found"), false},
		{"an error that is only begun", []byte{0, 5, 0, 1}, false},
		{"an error and more", []byte("\x00\x05\x00\x01no\x00more\x00"), false},
		{"another block", []byte{0, 3, 0, 2}, false},
		{"too long a block", append(full, 0), false},
		{"an OACK of nothing", []byte{0, 6}, false},
		{"an option without a value", []byte("\x00\x06blksize\x00"), false},
		{"an option without a name", []byte("\x00\x06\x00512\x00"), false},
		{"an option that does not end", []byte("\x00\x06blksize\x00512"), false},
		{"a request", []byte("\x00\x01file\x00octet\x00"), false},
		{"an acknowledgment", []byte{0, 4, 0, 0}, false},
		{"another protocol", []byte("HTTP/1.1 200 OK\r\n\r\n"), false},
	} {
		for name, p := range everything(t) {
			if got, want := p.AnswersElsewhere(c.reply), c.want && name == "tftp"; got != want {
				t.Errorf("%s from elsewhere is an answer to %s: %v, want %v", c.what, name, got, want)
			}
		}
		if For(9)[0].AnswersElsewhere(c.reply) || (Payload{}).AnswersElsewhere(c.reply) {
			t.Errorf("%s from elsewhere is an answer to nothing", c.what)
		}
	}
}

func BenchmarkFor(b *testing.B) {
	for _, port := range []uint16{9, 53, 161, 443, 500, 1812} {
		b.Run(strconv.Itoa(int(port)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				For(port)
			}
		})
	}
}

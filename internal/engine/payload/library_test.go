// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bufio"
	"bytes"
	"encoding/asn1"
	"net/textproto"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

func TestDNSPayloadsParse(t *testing.T) {
	for name, want := range map[string]string{
		"dns":  "1.0.0.127.in-addr.arpa.",
		"mdns": "_services._dns-sd._udp.local.",
	} {
		data := payloadsByName(t)[name].Data
		var m dnsmessage.Message
		if err := m.Unpack(data); err != nil {
			t.Fatal(err)
		}
		if len(m.Questions) != 1 || len(m.Answers)+len(m.Authorities)+len(m.Additionals) != 0 {
			t.Fatalf("%s = %v, want one question", name, m.GoString())
		}
		if h := m.Header; h.Response || h.OpCode != 0 || h.RecursionDesired {
			t.Errorf("%s: header = %v, want a plain query", name, h.GoString())
		}
		q := m.Questions[0]
		if q.Name.String() != want || q.Type != dnsmessage.TypePTR || q.Class != dnsmessage.ClassINET {
			t.Errorf("%s: question = %v, want PTR of %s", name, q.GoString(), want)
		}
		if again, err := m.Pack(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%s: packed again = %x, %v, want %x", name, again, err, data)
		}
	}
}

func TestSSDPPayloadParses(t *testing.T) {
	r := textproto.NewReader(bufio.NewReader(bytes.NewReader(payloadsByName(t)["ssdp"].Data)))
	if line, err := r.ReadLine(); err != nil || line != "M-SEARCH * HTTP/1.1" {
		t.Errorf("request line = %q, %v", line, err)
	}
	header, err := r.ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Host": "239.255.255.250:1900", "Man": `"ssdp:discover"`, "St": "upnp:rootdevice", "Mx": "1",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("header %s = %q, want %q", name, got, want)
		}
	}
	if rest, err := r.ReadLine(); err == nil {
		t.Errorf("got %q after the header, want none", rest)
	}
}

// libraryPDU is a PDU as encoding/asn1 decodes it.
type libraryPDU struct {
	ID, Status, Index int
	Variables         []asn1.RawValue
}

func TestSNMPCommunityPayloadsParse(t *testing.T) {
	for name, version := range map[string]int{"snmpv1": 0, "snmpv2c": 1} {
		var m struct {
			Version   int
			Community []byte
			PDU       asn1.RawValue
		}
		decode(t, payloadsByName(t)[name].Data, &m, "")
		if m.Version != version || string(m.Community) != "public" {
			t.Errorf("%s: message = %+v", name, m)
		}
		if pdu := decodeGet(t, m.PDU); len(pdu.Variables) != 1 {
			t.Errorf("%s: PDU = %+v, want one variable", name, pdu)
		} else {
			var v struct {
				Name  asn1.ObjectIdentifier
				Value asn1.RawValue
			}
			decode(t, pdu.Variables[0].FullBytes, &v, "")
			if v.Name.String() != "1.3.6.1.2.1.1.3.0" || v.Value.Tag != asn1.TagNull {
				t.Errorf("%s: variable = %v, want sysUpTime.0", name, v)
			}
		}
	}
}

func TestSNMPv3PayloadParses(t *testing.T) {
	var m struct {
		Version int
		Global  struct {
			ID, MaxSize int
			Flags       []byte
			Model       int
		}
		Security []byte
		Scoped   struct {
			Engine, Name []byte
			PDU          asn1.RawValue
		}
	}
	decode(t, payloadsByName(t)["snmpv3"].Data, &m, "")
	if m.Version != 3 || m.Global.MaxSize < 484 || !bytes.Equal(m.Global.Flags, []byte{4}) || m.Global.Model != 3 {
		t.Errorf("message = %+v", m)
	}
	if len(m.Scoped.Engine)+len(m.Scoped.Name) != 0 || len(decodeGet(t, m.Scoped.PDU).Variables) != 0 {
		t.Errorf("scoped data = %+v, want empty", m.Scoped)
	}
	var s struct {
		Engine              []byte
		Boots, Time         int
		User, Auth, Privacy []byte
	}
	decode(t, m.Security, &s, "")
	if len(s.Engine)+len(s.User)+len(s.Auth)+len(s.Privacy)+s.Boots+s.Time != 0 {
		t.Errorf("security parameters = %+v, want empty", s)
	}
}

// decode decodes all of the data.
func decode(t *testing.T, data []byte, into any, params string) {
	t.Helper()
	rest, err := asn1.UnmarshalWithParams(data, into, params)
	if err != nil || len(rest) > 0 {
		t.Fatalf("decoding %x: %v, %d bytes left", data, err, len(rest))
	}
}

// decodeGet decodes a GetRequest-PDU, and fails for any other PDU.
func decodeGet(t *testing.T, raw asn1.RawValue) (pdu libraryPDU) {
	t.Helper()
	if raw.Class != asn1.ClassContextSpecific || raw.Tag != 0 {
		t.Fatalf("PDU has tag %d of class %d, want a GetRequest", raw.Tag, raw.Class)
	}
	decode(t, raw.FullBytes, &pdu, "tag:0")
	return pdu
}

package payload

import (
	"bufio"
	"bytes"
	"encoding/asn1"
	"net/textproto"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

func TestDNSReadByTheLibrary(t *testing.T) {
	for name, want := range map[string]string{
		"dns":  "1.0.0.127.in-addr.arpa.",
		"mdns": "_services._dns-sd._udp.local.",
	} {
		data := everything(t)[name].Data
		var m dnsmessage.Message
		if err := m.Unpack(data); err != nil {
			t.Fatal(err)
		}
		if len(m.Questions) != 1 || len(m.Answers)+len(m.Authorities)+len(m.Additionals) != 0 {
			t.Fatalf("%s is %v", name, m.GoString())
		}
		if h := m.Header; h.Response || h.OpCode != 0 || h.RecursionDesired {
			t.Errorf("%s has the header %v", name, h.GoString())
		}
		q := m.Questions[0]
		if q.Name.String() != want || q.Type != dnsmessage.TypePTR || q.Class != dnsmessage.ClassINET {
			t.Errorf("%s asks for %v", name, q.GoString())
		}
		if again, err := m.Pack(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%s is packed by others as %x (%v), not %x", name, again, err, data)
		}
	}
}

func TestSSDPReadByTheLibrary(t *testing.T) {
	r := textproto.NewReader(bufio.NewReader(bytes.NewReader(everything(t)["ssdp"].Data)))
	if line, err := r.ReadLine(); err != nil || line != "M-SEARCH * HTTP/1.1" {
		t.Errorf("the request is %q (%v)", line, err)
	}
	header, err := r.ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Host": "239.255.255.250:1900", "Man": `"ssdp:discover"`, "St": "upnp:rootdevice", "Mx": "1",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if more, err := r.ReadLine(); err == nil {
		t.Errorf("there is more: %q", more)
	}
}

// A getPDU of another's making.
type libraryPDU struct {
	ID, Status, Index int
	Variables         []asn1.RawValue
}

func TestSNMPReadByTheLibrary(t *testing.T) {
	for name, version := range map[string]int{"snmpv1": 0, "snmpv2c": 1} {
		var m struct {
			Version   int
			Community []byte
			PDU       asn1.RawValue
		}
		read(t, everything(t)[name].Data, &m, "")
		if m.Version != version || string(m.Community) != "public" {
			t.Errorf("%s: %+v", name, m)
		}
		if pdu := readGet(t, m.PDU); len(pdu.Variables) != 1 {
			t.Errorf("%s: %+v", name, pdu)
		} else {
			var v struct {
				Name  asn1.ObjectIdentifier
				Value asn1.RawValue
			}
			read(t, pdu.Variables[0].FullBytes, &v, "")
			if v.Name.String() != "1.3.6.1.2.1.1.3.0" || v.Value.Tag != asn1.TagNull {
				t.Errorf("%s asks for %v", name, v)
			}
		}
	}
}

func TestSNMPv3ReadByTheLibrary(t *testing.T) {
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
	read(t, everything(t)["snmpv3"].Data, &m, "")
	if m.Version != 3 || m.Global.MaxSize < 484 || !bytes.Equal(m.Global.Flags, []byte{4}) || m.Global.Model != 3 {
		t.Errorf("the message is %+v", m)
	}
	if len(m.Scoped.Engine)+len(m.Scoped.Name) != 0 || len(readGet(t, m.Scoped.PDU).Variables) != 0 {
		t.Errorf("the data are %+v", m.Scoped)
	}
	var s struct {
		Engine              []byte
		Boots, Time         int
		User, Auth, Privacy []byte
	}
	read(t, m.Security, &s, "")
	if len(s.Engine)+len(s.User)+len(s.Auth)+len(s.Privacy)+s.Boots+s.Time != 0 {
		t.Errorf("the parameters are %+v", s)
	}
}

// read decodes all of the data.
func read(t *testing.T, data []byte, into any, params string) {
	t.Helper()
	rest, err := asn1.UnmarshalWithParams(data, into, params)
	if err != nil || len(rest) > 0 {
		t.Fatalf("%x: %v, %d bytes are left", data, err, len(rest))
	}
}

// readGet decodes a GetRequest-PDU, and nothing else: least of all a SetRequest.
func readGet(t *testing.T, raw asn1.RawValue) (pdu libraryPDU) {
	t.Helper()
	if raw.Class != asn1.ClassContextSpecific || raw.Tag != 0 {
		t.Fatalf("the PDU has the tag %d of class %d", raw.Tag, raw.Class)
	}
	read(t, raw.FullBytes, &pdu, "tag:0")
	return pdu
}

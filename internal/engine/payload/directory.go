package payload

// cldap asks a directory, at its root, for an entry without attributes ("1.1", RFC
// 4511 section 4.5.1.8): LDAP without a connection (RFC 1798), which domain
// controllers answer. All the root's attributes would come in thousands of bytes.
func cldap() []byte {
	const (
		search  = berApplication | 3 // SearchRequest (RFC 4511 section 4.5.1)
		present = berPrimitive | 7   // a filter: that there is such an attribute
	)
	return ber(berSequence, // LDAPMessage (RFC 4511 section 4.1.1)
		berInt(requestID),
		ber(search,
			berString(""),                 // baseObject: the root (section 5.1 of RFC 4512)
			ber(berEnumerated, []byte{0}), // scope: that object alone
			ber(berEnumerated, []byte{0}), // derefAliases: never
			berInt(1),                     // sizeLimit, of entries
			berInt(1),                     // timeLimit, in seconds
			ber(berBoolean, []byte{0}),    // typesOnly
			ber(present, []byte("objectClass")),
			ber(berSequence, berString("1.1")),
		),
	)
}

// kerberos asks for a ticket in a realm that cannot exist (RFC 4120 sections
// 5.4.1, 7.5.9), which is answered by an error. Nobody's account is touched: the
// client is of that realm too, and no password comes into it.
func kerberos() []byte {
	const (
		asRequest = 10        // both the message's type and its tag (RFC 4120 section 5.10)
		principal = 1         // NT-PRINCIPAL (RFC 4120 section 6.2)
		service   = 2         // NT-SRV-INST
		aes256    = 18        // RFC 3962 section 7
		realm     = "INVALID" // RFC 6761 section 6.4
	)
	name := func(kind uint32, parts ...[]byte) []byte { // PrincipalName (section 5.2.2)
		return ber(berSequence, field(0, berInt(kind)), field(1, ber(berSequence, parts...)))
	}
	body := ber(berSequence,
		field(0, ber(berBitString, []byte{0, 0, 0, 0, 0})), // kdc-options: none of 32
		field(1, name(principal, berText(from))),
		field(2, berText(realm)),
		field(3, name(service, berText("krbtgt"), berText(realm))),
		field(5, ber(berTime, []byte("19700101000000Z"))), // till: as long as may be
		field(7, berInt(requestID)),                       // nonce
		field(8, ber(berSequence, berInt(aes256))),        // etype
	)
	return ber(berApplication|asRequest, ber(berSequence,
		field(1, berInt(5)), // pvno
		field(2, berInt(asRequest)),
		field(4, body),
	))
}

// field is a field of a Kerberos message, which has an explicit tag.
func field(n byte, value []byte) []byte { return ber(berContext|n, value) }

// berText is a KerberosString (RFC 4120 section 5.2.1).
func berText(s string) []byte { return ber(berGeneral, []byte(s)) }

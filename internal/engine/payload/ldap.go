// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

// cldap searches the root entry without attributes ("1.1", RFC 4511 section
// 4.5.1.8) by connectionless LDAP (RFC 1798), which domain controllers answer. All
// attributes of the root entry would be thousands of bytes.
func cldap() []byte {
	const (
		search  = berApplication | 3 // SearchRequest (RFC 4511 section 4.5.1)
		present = berPrimitive | 7   // filter: the attribute is present
	)
	return ber(berSequence, // LDAPMessage (RFC 4511 section 4.1.1)
		berInt(requestID),
		ber(search,
			berString(""),                 // baseObject: the root (RFC 4512 section 5.1)
			ber(berEnumerated, []byte{0}), // scope: baseObject
			ber(berEnumerated, []byte{0}), // derefAliases: never
			berInt(1),                     // sizeLimit
			berInt(1),                     // timeLimit
			ber(berBoolean, []byte{0}),    // typesOnly
			ber(present, []byte("objectClass")),
			ber(berSequence, berString("1.1")),
		),
	)
}

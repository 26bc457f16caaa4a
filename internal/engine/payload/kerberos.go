// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

// kerberos requests a ticket in a realm that cannot exist, which returns an error
// (RFC 4120 sections 5.4.1, 7.5.9). No account is involved: the client is in that
// realm too, and the request has no password.
func kerberos() []byte {
	const (
		asRequest = 10        // both message type and tag (RFC 4120 section 5.10)
		principal = 1         // NT-PRINCIPAL (RFC 4120 section 6.2)
		server    = 2         // NT-SRV-INST
		aes256    = 18        // RFC 3962 section 7
		realm     = "INVALID" // RFC 6761 section 6.4
	)
	name := func(kind uint32, parts ...[]byte) []byte { // PrincipalName (section 5.2.2)
		return ber(berSequence, kerberosField(0, berInt(kind)), kerberosField(1, ber(berSequence, parts...)))
	}
	body := ber(berSequence,
		kerberosField(0, ber(berBitString, []byte{0, 0, 0, 0, 0})), // kdc-options: none of 32
		kerberosField(1, name(principal, kerberosString(senderName))),
		kerberosField(2, kerberosString(realm)),
		kerberosField(3, name(server, kerberosString("krbtgt"), kerberosString(realm))),
		kerberosField(5, ber(berGeneralizedTime, []byte("19700101000000Z"))), // till: as long as allowed
		kerberosField(7, berInt(requestID)),                                  // nonce
		kerberosField(8, ber(berSequence, berInt(aes256))),                   // etype
	)
	return ber(berApplication|asRequest, ber(berSequence,
		kerberosField(1, berInt(5)), // pvno
		kerberosField(2, berInt(asRequest)),
		kerberosField(4, body),
	))
}

// kerberosField returns a field with an explicit tag.
func kerberosField(n byte, value []byte) []byte { return ber(berContext|n, value) }

// kerberosString returns a KerberosString (RFC 4120 section 5.2.1).
func kerberosString(s string) []byte { return ber(berGeneralString, []byte(s)) }

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

// Versions (RFC 1157 section 4, RFC 1901 section 3, RFC 3412 section 6).
const (
	snmpVersion1  = 0
	snmpVersion2c = 1
	snmpVersion3  = 3
)

func snmpv1() []byte { return snmpCommunity(snmpVersion1) }

func snmpv2c() []byte { return snmpCommunity(snmpVersion2c) }

// snmpCommunity requests sysUpTime.0 (RFC 3418), a short number that every agent has,
// in the most common read-only community. An agent with another community does not
// answer.
func snmpCommunity(version uint32) []byte {
	return ber(berSequence,
		berInt(version),
		berString("public"),
		snmpGet(ber(berSequence,
			// 1.3.6.1.2.1.1.3.0; the first two numbers are combined (X.690 section 8.19.4).
			ber(berOID, []byte{1*40 + 3, 6, 1, 2, 1, 1, 3, 0}),
			ber(berNull),
		)),
	)
}

// snmpGet returns a GetRequest-PDU, [0] (RFC 1157 section 4.1.2, RFC 3416 section 3).
func snmpGet(variables ...[]byte) []byte {
	return ber(berContext,
		berInt(requestID),
		berInt(0), // error-status
		berInt(0), // error-index
		ber(berSequence, variables...),
	)
}

// snmpv3 requests the engine ID. This discovery needs no user and no key, and is
// answered with a Report (RFC 3414 section 4).
func snmpv3() []byte {
	const (
		maxSize    = 1472 // accepted size of an answer (RFC 3412 section 6.3)
		reportable = 4    // neither authenticated nor encrypted (RFC 3412 section 6.4)
		userBased  = 3    // RFC 3411 section 5, SnmpSecurityModel
	)
	security := ber(berSequence, // RFC 3414 section 2.4
		berString(""), // msgAuthoritativeEngineID: to be discovered
		berInt(0),     // msgAuthoritativeEngineBoots
		berInt(0),     // msgAuthoritativeEngineTime
		berString(""), // msgUserName: none
		berString(""), // msgAuthenticationParameters
		berString(""), // msgPrivacyParameters
	)
	return ber(berSequence, // RFC 3412 section 6
		berInt(snmpVersion3),
		ber(berSequence,
			berInt(requestID), // msgID
			berInt(maxSize),
			ber(berOctetString, []byte{reportable}),
			berInt(userBased),
		),
		ber(berOctetString, security),
		ber(berSequence,
			berString(""), // contextEngineID
			berString(""), // contextName
			snmpGet(),
		),
	)
}

package payload

// Versions, as the message says them (RFC 1157 section 4, RFC 1901 section 3, RFC
// 3412 section 6).
const (
	snmpVersion1  = 0
	snmpVersion2c = 1
	snmpVersion3  = 3
)

const (
	// getRequest is the tag of a GetRequest-PDU, [0] (RFC 1157 section 4.1.2, RFC 3416
	// section 3).
	getRequest = berContext

	// requestID is a number that is no other's.
	requestID = 'p'<<8 | 's'
)

func snmpv1() []byte { return snmpCommunity(snmpVersion1) }

func snmpv2c() []byte { return snmpCommunity(snmpVersion2c) }

// snmpCommunity asks for sysUpTime.0 (RFC 3418), which every agent has and which
// is a short number, unlike sysDescr. The community is the one that is usual for
// reading; an agent that has another is silent.
func snmpCommunity(version uint32) []byte {
	return ber(berSequence,
		berInt(version),
		berString("public"),
		getPDU(ber(berSequence,
			// 1.3.6.1.2.1.1.3.0; the first two are one number (X.690 section 8.19.4).
			ber(berOID, []byte{1*40 + 3, 6, 1, 2, 1, 1, 3, 0}),
			ber(berNull),
		)),
	)
}

// getPDU is a GetRequest-PDU with some variables, or none.
func getPDU(variables ...[]byte) []byte {
	return ber(getRequest,
		berInt(requestID),
		berInt(0), // error-status
		berInt(0), // error-index
		ber(berSequence, variables...),
	)
}

// snmpv3 asks which engine this is: the first step of the user-based security
// model, which comes before any user or key and is answered by a Report (RFC 3414
// section 4).
func snmpv3() []byte {
	const (
		maxSize    = 1472 // of an answer that we take (RFC 3412 section 6.3)
		reportable = 4    // neither authenticated nor private (RFC 3412 section 6.4)
		userBased  = 3    // RFC 3411 section 5, SnmpSecurityModel
	)
	security := ber(berSequence, // RFC 3414 section 2.4
		berString(""), // msgAuthoritativeEngineID: what we want to know
		berInt(0),     // msgAuthoritativeEngineBoots
		berInt(0),     // msgAuthoritativeEngineTime
		berString(""), // msgUserName: nobody
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
			getPDU(),
		),
	)
}

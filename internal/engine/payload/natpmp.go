// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

// natpmp requests a gateway's external address (RFC 6886 section 3.2). A PCP server
// without NAT-PMP returns UNSUPP_VERSION (RFC 6887 section 9).
func natpmp() []byte {
	const version, externalAddress = 0, 0
	return []byte{version, externalAddress}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

// ssdp is a unicast search for root devices (UPnP Device Architecture 2.0 section
// 1.3.2), which send one answer each; a search for everything returns dozens. MX and
// the group's address as HOST are for devices of version 1.0, which require them.
func ssdp() []byte {
	return crlfLines(
		"M-SEARCH * HTTP/1.1",
		"HOST: 239.255.255.250:1900",
		`MAN: "ssdp:discover"`,
		"MX: 1", // maximum delay in seconds
		"ST: upnp:rootdevice",
	)
}

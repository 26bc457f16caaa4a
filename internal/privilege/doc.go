// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package privilege implements the reduction of the process's privileges: it drops all Linux
// capabilities (capabilities(7)) except CAP_NET_RAW, which is in effect only while a raw
// socket is opened. Other systems have no capabilities.
package privilege

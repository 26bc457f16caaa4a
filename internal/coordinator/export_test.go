// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import "encoding/json"

// Sealed puts content into the envelope that belongs to it.
func Sealed(content []byte) []byte {
	var compact json.RawMessage = content
	inner, err := json.Marshal(compact)
	if err != nil {
		panic(err)
	}
	data, err := json.Marshal(envelope{Format: stateFormat, Version: stateVersion, SHA256: checksum(inner), Content: inner})
	if err != nil {
		panic(err)
	}
	return data
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/json"
	"fmt"

	"portscan_exporter/internal/printable"
)

// encodeLine returns the event as JSON and a newline. encoding/json escapes only the control
// characters below U+0020.
func encodeLine(event any) ([]byte, error) {
	data, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("encoding an audit entry: %w", err)
	}
	return append([]byte(printable.Escape(string(data))), '\n'), nil
}

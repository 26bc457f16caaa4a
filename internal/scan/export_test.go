// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"encoding/json"
	"fmt"
)

// Save returns the result as JSON for [ReadResult], as earlier versions wrote it.
func (r *Result) Save() ([]byte, error) {
	s := savedResult{
		Started: r.Started, Finished: r.Finished, Lookup: r.Lookup, Refused: r.Refused,
		Failed: make(map[string]string), Attempts: r.Attempts, Retries: r.Retries,
	}
	for f, err := range r.Failed {
		s.Failed[f.String()] = err.Error()
	}
	for i := range r.Addresses {
		s.Addresses = append(s.Addresses, r.Addresses[i].toSaved())
	}
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("writing a result: %w", err)
	}
	return data, nil
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
)

// DigestText returns the text of the scope of a target in digests.
func (s Scope) DigestText(target string) string {
	var b strings.Builder
	s.writeDigest(&b, target)
	return b.String()
}

// EmbedsIPv4 reports whether addresses of a network can contain an IPv4 address.
func EmbedsIPv4(p netip.Prefix) bool { return embedsIPv4(p) }

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

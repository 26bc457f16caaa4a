// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package collector implements the Prometheus collectors of the exporter. descs.go
// has the names, labels and help texts of /probe, exporter.go those of /metrics.
package collector

import (
	"time"

	"portscan_exporter/internal/config"
	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// ProbeResult is the data of one /probe answer: a scan, and the settings of its target
// and module. It is read-only and safe for concurrent use.
type ProbeResult struct {
	Target    string
	Owner     string
	Reference string
	Expires   time.Time // end of the authorization; zero: never

	Timeout  time.Duration // of the module
	MaxAge   time.Duration // of the module
	MaxPorts int           // maximum number of ports reported individually
	AllPorts bool          // report every port, not only the notable ones

	Duration    time.Duration // since the request arrived
	Result      *scan.Result
	PortHistory coordinator.Memory // port history of the result's addresses
	Age         time.Duration      // of a cached result; 0 if the scan ended with the probe
	Progress    float64            // of the scan running behind a cached result, from 0 to 1; 1: none is running
}

// NewProbeResult returns the result of a probe that arrived at the given time.
func NewProbeResult(t *config.Target, m *config.Module, answer coordinator.Answer, arrived time.Time) ProbeResult {
	now := time.Now()
	p := ProbeResult{
		Target:      t.Name,
		Owner:       t.Authorization.Owner,
		Reference:   t.Authorization.Reference,
		Expires:     t.Authorization.Expires,
		Timeout:     m.Timeout,
		MaxAge:      m.MaxAge,
		MaxPorts:    m.MaxPorts,
		AllPorts:    m.AllPorts,
		Duration:    now.Sub(arrived),
		Result:      answer.Result,
		Progress:    answer.Progress,
		PortHistory: answer.Memory,
	}
	if answer.Retained {
		p.Age = now.Sub(answer.Result.Finished)
	}
	return p
}

// Success reports whether the scan is complete and the result is not stale.
func (p ProbeResult) Success() bool {
	return p.Result.Success() && !IsStale(p.Age, p.MaxAge, p.Timeout)
}

// IsStale reports whether a cached result is older than the module's max_age plus
// timeout. Without max_age, no result is stale.
func IsStale(age, maxAge, timeout time.Duration) bool {
	return maxAge > 0 && age > maxAge+timeout
}

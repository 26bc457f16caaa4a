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
	"portscan_exporter/internal/store"
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
	View        *store.View   // of the store, which has Result; nil: Result is that of a scan
	PortHistory store.History // port history of the result's addresses
	Age         time.Duration // of a cached result; 0 if the scan ended with the probe
	Progress    float64       // of the scan running behind a cached result, from 0 to 1; 1: none is running
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
		PortHistory: answer.History,
		View:        answer.View,
	}
	if answer.Source == coordinator.Cached {
		p.Age = now.Sub(answer.Result.Finished)
	}
	return p
}

// Success reports whether the newest scan of each address is complete, no scan failed, and the
// result is not stale.
func (p ProbeResult) Success() bool {
	complete := p.View == nil && p.Result.Success() || p.View != nil && p.View.Complete()
	return complete && !IsStale(p.Age, p.MaxAge, p.Timeout)
}

// Unknown returns the numbers of ports that the newest scan of their address does not know, by
// cause. A cached result may have earlier states of them.
func (p ProbeResult) Unknown() map[scan.Cause]int {
	if p.View != nil {
		return p.View.Unverified
	}
	return p.Result.UnknownByCause()
}

// LastResponse returns the time of the last answer of the address itself, in the scan of
// this result or another one; zero if none was seen. A scan that is still running, or that
// found the address suspect, is not part of the history.
func (p ProbeResult) LastResponse(a *scan.AddressResult) time.Time {
	inScan, inHistory := a.LastResponse(), p.PortHistory.LastResponse(a.IP)
	if inScan.After(inHistory) {
		return inScan
	}
	return inHistory
}

// IsStale reports whether a cached result is older than the module's max_age plus
// timeout. Without max_age, no result is stale.
func IsStale(age, maxAge, timeout time.Duration) bool {
	return maxAge > 0 && age > maxAge+timeout
}

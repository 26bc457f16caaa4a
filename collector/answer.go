// Package collector turns results into metrics. Every name, label and help text
// of a probe is in descs.go, and those of the exporter itself in exporter.go.
package collector

import (
	"time"

	"portscan_exporter/internal/config"
	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// ProbeResult is one probe's answer: the scan that it shows, and what its owner said
// of the target and the module. It is read only and may be used concurrently.
type ProbeResult struct {
	Target    string
	Owner     string
	Reference string
	Expires   time.Time // when the authorization ends; zero: never

	Timeout  time.Duration // the module's
	MaxAge   time.Duration // the module's
	MaxPorts int           // ports reported one by one at the most
	AllPorts bool          // report every port, not only the notable ones

	Duration time.Duration // from the request's arrival
	Result   *scan.Result
	History  coordinator.Memory // of earlier scans
	Age      time.Duration      // since the scan's end; 0 where it ended with the probe
	Progress float64            // how far the scan under way behind the answer is, from 0 to 1; 1: there is none
}

// Success is what probe_success says: the scan is whole, and not older than its module
// lets it become.
func (a ProbeResult) Success() bool {
	return a.Result.Success() && (a.MaxAge == 0 || a.Age <= a.MaxAge+a.Timeout)
}

// NewProbeResult returns the answer to a request that arrived at some time for a
// target and module, from the scan that the coordinator shows it.
func NewProbeResult(t *config.Target, m *config.Module, known coordinator.Answer, arrived time.Time) ProbeResult {
	now := time.Now()
	a := ProbeResult{
		Target:    t.Name,
		Owner:     t.Authorization.Owner,
		Reference: t.Authorization.Reference,
		Expires:   t.Authorization.Expires,
		Timeout:   m.Timeout,
		MaxAge:    m.MaxAge,
		MaxPorts:  m.MaxPorts,
		AllPorts:  m.ReportAll,
		Duration:  now.Sub(arrived),
		Result:    known.Result,
		Progress:  known.Progress,
		History:   known.Memory,
	}
	if known.Retained {
		a.Age = now.Sub(known.Result.Finished)
	}
	return a
}

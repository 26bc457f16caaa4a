// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"log/slog"
	"strings"
	"sync"

	"portscan_exporter/collector"
	"portscan_exporter/internal/scan"
)

// probeLog is a logger that stores messages of all levels for the debug response
// and the history, and forwards those of the exporter's log level.
type probeLog struct {
	*slog.Logger
	buffer *logBuffer
}

// logBuffer stores log lines. It may be used concurrently.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements [io.Writer].
func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func newProbeLog(next *slog.Logger, target, module string) *probeLog {
	buffer := new(logBuffer)
	stored := slog.NewTextHandler(buffer, &slog.HandlerOptions{Level: slog.LevelDebug})
	forwarded := next.Handler().WithAttrs([]slog.Attr{slog.String("target", target), slog.String("module", module)})
	return &probeLog{Logger: slog.New(slog.NewMultiHandler(stored, forwarded)), buffer: buffer}
}

func (l *probeLog) text() string {
	l.buffer.mu.Lock()
	defer l.buffer.mu.Unlock()
	return l.buffer.text.String()
}

// logResult logs the probe's result, without a line per port.
func (l *probeLog) logResult(a collector.ProbeResult) {
	r := a.Result
	for i := range r.Addresses {
		counts := make([]any, 0, 2*len(scan.States())+2)
		counts = append(counts, "ip", r.Addresses[i].IP)
		for _, s := range scan.States() {
			counts = append(counts, s.String(), r.Addresses[i].Count(s))
		}
		l.Debug("Address scanned", counts...)
	}
	for _, ip := range r.Refused {
		l.Debug("Address outside the target's networks refused", "ip", ip)
	}
	for _, f := range scan.Failures() {
		if err := r.Failed[f]; err != nil {
			l.Debug("Scan incomplete", "reason", f.String(), "err", err)
		}
	}
	if a.Age > 0 {
		l.Debug("Returning cached result", "finished", r.Finished, "age", a.Age, "progress", a.Progress)
	}
	l.Debug("Probe finished", "success", a.Success(), "duration", a.Duration, "attempts", r.Attempts, "retries", r.Retries)
}

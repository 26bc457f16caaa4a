package server

import (
	"log/slog"
	"strings"
	"sync"

	"portscan_exporter/collector"
	"portscan_exporter/internal/scan"
)

// probeLog is a logger that keeps what it is told at any level, for the debug
// answer and the history, and passes on what the exporter's log level lets by.
type probeLog struct {
	*slog.Logger
	kept *keptLog
}

// keptLog is where the text goes. It may be used concurrently.
type keptLog struct {
	mu  sync.Mutex
	all strings.Builder
}

func (k *keptLog) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.all.Write(p)
}

func newProbeLog(next *slog.Logger, target, module string) *probeLog {
	kept := new(keptLog)
	own := slog.NewTextHandler(kept, &slog.HandlerOptions{Level: slog.LevelDebug})
	passed := next.Handler().WithAttrs([]slog.Attr{slog.String("target", target), slog.String("module", module)})
	return &probeLog{Logger: slog.New(slog.NewMultiHandler(own, passed)), kept: kept}
}

func (l *probeLog) text() string {
	l.kept.mu.Lock()
	defer l.kept.mu.Unlock()
	return l.kept.all.String()
}

// outcome logs how the probe went: its outcome at debug, a fault of our own at
// error, and no line a port.
func (l *probeLog) outcome(a collector.ProbeResult) {
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

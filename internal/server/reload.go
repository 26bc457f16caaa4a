package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"portscan_exporter/collector"
	"portscan_exporter/internal/config"
)

// Reloader loads the configuration anew when it is asked to, and now and then
// looks whether it has changed. It may be used concurrently.
type Reloader struct {
	File     string
	Config   *config.SafeConfig
	Exporter *collector.Exporter
	Logger   *slog.Logger
	Apply    func(*config.Config) // hands the new limits on; called after a swap

	mu sync.Mutex // one reload at a time, so that metric and limits are those of the last
}

// Reload loads the file. A bad one leaves the configuration in use as it is;
// its errors are logged, a line each, and returned.
func (r *Reloader) Reload() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	warnings, err := r.Config.Reload(time.Now())
	for _, warning := range warnings {
		r.Logger.Warn("Configuration warning", "warning", warning)
	}
	if err != nil {
		for _, e := range Each(err) {
			r.Logger.Error("Failed to load configuration", "err", e)
		}
		r.Exporter.ObserveReload(false, nil)
		return err
	}
	cfg := r.Config.Get()
	names := make([]string, 0, len(cfg.Modules()))
	for _, m := range cfg.Modules() {
		names = append(names, m.Name)
	}
	r.Exporter.ObserveReload(true, names)
	r.Apply(cfg)
	r.Logger.Info("Configuration loaded", "file", r.File, "targets", len(cfg.Targets()), "modules", len(names))
	return nil
}

// Watch reloads whenever the configuration's files have changed, looking every
// interval, until ctx ends. seen is the checksum of what was loaded last.
func (r *Reloader) Watch(ctx context.Context, interval time.Duration, seen string) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		sum, err := config.Checksum(r.File)
		if err != nil {
			r.Logger.Warn("Failed to read configuration files", "err", err)
			continue
		}
		if sum != seen {
			seen = sum // a bad file is not tried again until it changes
			_ = r.Reload()
		}
	}
}

// Each returns the errors that err joins, or err itself.
func Each(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return []error{err}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"log/slog"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/engine"
	"portscan_exporter/internal/resolve"
	"portscan_exporter/internal/scan"
)

// scans is a coordinator with its engines.
type scans struct {
	*coordinator.Coordinator

	engines map[coordinator.Kind]*engine.Engine
}

// newResolver returns a resolver with the settings of the system.
func newResolver() (*resolve.Resolver, error) {
	resolver, err := resolve.New(resolve.System(engine.MaxLookupSockets()))
	if err != nil {
		return nil, fmt.Errorf("making the resolver: %w", err)
	}
	return resolver, nil
}

// newScans wires the engines to a coordinator; applyLimits sets its limits. If watch is given, it
// wraps each engine.
func newScans(budget *engine.Budget, o coordinator.Options, watch ...func(scan.Scanner) scan.Scanner) (*scans, error) {
	s := &scans{engines: make(map[coordinator.Kind]*engine.Engine)}
	o.MaxScans, o.Engines = 1, make(map[coordinator.Kind]scan.Scanner)
	for kind, maker := range engineMakers() {
		e, err := maker(budget)
		if err != nil {
			return nil, fmt.Errorf("making the engine of %v %v: %w", kind.Protocol, kind.Method, err)
		}
		s.engines[kind], o.Engines[kind] = e, engine.WithControl(e)
		for _, w := range watch {
			o.Engines[kind] = w(o.Engines[kind])
		}
	}
	var err error
	s.Coordinator, err = coordinator.New(o)
	if err != nil {
		return nil, fmt.Errorf("making the coordinator: %w", err)
	}
	return s, nil
}

// engineMakers returns the constructor of each engine. The one for half-open scans is
// missing where they are not possible: checkHost rejects modules that need it.
func engineMakers() map[coordinator.Kind]func(*engine.Budget) (*engine.Engine, error) {
	makers := map[coordinator.Kind]func(*engine.Budget) (*engine.Engine, error){
		{Protocol: scan.TCP, Method: scan.Connect}: engine.NewConnect,
		{Protocol: scan.UDP, Method: scan.Connect}: engine.NewUDP,
	}
	if engine.CheckSYN() == nil {
		makers[coordinator.Kind{Protocol: scan.TCP, Method: scan.SYN}] = engine.NewSYN
	}
	return makers
}

// warnErrorQueue logs once if connect scans cannot distinguish ICMP errors from resets on
// this host; check is [engine.CheckErrorQueue].
func warnErrorQueue(logger *slog.Logger, check func() error) {
	if err := check(); err != nil {
		logger.Warn("Cannot read ICMP errors of connect scans", "err", err)
	}
}

// Close waits for the last scan, see [coordinator.Coordinator.Close], and closes the
// engines.
func (s *scans) Close() {
	s.Coordinator.Close()
	for _, e := range s.engines {
		e.Close()
	}
}

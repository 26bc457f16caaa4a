package app

import (
	"fmt"
	"net"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/engine"
	"portscan_exporter/internal/resolve"
	"portscan_exporter/internal/scan"
)

// scans is a coordinator with the engines that it was wired to.
type scans struct {
	*coordinator.Coordinator

	engines map[coordinator.Kind]*engine.Engine
}

// newScans wires the resolver and the engines to a coordinator. The limits of the
// configuration come with applyLimits; the resolver, the engines and their number are
// put into the options here. Each engine goes through watch, if there is one.
func newScans(budget *engine.Budget, o coordinator.Options, watch ...func(scan.Scanner) scan.Scanner) (*scans, error) {
	// Strict: the answer for one family is not the whole answer where the other one failed.
	resolver, err := resolve.New(&net.Resolver{PreferGo: true, StrictErrors: true})
	if err != nil {
		return nil, fmt.Errorf("making the resolver: %w", err)
	}
	s := &scans{engines: make(map[coordinator.Kind]*engine.Engine)}
	o.Resolver, o.MaxScans, o.Engines = resolver, 1, make(map[coordinator.Kind]scan.Scanner)
	for kind, maker := range engineMakers() {
		e, err := maker(budget)
		if err != nil {
			return nil, fmt.Errorf("making the engine of %v %v: %w", kind.Protocol, kind.Method, err)
		}
		s.engines[kind], o.Engines[kind] = e, e
		for _, w := range watch {
			o.Engines[kind] = w(o.Engines[kind])
		}
	}
	s.Coordinator, err = coordinator.New(o)
	if err != nil {
		return nil, fmt.Errorf("making the coordinator: %w", err)
	}
	return s, nil
}

// engineMakers are the engines that there are, by what they are chosen for. Where
// half-open scans can't be made there is none for them: no configuration that asks
// for one is taken then.
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

// Close waits until no scan is under way, see [coordinator.Coordinator.Close], and
// closes the engines.
func (s *scans) Close() {
	s.Coordinator.Close()
	for _, e := range s.engines {
		e.Close()
	}
}

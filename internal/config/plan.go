// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"

	"portscan_exporter/internal/scan"
)

// makePlans makes the plans of a target for all its modules, so that a request
// cannot fail because of them.
func (l *loader) makePlans(t *targetDraft) {
	for i, m := range t.Modules {
		if l.invalid[m] {
			continue
		}
		plan, err := scan.NewPlan(planSpec(t.Target, m))
		switch {
		case errors.Is(err, scan.ErrEmptyPlan):
			l.errorf(t.moduleAt[i], "module %q has no ports to scan for this target: write ports in the module, or expect.%s.open in the target, that exclude_ports does not cover",
				m.Name, m.Protocol)
		case err != nil:
			l.errorf(t.moduleAt[i], "%s", err)
		default:
			t.plans[m] = plan
		}
	}
}

// makeTasks makes the tasks of all targets, whose scopes are final. Their digests are computed
// only here, because that takes longer than the rest of a probe from a cached result.
func (l *loader) makeTasks() {
	if len(l.errs) > 0 {
		return
	}
	for _, t := range l.cfg.targets {
		for m, plan := range t.plans {
			t.tasks[m] = scan.Task{
				Asked:        t.Name,
				Target:       t.Name,
				Module:       m.Name,
				Owner:        t.Authorization.Owner,
				Reference:    t.Authorization.Reference,
				Hosts:        t.Hosts,
				Family:       t.FamilyFor(m),
				Resolver:     m.Resolver,
				MaxAddresses: m.MaxAddresses,
				MaxAge:       m.MaxAge,
				Expires:      t.Authorization.Expires,
				Scope:        t.Scope,
				Plan:         plan,
			}.WithDigest()
		}
	}
}

func planSpec(t *Target, m *Module) scan.Spec {
	spec := scan.Spec{
		Protocol:        m.Protocol,
		Method:          m.Method,
		Ports:           m.Ports,
		Exclude:         m.ExcludePorts,
		Timeout:         m.Timeout,
		PortTimeout:     m.PortTimeout,
		Retries:         m.Retries,
		MaxRetries:      m.MaxRetries,
		MaxInFlight:     m.MaxInFlight,
		Rate:            m.Rate,
		MaxOpenAttempts: m.MaxOpenAttempts,
		ControlPorts:    m.ControlPorts,
		Source:          m.SourceAddress,
		AllPorts:        m.AllPorts,
	}
	if e, ok := t.Expect[m.Protocol]; ok {
		spec.Expect = &e
	}
	return spec
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"fmt"
	"net/netip"
	"time"

	"portscan_exporter/internal/scan"
)

// A scan with a max_age that was under way when the program ended goes on where it was,
// within its own time: what it has found by then is no older than a scan may take.

// cutShort returns what is known from a scan of the task that the program's end cut
// short, if its time is not over, or nil.
func (c *Coordinator) cutShort(task scan.Task) *scan.Result {
	c.mu.Lock()
	none := len(c.unfinished) == 0
	c.mu.Unlock()
	if none || task.MaxAge == 0 {
		return nil
	}
	digest := task.Digest()
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, ok := c.unfinished[digest]; ok && !k.outOfTime() {
		return k.result
	}
	return nil
}

// outOfTime tells whether a scan that is not finished has no time left to go on.
func (k *kept) outOfTime() bool {
	return time.Since(k.result.Started) >= k.task.Plan.Spec().Timeout
}

// goesOn forgets what was known from before: the scan has it now.
func (c *Coordinator) goesOn(task scan.Task) {
	digest := task.Digest()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.unfinished, digest)
}

// sweeping returns what is known of the scans with a max_age that are under way, or that
// the program's end cut short.
func (c *Coordinator) sweeping() (all []kept) {
	for p, task := range c.sweeps() {
		all = append(all, kept{task: task, result: p.result()})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for digest, k := range c.unfinished {
		if k.outOfTime() {
			delete(c.unfinished, digest)
			continue
		}
		all = append(all, k)
	}
	return all
}

// sweeps returns the scans with a max_age that are under way.
func (c *Coordinator) sweeps() map[*pass]scan.Task {
	c.mu.Lock()
	defer c.mu.Unlock()
	passes := make(map[*pass]scan.Task)
	for _, in := range c.shared {
		for _, s := range in {
			if s.pass != nil && s.task.MaxAge > 0 {
				passes[s.pass] = s.task
			}
		}
	}
	return passes
}

// rest records what is known from before, and returns the request for what is not.
func (p *pass) rest(req scan.Request, scope scan.Scope) (scan.Request, error) {
	if p.before == nil {
		return req, nil
	}
	known := make(map[netip.Addr]*scan.AddressResult, len(p.before.Addresses))
	for i := range p.before.Addresses {
		known[p.before.Addresses[i].IP] = &p.before.Addresses[i]
	}
	var ports scan.PortSet
	var addresses []scan.Address
	for _, a := range req.Addresses() {
		missing := req.Plan().Ports()
		if k := known[a.IP]; k != nil {
			missing = k.ByState()[scan.Unknown]
			for r := range k.All() {
				if r.State != scan.Unknown {
					p.record(r)
				}
			}
		}
		if !missing.IsEmpty() {
			ports, addresses = ports.Union(missing), append(addresses, a)
		}
	}
	if len(addresses) == 0 {
		ports = req.Plan().Ports() // a plan covers some, and nobody is scanned
	}
	rest, _, err := scan.NewRequest(req.Plan().Restrict(ports), scope, addresses)
	if err != nil {
		return scan.Request{}, fmt.Errorf("resuming a scan: %w", err)
	}
	return rest, nil
}

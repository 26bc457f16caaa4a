// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"net/netip"
	"slices"
	"time"
)

// Control has the answers of an address to attempts that detect an interceptor. They are at
// control ports, see [Request.ForControl], or again at ports that have answered before.
type Control struct {
	Open    int `json:"open,omitempty"`     // control ports that are open
	NotOpen int `json:"not_open,omitempty"` // control ports that are known not to be open

	TurnedOpen   int `json:"turned_open,omitempty"`   // ports that are open and were closed before
	TurnedClosed int `json:"turned_closed,omitempty"` // ports that are closed and were open before
}

// Plus returns the sum of the numbers.
func (c Control) Plus(o Control) Control {
	c.Open += o.Open
	c.NotOpen += o.NotOpen
	c.TurnedOpen += o.TurnedOpen
	c.TurnedClosed += o.TurnedClosed
	return c
}

// Control returns the answers to attempts that detect an interceptor.
func (a *AddressResult) Control() Control { return a.control }

// ForControl returns a request for other ports of some addresses of this request. The ports
// have no expectation. Excluded ports are left out, and an answer is awaited at most for
// timeout. A silent port has up to retries further attempts, an open one has none. Without a
// port or an address, ok is false. The slice is sorted.
func (r Request) ForControl(ports PortSet, timeout time.Duration, retries int, ips []netip.Addr) (control Request, ok bool) {
	spec := r.plan.spec
	spec.Ports, spec.Expect = ports, nil
	spec.MaxOpenAttempts = 1
	spec.PortTimeout = min(spec.PortTimeout, timeout)
	spec.Retries = min(spec.Retries, retries)
	spec.MaxRetries = min(spec.MaxRetries, retries)
	plan, err := NewPlan(spec)
	if err != nil || !r.checked {
		return Request{}, false
	}
	control = Request{plan: plan, checked: true}
	slices.SortFunc(ips, netip.Addr.Compare)
	for _, a := range r.addresses {
		if _, found := slices.BinarySearchFunc(ips, a.IP, netip.Addr.Compare); found {
			control.addresses = append(control.addresses, a)
		}
	}
	return control, len(control.addresses) > 0
}

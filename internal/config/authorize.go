// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"portscan_exporter/internal/scan"
)

// Denial is a reason why a scan is not permitted: the format of its message.
type Denial string

// Reasons of a [DeniedError].
const (
	UnknownTarget        Denial = "target %[1]s is not configured: add it under targets with its owner's authorization"
	UnknownModule        Denial = "module %[2]s is not configured: use a module of target %[1]s"
	UnlistedAddress      Denial = "hosts of target %[1]s does not lead to address %[2]s: add it to hosts, or write a target with networks and without hosts"
	UncoveredAddress     Denial = "ip_protocol excludes address %[2]s of target %[1]s: use a module of the target that includes it, or change ip_protocol"
	NoHosts              Denial = "target %[1]s has no hosts: ask for an address in its networks"
	UnlistedModule       Denial = "target %[1]s does not list module %[2]s: add it to the target's modules"
	ExpiredAuthorization Denial = "authorization for target %[1]s expired at %[2]s: ask its owner %[3]s to renew it, then update authorization.expires"
)

// DeniedError is the error of [Config.Authorize]. Its message is one line.
type DeniedError struct {
	Denial  Denial
	message string
}

// Error implements error.
func (e *DeniedError) Error() string { return e.message }

func newDeniedError(d Denial, args ...any) error {
	return &DeniedError{Denial: d, message: fmt.Sprintf(string(d), args...)}
}

// UnresolvedError is the error of [Config.Authorize] if the lookups of names failed that decide
// whether an address may be scanned.
type UnresolvedError struct{ cause error }

// Error implements error.
func (e *UnresolvedError) Error() string { return e.cause.Error() }

// Unwrap returns the error of the lookup.
func (e *UnresolvedError) Unwrap() error { return e.cause }

// Names looks up names.
type Names interface {
	// FindName returns the first group with a name that resolves to the address at this moment,
	// and that name as written. If there is none, it returns the first group with a failed lookup and its
	// error, or -1.
	FindName(ctx context.Context, addr netip.Addr, groups []scan.NameGroup) (group int, name string, err error)
}

// Authorize returns the target that a request names, or the one that an address is inside, and
// one of its modules, the first if module is empty.
//
// An address is inside a target if a numeric entry of hosts contains it, if a name in hosts
// resolves to it at this moment and networks contains it, or, without hosts, if networks
// contains it. The most specific entry wins, then the first target in order; a name counts as the
// network that contains the address. An address that the winning target or a more specific one
// excludes is not inside any target. Names are looked up only if the decision depends on them,
// for at most a third of the time that the scan may take, and at most three seconds.
//
// The error is a [*DeniedError] if the target's owner does not permit the scan at that time. It is
// an [*UnresolvedError], with a selection and its module, if lookups failed.
func (c *Config) Authorize(ctx context.Context, names Names, asked, module string, now time.Time) (Selection, *Module, error) {
	return c.authorize(asked, module, now, func(addr netip.Addr, claims []claim) (int, string, error) {
		return confirmClaim(ctx, names, addr, claims)
	})
}

// Reauthorize is like [Config.Authorize] for a scan of a target that was authorized before. It
// does not look up names: those of the target are assumed to resolve as before, and those of
// others to other addresses.
func (c *Config) Reauthorize(target, asked, module string, now time.Time) (Selection, *Module, error) {
	return c.authorize(asked, module, now, func(_ netip.Addr, claims []claim) (int, string, error) {
		return slices.IndexFunc(claims, func(c claim) bool { return c.target.Name == target || len(c.names) == 0 }), "", nil
	})
}

// claimChooser returns the first claim that holds and, if that is by name, the name. If none holds,
// it returns the first one that cannot be checked and an error, or -1.
type claimChooser func(addr netip.Addr, claims []claim) (index int, name string, err error)

func (c *Config) authorize(asked, module string, now time.Time, choose claimChooser) (Selection, *Module, error) {
	if t, ok := c.Target(asked); ok {
		if t.IsByAddress() {
			return Selection{}, nil, newDeniedError(NoHosts, QuoteASCII(t.Name))
		}
		m, err := c.permit(t, module, now)
		if err != nil {
			return Selection{}, nil, err
		}
		return Selection{Target: t}, m, nil
	}
	addr, ok := parseAsked(asked)
	if !ok {
		return Selection{}, nil, newDeniedError(UnknownTarget, QuoteASCII(asked))
	}
	return c.authorizeAddress(addr, module, now, choose)
}

// authorizeAddress authorizes the scan of an address. Claims after the last permitted one are not
// chosen, because that would not change the refusal.
func (c *Config) authorizeAddress(addr netip.Addr, module string, now time.Time, choose claimChooser) (Selection, *Module, error) {
	claims, relevant := c.claims(addr), 0
	for i := range claims {
		if claims[i].module, claims[i].denied = c.permitAddress(claims[i].target, addr, module, now); claims[i].denied == nil {
			relevant = i + 1
		}
	}
	chosen, name, err := choose(addr, claims[:relevant])
	if chosen < 0 {
		chosen = relevant
	}
	if chosen == len(claims) {
		return Selection{}, nil, c.newOutsideError(addr)
	}
	won := claims[chosen]
	if won.denied != nil {
		return Selection{}, nil, won.denied
	}
	if name != "" {
		won.entry = name
	}
	if err != nil {
		err = &UnresolvedError{cause: err}
	}
	return Selection{Target: won.target, Addr: addr, entry: won.entry}, won.module, err
}

// confirmClaim looks up the names of the claims before the first one that has none.
func confirmClaim(ctx context.Context, names Names, addr netip.Addr, claims []claim) (index int, name string, err error) {
	numeric := slices.IndexFunc(claims, func(c claim) bool { return len(c.names) == 0 })
	byName := claims
	if numeric >= 0 {
		byName = claims[:numeric]
	}
	if len(byName) == 0 {
		return numeric, "", nil
	}
	groups := make([]scan.NameGroup, 0, len(byName))
	for i := range byName {
		groups = append(groups, byName[i].nameGroup(addr))
	}
	ctx, cancel := context.WithTimeout(ctx, min(shortestTimeout(claims)/3, maxLookup))
	defer cancel()
	group, name, err := names.FindName(ctx, addr, groups)
	if name == "" && numeric >= 0 {
		return numeric, "", nil
	}
	return group, name, err
}

// nameGroup returns the names of the claim as its module looks them up. If the target does not permit
// the module of the request, they are looked up as its first module for the address does.
func (c *claim) nameGroup(addr netip.Addr) scan.NameGroup {
	module := c.module
	if module == nil {
		module, _ = c.target.moduleFor(addr) // a claim has one
	}
	return scan.NameGroup{Names: c.names, Family: c.target.FamilyFor(module), Resolver: module.Resolver}
}

// maxLookup is the maximum time of the lookups for one request.
const maxLookup = 3 * time.Second

// shortestTimeout returns the shortest timeout of the claims' modules.
func shortestTimeout(claims []claim) time.Duration {
	shortest := maxDuration
	for i := range claims {
		if m := claims[i].module; m != nil {
			shortest = min(shortest, m.Timeout)
		}
	}
	return shortest
}

// permit returns a module of the target, or a [*DeniedError].
func (c *Config) permit(t *Target, module string, now time.Time) (*Module, error) {
	m, ok := t.Module(module)
	switch {
	case ok:
	case c.hasModule(module):
		return nil, newDeniedError(UnlistedModule, QuoteASCII(t.Name), QuoteASCII(module))
	default:
		return nil, newDeniedError(UnknownModule, QuoteASCII(t.Name), QuoteASCII(module))
	}
	if auth := t.Authorization; auth.Expired(now) {
		expired := auth.Expires.UTC().Format(time.RFC3339)
		return nil, newDeniedError(ExpiredAuthorization, QuoteASCII(t.Name), expired, QuoteASCII(auth.Owner))
	}
	return m, nil
}

// permitAddress is like permit for a module that scans the IP version of the address.
func (c *Config) permitAddress(t *Target, addr netip.Addr, module string, now time.Time) (*Module, error) {
	m, err := c.permit(t, module, now)
	if err == nil && !t.FamilyFor(m).Includes(addr) {
		return nil, newDeniedError(UncoveredAddress, QuoteASCII(t.Name), addr)
	}
	return m, err
}

// newOutsideError returns the error for an address that is not inside any target.
func (c *Config) newOutsideError(addr netip.Addr) error {
	err := newDeniedError(UnknownTarget, QuoteASCII(addr.String()))
	for _, t := range c.index.candidates(addr) {
		if _, ok := t.Scope.Match(addr); !ok {
			continue
		}
		if _, covered := t.moduleFor(addr); covered {
			return newDeniedError(UnlistedAddress, QuoteASCII(t.Name), addr)
		}
		err = newDeniedError(UncoveredAddress, QuoteASCII(t.Name), addr)
	}
	return err
}

func (c *Config) hasModule(name string) bool {
	_, ok := c.Module(name)
	return ok
}

// QuoteASCII returns a part of a request as one line of ASCII, truncated to 64 bytes.
func QuoteASCII(text string) string {
	const limit = 64
	return strconv.QuoteToASCII(scan.Truncate(text, limit))
}

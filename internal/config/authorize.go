// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
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

// Authorize returns the target that a request names, see [Config.Find], and one
// of its modules, the first if module is empty. The error is a [*DeniedError] if
// the target's owner does not permit the scan at that time.
func (c *Config) Authorize(target, module string, now time.Time) (Selection, *Module, error) {
	selection, ok := c.Find(target)
	if !ok {
		return Selection{}, nil, newDeniedError(UnknownTarget, QuoteASCII(target))
	}
	t := selection.Target
	m, ok := t.Module(module)
	switch {
	case ok:
	case c.hasModule(module):
		return Selection{}, nil, newDeniedError(UnlistedModule, QuoteASCII(t.Name), QuoteASCII(module))
	default:
		return Selection{}, nil, newDeniedError(UnknownModule, QuoteASCII(t.Name), QuoteASCII(module))
	}
	if auth := t.Authorization; auth.Expired(now) {
		expired := auth.Expires.UTC().Format(time.RFC3339)
		return Selection{}, nil, newDeniedError(ExpiredAuthorization, QuoteASCII(t.Name), expired, QuoteASCII(auth.Owner))
	}
	return selection, m, nil
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

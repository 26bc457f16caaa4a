// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"time"
)

// Authorization is the permission to scan a target.
type Authorization struct {
	Owner     string
	Reference string    // may be empty
	Expires   time.Time // the first time at which it has expired; zero: it does not expire
}

// Expired reports whether the authorization has expired. An authorization that
// ends on a date is valid to the end of that day in UTC.
func (a Authorization) Expired(now time.Time) bool {
	return !a.Expires.IsZero() && !now.Before(a.Expires)
}

func (l *loader) authorization(dst *Authorization) func(value) {
	return func(v value) {
		owner := func(v value) {
			text, ok := l.visible(v)
			if ok && strings.TrimSpace(text) == "" {
				l.errorf(v, "must not be empty: write the owner of this target, such as %s", v.example)
			}
			dst.Owner = text
		}
		l.decodeMapping(v,
			field{key: "owner", example: `owner: "net team"`, required: true, decode: owner},
			field{key: "reference", example: `reference: "CHG-1234"`, decode: l.text(&dst.Reference)},
			field{key: "expires", example: "expires: 2027-06-30", decode: l.expires(&dst.Expires)},
		)
	}
}

// expires returns a decoder for a date, whose end is the expiry, or a time.
func (l *loader) expires(dst *time.Time) func(value) {
	return func(v value) {
		text, ok := l.scalar(v)
		if !ok {
			return
		}
		end, err := time.Parse(time.DateOnly, text)
		if err == nil {
			end = end.AddDate(0, 0, 1)
		} else if end, err = time.Parse(time.RFC3339, text); err != nil {
			l.errorf(v, "%s is not a date: write a date such as 2027-06-30, or a time such as 2027-06-30T18:00:00Z", quoteValue(text))
			return
		}
		const firstYear = 2000 // the zero time means that the authorization does not expire
		if end.UTC().Year() < firstYear {
			l.errorf(v, "%s is before the year 2000: write the last day of the authorization, such as 2027-06-30", quoteValue(text))
			return
		}
		*dst = end
		if (Authorization{Expires: end}).Expired(l.now) {
			l.warnf(v, "authorization expired (%s) and probes of this target are refused: write a later date after renewal", text)
		}
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"testing"
	"time"
)

func TestAuthorizationExpired(t *testing.T) {
	day := func(s string) time.Time {
		end, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return end
	}
	a := mustLoad(t, "full").Targets()[0].Authorization
	for at, want := range map[string]bool{
		"2027-06-30T23:59:59Z":      false,
		"2027-07-01T00:00:00Z":      true,
		"2027-07-01T01:30:00+02:00": false,
		"2030-01-01T00:00:00Z":      true,
	} {
		if got := a.Expired(day(at)); got != want {
			t.Errorf("Expired(%s) = %v, want %v", at, got, want)
		}
	}
	if (Authorization{}).Expired(day("2999-01-01T00:00:00Z")) {
		t.Error("Expired without an expiry = true, want false")
	}
}

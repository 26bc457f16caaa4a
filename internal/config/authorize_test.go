package config

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestAuthorize(t *testing.T) {
	cfg := mustLoad(t, "full")
	expiry := time.Date(2027, 7, 1, 0, 0, 0, 0, time.UTC)
	cases := []struct {
		target, module string
		now            time.Time
		want           Denial // "": authorized
		wantText       string // the module, or the message
	}{
		{"web", "", testTime(), "", "tcp_default"},
		{"web", "tcp_full", testTime(), "", "tcp_full"},
		{"192.0.2.3", "", testTime(), "", "tcp_default"},
		{"web", "", expiry.Add(-time.Nanosecond), "", "tcp_default"},
		{"web", "", expiry, ExpiredAuthorization, `authorization for target "web" expired at 2027-07-01T00:00:00Z`},
		{"203.0.113.1", "", testTime(), UnknownTarget, `target "203.0.113.1" is not configured`},
		{"a\nb", "", testTime(), UnknownTarget, `target "a\nb" is not configured`},
		{"web", "tcp_patient", testTime(), UnlistedModule, `target "web" does not list module "tcp_patient"`},
		{"web", "tcp", testTime(), UnknownModule, `module "tcp" is not configured`},
	}
	for _, c := range cases {
		selection, m, err := cfg.Authorize(c.target, c.module, c.now)
		if c.want == "" {
			if err != nil || selection.Target.Name != "web" || m.Name != c.wantText {
				t.Errorf("Authorize(%q, %q, %v) = %v, %v, %v, want module %s of web", c.target, c.module, c.now, selection, m, err, c.wantText)
			}
			continue
		}
		denied, ok := errors.AsType[*DeniedError](err)
		if !ok || denied.Denial != c.want || !strings.HasPrefix(denied.Error(), c.wantText) {
			t.Errorf("Authorize(%q, %q, %v) = %v, want %s", c.target, c.module, c.now, err, c.wantText)
		}
	}
}

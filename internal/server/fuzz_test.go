// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzParseProbeParams checks that a request is either refused with one line, or
// parsed to the values that it has.
func FuzzParseProbeParams(f *testing.F) {
	f.Add("target=web&module=tcp&debug=true", "9.5")
	f.Add("target=2001%3Adb8%3A%3A1", "")
	f.Add("target=a&target=b", "1e999")
	f.Add("target=%ff%0a&tarket=", "NaN")
	f.Add("target=a;module=b", "-1")
	f.Fuzz(func(t *testing.T, query, timeout string) {
		r := &http.Request{URL: &url.URL{RawQuery: query}, Header: http.Header{}}
		if timeout != "" {
			r.Header.Set(scrapeTimeoutHeader, timeout)
		}
		a, refused := parseProbeParams(r)
		if refused != nil {
			if refused.Status != http.StatusBadRequest || refused.text == "" || strings.ContainsAny(refused.text, "\r\n") ||
				!utf8.ValidString(refused.text) || len(refused.text) > 600 {
				t.Errorf("got status %d, %q, want 400 and one line", refused.Status, refused.text)
			}
			return
		}
		values, err := url.ParseQuery(query)
		if err != nil || len(values["target"]) != 1 || a.target != values.Get("target") || a.target == "" || a.module != values.Get("module") {
			t.Errorf("parseProbeParams(%q) = %+v, want its values", query, a)
		}
		if a.scrapeTimeout < 0 || a.scrapeTimeout > 24*time.Hour || timeout != "" && a.scrapeTimeout == 0 {
			t.Errorf("timeout %q: got %v, want 0 to 24h", timeout, a.scrapeTimeout)
		}
	})
}

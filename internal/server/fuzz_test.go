package server

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzParseAsked reads requests: whatever comes, it is either understood or refused
// with one line, and what is understood is what was written.
func FuzzParseAsked(f *testing.F) {
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
				t.Errorf("refused with %d, %q", refused.Status, refused.text)
			}
			return
		}
		values, err := url.ParseQuery(query)
		if err != nil || len(values["target"]) != 1 || a.target != values.Get("target") || a.target == "" || a.module != values.Get("module") {
			t.Errorf("%q was understood as %+v", query, a)
		}
		if a.scrapeTimeout < 0 || a.scrapeTimeout > 24*time.Hour || timeout != "" && a.scrapeTimeout == 0 {
			t.Errorf("a timeout of %q was understood as %v", timeout, a.scrapeTimeout)
		}
	})
}

package server

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"portscan_exporter/collector"
	"portscan_exporter/internal/config"
)

// asked is what a probe request asks for.
type asked struct {
	target, module string
	debug          bool
	scrapeTimeout  time.Duration // 0: Prometheus did not say
}

// refusal is a request that gets no scan. Its message is one line.
type refusal struct {
	status  int
	reason  collector.RefusalReason
	message string
}

// Error implements error.
func (r *refusal) Error() string { return r.message }

func badRequest(format string, args ...any) *refusal {
	return &refusal{status: http.StatusBadRequest, reason: collector.RefusalBadRequest, message: fmt.Sprintf(format, args...)}
}

// parseAsked reads a probe's parameters and its timeout header.
func parseAsked(r *http.Request) (asked, *refusal) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return asked{}, badRequest("the query is malformed: write /probe?target=NAME&module=NAME")
	}
	for key, values := range query {
		switch {
		case key != "target" && key != "module" && key != "debug":
			return asked{}, badRequest("unknown parameter %s: /probe takes target, module and debug", quote(key))
		case len(values) > 1:
			return asked{}, badRequest("parameter %s is given %d times: write it once", key, len(values))
		}
	}
	a := asked{target: query.Get("target"), module: query.Get("module")}
	if a.target == "" {
		return asked{}, badRequest("parameter target is missing: write /probe?target=NAME, with the name of a target in the configuration")
	}
	if query.Has("module") && a.module == "" {
		return asked{}, badRequest("parameter module is empty: leave it out for the target's default module")
	}
	if v := query.Get("debug"); query.Has("debug") {
		if a.debug, err = strconv.ParseBool(v); err != nil {
			return asked{}, badRequest("parameter debug is %s: write true or false", quote(v))
		}
	}
	var refused *refusal
	a.scrapeTimeout, refused = parseScrapeTimeout(r.Header)
	return a, refused
}

const scrapeTimeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"

// parseScrapeTimeout reads what Prometheus says of its own patience; 0 where it
// says nothing.
func parseScrapeTimeout(h http.Header) (time.Duration, *refusal) {
	values := h.Values(scrapeTimeoutHeader)
	if len(values) == 0 {
		return 0, nil
	}
	seconds, err := strconv.ParseFloat(values[0], 64)
	if err != nil || len(values) > 1 || math.IsNaN(seconds) || seconds <= 0 {
		return 0, badRequest("header %s is %s: write one number of seconds above 0", scrapeTimeoutHeader, quote(values[0]))
	}
	const most = float64(24 * time.Hour / time.Second)                         // longer than any scrape, and no overflow
	return max(1, time.Duration(min(seconds, most)*float64(time.Second))), nil // 0 would say that there is no header
}

// shown is how much of a piece of a request is repeated to anybody, in bytes.
const shown = 64

// quote writes a piece of a request so that it fits into one line of an answer.
func quote(v string) string {
	if len(v) > shown {
		return strconv.QuoteToASCII(v[:shown]) + "..."
	}
	return strconv.QuoteToASCII(v)
}

// Admit finds a target, by its name or by an address inside it, and one of its
// modules, the first if module is "". The error is one line that says why its
// owner does not let us scan it, and what to write; the rules are those of
// /probe.
func Admit(cfg *config.Config, target, module string, now time.Time) (config.Selection, *config.Module, error) {
	selection, m, refused := admit(cfg, asked{target: target, module: module}, now)
	if refused != nil {
		return config.Selection{}, nil, refused
	}
	return selection, m, nil
}

// admit finds what the request names in the configuration, and refuses what its
// owner does not let us scan.
func admit(cfg *config.Config, a asked, now time.Time) (config.Selection, *config.Module, *refusal) {
	forbidden := func(reason collector.RefusalReason, format string, args ...any) (config.Selection, *config.Module, *refusal) {
		return config.Selection{}, nil, &refusal{status: http.StatusForbidden, reason: reason, message: fmt.Sprintf(format, args...)}
	}
	selection, ok := cfg.Find(a.target)
	if !ok {
		return forbidden(collector.RefusalUnknownTarget,
			"target %s is not configured: add it under targets, with its owner's authorization", quote(a.target))
	}
	t := selection.Target
	if a.module != "" {
		if _, ok := cfg.Module(a.module); !ok {
			r := badRequest("module %s is not configured: target %s lists the modules it may be scanned with", quote(a.module), quote(t.Name))
			r.reason = collector.RefusalUnknownModule
			return config.Selection{}, nil, r
		}
	}
	module, ok := t.Module(a.module)
	if !ok {
		return forbidden(collector.RefusalUnknownModule,
			"target %s does not list module %s: add it to the target's modules", quote(t.Name), quote(a.module))
	}
	if auth := t.Authorization; auth.Expired(now) {
		return forbidden(collector.RefusalExpired,
			"the authorization to scan target %s ended at %s: ask its owner, %s, and renew authorization.expires",
			quote(t.Name), auth.Expires.UTC().Format(time.RFC3339), quote(auth.Owner))
	}
	return selection, module, nil
}

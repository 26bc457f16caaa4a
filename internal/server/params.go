// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"portscan_exporter/internal/config"
)

// probeParams are the parameters of a probe request.
type probeParams struct {
	target, module string
	debug          bool
	scrapeTimeout  time.Duration // 0: the request has none
}

// parseProbeParams reads a probe's query and its timeout header.
func parseProbeParams(r *http.Request) (probeParams, *requestError) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return probeParams{}, newRequestError(malformedQuery)
	}
	for key, values := range query {
		switch {
		case key != "target" && key != "module" && key != "debug":
			return probeParams{}, newRequestError(unknownParameter, config.QuoteASCII(key))
		case len(values) > 1:
			return probeParams{}, newRequestError(repeatedParameter, key, len(values))
		}
	}
	p := probeParams{target: query.Get("target"), module: query.Get("module")}
	if p.target == "" {
		return probeParams{}, newRequestError(missingTarget)
	}
	if query.Has("module") && p.module == "" {
		return probeParams{}, newRequestError(emptyModule)
	}
	if v := query.Get("debug"); query.Has("debug") {
		if p.debug, err = strconv.ParseBool(v); err != nil {
			return probeParams{}, newRequestError(invalidDebug, config.QuoteASCII(v))
		}
	}
	timeout, failure := parseScrapeTimeout(r.Header)
	p.scrapeTimeout = timeout
	return p, failure
}

const scrapeTimeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"

// parseScrapeTimeout returns the scrape timeout that Prometheus sends, 0 if
// there is none.
func parseScrapeTimeout(h http.Header) (time.Duration, *requestError) {
	values := h.Values(scrapeTimeoutHeader)
	if len(values) == 0 {
		return 0, nil
	}
	seconds, err := strconv.ParseFloat(values[0], 64)
	if err != nil || len(values) > 1 || math.IsNaN(seconds) || seconds <= 0 {
		return 0, newRequestError(invalidTimeout, scrapeTimeoutHeader, config.QuoteASCII(values[0]))
	}
	const maxSeconds = float64(24 * time.Hour / time.Second)                         // longer than any scrape, and no overflow
	return max(1, time.Duration(min(seconds, maxSeconds)*float64(time.Second))), nil // 0 would mean that there is no header
}

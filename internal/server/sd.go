// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"portscan_exporter/internal/config"
)

// targetGroup is an entry of Prometheus's HTTP service discovery
// (https://prometheus.io/docs/prometheus/latest/http_sd/).
type targetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// handleDiscovery answers /sd with an entry for each target and module, in the
// order of the configuration. It includes targets whose authorization has
// expired: removing a target would resolve its alerts. It omits targets without hosts,
// which are probed by address.
func (s *Server) handleDiscovery(w http.ResponseWriter, r *http.Request) {
	probeURL, failure := s.probeURL(r)
	if failure != nil {
		// Never an empty list: Prometheus would drop every target.
		writeError(w, failure)
		return
	}
	cfg := s.options.Config.Get()
	groups := []targetGroup{}
	for _, t := range cfg.Targets() {
		if t.IsByAddress() {
			continue
		}
		for _, m := range t.Modules {
			groups = append(groups, s.newTargetGroup(cfg, probeURL, t, m))
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(groups); err != nil {
		s.options.Logger.Debug("Failed to write discovery response", "err", err)
	}
}

func (s *Server) newTargetGroup(cfg *config.Config, probeURL *url.URL, t *config.Target, m *config.Module) targetGroup {
	labels := maps.Clone(cfg.ExternalLabels())
	if labels == nil {
		labels = make(map[string]string)
	}
	maps.Copy(labels, t.Labels)
	maps.Copy(labels, map[string]string{
		"__scheme__":       probeURL.Scheme,
		"__metrics_path__": probeURL.Path,
		"__param_target":   t.Name,
		"__param_module":   m.Name,
		"instance":         t.Name,
		"module":           m.Name,
	})
	if m.ScrapeInterval > 0 {
		// Prometheus silently drops a target that has only one of the two labels,
		// or a timeout above the interval.
		timeout := min(roundUpToMilliseconds(m.Timeout+s.options.TimeoutOffset), m.ScrapeInterval)
		labels["__scrape_interval__"] = formatMilliseconds(m.ScrapeInterval)
		labels["__scrape_timeout__"] = formatMilliseconds(timeout)
	}
	return targetGroup{Targets: []string{probeURL.Host}, Labels: labels}
}

// formatMilliseconds returns a duration in Prometheus's format, which has no
// fractions.
func formatMilliseconds(d time.Duration) string { return fmt.Sprintf("%dms", max(1, d.Milliseconds())) }

// roundUpToMilliseconds rounds up, so that the offset never shortens the scan.
func roundUpToMilliseconds(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}

// probeURL returns the URL of /probe as Prometheus reaches it: below the external
// URL, or else at the host of the request.
func (s *Server) probeURL(r *http.Request) (*url.URL, *requestError) {
	u := &url.URL{Scheme: "http", Path: s.prefix}
	if r.TLS != nil {
		u.Scheme = "https"
	}
	if e := s.options.ExternalURL; e != nil {
		u.Scheme, u.Host, u.Path = e.Scheme, e.Host, e.Path
	} else {
		if failure := checkHost(r.Host); failure != nil {
			return nil, failure
		}
		u.Host = r.Host
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), defaultPort(u.Scheme))
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + "/probe"
	return u, nil
}

func defaultPort(scheme string) string {
	return map[string]string{"http": "80", "https": "443"}[scheme]
}

// HasValidPort reports whether the port of a URL is between 1 and 65535, or missing.
func HasValidPort(u *url.URL) bool {
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Port() == "" || err == nil && port > 0
}

// checkHost returns an error if Prometheus cannot scrape the host of a request.
func checkHost(host string) *requestError {
	u, err := url.Parse("http://" + host)
	switch {
	case host == "" || err == nil && u.Hostname() == "":
		return newRequestError(missingHost)
	case err != nil || u.Host != host || !HasValidPort(u):
		return newRequestError(invalidHost, config.QuoteASCII(host))
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if strings.ContainsAny(host, "[,") && !addr.Is6() {
		return newRequestError(invalidHost, config.QuoteASCII(host))
	}
	// Clients remove the zone from the Host header (RFC 9110 section 7.2, RFC 6874
	// section 4), and a link-local address cannot be reached without its zone.
	if err == nil && addr.Is6() && addr.IsLinkLocalUnicast() {
		return newRequestError(linkLocalHost, addr)
	}
	return nil
}

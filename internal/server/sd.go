package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"portscan_exporter/internal/config"
)

// group is one entry of Prometheus's HTTP service discovery
// (https://prometheus.io/docs/prometheus/latest/http_sd/).
type group struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// discover answers /sd: every target with every module of its own, in the order
// of the configuration, with the labels that make a scrape of it. It is
// complete every time, targets whose authorization has ended included: a target
// that vanished would resolve its alerts.
func (s *Server) discover(w http.ResponseWriter, r *http.Request) {
	self, err := s.self(r)
	if err != nil {
		// Never an empty list: Prometheus would drop every target.
		text(w, http.StatusInternalServerError, err.Error()+"\n")
		return
	}
	cfg := s.options.Config.Get()
	groups := []group{}
	for _, t := range cfg.Targets() {
		for _, m := range t.Modules {
			groups = append(groups, s.group(cfg, self, t, m))
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(groups); err != nil {
		s.options.Logger.Debug("The discovery answer was not taken", "err", err)
	}
}

func (s *Server) group(cfg *config.Config, self *url.URL, t *config.Target, m *config.Module) group {
	labels := maps.Clone(cfg.ExternalLabels())
	if labels == nil {
		labels = make(map[string]string)
	}
	maps.Copy(labels, t.Labels)
	maps.Copy(labels, map[string]string{
		"__scheme__":       self.Scheme,
		"__metrics_path__": self.Path,
		"__param_target":   t.Name,
		"__param_module":   m.Name,
		"instance":         t.Name,
		"module":           m.Name,
	})
	if m.ScrapeInterval > 0 {
		// Both or neither, and the timeout within the interval: on any other
		// pair Prometheus drops the target without a word.
		timeout := min(wholeMilliseconds(m.Timeout+s.options.TimeoutOffset), m.ScrapeInterval)
		labels["__scrape_interval__"] = milliseconds(m.ScrapeInterval)
		labels["__scrape_timeout__"] = milliseconds(timeout)
	}
	return group{Targets: []string{self.Host}, Labels: labels}
}

// milliseconds writes a duration as Prometheus reads it: it takes no fractions.
func milliseconds(d time.Duration) string { return fmt.Sprintf("%dms", max(1, d.Milliseconds())) }

// wholeMilliseconds rounds up, so that an offset of half a millisecond leaves the
// scan all of its time.
func wholeMilliseconds(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}

// self returns the URL of /probe as Prometheus reaches it: below the external
// URL, or else where the request came in.
func (s *Server) self(r *http.Request) (*url.URL, error) {
	u := &url.URL{Scheme: "http", Path: s.prefix}
	if r.TLS != nil {
		u.Scheme = "https"
	}
	if e := s.options.ExternalURL; e != nil {
		u.Scheme, u.Host, u.Path = e.Scheme, e.Host, e.Path
	} else {
		host, err := askedHost(r.Host)
		if err != nil {
			return nil, fmt.Errorf("%w: set --web.external-url", err)
		}
		u.Host = host
	}
	if u.Port() == "" {
		port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + "/probe"
	return u, nil
}

// askedHost returns the host of a request, where Prometheus can scrape what it asks for.
func askedHost(host string) (string, error) {
	u, err := url.Parse("http://" + host)
	switch {
	case host == "" || err == nil && u.Hostname() == "":
		return "", errors.New("the request does not say which host it asked")
	case err != nil || u.Host != host:
		return "", errors.New("the host that the request asked can't be scraped")
	}
	// Clients leave the zone out of what they ask (RFC 9110 section 7.2, RFC 6874
	// section 4), and nobody is reached without it.
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && addr.Is6() && addr.IsLinkLocalUnicast() {
		return "", fmt.Errorf("%v is reached through one interface alone, and the request does not say which", addr)
	}
	return host, nil
}

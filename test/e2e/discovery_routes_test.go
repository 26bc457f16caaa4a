// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"crypto/tls"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// scrapeRoute is a way in which Prometheus reaches an exporter.
type scrapeRoute struct {
	job             string
	url             string        // prefix of the exporter's paths
	jobConfig       string        // more lines of the scrape job
	discoveryConfig string        // more lines of the service discovery
	probes          *atomic.Int64 // number of probes through the proxy, if there is one
}

// config returns a scrape job that sets nothing but the URL of the service discovery.
func (r scrapeRoute) config() string {
	return fmt.Sprintf("  - job_name: %s\n%s    http_sd_configs:\n      - url: %s/sd\n%s", r.job, r.jobConfig, r.url, r.discoveryConfig)
}

// withTLS adds a trusted certificate and optional credentials to the job.
func (r scrapeRoute) withTLS(certFile, user string) scrapeRoute {
	r.jobConfig = fmt.Sprintf("    tls_config: {ca_file: %s}\n%s", certFile, user)
	r.discoveryConfig = strings.ReplaceAll(r.jobConfig, "    ", "        ")
	return r
}

// startPrefixedExporter starts an exporter with a route prefix, which the flags must set.
func startPrefixedExporter(t *testing.T, prefix string, flags ...string) *exporter {
	t.Helper()
	e := startExporterUnready(t, targetsConfig("own"), flags...)
	e.url = "http://" + e.addr + prefix
	e.awaitReady(t)
	return e
}

// awaitListener waits until the exporter accepts connections.
func (e *exporter) awaitListener(t *testing.T) {
	t.Helper()
	eventually(t, 30*time.Second, "the exporter listens", func() error {
		e.checkRunning(t)
		conn, err := dial(e.addr)
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
}

// startProxiedExporter starts an exporter behind a reverse proxy, which forwards only paths below
// path and optionally strips that prefix.
func startProxiedExporter(t *testing.T, job, path string, strip bool, pair *tls.Certificate) scrapeRoute {
	t.Helper()
	backend, probes := freeAddress(t), new(atomic.Int64)
	proxy := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		rest, matched := strings.CutPrefix(r.In.URL.Path, path)
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", backend, backend
		switch {
		case !matched:
			r.Out.URL.Path = "/not/ours"
		case strip:
			r.Out.URL.Path = rest
		}
		if strings.HasSuffix(rest, "/probe") {
			probes.Add(1)
		}
	}})
	flags := []string{"--web.listen-address=" + backend}
	if pair == nil {
		proxy.Start()
	} else {
		proxy.TLS = &tls.Config{Certificates: []tls.Certificate{*pair}, MinVersion: tls.VersionTLS12}
		proxy.StartTLS()
	}
	t.Cleanup(proxy.Close)
	prefix := path
	if strip {
		prefix = ""
		flags = append(flags, "--web.route-prefix=/")
	}
	startPrefixedExporter(t, prefix, append(flags, "--web.external-url="+proxy.URL+path+"/")...)
	return scrapeRoute{job: job, url: proxy.URL + path, probes: probes}
}

// TestDiscoveryRoutes scrapes exporters that Prometheus reaches over different routes. The targets of
// each list must be reachable in the same way as the list.
func TestDiscoveryRoutes(t *testing.T) {
	t.Parallel()
	const name, password = "prom", "correct horse"
	certFile, keyFile, _ := writeServerCertificate(t)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}

	needIPv6(t)
	six := fmt.Sprintf("[::1]:%d", freePort(t))
	two := startExporter(t, targetsConfig("own"), "--web.listen-address="+six)
	below := startPrefixedExporter(t, "/ports", "--web.route-prefix=/ports/")
	secret := startExporterUnready(t, targetsConfig("own"), "--web.config.file="+writeWebConfig(t, certFile, keyFile, name, password))
	secret.awaitListener(t)
	user := fmt.Sprintf("    basic_auth: {username: %s, password: %s}\n", name, password)

	routes := []scrapeRoute{
		{job: "ipv4", url: two.url},
		{job: "ipv6", url: "http://" + six},
		{job: "prefix", url: below.url},
		scrapeRoute{job: "tls", url: "https://" + secret.addr}.withTLS(certFile, user),
		startProxiedExporter(t, "proxy", "/all/ports", false, nil),
		startProxiedExporter(t, "cutting", "/ports", true, nil),
		startProxiedExporter(t, "tls-proxy", "", false, &pair).withTLS(certFile, ""),
	}
	var config strings.Builder
	config.WriteString("global: {scrape_interval: 1s}\nscrape_configs:\n")
	for _, w := range routes {
		config.WriteString(w.config())
	}
	p := startPrometheus(t, config.String())
	urls := make(map[string]string)
	eventually(t, 40*time.Second, "all targets are up", func() error {
		active := p.listTargets(t)
		for _, target := range active {
			if target.Health != "up" {
				return fmt.Errorf("%s at %s is %s: %s", target.ScrapePool, target.ScrapeURL, target.Health, target.LastError)
			}
			urls[target.ScrapePool] = target.ScrapeURL
		}
		if len(active) != len(routes) {
			return fmt.Errorf("got %d targets, want %d", len(active), len(routes))
		}
		return nil
	})
	for _, w := range routes {
		if want := w.url + "/probe?module=few&target=own"; urls[w.job] != want {
			t.Errorf("%s: scrape URL = %s, want %s", w.job, urls[w.job], want)
		}
		if w.probes != nil && w.probes.Load() == 0 {
			t.Errorf("%s: got no probe through the proxy", w.job)
		}
		p.wantValue(t, fmt.Sprintf(`probe_success{job=%q}`, w.job), 1)
	}
}

package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// way is one by which Prometheus comes to an exporter.
type way struct {
	job   string
	url   string        // below which the exporter's paths are
	more  string        // of the scrape job
	sdTLS string        // of the list
	asked *atomic.Int64 // probes that came this way, where somebody counts
}

// config is a scrape job with nothing in it that says where the targets are.
func (w way) config() string {
	return fmt.Sprintf("  - job_name: %s\n%s    http_sd_configs:\n      - url: %s/sd\n%s", w.job, w.more, w.url, w.sdTLS)
}

// trusts makes the job trust a certificate, and name a user where there is one.
func (w way) trusts(certFile, user string) way {
	w.more = fmt.Sprintf("    tls_config: {ca_file: %s}\n%s", certFile, user)
	w.sdTLS = strings.ReplaceAll(w.more, "    ", "        ")
	return w
}

// needAddress skips the test where nobody can listen there.
func needAddress(t *testing.T, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		skip(t, err.Error())
	}
	_ = l.Close()
}

// serveBelow serves with a route prefix, which one of the flags sets.
func serveBelow(t *testing.T, prefix string, flags ...string) *exporter {
	t.Helper()
	e := serveUnasked(t, targetsConfig("own"), flags...)
	e.url = "http://" + e.addr + prefix
	eventually(t, 30*time.Second, "the exporter is ready", func() error {
		e.alive(t)
		return wantStatus(e.url+"/-/ready", http.StatusOK)
	})
	return e
}

// awaitListener waits until the exporter takes connections, whatever it may ask of
// who comes.
func (e *exporter) awaitListener(t *testing.T) {
	t.Helper()
	eventually(t, 30*time.Second, "it listens", func() error {
		e.alive(t)
		conn, err := dial(e.addr)
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
}

// proxied starts an exporter behind a proxy, which lets on only what is below its
// path, and takes that away if it cuts.
func proxied(t *testing.T, job, path string, cuts bool, pair *tls.Certificate) way {
	t.Helper()
	backend, asked := fmt.Sprintf("127.0.0.1:%d", freePort(t)), new(atomic.Int64)
	proxy := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		rest, ours := strings.CutPrefix(r.In.URL.Path, path)
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", backend, backend
		switch {
		case !ours:
			r.Out.URL.Path = "/not/ours"
		case cuts:
			r.Out.URL.Path = rest
		}
		if strings.HasSuffix(rest, "/probe") {
			asked.Add(1)
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
	if cuts {
		prefix = ""
		flags = append(flags, "--web.route-prefix=/")
	}
	serveBelow(t, prefix, append(flags, "--web.external-url="+proxy.URL+path+"/")...)
	return way{job: job, url: proxy.URL + path, asked: asked}
}

// TestDiscoveryByEveryWay has one Prometheus and exporters that it reaches by all
// kinds of ways: each list leads back by the way that it came.
func TestDiscoveryByEveryWay(t *testing.T) {
	t.Parallel()
	const name, password = "prom", "correct horse"
	certFile, keyFile, _ := certificate(t)
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}

	six := fmt.Sprintf("[::1]:%d", freePort(t))
	needAddress(t, six)
	two := serve(t, targetsConfig("own"), "--web.listen-address="+six)
	below := serveBelow(t, "/ports", "--web.route-prefix=/ports/")
	web := write(t, "web.yml", fmt.Sprintf("tls_server_config: {cert_file: %s, key_file: %s}\nbasic_auth_users: {%s: %s}\n", certFile, keyFile, name, hash))
	secret := serveUnasked(t, targetsConfig("own"), "--web.config.file="+web)
	secret.awaitListener(t)
	user := fmt.Sprintf("    basic_auth: {username: %s, password: %s}\n", name, password)

	ways := []way{
		{job: "ipv4", url: two.url},
		{job: "ipv6", url: "http://" + six},
		{job: "prefix", url: below.url},
		way{job: "tls", url: "https://" + secret.addr}.trusts(certFile, user),
		proxied(t, "proxy", "/all/ports", false, nil),
		proxied(t, "cutting", "/ports", true, nil),
		proxied(t, "tls-proxy", "", false, &pair).trusts(certFile, ""),
	}
	var config strings.Builder
	config.WriteString("global: {scrape_interval: 1s}\nscrape_configs:\n")
	for _, w := range ways {
		config.WriteString(w.config())
	}
	p := prometheus(t, config.String())
	eventually(t, 40*time.Second, "every exporter's target is up", func() error {
		active, dropped := p.discovered(t)
		if len(active) != len(ways) || dropped != 0 {
			return fmt.Errorf("%d targets, %d dropped, want %d", len(active), dropped, len(ways))
		}
		for _, target := range active {
			if target.Health != "up" {
				return fmt.Errorf("%s at %s is %s: %s", target.ScrapePool, target.ScrapeURL, target.Health, target.LastError)
			}
		}
		return nil
	})
	active, _ := p.discovered(t)
	urls := make(map[string]string)
	for _, target := range active {
		urls[target.ScrapePool] = target.ScrapeURL
	}
	for _, w := range ways {
		if want := w.url + "/probe?module=few&target=own"; urls[w.job] != want {
			t.Errorf("%s is scraped at %s, want %s", w.job, urls[w.job], want)
		}
		if w.asked != nil && w.asked.Load() == 0 {
			t.Errorf("%s: no probe came through the proxy", w.job)
		}
		p.want(t, fmt.Sprintf(`probe_success{job=%q}`, w.job), 1)
	}
}

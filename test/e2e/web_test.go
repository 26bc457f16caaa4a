package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// page is an answer with its headers.
type page struct {
	response
	header http.Header
}

func fetchPage(t *testing.T, method, url string) page {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	stay := *client
	stay.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := stay.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return page{response{resp.StatusCode, string(body)}, resp.Header}
}

// TestPprofFlag is there where it was asked for.
func TestPprofFlag(t *testing.T) {
	t.Parallel()
	paths := []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline", "/debug/pprof/symbol", "/debug/pprof/profile?seconds=1"}
	without, with := startExporter(t, targetsConfig("own")), startExporter(t, targetsConfig("own"), "--web.enable-pprof")
	for _, path := range paths {
		if err := checkStatus(without.url+path, http.StatusNotFound); err != nil {
			t.Error(err)
		}
		if err := checkStatus(with.url+path, http.StatusOK); err != nil {
			t.Error(err)
		}
		checkSecurityHeaders(t, with, "GET", path, fetchPage(t, "GET", with.url+path))
	}
}

// checkSecurityHeaders fails the test unless the headers keep a browser from running what is in an
// answer, from guessing that it is something else, and from showing it in a frame.
func checkSecurityHeaders(t *testing.T, e *exporter, method, path string, p page) {
	t.Helper()
	what := fmt.Sprintf("%s %s (%d)", method, strings.TrimPrefix(path, e.url), p.status)
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"} {
		if got := p.header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %s is %q, want %q", what, name, got, want)
		}
	}
	policy := make(map[string]string)
	for directive := range strings.SplitSeq(p.header.Get("Content-Security-Policy"), ";") {
		name, sources, _ := strings.Cut(strings.TrimSpace(directive), " ")
		policy[name] = sources
	}
	if policy["default-src"] != "'none'" || policy["frame-ancestors"] != "'none'" || policy["base-uri"] != "'none'" {
		t.Errorf("%s: the policy is %q", what, policy)
	}
	for name, sources := range policy {
		script := strings.HasPrefix(name, "script-src") && (sources != "'self'" || !strings.HasPrefix(p.header.Get("Content-Type"), "text/html"))
		if script || strings.Contains(sources, "unsafe") || strings.Contains(sources, "*") {
			t.Errorf("%s: the policy allows %s %s", what, name, sources)
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	e := startExporter(t, twoModulesConfig)
	e.probe(t, "target=own")
	for _, r := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/", 200},
		{"HEAD", "/", 200},
		{"GET", "/target/own", 200},
		{"GET", "/style.css", 200},
		{"GET", "/script.js", 200},
		{"GET", "/icon.svg", 200},
		{"GET", "/config", 200},
		{"GET", "/sd", 200},
		{"GET", "/metrics", 200},
		{"GET", "/logs?id=1", 200},
		{"GET", "/probe?target=own", 200},
		{"GET", "/probe?target=own&debug=true", 200},
		{"GET", "/-/healthy", 200},
		{"GET", "/-/ready", 200},
		{"POST", "/-/reload", 200},
		{"GET", "/probe", 400},
		{"GET", "/logs?id=x", 400},
		{"GET", "/../etc/passwd", 400},
		{"GET", "/probe?target=nobody", 403},
		{"GET", "/nowhere", 404},
		{"GET", "/target/nobody", 404},
		{"GET", "/debug/pprof/", 404},
		{"GET", "/logs?id=99999", 404},
		{"GET", "/-/reload", 405},
		{"DELETE", "/", 405},
	} {
		p := fetchPage(t, r.method, e.url+r.path)
		if p.status != r.status {
			t.Errorf("%s %s: status %d, want %d", r.method, r.path, p.status, r.status)
		}
		checkSecurityHeaders(t, e, r.method, r.path, p)
	}
	replaceFile(t, e.config, badConfig("own"))
	if p := fetchPage(t, "POST", e.url+"/-/reload"); p.status != 500 {
		t.Errorf("/-/reload of a bad file: status %d", p.status)
	} else {
		checkSecurityHeaders(t, e, "POST", "/-/reload", p)
	}

	below := startExporterUnready(t, targetsConfig("own"), "--web.route-prefix=/ports")
	below.url = "http://" + below.addr
	eventually(t, 30*time.Second, "it is ready", func() error {
		below.checkRunning(t)
		return checkStatus(below.url+"/ports/-/ready", http.StatusOK)
	})
	for path, status := range map[string]int{"/ports/": 200, "/": 302, "/nowhere": 404} { // a page, who is sent there, and who is not
		p := fetchPage(t, "GET", below.url+path)
		if p.status != status {
			t.Errorf("below a prefix, GET %s: status %d, want %d", path, p.status, status)
		}
		checkSecurityHeaders(t, below, "GET", path, p)
	}
}

// markup is what must reach nobody's browser as it is.
const markup = `<script>alert(1)</script>"'&`

// markupConfig has it wherever a text may be anything.
func markupConfig(host string) string {
	quoted := "'" + strings.ReplaceAll(markup, "'", "''") + "'"
	return strings.NewReplacer("EVIL", quoted, "HOST", host).Replace(`modules:
  few: {ports: "1-10"}
targets:
  - name: own
    hosts: [HOST]
    modules: [few]
    authorization: {owner: EVIL, reference: EVIL}
    labels: {env: EVIL}
external_labels: {vantage: EVIL}
`)
}

// TestMarkupEscaped has markup in the configuration and in requests.
func TestMarkupEscaped(t *testing.T) {
	t.Parallel()
	e := startExporter(t, markupConfig("127.0.0.77"))
	url := func(path string) string {
		return e.url + strings.NewReplacer("EVIL", "%3Cscript%3Ealert(1)%3C/script%3E%22'%26").Replace(path)
	}
	index, target := "", ""
	for _, path := range []string{
		"/probe?target=own", "/probe?target=own&debug=true", "/", "/target/own", "/config", "/sd", "/logs?id=1", "/metrics",
		"/probe?target=EVIL", "/probe?target=own&module=EVIL", "/probe?target=own&debug=EVIL", "/probe?EVIL=1", "/logs?id=EVIL", "/EVIL", "/?EVIL", "/target/EVIL", "/target/own?module=EVIL", "/target/own?address=EVIL",
	} {
		p := fetchPage(t, "GET", url(path))
		checkMarkupInert(t, path, p)
		checkSecurityHeaders(t, e, "GET", path, p)
		switch path {
		case "/":
			index = p.body
		case "/target/own":
			target = p.body
		}
	}
	const escaped = "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;"
	if n := strings.Count(index, escaped); n < 2 {
		t.Errorf("the status page has it %d times escaped, want the owner and the reference:\n%s", n, index)
	}
	if n := strings.Count(target, escaped); n != 3 {
		t.Errorf("the target's page has it %d times escaped, want the owner, the reference and the label:\n%s", n, target)
	}
	checkLabelsVerbatim(t, e)

	// It is no name of a host: that is said, and the configuration is not taken.
	replaceFile(t, e.config, markupConfig(`"<script>alert(1)</script>"`))
	p := fetchPage(t, "POST", e.url+"/-/reload")
	if p.status != http.StatusInternalServerError || !strings.Contains(p.body, "<script>") {
		t.Errorf("/-/reload says %d, %s", p.status, p.body)
	}
	checkMarkupInert(t, "/-/reload", p)
}

// ownScript is the one that pages have.
const ownScript = `<script src="/script.js" defer></script>`

// checkMarkupInert fails the test if a browser would take what is in the answer for markup.
func checkMarkupInert(t *testing.T, path string, p page) {
	t.Helper()
	kind, _, err := mime.ParseMediaType(p.header.Get("Content-Type"))
	switch {
	case err != nil:
		t.Errorf("%s: Content-Type %q", path, p.header.Get("Content-Type"))
	case kind == "text/html":
		if strings.Count(p.body, "<script") != strings.Count(p.body, ownScript) || strings.Contains(p.body, `"'&`) {
			t.Errorf("%s: markup is in the page:\n%s", path, p.body)
		}
	case kind != "text/plain" && kind != "application/json":
		t.Errorf("%s is %s, which a browser may run", path, kind)
	}
	if p.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s: a browser may guess what it is", path)
	}
	if path == "/" && kind != "text/html" {
		t.Errorf("the status page is %s", kind)
	}
}

// checkLabelsVerbatim looks whether Prometheus gets the text as it was written.
func checkLabelsVerbatim(t *testing.T, e *exporter) {
	t.Helper()
	inMetrics := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(markup)
	e.probe(t, "target=own").wantValue(t, fmt.Sprintf(`portscan_target_info{owner="%[1]s",reference="%[1]s",target="own"}`, inMetrics), 1)
	var groups []struct{ Labels map[string]string }
	getJSON(t, e.url+"/sd", &groups)
	if len(groups) != 1 || groups[0].Labels["env"] != markup || groups[0].Labels["vantage"] != markup {
		t.Errorf("/sd has %v", groups)
	}
}

// TestUnprivileged runs as a user without any privilege.
func TestUnprivileged(t *testing.T) {
	t.Parallel()
	s := newTestPorts(t)
	listenLocal(t, s.listening)
	listenLocal(t, s.unexpected)
	e := &exporter{addr: fmt.Sprintf("127.0.0.1:%d", freePort(t)), config: writeReadable(t, s.config())}
	e.process = startCommand(t, unprivilegedCommand(t, nil, "--config.file="+e.config, "--web.listen-address="+e.addr))
	e.awaitReady(t)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", e.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"Uid:\t65534\t65534\t65534\t65534\n", "CapEff:\t0000000000000000\n", "CapPrm:\t0000000000000000\n"} {
		if !strings.Contains(string(status), line) {
			t.Errorf("it has more than it should: no %q in\n%s", line, status)
		}
	}
	m := e.probe(t, "target=own")
	m.wantValue(t, "probe_success", 1)
	m.wantValue(t, portOpenSample("127.0.0.1", s.listening, "open"), 1)
	m.wantValue(t, portOpenSample("127.0.0.1", s.down, "open"), 0)
	m.wantValue(t, portOpenSample("127.0.0.1", s.unexpected, "closed"), 1)
	m.wantValue(t, `portscan_ports{ip="127.0.0.1",protocol="tcp",state="closed"}`, 3)
	postReload(t, e, http.StatusOK)
	if own := e.scrapeMetrics(t); own["process_open_fds"] < 1 || own["portscan_exporter_attempts_in_flight_limit"] < 50 {
		t.Errorf("what it may take is not known: %v", own["portscan_exporter_attempts_in_flight_limit"])
	}
	getBody(t, e.url+"/")
}

// clientFlood is what keeps connections of an exporter busy.
type clientFlood struct {
	addr    string
	clients sync.WaitGroup

	slowOpened, slowClosed, hugeRefused atomic.Int64 // slow connections; those that the server cut off; huge headers that it refused
}

const slowPause = 500 * time.Millisecond // between a slow client's bytes

// runSlowClient sends a request a byte at a time until ctx ends, and begins anew when it is
// cut off.
func (s *clientFlood) runSlowClient(ctx context.Context) {
	for ctx.Err() == nil {
		conn, err := dial(s.addr)
		if err == nil {
			s.slowOpened.Add(1)
			s.sendSlowly(ctx, conn)
			_ = conn.Close()
		}
		pause(ctx, slowPause) // no hurry, and no endless loop where dialling fails at once
	}
}

func (s *clientFlood) sendSlowly(ctx context.Context, conn net.Conn) {
	const request = "GET /probe?target=own HTTP/1.1\r\nHost: exporter\r\nX-Slow: "
	for i := 0; ctx.Err() == nil; i++ {
		next := "z"
		if i < len(request) {
			next = request[i : i+1]
		}
		if _, err := io.WriteString(conn, next); err != nil {
			s.slowClosed.Add(1)
			return
		}
		pause(ctx, slowPause)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// runHugeClient sends one request with a header of 1 MB after the other.
func (s *clientFlood) runHugeClient(ctx context.Context) {
	request := rawRequest("GET", "/probe?target=own", "X-Big: "+strings.Repeat("b", 1<<20)+"\r\n")
	for ctx.Err() == nil {
		if conn, err := dial(s.addr); err == nil {
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			go func() { _, _ = io.WriteString(conn, request) }()
			if a, err := readResponse(conn); err == nil && a.status == tooLarge {
				s.hugeRefused.Add(1)
			}
			_ = conn.Close()
		}
		pause(ctx, slowPause)
	}
}

// startClients has so many slow clients, and some with huge headers, until ctx ends.
func (s *clientFlood) startClients(ctx context.Context, slow, huge int) {
	for range slow {
		s.clients.Go(func() { s.runSlowClient(ctx) })
	}
	for range huge {
		s.clients.Go(func() { s.runHugeClient(ctx) })
	}
}

// openIdleConnections opens so many connections that have asked once and keep still from then on.
func openIdleConnections(t *testing.T, addr string, n int) []net.Conn {
	t.Helper()
	const atOnce = 50
	conns, errs := make([]net.Conn, n), make([]error, n)
	t.Cleanup(func() {
		for _, conn := range conns {
			if conn != nil {
				_ = conn.Close()
			}
		}
	})
	var all sync.WaitGroup
	for w := range atOnce {
		all.Go(func() {
			for i := w; i < n; i += atOnce {
				conns[i], errs[i] = openIdleConnection(addr, i)
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("not all of %d connections could be had: %.2000v", n, err)
	}
	return conns
}

// openIdleConnection takes its source port from one of several addresses: one has not enough.
func openIdleConnection(addr string, i int) (net.Conn, error) {
	const addresses = 10
	from := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 2, byte(1+i%addresses))}}
	conn, err := from.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return conn, err
	}
	a, err := tryRequestOn(conn, "/-/healthy")
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("/-/healthy: %d", a.status)
	}
	return conn, err
}

// needDescriptors skips the test unless this process and the exporter may each have
// so many. Go has raised the soft limit to the hard one by itself.
func needDescriptors(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < n {
		skip(t, fmt.Sprintf("%d descriptors are not enough for this test, which takes %d: raise the hard limit (ulimit -Hn)", limit.Cur, n))
	}
}

// TestSlowAndIdleClients has slow clients, huge headers and a great many idle connections, and
// asks for probes beside them.
func TestSlowAndIdleClients(t *testing.T) {
	t.Parallel()
	const idle, slow, huge, length = 10_000, 500, 4, 10 * time.Second
	needDescriptors(t, idle+slow+3000)
	e := startPlainExporter(t, targetsConfig("own")) // the race detector takes 100 KiB for each connection
	before := e.scrapeMetrics(t)
	began := time.Now()
	conns := openIdleConnections(t, e.addr, idle)
	t.Logf("%d connections took %v", idle, time.Since(began).Round(time.Millisecond))

	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	s := &clientFlood{addr: e.addr}
	s.startClients(ctx, slow, huge)
	probes, longest := 0, time.Duration(0)
	var most metrics
	for ctx.Err() == nil {
		sent := time.Now()
		e.probe(t, "target=own", timeoutHeader, "10").wantValue(t, "probe_success", 1)
		probes, longest = probes+1, max(longest, time.Since(sent))
		if probes%10 == 0 {
			most = e.scrapeMetrics(t)
		}
		pause(ctx, 50*time.Millisecond)
	}
	cancel()
	s.clients.Wait()
	t.Logf("%d probes, the longest took %v; %d slow connections, %d of them cut off; %d huge headers refused; at the most: %s (before: %s)",
		probes, longest.Round(time.Millisecond), s.slowOpened.Load(), s.slowClosed.Load(), s.hugeRefused.Load(), most.resourceUsage(), before.resourceUsage())
	if longest > 2*time.Second {
		t.Errorf("a probe took %v", longest)
	}
	if most["process_open_fds"] < idle+slow/2 || s.slowOpened.Load() < slow || s.slowClosed.Load() < slow || s.hugeRefused.Load() < huge {
		t.Errorf("the exporter had %v descriptors at the most: the test does not test", most["process_open_fds"])
	}
	for i := 0; i < idle; i += 100 {
		if a := requestOn(t, conns[i], "/-/healthy"); a.status != http.StatusOK {
			t.Fatalf("/-/healthy over an idle connection: %d", a.status)
		}
	}
}

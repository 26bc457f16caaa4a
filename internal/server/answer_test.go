// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/proto"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

const cachedConfig = `
modules:
  kept: {ports: "1-100", timeout: 30m, max_age: 1h, max_ports: 50, report: all}
targets:
  - name: net
    hosts: [192.0.2.0/29]
    modules: [kept]
    authorization: {owner: "net team", reference: CHG-1, expires: 2099-01-01}
    expect: {tcp: {open: "22"}}
`

// Accept headers of Prometheus 2.42 and 3.x, and others.
const (
	accept242      = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
	accept3        = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
	accept3Proto   = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=allow-utf-8;q=0.7," + accept3
	acceptTextOnly = "text/plain"
)

// fetched is an answer of a real server.
type fetched struct {
	header   http.Header
	raw      []byte // the body as sent
	families map[string]*dto.MetricFamily
}

// fetch requests a path with headers, and parses the metrics in the answer.
func fetch(t *testing.T, base, path, accept, encoding string) fetched {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	r.Header.Set("Accept-Encoding", encoding)
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	f := fetched{header: response.Header}
	if f.raw, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: got status %d, want 200: %s", path, response.StatusCode, f.raw)
	}
	body := f.raw
	if response.Header.Get("Content-Encoding") == "gzip" {
		body = gunzip(t, body)
	}
	f.families = parseMetrics(t, body, expfmt.ResponseFormat(response.Header))
	return f
}

// gunzip decompresses a body, which must be one gzip stream.
func gunzip(t *testing.T, body []byte) []byte {
	t.Helper()
	in := bytes.NewReader(body)
	z, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	z.Multistream(false)
	text, err := io.ReadAll(z)
	if err != nil || in.Len() > 0 {
		t.Fatalf("reading gzip stream: %v, %d bytes left, want none", err, in.Len())
	}
	return text
}

// parseMetrics parses metrics, of which each family must be there once.
func parseMetrics(t *testing.T, body []byte, format expfmt.Format) map[string]*dto.MetricFamily {
	t.Helper()
	families := make(map[string]*dto.MetricFamily)
	decoder := expfmt.NewDecoder(bytes.NewReader(body), format)
	for {
		f := new(dto.MetricFamily)
		err := decoder.Decode(f)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("parsing metrics as %s: %v", format, err)
		}
		families[f.GetName()] = f
		if n := bytes.Count(body, []byte("# TYPE "+f.GetName()+" ")); n != 1 && format.FormatType() == expfmt.TypeTextPlain {
			t.Errorf("family %s: got %d times, want once", f.GetName(), n)
		}
	}
	return families
}

// changingMetrics are those that differ between answers with the same results.
func changingMetrics() []string {
	return []string{"probe_success", "probe_duration_seconds", "portscan_scan_progress_ratio"}
}

// wantSameContent compares answers without the metrics that change.
func wantSameContent(t *testing.T, what string, want, got fetched) {
	t.Helper()
	for _, f := range []fetched{want, got} {
		for _, name := range changingMetrics() {
			if f.families[name] == nil {
				t.Errorf("%s: family %s is missing", what, name)
			}
			delete(f.families, name)
		}
	}
	if diff := cmp.Diff(want.families, got.families, cmp.Comparer(proto.Equal)); diff != "" || len(got.families) < 10 {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestCachedAnswerFormats requests the first answer and further ones in all formats. The
// headers must be those of /metrics, which promhttp sets.
func TestCachedAnswerFormats(t *testing.T) {
	t.Parallel()
	s := newScenario(t, cachedConfig, nil, nil)
	s.setState(scan.Open, "192.0.2.1:22", "192.0.2.2:80")
	ts := httptest.NewServer(s.Server)
	t.Cleanup(ts.Close)
	const path = "/probe?target=net"
	first := fetch(t, ts.URL, path, accept242, "")
	for _, accept := range []string{"", "*/*", accept242, accept3, accept3Proto, acceptTextOnly} {
		for _, encoding := range []string{"", "gzip", "gzip, deflate, br", "gzip;q=0", "identity"} {
			for range 2 {
				reference := fetch(t, ts.URL, "/metrics", accept, encoding)
				got := fetch(t, ts.URL, path, accept, encoding)
				for _, name := range []string{"Content-Type", "Content-Encoding", "Vary"} {
					if diff := cmp.Diff(reference.header.Values(name), got.header.Values(name)); diff != "" {
						t.Errorf("Accept %q, Accept-Encoding %q: %s (-/metrics +/probe):\n%s", accept, encoding, name, diff)
					}
				}
				again := fetched{families: maps.Clone(first.families)}
				wantSameContent(t, "Accept "+accept+", Accept-Encoding "+encoding, again, got)
			}
		}
	}
	if s.CachedAnswerBytes() == 0 {
		t.Error("CachedAnswerBytes() = 0, want the size of an answer")
	}
}

// TestCachedAnswerChanges changes the settings and the results of a cached answer.
func TestCachedAnswerChanges(t *testing.T) {
	t.Parallel()
	s := newScenario(t, cachedConfig, nil, nil)
	s.setState(scan.Open, "192.0.2.1:22")
	probe := func() string { return s.get(t, "/probe?target=net").Body.String() }
	before := probe()
	wantTexts(t, "first answer", before, `owner="net team"`, `portscan_ports{ip="192.0.2.1",protocol="tcp",state="open"} 1`)
	for _, change := range []struct{ from, to, want string }{
		{`owner: "net team"`, `owner: "web team"`, `portscan_target_info{owner="web team",reference="CHG-1",target="net"} 1`},
		{"reference: CHG-1", "reference: CHG-2", `portscan_target_info{owner="web team",reference="CHG-2",target="net"} 1`},
		{"2099-01-01", "2098-01-01", "portscan_authorization_expiry_timestamp_seconds 4.0"},
		{"max_ports: 50, report: all", "max_ports: 2", `portscan_ports_omitted{ip="192.0.2.6",protocol="tcp"} 1`},
		{"timeout: 30m", "timeout: 31m", "portscan_scan_timeout_seconds 1860"},
	} {
		probe()
		s.text = strings.ReplaceAll(s.text, change.from, change.to)
		writeFile(t, s.file, s.text)
		if err := s.reloader.Reload(); err != nil {
			t.Fatal(err)
		}
		wantTexts(t, "answer after "+change.to, probe(), change.want)
	}
}

// TestCachedAnswerNewResult scans an address of a target with a cached answer.
func TestCachedAnswerNewResult(t *testing.T) {
	t.Parallel()
	s := newScenario(t, strings.ReplaceAll(cachedConfig, "max_age: 1h", "max_age: 1ms"), nil, nil)
	const open = `portscan_ports{ip="192.0.2.1",protocol="tcp",state="open"} `
	for _, want := range []struct {
		state scan.State
		line  string
	}{{scan.Closed, open + "0"}, {scan.Open, open + "1"}, {scan.Closed, open + "0"}} {
		s.setState(want.state, "192.0.2.1:22")
		time.Sleep(5 * time.Millisecond) // the result becomes older than max_age
		wantTexts(t, "answer", s.get(t, "/probe?target=net").Body.String(), want.line)
	}
}

// TestAddressAnswerNotCached probes one address, for which the store has no lasting view.
func TestAddressAnswerNotCached(t *testing.T) {
	t.Parallel()
	s := newScenario(t, cachedConfig, nil, nil)
	for range 2 {
		wantTexts(t, "answer", s.get(t, "/probe?target=192.0.2.1").Body.String(), "probe_success 1", "portscan_addresses 1")
	}
	if got := s.CachedAnswerBytes(); got != 0 {
		t.Errorf("CachedAnswerBytes() = %d, want 0", got)
	}
}

// TestProbeEncodersBusy probes while all slots for answers are in use.
func TestProbeEncodersBusy(t *testing.T) {
	t.Parallel()
	s := newScenario(t, cachedConfig, nil, nil)
	release, err := s.HoldEncoders(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := s.get(t, "/probe?target=net", "X-Prometheus-Scrape-Timeout-Seconds", "0.2")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "answer limit reached") {
		t.Errorf("GET /probe without a free slot: got %d, %v, %q, want 503 with Retry-After", w.Code, w.Header(), w.Body)
	}
	if got := w.Header().Get("Content-Encoding"); got != "" {
		t.Errorf("got Content-Encoding %s, want none", got)
	}
	wantTexts(t, "/metrics", s.get(t, "/metrics").Body.String(), `portscan_exporter_probes_refused_total{reason="limit"} 1`)
	release()
	if w := s.get(t, "/probe?target=net"); w.Code != http.StatusOK {
		t.Errorf("GET /probe with free slots: got status %d, want 200", w.Code)
	}
}

// stuckClient is a client that does not read its answer until it is released.
type stuckClient struct {
	*httptest.ResponseRecorder

	writing chan struct{} // a value for the first write
	free    chan struct{}
}

func (c *stuckClient) Write(p []byte) (int, error) {
	select {
	case c.writing <- struct{}{}:
	default:
	}
	<-c.free
	return c.ResponseRecorder.Write(p)
}

// TestStuckClientsHoldNoEncoder has more clients that do not read than slots.
func TestStuckClientsHoldNoEncoder(t *testing.T) {
	t.Parallel()
	s := newScenario(t, cachedConfig, nil, nil)
	free, done := make(chan struct{}), make(chan *stuckClient)
	const clients = 32
	for range clients {
		c := &stuckClient{httptest.NewRecorder(), make(chan struct{}, 1), free}
		go func() {
			r := httptest.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, "/probe?target=net", nil)
			r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", "1")
			s.ServeHTTP(c, r)
			done <- c
		}()
		<-c.writing
	}
	if w := s.get(t, "/probe?target=net"); w.Code != http.StatusOK {
		t.Errorf("GET /probe beside stuck clients: got status %d, want 200", w.Code)
	}
	close(free)
	for range clients {
		if c := <-done; c.Code != http.StatusOK || !strings.Contains(c.Body.String(), "probe_success 1") {
			t.Errorf("stuck client: got %d, want 200 and the metrics", c.Code)
		}
	}
}

// TestCachedAnswerLint checks a cached answer with promtool.
func TestCachedAnswerLint(t *testing.T) {
	t.Parallel()
	testnet.NeedProgram(t, "promtool")
	s := newScenario(t, cachedConfig, nil, nil)
	for range 2 {
		cmd := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
		cmd.Stdin = s.get(t, "/probe?target=net").Body
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("promtool check metrics: %v\n%s", err, out)
		}
	}
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// client opens a connection for each request, so that idle connections do not affect measurements.
var client = &http.Client{
	Transport: &http.Transport{DisableKeepAlives: true},
	Timeout:   30 * time.Second,
}

// response is an HTTP response with its complete body.
type response struct {
	status int
	header http.Header
	body   string
}

// request sends a request with headers, given as alternating names and values.
func request(method, url string, headers ...string) (response, error) {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return response{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return send(client, req)
}

func send(c *http.Client, req *http.Request) (response, error) {
	resp, err := c.Do(req)
	if err != nil {
		return response{}, err
	}
	return readBody(resp)
}

func readBody(resp *http.Response) (response, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return response{resp.StatusCode, resp.Header, string(body)}, err
}

// getBody returns the body of a response, which must have status 200.
func getBody(t *testing.T, url string, headers ...string) string {
	t.Helper()
	a, err := request("GET", url, headers...)
	if err != nil {
		t.Fatal(err)
	}
	if a.status != http.StatusOK {
		t.Fatalf("GET %s = %d, want 200: %s", url, a.status, a.body)
	}
	return a.body
}

func checkStatus(url string, want int) error {
	a, err := request("GET", url)
	if err == nil && a.status != want {
		err = fmt.Errorf("GET %s = %d, want %d: %s", url, a.status, want, a.body)
	}
	return err
}

// wantStatus fails the test unless a GET request has this status.
func wantStatus(t *testing.T, url string, want int) {
	t.Helper()
	if err := checkStatus(url, want); err != nil {
		t.Error(err)
	}
}

func getJSON(t *testing.T, url string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(getBody(t, url)), into); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
}

// metrics are the samples of an exposition. Keys are written name{label="value",...}, with the
// labels sorted by name.
type metrics map[string]float64

// parseMetrics parses the text format.
func parseMetrics(t *testing.T, exposition string) metrics {
	t.Helper()
	m, err := readMetrics(exposition)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var errInvalidSample = errors.New("invalid sample")

// readMetrics is [parseMetrics] for goroutines, which cannot end a test.
func readMetrics(exposition string) (metrics, error) {
	m := make(metrics)
	for line := range strings.Lines(exposition) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if at < 0 || err != nil {
			return nil, fmt.Errorf("%w: %q", errInvalidSample, line)
		}
		m[line[:at]] = v
	}
	return m, nil
}

// probe returns the metrics of a probe, which must have status 200.
func (e *exporter) probe(t *testing.T, query string, headers ...string) metrics {
	t.Helper()
	return parseMetrics(t, getBody(t, e.url+"/probe?"+query, headers...))
}

func (e *exporter) scrapeMetrics(t *testing.T) metrics {
	t.Helper()
	return parseMetrics(t, getBody(t, e.url+"/metrics"))
}

// wantValue fails the test unless the series has this value.
func (m metrics) wantValue(t *testing.T, series string, want float64) {
	t.Helper()
	if got, ok := m[series]; !ok || got != want {
		t.Errorf("%s = %v (present: %v), want %v", series, got, ok, want)
	}
}

// sumByPrefix returns the sum of all series with the prefix.
func (m metrics) sumByPrefix(prefix string) (total float64) {
	for series, v := range m {
		if strings.HasPrefix(series, prefix) {
			total += v
		}
	}
	return total
}

// countByPrefix returns the number of series with the prefix.
func (m metrics) countByPrefix(prefix string) (n int) {
	for series := range m {
		if strings.HasPrefix(series, prefix) {
			n++
		}
	}
	return n
}

// connect opens a connection that is closed when the test ends.
func connect(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// requestRaw sends bytes unchanged and reads one response. The server may respond and close the
// connection before it has received all of them.
func requestRaw(t *testing.T, addr, request string) response {
	t.Helper()
	conn := connect(t, addr)
	go func() { _, _ = io.WriteString(conn, request) }()
	a, err := readResponse(conn)
	if err != nil {
		t.Fatalf("%.80q: %v", request, err)
	}
	return a
}

// readResponse reads one response from a connection.
func readResponse(conn net.Conn) (response, error) {
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return response{}, err
	}
	return readBody(resp)
}

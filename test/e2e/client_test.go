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

// client is how the tests ask. It keeps no connection, so that none of its own
// stands in the way of what a test measures.
var client = &http.Client{
	Transport: &http.Transport{DisableKeepAlives: true},
	Timeout:   30 * time.Second,
}

// response is what came back.
type response struct {
	status int
	header http.Header
	body   string
}

// request sends a request; headers are name and value by turns.
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

// getBody fetches what must be a 200.
func getBody(t *testing.T, url string, headers ...string) string {
	t.Helper()
	a, err := request("GET", url, headers...)
	if err != nil {
		t.Fatal(err)
	}
	if a.status != http.StatusOK {
		t.Fatalf("%s: %d: %s", url, a.status, a.body)
	}
	return a.body
}

func checkStatus(url string, want int) error {
	a, err := request("GET", url)
	if err == nil && a.status != want {
		err = fmt.Errorf("%s: status %d, want %d: %s", url, a.status, want, a.body)
	}
	return err
}

func getJSON(t *testing.T, url string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(getBody(t, url)), into); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
}

// metrics are the samples of an exposition, by name{label="value",...} as it is
// written there, labels in order of their names.
type metrics map[string]float64

// parseMetrics reads an exposition in the text format.
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

// probe scans and returns the metrics of the answer, which must be a 200.
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
		t.Errorf("%s is %v (there: %v), want %v", series, got, ok, want)
	}
}

// sumByPrefix adds up all series that begin so.
func (m metrics) sumByPrefix(prefix string) (total float64) {
	for series, v := range m {
		if strings.HasPrefix(series, prefix) {
			total += v
		}
	}
	return total
}

// countByPrefix returns how many series begin so.
func (m metrics) countByPrefix(prefix string) (n int) {
	for series := range m {
		if strings.HasPrefix(series, prefix) {
			n++
		}
	}
	return n
}

// connect opens a connection that lives no longer than the test.
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

// requestRaw sends bytes as they are and reads one answer. The server may answer and
// hang up before it has taken all of them.
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

// readResponse reads one answer from a connection.
func readResponse(conn net.Conn) (response, error) {
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return response{}, err
	}
	return readBody(resp)
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// lastResponse returns the values of an address's metrics in an answer of /probe; at is zero
// if there is no time.
func lastResponse(tb testing.TB, body string) (responding string, at time.Time) {
	tb.Helper()
	const labels = `{ip="192.0.2.1",protocol="tcp"} `
	m := regexp.MustCompile(`(?m)^portscan_address_responding` + regexp.QuoteMeta(labels) + `(.*)$`).FindStringSubmatch(body)
	if m == nil {
		tb.Fatalf("the answer lacks portscan_address_responding: %s", body)
	}
	responding = m[1]
	m = regexp.MustCompile(`(?m)^portscan_address_last_response_timestamp_seconds` + regexp.QuoteMeta(labels) + `(.*)$`).FindStringSubmatch(body)
	if m == nil {
		return responding, at
	}
	seconds, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		tb.Fatal(err)
	}
	return responding, time.UnixMicro(int64(seconds * 1e6))
}

// TestLastResponse scans an address that is dark, responds, and is dark again.
func TestLastResponse(t *testing.T) {
	t.Parallel()
	s := newScenario(t, scenarioConfig, nil, nil)
	setAll := func(state scan.State) {
		for port := 1; port <= 100; port++ {
			s.setState(state, fmt.Sprintf("192.0.2.1:%d", port))
		}
	}
	setAll(scan.Filtered)
	if responding, at := lastResponse(t, s.get(t, "/probe?target=web").Body.String()); responding != "0" || !at.IsZero() {
		t.Errorf("before the first response: got %s, %v, want 0 and no time", responding, at)
	}
	wantTexts(t, "addresses", sectionText(t, s.getPage(t, "/target/web"), "addresses"), "no response.")

	setAll(scan.Closed)
	begun := time.Now().Truncate(time.Microsecond)
	responding, first := lastResponse(t, s.get(t, "/probe?target=web").Body.String())
	if responding != "1" || first.Before(begun) || first.After(time.Now()) {
		t.Errorf("with a response: got %s, %v, want 1 and a time after %v", responding, first, begun)
	}
	if text := sectionText(t, s.getPage(t, "/target/web"), "addresses"); strings.Contains(text, "no response") {
		t.Errorf("with a response: got %s, want no note", text)
	}

	setAll(scan.Filtered)
	if responding, at := lastResponse(t, s.get(t, "/probe?target=web").Body.String()); responding != "0" || !at.Equal(first) {
		t.Errorf("after the last response: got %s, %v, want 0 and %v", responding, at, first)
	}
	if text := sectionText(t, s.getPage(t, "/target/web"), "addresses"); !regexp.MustCompile(`no response for \d+s`).MatchString(text) {
		t.Errorf("after the last response: got %s, want its age", text)
	}
	if row := s.statusRow(t, "web", "few"); !strings.Contains(row, "1 address dark") {
		t.Errorf("after the last response: got status %s, want a dark address", row)
	}
	setAll(scan.Closed)
	s.get(t, "/probe?target=web")
	if row := s.statusRow(t, "web", "few"); strings.Contains(row, "dark") {
		t.Errorf("with another response: got status %s, want no dark address", row)
	}
}

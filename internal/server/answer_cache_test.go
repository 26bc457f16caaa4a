// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"testing"
	"weak"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"portscan_exporter/internal/store"
)

// TestAnswerCacheBound adds more sections than the limit permits.
func TestAnswerCacheBound(t *testing.T) {
	t.Parallel()
	const limit, sectionSize = 100_000, 9_000
	c := newAnswerCache(limit)
	source := answerSource{view: weak.Make(new(store.View))}
	id := func(i int) answerID { return answerID{fmt.Sprint("target-", i), "all"} }
	section := answerSection{data: make([]byte, sectionSize)}
	for i := range 50 {
		c.put(id(i), source, answerFormat{}, section)
		if _, ok := c.get(id(0), source, answerFormat{}); !ok {
			t.Fatalf("get(%v) after %d others: got none, want the section that was used last", id(0), i)
		}
		if c.size > limit || c.size < sectionSize*len(c.byID) || c.used.Len() != len(c.byID) {
			t.Fatalf("after %d sections: got size %d with %d entries of %d, limit %d", i+1, c.size, len(c.byID), c.used.Len(), limit)
		}
	}
	if _, ok := c.get(id(1), source, answerFormat{}); ok || len(c.byID) < 9 {
		t.Errorf("get(%v) = %v with %d entries, want the oldest evicted and at least 9", id(1), ok, len(c.byID))
	}
	c.put(id(99), source, answerFormat{}, answerSection{data: make([]byte, limit+1)})
	if _, ok := c.get(id(99), source, answerFormat{}); ok || len(c.byID) < 9 {
		t.Error("put of a section above the limit: got it cached, want others kept")
	}
}

// TestAnswerCacheSources replaces sections by those of another view.
func TestAnswerCacheSources(t *testing.T) {
	t.Parallel()
	c := newAnswerCache(100_000)
	views := []*store.View{new(store.View), new(store.View)}
	older, newer := answerSource{view: weak.Make(views[0])}, answerSource{view: weak.Make(views[1])}
	id, text, zipped := answerID{"web", "all"}, answerFormat{}, answerFormat{compressed: true}
	for range 3 { // the same section again does not count twice
		c.put(id, older, text, answerSection{data: []byte("older text")})
		c.put(id, older, zipped, answerSection{data: []byte("older zip")})
	}
	if s, ok := c.get(id, older, zipped); !ok || string(s.data) != "older zip" || c.size > 1100 {
		t.Errorf("get(%v, older, zipped) = %q, %v, size %d", id, s.data, ok, c.size)
	}
	c.put(id, newer, text, answerSection{data: []byte("newer text")})
	if s, ok := c.get(id, newer, text); !ok || string(s.data) != "newer text" || c.size > 600 {
		t.Errorf("get(%v, newer, text) = %q, %v, size %d, want only the newer section", id, s.data, ok, c.size)
	}
	if _, ok := c.get(id, older, text); ok || c.size != 0 || c.used.Len() != 0 || len(c.byID) != 0 {
		t.Errorf("get of an older source: got %v and size %d, want none and an empty cache", ok, c.size)
	}
}

// TestSectionsFormOneBody encodes a body in two sections, the first of them once.
func TestSectionsFormOneBody(t *testing.T) {
	t.Parallel()
	gauge := func(name string, v float64) prometheus.Collector {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: strings.Repeat("Long help. ", 5000)})
		g.Set(v)
		return g
	}
	for format, end := range map[expfmt.Format]string{
		expfmt.FmtText: "second %d\n", expfmt.FmtOpenMetrics_1_0_0: "second %d.0\n# EOF\n",
	} {
		for _, compressed := range []bool{false, true} {
			var e sectionEncoder
			f := answerFormat{contentType: format, compressed: compressed}
			first, err := e.encodeFirst(f, gauge("first", 1))
			if err != nil {
				t.Fatal(err)
			}
			for v := range 3 {
				last, err := e.encodeLast(f, first, gauge("second", float64(v)))
				if err != nil {
					t.Fatal(err)
				}
				body := readBody(t, bytes.Join([][]byte{first.data, last.data}, nil), compressed)
				if want := fmt.Sprintf(end, v); !strings.HasSuffix(body, want) || strings.Count(body, "# EOF") != strings.Count(want, "# EOF") ||
					strings.Count(body, "\nfirst 1") != 1 {
					t.Errorf("%s, compressed %v: got %d bytes that end in %q, want %q", format, compressed, len(body), body[max(0, len(body)-40):], want)
				}
			}
		}
	}
}

// readBody returns a body as text; compressed ones must be one gzip stream.
func readBody(t *testing.T, body []byte, compressed bool) string {
	t.Helper()
	if !compressed {
		return string(body)
	}
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
	return string(text)
}

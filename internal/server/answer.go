// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"strconv"
	"time"
	"weak"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
	"golang.org/x/sync/semaphore"

	"portscan_exporter/collector"
)

// maxCachedAnswers is the maximum size of all cached parts of answers, in bytes.
const maxCachedAnswers = 32 << 20

// answerEncoder encodes answers to probes. It encodes the metrics of a result in the store once,
// and those that depend on the time for each answer. It may be used concurrently.
type answerEncoder struct {
	slots      *semaphore.Weighted // for answers being encoded
	size       int64               // of slots
	negotiator http.Handler
	sections   sectionEncoder
	cache      *answerCache
}

func newAnswerEncoder() *answerEncoder {
	size := int64(runtime.GOMAXPROCS(0))
	return &answerEncoder{
		slots:      semaphore.NewWeighted(size),
		size:       size,
		negotiator: promhttp.HandlerFor(prometheus.Gatherers{}, promhttp.HandlerOpts{}),
		cache:      newAnswerCache(maxCachedAnswers),
	}
}

// acquire waits for a slot until the deadline, and returns a function that releases it. A probe
// that is late already gets a slot if one is free.
func (e *answerEncoder) acquire(ctx context.Context, deadline time.Time) (release func(), err error) {
	release = func() { e.slots.Release(1) }
	if e.slots.TryAcquire(1) {
		return release, nil
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if err := e.slots.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("waiting for a slot to encode the answer: %w", err)
	}
	return release, nil
}

// encode returns the answer to a probe in the format that the request accepts. The caller has a
// slot.
func (e *answerEncoder) encode(r *http.Request, p *permittedProbe, result collector.ProbeResult) (encodedAnswer, error) {
	header := e.negotiate(r)
	format := answerFormat{
		contentType: expfmt.Format(header.Get("Content-Type")),
		compressed:  header.Get("Content-Encoding") == string(promhttp.Gzip),
	}
	first, err := e.encodeContent(format, p, result)
	if err != nil {
		return encodedAnswer{}, err
	}
	last, err := e.sections.encodeLast(format, first, collector.NewProbeStatus(result))
	if err != nil {
		return encodedAnswer{}, err
	}
	return encodedAnswer{header: header, parts: [][]byte{first.data, last.data}}, nil
}

// encodeContent returns the section with the metrics that do not depend on the time. The result
// of a single address is not cached, because the store returns another view for each probe, nor an
// answer with fewer ports than usual.
func (e *answerEncoder) encodeContent(format answerFormat, p *permittedProbe, result collector.ProbeResult) (answerSection, error) {
	cacheable := result.View != nil && !p.task.Addr.IsValid() && result.MaxPorts == p.module.MaxPorts
	id := answerID{p.selection.Target.Name, p.module.Name}
	source := answerSource{weak.Make(result.View), weak.Make(p.selection.Target), weak.Make(p.module)}
	if cacheable {
		if s, ok := e.cache.get(id, source, format); ok {
			return s, nil
		}
	}
	p.pending.begin(resultSize(result).cost())
	s, err := e.sections.encodeFirst(format, collector.NewProbeContent(result))
	if err == nil && cacheable {
		e.cache.put(id, source, format, s)
	}
	return s, err
}

// negotiate returns the headers that promhttp sets in an answer to the request.
func (e *answerEncoder) negotiate(r *http.Request) http.Header {
	w := headerWriter{make(http.Header)}
	e.negotiator.ServeHTTP(w, r)
	return w.header
}

// headerWriter is an [http.ResponseWriter] that discards the body.
type headerWriter struct{ header http.Header }

// Header implements [http.ResponseWriter].
func (w headerWriter) Header() http.Header { return w.header }

// Write implements [http.ResponseWriter].
func (headerWriter) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader implements [http.ResponseWriter].
func (headerWriter) WriteHeader(int) {}

// encodedAnswer is an answer that is ready to be written.
type encodedAnswer struct {
	header http.Header
	parts  [][]byte // of the body; shared with other answers, read-only
}

// newTextAnswer returns a plain text answer.
func newTextAnswer(text string) encodedAnswer {
	return encodedAnswer{
		header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}},
		parts:  [][]byte{[]byte(text)},
	}
}

// write sends the answer.
func (a encodedAnswer) write(w http.ResponseWriter) {
	length := 0
	for _, part := range a.parts {
		length += len(part)
	}
	maps.Copy(w.Header(), a.header)
	w.Header().Set("Content-Length", strconv.Itoa(length))
	for _, part := range a.parts {
		if _, err := w.Write(part); err != nil {
			return // the client is gone
		}
	}
}

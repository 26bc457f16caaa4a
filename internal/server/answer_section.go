// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// answerFormat is the form of an answer's body.
type answerFormat struct {
	contentType expfmt.Format
	compressed  bool // by gzip
}

// answerSection is an encoded part of an answer's body. Compressed sections are complete deflate
// blocks, which do not refer to earlier ones. Thus a section that was compressed once can be
// followed by different ones in the same gzip stream.
type answerSection struct {
	data     []byte
	checksum uint32 // CRC-32 of the uncompressed body up to the end of the section
	length   uint32 // of the uncompressed body up to the end of the section, modulo 2^32
}

// gzipHeader begins a gzip stream without name and time (RFC 1952, section 2.3).
const gzipHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

// sectionEncoder encodes sections. It may be used concurrently.
type sectionEncoder struct {
	compressors sync.Pool // of *flate.Writer
}

// encodeFirst returns the first section of a body, with the metrics of a collector.
func (e *sectionEncoder) encodeFirst(format answerFormat, c prometheus.Collector) (answerSection, error) {
	w := &sectionWriter{}
	if format.compressed {
		w.out.WriteString(gzipHeader)
		w.compressor = e.newCompressor(&w.out)
		defer e.compressors.Put(w.compressor)
	}
	if _, err := encodeMetrics(w, format, c); err != nil {
		return answerSection{}, err
	}
	if format.compressed {
		if err := w.compressor.Flush(); err != nil {
			return answerSection{}, fmt.Errorf("compressing: %w", err)
		}
	}
	return answerSection{data: w.out.Bytes(), checksum: w.checksum, length: w.length}, nil
}

// encodeLast returns the section that ends a body after the first one.
func (e *sectionEncoder) encodeLast(format answerFormat, first answerSection, c prometheus.Collector) (answerSection, error) {
	w := &sectionWriter{checksum: first.checksum, length: first.length}
	if format.compressed {
		w.compressor = e.newCompressor(&w.out)
		defer e.compressors.Put(w.compressor)
	}
	encoder, err := encodeMetrics(w, format, c)
	if err != nil {
		return answerSection{}, err
	}
	if closer, ok := encoder.(expfmt.Closer); ok {
		if err := closer.Close(); err != nil {
			return answerSection{}, fmt.Errorf("ending: %w", err)
		}
	}
	if format.compressed {
		if err := w.compressor.Close(); err != nil {
			return answerSection{}, fmt.Errorf("compressing: %w", err)
		}
		trailer := binary.LittleEndian.AppendUint32(nil, w.checksum)
		w.out.Write(binary.LittleEndian.AppendUint32(trailer, w.length))
	}
	return answerSection{data: w.out.Bytes(), checksum: w.checksum, length: w.length}, nil
}

// newCompressor returns a compressor that has no earlier data.
func (e *sectionEncoder) newCompressor(w io.Writer) *flate.Writer {
	if c, ok := e.compressors.Get().(*flate.Writer); ok {
		c.Reset(w)
		return c
	}
	c, _ := flate.NewWriter(w, flate.DefaultCompression) // fails for invalid levels
	return c
}

// encodeMetrics writes the metrics of a collector, and returns the encoder that may have to be
// closed.
func encodeMetrics(w io.Writer, format answerFormat, c prometheus.Collector) (expfmt.Encoder, error) {
	families, err := gatherMetrics(c)
	if err != nil {
		return nil, err
	}
	encoder := expfmt.NewEncoder(w, format.contentType)
	for _, f := range families {
		if err := encoder.Encode(f); err != nil {
			return nil, fmt.Errorf("encoding %s: %w", f.GetName(), err)
		}
	}
	return encoder, nil
}

// gatherMetrics returns the metrics of a collector.
func gatherMetrics(c prometheus.Collector) ([]*dto.MetricFamily, error) {
	reg := prometheus.NewRegistry()
	if err := reg.Register(c); err != nil {
		return nil, fmt.Errorf("registering: %w", err)
	}
	return reg.Gather()
}

// sectionWriter writes a section, and compresses it if it has a compressor.
type sectionWriter struct {
	out              bytes.Buffer
	compressor       *flate.Writer // writes to out; nil: no compression
	checksum, length uint32
}

// Write implements [io.Writer].
func (w *sectionWriter) Write(p []byte) (int, error) {
	if w.compressor == nil {
		return w.out.Write(p)
	}
	w.checksum = crc32.Update(w.checksum, crc32.IEEETable, p)
	w.length += uint32(len(p) & math.MaxUint32)
	return w.compressor.Write(p)
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The state file of version 2 has a header line, and then lines of this form:
//
//	{"crc32c":"1a2b3c4d","KIND":{...}}
//
// The checksum covers the rest of the line. The last line has the number of the lines before it
// and a checksum of their checksums, so that a line that is missing or in another place is
// detected.
const (
	stateHeader = `{"format":"portscan_exporter state","version":2}` + "\n"
	linePrefix  = `{"crc32c":"`
	sumLength   = 8

	maxStateSize  = 256 << 20 // bytes of the file
	maxLineLength = 64 << 20
)

var errUnusable = errors.New("unusable state file")

// castagnoli returns the polynomial that processors have an instruction for.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// fileLine is the place of a line in a file.
type fileLine struct {
	offset int64
	length int // with the line feed
	sum    uint32
}

// lineWriter writes lines with checksums.
type lineWriter struct {
	w      *bufio.Writer
	table  *crc32.Table
	offset int64
	count  int
	all    uint32 // checksum of the lines' checksums
	buffer bytes.Buffer
}

func newLineWriter(w *bufio.Writer) (*lineWriter, error) {
	l := &lineWriter{w: w, table: castagnoli(), offset: int64(len(stateHeader))}
	_, err := w.WriteString(stateHeader)
	return l, err
}

// write writes a line and returns its place.
func (l *lineWriter) write(kind string, value any) (fileLine, error) {
	l.buffer.Reset()
	l.buffer.WriteString(linePrefix + "00000000" + `","` + kind + `":`)
	if err := json.NewEncoder(&l.buffer).Encode(value); err != nil {
		return fileLine{}, fmt.Errorf("encoding state: %w", err)
	}
	l.buffer.Bytes()[l.buffer.Len()-1] = '}' // in place of the encoder's line feed
	l.buffer.WriteByte('\n')
	return l.seal()
}

// seal writes the line in the buffer with its checksum.
func (l *lineWriter) seal() (fileLine, error) {
	line := l.buffer.Bytes()
	if len(line) > maxLineLength {
		return fileLine{}, fmt.Errorf("encoding state: line of %d bytes is too long", len(line))
	}
	sum := crc32.Checksum(line[len(linePrefix)+sumLength:len(line)-1], l.table)
	copy(line[len(linePrefix):], sumText(sum))
	return l.add(line, sum)
}

func (l *lineWriter) add(line []byte, sum uint32) (fileLine, error) {
	at := fileLine{offset: l.offset, length: len(line), sum: sum}
	l.offset += int64(len(line))
	l.count++
	l.all = crc32.Update(l.all, l.table, line[len(linePrefix):len(linePrefix)+sumLength])
	_, err := l.w.Write(line)
	return at, err
}

// copyLine copies a line of another file, and reports whether that still has it.
func (l *lineWriter) copyLine(from io.ReaderAt, at fileLine) (fileLine, bool, error) {
	l.buffer.Reset()
	l.buffer.Grow(at.length)
	line := l.buffer.AvailableBuffer()[:at.length]
	if _, err := from.ReadAt(line, at.offset); err != nil || line[at.length-1] != '\n' {
		return fileLine{}, false, nil //nolint:nilerr // the line is encoded again
	}
	if sum, err := checkLine(line[:at.length-1], l.table); err != nil || sum != at.sum {
		return fileLine{}, false, nil //nolint:nilerr // as above
	}
	copied, err := l.add(line, at.sum)
	return copied, true, err
}

// savedEnd is the last line.
type savedEnd struct {
	Lines  int    `json:"lines"`
	CRC32C string `json:"crc32c"` // of the lines' checksums
}

// end writes the last line.
func (l *lineWriter) end() error {
	_, err := l.write("end", savedEnd{Lines: l.count, CRC32C: sumText(l.all)})
	return err
}

// checkLine returns the checksum of a line without its line feed, if the line has it.
func checkLine(line []byte, table *crc32.Table) (uint32, error) {
	if len(line) < len(linePrefix)+sumLength || string(line[:len(linePrefix)]) != linePrefix {
		return 0, fmt.Errorf("%w: line without a checksum", errUnusable)
	}
	sum := crc32.Checksum(line[len(linePrefix)+sumLength:], table)
	if string(line[len(linePrefix):len(linePrefix)+sumLength]) != sumText(sum) {
		return 0, fmt.Errorf("%w: checksum mismatch", errUnusable)
	}
	return sum, nil
}

func sumText(sum uint32) string {
	return hex.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

// lineReader reads lines and verifies their checksums.
type lineReader struct {
	scanner *bufio.Scanner
	table   *crc32.Table
	next    int64 // offset of the next line
	count   int
	all     uint32 // checksum of the lines' checksums
	ended   bool   // the last line was read
}

// newLineReader returns a reader of what follows the header.
func newLineReader(r io.Reader) *lineReader {
	const initialBuffer = 1 << 16
	l := &lineReader{scanner: bufio.NewScanner(r), table: castagnoli(), next: int64(len(stateHeader))}
	l.scanner.Buffer(make([]byte, 0, initialBuffer), maxLineLength+1)
	l.scanner.Split(splitLine)
	return l
}

// read returns the next line, without its line feed, and its place. The line is valid until the
// next call. The error is [io.EOF] after the last line.
func (l *lineReader) read() ([]byte, fileLine, error) {
	if !l.scanner.Scan() {
		return nil, fileLine{}, l.atEnd()
	}
	line := l.scanner.Bytes()
	sum, err := checkLine(line, l.table)
	switch {
	case err != nil:
		return nil, fileLine{}, err
	case l.ended:
		return nil, fileLine{}, fmt.Errorf("%w: data after the end", errUnusable)
	case bytes.HasPrefix(line[len(linePrefix)+sumLength:], []byte(`","end":`)):
		if err := l.checkEnd(line); err != nil {
			return nil, fileLine{}, err
		}
		l.ended = true
		return l.read()
	}
	at := fileLine{offset: l.next, length: len(line) + 1, sum: sum}
	l.next += int64(at.length)
	l.count++
	l.all = crc32.Update(l.all, l.table, line[len(linePrefix):len(linePrefix)+sumLength])
	return line, at, nil
}

// atEnd returns the error of the end of the file.
func (l *lineReader) atEnd() error {
	switch err := l.scanner.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("%w: line is longer than %d bytes", errUnusable, maxLineLength)
	case err != nil:
		return err
	case !l.ended:
		return fmt.Errorf("%w: end is missing", errUnusable)
	default:
		return io.EOF
	}
}

// checkEnd compares the last line with the lines before it.
func (l *lineReader) checkEnd(line []byte) error {
	var last struct {
		End savedEnd `json:"end"`
	}
	if err := json.Unmarshal(line, &last); err != nil {
		return fmt.Errorf("%w: %w", errUnusable, err)
	}
	if last.End != (savedEnd{Lines: l.count, CRC32C: sumText(l.all)}) {
		return fmt.Errorf("%w: lines are missing or in another order", errUnusable)
	}
	return nil
}

// splitLine is a [bufio.SplitFunc] for lines of which each must end with a line feed.
func splitLine(data []byte, atEOF bool) (advance int, line []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, fmt.Errorf("%w: incomplete line", errUnusable)
	}
	return 0, nil, nil
}

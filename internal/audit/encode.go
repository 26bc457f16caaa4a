// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/json"
	"fmt"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// encodeLine returns the event as JSON and a newline.
func encodeLine(event any) ([]byte, error) {
	data, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("encoding an audit entry: %w", err)
	}
	return append(escapeControls(data), '\n'), nil
}

// escapeControls escapes the characters in JSON that a terminal or a viewer could
// interpret: control characters, of which encoding/json escapes only those below U+0020,
// and format characters, which include the bidirectional marks. They occur only in
// strings.
func escapeControls(data []byte) []byte {
	escaped := make([]byte, 0, len(data)+1) // and a newline
	for _, r := range string(data) {
		switch {
		case r < 0x7f || !unicode.In(r, unicode.Cc, unicode.Cf):
			escaped = utf8.AppendRune(escaped, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			escaped = fmt.Appendf(escaped, `\u%04x\u%04x`, high, low)
		default:
			escaped = fmt.Appendf(escaped, `\u%04x`, r)
		}
	}
	return escaped
}

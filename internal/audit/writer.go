// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import "os"

// writeQueue writes queued lines until the queue is closed.
func (l *Log) writeQueue(file *os.File) {
	defer close(l.done)
	partial := false // the file ends with an incomplete line
	for line := range l.queue {
		if line == nil {
			if next := l.reopenFile(); next != nil {
				_ = file.Close()
				file, partial = next, false
			}
			continue
		}
		text := line
		if partial {
			text = append([]byte{'\n'}, line...)
		}
		n, err := file.Write(text)
		partial = err != nil && (partial || n > 0)
		if !l.finishLine(line, err) {
			break
		}
	}
	_ = file.Close()
}

// finishLine removes a line from the pending ones after its write. It returns false if
// the line has been abandoned.
func (l *Log) finishLine(line []byte, err error) bool {
	l.mu.Lock()
	if l.abandoned {
		l.mu.Unlock()
		return false
	}
	l.pending--
	l.bytes -= len(line)
	resumed := l.failing && err == nil && l.pending == 0
	if resumed {
		l.failing = false
	}
	l.mu.Unlock()
	if err != nil {
		l.drop(1, err)
	}
	if resumed {
		l.logger.Info("Resumed writing audit entries", "file", l.path)
	}
	return true
}

// reopenFile opens the file by its path. It returns nil if that fails.
func (l *Log) reopenFile() *os.File {
	l.mu.Lock()
	l.reopening = false
	l.mu.Unlock()
	file, err := l.open()
	if err != nil {
		l.logger.Error("Failed to reopen audit file", "file", l.path, "err", err)
		return nil
	}
	return file
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"container/list"
	"sync"
	"weak"

	"portscan_exporter/internal/config"
	"portscan_exporter/internal/store"
)

// answerCache holds the first sections of answers: those of the newest results of each target
// and module, by format. It evicts those that were used least recently. It may be used
// concurrently.
type answerCache struct {
	limit int // of size

	mu   sync.Mutex
	size int                        // of all sections in bytes
	used list.List                  // of *cachedAnswer, the last used first
	byID map[answerID]*list.Element // of used
}

// answerID identifies what an answer is for.
type answerID struct{ target, module string }

// answerSource identifies the results and settings of an answer. It does not keep them in
// memory: pointers to others are never equal to it.
type answerSource struct {
	view   weak.Pointer[store.View]
	target weak.Pointer[config.Target]
	module weak.Pointer[config.Module]
}

// cachedAnswer has the sections for one source.
type cachedAnswer struct {
	id       answerID
	source   answerSource
	size     int
	sections map[answerFormat]answerSection
}

func newAnswerCache(limit int) *answerCache {
	return &answerCache{limit: limit, byID: make(map[answerID]*list.Element)}
}

// get returns a section.
func (c *answerCache) get(id answerID, source answerSource, format answerFormat) (answerSection, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	place := c.byID[id]
	if place == nil {
		return answerSection{}, false
	}
	a := place.Value.(*cachedAnswer) //nolint:forcetypeassert // used holds only these
	if a.source != source {
		c.remove(place)
		return answerSection{}, false
	}
	c.used.MoveToFront(place)
	s, ok := a.sections[format]
	return s, ok
}

// put adds a section, and removes those of other sources with the same ID. Sections that are
// larger than the limit are not added.
func (c *answerCache) put(id answerID, source answerSource, format answerFormat, s answerSection) {
	const overhead = 500 // of a cachedAnswer with one section
	size := len(s.data) + overhead
	if size > c.limit {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.obtain(id, source)
	if old, ok := a.sections[format]; ok {
		c.resize(a, -len(old.data)-overhead)
	}
	s.data = bytes.Clone(s.data) // without the buffer's unused memory
	a.sections[format] = s
	c.resize(a, size)
	for c.size > c.limit {
		c.remove(c.used.Back())
	}
}

// obtain returns the answer of a source, which is now the one used last. The caller holds the
// lock.
func (c *answerCache) obtain(id answerID, source answerSource) *cachedAnswer {
	if place := c.byID[id]; place != nil {
		a := place.Value.(*cachedAnswer) //nolint:forcetypeassert // used holds only these
		if a.source == source {
			c.used.MoveToFront(place)
			return a
		}
		c.remove(place)
	}
	a := &cachedAnswer{id: id, source: source, sections: make(map[answerFormat]answerSection)}
	c.byID[id] = c.used.PushFront(a)
	return a
}

// resize changes the size of an answer by n bytes. The caller holds the lock.
func (c *answerCache) resize(a *cachedAnswer, n int) {
	a.size += n
	c.size += n
}

// remove removes an answer. The caller holds the lock.
func (c *answerCache) remove(place *list.Element) {
	a := c.used.Remove(place).(*cachedAnswer) //nolint:forcetypeassert // used holds only these
	delete(c.byID, a.id)
	c.size -= a.size
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import "context"

// HoldEncoders takes all slots for answers being encoded, until release is called.
func (s *Server) HoldEncoders(ctx context.Context) (release func(), err error) {
	if err := s.answers.slots.Acquire(ctx, s.answers.size); err != nil {
		return nil, err
	}
	return func() { s.answers.slots.Release(s.answers.size) }, nil
}

// CachedAnswerBytes returns the size of the cached parts of answers.
func (s *Server) CachedAnswerBytes() int {
	s.answers.cache.mu.Lock()
	defer s.answers.cache.mu.Unlock()
	return s.answers.cache.size
}

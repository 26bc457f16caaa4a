// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
	"sync"
	"time"
)

// maxStagger is the maximum time between the starts of staggered calls. Most DNS servers answer in
// less, so that only a slow or silent one causes a second call.
const maxStagger = 500 * time.Millisecond

// stagger returns the time between the starts of n calls until the context's deadline.
func stagger(ctx context.Context, n int) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return maxStagger
	}
	return min(maxStagger, time.Until(deadline)/time.Duration(n+1))
}

// callStaggered calls call with 0 to n-1, one after the other. A call starts when the one before has
// returned, or has not returned for some time. Once done reports that the results suffice, it cancels
// the calls that have not returned, and waits for them. It returns the results by index; nil: none.
func callStaggered[T any](ctx context.Context, n int, call func(ctx context.Context, i int) T, done func([]*T) bool) []*T {
	type indexed struct {
		index  int
		result T
	}
	ctx, cancel := context.WithCancel(ctx)
	var calls sync.WaitGroup
	defer calls.Wait()
	defer cancel()
	results, returned := make([]*T, n), make(chan indexed, n)
	ticker := time.NewTicker(max(1, stagger(ctx, n)))
	defer ticker.Stop()
	for started, ended := 0, 0; ended < n; {
		if started < n {
			i := started
			calls.Go(func() { returned <- indexed{index: i, result: call(ctx, i)} })
			started++
		}
		select {
		case r := <-returned:
			results[r.index] = &r.result
			ended++
			if done(results) {
				return results
			}
		case <-ticker.C:
		}
	}
	return results
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"math"
	"time"
)

// weight returns the evidence, in decibans, of one silent attempt if the given ratio of
// attempts is lost.
func weight(loss float64) int {
	if loss >= 1 {
		return 0
	}
	return int(-10*math.Log10(loss) + 0.01) // 0.001 is 30 in spite of rounding
}

// recentCount counts recent events, and those among them that are signs of loss. The counts
// are halved every second.
type recentCount struct {
	all, lost float64
	halved    instant
}

// add adds an event.
func (c *recentCount) add(lost bool) {
	c.all++
	if lost {
		c.lost++
	}
}

// decay halves the counts for each second that has passed, while there are more events than
// the given number. Less than one event is none.
func (c *recentCount) decay(now instant, keep float64) {
	for ; now-c.halved >= time.Second; c.halved += time.Second {
		if c.all > keep {
			c.all, c.lost = c.all/2, c.lost/2
		}
		if c.all < 1 {
			*c = recentCount{halved: now}
			return
		}
	}
}

// retryRatio returns the ratio of answers that needed a retry, 0 if there are none: a small
// sample without losses is no evidence.
func (c *recentCount) retryRatio() float64 {
	if c.lost == 0 {
		return 0
	}
	return (c.lost + 1) / (c.all + 2)
}

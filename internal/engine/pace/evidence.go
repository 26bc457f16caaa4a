// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"math"
	"time"
)

// weight returns what one silent attempt proves where so large a share of
// attempts is lost: the negative logarithm, in tenths of powers of ten.
func weight(loss float64) int {
	if loss >= 1 {
		return 0
	}
	return int(-10*math.Log10(loss) + 0.01) // one in a thousand is 30, whatever rounding does to it
}

// losses follows how many of the answers of late took a retry.
type losses struct {
	answers, retried float64 // halved every second
	faded            instant
}

func (l *losses) add(now instant, retry bool) {
	l.fade(now)
	l.answers++
	if retry {
		l.retried++
	}
}

func (l *losses) fade(now instant) {
	for ; now-l.faded >= time.Second; l.faded += time.Second {
		l.answers, l.retried = l.answers/2, l.retried/2
		if l.answers < 1 {
			l.answers, l.retried, l.faded = 0, 0, now
			return
		}
	}
}

// share returns that share, or 0 while no retry has been answered: that few
// answers took one says nothing where few were given.
func (l *losses) share(now instant) float64 {
	l.fade(now)
	if l.retried == 0 {
		return 0
	}
	return (l.retried + 1) / (l.answers + 2)
}

// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import "time"

const (
	// known is how many answers make a path known: the first may have waited for
	// the neighbour's hardware address.
	known = 3

	// briefFloor is the shortest first wait: what a scheduler on either side may
	// take out, and far more than any local network does.
	briefFloor = 50 * time.Millisecond

	// finalFloor is the shortest last wait.
	finalFloor = 150 * time.Millisecond
)

// roundTrips follows the round trips of a path as RFC 6298 section 2 does for
// TCP: a smoothed mean and a smoothed deviation, and the largest of all.
type roundTrips struct {
	lag time.Duration // that is added to every wait

	samples        int
	mean, variance time.Duration
	largest        time.Duration
}

func (r *roundTrips) sample(d time.Duration) {
	r.samples++
	r.largest = max(r.largest, d)
	if r.samples == 1 {
		r.mean, r.variance = d, d/2
		return
	}
	r.variance += ((r.mean - d).Abs() - r.variance) / 4
	r.mean += (d - r.mean) / 8
}

func (r *roundTrips) known() bool { return r.samples >= known }

// brief returns how long a first attempt listens.
func (r *roundTrips) brief(most time.Duration) time.Duration {
	if !r.known() {
		return min(briefFloor+r.lag, most) // the last wait has room for the far ones
	}
	return min(max(r.mean+4*r.variance, briefFloor)+r.lag, most)
}

// final returns how long an attempt listens before its silence may settle the
// port.
func (r *roundTrips) final(most time.Duration) time.Duration {
	if !r.known() {
		return most
	}
	return min(max(3*r.largest, finalFloor)+r.lag, most)
}

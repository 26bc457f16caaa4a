// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import "time"

const (
	// minShort is the minimum timeout of a first attempt. It covers delays of the
	// schedulers of both hosts.
	minShort = 50 * time.Millisecond

	// minFinal is the minimum timeout of a final attempt.
	minFinal = 150 * time.Millisecond
)

// roundTrips estimates round-trip times like RFC 6298 section 2: smoothed mean, smoothed
// variation, and the maximum.
type roundTrips struct {
	lag time.Duration // added to every timeout

	samples      int
	srtt, rttvar time.Duration
	largest      time.Duration
}

func (r *roundTrips) update(d time.Duration) {
	r.samples++
	r.largest = max(r.largest, d)
	if r.samples == 1 {
		r.srtt, r.rttvar = d, d/2
		return
	}
	r.rttvar += ((r.srtt - d).Abs() - r.rttvar) / 4
	r.srtt += (d - r.srtt) / 8
}

func (r *roundTrips) isKnown() bool { return r.samples > 0 }

// short returns the timeout of a first attempt, at most the given one.
func (r *roundTrips) short(most time.Duration) time.Duration {
	if !r.isKnown() {
		return min(minShort+r.lag, most) // the final timeout covers distant hosts
	}
	return min(max(r.srtt+4*r.rttvar, minShort)+r.lag, most)
}

// final returns the timeout of an attempt whose silence can decide the port's state.
func (r *roundTrips) final(most time.Duration) time.Duration {
	if !r.isKnown() {
		return most
	}
	return min(max(3*r.largest, minFinal)+r.lag, most)
}

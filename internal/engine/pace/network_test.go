// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"math/rand/v2"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// attemptInfo is an attempt that is passed to a simulated network.
type attemptInfo struct {
	index int           // of the port
	nth   int           // number of the attempt among those at the port, from 1
	total int           // number of the attempt in the scan, from 1
	now   time.Duration // when it is made
	kind  Kind
}

// attemptResult is the result of an attempt; the zero value is silence.
type attemptResult struct {
	state       scan.State
	cause       scan.Cause
	after       time.Duration // until it arrives
	interrupted bool          // the local machine ends the attempt early
	noHost      bool          // the answer is an ICMP error of a router for an absent host
}

// network simulates a network and a host: it returns the result of an attempt.
type network func(attemptInfo) attemptResult

// isLocalError reports whether the attempt failed locally.
func (r attemptResult) isLocalError() bool {
	return r.state == scan.Unknown && r.cause != scan.CauseNone
}

var silence attemptResult

// near is the round trip to a host on a local network.
const near = 400 * time.Microsecond

func closed(after time.Duration) attemptResult {
	return attemptResult{state: scan.Closed, cause: scan.CauseRST, after: after}
}

func open(after time.Duration) attemptResult {
	return attemptResult{state: scan.Open, cause: scan.CauseHandshake, after: after}
}

func rejected(after time.Duration) attemptResult {
	return attemptResult{state: scan.Filtered, cause: scan.CauseICMP, after: after}
}

func localError(cause scan.Cause) attemptResult { return attemptResult{cause: cause} }

// always returns a network with the same answer to every attempt.
func always(r attemptResult) network { return func(attemptInfo) attemptResult { return r } }

// some returns a network that answers attempts at every n-th port as selected does, and all
// others as others does.
func some(n int, selected, others network) network {
	return func(a attemptInfo) attemptResult {
		if a.index%n == 0 {
			return selected(a)
		}
		return others(a)
	}
}

// lossy returns a network that loses a share of the answers of n.
func lossy(seed uint64, share float64, n network) network {
	random := rand.New(rand.NewPCG(seed, 1))
	return func(a attemptInfo) attemptResult {
		r := n(a)
		if random.Float64() < share {
			return silence
		}
		return r
	}
}

// between returns a network that answers attempts made from one time up to another as during
// does, and all others as otherwise does.
func between(from, to time.Duration, during, otherwise network) network {
	return func(a attemptInfo) attemptResult {
		if a.now >= from && a.now < to {
			return during(a)
		}
		return otherwise(a)
	}
}

// rateLimited returns a network that limits the answers of n with a token bucket, as hosts limit
// RSTs and ICMP errors.
func rateLimited(perSecond, burst float64, n network) network {
	tokens, last := burst, time.Duration(0)
	return func(a attemptInfo) attemptResult {
		r := n(a)
		tokens = min(burst, tokens+perSecond*(a.now-last).Seconds())
		last = a.now
		if r == silence {
			return r
		}
		if tokens < 1 {
			return silence
		}
		tokens--
		return r
	}
}

// jitter returns a network that makes the round trips of n up to by longer or shorter.
func jitter(seed uint64, by time.Duration, n network) network {
	random := rand.New(rand.NewPCG(seed, 2))
	return func(a attemptInfo) attemptResult {
		r := n(a)
		if r != silence {
			r.after += time.Duration(random.Int64N(int64(2*by))) - by
		}
		return r
	}
}

// testSpec returns a TCP spec with the default limits of a module.
func testSpec(ports string) scan.Spec {
	set, err := scan.ParsePortSet(ports)
	if err != nil {
		panic(err)
	}
	return scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Ports: set, Timeout: time.Minute,
		PortTimeout: 950 * time.Millisecond, Retries: 2, MaxRetries: 10, MaxInFlight: 10000, MaxOpenAttempts: 3, ControlPorts: 2,
	}
}

func mustPlan(tb testing.TB, spec scan.Spec) scan.Plan {
	tb.Helper()
	plan, err := scan.NewPlan(spec)
	if err != nil {
		tb.Fatal(err)
	}
	return plan
}

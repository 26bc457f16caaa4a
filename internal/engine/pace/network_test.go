// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"math/rand/v2"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// question is an attempt as the network sees it.
type question struct {
	index int           // of the port
	nth   int           // of the attempts at that port, from 1
	total int           // of all attempts, from 1
	now   time.Duration // when it is made
	kind  Kind
}

// reply is what becomes of an attempt; the zero value is silence.
type reply struct {
	state       scan.State
	cause       scan.Cause
	after       time.Duration // until it is here
	interrupted bool          // the attempt is given up by our own side
}

// network is a made-up one, the host at its end included.
type network func(question) reply

// failed tells whether our own side could not make the attempt.
func (r reply) failed() bool { return r.state == scan.Unknown && r.cause != scan.CauseNone }

var silence reply

// near is a round trip of a local network.
const near = 400 * time.Microsecond

func closed(after time.Duration) reply {
	return reply{state: scan.Closed, cause: scan.CauseRST, after: after}
}

func open(after time.Duration) reply {
	return reply{state: scan.Open, cause: scan.CauseHandshake, after: after}
}

func rejected(after time.Duration) reply {
	return reply{state: scan.Filtered, cause: scan.CauseICMP, after: after}
}

func lack(cause scan.Cause) reply { return reply{cause: cause} }

// always answers every attempt alike.
func always(r reply) network { return func(question) reply { return r } }

// some answers at every so many-th port as one network does, and as the other
// at all others.
func some(every int, at, others network) network {
	return func(q question) reply {
		if q.index%every == 0 {
			return at(q)
		}
		return others(q)
	}
}

// lossy loses a share of all attempts or of their answers.
func lossy(seed uint64, share float64, n network) network {
	random := rand.New(rand.NewPCG(seed, 1))
	return func(q question) reply {
		r := n(q)
		if random.Float64() < share {
			return silence
		}
		return r
	}
}

// between answers as the one network does for a time, and as the other before
// and after it.
func between(from, to time.Duration, then, otherwise network) network {
	return func(q question) reply {
		if q.now >= from && q.now < to {
			return then(q)
		}
		return otherwise(q)
	}
}

// limited lets a bucket of so many tokens, filled so many times a second, decide
// which attempts are answered: as hosts limit RSTs and ICMP errors.
func limited(perSecond, burst float64, n network) network {
	tokens, last := burst, time.Duration(0)
	return func(q question) reply {
		r := n(q)
		tokens = min(burst, tokens+perSecond*(q.now-last).Seconds())
		last = q.now
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

// spread varies the round trip evenly by up to so much each way.
func spread(seed uint64, by time.Duration, n network) network {
	random := rand.New(rand.NewPCG(seed, 2))
	return func(q question) reply {
		r := n(q)
		if r != silence {
			r.after += time.Duration(random.Int64N(int64(2*by))) - by
		}
		return r
	}
}

// testSpec is a module with the defaults of config.yml.
func testSpec(ports string) scan.Spec {
	set, err := scan.ParsePortSet(ports)
	if err != nil {
		panic(err)
	}
	return scan.Spec{
		Protocol: scan.TCP, Method: scan.Connect, Ports: set, Timeout: time.Minute,
		PortTimeout: 950 * time.Millisecond, Retries: 2, MaxRetries: 10, MaxInFlight: 10000,
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

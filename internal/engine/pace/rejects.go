// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"math"

	"portscan_exporter/internal/scan"
)

// assumedLoss is the largest loss that is assumed of the path to a host without closed ports that
// rejects by ICMP, while no loss has been seen.
const assumedLoss = 1.0 / 7

// sample has the attempts for which it is known whether they were answered.
type sample struct{ answered, lost int }

// add counts an answer, and the attempts at the port before it.
func (s *sample) add(lost int) {
	s.answered++
	s.lost += lost
}

// evidence returns the evidence, in decibans, that attempts were not silent because they were
// lost: the probability of that number of further losses by the rule of succession, which
// assumes nothing about the path beyond the sample.
func (s *sample) evidence(attempts int) int {
	chance := 1.0
	for i := range attempts {
		chance *= float64(s.lost+1+i) / float64(s.answered+s.lost+2+i)
	}
	return int(-10 * math.Log10(chance))
}

// samples are those of a TCP host that rejects by ICMP. Such a host is expected to answer
// each attempt, so that silence is more likely a loss than at a host that drops. Only few
// answers may be left to estimate the loss from: most hosts limit ICMP errors, Linux to one
// a second (net.ipv4.icmp_ratelimit).
type samples struct {
	own      sample // answers of open and closed ports, canaries excluded
	rejected sample
}

// add adds an answer to an attempt.
func (s *samples) add(t *Attempt, state scan.State) {
	lost := int(t.number) - 1
	if state == scan.Filtered {
		s.rejected.add(lost)
	} else {
		s.own.add(lost)
	}
}

// evidenceAmidRejects returns the evidence, in decibans, of silent attempts at a port, without
// a limit if nothing rejects attempts at a host. Each sample overestimates the loss: own
// because it is small, rejected because a limit withholds answers. The better one counts.
func (p *Pacer) evidenceAmidRejects(attempts int) int {
	switch {
	case p.udp || p.samples.rejected.answered == 0 || !p.hostSeen:
		return math.MaxInt
	default:
		own := p.samples.own
		own.answered += p.canaries.totalSent - p.canaries.totalLost
		own.lost += p.canaries.totalLost
		evidence := max(p.samples.rejected.evidence(attempts), own.evidence(attempts))
		if !p.canaries.isKnown() && own.lost == 0 {
			evidence = max(evidence, attempts*weight(assumedLoss))
		}
		return evidence
	}
}

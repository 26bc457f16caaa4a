package engine

import (
	"math/rand/v2"

	"portscan_exporter/scan"
)

// order returns the plan's ports as they are to be tried: those that must or
// may be open first, so that a scan that is cut off has learnt what matters,
// then the rest; each part shuffled, since firewalls take a rising sequence for
// an attack.
func order(plan scan.Plan) []uint16 {
	ports := make([]uint16, 0, plan.Ports().Len())
	var rest []uint16
	for port := range plan.Ports().All() {
		if plan.Declared(port) {
			ports = append(ports, port)
		} else {
			rest = append(rest, port)
		}
	}
	shuffle(ports)
	shuffle(rest)
	return append(ports, rest...)
}

func shuffle(ports []uint16) {
	//nolint:gosec // an order that looks random is enough, nobody has to be kept from guessing it
	rand.Shuffle(len(ports), func(i, j int) { ports[i], ports[j] = ports[j], ports[i] })
}

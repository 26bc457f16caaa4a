// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import "portscan_exporter/internal/engine/pace"

// freeSlots is the free slots of a family, by the variant of their latest attempt: another
// attempt of that variant can use the same local port. The zero value is empty.
type freeSlots struct {
	byVariant [pace.Variants][]int32
	count     int
}

func (f *freeSlots) push(slot int32, variant uint8) {
	f.byVariant[variant] = append(f.byVariant[variant], slot)
	f.count++
}

// pop takes the latest slot of the variant. If there is none, it takes one of the variant
// with the most slots. There must be one.
func (f *freeSlots) pop(variant uint8) int32 {
	if len(f.byVariant[variant]) == 0 {
		for v := range f.byVariant {
			if len(f.byVariant[v]) > len(f.byVariant[variant]) {
				variant = uint8(v)
			}
		}
	}
	slots := f.byVariant[variant]
	last := len(slots) - 1
	f.byVariant[variant] = slots[:last]
	f.count--
	return slots[last]
}

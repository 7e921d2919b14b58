// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// rendezvousScore is how much an address likes a key: the same number in every language.
func rendezvousScore(address, group, key string) uint64 {
	if group == "" {
		group = "default"
	}
	return xxhash.Sum64String(address + "\x00" + group + "\x00" + key)
}

// rendezvousOrder returns the places of the addresses, the key's home first.
func rendezvousOrder(addresses []string, group, key string) []int {
	order := make([]int, len(addresses))
	scores := make([]uint64, len(addresses))
	for i, address := range addresses {
		order[i] = i
		scores[i] = rendezvousScore(address, group, key)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	return order
}

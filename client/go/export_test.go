// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"testing"
	"time"
)

// WaitForMerged waits until so many calls of a key of the default group share a seat.
func (c *Client) WaitForMerged(t testing.TB, key string, calls int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		merged := 0
		for _, seat := range c.merging[flightKey{"", key}] {
			merged = max(merged, len(seat.calls))
		}
		c.mu.Unlock()
		if merged == calls {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d calls share a seat, not %d", merged, calls)
		}
	}
}

// RendezvousOrder is for tests that must know a key's home.
var RendezvousOrder = rendezvousOrder

// WaitForFollowers waits until the leader of a key of the default group knows of so many followers
// elsewhere.
func (c *Client) WaitForFollowers(t testing.TB, key string, followers int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		known := 0
		for seat := range c.seats {
			if seat.leader != nil && seat.options.key == key {
				known = max(known, seat.followers)
			}
		}
		c.mu.Unlock()
		if known == followers {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the leader knows of %d followers, not of %d", known, followers)
		}
	}
}

// Sleep is what the client sees after the machine has slept: the clock has moved on, and the timers
// have not.
func (c *Client) Sleep(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	back := func(at instant) instant { return at.add(-d) }
	c.looked = back(c.looked)
	for seat := range c.seats {
		seat.joinSent = back(seat.joinSent)
		if seat.leader == nil {
			continue
		}
		h := &seat.leader.hold
		h.since, h.next, h.askedUp = back(h.since), back(h.next), back(h.askedUp)
		for i := range h.unsettled {
			h.unsettled[i].sent = back(h.unsettled[i].sent)
		}
	}
}

// Following returns how many calls of a key of the default group follow, as the server has said.
func (c *Client) Following(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := 0
	for seat := range c.seats {
		if seat.options.key == key && seat.state == seatFollowing && seat.answered {
			calls += len(seat.calls)
		}
	}
	return calls
}

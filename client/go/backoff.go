// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"math/rand/v2"
	"time"
)

// backoff is a random wait between 0 and a bound that doubles.
type backoff struct {
	min, max time.Duration
	bound    time.Duration // 0: at the beginning
}

func (b *backoff) next() time.Duration {
	bound := max(b.bound, b.min)
	b.bound = min(2*bound, b.max)
	return rand.N(bound + 1)
}

func (b *backoff) reset() { b.bound = 0 }

// alarm calls a function of the client, under its lock, after a time. The zero value is not armed.
type alarm struct {
	timer *time.Timer
	armed bool
	// Counts, so that one that has fired and waits for the lock while it is disarmed does nothing.
	generation uint64
}

func (a *alarm) arm(client *Client, after time.Duration, fire func()) {
	a.disarm()
	a.armed = true
	generation := a.generation
	a.timer = time.AfterFunc(max(after, 0), func() {
		client.mu.Lock()
		defer client.mu.Unlock()
		if a.armed && a.generation == generation {
			a.armed = false
			fire()
		}
	})
}

func (a *alarm) disarm() {
	if a.armed {
		a.timer.Stop()
	}
	a.armed = false
	a.generation++
}

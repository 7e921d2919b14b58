// SPDX-License-Identifier: Apache-2.0

package singleflight

import "time"

// takesAgain looks at a retained outcome that came with WithStale. An OK one that is too old is
// served, and refreshed in the background; any other that is too old is none: true, and the call is
// on its way again.
func (c *call) takesAgain(end *ending) bool {
	maxAge := time.Duration(c.options.maxAgeMs) * time.Millisecond
	switch {
	case maxAge > 0 && end.facts.Age <= maxAge:
		return false
	case end.outcome.kind == KindOK:
		end.facts.Stale = true
		c.client.refresh(c)
		return false
	case maxAge == 0:
		return false
	}
	options := *c.options
	options.staleMs = 0
	c.options = &options
	c.take()
	return true
}

// refresh asks for an outcome that is young enough, on behalf of nobody. One at a time for each key;
// when it fails nothing has changed.
func (c *Client) refresh(stale *call) {
	key := flightKey{stale.options.group, stale.options.key}
	if c.closing || c.refreshing[key] || stale.options.role == FollowOnly {
		return
	}
	c.refreshing[key] = true
	options := *stale.options
	options.staleMs = 0
	options.maxAgeMs = max(1, options.maxAgeMs)
	options.retainErrorMs = 0
	options.live = false
	options.failOpen = false
	refresh := &call{
		client:      c,
		options:     &options,
		within:      stale.within,
		lead:        stale.lead,
		hasFunction: stale.hasFunction,
		done:        make(chan struct{}),
		onEnd:       func() { delete(c.refreshing, key) },
	}
	if stale.refresh != nil {
		refresh.lead = stale.refresh
	}
	refresh.take()
}

// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
)

// call is one caller of this process, on its way to an ending. The client's lock guards it; `end`
// may be read without it once `done` is closed.
type call struct {
	client    *Client
	options   *options
	deadline  time.Time     // zero: none
	timeout   time.Duration // from the beginning to the deadline
	mayLeave  bool          // before the end
	handle    *Call         // of a started call; otherwise nil
	within    *Leader       // the lead inside which the call is made; nil: none
	ofCallers []LeadRef     // the same in other processes

	// Called under the lock when this call is told to lead: lets Leader.run run somewhere.
	lead        func(*Leader)
	refresh     func(*Leader) // the same in the background; nil: as `lead`
	hasFunction bool
	observed    *observation
	onEnd       func() // of a refresh, otherwise nil; under the lock

	seat    *seat   // where it waits; nil once its ending is known
	leader  *Leader // while its function runs
	pending *ending // waits for that
	end     *ending
	done    chan struct{}
}

// start puts a call on its way. What is wrong with the options is told by its ending.
func (c *Client) start(ctx context.Context, started *call) {
	started.client = c
	started.done = make(chan struct{})
	started.within = LeaderFromContext(ctx)
	started.ofCallers = leadsOfCallers(ctx)
	started.mayLeave = ctx.Done() != nil || started.handle != nil
	if deadline, ok := ctx.Deadline(); ok {
		started.deadline = deadline
		started.timeout = time.Until(deadline)
	}
	problem := started.problem()
	if problem == nil && ctx.Err() != nil {
		problem = leftByContext(ctx)
	}
	if problem == nil {
		problem = started.wouldWaitForItself()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	started.observed.onStarted()
	if problem == nil {
		problem = started.wouldCloseARing()
	}
	if c.closing {
		problem = statusErrorf(codes.Canceled, "the client is closed")
	}
	if problem != nil {
		started.deliver(&ending{status: problem})
		return
	}
	started.take()
}

// problem is misuse: the network is not asked.
func (c *call) problem() *StatusError {
	if problem := c.options.problem(); problem != nil {
		return problem
	}
	if !c.hasFunction && c.options.role != FollowOnly {
		return statusErrorf(codes.InvalidArgument,
			"the function is nil: only FollowOnly can do without")
	}
	return nil
}

// wouldWaitForItself: a function that this call is made inside of leads the call's own key. Takes
// the locks of the clients that lead.
func (c *call) wouldWaitForItself() *StatusError {
	for leader := c.within; leader != nil; leader = leader.within {
		if leader.leads(c) {
			return statusErrorf(codes.FailedPrecondition, "the call would wait for itself: it is made "+
				"inside the function that leads the key %q of the group %q", leader.key, leader.group)
		}
	}
	return nil
}

// wouldCloseARing: a function of this client that leads the call's key waits, over calls of its own,
// for a function that this call is made inside of. Under the lock.
func (c *call) wouldCloseARing() *StatusError {
	if c.within == nil || c.within.client != c.client {
		return nil
	}
	if c.client.waitsFor(c, c.within, map[*Leader]bool{}) {
		return statusErrorf(codes.FailedPrecondition, "the call would wait for itself: the function "+
			"that leads the key %q waits for the one that makes this call", c.options.key)
	}
	c.within.inside = append(c.within.inside, c)
	return nil
}

// waitsFor: a call waits, over functions of this client that lead its key and the calls that these
// have made, for a function of a chain.
func (c *Client) waitsFor(call *call, chain *Leader, seen map[*Leader]bool) bool {
	for _, s := range c.merging[flightKey{call.options.group, call.options.key}] {
		leads := s.leader
		if leads == nil || seen[leads] {
			continue
		}
		seen[leads] = true
		for outer := chain; outer != nil; outer = outer.within {
			if leads == outer {
				return true
			}
		}
		for _, inside := range leads.inside {
			if c.waitsFor(inside, chain, seen) {
				return true
			}
		}
	}
	return false
}

// wait returns the ending, which a context that is done brings about.
func (c *call) wait(ctx context.Context) *ending {
	select {
	case <-c.done:
	case <-ctx.Done():
		c.leave(leftByContext(ctx))
		<-c.done
	}
	return c.end
}

// leave takes this caller off, at once: a function of its own that runs does not hold it up.
func (c *call) leave(why *StatusError) {
	c.client.mu.Lock()
	defer c.client.mu.Unlock()
	if c.end != nil {
		return
	}
	c.leader = nil
	if c.pending != nil {
		c.deliver(c.pending)
		return
	}
	seat := c.seat
	c.finish(&ending{status: why})
	if seat != nil {
		seat.onCallLeft(c, why)
	}
}

// finish ends the call, once its function has ended if that runs.
func (c *call) finish(end *ending) {
	c.seat = nil
	if c.options.staleMs > 0 && end.facts.Retained && !end.facts.Led && c.takesAgain(end) {
		return
	}
	switch {
	case c.end != nil || c.pending != nil:
	case c.leader != nil:
		c.pending = end
	default:
		c.deliver(end)
	}
}

func (c *call) deliver(end *ending) {
	c.end, c.pending = end, nil
	if c.within != nil && c.within.client == c.client {
		c.within.inside = slices.DeleteFunc(c.within.inside, func(one *call) bool { return one == c })
	}
	close(c.done)
	if c.onEnd != nil {
		c.onEnd()
	}
	c.observed.onEnded(end, c.handle != nil)
	if c.handle != nil {
		c.handle.onDone()
	}
}

// onFunctionEnded lets an ending through that waited for the function.
func (c *call) onFunctionEnded(leader *Leader) {
	if c.leader != leader {
		return
	}
	c.leader = nil
	if c.pending != nil && c.end == nil {
		c.deliver(c.pending)
	}
}

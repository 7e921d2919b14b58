// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
)

// call is one caller of this process, on its way to an ending. The client's lock guards it; `end`
// may be read without it once `done` is closed.
type call struct {
	client   *Client
	options  *options
	deadline time.Time // zero: none
	handle   *Call     // of a started call; otherwise nil

	// Called under the lock when this call is told to lead: lets Leader.run run somewhere.
	lead        func(*Leader)
	hasFunction bool

	seat    *seat   // where it waits; nil once its ending is known
	leader  *Leader // while its function runs
	pending *ending // waits for that
	end     *ending
	done    chan struct{}
}

// start puts a call on its way. What is wrong with the options is told by its ending.
func (c *Client) start(ctx context.Context, call *call) {
	call.client = c
	call.done = make(chan struct{})
	if deadline, ok := ctx.Deadline(); ok {
		call.deadline = deadline
	}
	problem := call.options.problem()
	if problem == nil && !call.hasFunction && call.options.role != FollowOnly {
		problem = statusErrorf(codes.InvalidArgument,
			"the function is nil: only FollowOnly can do without")
	}
	if problem == nil && ctx.Err() != nil {
		problem = leftByContext(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		problem = statusErrorf(codes.Canceled, "the client is closed")
	}
	if problem != nil {
		call.deliver(&ending{status: problem})
		return
	}
	call.take()
}

// wait returns the ending, which a context that is done brings about.
func (call *call) wait(ctx context.Context) *ending {
	select {
	case <-call.done:
	case <-ctx.Done():
		call.leave(leftByContext(ctx))
		<-call.done
	}
	return call.end
}

// leave takes this caller off, at once: a function of its own that runs does not hold it up.
func (call *call) leave(why *StatusError) {
	call.client.mu.Lock()
	defer call.client.mu.Unlock()
	if call.end != nil {
		return
	}
	call.leader = nil
	if call.pending != nil {
		call.deliver(call.pending)
		return
	}
	seat := call.seat
	call.finish(&ending{status: why})
	if seat != nil {
		seat.onCallLeft(call, why)
	}
}

// finish ends the call, once its function has ended if that runs.
func (call *call) finish(end *ending) {
	call.seat = nil
	switch {
	case call.end != nil || call.pending != nil:
	case call.leader != nil:
		call.pending = end
	default:
		call.deliver(end)
	}
}

func (call *call) deliver(end *ending) {
	call.end, call.pending = end, nil
	close(call.done)
	if call.handle != nil {
		call.handle.onDone()
	}
}

// onFunctionEnded lets an ending through that waited for the function.
func (call *call) onFunctionEnded(leader *Leader) {
	if call.leader != leader {
		return
	}
	call.leader = nil
	if call.pending != nil && call.end == nil {
		call.deliver(call.pending)
	}
}

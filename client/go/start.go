// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"iter"
)

// Chunk is a part of a value while it is made.
type Chunk struct {
	Data    []byte // not to be changed
	Attempt int    // of the leader that made it
	// Restart: no data, but the news that what came before is void, because the leader was lost.
	// What comes next is of another attempt, from its beginning.
	Restart bool
	// Leader is the name of the new leader, with Restart, if it is known.
	Leader string
}

// Call is a call under way: see [Client.Start].
type Call struct {
	call *call

	// The client's lock guards these.
	stop  func() bool // the context's cancellation does not matter any more
	queue []Chunk
	wake  chan struct{}
}

// Start is [Client.Do] for those who do not want to wait, and the way to see a value while it is
// made: with WithLive, [Call.Chunks] hands out what whoever leads, here or elsewhere, has written
// so far. The call ends by itself, when ctx is done, or by [Call.Cancel].
func (c *Client) Start(ctx context.Context, key string,
	fn func(ctx context.Context, leader *Leader) error, opts ...Option) *Call {
	started := &Call{wake: make(chan struct{}, 1)}
	client, options, err := resolve(c, key, opts)
	started.call = &call{options: options, handle: started, hasFunction: fn != nil}
	if err != nil { // only the default client could not be made
		started.call.done = make(chan struct{})
		started.call.deliver(&ending{status: err.(*StatusError)})
		return started
	}
	ctx, started.call.observed = client.begin(ctx, options, fn != nil)
	started.call.lead = leadByWriting(ctx, fn)
	client.start(ctx, started.call)
	stop := context.AfterFunc(ctx, func() { started.call.leave(leftByContext(ctx)) })
	client.mu.Lock()
	defer client.mu.Unlock()
	started.stop = stop
	if started.call.end != nil {
		stop()
	}
	return started
}

// Chunks hands out the chunks of a live call as they come, then the error that the call ended with,
// if it did. Bytes that this caller writes while it leads are among them. What a loop has left is
// handed out by the next one.
func (c *Call) Chunks() iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		for {
			chunk, ok := c.next()
			if !ok {
				break
			}
			if !yield(chunk, nil) {
				return
			}
		}
		if _, err := c.Result(); err != nil {
			yield(Chunk{}, err)
		}
	}
}

// next waits for a chunk. False: there are none left, and the call is over.
func (c *Call) next() (Chunk, bool) {
	for {
		over := false
		select {
		case <-c.call.done:
			over = true // looked at first: nothing comes after it
		default:
		}
		if chunk, ok := c.pop(); ok || over {
			return chunk, ok
		}
		select {
		case <-c.wake:
		case <-c.call.done:
		}
	}
}

func (c *Call) pop() (Chunk, bool) {
	if c.call.client == nil {
		return Chunk{}, false
	}
	c.call.client.mu.Lock()
	defer c.call.client.mu.Unlock()
	if len(c.queue) == 0 {
		return Chunk{}, false
	}
	chunk := c.queue[0]
	c.queue = c.queue[1:]
	return chunk, true
}

// Done is closed when the call has ended.
func (c *Call) Done() <-chan struct{} { return c.call.done }

// Result waits for the end, and returns it with the whole value, whatever Chunks has handed out.
func (c *Call) Result() (Result[[]byte], error) {
	<-c.call.done
	c.call.observed.wait()
	return bytesOf(c.call.end)
}

// Cancel leaves, unless the call has ended: see [Do].
func (c *Call) Cancel() {
	if c.call.client == nil {
		return
	}
	c.call.leave(&StatusError{
		Code:    ErrCanceled.Code,
		Message: "the call was cancelled by its caller",
		cause:   context.Canceled,
	})
}

// ---- from the seat; under the client's lock ----

func (c *Call) put(chunk Chunk) {
	c.queue = append(c.queue, chunk)
	select {
	case c.wake <- struct{}{}:
	default: // it has not slept since
	}
}

func (c *Call) onPiece(piece []byte, attempt int) {
	if c.call.options.live {
		c.put(Chunk{Data: piece, Attempt: attempt})
	}
}

func (c *Call) onRestart(attempt int, leader string) {
	c.queue = nil // void
	c.put(Chunk{Attempt: attempt, Restart: true, Leader: leader})
}

func (c *Call) onDone() {
	if c.stop != nil {
		c.stop()
	}
}

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
	// Restart: no data, but the news that what came before is void, because the leader was lost. What
	// comes next is of another attempt, from its beginning.
	Restart bool
	// Leader is the name of the new leader, with Restart, if it is known.
	Leader string
}

// Stream is a live call: it hands out the value while whoever leads, here or elsewhere, still makes
// it. It is to be closed, or its context cancelled.
type Stream struct {
	call *call

	// The client's lock guards these.
	stop  func() bool // the context's cancellation does not matter any more
	queue []Chunk
	wake  chan struct{}
}

// Stream is Do for those who cannot wait: see [Client.Do]. Such calls are never merged.
func (c *Client) Stream(ctx context.Context, key string,
	fn func(ctx context.Context, leader *Leader) error, opts ...Option) *Stream {
	s := &Stream{wake: make(chan struct{}, 1)}
	client, options, err := resolve(c, key, append(opts[:len(opts):len(opts)], live))
	s.call = &call{options: options, stream: s, lead: leadByWriting(ctx, fn)}
	if err != nil { // only the default client could not be made
		s.call.done = make(chan struct{})
		s.call.deliver(&ending{status: err.(*StatusError)})
		return s
	}
	client.start(ctx, s.call)
	stop := context.AfterFunc(ctx, func() { s.call.leave(leftByContext(ctx)) })
	client.mu.Lock()
	defer client.mu.Unlock()
	s.stop = stop
	if s.call.end != nil {
		stop()
	}
	return s
}

func live(o *options) { o.live = true }

// Chunks hands out the chunks as they come, then the error that the call ended with, if it did.
// Bytes that this caller writes while it leads are among them. What a loop has left is handed out
// by the next one.
func (s *Stream) Chunks() iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		for {
			chunk, ok := s.next()
			if !ok {
				break
			}
			if !yield(chunk, nil) {
				return
			}
		}
		if _, err := s.Result(); err != nil {
			yield(Chunk{}, err)
		}
	}
}

// next waits for a chunk. False: there are none left, and the call is over.
func (s *Stream) next() (Chunk, bool) {
	for {
		over := false
		select {
		case <-s.call.done:
			over = true // looked at first: nothing comes after it
		default:
		}
		if chunk, ok := s.pop(); ok || over {
			return chunk, ok
		}
		select {
		case <-s.wake:
		case <-s.call.done:
		}
	}
}

func (s *Stream) pop() (Chunk, bool) {
	if s.call.client == nil {
		return Chunk{}, false
	}
	s.call.client.mu.Lock()
	defer s.call.client.mu.Unlock()
	if len(s.queue) == 0 {
		return Chunk{}, false
	}
	chunk := s.queue[0]
	s.queue = s.queue[1:]
	return chunk, true
}

// Result waits for the end, and returns it with the whole value, also of what Chunks has handed
// out.
func (s *Stream) Result() (Result[[]byte], error) {
	<-s.call.done
	return resultOf[[]byte](s.call.end, Raw)
}

// Close leaves, if the call is not over. Closing again does nothing.
func (s *Stream) Close() error {
	if s.call.client != nil {
		s.call.leave(&StatusError{
			Code:    ErrCanceled.Code,
			Message: "the stream was closed by its caller",
			cause:   context.Canceled,
		})
	}
	return nil
}

// ---- from the seat; under the client's lock ----

func (s *Stream) put(chunk Chunk) {
	s.queue = append(s.queue, chunk)
	select {
	case s.wake <- struct{}{}:
	default: // it has not slept since
	}
}

func (s *Stream) onPiece(piece []byte, attempt int) { s.put(Chunk{Data: piece, Attempt: attempt}) }

func (s *Stream) onRestart(attempt int, leader string) {
	s.queue = nil // void
	s.put(Chunk{Attempt: attempt, Restart: true, Leader: leader})
}

func (s *Stream) onDone() {
	if s.stop != nil {
		s.stop()
	}
}

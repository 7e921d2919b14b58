// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"time"
)

// Observer is told what happens to the calls of a client. It runs on a goroutine of the client,
// which tells one event after the other: so it must not block, and must not call the client. The
// context is that of the call, of which only the values matter. A panic of it changes nothing, and
// is logged. [Client.Close] waits for what is still to be told.
type Observer interface {
	Observe(ctx context.Context, event Event)
}

// ObserverFunc is a function as an Observer.
type ObserverFunc func(ctx context.Context, event Event)

// Observe calls the function.
func (f ObserverFunc) Observe(ctx context.Context, event Event) { f(ctx, event) }

// Tracer is an Observer that goes along with every call: what it puts into the call's context, such
// as a span, is there when it observes, and in the context of the function.
type Tracer interface {
	Observer
	// Begin is called by the caller, before anything has happened. It returns ctx, or one made of it.
	Begin(ctx context.Context, group string) context.Context
	// Traceparent returns the W3C trace context of what Begin has returned, for the server; "": none.
	Traceparent(ctx context.Context) string
}

// EventKind says what has happened.
type EventKind string

const (
	// EventLed: the call's function starts as the leader's.
	EventLed EventKind = "led"
	// EventFollowed: somebody else leads, here or elsewhere; once for each lead that is followed, as
	// far as the server tells.
	EventFollowed EventKind = "followed"
	// EventTakeover: the call followed, and was made the leader. EventLed is next.
	EventTakeover EventKind = "takeover"
	// EventFailedOpen: the function starts, or goes on, for this process alone.
	EventFailedOpen EventKind = "failed_open"
	// EventLost: the lead is gone while the function runs, or before its outcome was confirmed.
	EventLost EventKind = "lost"
	// EventEnded: the call has ended. Every call that was well formed has it once, last; also a call
	// that shared the place of another one. What WithStale refreshes in the background is no call.
	EventEnded EventKind = "ended"
)

// Event is something that happened to a call.
type Event struct {
	Kind       EventKind
	Group, Key string
	// Attempt and Token are those of the lead that it is about; 0: not known.
	Attempt int
	Token   uint64

	// Of EventEnded only.

	Duration time.Duration // of the call
	// Role is "leader", "follower", "retained" (nobody ran anything for it), or "alone" (it failed
	// open).
	Role string
	// Status is the name of a gRPC code, such as "UNAVAILABLE"; "OK" for a call that has an outcome.
	Status string
	// Outcome is "ok", "error", "panic" or "abandoned"; "" without one.
	Outcome string
	// Callers is how many got that outcome; 0 without one.
	Callers int
	// Err is the function's error or the [StatusError] that the call ended with; nil: none.
	Err error
}

// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// limitExceeded is the type of an outcome whose value met a limit, in every language.
const limitExceeded = "singleflight.LimitExceeded"

const (
	chunkBytesMax  = 64 * 1024
	unsentBytesMax = 1024 * 1024
	withinMax      = 32
)

// Leader is the lead of one flight, in the hands of the function that runs for it. Its methods may
// be called from any goroutine until the function returns. [LeaderFromContext] finds it.
type Leader struct {
	// Never changed after the function has begun.
	client   *Client
	call     *call
	within   *Leader // inside whose function the call was made; nil: none
	group    string
	key      string
	token    uint64
	attempt  uint32
	lease    time.Duration
	runLimit time.Duration
	// How many bytes the server takes; 0: it does not say.
	resultLimit uint64

	// The client's lock guards what follows.
	seat     *seat                   // nil: the lead is over
	hold     hold                    // how long it holds
	why      *StatusError            // the lead is lost
	lost     chan struct{}           // closed then; nil: nobody has asked for it
	cancel   context.CancelCauseFunc // of the function's context; may be nil
	written  bool                    // the function makes its value by writing
	pieces   [][]byte                // what was written; each is one chunk
	sent     int                     // so many of them are sent
	bytes    int
	unsent   int           // bytes
	room     chan struct{} // closed, and nil again, when there is room; nil: nobody waits
	tooLarge *FunctionError

	isAlone  bool    // without a server
	inside   []*call // made inside of the function, and not ended yet
	passesOn bool
	retain   *pb.Retention
	outcome  *outcome // the function has ended

	audience        Audience
	hasAudience     bool
	audienceChanged chan struct{} // nil: nobody has asked for it
}

// Audience tells who waits for the outcome.
type Audience struct {
	Followers int
	// Latest of their deadlines, from when it was learnt; 0: somebody waits without a deadline.
	// Means nothing without followers.
	LatestDeadline time.Duration
}

type leaderKey struct{}

// LeaderFromContext returns the lead of the flight that this function runs for; nil in any other
// context.
func LeaderFromContext(ctx context.Context) *Leader {
	leader, _ := ctx.Value(leaderKey{}).(*Leader)
	return leader
}

// TokenFromContext returns the fencing token of the flight that this function runs for: a number
// greater than every token granted before for that key. 0 when the function runs because no server
// could be reached, and in any other context.
func TokenFromContext(ctx context.Context) uint64 {
	if leader := LeaderFromContext(ctx); leader != nil {
		return leader.token
	}
	return 0
}

// Group returns the group of the flight.
func (l *Leader) Group() string { return l.group }

// Key returns the key of the flight.
func (l *Leader) Key() string { return l.key }

// Token returns the fencing token; 0 when no server could be reached.
func (l *Leader) Token() uint64 { return l.token }

// Attempt returns the how-many-eth leader of the flight this is, from 1. Above 1, somebody else has
// begun the work and was lost.
func (l *Leader) Attempt() int { return int(l.attempt) }

// Lease returns the lease that holds, as the flight's first caller asked for it; 0: none.
func (l *Leader) Lease() time.Duration { return l.lease }

// RunLimit returns how long this leader may run.
func (l *Leader) RunLimit() time.Duration { return l.runLimit }

// Lost is closed when the lead is lost: another leads or may lead, or nobody waits any more. The
// function's context is cancelled then, too. A function that fails open goes on instead when the
// server is out of reach: see [Leader.FailedOpen].
func (l *Leader) Lost() <-chan struct{} {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	return l.lostChannel()
}

// Err returns why the lead was lost; nil while it is not. It asks the clock: also in the first
// instant after the process or the machine was paused it does not say that a lead holds whose time
// is over. When the server then says that nobody has taken the lead meanwhile, it holds again, and
// Err returns nil again. Err of the function's context does the same.
func (l *Leader) Err() error {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	switch {
	case l.why != nil:
		return l.why
	case l.isOver():
		return l.ranOut()
	}
	return nil
}

// FailedOpen tells that the function runs without a server, because none could be reached from the
// beginning, or since. Another may lead then, and this leader's token may not be the current one.
func (l *Leader) FailedOpen() bool {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	return l.isAlone
}

// isOver: by the clock, whatever the function was told.
func (l *Leader) isOver() bool {
	return l.seat != nil && l.outcome == nil && l.hold.isOver(now())
}

// leads: the function leads the flight that the call would join.
func (l *Leader) leads(c *call) bool {
	if l.key != c.options.key || l.group != groupName(c.options.group) ||
		(l.client != c.client &&
			!slices.Equal(l.client.settings.addresses, c.client.settings.addresses)) {
		return false
	}
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	return l.outcome == nil && l.seat != nil && !l.seat.isForgotten
}

// leaderContext is the context of the function: its Err asks the clock, too.
type leaderContext struct {
	context.Context
	leader *Leader
}

func (c leaderContext) Err() error {
	if err := c.Context.Err(); err != nil {
		return err
	}
	c.leader.client.mu.Lock()
	defer c.leader.client.mu.Unlock()
	if c.leader.isOver() {
		return context.Canceled
	}
	return nil
}

// Write appends bytes to the value. They go out at once, in the background, to followers that are
// live. A function that writes makes its value so; what it returns besides is not looked at. With
// a lease, what was written before the connection broke is sent again as far as it is missing.
//
// It waits while more than 1 MiB is not sent yet. It fails when the lead is lost, or when the value
// is larger than ClientOptions.ResultLimit; such a flight ends with an error whatever the function
// says.
func (l *Leader) Write(p []byte) (int, error) {
	for done := 0; ; {
		part := p[done:min(done+chunkBytesMax, len(p))]
		if err := l.writePart(part); err != nil {
			return done, err
		}
		if done += len(part); done == len(p) {
			return done, nil
		}
	}
}

func (l *Leader) writePart(part []byte) error {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	l.written = true
	if err := l.waitForRoom(); err != nil || len(part) == 0 {
		return err
	}
	return l.append(part, true)
}

// waitForRoom gives up the lock while it waits.
func (l *Leader) waitForRoom() error {
	for l.why == nil && l.outcome == nil && l.unsent > unsentBytesMax {
		if l.room == nil {
			l.room = make(chan struct{})
		}
		room := l.room
		l.client.mu.Unlock()
		<-room // also when the function is told to end
		l.client.mu.Lock()
	}
	switch {
	case l.why != nil:
		return l.why
	case l.outcome != nil:
		return errors.New("singleflight: the function has returned")
	}
	return nil
}

// append puts at most a chunk at the end of the value: a copy, or as a chunk of its own.
func (l *Leader) append(part []byte, copied bool) error {
	if limit := l.client.settings.resultLimit; len(part) > limit-l.bytes {
		l.tooLarge = overResultLimit("ClientOptions.ResultLimit of the leader", limit)
		return l.tooLarge
	}
	last := len(l.pieces) - 1
	if !copied || last < l.sent || len(l.pieces[last])+len(part) > chunkBytesMax {
		l.pieces = append(l.pieces, nil)
		last++
	}
	before := len(l.pieces[last])
	if copied {
		l.pieces[last] = append(l.pieces[last], part...)
	} else {
		l.pieces[last] = part
	}
	l.bytes += len(part)
	if l.seat == nil || l.isAlone {
		l.sent = len(l.pieces)
	} else {
		l.unsent += len(part)
		l.seat.ready()
	}
	if l.call.handle != nil && l.call.end == nil {
		l.call.handle.onPiece(l.pieces[last][before:], int(l.attempt))
	}
	return nil
}

func overResultLimit(what string, limit int) *FunctionError {
	return &FunctionError{
		Kind:    KindError,
		Code:    int32(codes.ResourceExhausted),
		Type:    limitExceeded,
		Message: fmt.Sprintf("the value is larger than %s, which is %d bytes", what, limit),
	}
}

// PassOn says of a failure: it is mine, not that of the work; let the next caller try. This call
// ends with its own error, the others get the last failure once nobody is left to try. Without
// effect on an OK outcome, and under Fail.
func (l *Leader) PassOn() {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	l.passesOn = true
}

// SetRetain keeps this outcome for so long instead of what WithRetain or WithRetainError say; 0 or
// less: do not keep it.
func (l *Leader) SetRetain(d time.Duration) {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	l.retain = &pb.Retention{RetainMs: ms(d)}
}

// Audience tells who waits, as far as known, and gives a channel that is closed when that changes.
// ok is false while nobody has waited yet, and always without WithAudience.
func (l *Leader) Audience() (audience Audience, ok bool, changed <-chan struct{}) {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	if l.audienceChanged == nil {
		l.audienceChanged = make(chan struct{})
	}
	return l.audience, l.hasAudience, l.audienceChanged
}

// ---- from the seat; under the client's lock ----

func (l *Leader) init(s *seat) {
	l.client = s.client
	l.group = groupName(s.options.group)
	l.key = s.options.key
	l.seat = s
}

func groupName(group string) string {
	if group == "" {
		return "default"
	}
	return group
}

func (l *Leader) lostChannel() <-chan struct{} {
	if l.lost == nil {
		l.lost = make(chan struct{})
		if l.why != nil {
			close(l.lost)
		}
	}
	return l.lost
}

func (l *Leader) setAudience(followers int, latest time.Duration) {
	l.audience = Audience{Followers: followers, LatestDeadline: latest}
	l.hasAudience = true
	if l.audienceChanged != nil {
		close(l.audienceChanged)
		l.audienceChanged = nil
	}
}

// lose tells the function, unless it has ended.
func (l *Leader) lose(why *StatusError) {
	if l.why != nil || l.outcome != nil {
		return
	}
	l.why = why
	l.closeRoom()
	if l.lost != nil {
		close(l.lost)
	}
	if l.cancel != nil {
		l.cancel(why)
	}
}

// goOnAlone: the server is out of reach, and the function goes on without it.
func (l *Leader) goOnAlone() {
	l.isAlone = true
	l.hold = hold{}
	l.sent = len(l.pieces)
	l.unsent = 0
	l.closeRoom()
}

func (l *Leader) closeRoom() {
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
}

func (l *Leader) unsentPieces() int { return len(l.pieces) - l.sent }

// takePiece returns the next chunk to send; nothing is appended to it any more.
func (l *Leader) takePiece() []byte {
	piece := l.pieces[l.sent]
	l.sent++
	l.unsent -= len(piece)
	if l.unsent <= unsentBytesMax/2 {
		l.closeRoom()
	}
	return piece
}

// rewind: only so many chunks have arrived.
func (l *Leader) rewind(arrived int) {
	for ; l.sent > arrived; l.sent-- {
		l.unsent += len(l.pieces[l.sent-1])
	}
}

// toFinish makes the last message; what is left of the value (at most one chunk) travels in it.
func (l *Leader) toFinish() *pb.Finish {
	outcome := l.outcome.toWire()
	if l.unsentPieces() == 1 {
		outcome.Value = l.pieces[l.sent]
	}
	retain := l.retain
	if l.call.onEnd != nil && l.outcome.kind != KindOK { // a refresh that fails replaces nothing
		retain = nil
	}
	return &pb.Finish{
		Outcome:   outcome,
		Retention: retain,
		PassOn:    l.passesOn && l.outcome.kind != KindOK,
	}
}

// ---- from the function ----

// ended is how a function ended: it returned, or panicked, or did neither.
type ended struct {
	returned bool
	value    any
	err      error
	bytes    []byte // of the value

	panicked  bool
	recovered any
	stack     string
}

// encoder makes bytes of a value; nil: the function can only write.
type encoder func(value any) ([]byte, error)

// run calls the function, and ends the flight as that ended, also when it ends its goroutine.
func (l *Leader) run(fn func() (any, error), encode encoder) ended {
	how := ended{}
	defer func() { l.finish(&how) }()
	func() {
		defer func() {
			if how.returned {
				return
			}
			// nil: the goroutine exits.
			if how.recovered = recover(); how.recovered != nil {
				how.panicked = true
				how.stack = string(debug.Stack())
			}
		}()
		how.value, how.err = fn()
		l.encode(&how, encode)
		how.returned = true
	}()
	return how
}

// encode makes bytes of what the function returned. A zero value beside an error is none.
func (l *Leader) encode(how *ended, encode encoder) {
	if encode == nil || l.hasWritten() || (how.err != nil && isZero(how.value)) {
		return
	}
	bytes, err := encode(how.value)
	if err == nil {
		how.bytes = bytes
	} else if how.err == nil {
		how.err = &CodecError{Op: Encode, Err: err}
	}
}

func (l *Leader) hasWritten() bool {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	return l.written
}

// finish ends the flight.
func (l *Leader) finish(how *ended) {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	if own := l.client.settings.resultLimit; len(how.bytes) > own {
		l.tooLarge = overResultLimit("ClientOptions.ResultLimit of the leader", own)
		how.bytes = nil
	} else if l.resultLimit > 0 && uint64(len(how.bytes)) > l.resultLimit { // not sent in vain
		l.tooLarge = overResultLimit("the server's limit", int(l.resultLimit))
		how.bytes = nil
	}
	for rest := how.bytes; len(rest) > 0; {
		part := rest[:min(len(rest), chunkBytesMax)]
		rest = rest[len(part):]
		_ = l.append(part, false) // it is not too large
	}
	l.outcome = l.outcomeOf(how)
	if l.cancel != nil {
		l.cancel(nil)
	}
	if l.seat != nil {
		l.seat.onFunctionEnded()
	}
	l.call.onFunctionEnded(l)
}

func (l *Leader) outcomeOf(how *ended) *outcome {
	outcome := &outcome{kind: KindPanic, pieces: l.pieces}
	switch {
	case how.panicked:
		outcome.err = panicToError(how)
		return outcome
	case !how.returned:
		outcome.kind, outcome.err = KindAbandoned, errGoexit
		return outcome
	}
	outcome.kind, outcome.err = kindOfError(how.err), how.err
	if l.tooLarge != nil && how.err == nil { // a value that is not whole must not look so
		outcome.kind, outcome.err = KindError, l.tooLarge
		return outcome
	}
	if !l.written {
		outcome.native, outcome.hasNative = how.value, true
	}
	return outcome
}

// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"slices"
	"time"

	"google.golang.org/grpc/codes"
)

// seatState says what may be trusted in a seat:
//
//   - joining: nothing is known yet; it waits for a session, or for the answer to its join
//   - following: somebody else leads; `pieces` is what has come of the attempt's value so far
//   - leading: `leader` is set, its function runs; while `answered` is false its stream is broken,
//     and it tries to resume the lead until the lease runs out
//   - finishing: the same, but the function has ended: its outcome is not confirmed yet
//   - alone: no server could be reached; `leader` is set, its token is 0
type seatState int

const (
	joining seatState = iota
	following
	leading
	finishing
	alone
)

// seat is one call of a session, for one or more equal calls of this process. It finds a server,
// joins there, follows or leads, and survives broken streams. The client's lock guards it. The
// calls may be gone from a seat that still leads or finishes for others.
type seat struct {
	client  *Client
	options *options // of its first call
	state   seatState
	calls   []*call   // those that wait here, the oldest first
	oneCall [1]*call  // room for the usual number of them
	merges  bool      // more calls may come
	over    bool      // off everything: nothing happens to it any more
	expires time.Time // what the server is told; zero: never

	// Where it is: on a server's waiting list, or on a session.
	server     *server
	waiting    bool
	place      *place
	rank       int // of its server in the key's order
	lookAlarm  alarm
	lookIsOver bool
	answered   bool // the server has answered the join on this session

	// Frames that are to be sent, in this order; chunks come before `finish`.
	wantsJoin, wantsRenew, wantsFinish bool

	// As a follower.
	pieces       [][]byte
	valueBytes   int
	nextSequence uint64
	isVoid       bool // live: what the call got is void, and it has not been told yet
	hasTold      bool // live: the call has got something since it was last told so

	// As a leader.
	leader         *Leader
	leaseAlarm     alarm // the next renewal; while resuming, the lease's end
	renewed        time.Time
	firstSequence  uint64 // above 0: chunks of another process came before
	hasAudience    bool
	followers      int // elsewhere
	latestDeadline time.Duration
}

// On the wire every deadline is a part of the timeout later than the call's own, so that the call
// is ended here, where a lease is given back, and not by the server, which would keep the flight
// for a leader that may come back. Equal calls that come a little later take up to half of it.
const (
	wireSlackMin     = time.Second
	wireSlackDivisor = 4
)

func (call *call) wireSlack() time.Duration {
	return max(time.Until(call.deadline)/wireSlackDivisor, wireSlackMin)
}

func newSeat(client *Client, options *options) *seat {
	s := &seat{client: client, options: options}
	s.calls = s.oneCall[:0]
	client.seats[s] = struct{}{}
	return s
}

// ---- merging ----

// take puts a call that begins on an equal seat, or on one of its own.
func (call *call) take() {
	client := call.client
	mergeable := call.options.mergeable()
	if mergeable {
		if s := client.findEqual(call); s != nil {
			s.add(call)
			s.tellAudience()
			return
		}
	}
	s := newSeat(client, call.options)
	s.add(call)
	if !call.deadline.IsZero() {
		s.expires = call.deadline.Add(call.wireSlack())
	}
	if mergeable {
		s.merges = true
		key := flightKey{call.options.group, call.options.key}
		client.merging[key] = append(client.merging[key], s)
	}
	s.findPlace()
}

func (c *Client) findEqual(call *call) *seat {
	for _, s := range c.merging[flightKey{call.options.group, call.options.key}] {
		if s.isInTime(call) && s.options.join == call.options.join {
			return s
		}
	}
	return nil
}

// isInTime says whether the server's patience with the seat is enough for one more call.
func (s *seat) isInTime(call *call) bool {
	if s.expires.IsZero() || call.deadline.IsZero() {
		return s.expires.IsZero()
	}
	return !call.deadline.Add(call.wireSlack() / 2).After(s.expires)
}

func (s *seat) add(call *call) {
	call.seat = s
	s.calls = append(s.calls, call)
}

func (s *seat) stopMerging() {
	if !s.merges {
		return
	}
	s.merges = false
	key := flightKey{s.options.group, s.options.key}
	rest := slices.DeleteFunc(s.client.merging[key], func(other *seat) bool { return other == s })
	if len(rest) == 0 {
		delete(s.client.merging, key)
	} else {
		s.client.merging[key] = rest
	}
}

// split moves all calls but one (which may be nil) to a seat of their own, which joins in front of
// whatever this seat sends next.
func (s *seat) split(stays *call) {
	var kept, others []*call
	for _, call := range s.calls {
		if call == stays {
			kept = append(kept, call)
		} else {
			others = append(others, call)
		}
	}
	if len(others) == 0 {
		return
	}
	s.calls = kept
	moved := newSeat(s.client, s.options)
	moved.expires = s.expires
	for _, call := range others {
		moved.add(call)
	}
	moved.findPlace()
}

// ---- looking for a server ----

// findPlace finds a server and joins (or resumes) there; or gives up.
func (s *seat) findPlace() {
	order := s.client.order(&s.options.join)
	for ; s.rank < len(order); s.rank++ {
		if server := s.client.servers[order[s.rank]]; !server.down {
			s.enter(server)
			return
		}
	}
	// Every server is down. Leaders wait for as long as their lease lasts, and some calls wait
	// because they were told to.
	home := s.client.servers[order[0]]
	if s.leader != nil || (s.options.waitsWhenDown && !s.lookIsOver) {
		s.enter(home)
	} else {
		s.giveUp(home)
	}
}

func (s *seat) enter(server *server) {
	s.server = server
	s.answered = false
	s.wantsJoin = true
	if s.leader == nil && !s.lookIsOver && !s.lookAlarm.armed {
		s.lookAlarm.arm(s.client, s.options.connectTimeout, s.onLookAlarm)
	}
	server.seat(s)
}

func (s *seat) onLookAlarm() {
	server := s.server
	s.leavePlace()
	server.onSilence(s.options.connectTimeout)
	s.rank++
	s.lookIsOver = s.lookIsOver || s.rank >= len(s.client.servers)
	if s.lookIsOver {
		s.giveUp(server)
	} else {
		s.findPlace()
	}
}

func (s *seat) giveUp(tried *server) {
	s.lookAlarm.disarm()
	if s.options.failOpen {
		s.state = alone
		s.startLeading(&Leader{attempt: 1}, 0)
		return
	}
	others := ""
	if len(s.client.servers) > 1 {
		others = " (and other servers)"
	}
	cause := tried.lastError
	if cause == "" {
		cause = "it does not answer"
	}
	const text = "no server can be reached at %s%s: %s. Start singleflightd there, or name its " +
		"address in %s; or let calls fail open"
	s.end(statusErrorf(codes.Unavailable, text, tried.address, others, cause, addressVariable))
}

// onServerDown: its server is down; the seat is off its waiting list already.
func (s *seat) onServerDown() {
	if s.leader == nil && !s.options.waitsWhenDown {
		s.lookAlarm.disarm()
	}
	s.findPlace()
}

// setAnswered: the server has answered the join.
func (s *seat) setAnswered() {
	if s.answered {
		return
	}
	s.answered = true
	s.lookIsOver = false
	s.rank = 0
	s.lookAlarm.disarm()
	s.server.onSessionUp(s.place.session)
}

// leavePlace takes the seat off its server, which is told if it knows the seat and has not ended
// the call itself. A lease is given back at once.
func (s *seat) leavePlace() {
	if s.waiting {
		s.server.stopWaiting(s)
	}
	if s.place == nil {
		return
	}
	place := s.place
	s.place = nil
	switch {
	case s.wantsJoin:
		place.session.remove(place)
	case s.leader != nil && s.answered && s.leader.lease > 0:
		place.session.leave(place, abandons)
	default:
		place.session.leave(place, cancels)
	}
}

// onSessionOver: its session is over, with this status; the seat is off it already.
func (s *seat) onSessionOver(code codes.Code, text string) {
	if s.client.closing {
		s.destroy()
		return
	}
	switch code {
	case codes.PermissionDenied, codes.Unimplemented, codes.Unauthenticated:
		// No second try mends it.
		s.end(&StatusError{Code: code, Message: text})
		return
	}
	if s.leader != nil {
		s.resume()
		return
	}
	s.state = joining
	s.isVoid = s.isVoid || s.hasTold
	s.clearValue()
	s.findPlace()
}

// ---- ends ----

// end ends every call with a status, loses the lead if its function runs, and leaves.
func (s *seat) end(status *StatusError) {
	if s.leader != nil {
		s.leader.lose(status)
	}
	for _, call := range s.takeCalls() {
		call.finish(&ending{status: status})
	}
	s.destroy()
}

func (s *seat) takeCalls() []*call {
	calls := s.calls
	s.calls = nil
	return calls
}

// onCallLeft: a call has left by itself.
func (s *seat) onCallLeft(left *call, why *StatusError) {
	s.calls = slices.DeleteFunc(s.calls, func(call *call) bool { return call == left })
	switch {
	case s.over:
	case len(s.calls) > 0:
		s.tellAudience()
	case s.state == finishing: // the flight's other callers wait for the outcome
	default:
		s.end(why)
	}
}

// destroy takes the seat off everything. Its calls have been ended or moved.
func (s *seat) destroy() {
	if s.over {
		return
	}
	s.over = true
	s.stopMerging()
	s.lookAlarm.disarm()
	s.leaseAlarm.disarm()
	s.leavePlace()
	if s.leader != nil {
		s.leader.seat = nil
	}
	delete(s.client.seats, s)
}

// close: the client closes. An outcome that is on its way may arrive.
func (s *seat) close() {
	status := statusErrorf(codes.Canceled, "the client was closed")
	if s.state != finishing {
		s.end(status)
		return
	}
	for _, call := range s.takeCalls() {
		call.finish(&ending{status: status})
	}
}

// ---- small things ----

func (s *seat) clearValue() {
	s.pieces = nil
	s.valueBytes = 0
	s.nextSequence = 0
	s.hasTold = false
}

// liveCall is the handle of the live call that sits here; nil without one. Live calls sit alone.
func (s *seat) liveCall() *Call {
	if !s.options.live || len(s.calls) == 0 {
		return nil
	}
	return s.calls[0].handle
}

// tellRestart tells a live call that what it got is void, if it is and that is not known.
func (s *seat) tellRestart(attempt int, leader string) {
	if !s.isVoid {
		return
	}
	s.isVoid = false
	if live := s.liveCall(); live != nil {
		live.onRestart(attempt, leader)
	}
}

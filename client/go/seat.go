// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"slices"
	"time"

	"google.golang.org/grpc/codes"
)

// seatState says what may be trusted in a seat:
//
//   - seatJoining: nothing is known yet; it waits for a session, or for the answer to its join
//   - seatFollowing: somebody else leads; `pieces` is what has come of the attempt's value so far
//   - seatLeading: `leader` is set, its function runs; while `answered` is false its stream is
//     broken, and it tries to resume the lead for as long as that holds; while `isUnconfirmed` the
//     lead may be an old one, and the function waits until the server says that it is not
//   - seatFinishing: the same, but the function has ended: its outcome is not confirmed yet
//   - seatAlone: no server could be reached; `leader` is set, and what it makes is for the calls
//     that wait here
type seatState int

const (
	seatJoining seatState = iota
	seatFollowing
	seatLeading
	seatFinishing
	seatAlone
)

// seat is one call of a session, for one or more equal calls of this process. It finds a server,
// joins there, follows or leads, and survives broken streams. The client's lock guards it. The
// calls may be gone from a seat that still leads or finishes for others.
type seat struct {
	client      *Client
	options     *options // of its first call
	state       seatState
	calls       []*call   // those that wait here, the oldest first
	oneCall     [1]*call  // room for the usual number of them
	merges      bool      // more calls may come
	isForgotten bool      // by this client
	over        bool      // off everything: nothing happens to it any more
	expires     time.Time // what the server is told; zero: never

	// Where it is: among those that wait for any server, on a server's waiting list, or on a session.
	isParked    bool
	server      *server
	waiting     bool
	place       *place
	rank        int // of its server in the key's order
	lookAlarm   alarm
	lookTime    time.Duration // what it was armed with
	lookUntil   time.Time     // zero: it has not begun to look
	lookIsOver  bool
	hasMetDrain bool // a server was there, but took no joins
	answered    bool // the server has answered the join on this session

	// Frames that are to be sent, in this order; chunks come before `finish`.
	wantsJoin, wantsRenew, wantsFinish bool
	joinSent                           instant
	isFinishSent                       bool

	// As a follower.
	pieces       [][]byte
	valueBytes   int
	nextSequence uint64
	isVoid       bool   // live: what the call got is void, and it has not been told yet
	followed     leadID // the lead, here or elsewhere, that calls follow; zero: none is known
	hasTold      bool   // live: the call has got something since it was last told so

	// As a leader.
	leader         *Leader
	isUnconfirmed  bool
	isHolding      bool // it is among the client's leads, at
	leadsAt        int
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

func (c *call) wireSlack() time.Duration { return max(c.timeout/wireSlackDivisor, wireSlackMin) }

func newSeat(client *Client, options *options) *seat {
	s := &seat{client: client, options: options}
	s.calls = s.oneCall[:0]
	client.seats[s] = struct{}{}
	return s
}

// ---- merging ----

// take puts a call that begins on an equal seat, or on one of its own.
func (c *call) take() {
	client := c.client
	mergeable := c.options.mergeable() && len(c.ofCallers) == 0 // which only the server can judge
	if mergeable {
		if s := client.findEqual(c); s != nil {
			s.add(c)
			s.tellAudience()
			return
		}
	}
	s := newSeat(client, c.options)
	s.add(c)
	s.setExpiry()
	if mergeable {
		s.merges = true
		key := flightKey{c.options.group, c.options.key}
		client.merging[key] = append(client.merging[key], s)
	}
	s.findPlace()
}

func (c *Client) findEqual(call *call) *seat {
	for _, s := range c.merging[flightKey{call.options.group, call.options.key}] {
		if s.options.join == call.options.join && s.isInTime(call) && s.isFreshFor(call) {
			return s
		}
	}
	return nil
}

// isFreshFor: a fresh call shares nothing that was led before it came, so only what the server has
// not been asked for yet.
func (s *seat) isFreshFor(call *call) bool {
	return !call.options.fresh || (s.leader == nil && (s.wantsJoin || s.isParked))
}

// isInTime says whether the server's patience with the seat is enough for one more call.
func (s *seat) isInTime(call *call) bool {
	if s.leader != nil && s.leader.hold.answers {
		return true // a server of now, which was asked to detach: it leads for as long as it must
	}
	if s.expires.IsZero() || call.deadline.IsZero() {
		return s.expires.IsZero()
	}
	return !call.deadline.Add(call.wireSlack() / 2).After(s.expires)
}

func (s *seat) add(call *call) {
	call.seat = s
	s.calls = append(s.calls, call)
	call.observed.onFollowed(s.followed)
}

// tellFollowed: all calls but that of a leader here follow this lead.
func (s *seat) tellFollowed(lead leadID) {
	s.followed = lead
	for _, call := range s.calls {
		if s.leader == nil || call != s.leader.call {
			call.observed.onFollowed(lead)
		}
	}
}

// setExpiry says how much patience the calls of the seat need.
func (s *seat) setExpiry() {
	s.expires = time.Time{}
	for _, call := range s.calls {
		if call.deadline.IsZero() {
			s.expires = time.Time{}
			return
		}
		if at := call.deadline.Add(call.wireSlack()); at.After(s.expires) {
			s.expires = at
		}
	}
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
	for _, call := range others {
		moved.add(call)
	}
	moved.setExpiry()
	moved.findPlace()
}

// ---- looking for a server ----

// findPlace finds a server and joins there; or waits for one; or gives up. A lead is resumed where
// it was granted.
func (s *seat) findPlace() {
	if s.leader != nil {
		s.enter(s.server)
		return
	}
	order := s.client.order(&s.options.join)
	for ; s.rank < len(order); s.rank++ {
		server := s.client.servers[order[s.rank]]
		if server.isUsable() && s.mayEnter(server) {
			s.enter(server)
			return
		}
	}
	if s.mayWait() {
		s.rank = 0
		s.park()
	} else {
		s.giveUp(s.client.servers[order[0]])
	}
}

// mayEnter: a call that does not wait only takes what is connected. The connection is made for
// those that come later.
func (s *seat) mayEnter(server *server) bool {
	if s.options.connectTimeout > 0 || (server.current != nil && server.current.isConnected) {
		return true
	}
	server.connect()
	return false
}

// mayWait says whether to wait for a server, now that none can be asked. That every one refuses the
// connection is an answer for a call that fails open; that one drains is not.
func (s *seat) mayWait() bool {
	if s.lookIsOver || s.options.connectTimeout == 0 {
		return false
	}
	if s.hasMetDrain || s.isDrained() {
		return true
	}
	return !s.options.failOpen
}

// isDrained: a server is there and takes no joins for now, as far as known. That is not "no server".
func (s *seat) isDrained() bool {
	return slices.ContainsFunc(s.client.servers, func(v *server) bool {
		return v.trouble == drains || (s.hasMetDrain && v.isUsable())
	})
}

// park waits for any server.
func (s *seat) park() {
	s.isParked = true
	s.wantsJoin = true
	s.client.parked = append(s.client.parked, s)
	s.armLook()
}

func (s *seat) unpark() {
	s.isParked = false
	s.client.parked = slices.DeleteFunc(s.client.parked, func(p *seat) bool { return p == s })
}

func (s *seat) enter(server *server) {
	s.server = server
	s.answered = false
	s.wantsJoin = true
	if s.leader == nil {
		s.armLook()
	}
	server.seat(s)
}

func (s *seat) armLook() {
	if s.lookAlarm.armed {
		return
	}
	if s.lookUntil.IsZero() {
		s.lookUntil = time.Now().Add(s.options.connectTimeout)
	}
	s.lookTime = s.patience()
	s.lookAlarm.arm(s.client, s.lookTime, s.onLookAlarm)
}

// patience with one server; or, when none can be asked, with all of them. A call that does not wait
// only enters what is connected.
func (s *seat) patience() time.Duration {
	left := time.Until(s.lookUntil)
	switch {
	case s.options.connectTimeout == 0:
		return s.client.settings.answerTimeout
	case s.isParked:
		return max(left, 0)
	case left <= 0: // others have used it up
		return min(s.options.connectTimeout, answerTimeout)
	}
	return min(left, s.options.connectTimeout, answerTimeout)
}

// onLookAlarm: nobody has taken the join in time. The next server has a time of its own.
func (s *seat) onLookAlarm() {
	order := s.client.order(&s.options.join)
	if s.isParked {
		if time.Now().Before(s.lookUntil) && s.mayWait() {
			s.armLook()
			return
		}
		s.unpark()
		s.lookIsOver = true
		s.giveUp(s.client.servers[order[0]])
		return
	}
	server := s.server
	s.leavePlace()
	server.onSilence(s.lookTime)
	s.lookIsOver = true // unless one is left, or may be back
	for s.rank++; s.rank < len(order) && s.lookIsOver; {
		if s.client.servers[order[s.rank]].isUsable() {
			s.lookIsOver = false
		} else {
			s.rank++
		}
	}
	if s.lookIsOver && time.Now().Before(s.lookUntil) {
		s.lookIsOver, s.rank = false, 0
	}
	if s.lookIsOver {
		s.giveUp(server)
	} else {
		s.findPlace()
	}
}

func (s *seat) giveUp(tried *server) {
	s.lookAlarm.disarm()
	if s.options.failOpen && !s.isDrained() {
		s.startLeading(&Leader{attempt: 1, isAlone: true}, 0)
		return
	}
	others := ""
	if len(s.client.servers) > 1 {
		others = " (and other servers)"
	}
	cause := tried.lastError
	switch {
	case cause != "":
	case s.options.connectTimeout == 0:
		cause = "it is not connected, and the call does not wait (a ConnectTimeout of zero)"
	default:
		cause = "it does not answer"
	}
	if s.isDrained() {
		s.end(statusErrorf(codes.Unavailable, "the server at %s%s takes no calls now: %s. Try again",
			tried.address, others, cause))
		return
	}
	const text = "no server can be reached at %s%s: %s. Start singleflightd there, or name its " +
		"address in %s; or let calls fail open"
	s.end(statusErrorf(codes.Unavailable, text, tried.address, others, cause, addressVariable))
}

// onServerTrouble: its server takes no joins; the seat is off its waiting list already.
func (s *seat) onServerTrouble() {
	if s.leader == nil && s.server.down {
		s.lookAlarm.disarm() // the next one has a time of its own
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
	s.lookUntil = time.Time{}
	s.hasMetDrain = false
	s.rank = 0
	s.lookAlarm.disarm()
	s.server.onSessionUp(s.place.session)
}

// leavePlace takes the seat off its server, which is told if it knows the seat and has not ended
// the call itself. A lease is given back at once.
func (s *seat) leavePlace() {
	if s.isParked {
		s.unpark()
	}
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
	s.joinAnew()
}

// joinAnew begins from the start, with nothing of what has come.
func (s *seat) joinAnew() {
	s.leavePlace()
	s.stopHolding()
	s.leader = nil
	s.isUnconfirmed = false
	s.followed = leadID{}
	s.state = seatJoining
	s.isVoid = s.isVoid || s.hasTold
	s.clearValue()
	s.findPlace()
}

// ---- ends ----

// end ends every call with a status, loses the lead if its function runs, and leaves.
func (s *seat) end(status *StatusError) {
	if s.leader != nil {
		s.leader.lose(status)
		s.tellLost()
	}
	for _, call := range s.takeCalls() {
		call.finish(&ending{status: status})
	}
	s.destroy()
}

// tellLost tells the call whose function runs, or has run for an outcome that is not confirmed.
func (s *seat) tellLost() {
	if s.leader.call != nil && s.state != seatAlone {
		s.leader.call.observed.onLost()
	}
}

func (s *seat) takeCalls() []*call {
	calls := s.calls
	s.calls = nil
	return calls
}

// isWanted: somebody waits for the outcome, here or elsewhere.
func (s *seat) isWanted() bool {
	isForOthers := s.state == seatLeading && !s.isUnconfirmed && s.followers > 0
	return len(s.calls) > 0 || s.state == seatFinishing || isForOthers
}

// onCallLeft: a call has left by itself.
func (s *seat) onCallLeft(left *call, why *StatusError) {
	s.calls = slices.DeleteFunc(s.calls, func(call *call) bool { return call == left })
	switch {
	case s.over:
	case s.isWanted():
		s.tellAudience()
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
	s.stopHolding()
	s.leavePlace()
	if s.leader != nil {
		s.leader.seat = nil
	}
	delete(s.client.seats, s)
}

// close: the client closes. An outcome that is on its way may arrive.
func (s *seat) close() {
	status := statusErrorf(codes.Canceled, "the client was closed")
	if s.state != seatFinishing {
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

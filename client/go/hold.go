// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
)

const (
	renewalsPerHold = 3
	askMax          = 5 * time.Second // for the answer after a pause
	pauseMin        = 500 * time.Millisecond
	lookEvery       = 100 * time.Millisecond
)

// hold is how long a lead holds without an answer of the server: the lease, or what the server says
// for a lead without one. It counts from the sending of what was answered last. An old server
// answers no renewals: then it counts from the last one that was really sent.
type hold struct {
	length    time.Duration // 0: as long as the stream
	answers   bool          // the server answers renewals
	since     instant
	next      instant // the next renewal
	lastID    uint64
	unsettled []renewal // not answered yet, the oldest first
	// After a pause beyond the end: the server is asked until then whether the lead still holds.
	// While it is, who asks hears that the lead is lost, but the function is not told.
	asking  bool
	askedUp instant
}

type renewal struct {
	id   uint64
	sent instant
}

func (h *hold) end() instant { return h.since.add(h.length) }

func (h *hold) isOver(at instant) bool { return h.length > 0 && at >= h.end() }

// left is how long the lead holds, or is asked for, from now.
func (h *hold) left() time.Duration {
	if h.asking {
		return h.askedUp.sub(now())
	}
	return h.end().sub(now())
}

// begin counts from the sending of a join or a resume that was answered with the lead.
func (h *hold) begin(sent instant) {
	h.since = sent
	h.next = sent.add(h.length / renewalsPerHold)
	h.unsettled = nil
	h.asking = false
}

// renew notes a renewal that is sent now. It has an id for a server that answers.
func (h *hold) renew(at instant) (id uint64) {
	h.next = at.add(h.length / renewalsPerHold)
	if h.answers {
		h.lastID++
		id = h.lastID
	}
	h.unsettled = append(h.unsettled, renewal{id, at})
	return id
}

// onRenewed: the renewal has been answered; or, with an old server, sent.
func (h *hold) onRenewed(id uint64, length time.Duration) {
	for i, renewal := range h.unsettled {
		if renewal.id != id {
			continue
		}
		h.since = max(h.since, renewal.sent)
		h.unsettled = h.unsettled[i+1:]
		break
	}
	if length > 0 {
		h.length = length
	}
	if h.asking && !h.isOver(now()) {
		h.asking = false
	}
}

// ask: the process was paused beyond the end.
func (h *hold) ask(at instant) {
	h.asking = true
	h.askedUp = at.add(min(h.length, askMax))
}

// ranOut is why the lead is lost.
func (l *Leader) ranOut() *StatusError {
	what := fmt.Sprintf("the lease of %v ran out", l.lease)
	if l.lease == 0 {
		what = fmt.Sprintf("the server has not answered for %v", l.hold.length)
	}
	if l.hold.asking {
		what += " while this process did not run"
	}
	return statusErrorf(codes.Aborted, "the lead is lost: %s", what)
}

// ---- the seat's side; under the client's lock ----

// armHold sets the alarm to what comes next: a renewal or the end.
func (s *seat) armHold() {
	h := &s.leader.hold
	if h.length == 0 || (s.isFinishSent && s.answered) {
		s.holdAlarm.disarm()
		return
	}
	at := h.end()
	if h.asking {
		at = h.askedUp
	}
	if s.answered {
		at = min(at, h.next)
	}
	s.holdAlarm.arm(s.client, at.sub(now()), s.onHoldAlarm)
}

func (s *seat) onHoldAlarm() {
	at := s.client.look() // asks, if there was a pause
	if s.over || s.leader == nil {
		return
	}
	h := &s.leader.hold
	switch {
	case h.asking && at >= h.askedUp, !h.asking && h.isOver(at):
		s.onHoldOver()
		return
	case s.answered && at >= h.next:
		h.next = at.add(h.length / renewalsPerHold) // until it is really sent
		s.wantsRenew = true
		s.ready()
	}
	s.armHold()
}

// onHoldOver: no answer came in time. Those that try again do so over another connection.
func (s *seat) onHoldOver() {
	if s.place != nil {
		s.place.session.retire()
	}
	if s.isUnconfirmed {
		s.joinAnew()
	} else {
		s.loseServer(s.leader.ranOut())
	}
}

// onPause: the process did not run between two moments, and nobody has looked at the clock. A pause
// that is short beside the hold was not what kept the answers away.
func (s *seat) onPause(from, to instant) {
	h := &s.leader.hold
	if h.length == 0 {
		return
	}
	wasPaused := h.isOver(to) && h.end() > from && to.sub(from) > h.length/2
	if wasPaused && !h.asking && (h.answers || !s.answered) {
		h.ask(to)
		if s.answered {
			s.wantsRenew = true
			s.ready()
		}
	}
	s.armHold() // the alarm has stood still if the machine slept
}

// ---- pauses ----

// look reads the clock, and finds out whether the process was paused since the last look. While a
// lead is held, somebody looks at least every tenth of a second.
func (c *Client) look() instant {
	at := now()
	if c.holding == 0 {
		return at
	}
	from := c.looked
	c.looked = at
	if at.sub(from) > pauseMin {
		for seat := range c.seats {
			if seat.leader != nil {
				seat.onPause(from, at)
			}
		}
	}
	return at
}

// holds counts the seats that hold a lead, so that somebody looks at the clock. The alarm is left as
// it is when the last one goes: the next one may come at once.
func (c *Client) holds(more int) {
	if c.holding == 0 {
		c.looked = now()
	}
	c.holding += more
	if c.holding > 0 && !c.lookAlarm.armed {
		c.lookAlarm.arm(c, lookEvery, c.onLookAlarm)
	}
}

func (c *Client) onLookAlarm() {
	c.look()
	if c.holding > 0 {
		c.lookAlarm.arm(c, lookEvery, c.onLookAlarm)
	}
}

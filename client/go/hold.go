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
	toldWithin      = 100 * time.Millisecond // of the end
	lookEvery       = toldWithin / 2
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

func (s *seat) startHolding() {
	if s.leader.hold.length == 0 || s.isHolding {
		return
	}
	s.isHolding = true
	c := s.client
	if len(c.leads) == 0 {
		c.looked = now()
	}
	s.leadsAt = len(c.leads)
	c.leads = append(c.leads, s)
	if !c.lookAlarm.armed { // left as it was when the last lead went
		c.lookAlarm.arm(c, lookEvery, c.onLookAlarm)
	}
}

func (s *seat) stopHolding() {
	if !s.isHolding {
		return
	}
	s.isHolding = false
	leads := s.client.leads
	last := leads[len(leads)-1]
	leads[s.leadsAt] = last
	last.leadsAt = s.leadsAt
	leads[len(leads)-1] = nil
	s.client.leads = leads[:len(leads)-1]
}

// isDue: a renewal is to be sent, or the lead is over.
func (s *seat) isDue(at instant) bool {
	h := &s.leader.hold
	switch {
	case s.isFinishSent && s.answered: // the function has ended, and the server has it from us
		return false
	case h.asking && at >= h.askedUp, !h.asking && h.isOver(at):
		return true
	}
	return s.answered && at >= h.next
}

func (s *seat) onDue(at instant) {
	h := &s.leader.hold
	if h.asking && at < h.askedUp || !h.asking && !h.isOver(at) {
		h.next = at.add(h.length / renewalsPerHold) // until it is really sent
		s.wantsRenew = true
		s.ready()
		return
	}
	// No answer came in time. Those that try again do so over another connection.
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
	wasPaused := h.isOver(to) && h.end() > from && to.sub(from) > h.length/2
	if !wasPaused || h.asking || (!h.answers && s.answered) {
		return
	}
	h.ask(to)
	if s.answered {
		s.wantsRenew = true
		s.ready()
	}
}

// ---- looks at the clock ----

// look reads the clock, and finds out whether the process was paused since the last look.
func (c *Client) look() instant {
	at := now()
	from := c.looked
	c.looked = at
	if at.sub(from) > pauseMin {
		for _, seat := range c.leads {
			seat.onPause(from, at)
		}
	}
	return at
}

// onLookAlarm looks after all leads together, several times within the time in which a function is
// told: a timer for each flight would cost more, and stands still while the machine sleeps.
func (c *Client) onLookAlarm() {
	if len(c.leads) == 0 {
		return
	}
	c.lookAlarm.arm(c, lookEvery, c.onLookAlarm)
	at := c.look()
	var due []*seat
	for _, seat := range c.leads {
		if seat.isDue(at) {
			due = append(due, seat)
		}
	}
	for _, seat := range due {
		if seat.isHolding {
			seat.onDue(at)
		}
	}
}

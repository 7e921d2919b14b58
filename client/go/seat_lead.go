// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// The leader's side of a seat: the lead comes, is renewed, resumed, lost, or ends with an outcome.

// ready tells the session that there are frames to send.
func (s *seat) ready() {
	if s.place != nil && s.answered {
		s.place.session.ready(s.place)
	}
}

// ---- the lead comes ----

// takeLead takes what the server grants. A lead that was granted long after the join (to a follower,
// or before a pause) may be over by now: then the server is asked first.
func (s *seat) takeLead(lead *pb.Lead) {
	s.setAnswered()
	leader := &Leader{
		token:    lead.Token,
		attempt:  lead.Attempt,
		lease:    time.Duration(lead.LeaseMs) * time.Millisecond,
		runLimit: time.Duration(lead.RunLimitMs) * time.Millisecond,

		resultLimit: lead.ResultLimit,
	}
	silence := time.Duration(lead.SilenceMs) * time.Millisecond
	leader.hold.answers = silence > 0
	leader.hold.length = max(silence, leader.lease)
	at, sent := now(), s.joinSent
	isOld := at.sub(sent) >= leader.hold.length/renewalsPerHold
	if isOld && !leader.hold.answers { // nobody to ask
		sent = at
	}
	leader.hold.begin(sent)
	if !isOld || !leader.hold.answers {
		s.startLeading(leader, lead.NextSequence)
		return
	}
	leader.init(s)
	s.leader = leader
	s.state = seatLeading
	s.isUnconfirmed = true
	s.firstSequence = lead.NextSequence
	s.startHolding()
	leader.hold.begin(at)
	s.wantsRenew = true
	s.ready()
}

// startLeading hands the lead to the oldest call.
func (s *seat) startLeading(leader *Leader, nextSequence uint64) {
	leader.init(s)
	s.leader = leader
	s.state = seatLeading
	if leader.isAlone {
		s.state = seatAlone
	}
	s.firstSequence = nextSequence
	s.startHolding()
	s.beginFunction()
}

func (s *seat) beginFunction() {
	s.isUnconfirmed = false
	leader, call := s.leader, s.calls[0]
	leader.call = call
	leader.within = call.within
	s.isVoid = s.isVoid || s.hasTold
	s.clearValue()
	s.tellRestart(int(leader.attempt), s.options.caller)
	s.tellAudience()
	call.leader = leader
	call.observed.onLed(leader)
	s.tellFollowed(leadID{int(leader.attempt), leader.token})
	call.lead(leader)
}

// onRenewed: the server has answered a renewal, or an old one was sent it.
func (s *seat) onRenewed(id uint64, length time.Duration) {
	if s.leader == nil {
		return
	}
	s.leader.hold.onRenewed(id, length)
	if s.isUnconfirmed && !s.leader.hold.isOver(now()) {
		s.beginFunction()
	}
}

// onFunctionEnded: the leader's outcome is known.
func (s *seat) onFunctionEnded() {
	leader := s.leader
	passesOn := leader.passesOn && leader.outcome.kind != KindOK
	s.stopMerging()
	if s.state == seatAlone {
		if passesOn {
			s.split(leader.call)
		}
		s.endAlone()
		return
	}
	s.state = seatFinishing
	if passesOn && s.options.leaderLoss == Promote {
		if s.place != nil && s.answered { // else its join may still have to be sent, to resume
			s.place.session.unready(s.place)
		}
		s.split(leader.call) // their join travels before the `finish`
	}
	s.wantsFinish = true
	s.ready()
}

// endAlone: the outcome is for the calls that wait here.
func (s *seat) endAlone() {
	leader := s.leader
	s.endAll(leader.outcome, Facts{
		Attempt:    int(leader.attempt),
		Callers:    1,
		FailedOpen: true,
	}, leader.call)
}

// latestOfMerged is the latest deadline of the merged callers beside the leader's own, from now; 0:
// one of them has none.
func (s *seat) latestOfMerged() time.Duration {
	latest := time.Millisecond
	for _, call := range s.calls {
		if call == s.leader.call {
			continue
		}
		if call.deadline.IsZero() {
			return 0
		}
		latest = max(latest, time.Until(call.deadline))
	}
	return latest
}

// tellAudience tells the leader who waits, merged calls included.
func (s *seat) tellAudience() {
	if s.leader == nil || !s.options.audience {
		return
	}
	merged := len(s.calls)
	if slices.Contains(s.calls, s.leader.call) {
		merged--
	}
	s.hasAudience = s.hasAudience || merged > 0 // somebody has waited
	if !s.hasAudience {
		return
	}
	latest := s.latestDeadline
	if merged > 0 {
		latestMerged := s.latestOfMerged()
		isEndless := latestMerged == 0 || (s.followers > 0 && latest == 0)
		latest = max(latest, latestMerged)
		if isEndless {
			latest = 0
		}
	}
	s.leader.setAudience(s.followers+merged, latest)
}

// ---- broken streams ----

// resume: the stream broke while leading.
func (s *seat) resume() {
	if s.leader.lease == 0 {
		if s.isUnconfirmed {
			s.joinAnew()
			return
		}
		text := "the lead is lost: the connection to the server broke, and there is no lease " +
			"(WithLease) that would outlive it"
		if s.state == seatFinishing {
			text = "the connection broke before the server confirmed the outcome: it may or may " +
				"not have reached the followers"
		}
		s.loseServer(&StatusError{Code: codes.Aborted, Message: text})
		return
	}
	if s.isFinishSent { // the function has ended, and nobody has counted since
		s.leader.hold.begin(now())
	}
	s.answered = false
	s.wantsRenew = false
	s.isFinishSent = false
	s.findPlace()
}

// resumed is the answer to a resume: that many chunks have arrived.
func (s *seat) resumed(lead *pb.Lead) {
	s.setAnswered()
	sent := s.firstSequence + uint64(s.leader.sent)
	if lead.NextSequence < s.firstSequence || lead.NextSequence > sent {
		s.end(statusErrorf(codes.Internal, "the server resumed the lead at chunk %d, and those from "+
			"%d to %d are there to be sent", lead.NextSequence, s.firstSequence, sent))
		return
	}
	s.leader.rewind(int(lead.NextSequence - s.firstSequence))
	s.wantsFinish = s.state == seatFinishing
	s.leader.hold.answers = lead.SilenceMs > 0
	s.leader.hold.begin(s.joinSent)
	if s.isUnconfirmed {
		s.beginFunction()
	}
	s.ready()
}

// ---- the lead is lost ----

// lose: the lead is lost. Its own call ends with the status; the others join anew when that is
// ABORTED, or end with it as well: so when somebody has ended the flight for all of its callers, which
// only the text tells.
func (s *seat) lose(status *StatusError) {
	wasEnded := strings.Contains(status.Message, "(ended")
	if status.Code == codes.Aborted && !wasEnded {
		s.stopMerging()
		s.split(s.leader.call)
	}
	s.end(status)
}

// loseServer: the lead is lost because the server is out of reach. Who fails open goes on to the
// end, for the calls that wait here.
func (s *seat) loseServer(status *StatusError) {
	if !s.options.failOpen || len(s.calls) == 0 {
		s.lose(status)
		return
	}
	s.stopHolding()
	s.leavePlace()
	isEnded := s.state == seatFinishing
	s.state = seatAlone
	s.leader.goOnAlone()
	if s.leader.call != nil {
		s.leader.call.observed.onFailedOpen()
	}
	if isEnded {
		s.endAlone()
	}
}

// ---- frames to send ----

// nextFrame makes the next frame, if there is one; `more`: there may be others after it.
func (s *seat) nextFrame() (frame *pb.CallRequest, bytes int, more bool) {
	switch {
	case s.wantsJoin:
		s.wantsJoin = false
		return s.joinFrame()
	case s.leader == nil || !s.answered:
		return nil, 0, false
	case s.wantsRenew:
		s.wantsRenew = false
		return s.renewFrame(), 0, true
	}
	unsent := s.leader.unsentPieces()
	if unsent > 1 || (unsent == 1 && !s.wantsFinish) {
		sequence := s.firstSequence + uint64(s.leader.sent)
		piece := s.leader.takePiece()
		chunk := &pb.CallRequest_Chunk{Chunk: &pb.Chunk{Data: piece, Sequence: sequence}}
		return &pb.CallRequest{Id: s.place.id, Step: chunk}, len(piece), true
	}
	if !s.wantsFinish {
		return nil, 0, false
	}
	s.wantsFinish = false
	s.isFinishSent = true
	finish := s.leader.toFinish()
	o := finish.Outcome
	bytes = len(o.Value) + len(o.Message) + len(o.Type) + len(o.Stack) + len(o.Details)
	return &pb.CallRequest{Id: s.place.id, Step: &pb.CallRequest_Finish{Finish: finish}}, bytes, false
}

func (s *seat) renewFrame() *pb.CallRequest {
	renew := &pb.Renew{Id: s.leader.hold.renew(now())}
	if renew.Id == 0 {
		s.place.session.sentRenewals = append(s.place.session.sentRenewals, s)
	}
	return &pb.CallRequest{Id: s.place.id, Step: &pb.CallRequest_Renew{Renew: renew}}
}

func (s *seat) joinFrame() (frame *pb.CallRequest, bytes int, more bool) {
	s.joinSent = now()
	resumeToken := uint64(0)
	if s.leader != nil {
		resumeToken = s.leader.token
	}
	o := s.options
	wire := o.toWire(resumeToken)
	if len(s.calls) > 0 {
		wire.Within = s.calls[0].leads()
		wire.Traceparent = s.calls[0].observed.trace()
	}
	// Who waits elsewhere matters when nobody is left here.
	stays := func(call *call) bool { return !call.mayLeave }
	if o.role != FollowOnly && !slices.ContainsFunc(s.calls, stays) {
		wire.Audience = true
	}
	frame = &pb.CallRequest{Id: s.place.id, Step: &pb.CallRequest_Join{Join: wire}}
	if resumeToken == 0 && !s.expires.IsZero() {
		frame.TimeoutMs = max(1, ms(time.Until(s.expires)))
	}
	return frame, len(o.key) + len(o.group) + len(o.caller) + len(o.fingerprint), false
}

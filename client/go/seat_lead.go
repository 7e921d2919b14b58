// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// The leader's side of a seat: the lead comes, is renewed, resumed, lost, or ends with an outcome.

const renewalsPerLease = 3

// ---- leases ----

// armLease sets the alarm to so long after the lease was last renewed.
func (s *seat) armLease(after time.Duration) {
	if s.leader.lease > 0 {
		s.leaseAlarm.arm(s.client, time.Until(s.renewed.Add(after)), s.onLeaseAlarm)
	}
}

func (s *seat) onLeaseAlarm() {
	if !s.answered {
		s.lose(statusErrorf(codes.Aborted,
			"the lease of %v ran out before the connection to %s was back", s.leader.lease,
			s.server.address))
		return
	}
	s.wantsRenew = true
	s.renewed = time.Now()
	s.armLease(s.leader.lease / renewalsPerLease)
	s.ready()
}

// ready tells the session that there are frames to send.
func (s *seat) ready() {
	if s.place != nil && s.answered {
		s.place.session.ready(s.place)
	}
}

// ---- the lead comes ----

// startLeading hands the lead to the oldest call.
func (s *seat) startLeading(leader *Leader, nextSequence uint64) {
	call := s.calls[0]
	leader.init(s, call)
	s.leader = leader
	if s.state != alone {
		s.state = leading
	}
	s.isVoid = s.isVoid || s.hasTold
	s.clearValue()
	s.firstSequence = nextSequence
	s.renewed = time.Now()
	s.armLease(leader.lease / renewalsPerLease)
	s.tellRestart(int(leader.attempt), s.options.caller)
	s.tellAudience()
	call.leader = leader
	call.lead(leader)
}

// onFunctionEnded: the leader's outcome is known.
func (s *seat) onFunctionEnded() {
	leader := s.leader
	passesOn := leader.passesOn && leader.outcome.kind != KindOK
	s.stopMerging()
	if s.state == alone {
		if passesOn {
			s.split(leader.call)
		}
		s.endAll(leader.outcome, Facts{Attempt: 1, Callers: 1, FailedOpen: true}, leader.call)
		return
	}
	s.state = finishing
	if passesOn && s.options.leaderLoss != Fail {
		if s.place != nil && s.answered { // else its join may still have to be sent, to resume
			s.place.session.unready(s.place)
		}
		s.split(leader.call) // their join travels before the `finish`
	}
	s.wantsFinish = true
	s.ready()
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
	lease := s.leader.lease
	if lease == 0 {
		text := "the lead is lost: the connection to the server broke, and there is no lease " +
			"(WithLease) that would outlive it"
		if s.state == finishing {
			text = "the connection broke before the server confirmed the outcome: it may or may " +
				"not have reached the followers"
		}
		s.lose(&StatusError{Code: codes.Aborted, Message: text})
		return
	}
	s.answered = false
	s.wantsRenew = false
	s.rank = 0
	s.armLease(lease)
	s.findPlace()
}

// resumed is the answer to a resume: that many chunks have arrived.
func (s *seat) resumed(nextSequence uint64) {
	s.setAnswered()
	sent := s.firstSequence + uint64(s.leader.sent)
	if nextSequence < s.firstSequence || nextSequence > sent {
		s.end(statusErrorf(codes.Internal,
			"the server resumed the lead at a chunk that was never posted"))
		return
	}
	s.leader.rewind(int(nextSequence - s.firstSequence))
	s.wantsFinish = s.state == finishing
	s.renewed = time.Now()
	s.armLease(s.leader.lease / renewalsPerLease)
	s.ready()
}

// lose: the lead is lost. Its own call ends with the status; the others join anew when that is
// ABORTED, or end with it as well.
func (s *seat) lose(status *StatusError) {
	if status.Code == codes.Aborted {
		s.stopMerging()
		s.split(s.leader.call)
	}
	s.end(status)
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
		renew := &pb.CallRequest_Renew{Renew: &pb.Renew{}}
		return &pb.CallRequest{Id: s.place.id, Step: renew}, 0, true
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
	finish := s.leader.toFinish()
	o := finish.Outcome
	bytes = len(o.Value) + len(o.Message) + len(o.Type) + len(o.Stack) + len(o.Details)
	return &pb.CallRequest{Id: s.place.id, Step: &pb.CallRequest_Finish{Finish: finish}}, bytes, false
}

func (s *seat) joinFrame() (frame *pb.CallRequest, bytes int, more bool) {
	resumeToken := uint64(0)
	if s.leader != nil {
		resumeToken = s.leader.token
	}
	o := s.options
	join := &pb.CallRequest_Join{Join: o.toWire(resumeToken)}
	frame = &pb.CallRequest{Id: s.place.id, Step: join}
	if resumeToken == 0 && !s.expires.IsZero() {
		frame.TimeoutMs = max(1, ms(time.Until(s.expires)))
	}
	return frame, len(o.key) + len(o.group) + len(o.caller) + len(o.fingerprint), false
}

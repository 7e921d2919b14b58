// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// What the server says to a seat.

// onFrame reads one frame. The seat may be over after it.
func (s *seat) onFrame(frame *pb.CallResponse) {
	switch step := frame.Step.(type) {
	case *pb.CallResponse_Lead:
		s.onLead(step.Lead)
	case *pb.CallResponse_Follow:
		s.onFollow(step.Follow)
	case *pb.CallResponse_Chunk:
		s.onChunk(step.Chunk)
	case *pb.CallResponse_Restart:
		s.onRestart(step.Restart)
	case *pb.CallResponse_Audience:
		s.onAudience(step.Audience)
	case *pb.CallResponse_Renewed:
		s.onRenewed(step.Renewed.Id, time.Duration(step.Renewed.SilenceMs)*time.Millisecond)
	case *pb.CallResponse_Result:
		s.server.onSessionUp(s.place.session)
		s.onResult(step.Result)
	case *pb.CallResponse_End:
		s.onEnd(codes.Code(step.End.Code), step.End.Message)
	default: // a step of a later server
	}
}

func (s *seat) onLead(lead *pb.Lead) {
	switch {
	case s.options.role == FollowOnly:
		s.end(statusErrorf(codes.Internal, "the server told one to lead that only follows"))
	case s.leader == nil:
		s.takeLead(lead)
	case s.answered: // it leads already
	case lead.Token == s.leader.token:
		s.resumed(lead)
	default:
		s.end(statusErrorf(codes.Internal, "the server resumed another lead"))
	}
}

// onAudience: when nobody is left, a function whose own callers have left is not wanted any more.
func (s *seat) onAudience(audience *pb.Audience) {
	s.hasAudience = true
	s.followers = int(audience.Followers)
	s.latestDeadline = time.Duration(audience.LatestDeadlineMs) * time.Millisecond
	if s.leader == nil || s.isWanted() {
		s.tellAudience()
		return
	}
	s.end(statusErrorf(codes.Canceled, "nobody waits for the outcome any more"))
}

func (s *seat) onFollow(follow *pb.Follow) {
	if s.leader == nil {
		s.tellFollowed(leadID{attempt: int(follow.Attempt)})
	}
	if s.state != seatJoining {
		return
	}
	s.setAnswered()
	s.state = seatFollowing
	s.tellRestart(int(follow.Attempt), follow.Leader)
}

func (s *seat) onChunk(chunk *pb.Chunk) {
	if s.leader != nil {
		return
	}
	s.setAnswered()
	s.tellRestart(int(chunk.Attempt), "")
	if chunk.Sequence != s.nextSequence {
		s.end(statusErrorf(codes.Internal, "a chunk of the value is missing"))
		return
	}
	s.nextSequence++
	s.takeBytes(chunk.Data, int(chunk.Attempt))
}

func (s *seat) onRestart(restart *pb.Restart) {
	if s.leader != nil {
		return
	}
	s.clearValue()
	s.isVoid = s.options.live
	s.tellFollowed(leadID{attempt: int(restart.Attempt)})
	s.tellRestart(int(restart.Attempt), restart.Leader)
}

// takeBytes takes a part of the value, which is the seat's from now on. False: the seat is over.
func (s *seat) takeBytes(piece []byte, attempt int) bool {
	if len(piece) == 0 {
		return true
	}
	if limit := s.client.settings.resultLimit; len(piece) > limit-s.valueBytes {
		s.end(overLimit(limit))
		return false
	}
	s.valueBytes += len(piece)
	s.pieces = append(s.pieces, piece)
	if live := s.liveCall(); live != nil {
		s.hasTold = true
		live.onPiece(piece, attempt)
	}
	return true
}

// overLimit is about a value that this caller does not take.
func overLimit(limit int) *StatusError {
	return statusErrorf(codes.ResourceExhausted,
		"the value is larger than ClientOptions.ResultLimit, which is %d bytes", limit)
}

// ---- results ----

// endAll ends all calls with one outcome; merged ones count as callers of their own.
func (s *seat) endAll(outcome *outcome, facts Facts, led *call) {
	calls := s.takeCalls()
	if !facts.Retained && len(calls) > 1 {
		facts.Callers += len(calls) - 1
		facts.Shared = true
	}
	for _, call := range calls {
		facts.Led = call == led
		call.finish(&ending{outcome: outcome, facts: facts})
	}
	s.destroy()
}

func (s *seat) onResult(result *pb.Result) {
	s.offPlace()
	if s.state == seatFinishing && result.Led && s.isOwnOutcome(result.Outcome) {
		// The server does not send the leader's own value back.
		s.endAll(s.leader.outcome, factsOf(result), s.leader.call)
		return
	}
	if result.Outcome == nil {
		s.end(statusErrorf(codes.Internal, "the server sent a result without an outcome"))
		return
	}
	s.tellRestart(int(result.Attempt), "")
	if !s.takeBytes(result.Outcome.Value, int(result.Attempt)) {
		return
	}
	if !result.Led && result.ValueBytes != uint64(s.valueBytes) {
		s.end(statusErrorf(codes.Internal, "%d bytes of a value of %d have come", s.valueBytes,
			result.ValueBytes))
		return
	}
	var led *call
	if s.leader != nil { // settled without us, while our function runs
		s.leader.lose(whySettled(result.Outcome))
		if !result.Led {
			s.tellLost()
		}
	}
	if result.Led && len(s.calls) > 0 {
		led = s.calls[0] // resumed after its flight had ended
	}
	s.endAll(outcomeOfWire(result.Outcome, s.pieces), factsOf(result), led)
}

// isOwnOutcome: what the function ended with is what the flight ends with, unless its value has met a
// limit of the server.
func (s *seat) isOwnOutcome(wire *pb.Outcome) bool {
	return wire == nil || wire.Type != limitExceeded || s.leader.outcome.toWire().Type == limitExceeded
}

// whySettled is what a function is told whose flight has ended before it has.
func whySettled(outcome *pb.Outcome) *StatusError {
	if outcome.Type == limitExceeded {
		return statusErrorf(codes.ResourceExhausted, "the flight has ended: %s", outcome.Message)
	}
	return statusErrorf(codes.Aborted, "the flight has ended without this leader")
}

// offPlace: the server has ended the call.
func (s *seat) offPlace() {
	place := s.place
	s.place = nil
	place.session.remove(place)
}

func (s *seat) onEnd(code codes.Code, text string) {
	session := s.place.session
	s.offPlace()
	if code == codes.Unavailable || code == codes.Canceled { // which nobody here asked for
		// Draining, or its coordinator is away: as if the stream had broken.
		s.hasMetDrain = true
		s.server.onSessionRefuses(session, text)
		s.onSessionOver(codes.Unavailable, text)
		return
	}
	s.server.onSessionUp(session)
	if code == codes.Unauthenticated {
		s.server.onSessionStrange(session)
	}
	if code == codes.OK {
		code = codes.Internal
	}
	status := &StatusError{Code: code, Message: text}
	if s.leader != nil {
		s.lose(status)
	} else {
		s.end(status)
	}
}

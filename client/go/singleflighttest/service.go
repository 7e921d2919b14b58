// SPDX-License-Identifier: Apache-2.0

package singleflighttest

import (
	"context"

	"google.golang.org/grpc/codes"

	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

const (
	chunkBytesMax = 64 * 1024
	silenceMs     = 60_000
	runLimitMs    = 86_400_000
)

// service is the server. What is about leaders alone stands in leader.go.
type service struct {
	pb.UnimplementedSingleFlightServer
	fake *Fake
}

func (s *service) Forget(_ context.Context, request *pb.ForgetRequest) (*pb.ForgetResponse, error) {
	s.fake.mu.Lock()
	defer s.fake.mu.Unlock()
	s.fake.forgets = append(s.fake.forgets, request)
	return &pb.ForgetResponse{}, nil
}

func (s *service) Session(stream pb.SingleFlight_SessionServer) error {
	session := &session{fake: s.fake, stream: stream, leads: map[uint64]*pb.Lead{}}
	for {
		message, err := stream.Recv()
		if err != nil {
			return nil // the client has left
		}
		for _, call := range message.Calls {
			if err := session.send(call.Id, session.answer(call)...); err != nil {
				return err
			}
		}
	}
}

type session struct {
	fake   *Fake
	stream pb.SingleFlight_SessionServer
	leads  map[uint64]*pb.Lead // by the id of the call
}

func (s *session) send(id uint64, frames ...*pb.CallResponse) error {
	if len(frames) == 0 {
		return nil
	}
	for _, frame := range frames {
		frame.Id = id
	}
	return s.stream.Send(&pb.SessionResponse{Calls: frames})
}

func (s *session) answer(call *pb.CallRequest) []*pb.CallResponse {
	lead := s.leads[call.Id]
	switch step := call.Step.(type) {
	case *pb.CallRequest_Join:
		return s.answerJoin(call.Id, step.Join)
	case *pb.CallRequest_Renew:
		if lead != nil {
			return []*pb.CallResponse{renewed(step.Renew.Id)}
		}
	case *pb.CallRequest_Finish:
		if lead != nil {
			delete(s.leads, call.Id)
			return []*pb.CallResponse{confirmed(lead)}
		}
	case *pb.CallRequest_Cancel:
		delete(s.leads, call.Id)
		return []*pb.CallResponse{end(codes.Canceled, "cancelled")}
	}
	return nil
}

func (s *session) answerJoin(id uint64, join *pb.Join) []*pb.CallResponse {
	script := s.fake.onJoin(join)
	switch {
	case script.refusal != nil:
		return []*pb.CallResponse{end(codes.Code(script.refusal.Code), script.refusal.Message)}
	case script.outcome != nil && join.Role == pb.Role_ROLE_LEAD_ONLY:
		return []*pb.CallResponse{end(codes.Aborted, "another leads")}
	case script.outcome != nil:
		return append([]*pb.CallResponse{follow()}, delivered(script.outcome)...)
	case join.Role == pb.Role_ROLE_FOLLOW_ONLY:
		return []*pb.CallResponse{end(codes.NotFound, "there is nothing to follow")}
	}
	lead := s.fake.grant(join, &script)
	frames := []*pb.CallResponse{{Step: &pb.CallResponse_Lead{Lead: lead}}}
	switch {
	case script.loses:
		return append(frames, end(codes.Aborted, "the lead is lost: the test says so"))
	case script.takesOver:
		frames = append([]*pb.CallResponse{follow()}, frames...)
	}
	s.leads[id] = lead
	return frames
}

// onJoin notes a join, and returns its script.
func (f *Fake) onJoin(join *pb.Join) script {
	f.mu.Lock()
	defer f.mu.Unlock()
	if join.ResumeToken != 0 { // it gives back a lead that it had left
		return script{token: join.ResumeToken}
	}
	f.joins = append(f.joins, join)
	return f.scripts[string(join.Key)]
}

func (f *Fake) grant(join *pb.Join, script *script) *pb.Lead {
	f.mu.Lock()
	defer f.mu.Unlock()
	lead := &pb.Lead{
		Token:      script.token,
		Attempt:    max(script.attempt, 1),
		LeaseMs:    join.LeaseMs,
		RunLimitMs: runLimitMs,
		SilenceMs:  silenceMs,
	}
	if script.takesOver {
		lead.Attempt = 2
	}
	if join.LeaseMs > 0 {
		lead.SilenceMs = join.LeaseMs
	}
	if join.RunLimitMs > 0 {
		lead.RunLimitMs = join.RunLimitMs
	}
	if lead.Token == 0 {
		f.token++
		lead.Token = f.token
	}
	return lead
}

// ---- frames ----

func follow() *pb.CallResponse {
	follow := &pb.Follow{Attempt: 1, Leader: "singleflighttest"}
	return &pb.CallResponse{Step: &pb.CallResponse_Follow{Follow: follow}}
}

func end(code codes.Code, text string) *pb.CallResponse {
	return &pb.CallResponse{Step: &pb.CallResponse_End{End: &pb.End{Code: int32(code), Message: text}}}
}

func renewed(id uint64) *pb.CallResponse {
	return &pb.CallResponse{Step: &pb.CallResponse_Renewed{Renewed: &pb.Renewed{Id: id}}}
}

// confirmed is a leader's own result, whose outcome it knows.
func confirmed(lead *pb.Lead) *pb.CallResponse {
	return &pb.CallResponse{Step: &pb.CallResponse_Result{Result: &pb.Result{
		Led: true, Callers: 1, Attempt: lead.Attempt, Token: lead.Token,
	}}}
}

// delivered is an outcome for a follower: chunks, and the result with the last of them.
func delivered(outcome *pb.Outcome) []*pb.CallResponse {
	var frames []*pb.CallResponse
	rest := outcome.Value
	for ; len(rest) > chunkBytesMax; rest = rest[chunkBytesMax:] {
		frames = append(frames, &pb.CallResponse{Step: &pb.CallResponse_Chunk{Chunk: &pb.Chunk{
			Data: rest[:chunkBytesMax], Sequence: uint64(len(frames)), Attempt: 1,
		}}})
	}
	return append(frames, &pb.CallResponse{Step: &pb.CallResponse_Result{Result: &pb.Result{
		Outcome: &pb.Outcome{
			Kind: outcome.Kind, Value: rest, Message: outcome.Message, Type: outcome.Type,
			Stack: outcome.Stack, Code: outcome.Code, Details: outcome.Details,
		},
		Shared: true, Callers: 2, Attempt: 1, Token: 1, ValueBytes: uint64(len(outcome.Value)),
	}}})
}

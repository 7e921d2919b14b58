// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc"

	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// A grpc-go server for the Session messages of singleflight.v1, with nothing but a map behind a
// lock: what somebody would write in Go who knows that batching is what counts. Driven by
// bench_load, as singleflightd and the bare C server are.
type sessionServer struct {
	pb.UnimplementedSingleFlightServer
	mutex   sync.Mutex
	flights map[string]*sessionFlight
	token   uint64
}

type sessionFlight struct {
	key     string
	token   uint64
	waiting []sessionWaiter
}

type sessionWaiter struct {
	stream *sessionStream
	id     uint64
}

// Answers gather while a message is being sent.
type sessionStream struct {
	mutex   sync.Mutex
	answers []*pb.CallResponse
	wake    chan struct{}
}

func (s *sessionStream) add(answers ...*pb.CallResponse) {
	s.mutex.Lock()
	s.answers = append(s.answers, answers...)
	s.mutex.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *sessionStream) write(stream pb.SingleFlight_SessionServer) {
	var spare []*pb.CallResponse
	for {
		select {
		case <-s.wake:
		case <-stream.Context().Done():
			return
		}
		s.mutex.Lock()
		answers := s.answers
		s.answers = spare[:0]
		s.mutex.Unlock()
		if len(answers) > 0 && stream.Send(&pb.SessionResponse{Calls: answers}) != nil {
			return
		}
		spare = answers
	}
}

func (s *sessionServer) Session(stream pb.SingleFlight_SessionServer) error {
	it := &sessionStream{wake: make(chan struct{}, 1)}
	led := map[uint64]*sessionFlight{}
	go it.write(stream)
	for {
		message, err := stream.Recv()
		if err != nil {
			return nil
		}
		answers := make([]*pb.CallResponse, 0, len(message.Calls))
		s.mutex.Lock()
		for _, call := range message.Calls {
			switch step := call.Step.(type) {
			case *pb.CallRequest_Join:
				answers = append(answers, s.join(it, led, call.Id, step.Join))
			case *pb.CallRequest_Finish:
				flight := led[call.Id]
				delete(led, call.Id)
				answers = append(answers, s.settle(it, flight, call.Id, step.Finish.Outcome)...)
			}
		}
		s.mutex.Unlock()
		it.add(answers...)
	}
}

func (s *sessionServer) join(it *sessionStream, led map[uint64]*sessionFlight, id uint64,
	join *pb.Join) *pb.CallResponse {
	if flight, runs := s.flights[string(join.Key)]; runs {
		flight.waiting = append(flight.waiting, sessionWaiter{it, id})
		return &pb.CallResponse{Id: id, Step: &pb.CallResponse_Follow{Follow: &pb.Follow{Attempt: 1}}}
	}
	s.token++
	flight := &sessionFlight{key: string(join.Key), token: s.token}
	s.flights[flight.key] = flight
	led[id] = flight
	return &pb.CallResponse{Id: id, Step: &pb.CallResponse_Lead{Lead: &pb.Lead{Token: s.token, Attempt: 1}}}
}

// Returns the leader's answer, and those of the followers on its stream.
func (s *sessionServer) settle(it *sessionStream, flight *sessionFlight, id uint64,
	outcome *pb.Outcome) []*pb.CallResponse {
	delete(s.flights, flight.key)
	callers := uint32(len(flight.waiting) + 1)
	shared := &pb.Result{Outcome: outcome, Shared: true, Callers: callers, Attempt: 1,
		Token: flight.token, ValueBytes: uint64(len(outcome.Value))}
	own := []*pb.CallResponse{{Id: id, Step: &pb.CallResponse_Result{Result: &pb.Result{
		Outcome: &pb.Outcome{Kind: outcome.Kind}, Led: true, Shared: callers > 1, Callers: callers,
		Attempt: 1, Token: flight.token}}}}
	for _, waiter := range flight.waiting {
		answer := &pb.CallResponse{Id: waiter.id, Step: &pb.CallResponse_Result{Result: shared}}
		if waiter.stream == it {
			own = append(own, answer)
		} else {
			waiter.stream.add(answer)
		}
	}
	return own
}

func serveSession() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	pb.RegisterSingleFlightServer(server, &sessionServer{flights: map[string]*sessionFlight{}})
	fmt.Printf("peers listening on %s\n", listener.Addr())
	return server.Serve(listener)
}

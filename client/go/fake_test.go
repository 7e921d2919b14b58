// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/singleflightd/singleflightd/client/go"
	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// fakeServer does what no daemon of this version does.
type fakeServer struct {
	pb.UnimplementedSingleFlightServer
	// answer is asked for each join, with its how-many-eth it is; an error ends the stream.
	answer func(join int, call *pb.CallRequest) ([]*pb.CallResponse, error)
	joins  atomic.Int32
	// answerStep is asked for every other step; nil: a cancel ends its call, nothing else happens.
	answerStep func(call *pb.CallRequest) []*pb.CallResponse
	// admit, if there is one, may refuse a stream.
	admit func(ctx context.Context) error
}

func (f *fakeServer) Session(stream pb.SingleFlight_SessionServer) error {
	if f.admit != nil {
		if err := f.admit(stream.Context()); err != nil {
			return err
		}
	}
	for {
		message, err := stream.Recv()
		if err != nil {
			return nil // the client has left
		}
		for _, call := range message.Calls {
			answers, err := f.answerTo(call)
			for _, answer := range answers {
				answer.Id = call.Id
			}
			if len(answers) > 0 {
				_ = stream.Send(&pb.SessionResponse{Calls: answers})
			}
			if err != nil {
				return err
			}
		}
	}
}

func (f *fakeServer) answerTo(call *pb.CallRequest) ([]*pb.CallResponse, error) {
	switch {
	case call.GetJoin() != nil:
		return f.answer(int(f.joins.Add(1)), call)
	case f.answerStep != nil:
		return f.answerStep(call), nil
	case call.GetCancel() != nil:
		return []*pb.CallResponse{end(codes.Canceled, "cancelled")}, nil
	}
	return nil, nil
}

func startFake(t *testing.T,
	answer func(join int, call *pb.CallRequest) ([]*pb.CallResponse, error),
) *singleflight.Client {
	t.Helper()
	return serveFake(t, &fakeServer{answer: answer})
}

// listen lets it serve until the end of the test, and returns its address.
func (f *fakeServer) listen(t *testing.T, options ...grpc.ServerOption) string {
	t.Helper()
	return f.listenOn(t, "tcp", "127.0.0.1:0", options...)
}

func (f *fakeServer) listenOn(t *testing.T, network, address string,
	options ...grpc.ServerOption) string {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(options...)
	pb.RegisterSingleFlightServer(server, f)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func serveFake(t *testing.T, fake *fakeServer) *singleflight.Client {
	t.Helper()
	return newClient(t, singleflight.ClientOptions{
		Addresses:      []string{fake.listen(t)},
		ConnectTimeout: patience,
		BackoffMax:     100 * time.Millisecond,
	})
}

func follow() *pb.CallResponse {
	return &pb.CallResponse{Step: &pb.CallResponse_Follow{Follow: &pb.Follow{Attempt: 1}}}
}

func result(value string, bytes uint64) *pb.CallResponse {
	outcome := &pb.Outcome{Kind: pb.OutcomeKind_OUTCOME_KIND_OK, Value: []byte(value)}
	return &pb.CallResponse{Step: &pb.CallResponse_Result{Result: &pb.Result{
		Outcome: outcome, Callers: 2, Shared: true, Attempt: 1, Token: 5, ValueBytes: bytes,
	}}}
}

func end(code codes.Code, text string) *pb.CallResponse {
	return &pb.CallResponse{Step: &pb.CallResponse_End{End: &pb.End{
		Code: int32(code), Message: text,
	}}}
}

// unknownStep is one of a later version, beside a field of a later version.
func unknownStep(t *testing.T) *pb.CallResponse {
	t.Helper()
	response := &pb.CallResponse{}
	unknown := protowire.AppendTag(nil, 99, protowire.BytesType)
	unknown = protowire.AppendBytes(unknown, []byte("news"))
	if err := proto.Unmarshal(unknown, response); err != nil {
		t.Fatal(err)
	}
	return response
}

func doRaw(t *testing.T, client *singleflight.Client) (singleflight.Result[[]byte], error) {
	t.Helper()
	return client.Do(patient(t), "k", func(context.Context, *singleflight.Leader) error {
		t.Error("nobody was told to lead")
		return nil
	})
}

func TestStepsAndFieldsOfALaterServerAreIgnored(t *testing.T) {
	client := startFake(t, func(int, *pb.CallRequest) ([]*pb.CallResponse, error) {
		return []*pb.CallResponse{unknownStep(t), follow(), unknownStep(t), result("v", 1)}, nil
	})
	if got, err := doRaw(t, client); err != nil || string(got.Value) != "v" || got.Token != 5 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAValueThatIsNotWholeIsRefused(t *testing.T) {
	client := startFake(t, func(int, *pb.CallRequest) ([]*pb.CallResponse, error) {
		return []*pb.CallResponse{follow(), result("v", 2)}, nil
	})
	var status *singleflight.StatusError
	if _, err := doRaw(t, client); !errors.As(err, &status) || status.Code != codes.Internal {
		t.Errorf("%v", err)
	}
}

func TestAJoinThatIsNotTakenIsTriedAgain(t *testing.T) {
	for name, refuse := range map[string]func() ([]*pb.CallResponse, error){
		"the call ends UNAVAILABLE": func() ([]*pb.CallResponse, error) {
			return []*pb.CallResponse{end(codes.Unavailable, "draining")}, nil
		},
		"the call ends CANCELLED": func() ([]*pb.CallResponse, error) {
			return []*pb.CallResponse{end(codes.Canceled, "by nobody here")}, nil
		},
		"the stream ends CANCELLED": func() ([]*pb.CallResponse, error) {
			return nil, status.Error(codes.Canceled, "by nobody here")
		},
		"the stream ends while following": func() ([]*pb.CallResponse, error) {
			return []*pb.CallResponse{follow()}, status.Error(codes.Unavailable, "gone")
		},
	} {
		t.Run(name, func(t *testing.T) {
			answer := func(join int, _ *pb.CallRequest) ([]*pb.CallResponse, error) {
				if join <= 2 {
					return refuse()
				}
				return []*pb.CallResponse{follow(), result("v", 1)}, nil
			}
			if got, err := doRaw(t, startFake(t, answer)); err != nil || string(got.Value) != "v" {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestAServerThatRefusesIsNotAskedAgain(t *testing.T) {
	for _, code := range []codes.Code{codes.PermissionDenied, codes.Unauthenticated} {
		client := startFake(t, func(int, *pb.CallRequest) ([]*pb.CallResponse, error) {
			return nil, status.Error(code, "not you")
		})
		var got *singleflight.StatusError
		_, err := doRaw(t, client)
		if !errors.As(err, &got) || got.Code != code || got.Message != "not you" {
			t.Errorf("%v", err)
		}
	}
}

func leadWithLease(token uint64) *pb.CallResponse {
	return &pb.CallResponse{Step: &pb.CallResponse_Lead{Lead: &pb.Lead{
		Token: token, Attempt: 1, LeaseMs: 600_000,
	}}}
}

func TestADeadlineOnTheWireLeavesTimeToGiveALeaseBack(t *testing.T) {
	for name, merges := range map[string]bool{"merges": true, "does not": false} {
		t.Run(name, func(t *testing.T) {
			joins, finishes := make(chan *pb.CallRequest, 9), make(chan *pb.CallRequest, 9)
			fake := &fakeServer{answer: func(_ int, call *pb.CallRequest) ([]*pb.CallResponse, error) {
				joins <- call
				return []*pb.CallResponse{leadWithLease(7)}, nil
			}}
			fake.answerStep = func(call *pb.CallRequest) []*pb.CallResponse {
				finishes <- call
				return []*pb.CallResponse{result("", 0)}
			}
			client := serveFake(t, fake)
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			ended := inBackground(ctx, client, "k", func(ctx context.Context) (int, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			}, singleflight.WithLease(10*time.Minute), singleflight.WithLocalMerge(merges))
			join := wait(t, "the join", joins)
			if join.TimeoutMs < 500 || join.TimeoutMs > 1100 { // a second later than here
				t.Errorf("the server is told %d ms", join.TimeoutMs)
			}
			if got := wait(t, "the end", ended); !errors.Is(got.err, context.DeadlineExceeded) {
				t.Errorf("%+v", got)
			}
			finish := wait(t, "the finish", finishes).GetFinish()
			if finish.GetOutcome().GetKind() != pb.OutcomeKind_OUTCOME_KIND_ABANDONED ||
				!finish.GetPassOn() {
				t.Errorf("%v", finish)
			}
		})
	}
}

func TestALeadThatCrossesACancelIsGivenBack(t *testing.T) {
	for name, leave := range map[string]func(context.CancelFunc, *singleflight.Client){
		"the call is cancelled": func(cancel context.CancelFunc, _ *singleflight.Client) { cancel() },
		"the client is closed": func(_ context.CancelFunc, client *singleflight.Client) {
			client.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			joins, finishes := make(chan *pb.CallRequest, 9), make(chan *pb.CallRequest, 9)
			fake := &fakeServer{answer: func(join int, call *pb.CallRequest) ([]*pb.CallResponse, error) {
				joins <- call
				if join == 1 {
					return nil, nil // its lead comes after the cancel
				}
				return []*pb.CallResponse{leadWithLease(7)}, nil
			}}
			fake.answerStep = func(call *pb.CallRequest) []*pb.CallResponse {
				if call.GetCancel() != nil {
					return []*pb.CallResponse{leadWithLease(7), end(codes.Canceled, "cancelled")}
				}
				finishes <- call
				return []*pb.CallResponse{result("", 0)}
			}
			client := serveFake(t, fake)
			ctx, cancel := context.WithCancel(patient(t))
			defer cancel()
			ended := inBackground(ctx, client, "k", never[int](t), singleflight.WithGroup("g"))
			first := wait(t, "the join", joins)
			leave(cancel, client)
			if got := wait(t, "the end", ended); got.err == nil {
				t.Errorf("%+v", got)
			}
			again, finish := wait(t, "the resume", joins), wait(t, "the finish", finishes)
			join := again.GetJoin()
			if join.ResumeToken != 7 || join.Group != "g" || string(join.Key) != "k" {
				t.Errorf("%v", again)
			}
			outcome := finish.GetFinish().GetOutcome()
			if outcome.GetKind() != pb.OutcomeKind_OUTCOME_KIND_ABANDONED ||
				outcome.Message != "the leader left" || !finish.GetFinish().PassOn {
				t.Errorf("%v", finish)
			}
			if again.Id <= first.Id || finish.Id != again.Id {
				t.Errorf("ids %d, %d, %d", first.Id, again.Id, finish.Id)
			}
			client.Close() // the session's last words have come
			if len(joins)+len(finishes) > 0 {
				t.Error("more than that was sent")
			}
		})
	}
}

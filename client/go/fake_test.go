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
}

func (f *fakeServer) Session(stream pb.SingleFlight_SessionServer) error {
	for {
		message, err := stream.Recv()
		if err != nil {
			return nil // the client has left
		}
		for _, call := range message.Calls {
			if call.GetJoin() == nil {
				continue
			}
			answers, err := f.answer(int(f.joins.Add(1)), call)
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

func startFake(t *testing.T,
	answer func(join int, call *pb.CallRequest) ([]*pb.CallResponse, error),
) *singleflight.Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterSingleFlightServer(server, &fakeServer{answer: answer})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return newClient(t, singleflight.ClientOptions{
		Addresses:      []string{listener.Addr().String()},
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

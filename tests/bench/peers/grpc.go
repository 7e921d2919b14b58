// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/singleflight"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// golang.org/x/sync/singleflight behind a grpc-go server: the function runs in the server's
// process, which is all that the package can do. There is no leader among the callers, nothing to
// hand over, nothing to retain.
const (
	getMethod     = "/bench.Peer/Get"
	waitingMethod = "/bench.Peer/Waiting"
)

type grpcServer struct {
	group   singleflight.Group
	waiting atomic.Int64
	gates   sync.Map // key: *gate
}

// A gate opens when all callers that a key announces are there, so that exactly one runs.
type gate struct {
	arrived atomic.Int64
	open    chan struct{}
}

// The key says how many callers there will be and how large the value is: "fan:CALLERS:…" or
// "KEY/CALLERS/BYTES".
func (s *grpcServer) get(ctx context.Context, request *wrapperspb.StringValue) (*wrapperspb.BytesValue, error) {
	var callers int64
	var bytes int
	key := request.GetValue()
	if _, err := fmt.Sscanf(key[strings.IndexByte(key, '/')+1:], "%d/%d", &callers, &bytes); err != nil {
		return nil, err
	}
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	one := &gate{open: make(chan struct{})}
	if callers > 1 {
		known, _ := s.gates.LoadOrStore(key, one)
		one = known.(*gate)
		if one.arrived.Add(1) == callers {
			s.gates.Delete(key)
			close(one.open)
		}
	}
	value, err, _ := s.group.Do(key, func() (any, error) {
		if callers > 1 {
			select {
			case <-one.open:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return makeValue(bytes), nil
	})
	if err != nil {
		return nil, err
	}
	return wrapperspb.Bytes(value.([]byte)), nil
}

func handle[Q any](decode func(any) error, call func(*Q) (any, error)) (any, error) {
	request := new(Q)
	if err := decode(request); err != nil {
		return nil, err
	}
	return call(request)
}

func serveGrpc() error {
	service := grpc.ServiceDesc{
		ServiceName: "bench.Peer",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			{MethodName: "Get", Handler: func(s any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				return handle(decode, func(request *wrapperspb.StringValue) (any, error) {
					return s.(*grpcServer).get(ctx, request)
				})
			}},
			{MethodName: "Waiting", Handler: func(s any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				return handle(decode, func(*wrapperspb.StringValue) (any, error) {
					return wrapperspb.Int64(s.(*grpcServer).waiting.Load()), nil
				})
			}},
		},
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	server.RegisterService(&service, &grpcServer{})
	fmt.Printf("peers listening on %s\n", listener.Addr())
	return server.Serve(listener)
}

type grpcPeer struct {
	p       plan
	clients []*grpc.ClientConn
}

func openGrpc(p plan) (peer, error) {
	it := &grpcPeer{p: p}
	for range p.clients {
		client, err := grpc.NewClient(p.target, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, err
		}
		it.clients = append(it.clients, client)
	}
	return it, nil
}

// fn cannot be used: it cannot travel to the server, which has one of its own.
func (it *grpcPeer) get(ctx context.Context, client int, key string, _ func() []byte) ([]byte, error) {
	callers := it.p.perFlight
	if strings.HasPrefix(key, "fan:") {
		_, _ = fmt.Sscanf(key, "fan:%d:", &callers)
	}
	request := wrapperspb.String(fmt.Sprintf("%s/%d/%d", key, callers, it.p.bytes))
	var reply wrapperspb.BytesValue
	if err := it.clients[client].Invoke(ctx, getMethod, request, &reply); err != nil {
		return nil, err
	}
	return reply.GetValue(), nil
}

func (it *grpcPeer) prepare(context.Context, int) error {
	return nil
}

func (it *grpcPeer) waiting(ctx context.Context) (int, bool) {
	var reply wrapperspb.Int64Value
	if err := it.clients[0].Invoke(ctx, waitingMethod, wrapperspb.String(""), &reply); err != nil {
		return 0, true
	}
	return int(reply.GetValue()), true
}

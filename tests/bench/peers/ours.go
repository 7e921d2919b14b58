// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	singleflight "github.com/singleflightd/singleflightd/client/go"
	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// singleflightd through its Go client, as a Go program would use it: one client for each process,
// a Session stream each, equal calls of one client merged. It is driven by the very loop that
// drives the peers, and the outcome is kept for as long as they keep theirs, so this is what their
// rows are to be compared with.
type oursPeer struct {
	clients []*singleflight.Client
}

func openOurs(p plan) (peer, error) {
	it := &oursPeer{}
	for range p.clients {
		client, err := singleflight.NewClient(singleflight.ClientOptions{Addresses: []string{p.target}})
		if err != nil {
			return nil, err
		}
		it.clients = append(it.clients, client)
	}
	return it, nil
}

func (it *oursPeer) get(ctx context.Context, client int, key string, fn func() []byte) ([]byte, error) {
	result, err := it.clients[client].Do(ctx, key,
		func(_ context.Context, leader *singleflight.Leader) error {
			_, err := leader.Write(fn())
			return err
		},
		singleflight.WithRetain(valueTTL))
	return result.Value, err
}

func (it *oursPeer) prepare(context.Context, int) error {
	return nil
}

func (it *oursPeer) waiting(context.Context) (int, bool) {
	return 0, false
}

// singleflightd by Do and the generated stub alone: what a program gets that has no client of ours.
type doPeer struct {
	clients []pb.SingleFlightClient
}

func openDo(p plan) (peer, error) {
	it := &doPeer{}
	for range p.clients {
		connection, err := grpc.NewClient(p.target,
			grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, err
		}
		it.clients = append(it.clients, pb.NewSingleFlightClient(connection))
	}
	return it, nil
}

func (it *doPeer) get(ctx context.Context, client int, key string, fn func() []byte) ([]byte, error) {
	stream, err := it.clients[client].Do(ctx)
	if err != nil {
		return nil, err
	}
	join := &pb.Join{Key: []byte(key), RetainMs: uint64(valueTTL.Milliseconds())}
	if err := stream.Send(&pb.DoRequest{Step: &pb.DoRequest_Join{Join: join}}); err != nil {
		return nil, err
	}
	var value []byte
	for {
		answer, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		switch step := answer.Step.(type) {
		case *pb.DoResponse_Lead:
			value = fn()
			outcome := &pb.Outcome{Kind: pb.OutcomeKind_OUTCOME_KIND_OK, Value: value}
			finish := &pb.DoRequest_Finish{Finish: &pb.Finish{Outcome: outcome}}
			if err := stream.Send(&pb.DoRequest{Step: finish}); err != nil {
				return nil, err
			}
			if err := stream.CloseSend(); err != nil {
				return nil, err
			}
		case *pb.DoResponse_Chunk:
			value = append(value, step.Chunk.Data...)
		case *pb.DoResponse_Result:
			value = append(value, step.Result.GetOutcome().GetValue()...)
			return value, endOf(stream)
		}
	}
}

// Waits for the status, so that the stream is over when its caller goes on.
func endOf(stream pb.SingleFlight_DoClient) error {
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("something came after the result: %w", err)
	}
	return nil
}

func (it *doPeer) prepare(context.Context, int) error {
	return nil
}

func (it *doPeer) waiting(context.Context) (int, bool) {
	return 0, false
}

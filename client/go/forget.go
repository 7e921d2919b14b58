// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// Forgotten tells what a Forget found.
type Forgotten struct {
	Flight   bool // a flight was forgotten that new callers would have joined
	Retained bool // a retained outcome was dropped
}

// Forget lets the next caller of a key start anew: the flight that runs keeps its callers and ends
// as usual, and a retained outcome is dropped. With ifUnshared nothing happens while followers wait
// for the flight. It takes ConnectTimeout at most.
func (c *Client) Forget(
	ctx context.Context,
	group, key string,
	ifUnshared bool,
) (Forgotten, error) {
	client, options, err := resolve(c, key, []Option{WithGroup(group)})
	if err != nil {
		return Forgotten{}, err
	}
	return client.forget(ctx, options, ifUnshared)
}

func (c *Client) forget(ctx context.Context, options *options, ifUnshared bool) (Forgotten, error) {
	if problem := options.problem(); problem != nil {
		return Forgotten{}, problem
	}
	server, conn, err := c.beginForget(options, ifUnshared)
	if err != nil {
		return Forgotten{}, err
	}
	bounded, cancel := context.WithTimeout(ctx, options.connectTimeout)
	defer cancel()
	request := &pb.ForgetRequest{
		Group:      options.group,
		Key:        []byte(options.key),
		IfUnshared: ifUnshared,
	}
	response, err := pb.NewSingleFlightClient(conn).Forget(bounded, request, grpc.WaitForReady(true))
	code, text := status.Code(err), status.Convert(err).Message()
	switch {
	case err == nil:
		return Forgotten{Flight: response.Flight, Retained: response.Retained}, nil
	case ctx.Err() != nil:
		return Forgotten{}, leftByContext(ctx)
	case code == codes.DeadlineExceeded:
		return Forgotten{}, statusErrorf(codes.Unavailable, "no server answered at %s in time: %s",
			server.address, text)
	}
	return Forgotten{}, &StatusError{Code: code, Message: text}
}

// beginForget ends the merging into what is to be forgotten, and finds the key's server.
func (c *Client) beginForget(options *options, ifUnshared bool) (*server, *grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return nil, nil, statusErrorf(codes.Canceled, "the client is closed")
	}
	if !ifUnshared {
		key := flightKey{options.group, options.key}
		for len(c.merging[key]) > 0 {
			c.merging[key][0].stopMerging()
		}
	}
	order := c.order(&options.join)
	server := c.servers[order[0]]
	for _, i := range order {
		if !c.servers[i].down {
			server = c.servers[i]
			break
		}
	}
	if server.unaryConn != nil {
		return server, server.unaryConn, nil
	}
	conn, err := server.dial()
	if err != nil {
		return nil, nil, errors.Join(ErrUnavailable, err)
	}
	server.unaryConn = conn
	return server, conn, nil
}

// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// Forgotten tells what a Forget found.
type Forgotten struct {
	Flight   bool // a flight was forgotten that new callers would have joined
	Retained bool // a retained outcome was dropped
	Ended    bool // a flight that ran was ended
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
	return client.forget(ctx, options, &pb.ForgetRequest{IfUnshared: ifUnshared})
}

// End is a Forget that ends the running flight, too: its leader is told that it lost the lead, and
// its followers end with ABORTED, which says who ended it. "" is this client's name.
func (c *Client) End(ctx context.Context, group, key, caller string) (Forgotten, error) {
	client, options, err := resolve(c, key, []Option{WithGroup(group)})
	if err != nil {
		return Forgotten{}, err
	}
	if caller == "" {
		caller = client.settings.caller
	}
	options.caller = caller
	return client.forget(ctx, options, &pb.ForgetRequest{End: true, Caller: caller})
}

// forget carries out a request, whose group and key are those of the options.
func (c *Client) forget(ctx context.Context, options *options, request *pb.ForgetRequest) (Forgotten,
	error) {
	if problem := options.problem(); problem != nil {
		return Forgotten{}, problem
	}
	if err := ctx.Err(); err != nil {
		return Forgotten{}, leftByContext(ctx)
	}
	request.Group, request.Key = options.group, []byte(options.key)
	bounded, cancel := context.WithTimeout(ctx,
		orDefault(c.settings.connectTimeout, c.settings.answerTimeout))
	defer cancel()
	wait := backoff{min: c.settings.backoffMin, max: c.settings.backoffMax}
	for {
		response, err := c.askToForget(bounded, options, request)
		switch {
		case err == nil:
			return Forgotten{response.Flight, response.Retained, response.Ended}, nil
		case ctx.Err() != nil:
			return Forgotten{}, leftByContext(ctx)
		case bounded.Err() != nil && err.Code != codes.Canceled:
			return Forgotten{}, &StatusError{Code: codes.Unavailable, Message: err.Message}
		case err.Code != codes.Unavailable || options.connectTimeout == 0:
			return Forgotten{}, err
		}
		select { // nobody could be reached
		case <-bounded.Done():
			if ctx.Err() != nil {
				return Forgotten{}, leftByContext(ctx)
			}
			return Forgotten{}, err
		case <-time.After(wait.next()):
		}
	}
}

// askToForget asks the servers in the key's order until one can be reached.
func (c *Client) askToForget(ctx context.Context, options *options, request *pb.ForgetRequest) (
	*pb.ForgetResponse, *StatusError) {
	servers, problem := c.beginForget(options, request.IfUnshared)
	for _, server := range servers {
		var conn *grpc.ClientConn
		if conn, problem = c.unaryConnOf(server); problem != nil {
			return nil, problem
		}
		response, err := pb.NewSingleFlightClient(conn).Forget(ctx, request)
		if err == nil {
			return response, nil
		}
		code, text := status.Code(err), status.Convert(err).Message()
		if code != codes.Unavailable && ctx.Err() == nil {
			return nil, &StatusError{Code: code, Message: text}
		}
		problem = statusErrorf(codes.Unavailable, "no server has answered at %s: %s", server.address, text)
	}
	return nil, problem
}

// beginForget ends the merging into what is to be forgotten, and returns the servers to ask, those
// in trouble last.
func (c *Client) beginForget(options *options, ifUnshared bool) ([]*server, *StatusError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return nil, statusErrorf(codes.Canceled, "the client is closed")
	}
	if !ifUnshared {
		key := flightKey{options.group, options.key}
		for len(c.merging[key]) > 0 {
			seat := c.merging[key][0]
			seat.stopMerging()
			seat.isForgotten = true
		}
	}
	var usable, others []*server
	for _, i := range c.order(&options.join) {
		if server := c.servers[i]; server.isUsable() {
			usable = append(usable, server)
		} else {
			others = append(others, server)
		}
	}
	return append(usable, others...), nil
}

func (c *Client) unaryConnOf(server *server) (*grpc.ClientConn, *StatusError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return nil, statusErrorf(codes.Canceled, "the client is closed")
	}
	if server.unaryConn == nil {
		conn, err := server.dial()
		if err != nil {
			return nil, statusErrorf(codes.Unavailable, "%v", err)
		}
		server.unaryConn = conn
	}
	return server.unaryConn, nil
}

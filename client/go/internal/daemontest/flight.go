// SPDX-License-Identifier: Apache-2.0

package daemontest

import (
	"context"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// Flight asks for the flight of a key that new callers would join; nil: there is none.
func (d *Daemon) Flight(ctx context.Context, key string) (*pb.Flight, error) {
	return d.find(ctx, key, func(flight *pb.Flight) bool { return !flight.Forgotten && !flight.Next })
}

// NextFlight asks for the flight that begins when that of the key has ended; nil: there is none.
func (d *Daemon) NextFlight(ctx context.Context, key string) (*pb.Flight, error) {
	return d.find(ctx, key, func(flight *pb.Flight) bool { return flight.Next })
}

func (d *Daemon) find(ctx context.Context, key string, isIt func(*pb.Flight) bool) (*pb.Flight, error) {
	conn, err := grpc.NewClient(d.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	flights, err := pb.NewAdminClient(conn).
		ListFlights(ctx, &pb.ListFlightsRequest{KeyPrefix: []byte(key)})
	if err != nil {
		return nil, err
	}
	for {
		flight, err := flights.Recv()
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if string(flight.Key) == key && isIt(flight) {
			return flight, nil
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

// What the client costs beside bare grpc-go: both do flights of distinct keys, which each of them
// leads, with the same messages to the same daemon. One line of JSON for each figure.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/singleflightd/singleflightd/client/go"
	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

var value = make([]byte, 100)

func main() {
	address := flag.String("address", "127.0.0.1:7433", "of the daemon")
	seconds := flag.Float64("seconds", 5, "how long each figure is measured")
	flag.Parse()
	if err := run(*address, time.Duration(*seconds*float64(time.Second))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(address string, duration time.Duration) error {
	client, err := singleflight.NewClient(singleflight.ClientOptions{Addresses: []string{address}})
	if err != nil {
		return err
	}
	defer client.Close()
	bare, err := openBare(address)
	if err != nil {
		return err
	}
	defer bare.close()
	flights := []struct {
		name   string
		flight func(key string) error
	}{
		{"distinct", func(key string) error { return ledByClient(client, key) }},
		{"bare", bare.flight},
	}
	for _, inFlight := range []int{64, 1} {
		for _, f := range flights {
			name := fmt.Sprintf("client.go.%s%d", f.name, inFlight)
			if err := measure(name, inFlight, duration, f.flight); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

func ledByClient(client *singleflight.Client, key string) error {
	_, err := client.Do(
		context.Background(),
		key,
		func(_ context.Context, leader *singleflight.Leader) error {
			_, err := leader.Write(value)
			return err
		},
		singleflight.WithGroup("bench"),
	)
	return err
}

// measure keeps so many flights in the air, and prints how many there were and how long one took.
func measure(
	name string,
	inFlight int,
	duration time.Duration,
	flight func(key string) error,
) error {
	took := make([][]time.Duration, inFlight)
	errs := make([]error, inFlight)
	var workers sync.WaitGroup
	began := time.Now()
	for i := range inFlight {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for n := 0; time.Since(began) < duration; n++ {
				before := time.Now()
				if errs[i] = flight(name + strconv.Itoa(i) + "." + strconv.Itoa(n)); errs[i] != nil {
					return
				}
				took[i] = append(took[i], time.Since(before))
			}
		}()
	}
	workers.Wait()
	elapsed := time.Since(began)
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"name":          name,
		"flights_per_s": float64(len(all)) / elapsed.Seconds(),
		"p50_us":        float64(all[len(all)/2].Nanoseconds()) / 1000,
	})
}

// bare is one Session stream with nothing around it: every frame is a message.
type bare struct {
	conn   *grpc.ClientConn
	cancel context.CancelFunc
	stream pb.SingleFlight_SessionClient

	mu      sync.Mutex
	id      uint64
	waiting map[uint64]chan *pb.CallResponse
	err     error
}

func openBare(address string) (*bare, error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := pb.NewSingleFlightClient(conn).Session(ctx)
	if err != nil {
		cancel()
		conn.Close()
		return nil, err
	}
	b := &bare{
		conn:    conn,
		cancel:  cancel,
		stream:  stream,
		waiting: map[uint64]chan *pb.CallResponse{},
	}
	go b.read()
	return b, nil
}

func (b *bare) close() {
	b.cancel()
	b.conn.Close()
}

func (b *bare) read() {
	for {
		message, err := b.stream.Recv()
		b.mu.Lock()
		if err != nil {
			b.err = err
			for _, answers := range b.waiting {
				close(answers)
			}
			b.mu.Unlock()
			return
		}
		for _, frame := range message.Calls {
			b.waiting[frame.Id] <- frame
		}
		b.mu.Unlock()
	}
}

func (b *bare) flight(key string) error {
	answers := make(chan *pb.CallResponse, 2) // lead, result
	b.mu.Lock()
	if b.err != nil {
		b.mu.Unlock()
		return b.err
	}
	b.id++
	id := b.id
	b.waiting[id] = answers
	join := &pb.Join{Group: "bench", Key: []byte(key)}
	err := b.send(&pb.CallRequest{Id: id, Step: &pb.CallRequest_Join{Join: join}})
	b.mu.Unlock()
	if err != nil {
		return err
	}
	if lead := <-answers; lead.GetLead() == nil {
		return fmt.Errorf("not told to lead, but %v", lead)
	}
	outcome := &pb.Outcome{Kind: pb.OutcomeKind_OUTCOME_KIND_OK, Value: value}
	b.mu.Lock()
	err = b.send(
		&pb.CallRequest{Id: id, Step: &pb.CallRequest_Finish{Finish: &pb.Finish{Outcome: outcome}}},
	)
	b.mu.Unlock()
	if err != nil {
		return err
	}
	result := <-answers
	b.mu.Lock()
	delete(b.waiting, id)
	b.mu.Unlock()
	if result.GetResult() == nil {
		return fmt.Errorf("no result, but %v", result)
	}
	return nil
}

func (b *bare) send(frame *pb.CallRequest) error {
	return b.stream.Send(&pb.SessionRequest{Calls: []*pb.CallRequest{frame}})
}

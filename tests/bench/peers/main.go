// SPDX-License-Identifier: Apache-2.0

// Command peers gives the jobs that bench_load gives to singleflightd to what people use instead,
// each driven as its users would: N callers ask for one key, one of them runs the function, all
// get the value. It prints what it found as one JSON object, with the names that bench_load uses.
//
//	peers serve                      the grpc-go server with golang.org/x/sync/singleflight
//	peers serve-session              a grpc-go server for the messages of Session, for bench_load
//	peers flow|fanout|waiters PEER   PEER: singleflightd-go, singleflightd-do, grpc-go-singleflight,
//	                                 redis-setnx, redis-rueidisaside, etcd
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

// A peer is one way to let one caller run and all have the value.
type peer interface {
	// prepare makes what so many callers at a time need and keep, before anything is measured.
	prepare(ctx context.Context, callers int) error
	// get returns the value of the key; fn runs in at most one of the callers that ask at the same
	// time, as well as the peer can promise that. client says which of the plan's clients asks.
	get(ctx context.Context, client int, key string, fn func() []byte) ([]byte, error)
	// waiting says how many callers of the fan-out's key wait, when the peer can tell.
	waiting(ctx context.Context) (int, bool)
}

type plan struct {
	target    string
	clients   int
	pid       int
	bytes     int
	seconds   float64
	warmup    float64
	flights   int
	perFlight int
	rate      float64
	followers int
	rounds    int
}

func open(name string, p plan) (peer, error) {
	switch name {
	case "grpc-go-singleflight":
		return openGrpc(p)
	case "redis-setnx":
		return openSetnx(p), nil
	case "redis-rueidisaside":
		return openAside(p)
	case "singleflightd-go":
		return openOurs(p)
	case "singleflightd-do":
		return openDo(p)
	case "etcd":
		return openEtcd(p)
	}
	return nil, fmt.Errorf("there is no peer %q", name)
}

func run(job, name string, p plan) (any, error) {
	it, err := open(name, p)
	if err != nil {
		return nil, err
	}
	if err := it.prepare(context.Background(), callersOf(job, p)); err != nil {
		return nil, err
	}
	switch job {
	case "flow":
		return flow(it, p)
	case "fanout":
		return fanout(it, p)
	case "waiters":
		return waiters(it, p)
	}
	return nil, fmt.Errorf("there is no job %q", job)
}

func callersOf(job string, p plan) int {
	if job == "fanout" {
		return p.followers + 1
	}
	return p.flights * p.perFlight
}

func main() {
	var p plan
	flags := flag.NewFlagSet("peers", flag.ExitOnError)
	flags.StringVar(&p.target, "target", "", "host:port of the server")
	flags.IntVar(&p.clients, "clients", 4, "clients, as many processes would have them")
	flags.IntVar(&p.pid, "pid", 0, "the server's process, to look at its CPU and memory")
	flags.IntVar(&p.bytes, "bytes", 100, "size of the value")
	flags.Float64Var(&p.seconds, "seconds", 1, "how long to measure")
	flags.Float64Var(&p.warmup, "warmup", 0.2, "seconds before that")
	flags.IntVar(&p.flights, "flights", 1, "flow: keys in flight; waiters: keys")
	flags.IntVar(&p.perFlight, "per-flight", 1, "flow, waiters: callers of one key")
	flags.Float64Var(&p.rate, "rate", 0, "flow: flights that begin each second; 0: as they end")
	flags.IntVar(&p.followers, "followers", 1, "fanout: callers beside the one that runs")
	flags.IntVar(&p.rounds, "rounds", 3, "fanout: at most so many")

	if len(os.Args) > 1 && os.Args[1] == "serve" {
		fail(serveGrpc())
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "serve-session" {
		fail(serveSession())
		return
	}
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: peers serve | serve-session | flow|fanout|waiters PEER [flags]"))
	}
	_ = flags.Parse(os.Args[3:])
	found, err := run(os.Args[1], os.Args[2], p)
	fail(err)
	fail(json.NewEncoder(os.Stdout).Encode(found))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// The function that the one caller runs: there is nothing to do but to make the value, whose first
// bytes say when it was made (fanout.go).
func makeValue(bytes int) []byte {
	value := make([]byte, max(bytes, stampBytes))
	for i := range value {
		value[i] = 'v'
	}
	putStamp(value, time.Now())
	return value
}

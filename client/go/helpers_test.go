// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"context"
	"testing"
	"time"

	"github.com/singleflightd/singleflightd/client/go"
	"github.com/singleflightd/singleflightd/client/go/internal/daemontest"
	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// patience bounds what is waited for, on a busy machine too.
const patience = 30 * time.Second

func newClient(t testing.TB, options singleflight.ClientOptions) *singleflight.Client {
	t.Helper()
	client, err := singleflight.NewClient(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// daemonAndClient starts a daemon with one client.
func daemonAndClient(t testing.TB) (*daemontest.Daemon, *singleflight.Client) {
	t.Helper()
	daemon := daemontest.Start(t)
	return daemon, clientOf(t, daemon)
}

func clientOf(t testing.TB, daemon *daemontest.Daemon) *singleflight.Client {
	t.Helper()
	return newClient(t, singleflight.ClientOptions{Addresses: []string{daemon.Address}})
}

func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// wait fails the test when nothing comes.
func wait[T any](t testing.TB, what string, channel <-chan T) T {
	t.Helper()
	select {
	case value := <-channel:
		return value
	case <-time.After(patience):
		t.Fatalf("%s: nothing has come", what)
		panic("not reached")
	}
}

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: it does not come about", what)
		}
	}
}

// flightOf asks the daemon for the flight of a key; nil: there is none.
func flightOf(t testing.TB, daemon *daemontest.Daemon, key string) *pb.Flight {
	t.Helper()
	flight, err := daemon.Flight(patient(t), key)
	if err != nil {
		t.Fatal(err)
	}
	return flight
}

// waitForCallers waits until so many places of the daemon belong to a key.
func waitForCallers(t testing.TB, daemon *daemontest.Daemon, key string, callers int) {
	t.Helper()
	eventually(t, "callers", func() bool {
		return int(flightOf(t, daemon, key).GetCallers()) == callers
	})
}

// gate is a function that tells when it has begun and waits until it is opened.
type gate struct {
	begun  chan struct{}
	opened chan struct{}
}

func newGate() *gate { return &gate{make(chan struct{}, 100), make(chan struct{})} }

func (g *gate) pass(ctx context.Context) error {
	g.begun <- struct{}{}
	select {
	case <-g.opened:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// never is for callers that must not lead.
func never[T any](t testing.TB) func(context.Context) (T, error) {
	return func(context.Context) (value T, err error) {
		t.Error("this caller must not lead")
		return value, nil
	}
}

// outcome is what a Do in the background returns.
type outcome[T any] struct {
	result singleflight.Result[T]
	err    error
}

// inBackground calls Do in a goroutine.
func inBackground[T any](ctx context.Context, target singleflight.Target, key string,
	fn func(context.Context) (T, error), opts ...singleflight.Option) <-chan outcome[T] {
	ended := make(chan outcome[T], 1)
	go func() {
		result, err := singleflight.Do(ctx, target, key, fn, opts...)
		ended <- outcome[T]{result, err}
	}()
	return ended
}

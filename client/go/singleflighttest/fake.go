// SPDX-License-Identifier: Apache-2.0

// Package singleflighttest is for tests of programs that use singleflight: a real client, and a
// scripted server beside it in the same process. No daemon is needed, and no network.
//
// Unless a script says otherwise, whoever asks for a key is told to lead, so the function runs.
// Nothing is retained: the next call runs it again. A script holds for a key, in every group, until
// another one is set.
package singleflighttest

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	singleflight "github.com/singleflightd/singleflightd/client/go"
	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

const (
	// Is never dialled: the connection is a pipe.
	address        = "127.0.0.1:1"
	pipeBytes      = 256 * 1024
	connectTimeout = 2 * time.Second
	backoffMax     = 50 * time.Millisecond
)

// Fake is a scripted server, and a client that talks to it. Its methods may be called from any
// goroutine, also while calls run: a script holds for the calls that come after it.
type Fake struct {
	// Client is real: what it merges, decodes, refuses and tries again is what a program would see.
	Client *singleflight.Client

	listener *bufconn.Listener

	mu      sync.Mutex
	scripts map[string]script // by key
	calls   []singleflight.Event
	joins   []*pb.Join
	forgets []*pb.ForgetRequest
	conns   []net.Conn
	isDown  bool
	token   uint64 // the last one granted
}

// New makes a fake, which is closed at the end of the test. Options are those of the client, but
// that Addresses, Credentials and TLS do not matter, and that ConnectTimeout is 2 s by default.
func New(t testing.TB, options singleflight.ClientOptions) *Fake {
	t.Helper()
	f := &Fake{listener: bufconn.Listen(pipeBytes), scripts: map[string]script{}}
	server := grpc.NewServer()
	pb.RegisterSingleFlightServer(server, &service{fake: f})
	go func() { _ = server.Serve(f.listener) }() // until it is stopped
	t.Cleanup(server.Stop)
	options.Addresses = []string{address}
	options.Credentials = insecure.NewCredentials()
	if options.ConnectTimeout == 0 {
		options.ConnectTimeout = connectTimeout
	}
	if options.BackoffMax == 0 {
		options.BackoffMax = backoffMax
	}
	options.Observer = f.observe(options.Observer)
	options.DialOptions = append(slices.Clone(options.DialOptions), grpc.WithContextDialer(f.dial))
	client, err := singleflight.NewClient(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() }) // it never fails
	f.Client = client
	return f
}

// Outcome lets callers of the key follow, and get what a function elsewhere has returned. The value
// is encoded by [singleflight.JSON], but for a []byte, which is taken as it is: for
// [singleflight.Client.Do], and for other codecs. An err that is a [*singleflight.StatusError] is a
// refusal by the server instead.
func (f *Fake) Outcome(key string, value any, err error) {
	f.set(key, outcomeScript(value, err))
}

// Takeover lets a caller of the key follow, and then lead with attempt 2, because the first leader
// was lost.
func (f *Fake) Takeover(key string) { f.set(key, script{takesOver: true}) }

// Lose lets a caller of the key lead, and lose the lead at once: its function's context is
// cancelled, and the call ends with ABORTED.
func (f *Fake) Lose(key string) { f.set(key, script{loses: true}) }

// Lead lets a caller of the key lead, as without a script.
func (f *Fake) Lead(key string) { f.set(key, script{}) }

// Unavailable: from now on no server can be reached, and connections are broken. A call that does
// not fail open waits for ConnectTimeout, then ends with UNAVAILABLE.
func (f *Fake) Unavailable() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.isDown = true
	for _, conn := range f.conns {
		_ = conn.Close() // it may be closed
	}
	f.conns = nil
}

// Available undoes Unavailable.
func (f *Fake) Available() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.isDown = false
}

// Calls returns every call that has ended, in that order: what the observer was told.
func (f *Fake) Calls() []singleflight.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Joins returns what the server was asked for, in that order, with the options of each. Equal calls
// at the same time are one; a call that reached no server is not among them.
func (f *Fake) Joins() []*pb.Join {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.joins)
}

// Forgets returns the requests of Forget and End.
func (f *Fake) Forgets() []*pb.ForgetRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.forgets)
}

func (f *Fake) set(key string, script script) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scripts[key] = script
}

func (f *Fake) dial(ctx context.Context, _ string) (net.Conn, error) {
	conn, err := f.listener.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.isDown {
		_ = conn.Close() // nothing was sent
		return nil, errors.New("the fake is unavailable")
	}
	f.conns = append(f.conns, conn)
	return conn, nil
}

// observe notes the calls, and tells the observer of the program, which stays a Tracer if it is one.
func (f *Fake) observe(of singleflight.Observer) singleflight.Observer {
	noting := singleflight.ObserverFunc(func(ctx context.Context, event singleflight.Event) {
		if event.Kind == singleflight.EventEnded {
			f.mu.Lock()
			f.calls = append(f.calls, event)
			f.mu.Unlock()
		}
		if of != nil {
			of.Observe(ctx, event)
		}
	})
	if tracer, ok := of.(singleflight.Tracer); ok {
		return notingTracer{tracer, noting}
	}
	return noting
}

type notingTracer struct {
	singleflight.Tracer
	noting singleflight.ObserverFunc
}

func (t notingTracer) Observe(ctx context.Context, event singleflight.Event) { t.noting(ctx, event) }

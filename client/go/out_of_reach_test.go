// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/singleflightd/singleflightd/client/go"
	"github.com/singleflightd/singleflightd/client/go/internal/daemontest"
	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

func makes(value string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return value, nil }
}

// atOnce is long for what takes no time, and short beside the ConnectTimeout of these tests.
const atOnce = 10 * time.Second

func inTime(t *testing.T, what string, began time.Time) {
	t.Helper()
	if took := time.Since(began); took > atOnce {
		t.Errorf("%s took %v", what, took)
	}
}

func TestWhenEveryAddressIsRefusedTheFunctionRunsHereAtOnce(t *testing.T) {
	for name, addresses := range map[string][]string{
		"one":          {closedAddress(t)},
		"two":          {closedAddress(t), closedAddress(t)},
		"not found":    {"no-such-host.invalid:7433"},
		"not a server": {speaksNoGRPC(t)},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, singleflight.ClientOptions{
				Addresses: addresses, ConnectTimeout: patience, FailOpen: true,
			})
			for range 2 {
				began := time.Now()
				result, err := singleflight.Do(patient(t), client, "k", makes("here"))
				if err != nil || result.Value != "here" || !result.FailedOpen {
					t.Errorf("%+v, %v", result, err)
				}
				inTime(t, "a refused call", began)
			}
		})
	}
}

// speaksNoGRPC is the address of somebody who answers every connection with a line of his own.
func speaksNoGRPC(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			conn.Close()
		}
	}()
	return listener.Addr().String()
}

func TestARefusedAddressAmongOthersCostsNothing(t *testing.T) {
	daemon := daemontest.Start(t)
	client := newClient(t, singleflight.ClientOptions{
		Addresses:      []string{closedAddress(t), daemon.Address, closedAddress(t)},
		ConnectTimeout: patience,
	})
	began := time.Now()
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		result, err := singleflight.Do(patient(t), client, key, makes("there"))
		if err != nil || result.FailedOpen {
			t.Errorf("%+v, %v", result, err)
		}
		if _, err := client.Forget(patient(t), "", key, false); err != nil {
			t.Errorf("Forget: %v", err)
		}
	}
	inTime(t, "all", began)
}

func TestAZeroConnectTimeoutDoesNotWait(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, address := range map[string]string{
		"refused": closedAddress(t), "silent": silent.Addr().String(),
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, singleflight.ClientOptions{
				Addresses: []string{address}, ConnectTimeout: patience,
			})
			began := time.Now()
			_, err := singleflight.Do(patient(t), client, "k", never[string](t),
				singleflight.WithConnectTimeout(0))
			if !errors.Is(err, singleflight.ErrUnavailable) {
				t.Errorf("%v", err)
			}
			result, err := singleflight.Do(patient(t), client, "k", makes("here"),
				singleflight.WithConnectTimeout(0), singleflight.WithFailOpen(true))
			if err != nil || !result.FailedOpen {
				t.Errorf("%+v, %v", result, err)
			}
			inTime(t, "not waiting", began)
		})
	}
}

// isDraining turns so many joins away as a server that drains does, and takes the others.
func isDraining(joins int) *fakeServer {
	return &fakeServer{answer: func(join int, _ *pb.CallRequest) ([]*pb.CallResponse, error) {
		if join <= joins {
			return []*pb.CallResponse{end(codes.Unavailable, "draining")}, nil
		}
		return []*pb.CallResponse{follow(), result(`"there"`, 7)}, nil
	}}
}

func TestADrainIsNotNoServer(t *testing.T) {
	for name, fakes := range map[string][]*fakeServer{
		"another address remains": {isDraining(1000000), isDraining(0)},
		"time remains":            {isDraining(3)},
	} {
		t.Run(name, func(t *testing.T) {
			var addresses []string
			for _, fake := range fakes {
				addresses = append(addresses, fake.listen(t))
			}
			client := newClient(t, singleflight.ClientOptions{
				Addresses: addresses, ConnectTimeout: patience, FailOpen: true,
			})
			began := time.Now()
			for _, key := range []string{"a", "b", "c", "d"} {
				result, err := singleflight.Do(patient(t), client, key, never[string](t))
				if err != nil || result.FailedOpen || result.Value != "there" {
					t.Errorf("%+v, %v", result, err)
				}
			}
			inTime(t, "all", began)
		})
	}
}

func TestACallDoesNotFailOpenWhileAServerDrains(t *testing.T) {
	client := newClient(t, singleflight.ClientOptions{
		Addresses:      []string{isDraining(1000000).listen(t)},
		ConnectTimeout: 300 * time.Millisecond,
		FailOpen:       true,
	})
	for range 2 { // each has the time for itself
		began := time.Now()
		_, err := singleflight.Do(patient(t), client, "k", never[string](t))
		if !errors.Is(err, singleflight.ErrUnavailable) || !strings.Contains(err.Error(), "drain") {
			t.Errorf("%v", err)
		}
		if waited := time.Since(began); waited < 250*time.Millisecond {
			t.Errorf("it has tried for %v only", waited)
		}
	}
}

func TestALeaderThatLosesTheServerGoesOnToItsEndIfItFailsOpen(t *testing.T) {
	for _, lease := range []time.Duration{0, time.Second} {
		t.Run(lease.String(), func(t *testing.T) {
			daemon := daemontest.Start(t)
			client := newClient(t, singleflight.ClientOptions{
				Addresses: []string{daemon.Address}, ConnectTimeout: patience, FailOpen: true,
			})
			gate := newGate()
			var leader *singleflight.Leader
			led := inBackground(patient(t), client, "k", func(ctx context.Context) (string, error) {
				leader = singleflight.LeaderFromContext(ctx)
				return "made", gate.pass(ctx)
			}, singleflight.WithLease(lease))
			wait(t, "the lead", gate.begun)
			merged := inBackground(patient(t), client, "k", never[string](t),
				singleflight.WithLease(lease))
			client.WaitForMerged(t, "k", 2)
			daemon.Kill()
			eventually(t, "it is alone", leader.FailedOpen)
			if err := leader.Err(); err != nil {
				t.Errorf("it is told: %v", err)
			}
			close(gate.opened)
			for _, ended := range []<-chan outcome[string]{led, merged} {
				got := wait(t, "a caller", ended)
				if got.err != nil || got.result.Value != "made" || !got.result.FailedOpen {
					t.Errorf("%+v", got)
				}
			}
		})
	}
}

func TestALeaderGoesOnWhileItsLeaseHolds(t *testing.T) {
	daemon := daemontest.Start(t)
	client := newClient(t, singleflight.ClientOptions{Addresses: []string{daemon.Address}})
	lost := make(chan time.Duration, 1)
	led := inBackground(patient(t), client, "k", func(ctx context.Context) (string, error) {
		daemon.Kill()
		killed := time.Now()
		wait(t, "the loss", ctx.Done())
		lost <- time.Since(killed)
		return "", ctx.Err()
	}, singleflight.WithLease(2*time.Second))
	if after := wait(t, "the loss", lost); after < time.Second {
		t.Errorf("lost %v after the end of the daemon, with a lease of 2 s", after)
	}
	if got := wait(t, "the caller", led); !errors.Is(got.err, singleflight.ErrAborted) {
		t.Errorf("%+v", got)
	}
}

func TestLeadsWithALeaseOutliveTheDaemon(t *testing.T) {
	const jobs, lease = 20, 4 * time.Second
	folder := t.TempDir()
	daemon := daemontest.Start(t, "--data-dir", folder)
	client := newClient(t, singleflight.ClientOptions{
		Addresses:  []string{daemon.Address},
		BackoffMin: time.Minute, // too long for the leases
		BackoffMax: time.Minute,
	})
	gate := newGate()
	var all []<-chan outcome[string]
	for i := range jobs {
		all = append(all, inBackground(patient(t), client, fmt.Sprint(i),
			func(ctx context.Context) (string, error) { return "done", gate.pass(ctx) },
			singleflight.WithLease(lease)))
	}
	for range jobs {
		wait(t, "a lead", gate.begun)
	}
	daemon.Kill()
	select {
	case <-time.After(lease / 2):
	case <-gate.begun:
		t.Error("a job runs twice")
	}
	again := daemontest.Start(t, "--data-dir", folder, "--listen", daemon.Address)
	for i := range jobs {
		eventually(t, "it leads again", func() bool {
			return flightOf(t, again, fmt.Sprint(i)).GetState() == pb.Flight_STATE_LED
		})
	}
	close(gate.opened)
	for i, ended := range all {
		got := wait(t, "a job", ended)
		if got.err != nil || got.result.Attempt != 1 || !got.result.Led || got.result.FailedOpen {
			t.Errorf("job %d: %+v", i, got)
		}
	}
}

func TestALeadIsResumedWhileTheServerDrains(t *testing.T) {
	daemon := daemontest.Start(t)
	relay := daemontest.StartRelay(t, daemon.Address)
	client := newClient(t, singleflight.ClientOptions{Addresses: []string{relay.Address}})
	gate := newGate()
	led := inBackground(patient(t), client, "k", func(ctx context.Context) (string, error) {
		return "done", gate.pass(ctx)
	}, singleflight.WithLease(time.Minute))
	wait(t, "the lead", gate.begun)
	daemon.Terminate(t)
	eventually(t, "the drain", func() bool {
		_, err := singleflight.Do(patient(t), client, "another", makes("v"),
			singleflight.WithConnectTimeout(100*time.Millisecond))
		return errors.Is(err, singleflight.ErrUnavailable)
	})
	relay.Cut()
	eventually(t, "it leads again", func() bool {
		return flightOf(t, daemon, "k").GetState() == pb.Flight_STATE_LED
	})
	close(gate.opened)
	if got := wait(t, "the job", led); got.err != nil || got.result.Attempt != 1 {
		t.Errorf("%+v", got)
	}
	daemon.WaitForExit(t)
}

// A server that took a join and says no more is silent for a call that does not wait for a
// connection, too.
func TestASilentServerIsDownForACallThatDoesNotWait(t *testing.T) {
	fake := &fakeServer{answer: func(join int, _ *pb.CallRequest) ([]*pb.CallResponse, error) {
		if join == 1 {
			return []*pb.CallResponse{result(`"there"`, 7)}, nil
		}
		return nil, nil
	}}
	client := newClient(t, singleflight.ClientOptions{
		Addresses: []string{fake.listen(t)}, ConnectTimeout: 500 * time.Millisecond,
	})
	if _, err := singleflight.Do(patient(t), client, "k", never[string](t)); err != nil {
		t.Fatal(err)
	}
	_, err := singleflight.Do(patient(t), client, "k", never[string](t),
		singleflight.WithConnectTimeout(0))
	if err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("%v", err)
	}
}

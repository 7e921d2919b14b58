// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/singleflightd/singleflightd/client/go"
	"github.com/singleflightd/singleflightd/client/go/internal/daemontest"
)

// closedAddress is one where nothing listens.
func closedAddress(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func TestAWrongAddressIsUnavailableAndSaysWhatToDo(t *testing.T) {
	address := closedAddress(t)
	client := newClient(
		t,
		singleflight.ClientOptions{
			Addresses:      []string{address},
			ConnectTimeout: 300 * time.Millisecond,
		},
	)
	began := time.Now()
	_, err := singleflight.Do(patient(t), client, "k", never[int](t))
	if !errors.Is(err, singleflight.ErrUnavailable) {
		t.Fatalf("%v", err)
	}
	for _, part := range []string{address, "connection refused", "SINGLEFLIGHT_ADDRESS"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is missing in %q", part, err)
		}
	}
	if waited := time.Since(began); waited < 250*time.Millisecond {
		t.Errorf("it has tried for %v only", waited)
	}
	// A server that is known to be down may be back soon.
	began = time.Now()
	if _, err := singleflight.Do(patient(t), client, "k", never[int](t)); !errors.Is(
		err,
		singleflight.ErrUnavailable,
	) {
		t.Errorf("%v", err)
	}
	if waited := time.Since(began); waited < 250*time.Millisecond {
		t.Errorf("the second call has waited for %v only", waited)
	}
}

func TestASilentServerIsPassedOver(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client := newClient(t, singleflight.ClientOptions{
		Addresses:      []string{listener.Addr().String()},
		ConnectTimeout: 200 * time.Millisecond,
	})
	_, err = singleflight.Do(patient(t), client, "k", never[int](t))
	if !errors.Is(err, singleflight.ErrUnavailable) ||
		!strings.Contains(err.Error(), "does not answer") {
		t.Errorf("%v", err)
	}
}

func TestAServerThatIsNoSingleflightdIsNamed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	defer server.Stop()
	go func() { _ = server.Serve(listener) }()
	client := newClient(
		t,
		singleflight.ClientOptions{Addresses: []string{listener.Addr().String()}},
	)
	_, err = singleflight.Do(patient(t), client, "k", never[int](t))
	var status *singleflight.StatusError
	if !errors.As(err, &status) || status.CodeName() != "UNIMPLEMENTED" ||
		!strings.Contains(status.Message, "older") {
		t.Errorf("%v", err)
	}
}

func TestFailOpenRunsTheFunctionHereAndSaysSo(t *testing.T) {
	client := newClient(t, singleflight.ClientOptions{
		Addresses:      []string{closedAddress(t)},
		ConnectTimeout: 200 * time.Millisecond,
		FailOpen:       true,
	})
	gate := newGate()
	fn := func(ctx context.Context) (string, error) {
		if token := singleflight.TokenFromContext(ctx); token != 0 {
			t.Errorf("token %d", token)
		}
		return "alone", gate.pass(ctx)
	}
	led := inBackground(patient(t), client, "k", fn)
	client.WaitForMerged(t, "k", 1)
	merged := inBackground(patient(t), client, "k", never[string](t))
	wait(t, "the function", gate.begun)
	client.WaitForMerged(t, "k", 2)
	close(gate.opened)
	for _, ended := range []<-chan outcome[string]{led, merged} {
		got := wait(t, "an outcome", ended)
		if got.err != nil || got.result.Value != "alone" || !got.result.FailedOpen ||
			got.result.Callers != 2 ||
			got.result.Token != 0 {
			t.Errorf("%+v", got)
		}
	}
	_, err := singleflight.Do(
		patient(t),
		client,
		"k",
		never[string](t),
		singleflight.WithFailOpen(false),
	)
	if !errors.Is(err, singleflight.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

func TestACallWaitsForADaemonThatStartsLater(t *testing.T) {
	daemon := daemontest.Start(t)
	address := daemon.Address
	daemon.Kill()
	client := newClient(
		t,
		singleflight.ClientOptions{Addresses: []string{address}, ConnectTimeout: patience},
	)
	ended := inBackground(
		patient(t),
		client,
		"k",
		func(context.Context) (int, error) { return 1, nil },
	)
	client.WaitForMerged(t, "k", 1)
	daemontest.Start(t, "--listen", address)
	if got := wait(t, "the outcome", ended); got.err != nil || got.result.FailedOpen {
		t.Errorf("%+v", got)
	}
}

func TestAServerThatIsBackIsUsedAgain(t *testing.T) {
	daemon := daemontest.Start(t)
	client := newClient(
		t,
		singleflight.ClientOptions{
			Addresses:      []string{daemon.Address},
			ConnectTimeout: 200 * time.Millisecond,
		},
	)
	one := func(context.Context) (int, error) { return 1, nil }
	if _, err := singleflight.Do(patient(t), client, "k", one); err != nil {
		t.Fatal(err)
	}
	daemon.Kill()
	if _, err := singleflight.Do(patient(t), client, "k", one); !errors.Is(
		err,
		singleflight.ErrUnavailable,
	) {
		t.Fatalf("%v", err)
	}
	daemontest.Start(t, "--listen", daemon.Address)
	eventually(t, "the health check", func() bool {
		_, err := singleflight.Do(patient(t), client, "k", one)
		return err == nil
	})
}

func TestADrainingServerEndsItsFlightsInPeace(t *testing.T) {
	daemon, client := daemonAndClient(t)
	other := clientOf(t, daemon)
	gate := newGate()
	led := inBackground(
		patient(t),
		client,
		"k",
		func(ctx context.Context) (string, error) { return "v", gate.pass(ctx) },
	)
	wait(t, "the lead", gate.begun)
	followed := inBackground(patient(t), other, "k", never[string](t))
	waitForCallers(t, daemon, "k", 2)
	daemon.Terminate(t)
	eventually(t, "the drain", func() bool {
		_, err := singleflight.Do(
			patient(t),
			other,
			"another",
			func(context.Context) (int, error) { return 0, nil },
			singleflight.WithConnectTimeout(100*time.Millisecond),
		)
		return errors.Is(err, singleflight.ErrUnavailable)
	})
	close(gate.opened)
	for _, ended := range []<-chan outcome[string]{led, followed} {
		if got := wait(t, "the outcome", ended); got.err != nil || got.result.Value != "v" {
			t.Errorf("%+v", got)
		}
	}
	daemon.WaitForExit(t)
}

func TestARestartOfTheDaemonLosesTheLeadAndFollowersTryAgain(t *testing.T) {
	daemon, here := daemonAndClient(t)
	there := clientOf(t, daemon)
	gate := newGate()
	lost := make(chan error, 1)
	led := inBackground(patient(t), here, "k", func(ctx context.Context) (string, error) {
		err := gate.pass(ctx)
		lost <- err
		return "", err
	})
	wait(t, "the lead", gate.begun)
	followed := inBackground(
		patient(t),
		there,
		"k",
		func(context.Context) (string, error) { return "after", nil },
	)
	waitForCallers(t, daemon, "k", 2)
	daemon.Kill()
	daemontest.Start(t, "--listen", daemon.Address)
	if err := wait(t, "the function", lost); !errors.Is(err, singleflight.ErrAborted) {
		t.Errorf("%v", err)
	}
	if got := wait(t, "the leader", led); !errors.Is(got.err, singleflight.ErrAborted) {
		t.Errorf("%+v", got)
	}
	if got := wait(t, "the follower", followed); got.err != nil || got.result.Value != "after" ||
		!got.result.Led {
		t.Errorf("%+v", got)
	}
}

func TestMergedCallersOfALostLeaderTryAgain(t *testing.T) {
	daemon := daemontest.Start(t)
	relay := daemontest.StartRelay(t, daemon.Address)
	client := newClient(t, singleflight.ClientOptions{Addresses: []string{relay.Address}})
	gate := newGate()
	led := inBackground(
		patient(t),
		client,
		"k",
		func(ctx context.Context) (string, error) { return "", gate.pass(ctx) },
	)
	wait(t, "the lead", gate.begun)
	merged := inBackground(
		patient(t),
		client,
		"k",
		func(context.Context) (string, error) { return "again", nil },
	)
	client.WaitForMerged(t, "k", 2)
	relay.Cut()
	if got := wait(t, "the leader", led); !errors.Is(got.err, singleflight.ErrAborted) {
		t.Errorf("%+v", got)
	}
	if got := wait(t, "the merged caller", merged); got.err != nil || got.result.Value != "again" ||
		!got.result.Led {
		t.Errorf("%+v", got)
	}
}

func TestALeaseOutlivesABrokenConnection(t *testing.T) {
	daemon := daemontest.Start(t)
	relay := daemontest.StartRelay(t, daemon.Address)
	leads := newClient(t, singleflight.ClientOptions{Addresses: []string{relay.Address}})
	follows := clientOf(t, daemon)
	gate := newGate()
	half := strings.Repeat("half ", 100_000)
	led := leads.Start(
		patient(t),
		"k",
		func(ctx context.Context, leader *singleflight.Leader) error {
			if _, err := leader.Write([]byte(half)); err != nil {
				return err
			}
			if err := gate.pass(ctx); err != nil {
				return err
			}
			_, err := leader.Write([]byte("and half"))
			return err
		},
		singleflight.WithLease(time.Minute),
	)
	wait(t, "the lead", gate.begun)
	wait(t, "the connection", relay.Accepted())
	followed := follows.Start(
		patient(t),
		"k",
		nil,
		singleflight.WithRole(singleflight.FollowOnly),
		singleflight.WithLive(),
	)
	waitForCallers(t, daemon, "k", 2)
	relay.Cut()
	wait(t, "the next connection", relay.Accepted())
	close(gate.opened)
	for role, call := range map[string]*singleflight.Call{"leader": led, "follower": followed} {
		result, err := call.Result()
		if err != nil || string(result.Value) != half+"and half" || result.Attempt != 1 {
			t.Errorf("%s: %d bytes, attempt %d, %v", role, len(result.Value), result.Attempt, err)
		}
	}
}

func TestWhatWasLostOnTheWayIsSentAgain(t *testing.T) {
	daemon := daemontest.Start(t)
	relay := daemontest.StartRelay(t, daemon.Address)
	leads := newClient(t, singleflight.ClientOptions{Addresses: []string{relay.Address}})
	follows := clientOf(t, daemon)
	gate := newGate()
	first, second := strings.Repeat("first ", 50_000), strings.Repeat("second", 50_000)
	led := leads.Start(patient(t), "k",
		func(ctx context.Context, leader *singleflight.Leader) error {
			if _, err := leader.Write([]byte(first)); err != nil {
				return err
			}
			if err := gate.pass(ctx); err != nil {
				return err
			}
			_, err := leader.Write([]byte(second))
			return err
		}, singleflight.WithLease(time.Minute))
	wait(t, "the lead", gate.begun)
	followed := follows.Start(patient(t), "k", nil, singleflight.WithRole(singleflight.FollowOnly))
	waitForCallers(t, daemon, "k", 2)
	eventually(t, "the first half", func() bool {
		return int(flightOf(t, daemon, "k").GetValueBytes()) == len(first)
	})
	relay.Swallow()
	close(gate.opened)
	eventually(t, "the loss", func() bool { return relay.Swallowed() > int64(len(second)) })
	relay.Cut()
	for role, call := range map[string]*singleflight.Call{"leader": led, "follower": followed} {
		result, err := call.Result()
		if err != nil || string(result.Value) != first+second || result.Attempt != 1 {
			t.Errorf("%s: %d bytes, %v", role, len(result.Value), err)
		}
	}
}

func TestALeaseIsRenewed(t *testing.T) {
	daemon, client := daemonAndClient(t)
	gate := newGate()
	led := inBackground(
		patient(t),
		client,
		"k",
		func(ctx context.Context) (string, error) { return "v", gate.pass(ctx) },
		singleflight.WithLease(time.Second),
	)
	wait(t, "the lead", gate.begun)
	eventually(
		t,
		"two leases",
		func() bool { return flightOf(t, daemon, "k").GetRunningMs() > 2100 },
	)
	close(gate.opened)
	if got := wait(t, "the leader", led); got.err != nil || got.result.Attempt != 1 {
		t.Errorf("%+v", got)
	}
}

func TestSeveralServersShareTheKeysAndStandIn(t *testing.T) {
	one, two := daemontest.Start(t), daemontest.Start(t)
	addresses := []string{one.Address, two.Address}
	options := singleflight.ClientOptions{
		Addresses:      addresses,
		ConnectTimeout: 300 * time.Millisecond,
	}
	client := newClient(t, options)
	home := one
	if singleflight.RendezvousOrder(addresses, "", "k")[0] == 1 {
		home = two
	}
	gate := newGate()
	led := inBackground(
		patient(t),
		client,
		"k",
		func(ctx context.Context) (string, error) { return "v", gate.pass(ctx) },
	)
	wait(t, "the lead", gate.begun)
	if flightOf(t, home, "k") == nil {
		t.Error("the flight is not at its home")
	}
	close(gate.opened)
	wait(t, "the outcome", led)
	home.Kill()
	result, err := singleflight.Do(
		patient(t),
		client,
		"k",
		func(context.Context) (string, error) { return "elsewhere", nil },
	)
	if err != nil || result.Value != "elsewhere" || result.FailedOpen {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestCloseEndsEverythingAndLeavesNothingBehind(t *testing.T) {
	daemon := daemontest.Start(t)
	eventually(t, "quiet", func() bool { runtime.GC(); return true })
	before := runtime.NumGoroutine()
	client := newClient(t, singleflight.ClientOptions{
		Addresses:      []string{daemon.Address, closedAddress(t)},
		ConnectTimeout: 200 * time.Millisecond,
	})
	other := clientOf(t, daemon)
	gate := newGate()
	led := inBackground(
		patient(t),
		client,
		"led",
		func(ctx context.Context) (string, error) { return "", gate.pass(ctx) },
	)
	wait(t, "the lead", gate.begun)
	elsewhere := newGate()
	ledElsewhere := inBackground(
		patient(t),
		other,
		"followed",
		func(ctx context.Context) (string, error) {
			return "v", elsewhere.pass(ctx)
		},
	)
	wait(t, "the lead elsewhere", elsewhere.begun)
	followed := inBackground(patient(t), client, "followed", never[string](t))
	client.WaitForMerged(t, "followed", 1)
	for range 2 {
		client.Close()
	}
	for _, ended := range []<-chan outcome[string]{led, followed} {
		if got := wait(t, "a call", ended); !errors.Is(got.err, singleflight.ErrCanceled) {
			t.Errorf("%+v", got)
		}
	}
	if _, err := singleflight.Do(patient(t), client, "k", never[string](t)); !errors.Is(
		err,
		singleflight.ErrCanceled,
	) {
		t.Errorf("after the close: %v", err)
	}
	if _, err := client.Forget(patient(t), "", "k", false); !errors.Is(
		err,
		singleflight.ErrCanceled,
	) {
		t.Errorf("after the close: %v", err)
	}
	close(elsewhere.opened)
	if got := wait(t, "the other client", ledElsewhere); got.err != nil {
		t.Errorf("%+v", got)
	}
	other.Close()
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}

func TestAUnixSocketIsAnAddress(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "daemon")
	daemontest.Start(t, "--unix-socket", socket)
	client := newClient(t, singleflight.ClientOptions{Addresses: []string{"unix:" + socket}})
	result, err := singleflight.Do(patient(t), client, "k",
		func(context.Context) (int, error) { return 7, nil })
	if err != nil || result.Value != 7 {
		t.Errorf("%+v, %v", result, err)
	}
}

// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/singleflightd/singleflightd/client/go"
	"github.com/singleflightd/singleflightd/client/go/internal/daemontest"
)

// collect follows a live call to its end, and starts anew when it is told to.
func collect(call *singleflight.Call) (text string, restarts int, err error) {
	for chunk, err := range call.Chunks() {
		switch {
		case err != nil:
			return text, restarts, err
		case chunk.Restart:
			restarts++
			text = ""
		default:
			text += string(chunk.Data)
		}
	}
	return text, restarts, nil
}

func TestChunksComeWhileTheyAreMade(t *testing.T) {
	daemon, here := daemonAndClient(t)
	there := clientOf(t, daemon)
	gate := newGate()
	led := here.Start(
		patient(t),
		"k",
		func(ctx context.Context, leader *singleflight.Leader) error {
			if _, err := leader.Write([]byte("first ")); err != nil {
				return err
			}
			if err := gate.pass(ctx); err != nil {
				return err
			}
			_, err := leader.Write([]byte("second"))
			return err
		},
		singleflight.WithLive(),
	)
	wait(t, "the lead", gate.begun)
	followed := there.Start(
		patient(t),
		"k",
		nil,
		singleflight.WithRole(singleflight.FollowOnly),
		singleflight.WithLive(),
	)
	for role, call := range map[string]*singleflight.Call{"leader": led, "follower": followed} {
		for chunk, err := range call.Chunks() {
			if err != nil || string(chunk.Data) != "first " || chunk.Attempt != 1 {
				t.Errorf("%s: %+v, %v", role, chunk, err)
			}
			break // the rest comes with the next loop
		}
	}
	close(gate.opened)
	for role, call := range map[string]*singleflight.Call{"leader": led, "follower": followed} {
		if text, restarts, err := collect(call); text != "second" || restarts != 0 || err != nil {
			t.Errorf("%s: %q, %d, %v", role, text, restarts, err)
		}
		if result, err := call.Result(); err != nil || string(result.Value) != "first second" {
			t.Errorf("%s: %+v, %v", role, result, err)
		}
	}
}

func TestARestartVoidsWhatCameBefore(t *testing.T) {
	daemon, here := daemonAndClient(t)
	there, leads := clientOf(t, daemon), clientOf(t, daemon)
	gate := newGate()
	leads.Start(patient(t), "k", func(ctx context.Context, leader *singleflight.Leader) error {
		if _, err := leader.Write([]byte("void")); err != nil {
			return err
		}
		return gate.pass(ctx)
	})
	wait(t, "the lead", gate.begun)
	next := func(_ context.Context, leader *singleflight.Leader) error {
		_, err := leader.Write([]byte("good"))
		return err
	}
	promoted := there.Start(patient(t), "k", next, singleflight.WithLive())
	waitForCallers(t, daemon, "k", 2)
	followed := here.Start(
		patient(t),
		"k",
		nil,
		singleflight.WithRole(singleflight.FollowOnly),
		singleflight.WithLive(),
	)
	for _, call := range []*singleflight.Call{promoted, followed} {
		for chunk, err := range call.Chunks() {
			if err != nil || string(chunk.Data) != "void" {
				t.Errorf("%+v, %v", chunk, err)
			}
			break
		}
	}
	leads.Close()
	for _, call := range []*singleflight.Call{promoted, followed} {
		if text, restarts, err := collect(call); text != "good" || restarts != 1 || err != nil {
			t.Errorf("%q, %d, %v", text, restarts, err)
		}
		if result, err := call.Result(); err != nil || string(result.Value) != "good" ||
			result.Attempt != 2 {
			t.Errorf("%+v, %v", result, err)
		}
	}
}

func TestACancelledCallEndsItsChunks(t *testing.T) {
	_, client := daemonAndClient(t)
	gate := newGate()
	for name, end := range map[string]func(*singleflight.Call, context.CancelFunc){
		"Cancel":  func(call *singleflight.Call, _ context.CancelFunc) { call.Cancel(); call.Cancel() },
		"context": func(_ *singleflight.Call, cancel context.CancelFunc) { cancel() },
	} {
		ctx, cancel := context.WithCancel(context.Background())
		call := client.Start(
			ctx,
			name,
			func(ctx context.Context, _ *singleflight.Leader) error { return gate.pass(ctx) },
			singleflight.WithLive(),
		)
		wait(t, "the lead", gate.begun)
		end(call, cancel)
		if _, _, err := collect(call); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		wait(t, name, call.Done())
		cancel()
	}
}

func TestTheAudienceIsTold(t *testing.T) {
	daemon, here := daemonAndClient(t)
	there := clientOf(t, daemon)
	counts := make(chan int, 100)
	leads := func(ctx context.Context, leader *singleflight.Leader) error {
		for {
			audience, _, changed := leader.Audience()
			counts <- audience.Followers
			if audience.Followers == 2 {
				return nil
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	led := here.Start(patient(t), "k", leads, singleflight.WithAudience())
	if wait(t, "the audience", counts) != 0 {
		t.Error("somebody waits already")
	}
	merged := here.Start(patient(t), "k", leads, singleflight.WithAudience())
	if wait(t, "the audience", counts) != 1 {
		t.Error("the merged caller does not count")
	}
	followed := there.Start(patient(t), "k", leads)
	for _, call := range []*singleflight.Call{led, merged, followed} {
		if result, err := call.Result(); err != nil || result.Callers < 2 {
			t.Errorf("%+v, %v", result, err)
		}
	}
}

func TestValuesOfEverySize(t *testing.T) {
	daemon, here := daemonAndClient(t)
	there := clientOf(t, daemon)
	for _, size := range []int{0, 1, 64 * 1024, 64*1024 + 1, 5 * 1024 * 1024} {
		value := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		gate := newGate()
		led := inBackground(patient(t), here, "k", func(ctx context.Context) ([]byte, error) {
			return value, gate.pass(ctx)
		}, singleflight.WithCodec(singleflight.Raw))
		wait(t, "the lead", gate.begun)
		followed := inBackground(
			patient(t),
			there,
			"k",
			never[[]byte](t),
			singleflight.WithCodec(singleflight.Raw),
		)
		waitForCallers(t, daemon, "k", 2)
		close(gate.opened)
		for _, ended := range []<-chan outcome[[]byte]{led, followed} {
			if got := wait(t, "the value", ended); got.err != nil ||
				!bytes.Equal(got.result.Value, value) {
				t.Errorf("%d bytes have become %d: %v", size, len(got.result.Value), got.err)
			}
		}
	}
}

func TestTheLimitOfResultsHolds(t *testing.T) {
	daemon, large := daemonAndClient(t)
	small := newClient(
		t,
		singleflight.ClientOptions{Addresses: []string{daemon.Address}, ResultLimit: 1000},
	)
	write := func(size int, begun *gate) func(context.Context, *singleflight.Leader) error {
		return func(ctx context.Context, leader *singleflight.Leader) error {
			if err := begun.pass(ctx); err != nil {
				return err
			}
			_, err := leader.Write(make([]byte, size))
			return err
		}
	}
	gate := newGate()
	led := large.Start(patient(t), "k", write(1001, gate))
	wait(t, "the lead", gate.begun)
	followed := small.Start(patient(t), "k", write(0, gate))
	waitForCallers(t, daemon, "k", 2)
	close(gate.opened)
	if result, err := led.Result(); err != nil || len(result.Value) != 1001 {
		t.Errorf("%d bytes, %v", len(result.Value), err)
	}
	_, err := followed.Result()
	if !errors.Is(err, singleflight.ErrResourceExhausted) ||
		!strings.Contains(err.Error(), "ResultLimit") ||
		!strings.Contains(err.Error(), "1000") {
		t.Errorf("the follower got %v", err)
	}

	// The leader's own limit is an error of its function.
	result, err := small.Do(patient(t), "k", write(1001, gate))
	var failure *singleflight.FunctionError
	if !errors.Is(err, singleflight.ErrResourceExhausted) || result.Kind != singleflight.KindError ||
		!errors.As(err, &failure) || failure.Type != "singleflight.LimitExceeded" || failure.Code != 8 {
		t.Errorf("the leader got %+v, %v", result, err)
	}
	returned, err := singleflight.Do(patient(t), small, "k", func(context.Context) (string, error) {
		return strings.Repeat("x", 1001), nil
	})
	if !errors.Is(err, singleflight.ErrResourceExhausted) || returned.Value != "" {
		t.Errorf("the leader got %+v, %v", returned, err)
	}
}

func TestSixtyFourMebibytesAreTheLimit(t *testing.T) {
	_, client := daemonAndClient(t)
	const limit = 64 * 1024 * 1024
	do := func(size int) (singleflight.Result[[]byte], error) {
		return client.Do(
			patient(t),
			"k",
			func(_ context.Context, leader *singleflight.Leader) error {
				_, err := leader.Write(make([]byte, size))
				return err
			},
		)
	}
	if result, err := do(limit); err != nil || len(result.Value) != limit {
		t.Errorf("%d bytes, %v", len(result.Value), err)
	}
	if _, err := do(limit + 1); !errors.Is(err, singleflight.ErrResourceExhausted) ||
		!strings.Contains(err.Error(), "67108864") {
		t.Errorf("%v", err)
	}
	daemon := daemontest.Start(t, "--result-limit", "1MiB")
	limited := clientOf(t, daemon)
	if _, err := limited.Do(patient(t), "k", func(_ context.Context, leader *singleflight.Leader) error {
		_, err := leader.Write(make([]byte, 2*1024*1024))
		return err
	}); !errors.Is(err, singleflight.ErrResourceExhausted) {
		t.Errorf("%v", err)
	}
	gate := newGate()
	led := inBackground(patient(t), limited, "k", func(ctx context.Context) (string, error) {
		return strings.Repeat("x", 2*1024*1024), gate.pass(ctx)
	})
	wait(t, "the lead", gate.begun)
	followed := inBackground(patient(t), clientOf(t, daemon), "k", never[string](t))
	waitForCallers(t, daemon, "k", 2)
	close(gate.opened)
	for who, ended := range map[string]<-chan outcome[string]{"leader": led, "follower": followed} {
		got := wait(t, who, ended)
		var failure *singleflight.FunctionError
		if !errors.As(got.err, &failure) || failure.Type != "singleflight.LimitExceeded" ||
			!strings.Contains(failure.Message, "1048576") || got.result.Callers != 2 {
			t.Errorf("%s: %+v", who, got)
		}
	}
}

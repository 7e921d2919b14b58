// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/singleflightd/singleflightd/client/go"
)

func write(text string) func(context.Context, *singleflight.Leader) error {
	return func(_ context.Context, leader *singleflight.Leader) error {
		_, err := leader.Write([]byte(text))
		return err
	}
}

func TestALeaderThatRunsTooLongIsFenced(t *testing.T) {
	_, client := daemonAndClient(t)
	var late *singleflight.Leader
	_, err := client.Do(patient(t), "k",
		func(ctx context.Context, leader *singleflight.Leader) error {
			late = leader
			if leader.RunLimit() != 100*time.Millisecond || leader.Lease() != time.Minute {
				t.Errorf("run limit %v, lease %v", leader.RunLimit(), leader.Lease())
			}
			if leader.Err() != nil {
				t.Error(leader.Err())
			}
			wait(t, "the loss", leader.Lost())
			wait(t, "the context", ctx.Done())
			if err := leader.Err(); !errors.Is(err, singleflight.ErrAborted) || err != context.Cause(ctx) {
				t.Errorf("%v, %v", err, context.Cause(ctx))
			}
			if _, err := leader.Write([]byte("late")); !errors.Is(err, singleflight.ErrAborted) {
				t.Errorf("a late write: %v", err)
			}
			return nil
		},
		singleflight.WithRunLimit(100*time.Millisecond), singleflight.WithLease(time.Minute))
	if !errors.Is(err, singleflight.ErrAborted) || !strings.Contains(err.Error(), "fenced") {
		t.Errorf("%v", err)
	}
	wait(t, "the loss, once more", late.Lost())
}

func TestAWriteAfterTheFunctionHasReturnedFails(t *testing.T) {
	_, client := daemonAndClient(t)
	var leader *singleflight.Leader
	_, err := client.Do(patient(t), "k", func(_ context.Context, l *singleflight.Leader) error {
		leader = l
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leader.Write([]byte("late")); err == nil {
		t.Error("it was taken")
	}
}

func TestALeaderSaysHowLongItsOutcomeIsKept(t *testing.T) {
	_, client := daemonAndClient(t)
	first, err := client.Do(patient(t), "k",
		func(_ context.Context, leader *singleflight.Leader) error {
			leader.SetRetain(time.Hour)
			return &singleflight.FunctionError{Message: "kept"}
		}, singleflight.WithRetainError(0))
	if err == nil || first.Retain < 59*time.Minute {
		t.Fatalf("%+v, %v", first, err)
	}
	second, err := client.Do(patient(t), "k", write("new"))
	if err == nil || err.Error() != "kept" || !second.Retained || second.Token != first.Token {
		t.Errorf("%+v, %v", second, err)
	}
	eventually(t, "age", func() bool {
		third, err := client.Do(patient(t), "k", write("new"),
			singleflight.WithMaxAge(time.Millisecond))
		return err == nil && string(third.Value) == "new" && !third.Retained
	})
}

func TestAttemptsAreBounded(t *testing.T) {
	daemon, client := daemonAndClient(t)
	gate := newGate()
	client.Start(patient(t), "k", func(ctx context.Context, _ *singleflight.Leader) error {
		return gate.pass(ctx)
	}, singleflight.WithMaxAttempts(1))
	wait(t, "the lead", gate.begun)
	other := clientOf(t, daemon)
	followed := other.Start(patient(t), "k", write("second"))
	waitForCallers(t, daemon, "k", 2)
	client.Close()
	if _, err := followed.Result(); !errors.Is(err, singleflight.ErrAborted) {
		t.Errorf("%v", err)
	}
}

func TestALeadIsTakenBackByItsToken(t *testing.T) {
	daemon, client := daemonAndClient(t)
	gate := newGate()
	tokens := make(chan uint64, 1)
	first := client.Start(patient(t), "k",
		func(ctx context.Context, leader *singleflight.Leader) error {
			if err := write("first ")(ctx, leader); err != nil {
				return err
			}
			tokens <- leader.Token()
			return gate.pass(ctx)
		}, singleflight.WithLease(time.Minute))
	token := wait(t, "the token", tokens)
	eventually(t, "the value", func() bool { return flightOf(t, daemon, "k").GetValueBytes() == 6 })
	other := clientOf(t, daemon)
	followed := other.Start(patient(t), "k", nil, singleflight.WithRole(singleflight.FollowOnly))
	waitForCallers(t, daemon, "k", 2)
	resumed, err := other.Do(patient(t), "k", write("second"), singleflight.WithResumeToken(token))
	if err != nil || resumed.Token != token || resumed.Attempt != 1 || !resumed.Led {
		t.Errorf("%+v, %v", resumed, err)
	}
	if _, err := first.Result(); !errors.Is(err, singleflight.ErrAborted) {
		t.Errorf("who led before: %v", err)
	}
	if got, err := followed.Result(); err != nil || string(got.Value) != "first second" {
		t.Errorf("the follower: %q, %v", got.Value, err)
	}
	_, err = other.Do(patient(t), "k", write("late"), singleflight.WithResumeToken(token))
	if !errors.Is(err, singleflight.ErrAborted) || !strings.Contains(err.Error(), "fenced") {
		t.Errorf("a late resume: %v", err)
	}
}

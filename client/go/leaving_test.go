// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/singleflightd/singleflightd/client/go"
	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// A caller that leaves takes nothing from the others.

func TestTheFunctionOfACallerThatLeftGoesOnForCallersElsewhere(t *testing.T) {
	daemon, here := daemonAndClient(t)
	there := clientOf(t, daemon)
	for name, leave := range map[string]func() (context.Context, context.CancelFunc){
		"cancelled": func() (context.Context, context.CancelFunc) {
			return context.WithCancel(context.Background())
		},
		"in time": func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), 700*time.Millisecond)
		},
	} {
		for _, lease := range []time.Duration{0, time.Minute} {
			t.Run(name+" "+lease.String(), func(t *testing.T) {
				leaves, cancel := leave()
				defer cancel()
				gate := newGate()
				led := inBackground(leaves, here, "k", func(ctx context.Context) (string, error) {
					return "made", gate.pass(ctx)
				}, singleflight.WithLease(lease))
				wait(t, "the lead", gate.begun)
				followed := inBackground(patient(t), there, "k", never[string](t))
				waitForCallers(t, daemon, "k", 2)
				here.WaitForFollowers(t, "k", 1)
				if name == "cancelled" {
					cancel()
				}
				if got := wait(t, "the caller", led); got.err == nil || got.result.Led {
					t.Errorf("%+v", got)
				}
				close(gate.opened)
				got := wait(t, "the follower", followed)
				if got.err != nil || got.result.Value != "made" || got.result.Attempt != 1 {
					t.Errorf("%+v", got)
				}
			})
		}
	}
}

func TestTheFunctionIsCancelledWhenTheLastCallerElsewhereLeaves(t *testing.T) {
	daemon, here := daemonAndClient(t)
	there := clientOf(t, daemon)
	for _, lease := range []time.Duration{0, time.Minute} {
		leaves, cancel := context.WithCancel(context.Background())
		leavesLater, cancelLater := context.WithCancel(context.Background())
		gate := newGate()
		told := make(chan error, 1)
		led := inBackground(leaves, here, "k", func(ctx context.Context) (string, error) {
			err := gate.pass(ctx)
			told <- err
			return "", err
		}, singleflight.WithLease(lease))
		wait(t, "the lead", gate.begun)
		followed := inBackground(leavesLater, there, "k", never[string](t))
		waitForCallers(t, daemon, "k", 2)
		here.WaitForFollowers(t, "k", 1)
		cancel()
		wait(t, "the caller", led)
		select {
		case err := <-told:
			t.Errorf("the function was told while somebody waited: %v", err)
		default:
		}
		cancelLater()
		wait(t, "the follower", followed)
		if err := wait(t, "the function", told); !errors.Is(err, singleflight.ErrCanceled) {
			t.Errorf("the function was told %v", err)
		}
		eventually(t, "the lead is given back", func() bool { return flightOf(t, daemon, "k") == nil })
	}
}

func TestWhoLeavesWhileNobodyWaitsGivesTheLeadBack(t *testing.T) {
	daemon, here := daemonAndClient(t)
	there := clientOf(t, daemon)
	for _, lease := range []time.Duration{0, time.Minute} {
		leaves, cancel := context.WithCancel(
			context.WithValue(context.Background(), profile{}, "seen"),
		)
		begun, told := make(chan struct{}), make(chan error, 1)
		led := inBackground(leaves, here, "k", func(ctx context.Context) (string, error) {
			if ctx.Value(profile{}) != "seen" {
				t.Error("the values of the caller's context are missing")
			}
			close(begun)
			<-ctx.Done()
			told <- context.Cause(ctx)
			return "", ctx.Err()
		}, singleflight.WithLease(lease))
		wait(t, "the lead", begun)
		cancel()
		if err := wait(t, "the function", told); !errors.Is(err, singleflight.ErrCanceled) {
			t.Errorf("the function was told %v", err)
		}
		if got := wait(t, "the caller", led); !errors.Is(got.err, context.Canceled) {
			t.Errorf("%+v", got)
		}
		next, err := singleflight.Do(patient(t), there, "k",
			func(context.Context) (string, error) { return "next", nil })
		if err != nil || !next.Led || next.Value != "next" {
			t.Errorf("lease %v: %+v, %v", lease, next, err)
		}
	}
}

// Giving a lead back is no outcome of the work.
func TestALeadThatIsGivenBackIsNotKeptAsAFailure(t *testing.T) {
	daemon, here := daemonAndClient(t)
	leaves, cancel := context.WithCancel(context.Background())
	gate := newGate()
	led := inBackground(leaves, here, "k", func(ctx context.Context) (string, error) {
		return "", gate.pass(ctx)
	}, singleflight.WithLease(time.Minute), singleflight.WithRetainError(time.Hour))
	wait(t, "the lead", gate.begun)
	cancel()
	wait(t, "the caller", led)
	eventually(t, "the lead is given back", func() bool {
		return flightOf(t, daemon, "k").GetState() != pb.Flight_STATE_LED
	})
	next, err := singleflight.Do(patient(t), here, "k", makes("next"))
	if err != nil || !next.Led || next.Retained {
		t.Errorf("%+v, %v", next, err)
	}
}

func TestWhoEndsAFlightEndsItForAllItsCallers(t *testing.T) {
	for _, name := range []string{"ops", ""} {
		t.Run("by "+name, func(t *testing.T) {
			daemon, here := daemonAndClient(t)
			there := clientOf(t, daemon)
			gate := newGate()
			all := []<-chan outcome[string]{
				inBackground(patient(t), here, "k", func(ctx context.Context) (string, error) {
					return "", gate.pass(ctx)
				}),
			}
			wait(t, "the lead", gate.begun)
			all = append(all, inBackground(patient(t), here, "k", never[string](t)))
			here.WaitForMerged(t, "k", 2)
			all = append(all, inBackground(patient(t), there, "k", never[string](t)))
			waitForCallers(t, daemon, "k", 2)
			ended, err := there.End(patient(t), "", "k", name)
			if err != nil || !ended.Ended || !ended.Flight {
				t.Errorf("%+v, %v", ended, err)
			}
			for _, one := range all {
				got := wait(t, "a caller", one)
				if !errors.Is(got.err, singleflight.ErrAborted) ||
					!strings.Contains(got.err.Error(), "ended by "+name) {
					t.Errorf("%+v", got)
				}
			}
		})
	}
}

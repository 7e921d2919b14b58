// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/singleflightd/singleflightd/client/go"
)

// Ten writers, in three processes, while a value is loaded: what they wrote is loaded once more.
func TestTenWritersDuringALoadMakeOneMore(t *testing.T) {
	daemon, client := daemonAndClient(t)
	clients := []*singleflight.Client{client, clientOf(t, daemon), clientOf(t, daemon)}
	retain := singleflight.WithRetain(time.Hour)
	var database atomic.Int64
	gate := newGate()
	first := inBackground(patient(t), client, "k", func(ctx context.Context) (int64, error) {
		value := database.Load() // before the writers
		return value, gate.pass(ctx)
	}, retain)
	wait(t, "the load", gate.begun)
	var loads atomic.Int64
	var writers []<-chan outcome[int64]
	for i := range 10 {
		database.Add(1)
		writers = append(writers, inBackground(patient(t), clients[i%3], "k",
			func(context.Context) (int64, error) {
				loads.Add(1)
				return database.Load(), nil
			}, retain, singleflight.WithFresh()))
	}
	eventually(t, "all writers wait", func() bool {
		return clients[0].Following("k")+clients[1].Following("k")+clients[2].Following("k") == 10
	})
	if next, err := daemon.NextFlight(patient(t), "k"); err != nil || next.GetCallers() < 3 {
		t.Errorf("the next flight is %v, %v", next, err)
	}
	close(gate.opened)
	if got := wait(t, "the first load", first); got.err != nil || got.result.Value != 0 {
		t.Errorf("%+v", got)
	}
	for _, ended := range writers {
		if got := wait(t, "a writer", ended); got.err != nil || got.result.Value != 10 {
			t.Errorf("%+v", got)
		}
	}
	if loads.Load() != 1 {
		t.Errorf("%d more loads", loads.Load())
	}
	later, err := singleflight.Do(patient(t), client, "k", never[int64](t))
	if err != nil || later.Value != 10 || !later.Retained {
		t.Errorf("%+v, %v", later, err)
	}
}

// A payment whose worker is lost is not tried again.
func TestAHeldLossIsTheOutcome(t *testing.T) {
	for _, lease := range []time.Duration{0, time.Minute} {
		t.Run(fmt.Sprint(lease), func(t *testing.T) {
			daemon, worker := daemonAndClient(t)
			other := clientOf(t, daemon)
			opts := []singleflight.Option{
				singleflight.WithLeaderLoss(singleflight.Hold), singleflight.WithLease(lease),
				singleflight.WithRetainError(time.Hour),
			}
			gate := newGate()
			inBackground(patient(t), worker, "k", func(ctx context.Context) (string, error) {
				return "", gate.pass(ctx)
			}, opts...)
			wait(t, "the worker", gate.begun)
			followed := inBackground(patient(t), other, "k", never[string](t), opts...)
			waitForCallers(t, daemon, "k", 2)
			worker.Close()
			checkAbandoned := func(got outcome[string]) {
				t.Helper()
				var failure *singleflight.FunctionError
				if !errors.As(got.err, &failure) || failure.Kind != singleflight.KindAbandoned {
					t.Errorf("%+v", got)
				}
			}
			checkAbandoned(wait(t, "the follower", followed))
			late := wait(t, "who comes late", inBackground(patient(t), other, "k", never[string](t), opts...))
			checkAbandoned(late)
			if !late.result.Retained {
				t.Errorf("%+v", late)
			}
			if _, err := other.Forget(patient(t), "", "k", false); err != nil {
				t.Error(err)
			}
			again, err := singleflight.Do(patient(t), other, "k", makes("on purpose"), opts...)
			if err != nil || !again.Led {
				t.Errorf("%+v, %v", again, err)
			}
		})
	}
}

func TestAWindowFromTheLead(t *testing.T) {
	_, client := daemonAndClient(t)
	from := singleflight.WithRetainFromLead()
	gate := newGate()
	slow := inBackground(patient(t), client, "k", func(ctx context.Context) (string, error) {
		return "took longer", gate.pass(ctx)
	}, from, singleflight.WithRetain(50*time.Millisecond))
	wait(t, "the lead", gate.begun)
	begun := time.Now()
	eventually(t, "the window is over", func() bool { return time.Since(begun) > 60*time.Millisecond })
	close(gate.opened)
	if got := wait(t, "the slow one", slow); got.err != nil || got.result.Retain != 0 {
		t.Errorf("%+v", got)
	}
	quick, err := singleflight.Do(patient(t), client, "k", makes("in the window"), from,
		singleflight.WithRetain(time.Hour))
	if err != nil || !quick.Led || quick.Retain <= 0 || quick.Retain > time.Hour {
		t.Errorf("%+v, %v", quick, err)
	}
}

// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/singleflightd/singleflightd/client/go"
	"github.com/singleflightd/singleflightd/client/go/internal/daemontest"
)

// Many goroutines of several clients ask for few keys, with short deadlines and leases, errors that
// are passed on and panics, while connections break. Every call must end, with an outcome or a
// status that belongs there, and nothing may be left.
func TestEveryCallEndsWhateverHappens(t *testing.T) {
	const (
		clients    = 3
		goroutines = 40
		calls      = 20
	)
	before := runtime.NumGoroutine()
	daemon := daemontest.Start(t)
	var all []*singleflight.Client
	var relays []*daemontest.Relay
	for range clients {
		relay := daemontest.StartRelay(t, daemon.Address)
		relays = append(relays, relay)
		all = append(all, newClient(t, singleflight.ClientOptions{
			Addresses:  []string{relay.Address},
			BackoffMax: 100 * time.Millisecond,
		}))
	}
	stopCutting := make(chan struct{})
	var cutter sync.WaitGroup
	cutter.Add(1)
	go func() {
		defer cutter.Done()
		for {
			select {
			case <-stopCutting:
				return
			case <-time.After(50 * time.Millisecond):
				relays[rand.N(clients)].Cut()
			}
		}
	}()

	var outcomes [4]atomic.Int64
	var workers sync.WaitGroup
	for i := range goroutines {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for range calls {
				kind, err := randomCall(all[i%clients])
				if err != nil {
					t.Error(err)
				}
				outcomes[kind].Add(1)
			}
		}()
	}
	ended := make(chan struct{})
	go func() { workers.Wait(); close(ended) }()
	wait(t, "the end of all calls", ended)
	close(stopCutting)
	cutter.Wait()
	for kind, name := range []string{"values", "errors", "panics", "statuses"} {
		if outcomes[kind].Load() == 0 {
			t.Errorf("there were no %s", name)
		}
	}
	for _, client := range all {
		client.Close()
	}
	for key := range 5 {
		eventually(t, "no flight is left", func() bool {
			return flightOf(t, daemon, fmt.Sprint(key)) == nil
		})
	}
	for _, relay := range relays {
		relay.Cut()
	}
	eventually(t, "no goroutine is left", func() bool {
		return runtime.NumGoroutine() <= before+2*clients // what waits for connections
	})
}

// randomCall makes one call, and tells what it ended with: a value, an error, a panic, a status.
func randomCall(client *singleflight.Client) (kind int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	if rand.N(3) == 0 {
		ctx, cancel = context.WithTimeout(context.Background(), rand.N(20*time.Millisecond))
	}
	defer cancel()
	key := fmt.Sprint(rand.N(5))
	var opts []singleflight.Option
	if rand.N(2) == 0 {
		opts = append(opts, singleflight.WithLease(time.Second))
	}
	fate := rand.N(10)
	result, err := singleflight.Do(ctx, client, key, func(ctx context.Context) (string, error) {
		select {
		case <-ctx.Done():
		case <-time.After(rand.N(5 * time.Millisecond)):
		}
		switch fate {
		case 0:
			return "", errors.New("failed")
		case 1:
			singleflight.LeaderFromContext(ctx).PassOn()
			return "", errors.New("failed here")
		case 2:
			panic("broken")
		}
		return "value of " + key, nil
	}, opts...)
	var function *singleflight.FunctionError
	switch {
	case err == nil && result.Value == "value of "+key:
		return 0, nil
	case result.Kind == singleflight.KindError:
		return 1, nil
	case errors.As(err, &function) && function.Kind == singleflight.KindPanic:
		return 2, nil
	case errors.Is(err, singleflight.ErrAborted), errors.Is(err, context.DeadlineExceeded):
		return 3, nil
	}
	return 3, fmt.Errorf("a call ended with %+v, %w", result, err)
}

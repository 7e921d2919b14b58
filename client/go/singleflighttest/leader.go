// SPDX-License-Identifier: Apache-2.0

package singleflighttest

import (
	"context"
	"errors"
	"sync"
	"testing"

	singleflight "github.com/singleflightd/singleflightd/client/go"
)

// LeaderOptions say what a leader of [NewLeader] holds.
type LeaderOptions struct {
	Group   string // "": "default"
	Key     string // "": "key"
	Token   uint64 // 0: 1
	Attempt int    // 0: 1
}

// Leader is a lead that a test holds, to call the function by itself.
type Leader struct {
	// Context is the function's: TokenFromContext and LeaderFromContext take the lead out of it.
	Context context.Context
	// Leader is the lead itself, which a function of Client.Do writes to.
	Leader *singleflight.Leader

	fake   *Fake
	call   *singleflight.Call
	finish func(error)
}

// NewLeader makes a leader, which is good until the end of the test.
func NewLeader(t testing.TB, options LeaderOptions) *Leader {
	t.Helper()
	key := options.Key
	if key == "" {
		key = "key"
	}
	l := &Leader{fake: New(t, singleflight.ClientOptions{})}
	l.fake.set(key, script{token: options.Token, attempt: uint32(options.Attempt)})
	begun, ended := make(chan struct{}), make(chan error, 1)
	var once sync.Once
	l.finish = func(err error) { once.Do(func() { ended <- err }) }
	l.call = l.fake.Client.Start(context.Background(), key,
		func(ctx context.Context, leader *singleflight.Leader) error {
			l.Context, l.Leader = ctx, leader
			close(begun)
			return <-ended
		}, singleflight.WithGroup(options.Group))
	t.Cleanup(func() { l.finish(errors.New("the test is over")) })
	select {
	case <-begun:
	case <-l.call.Done():
		_, err := l.call.Result()
		t.Fatalf("singleflighttest: no leader: %v", err)
	}
	return l
}

// Lose lets another take the lead, and returns when the function's context is cancelled.
func (l *Leader) Lose() {
	l.fake.Unavailable() // and there is no lease that would outlive it
	<-l.Leader.Lost()
}

// Finish lets the function return err, and returns what its flight ends with: the value is what was
// written to Leader. Afterwards the leader is of no use.
func (l *Leader) Finish(err error) (singleflight.Result[[]byte], error) {
	l.finish(err)
	return l.call.Result()
}

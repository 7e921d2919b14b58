// SPDX-License-Identifier: Apache-2.0

package singleflighttest_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	singleflight "github.com/singleflightd/singleflightd/client/go"
	"github.com/singleflightd/singleflightd/client/go/singleflighttest"
)

var background = context.Background()

func newFake(t *testing.T) *singleflighttest.Fake {
	t.Helper()
	return singleflighttest.New(t, singleflight.ClientOptions{})
}

func token(ctx context.Context) (uint64, error) { return singleflight.TokenFromContext(ctx), nil }

func never(t *testing.T) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		t.Error("the function is not to run")
		return "", nil
	}
}

func TestWithoutAScriptTheFunctionRuns(t *testing.T) {
	fake := newFake(t)
	for want := range uint64(2) {
		got, err := singleflight.Do(background, fake.Client, "k", token, singleflight.WithGroup("g"),
			singleflight.WithRetain(time.Minute), singleflight.WithLease(time.Minute))
		if err != nil || got.Value != want+1 || !got.Led || got.Callers != 1 {
			t.Errorf("%+v, %v", got, err)
		}
	}
	calls, joins := fake.Calls(), fake.Joins()
	if len(calls) != 2 || calls[0].Key != "k" || calls[0].Group != "g" || calls[1].Role != "leader" {
		t.Errorf("%+v", calls)
	}
	if len(joins) != 2 || joins[0].RetainMs != 60_000 || joins[0].LeaseMs != 60_000 {
		t.Errorf("%+v", joins)
	}
}

func TestAnOutcomeIsFollowed(t *testing.T) {
	fake := newFake(t)
	fake.Outcome("k", "from elsewhere", nil)
	got, err := singleflight.Do(background, fake.Client, "k", never(t))
	if err != nil || got.Value != "from elsewhere" || got.Led || got.Callers != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = singleflight.Do(background, fake.Client, "k", never(t),
		singleflight.WithRole(singleflight.LeadOnly))
	if !errors.Is(err, singleflight.ErrAborted) {
		t.Error(err)
	}
}

func TestAnOutcomeMayBeAnErrorWithAValueBesideIt(t *testing.T) {
	fake := newFake(t)
	fake.Outcome("k", "half", fs.ErrNotExist)
	got, err := singleflight.Do(background, fake.Client, "k", never(t))
	var failure *singleflight.FunctionError
	if !errors.As(err, &failure) || failure.Message != "file does not exist" || got.Value != "half" {
		t.Errorf("%+v, %v", got, err)
	}
	fake.Outcome("k", nil, &singleflight.FunctionError{Kind: singleflight.KindPanic, Message: "oh"})
	if _, err = singleflight.Do(background, fake.Client, "k", never(t)); !errors.As(err, &failure) ||
		failure.Kind != singleflight.KindPanic {
		t.Error(err)
	}
}

func TestAnOutcomeMayBeARefusal(t *testing.T) {
	fake := newFake(t)
	fake.Outcome("k", nil, &singleflight.StatusError{Code: codes.PermissionDenied, Message: "no"})
	_, err := singleflight.Do(background, fake.Client, "k", never(t))
	if !errors.Is(err, singleflight.ErrPermissionDenied) {
		t.Error(err)
	}
}

func TestBytesOfAnySizeAreTakenAsTheyAre(t *testing.T) {
	fake := newFake(t)
	value := bytes.Repeat([]byte("0123456789"), 100_000)
	fake.Outcome("k", value, nil)
	call := fake.Client.Start(background, "k", nil, singleflight.WithLive(),
		singleflight.WithRole(singleflight.FollowOnly))
	var live []byte
	for chunk, err := range call.Chunks() {
		if err != nil {
			t.Fatal(err)
		}
		live = append(live, chunk.Data...)
	}
	got, err := call.Result()
	if err != nil || !bytes.Equal(got.Value, value) || !bytes.Equal(live, value) {
		t.Errorf("%d and %d bytes, %v", len(got.Value), len(live), err)
	}
}

func TestNobodyFollowsWhatIsNotScripted(t *testing.T) {
	_, err := singleflight.Do[string](background, newFake(t).Client, "k", nil,
		singleflight.WithRole(singleflight.FollowOnly))
	if !errors.Is(err, singleflight.ErrNotFound) {
		t.Error(err)
	}
}

func TestATakeoverFollowsAndThenLeads(t *testing.T) {
	var kinds []string
	note := func(_ context.Context, event singleflight.Event) {
		kinds = append(kinds, string(event.Kind))
	}
	fake := singleflighttest.New(t, singleflight.ClientOptions{
		Observer: singleflight.ObserverFunc(note),
	})
	fake.Takeover("k")
	got, err := singleflight.Do(background, fake.Client, "k",
		func(ctx context.Context) (int, error) {
			return singleflight.LeaderFromContext(ctx).Attempt(), nil
		})
	if err != nil || got.Value != 2 || got.Attempt != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if told := strings.Join(kinds, " "); told != "followed takeover led ended" {
		t.Error(told)
	}
}

func TestALossCancelsTheFunction(t *testing.T) {
	fake := newFake(t)
	fake.Lose("k")
	_, err := singleflight.Do(background, fake.Client, "k",
		func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, context.Cause(ctx)
		})
	if !errors.Is(err, singleflight.ErrAborted) || !strings.Contains(err.Error(), "the test says so") {
		t.Error(err)
	}
	fake.Lead("k")
	if _, err := singleflight.Do(background, fake.Client, "k", token); err != nil {
		t.Error(err)
	}
}

func TestWithoutAServerACallFailsOpenOrEnds(t *testing.T) {
	fake := singleflighttest.New(t, singleflight.ClientOptions{FailOpen: true})
	fake.Unavailable()
	got, err := singleflight.Do(background, fake.Client, "k", token)
	if err != nil || !got.FailedOpen || got.Value != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = singleflight.Do(background, fake.Client, "k", never(t), singleflight.WithFailOpen(false),
		singleflight.WithConnectTimeout(time.Millisecond))
	if !errors.Is(err, singleflight.ErrUnavailable) {
		t.Error(err)
	}
	if calls := fake.Calls(); calls[0].Role != "alone" || calls[1].Status != "UNAVAILABLE" {
		t.Errorf("%+v", calls)
	}
	fake.Available()
	fake.Outcome("k", 7, nil)
	if got, err = singleflight.Do(background, fake.Client, "k", token,
		singleflight.WithFailOpen(false)); err != nil || got.Value != 7 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestForgetsAreNoted(t *testing.T) {
	fake := newFake(t)
	if _, err := fake.Client.Forget(background, "g", "k", true); err != nil {
		t.Fatal(err)
	}
	if got := fake.Forgets(); len(got) != 1 || string(got[0].Key) != "k" || !got[0].IfUnshared {
		t.Errorf("%+v", got)
	}
}

func TestALeaveGivesALeaseBack(t *testing.T) {
	fake := newFake(t)
	ctx, cancel := context.WithCancel(background)
	_, err := singleflight.Do(ctx, fake.Client, "k", func(inner context.Context) (int, error) {
		cancel()
		<-inner.Done()
		return 0, inner.Err()
	}, singleflight.WithLease(time.Minute))
	if !errors.Is(err, context.Canceled) || len(fake.Joins()) != 1 {
		t.Errorf("%v, %+v", err, fake.Joins())
	}
}

func TestALeaderIsMadeByItself(t *testing.T) {
	lead := singleflighttest.NewLeader(t, singleflighttest.LeaderOptions{
		Group: "reports", Key: "daily", Token: 41, Attempt: 3,
	})
	if value, err := token(lead.Context); err != nil || value != 41 {
		t.Errorf("%d, %v", value, err)
	}
	leader := singleflight.LeaderFromContext(lead.Context)
	if leader != lead.Leader || leader.Group() != "reports" || leader.Key() != "daily" ||
		leader.Attempt() != 3 {
		t.Errorf("%+v", leader)
	}
	if _, err := lead.Leader.Write([]byte("page 1")); err != nil {
		t.Error(err)
	}
	if got, err := lead.Finish(nil); err != nil || string(got.Value) != "page 1" || got.Token != 41 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestALeaderThatWasMadeMayLose(t *testing.T) {
	lead := singleflighttest.NewLeader(t, singleflighttest.LeaderOptions{})
	lead.Lose()
	if lead.Context.Err() == nil || lead.Leader.Err() == nil {
		t.Error("it is not told")
	}
	if _, err := lead.Finish(nil); !errors.Is(err, singleflight.ErrAborted) {
		t.Error(err)
	}
}

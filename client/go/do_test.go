// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/singleflightd/singleflightd/client/go"
)

type profile struct {
	Name string `json:"name"`
	Age  int    `json:"age"`
}

func TestDoAloneLeadsAndTellsTheFacts(t *testing.T) {
	_, client := daemonAndClient(t)
	var token uint64
	var leader *singleflight.Leader
	result, err := singleflight.Do(
		patient(t),
		client,
		"user_1",
		func(ctx context.Context) (*profile, error) {
			token = singleflight.TokenFromContext(ctx)
			leader = singleflight.LeaderFromContext(ctx)
			return &profile{"Ann", 42}, nil
		},
		singleflight.WithGroup("users"),
	)
	if err != nil || *result.Value != (profile{"Ann", 42}) || result.Kind != singleflight.KindOK {
		t.Fatalf("%+v, %v", result, err)
	}
	if token == 0 || result.Token != token || !result.Led || result.Shared || result.Callers != 1 ||
		result.Attempt != 1 {
		t.Errorf("token %d: %+v", token, result)
	}
	if leader.Key() != "user_1" || leader.Group() != "users" || leader.Attempt() != 1 ||
		leader.Err() != nil {
		t.Errorf("%+v", leader)
	}
	if singleflight.LeaderFromContext(context.Background()) != nil {
		t.Error("there is a leader in an empty context")
	}
}

func TestCallersElsewhereGetTheValueThroughTheCodec(t *testing.T) {
	codecs := map[string]singleflight.Codec{"JSON": singleflight.JSON, "Gob": singleflight.Gob}
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			daemon, here := daemonAndClient(t)
			there := clientOf(t, daemon)
			gate := newGate()
			led := inBackground(patient(t), here, "k", func(ctx context.Context) (profile, error) {
				return profile{"Ann", 42}, gate.pass(ctx)
			}, singleflight.WithCodec(codec))
			wait(t, "the lead", gate.begun)
			followed := inBackground(
				patient(t),
				there,
				"k",
				never[profile](t),
				singleflight.WithCodec(codec),
			)
			waitForCallers(t, daemon, "k", 2)
			close(gate.opened)
			ends := map[string]<-chan outcome[profile]{"leader": led, "follower": followed}
			for role, ended := range ends {
				got := wait(t, role, ended)
				if got.err != nil || got.result.Value != (profile{"Ann", 42}) ||
					!got.result.Shared ||
					got.result.Callers != 2 {
					t.Errorf("%s: %+v", role, got)
				}
			}
		})
	}
}

func TestMergedCallersGetTheVeryErrorAndAValueOfTheirOwn(t *testing.T) {
	daemon, client := daemonAndClient(t)
	gate := newGate()
	mine := &profile{"Ann", 42}
	myErr := errors.New("stale")
	led := inBackground(patient(t), client, "k", func(ctx context.Context) (*profile, error) {
		if err := gate.pass(ctx); err != nil {
			return nil, err
		}
		return mine, myErr
	})
	wait(t, "the lead", gate.begun)
	handles := make([]<-chan outcome[*profile], 9)
	for i := range handles {
		handles[i] = inBackground(patient(t), client, "k", never[*profile](t))
	}
	client.WaitForMerged(t, "k", 10)
	waitForCallers(t, daemon, "k", 1)
	close(gate.opened)
	seen := map[*profile]bool{mine: true}
	for i, ended := range append(handles, led) {
		got := wait(t, "a caller", ended)
		value := got.result.Value
		if seen[value] || *value != *mine || got.err != myErr || !got.result.Shared ||
			got.result.Led != (i == len(handles)) || got.result.Callers != 10 {
			t.Errorf("caller %d got %+v", i, got)
		}
		seen[value] = true
	}
}

func TestAnErrorReachesCallersElsewhereAsFunctionError(t *testing.T) {
	daemon, here := daemonAndClient(t)
	there := clientOf(t, daemon)
	gate := newGate()
	cause := &fs.PathError{Op: "open", Path: "/x", Err: fs.ErrNotExist}
	led := inBackground(patient(t), here, "k", func(ctx context.Context) (string, error) {
		if err := gate.pass(ctx); err != nil {
			return "", err
		}
		return "half", errors.Join(
			cause,
			&singleflight.FunctionError{Code: 7, Details: []byte("why"), Type: "NotHere"},
		)
	})
	wait(t, "the lead", gate.begun)
	followed := inBackground(patient(t), there, "k", never[string](t))
	waitForCallers(t, daemon, "k", 2)
	close(gate.opened)
	if got := wait(t, "the leader", led); !errors.Is(got.err, fs.ErrNotExist) ||
		got.result.Value != "half" {
		t.Errorf("the leader got %+v", got)
	}
	got := wait(t, "the follower", followed)
	var failure *singleflight.FunctionError
	if !errors.As(got.err, &failure) {
		t.Fatalf("the follower got %v", got.err)
	}
	if failure.Kind != singleflight.KindError || failure.Code != 7 ||
		string(failure.Details) != "why" ||
		failure.Type != "NotHere" ||
		!strings.Contains(failure.Message, "open /x") ||
		got.result.Value != "half" {
		t.Errorf("the follower got %+v", failure)
	}
}

func TestAPanicIsAnErrorWithItsStackForEverybody(t *testing.T) {
	daemon, here := daemonAndClient(t)
	there := clientOf(t, daemon)
	gate := newGate()
	cause := errors.New("it broke")
	led := inBackground(patient(t), here, "k", func(ctx context.Context) (string, error) {
		_ = gate.pass(ctx)
		panic(cause)
	})
	wait(t, "the lead", gate.begun)
	followed := inBackground(patient(t), there, "k", never[string](t))
	waitForCallers(t, daemon, "k", 2)
	close(gate.opened)
	ends := map[string]<-chan outcome[string]{"leader": led, "follower": followed}
	for role, ended := range ends {
		var failure *singleflight.FunctionError
		got := wait(t, role, ended)
		if !errors.As(got.err, &failure) || failure.Kind != singleflight.KindPanic ||
			failure.Message != "it broke" ||
			failure.Type != "*errors.errorString" ||
			!strings.Contains(failure.Stack, "do_test.go") {
			t.Errorf("%s: %+v", role, got.err)
		}
		if errors.Is(got.err, cause) != (role == "leader") {
			t.Errorf("%s: the panic's own error belongs to the leader's process", role)
		}
	}
}

func TestGoexitAbandonsTheFlight(t *testing.T) {
	_, client := daemonAndClient(t)
	result, err := singleflight.Do(patient(t), client, "k", func(context.Context) (string, error) {
		runtime.Goexit()
		return "", nil
	})
	var failure *singleflight.FunctionError
	if !errors.As(err, &failure) || failure.Kind != singleflight.KindAbandoned ||
		result.Kind != singleflight.KindAbandoned {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestADeadlineRemovesOnlyThatCaller(t *testing.T) {
	_, client := daemonAndClient(t)
	gate := newGate()
	short, cancel := context.WithTimeout(context.Background(), time.Minute)
	led := inBackground(short, client, "k", func(ctx context.Context) (string, error) {
		return "made", gate.pass(ctx)
	})
	wait(t, "the lead", gate.begun)
	// A later deadline than the first caller's would join by itself; these are earlier.
	hasty, cancelHasty := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancelHasty()
	stays := inBackground(short, client, "k", never[string](t))
	client.WaitForMerged(t, "k", 2)
	_, err := singleflight.Do(hasty, client, "k", never[string](t))
	if !errors.Is(err, context.DeadlineExceeded) ||
		!errors.Is(err, singleflight.ErrDeadlineExceeded) ||
		status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the hasty one got %v", err)
	}
	close(gate.opened)
	for _, ended := range []<-chan outcome[string]{led, stays} {
		if got := wait(t, "the others", ended); got.err != nil || got.result.Value != "made" {
			t.Errorf("%+v", got)
		}
	}
	cancel()
}

func TestTheLeadersCallerMayLeaveWhileOthersWait(t *testing.T) {
	_, client := daemonAndClient(t)
	gate := newGate()
	leaves, cancel := context.WithCancel(context.Background())
	led := inBackground(leaves, client, "k", func(ctx context.Context) (string, error) {
		return "made", gate.pass(ctx)
	})
	wait(t, "the lead", gate.begun)
	stays := inBackground(
		patient(t),
		client,
		"k",
		never[string](t),
		singleflight.WithLocalMerge(true),
	)
	endless := inBackground(context.Background(), client, "k", never[string](t))
	client.WaitForMerged(t, "k", 3)
	cancel()
	if got := wait(t, "the leader's caller", led); !errors.Is(got.err, context.Canceled) {
		t.Errorf("%+v", got)
	}
	close(gate.opened)
	for _, ended := range []<-chan outcome[string]{stays, endless} {
		if got := wait(t, "who stays", ended); got.err != nil || got.result.Value != "made" ||
			got.result.Led {
			t.Errorf("%+v", got)
		}
	}
}

func TestPassOnLetsTheNextCallerTry(t *testing.T) {
	daemon, here := daemonAndClient(t)
	there := clientOf(t, daemon)
	gate := newGate()
	mine := errors.New("only here")
	led := inBackground(patient(t), here, "k", func(ctx context.Context) (string, error) {
		_ = gate.pass(ctx)
		singleflight.LeaderFromContext(ctx).PassOn()
		return "", mine
	})
	wait(t, "the lead", gate.begun)
	second := func(context.Context) (string, error) { return "second", nil }
	merged := inBackground(patient(t), here, "k", second)
	client := here
	client.WaitForMerged(t, "k", 2)
	elsewhere := inBackground(patient(t), there, "k", second)
	waitForCallers(t, daemon, "k", 2)
	close(gate.opened)
	if got := wait(t, "the leader", led); got.err != mine || got.result.Attempt != 1 {
		t.Errorf("%+v", got)
	}
	for _, ended := range []<-chan outcome[string]{merged, elsewhere} {
		if got := wait(t, "the others", ended); got.err != nil || got.result.Value != "second" ||
			got.result.Attempt != 2 {
			t.Errorf("%+v", got)
		}
	}
}

func TestNobodyMergesIntoWhatHasEnded(t *testing.T) {
	_, client := daemonAndClient(t)
	for i := range 200 {
		result, err := singleflight.Do(
			patient(t),
			client,
			"k",
			func(context.Context) (int, error) { return i, nil },
		)
		if err != nil || result.Value != i || !result.Led {
			t.Fatalf("%+v, %v", result, err)
		}
	}
}

func TestRetainedOutcomesAndForget(t *testing.T) {
	daemon, here := daemonAndClient(t)
	there := clientOf(t, daemon)
	retain := singleflight.WithRetain(time.Hour)
	one := func(context.Context) (int, error) { return 1, nil }
	first, err := singleflight.Do(patient(t), here, "k", one, retain)
	if err != nil || first.Retain <= 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	second, err := singleflight.Do(patient(t), there, "k", never[int](t), retain)
	if err != nil || !second.Retained || second.Led || !second.Shared || second.Value != 1 ||
		second.Token != first.Token {
		t.Errorf("%+v, %v", second, err)
	}
	forgotten, err := there.Forget(patient(t), "", "k", false)
	if err != nil || forgotten != (singleflight.Forgotten{Retained: true}) {
		t.Errorf("%+v, %v", forgotten, err)
	}
	third, err := singleflight.Do(patient(t), here, "k", one, retain)
	if err != nil || third.Retained || third.Token <= first.Token {
		t.Errorf("%+v, %v", third, err)
	}
}

func TestForgetEndsTheMerging(t *testing.T) {
	daemon, client := daemonAndClient(t)
	old := newGate()
	first := inBackground(patient(t), client, "k", func(ctx context.Context) (string, error) {
		return "old", old.pass(ctx)
	})
	wait(t, "the lead", old.begun)
	unshared, err := client.Forget(patient(t), "", "k", true)
	if err != nil || !unshared.Flight {
		t.Fatalf("%+v, %v", unshared, err)
	}
	again, err := client.Forget(patient(t), "", "k", false)
	if err != nil || again.Flight {
		t.Errorf("forgotten twice: %+v, %v", again, err)
	}
	second, err := singleflight.Do(
		patient(t),
		client,
		"k",
		func(context.Context) (string, error) { return "new", nil },
	)
	if err != nil || second.Value != "new" || !second.Led {
		t.Errorf("%+v, %v", second, err)
	}
	close(old.opened)
	if got := wait(t, "the first", first); got.result.Value != "old" ||
		got.result.Token >= second.Token {
		t.Errorf("%+v", got)
	}
	if flightOf(t, daemon, "k") != nil {
		t.Error("a flight is left")
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	_, client := daemonAndClient(t)
	ok := func(context.Context) (int, error) { return 1, nil }
	do := func(key string, fn func(context.Context) (int, error), opts ...singleflight.Option) error {
		_, err := singleflight.Do(patient(t), client, key, fn, opts...)
		return err
	}
	cases := map[string]error{
		"empty key":   do("", ok),
		"long key":    do(strings.Repeat("k", 1025), ok),
		"huge key":    do(strings.Repeat("k", 1e6), ok),
		"no function": do("k", nil),
	}
	for name, option := range map[string]singleflight.Option{
		"group":       singleflight.WithGroup("no/slash"),
		"lease":       singleflight.WithLease(time.Millisecond),
		"fingerprint": singleflight.WithFingerprint(make([]byte, 65)),
		"caller":      singleflight.WithCaller(strings.Repeat("c", 129)),
		"role":        singleflight.WithRole(77),
		"loss":        singleflight.WithLeaderLoss(77),
	} {
		cases[name] = do("k", ok, option)
	}
	for name, err := range cases {
		if !errors.Is(err, singleflight.ErrInvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, options := range map[string]singleflight.ClientOptions{
		"empty address": {Addresses: []string{"a:1", ""}},
		"caller":        {Caller: strings.Repeat("c", 129)},
		"address":       {Addresses: []string{"unix://no\x00pe:%%"}},
	} {
		if _, err := singleflight.NewClient(options); !errors.Is(
			err,
			singleflight.ErrInvalidArgument,
		) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFollowerThatCanWaitMuchLongerJoinsByItself(t *testing.T) {
	daemon, client := daemonAndClient(t)
	soon, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	later, cancelLater := context.WithTimeout(context.Background(), time.Hour)
	defer cancelLater()
	gate := newGate()
	led := inBackground(later, clientOf(t, daemon), "k", func(ctx context.Context) (string, error) {
		return "v", gate.pass(ctx)
	})
	wait(t, "the lead", gate.begun)
	first := inBackground(soon, client, "k", never[string](t))
	waitForCallers(t, daemon, "k", 2)
	second := inBackground(later, client, "k", never[string](t))
	waitForCallers(t, daemon, "k", 3) // a place of its own
	close(gate.opened)
	for _, ended := range []<-chan outcome[string]{led, first, second} {
		if got := wait(t, "the outcome", ended); got.err != nil || got.result.Callers != 3 {
			t.Errorf("%+v", got)
		}
	}
}

func TestAnOutcomeThatIsOnItsWayArrivesWithoutItsCaller(t *testing.T) {
	daemon, here := daemonAndClient(t)
	there := clientOf(t, daemon)
	leaves, cancel := context.WithCancel(context.Background())
	gate := newGate()
	value := strings.Repeat("large", 4_000_000)
	led := inBackground(leaves, here, "k", func(ctx context.Context) (string, error) {
		return value, gate.pass(ctx)
	}, singleflight.WithCodec(singleflight.Raw))
	wait(t, "the lead", gate.begun)
	followed := inBackground(patient(t), there, "k", never[string](t),
		singleflight.WithCodec(singleflight.Raw))
	waitForCallers(t, daemon, "k", 2)
	close(gate.opened)
	here.WaitForMerged(t, "k", 0) // the function has ended
	cancel()
	wait(t, "the leader's caller", led)
	if got := wait(t, "the follower", followed); got.err != nil || got.result.Value != value {
		t.Errorf("%d bytes, %v", len(got.result.Value), got.err)
	}
}

func TestAFunctionThatWritesMakesItsValueSo(t *testing.T) {
	daemon, here := daemonAndClient(t)
	retain := singleflight.WithRetain(time.Minute)
	written := func(ctx context.Context) (string, error) {
		_, err := singleflight.LeaderFromContext(ctx).Write([]byte(`"written"`))
		return "returned", err
	}
	for _, client := range []*singleflight.Client{here, clientOf(t, daemon)} {
		result, err := singleflight.Do(patient(t), client, "k", written, retain)
		if err != nil || result.Value != "written" {
			t.Errorf("%+v, %v", result, err)
		}
	}
}

func TestACallWhoseContextIsDoneDoesNotBegin(t *testing.T) {
	_, client := daemonAndClient(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := singleflight.Do(ctx, client, "k", never[int](t))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

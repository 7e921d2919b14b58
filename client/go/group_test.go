// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"context"
	"encoding/gob"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/singleflightd/singleflightd/client/go"
)

// The tests of x/sync (./test-xsync) tell what happens in one process; these, what is different
// between two.

type address struct{ City string }

func init() { gob.Register(address{}) }

// leadAndFollow lets one group lead with fn, and returns what a group elsewhere gets.
func leadAndFollow(t *testing.T, key string, fn func() (any, error),
	opts ...singleflight.Option,
) singleflight.GroupResult {
	t.Helper()
	daemon, client := daemonAndClient(t)
	here := &singleflight.Group{Client: client, Options: opts}
	there := &singleflight.Group{Client: clientOf(t, daemon), Options: opts}
	gate := newGate()
	go func() {
		defer func() { _ = recover() }() // the panic is for those who lead
		_, _, _ = here.Do(key, func() (any, error) {
			_ = gate.pass(patient(t))
			return fn()
		})
	}()
	wait(t, "the lead", gate.begun)
	followed := there.DoChan(key, func() (any, error) {
		t.Error("this caller must not lead")
		return nil, nil
	})
	wire := key
	if key == "" {
		wire = "\x00"
	}
	waitForCallers(t, daemon, wire, 2)
	close(gate.opened)
	return wait(t, "the follower", followed)
}

func TestAGroupElsewhereGetsTheValueThroughTheCodec(t *testing.T) {
	work := func() (any, error) { return address{"Oslo"}, nil }
	got := leadAndFollow(t, "k", work, singleflight.WithCodec(singleflight.Gob))
	if got.Err != nil || got.Val != (address{"Oslo"}) || !got.Shared {
		t.Errorf("by gob: %+v", got)
	}
	got = leadAndFollow(t, "", work)
	object, _ := got.Val.(map[string]any)
	if got.Err != nil || object["City"] != "Oslo" || !got.Shared {
		t.Errorf("by JSON, with the empty key: %+v", got)
	}
	if got := leadAndFollow(t, "k", func() (any, error) { return nil, nil }); got.Err != nil || got.Val != nil {
		t.Errorf("nil: %+v", got)
	}
}

func TestAGroupElsewhereGetsPanicsAndExitsAsErrors(t *testing.T) {
	for _, c := range []struct {
		fn   func() (any, error)
		kind singleflight.Kind
		text string
	}{
		{func() (any, error) { return nil, errors.New("failed") }, singleflight.KindError, "failed"},
		{func() (any, error) { panic("broken") }, singleflight.KindPanic, "panic: broken"},
		{func() (any, error) { runtime.Goexit(); return nil, nil }, singleflight.KindAbandoned, "Goexit"},
	} {
		got := leadAndFollow(t, "k", c.fn)
		var failure *singleflight.FunctionError
		if !errors.As(got.Err, &failure) || failure.Kind != c.kind ||
			!strings.Contains(got.Err.Error(), c.text) {
			t.Errorf("%v: %+v", c.kind, got)
		}
		if hasStack := failure.Stack != ""; hasStack != (c.kind == singleflight.KindPanic) {
			t.Errorf("%v: stack %q", c.kind, failure.Stack)
		}
	}
}

func TestThePanicOfAGroupTellsWhatAndWhere(t *testing.T) {
	_, client := daemonAndClient(t)
	group := &singleflight.Group{Client: client}
	cause := errors.New("broken")
	defer func() {
		err, _ := recover().(error)
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), "group_test.go") {
			t.Errorf("%v", err)
		}
	}()
	_, _, _ = group.Do("k", func() (any, error) { panic(cause) })
	t.Error("it did not panic")
}

func TestAGroupForgetsForAllProcesses(t *testing.T) {
	daemon, client := daemonAndClient(t)
	opts := []singleflight.Option{singleflight.WithRetain(time.Hour)}
	here := &singleflight.Group{Name: "g", Client: client, Options: opts}
	there := &singleflight.Group{Name: "g", Client: clientOf(t, daemon), Options: opts}
	do := func(group *singleflight.Group, made string) any {
		value, err, _ := group.Do("k", func() (any, error) { return made, nil })
		if err != nil {
			t.Error(err)
		}
		return value
	}
	if got := []any{do(here, "one"), do(there, "two")}; got[0] != "one" || got[1] != "one" {
		t.Errorf("%v", got)
	}
	there.Forget("k")
	if got := do(here, "three"); got != "three" {
		t.Errorf("%v", got)
	}
}

func TestAGroupThatReachesNoServerSaysSo(t *testing.T) {
	group := &singleflight.Group{Client: newClient(t, singleflight.ClientOptions{
		Addresses:      []string{closedAddress(t)},
		ConnectTimeout: 100 * time.Millisecond,
	})}
	fn := func() (any, error) { return 1, nil }
	if _, err, _ := group.Do("k", fn); !errors.Is(err, singleflight.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	got := wait(t, "DoChan", group.DoChan("k", fn))
	if !errors.Is(got.Err, singleflight.ErrUnavailable) {
		t.Errorf("%v", got.Err)
	}
	group.Forget("k") // has a bound
	_, err := group.Client.Forget(patient(t), "", "k", false)
	if !errors.Is(err, singleflight.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = group.Client.Forget(ctx, "", "k", false)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/singleflightd/singleflightd/client/go"
)

// A value of its own for every caller, also in the leader's process: the race detector looks.
func TestEveryCallerMayChangeItsValue(t *testing.T) {
	daemon, client := daemonAndClient(t)
	there := clientOf(t, daemon)
	shares := []struct {
		name  string
		codec singleflight.Codec
	}{{"JSON", singleflight.JSON}, {"Gob", singleflight.Gob}}
	for _, c := range shares {
		t.Run(c.name, func(t *testing.T) {
			codec := singleflight.WithCodec(c.codec)
			gate := newGate()
			made := map[string]int{"made": 1}
			load := func(ctx context.Context) (map[string]int, error) { return made, gate.pass(ctx) }
			callers := []<-chan outcome[map[string]int]{
				inBackground(patient(t), client, "k", load, codec),
			}
			wait(t, "the lead", gate.begun)
			for range 2 {
				callers = append(callers,
					inBackground(patient(t), client, "k", never[map[string]int](t), codec))
			}
			client.WaitForMerged(t, "k", 3)
			callers = append(callers, inBackground(patient(t), there, "k", never[map[string]int](t), codec))
			waitForCallers(t, daemon, "k", 2)
			close(gate.opened)
			changeAll(t, callers, func(value map[string]int, i int) bool {
				value["mine"] += i
				return value["made"] == 1 && value["mine"] == i
			})
		})
	}
	t.Run("Raw", func(t *testing.T) {
		gate := newGate()
		load := func(ctx context.Context) ([]byte, error) { return []byte("made"), gate.pass(ctx) }
		raw := singleflight.WithCodec(singleflight.Raw)
		callers := []<-chan outcome[[]byte]{inBackground(patient(t), client, "k", load, raw)}
		wait(t, "the lead", gate.begun)
		for range 2 {
			callers = append(callers, inBackground(patient(t), client, "k", never[[]byte](t), raw))
		}
		client.WaitForMerged(t, "k", 3)
		close(gate.opened)
		changeAll(t, callers, func(value []byte, i int) bool {
			was := string(value)
			value[0] = byte(i)
			return was == "made"
		})
	})
}

// changeAll lets all callers change what they have got at the same time.
func changeAll[T any](t *testing.T, callers []<-chan outcome[T], change func(value T, i int) bool) {
	t.Helper()
	var all sync.WaitGroup
	for i, ended := range callers {
		got := wait(t, "a caller", ended)
		if got.err != nil {
			t.Fatal(got.err)
		}
		all.Add(1)
		go func() {
			defer all.Done()
			if !change(got.result.Value, i) {
				t.Errorf("caller %d has %v", i, got.result.Value)
			}
		}()
	}
	all.Wait()
}

func checkCodec(t *testing.T, who string, err error, op singleflight.CodecOp) {
	t.Helper()
	var codec *singleflight.CodecError
	var status *singleflight.StatusError
	var failure *singleflight.FunctionError
	if !errors.As(err, &codec) || codec.Op != op || errors.As(err, &status) || errors.As(err, &failure) {
		t.Errorf("%s: %T: %v", who, err, err)
	}
}

func TestAValueThatCannotBeEncodedIsAnErrorForEverybody(t *testing.T) {
	type secret struct{ hidden int }
	for name, value := range map[string]any{"func": func() {}, "hides all": secret{7}, "error": errors.New("x")} {
		t.Run(name, func(t *testing.T) {
			daemon, here := daemonAndClient(t)
			gate := newGate()
			led := inBackground(patient(t), here, "k", func(ctx context.Context) (any, error) {
				return value, gate.pass(ctx)
			})
			wait(t, "the lead", gate.begun)
			merged := inBackground(patient(t), here, "k", never[any](t))
			here.WaitForMerged(t, "k", 2)
			followed := inBackground(patient(t), clientOf(t, daemon), "k", never[any](t))
			waitForCallers(t, daemon, "k", 2)
			close(gate.opened)
			for who, ended := range map[string]<-chan outcome[any]{
				"the leader": led, "merged": merged, "the follower": followed,
			} {
				got := wait(t, who, ended)
				checkCodec(t, who, got.err, singleflight.Encode)
				if got.result.Kind != singleflight.KindError || got.result.Callers < 2 {
					t.Errorf("%s: %+v", who, got)
				}
			}
		})
	}
}

// oneWay is a codec that cannot read what it writes.
type oneWay struct{}

func (oneWay) Marshal(any) ([]byte, error)     { return []byte("{"), nil }
func (oneWay) Unmarshal(d []byte, v any) error { return singleflight.JSON.Unmarshal(d, v) }

func TestAValueThatCannotBeDecodedIsAnErrorForEverybody(t *testing.T) {
	daemon, here := daemonAndClient(t)
	gate := newGate()
	codec := singleflight.WithCodec(oneWay{})
	led := inBackground(patient(t), here, "k", func(ctx context.Context) (profile, error) {
		return profile{}, gate.pass(ctx)
	}, codec)
	wait(t, "the lead", gate.begun)
	followed := inBackground(patient(t), clientOf(t, daemon), "k", never[profile](t), codec)
	waitForCallers(t, daemon, "k", 2)
	close(gate.opened)
	for who, ended := range map[string]<-chan outcome[profile]{"the leader": led, "the follower": followed} {
		checkCodec(t, who, wait(t, who, ended).err, singleflight.Decode)
	}
}

func TestARetainedValueThatCannotBeDecodedIsAsIfItWereNotRetained(t *testing.T) {
	_, client := daemonAndClient(t)
	retain := singleflight.WithRetain(time.Minute)
	for name, ask := range map[string]func(key string) (string, error){
		"Do": func(key string) (string, error) {
			result, err := singleflight.Do(patient(t), client, key, makes("new"), retain)
			return result.Value, err
		},
		"a Group": func(key string) (string, error) {
			group := &singleflight.Group{Client: client, Options: []singleflight.Option{retain}}
			value, err, _ := group.Do(key, func() (any, error) { return "new", nil })
			text, _ := value.(string)
			return text, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := client.Do(patient(t), name, write("{"), retain); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second one gets what the first has made
				if value, err := ask(name); err != nil || value != "new" {
					t.Errorf("%q, %v", value, err)
				}
			}
		})
	}
	if _, err := client.Do(patient(t), "once", write("{"), retain); err != nil {
		t.Fatal(err)
	}
	runs := 0
	_, err := singleflight.Do(patient(t), client, "once", func(context.Context) (profile, error) {
		runs++
		return profile{}, nil
	}, retain, singleflight.WithCodec(oneWay{}))
	checkCodec(t, "twice", err, singleflight.Decode)
	if runs != 1 {
		t.Errorf("it ran %d times", runs)
	}
	_, err = singleflight.Do(patient(t), client, "once", never[profile](t), retain,
		singleflight.WithCodec(oneWay{}), singleflight.WithRole(singleflight.FollowOnly))
	if !errors.Is(err, singleflight.ErrNotFound) {
		t.Errorf("nothing is there to follow: %v", err)
	}
}

func TestCausesReachCallersElsewhere(t *testing.T) {
	for name, failure := range map[string]error{
		"its own": &singleflight.FunctionError{
			Message: "no user 7",
			Cause:   &fs.PathError{Op: "dial", Path: "db", Err: errors.New("db down")},
		},
		"hidden":   &hidesItsCause{errors.New("db down")},
		"joined":   errors.Join(errors.New("first"), &hidesItsCause{errors.New("db down")}),
		"panicked": nil,
	} {
		t.Run(name, func(t *testing.T) {
			daemon, here := daemonAndClient(t)
			gate := newGate()
			led := inBackground(patient(t), here, "k", func(ctx context.Context) (string, error) {
				_ = gate.pass(ctx)
				if failure == nil {
					panic(&hidesItsCause{errors.New("db down")})
				}
				return "", failure
			})
			wait(t, "the lead", gate.begun)
			followed := inBackground(patient(t), clientOf(t, daemon), "k", never[string](t))
			waitForCallers(t, daemon, "k", 2)
			close(gate.opened)
			wait(t, "the leader", led)
			var got *singleflight.FunctionError
			if err := wait(t, "the follower", followed).err; !errors.As(err, &got) ||
				!strings.Contains(got.Stack, "caused by *errors.errorString: db down") {
				t.Errorf("%+v", got)
			}
		})
	}
}

type hidesItsCause struct{ cause error }

func (*hidesItsCause) Error() string   { return "no user 7" }
func (h *hidesItsCause) Unwrap() error { return h.cause }

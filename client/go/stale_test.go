// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/singleflightd/singleflightd/client/go"
	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// old is an outcome that is older than WithMaxAge of these tests, and not than WithStale.
func retainOld(t *testing.T, client *singleflight.Client, key string) singleflight.Result[string] {
	t.Helper()
	old, err := singleflight.Do(patient(t), client, key, makes("old"),
		singleflight.WithRetain(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "age", func() bool {
		got, err := singleflight.Do(patient(t), client, key, never[string](t))
		return err == nil && got.Age > 5*time.Millisecond
	})
	return old
}

func staleOptions(retain time.Duration) []singleflight.Option {
	return []singleflight.Option{
		singleflight.WithRetain(retain),
		singleflight.WithMaxAge(time.Millisecond),
		singleflight.WithStale(time.Hour),
	}
}

func TestAStaleOutcomeIsServedAtOnceAndRefreshedInTheBackground(t *testing.T) {
	daemon, client := daemonAndClient(t)
	other := clientOf(t, daemon)
	for name, ask := range map[string]func(key string, load func(context.Context) (string, error)) (string, error){
		"Do": func(key string, load func(context.Context) (string, error)) (string, error) {
			result, err := singleflight.Do(patient(t), client, key, load, staleOptions(time.Hour)...)
			if !result.Stale || !result.Retained || result.Led {
				t.Errorf("%+v", result)
			}
			return result.Value, err
		},
		"a Group": func(key string, load func(context.Context) (string, error)) (string, error) {
			group := singleflight.Group{Client: client, Options: staleOptions(time.Hour)}
			value, err, _ := group.Do(key, func() (any, error) { return load(context.Background()) })
			text, _ := value.(string)
			return text, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			retainOld(t, client, name)
			gate := newGate()
			load := func(ctx context.Context) (string, error) { return "new", gate.pass(ctx) }
			for range 3 { // one refresh for all of them
				if value, err := ask(name, load); err != nil || value != "old" {
					t.Errorf("%q, %v", value, err)
				}
			}
			wait(t, "the refresh", gate.begun)
			close(gate.opened)
			eventually(t, "the new value", func() bool {
				got, err := singleflight.Do(patient(t), other, name, never[string](t))
				return err == nil && got.Value == "new"
			})
			if len(gate.begun) > 0 {
				t.Error("it was refreshed more than once")
			}
		})
	}
}

func TestWhenARefreshFailsTheOldOutcomeIsServedOn(t *testing.T) {
	_, client := daemonAndClient(t)
	old := retainOld(t, client, "k")
	failed := make(chan struct{}, 9)
	options := append(staleOptions(time.Hour), singleflight.WithRetainError(time.Hour))
	for range 3 {
		got, err := singleflight.Do(patient(t), client, "k", func(ctx context.Context) (string, error) {
			singleflight.LeaderFromContext(ctx).SetRetain(time.Hour)
			failed <- struct{}{}
			return "", errors.New("no source")
		}, options...)
		if err != nil || got.Value != "old" || !got.Stale || got.Token != old.Token {
			t.Errorf("%+v, %v", got, err)
		}
		wait(t, "the refresh", failed)
	}
}

func TestWhatIsNotRetainedOrTooOldIsNotServedStale(t *testing.T) {
	_, client := daemonAndClient(t)
	got, err := singleflight.Do(patient(t), client, "none", makes("new"), staleOptions(time.Hour)...)
	if err != nil || !got.Led || got.Stale {
		t.Errorf("%+v, %v", got, err)
	}
	retainOld(t, client, "old")
	got, err = singleflight.Do(patient(t), client, "old", makes("new"),
		singleflight.WithMaxAge(time.Millisecond), singleflight.WithStale(2*time.Millisecond))
	if err != nil || !got.Led || got.Stale || got.Value != "new" {
		t.Errorf("%+v, %v", got, err)
	}
	// A failure that is kept is no value to serve while another is made.
	_, err = singleflight.Do(patient(t), client, "failure", func(context.Context) (string, error) {
		return "", errors.New("failed")
	}, singleflight.WithRetainError(time.Hour))
	if err == nil {
		t.Fatal("it has not failed")
	}
	eventually(t, "the next try", func() bool {
		got, err := singleflight.Do(patient(t), client, "failure", makes("new"),
			staleOptions(0)...)
		return err == nil && got.Led && got.Value == "new"
	})
}

// The connection broke between the finish and its answer, so the leader that resumed is told its own
// outcome as a retained one.
func TestTheLeadersOwnOutcomeIsNeverStale(t *testing.T) {
	own := result("", 0)
	own.GetResult().Led, own.GetResult().Retained, own.GetResult().AgeMs = true, true, 50
	fake := &fakeServer{
		answer: func(int, *pb.CallRequest) ([]*pb.CallResponse, error) {
			return []*pb.CallResponse{{Step: &pb.CallResponse_Lead{
				Lead: &pb.Lead{Token: 5, Attempt: 1, LeaseMs: 60_000},
			}}}, nil
		},
		answerStep: func(call *pb.CallRequest) []*pb.CallResponse {
			if call.GetFinish() == nil {
				return nil
			}
			return []*pb.CallResponse{own}
		},
	}
	client := serveFake(t, fake)
	for name, codec := range map[string]singleflight.Codec{
		"stale": singleflight.JSON, "that it cannot decode": mute{},
	} {
		t.Run(name, func(t *testing.T) {
			before := fake.joins.Load()
			options := []singleflight.Option{
				singleflight.WithLease(time.Minute), singleflight.WithRetain(time.Hour),
				singleflight.WithStale(time.Hour), singleflight.WithCodec(codec),
			}
			got, err := singleflight.Do(patient(t), client, name, makes("mine"), options...)
			var undecodable *singleflight.CodecError
			if err != nil && !errors.As(err, &undecodable) {
				t.Fatal(err)
			}
			if got.Stale || !got.Led || fake.joins.Load() != before+1 {
				t.Errorf("%+v, %v, %d joins", got, err, fake.joins.Load()-before)
			}
			group := singleflight.Group{Client: client, Options: options}
			_, err, _ = group.Do(name+" in a Group", func() (any, error) { return "mine", nil })
			if fake.joins.Load() != before+2 {
				t.Errorf("%v, %d joins", err, fake.joins.Load()-before)
			}
		})
	}
}

// mute encodes, and decodes nothing.
type mute struct{}

func (mute) Marshal(value any) ([]byte, error) { return singleflight.JSON.Marshal(value) }

func (mute) Unmarshal([]byte, any) error { return errors.New("it has another form") }

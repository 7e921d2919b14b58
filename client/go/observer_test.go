// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/singleflightd/singleflightd/client/go"
	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
	"github.com/singleflightd/singleflightd/client/go/singleflighttest"
)

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// watcher notes the events.
type watcher struct {
	mu     sync.Mutex
	events []singleflight.Event
}

func (w *watcher) Observe(_ context.Context, event singleflight.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, event)
}

// story is what has been told, in short: kinds, and role, status and outcome of what has ended.
func (w *watcher) story() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var words []string
	for _, event := range w.events {
		word := string(event.Kind)
		if event.Kind == singleflight.EventEnded {
			word = fmt.Sprintf("%s(%s,%s,%s)", word, event.Role, event.Status, event.Outcome)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func watch(t *testing.T, options singleflight.ClientOptions) (*singleflighttest.Fake, *watcher) {
	t.Helper()
	w := &watcher{}
	options.Observer = w
	return singleflighttest.New(t, options), w
}

func one(context.Context) (int, error) { return 1, nil }

func TestAnObserverIsToldWhatHappensToACall(t *testing.T) {
	for want, run := range map[string]func(*singleflighttest.Fake, *singleflight.Client){
		"led ended(leader,OK,ok)": func(_ *singleflighttest.Fake, client *singleflight.Client) {
			_, _ = singleflight.Do(patient(t), client, "k", one)
		},
		"led ended(leader,OK,error)": func(_ *singleflighttest.Fake, client *singleflight.Client) {
			_, _ = client.Do(patient(t), "k", func(context.Context, *singleflight.Leader) error {
				return errors.New("no")
			})
		},
		"led ended(leader,OK,panic)": func(_ *singleflighttest.Fake, client *singleflight.Client) {
			_, _ = singleflight.Do(patient(t), client, "k", func(context.Context) (int, error) {
				panic("oh")
			})
		},
		"followed ended(follower,OK,ok)": func(fake *singleflighttest.Fake, client *singleflight.Client) {
			fake.Outcome("k", 1, nil)
			_, _ = singleflight.Do(patient(t), client, "k", one)
		},
		"followed takeover led ended(leader,OK,ok)": func(fake *singleflighttest.Fake,
			client *singleflight.Client) {
			fake.Takeover("k")
			group := singleflight.Group{Client: client}
			_, _, _ = group.Do("k", func() (any, error) { return 1, nil })
		},
		"led lost ended(leader,ABORTED,)": func(fake *singleflighttest.Fake,
			client *singleflight.Client) {
			fake.Lose("k")
			_, _ = client.Start(patient(t), "k", func(ctx context.Context, _ *singleflight.Leader) error {
				<-ctx.Done()
				return nil
			}).Result()
		},
		"failed_open ended(alone,OK,ok)": func(fake *singleflighttest.Fake,
			client *singleflight.Client) {
			fake.Unavailable()
			_, _ = singleflight.Do(patient(t), client, "k", one)
		},
		"led failed_open ended(alone,OK,ok)": func(fake *singleflighttest.Fake,
			client *singleflight.Client) {
			_, _ = client.Do(patient(t), "k", func(_ context.Context, leader *singleflight.Leader) error {
				fake.Unavailable()
				eventually(t, "alone", leader.FailedOpen)
				return nil
			})
		},
		"ended(follower,PERMISSION_DENIED,)": func(fake *singleflighttest.Fake,
			client *singleflight.Client) {
			fake.Outcome("k", nil, &singleflight.StatusError{Code: codes.PermissionDenied})
			_, _ = singleflight.Do(patient(t), client, "k", one)
		},
		"led ended(leader,CANCELLED,)": func(_ *singleflighttest.Fake, client *singleflight.Client) {
			ctx, cancel := context.WithCancel(patient(t))
			_, _ = singleflight.Do(ctx, client, "k", func(ctx context.Context) (int, error) {
				cancel() // this caller leaves, and nobody else waits
				<-ctx.Done()
				return 0, nil
			})
		},
		"ended(follower,CANCELLED,)": func(_ *singleflighttest.Fake, client *singleflight.Client) {
			client.Close()
			_, _ = singleflight.Do(patient(t), client, "k", one)
		},
		"": func(_ *singleflighttest.Fake, client *singleflight.Client) {
			_, _ = singleflight.Do(patient(t), client, "", one) // misuse is no call
		},
	} {
		t.Run(want, func(t *testing.T) {
			fake, watcher := watch(t, singleflight.ClientOptions{FailOpen: true})
			run(fake, fake.Client)
			if got := watcher.story(); got != want {
				t.Errorf("%s", got)
			}
		})
	}
}

func TestAnEventSaysWhichLeadItIsAbout(t *testing.T) {
	fake, watcher := watch(t, singleflight.ClientOptions{})
	fake.Takeover("k")
	_, _ = singleflight.Do(patient(t), fake.Client, "k", one, singleflight.WithGroup("g"))
	for i, event := range watcher.events {
		if event.Group != "g" || event.Key != "k" || event.Attempt != min(i+1, 2) ||
			(event.Token == 0) != (i == 0) {
			t.Errorf("%+v", event)
		}
	}
	ended := watcher.events[3]
	if ended.Duration <= 0 || ended.Callers != 1 || ended.Err != nil {
		t.Errorf("%+v", ended)
	}
}

func TestMergedCallsFollowTheOneThatLeads(t *testing.T) {
	fake, watcher := watch(t, singleflight.ClientOptions{})
	gate := newGate()
	fn := func(ctx context.Context) (int, error) { return 1, gate.pass(ctx) }
	first := inBackground(patient(t), fake.Client, "k", fn)
	wait(t, "the function", gate.begun)
	second := inBackground(patient(t), fake.Client, "k", fn)
	fake.Client.WaitForMerged(t, "k", 2)
	close(gate.opened)
	wait(t, "the first", first)
	wait(t, "the second", second)
	got := watcher.story()
	if !strings.HasPrefix(got, "led followed ended") ||
		!strings.Contains(got, "ended(leader,OK,ok)") ||
		!strings.Contains(got, "ended(follower,OK,ok)") {
		t.Error(got)
	}
}

// ofServer is a client of a scripted server that is watched.
func ofServer(t *testing.T, fake *fakeServer) (*singleflight.Client, *watcher) {
	t.Helper()
	w := &watcher{}
	return newClient(t, singleflight.ClientOptions{
		Addresses: []string{fake.listen(t)}, Observer: w,
	}), w
}

func TestALeadThatIsLostBeforeItIsConfirmedIsLost(t *testing.T) {
	answer := func(int, *pb.CallRequest) ([]*pb.CallResponse, error) {
		return []*pb.CallResponse{{Step: &pb.CallResponse_Lead{Lead: &pb.Lead{
			Token: 3, Attempt: 1,
		}}}}, nil
	}
	answerStep := func(call *pb.CallRequest) []*pb.CallResponse {
		return []*pb.CallResponse{end(codes.Aborted, "fenced")}
	}
	client, watcher := ofServer(t, &fakeServer{answer: answer, answerStep: answerStep})
	_, _ = singleflight.Do(patient(t), client, "k", one)
	if got := watcher.story(); got != "led lost ended(leader,ABORTED,)" {
		t.Error(got)
	}
}

func TestARetainedOutcomeIsNobodysRun(t *testing.T) {
	client, watcher := ofServer(t, &fakeServer{
		answer: func(join int, _ *pb.CallRequest) ([]*pb.CallResponse, error) {
			retained := result("1", 1)
			if join == 1 {
				retained = result("{", 1) // cannot be decoded, and is asked for once more
			}
			retained.GetResult().Retained = true
			return []*pb.CallResponse{retained}, nil
		},
	})
	got, err := singleflight.Do(patient(t), client, "k", never[int](t))
	if err != nil || got.Value != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if got := watcher.story(); got != "ended(retained,OK,ok)" {
		t.Error(got)
	}
}

func TestANewLeaderElsewhereIsFollowedAnew(t *testing.T) {
	client, watcher := ofServer(t, &fakeServer{
		answer: func(join int, _ *pb.CallRequest) ([]*pb.CallResponse, error) {
			if join == 1 { // and again, on another connection
				return []*pb.CallResponse{follow(), follow()}, status.Error(codes.Unavailable, "gone")
			}
			restart := &pb.CallResponse_Restart{Restart: &pb.Restart{Attempt: 2}}
			return []*pb.CallResponse{follow(), {Step: restart}, result("1", 1)}, nil
		},
	})
	_, _ = client.Start(patient(t), "k", nil, singleflight.WithLive(),
		singleflight.WithRole(singleflight.FollowOnly)).Result()
	if got := watcher.story(); got != "followed followed ended(follower,OK,ok)" {
		t.Error(got)
	}
}

func TestWhatAnObserverPanicsWithChangesNothingAndIsLogged(t *testing.T) {
	var text bytes.Buffer
	fake := singleflighttest.New(t, singleflight.ClientOptions{
		Observer: singleflight.ObserverFunc(func(context.Context, singleflight.Event) { panic("oh") }),
		Logger:   slog.New(slog.NewTextHandler(&text, nil)),
	})
	if got, err := singleflight.Do(patient(t), fake.Client, "k", one); err != nil || got.Value != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if !strings.Contains(text.String(), "level=ERROR") || !strings.Contains(text.String(), "oh") {
		t.Error(text.String())
	}
}

func TestTheLogTellsTheSameAtDebugLevel(t *testing.T) {
	for level, wants := range map[slog.Level]bool{slog.LevelDebug: true, slog.LevelInfo: false} {
		var text bytes.Buffer
		handler := slog.NewTextHandler(&text, &slog.HandlerOptions{Level: level})
		fake := serveFake(t, &fakeServer{
			answer: func(int, *pb.CallRequest) ([]*pb.CallResponse, error) {
				return []*pb.CallResponse{follow(), result("1", 1)}, nil
			},
		})
		before := slog.Default()
		slog.SetDefault(slog.New(handler))
		_, err := singleflight.Do(patient(t), fake, "k", one)
		slog.SetDefault(before)
		if err != nil {
			t.Error(err)
		}
		for _, line := range []string{
			`msg="singleflight: followed" group=default key=k attempt=1 token=0`,
			"role=follower status=OK outcome=ok",
		} {
			if strings.Contains(text.String(), line) != wants {
				t.Errorf("%v: %s", level, text.String())
			}
		}
	}
}

func TestTheServerIsToldTheTraceOfACall(t *testing.T) {
	for given, want := range map[string]string{
		traceparent:           traceparent,
		traceparent + "-more": "", // with letters that are no hex digits
		"\xff":                "",
		"":                    "",
	} {
		fake := singleflighttest.New(t, singleflight.ClientOptions{
			Traceparent: func(context.Context) string { return given },
		})
		if _, err := singleflight.Do(patient(t), fake.Client, "k", one); err != nil {
			t.Error(err)
		}
		if got := fake.Joins()[0].Traceparent; got != want {
			t.Errorf("%q: %q", given, got)
		}
	}
}

// tracer puts a name into the context.
type tracer struct{ watcher }

type traceKey struct{}

func (*tracer) Begin(ctx context.Context, group string) context.Context {
	return context.WithValue(ctx, traceKey{}, group)
}

func (*tracer) Traceparent(ctx context.Context) string {
	if ctx.Value(traceKey{}) != "g" {
		return ""
	}
	return traceparent
}

func TestATracerGoesAlongWithTheCall(t *testing.T) {
	fake := singleflighttest.New(t, singleflight.ClientOptions{Observer: &tracer{}})
	got, err := singleflight.Do(patient(t), fake.Client, "k", func(ctx context.Context) (any, error) {
		return ctx.Value(traceKey{}), nil
	}, singleflight.WithGroup("g"))
	if err != nil || got.Value != "g" || fake.Joins()[0].Traceparent != traceparent {
		t.Errorf("%+v, %v, %v", got, err, fake.Joins())
	}
}

func TestASlowObserverHoldsUpOnlyTheEndsOfCalls(t *testing.T) {
	seen := make(chan singleflight.Event, 9)
	goOn := make(chan struct{})
	fake := singleflighttest.New(t, singleflight.ClientOptions{
		Observer: singleflight.ObserverFunc(func(_ context.Context, event singleflight.Event) {
			seen <- event
			<-goOn
		}),
	})
	gate := newGate()
	first := inBackground(patient(t), fake.Client, "k", func(ctx context.Context) (int, error) {
		return 1, gate.pass(ctx)
	})
	wait(t, "the first event", seen)
	wait(t, "the function", gate.begun)
	close(gate.opened)
	select {
	case got := <-first:
		t.Errorf("%+v", got)
	case <-time.After(50 * time.Millisecond):
	}
	close(goOn)
	wait(t, "the call", first)
}

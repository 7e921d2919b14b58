// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/singleflightd/singleflightd/client/go"
	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// A lead is lost by the clock, not by hearsay.

// keeper is a server that grants leads, and answers renewals as long as it is told to.
type keeper struct {
	fakeServer
	lead     *pb.Lead
	joins    chan *pb.CallRequest
	renewals chan uint64 // their ids
	answers  func(id uint64) []*pb.CallResponse
}

func newKeeper(lead *pb.Lead, answers func(id uint64) []*pb.CallResponse) *keeper {
	k := &keeper{
		lead:     lead,
		joins:    make(chan *pb.CallRequest, 100),
		renewals: make(chan uint64, 10000),
		answers:  answers,
	}
	k.answer = func(_ int, call *pb.CallRequest) ([]*pb.CallResponse, error) {
		k.joins <- call
		return []*pb.CallResponse{{Step: &pb.CallResponse_Lead{Lead: k.lead}}}, nil
	}
	k.answerStep = func(call *pb.CallRequest) []*pb.CallResponse {
		switch {
		case call.GetRenew() != nil:
			k.renewals <- call.GetRenew().Id
			return k.answers(call.GetRenew().Id)
		case call.GetCancel() != nil:
			return []*pb.CallResponse{end(codes.Canceled, "cancelled")}
		case call.GetFinish() != nil:
			return []*pb.CallResponse{ledResult()}
		}
		return nil
	}
	return k
}

func ledResult() *pb.CallResponse {
	outcome := &pb.Outcome{Kind: pb.OutcomeKind_OUTCOME_KIND_OK}
	return &pb.CallResponse{Step: &pb.CallResponse_Result{Result: &pb.Result{
		Outcome: outcome, Led: true, Callers: 1, Attempt: 1, Token: 7,
	}}}
}

func renewed(id uint64) []*pb.CallResponse {
	return []*pb.CallResponse{{Step: &pb.CallResponse_Renewed{Renewed: &pb.Renewed{Id: id}}}}
}

func unanswered(uint64) []*pb.CallResponse { return nil }

func leased(lease time.Duration) *pb.Lead {
	ms := uint64(lease.Milliseconds())
	return &pb.Lead{Token: 7, Attempt: 1, LeaseMs: ms, SilenceMs: ms}
}

// running is a function that runs until it is told, or let go.
type running struct {
	leader *singleflight.Leader
	ctx    context.Context
	letGo  chan struct{}
	ended  <-chan outcome[string]
}

// runUnder lets a function run under a lead of the keeper.
func runUnder(t *testing.T, client *singleflight.Client, opts ...singleflight.Option) *running {
	t.Helper()
	r := &running{letGo: make(chan struct{})}
	begun := make(chan struct{})
	r.ended = inBackground(patient(t), client, "k", func(ctx context.Context) (string, error) {
		r.leader, r.ctx = singleflight.LeaderFromContext(ctx), ctx
		close(begun)
		select {
		case <-r.letGo:
			return "v", nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}, opts...)
	wait(t, "the function", begun)
	return r
}

func (r *running) checkHolds(t *testing.T) {
	t.Helper()
	if r.leader.Err() != nil || r.ctx.Err() != nil {
		t.Errorf("the lead is lost: %v, %v", r.leader.Err(), r.ctx.Err())
	}
}

func (r *running) checkSaysLost(t *testing.T) {
	t.Helper()
	if err := r.leader.Err(); !errors.Is(err, singleflight.ErrAborted) {
		t.Errorf("the lead is not lost: %v", err)
	}
	if !errors.Is(r.ctx.Err(), context.Canceled) {
		t.Errorf("the context says %v", r.ctx.Err())
	}
}

func (r *running) checkIsTold(t *testing.T, why string) {
	t.Helper()
	wait(t, "the word", r.leader.Lost())
	wait(t, "the word", r.ctx.Done())
	if err := r.leader.Err(); !errors.Is(err, singleflight.ErrAborted) ||
		!strings.Contains(err.Error(), why) {
		t.Errorf("it is told %v", err)
	}
	if got := wait(t, "the end", r.ended); !errors.Is(got.err, singleflight.ErrAborted) {
		t.Errorf("%+v", got)
	}
}

func (r *running) checkEnds(t *testing.T) {
	t.Helper()
	close(r.letGo)
	if got := wait(t, "the end", r.ended); got.err != nil || got.result.Value != "v" {
		t.Errorf("%+v", got)
	}
}

func TestALeadWhoseRenewalsAreAnsweredHolds(t *testing.T) {
	for name, lead := range map[string]*pb.Lead{
		"with a lease": leased(600 * time.Millisecond),
		"without":      {Token: 7, Attempt: 1, SilenceMs: 600},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeeper(lead, renewed)
			r := runUnder(t, serveFake(t, &k.fakeServer))
			for id := range uint64(7) { // more than two holds
				if got := wait(t, "a renewal", k.renewals); got != id+1 {
					t.Errorf("renewal %d has the id %d", id+1, got)
				}
				r.checkHolds(t)
			}
			r.checkEnds(t)
		})
	}
}

func TestALeadWhoseRenewalsAreNotAnsweredIsLostInTime(t *testing.T) {
	const hold = 900 * time.Millisecond
	for name, c := range map[string]struct {
		lead *pb.Lead
		why  string
	}{
		"with a lease": {leased(hold), "the lease of 900ms ran out"},
		"without": {&pb.Lead{Token: 7, Attempt: 1, SilenceMs: 900},
			"the server has not answered for 900ms"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeeper(c.lead, func(id uint64) []*pb.CallResponse {
				if id == 1 {
					return renewed(id)
				}
				return nil
			})
			client := serveFake(t, &k.fakeServer)
			r := runUnder(t, client)
			wait(t, "the renewal that is answered", k.renewals)
			answered := time.Now()
			r.checkHolds(t)
			r.checkIsTold(t, c.why)
			// It was sent a moment before it was answered.
			if told := time.Since(answered); told < hold/2 || told > hold+5*time.Second {
				t.Errorf("told %v after the answer", told)
			}
		})
	}
}

func TestAnAnswerMaySayHowLongTheLeadHolds(t *testing.T) {
	k := newKeeper(leased(600*time.Millisecond), func(id uint64) []*pb.CallResponse {
		if id > 1 {
			return nil
		}
		answer := renewed(id)
		answer[0].GetRenewed().SilenceMs = 3_600_000
		return answer
	})
	r := runUnder(t, serveFake(t, &k.fakeServer))
	wait(t, "the renewal", k.renewals)
	select {
	case <-r.ctx.Done():
		t.Error("the function is told")
	case <-time.After(1200 * time.Millisecond): // twice what the lead has said
	}
	r.checkHolds(t)
	r.checkEnds(t)
}

func TestAfterAPauseTheServerIsAskedFirst(t *testing.T) {
	for name, lead := range map[string]*pb.Lead{
		"with a lease": leased(time.Minute), "without": {Token: 7, Attempt: 1, SilenceMs: 60_000},
	} {
		t.Run(name, func(t *testing.T) {
			answer := make(chan struct{})
			k := newKeeper(lead, func(id uint64) []*pb.CallResponse {
				<-answer
				return renewed(id)
			})
			client := serveFake(t, &k.fakeServer)
			r := runUnder(t, client)
			client.Sleep(time.Hour)
			r.checkSaysLost(t) // in the first instant
			wait(t, "the question", k.renewals)
			r.checkSaysLost(t)
			select {
			case <-r.ctx.Done():
				t.Error("the function is told before the server has answered")
			default:
			}
			close(answer)
			eventually(t, "the lead holds again", func() bool {
				return r.leader.Err() == nil && r.ctx.Err() == nil
			})
			r.checkEnds(t)
		})
	}
}

func TestAfterAPauseTheServersWordCounts(t *testing.T) {
	k := newKeeper(leased(time.Minute), func(uint64) []*pb.CallResponse {
		return []*pb.CallResponse{end(codes.Aborted, "fenced: token 7, now 8")}
	})
	client := serveFake(t, &k.fakeServer)
	r := runUnder(t, client)
	client.Sleep(time.Hour)
	r.checkIsTold(t, "fenced: token 7, now 8")
}

func TestAfterAPauseAServerThatDoesNotAnswerIsNotWaitedForLong(t *testing.T) {
	k := newKeeper(leased(time.Second), unanswered)
	client := serveFake(t, &k.fakeServer)
	r := runUnder(t, client)
	client.Sleep(time.Hour)
	r.checkSaysLost(t)
	r.checkIsTold(t, "while this process did not run")
}

// An old server answers no renewals, and says no silence: what was really sent counts.
func TestWithAnOldServerALeaseHoldsWhileItIsRenewed(t *testing.T) {
	k := newKeeper(&pb.Lead{Token: 7, Attempt: 1, LeaseMs: 600}, unanswered)
	client := serveFake(t, &k.fakeServer)
	r := runUnder(t, client, singleflight.WithLease(time.Second))
	for range 7 { // more than two leases
		if id := wait(t, "a renewal", k.renewals); id != 0 {
			t.Errorf("an old server was sent the id %d", id)
		}
		r.checkHolds(t)
	}
	client.Sleep(time.Hour)
	r.checkSaysLost(t)
	r.checkIsTold(t, "the lease of 600ms ran out")
}

func TestWithAnOldServerALeadWithoutALeaseHoldsWithItsStream(t *testing.T) {
	k := newKeeper(&pb.Lead{Token: 7, Attempt: 1}, unanswered)
	client := serveFake(t, &k.fakeServer)
	r := runUnder(t, client)
	client.Sleep(time.Hour)
	r.checkHolds(t)
	if len(k.renewals) > 0 {
		t.Error("it was sent a renewal")
	}
	r.checkEnds(t)
}

// A lead that comes long after the join may be an old one: a frozen process reads it when it thaws.
func TestALeadThatComesLateIsConfirmedBeforeTheFunctionRuns(t *testing.T) {
	for name, isGood := range map[string]bool{"it holds": true, "it is fenced": false} {
		t.Run(name, func(t *testing.T) {
			promote, confirm := make(chan struct{}), make(chan struct{})
			k := newKeeper(leased(time.Minute), func(id uint64) []*pb.CallResponse {
				<-confirm
				if isGood {
					return renewed(id)
				}
				return []*pb.CallResponse{end(codes.Aborted, "fenced: token 7, now 8")}
			})
			k.answer = func(join int, call *pb.CallRequest) ([]*pb.CallResponse, error) {
				if join > 1 {
					return []*pb.CallResponse{follow(), result(`"elsewhere"`, 11)}, nil
				}
				k.joins <- call
				<-promote
				return []*pb.CallResponse{follow(), {Step: &pb.CallResponse_Lead{Lead: k.lead}}}, nil
			}
			client := serveFake(t, &k.fakeServer)
			begun := make(chan struct{}, 1)
			ended := inBackground(patient(t), client, "k", func(context.Context) (string, error) {
				begun <- struct{}{}
				return "here", nil
			})
			wait(t, "the join", k.joins)
			client.Sleep(time.Hour)
			close(promote)
			wait(t, "the question", k.renewals)
			if len(begun) > 0 {
				t.Error("the function runs under a lead that may be an old one")
			}
			close(confirm)
			want := map[bool]string{true: "here", false: "elsewhere"}[isGood]
			if got := wait(t, "the end", ended); got.err != nil || got.result.Value != want {
				t.Errorf("%+v", got)
			}
			if len(begun) > 0 != isGood {
				t.Errorf("the function has run: %t", len(begun) > 0)
			}
		})
	}
}

// The answer may be old, too: the machine slept while it was on its way.
func TestALeadWhoseConfirmationComesTooLateIsAskedForAgain(t *testing.T) {
	promote, first, second := make(chan struct{}), make(chan struct{}), make(chan struct{})
	k := newKeeper(leased(time.Minute), func(id uint64) []*pb.CallResponse {
		if id == 1 {
			<-first
		} else {
			<-second
		}
		return renewed(id)
	})
	k.answer = func(_ int, call *pb.CallRequest) ([]*pb.CallResponse, error) {
		k.joins <- call
		<-promote
		return []*pb.CallResponse{follow(), {Step: &pb.CallResponse_Lead{Lead: k.lead}}}, nil
	}
	client := serveFake(t, &k.fakeServer)
	begun := make(chan error, 1)
	ended := inBackground(patient(t), client, "k", func(ctx context.Context) (string, error) {
		begun <- singleflight.LeaderFromContext(ctx).Err()
		return "here", nil
	})
	wait(t, "the join", k.joins)
	client.Sleep(time.Hour)
	close(promote)
	wait(t, "the question", k.renewals)
	client.Sleep(time.Hour)
	close(first)
	wait(t, "the question that follows", k.renewals)
	if len(begun) > 0 {
		t.Error("the function runs under a lead that is over")
	}
	close(second)
	if err := wait(t, "the function", begun); err != nil {
		t.Errorf("it begins with a lead that is lost: %v", err)
	}
	if got := wait(t, "the end", ended); got.err != nil || got.result.Value != "here" {
		t.Errorf("%+v", got)
	}
}

func TestACallInsideAFunctionTellsTheServerItsLeads(t *testing.T) {
	k := newKeeper(leased(time.Minute), renewed)
	client := serveFake(t, &k.fakeServer)
	_, err := singleflight.Do(patient(t), client, "A", func(ctx context.Context) (string, error) {
		b, err := singleflight.Do(ctx, client, "B", func(ctx context.Context) (string, error) {
			c, err := singleflight.Do(ctx, client, "C", inner)
			return c.Value, err
		}, singleflight.WithGroup("g"))
		return b.Value, err
	})
	if err != nil {
		t.Fatal(err)
	}
	var within [][]*pb.LeadRef
	for range 3 {
		join := wait(t, "a join", k.joins).GetJoin()
		within = append(within, join.Within)
		if !join.Detach || !join.Audience {
			t.Errorf("%v", join)
		}
	}
	if len(within[0]) != 0 || len(within[1]) != 1 || len(within[2]) != 2 {
		t.Fatalf("%v", within)
	}
	for i, want := range []string{"B", "A"} {
		if got := within[2][i]; string(got.Key) != want || got.Token != 7 ||
			got.Group != map[string]string{"B": "g", "A": "default"}[want] {
			t.Errorf("%v", got)
		}
	}
}

func TestLeadsAreHandedOnToOtherProcesses(t *testing.T) {
	k := newKeeper(leased(time.Minute), renewed)
	here := serveFake(t, &k.fakeServer)
	request := make(chan []byte, 1)
	_, err := singleflight.Do(patient(t), here, "A", func(ctx context.Context) (string, error) {
		body, err := json.Marshal(singleflight.LeadsFromContext(ctx))
		request <- body
		return "", err
	}, singleflight.WithGroup("g"))
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "the join", k.joins)
	var leads []singleflight.LeadRef
	if err := json.Unmarshal(<-request, &leads); err != nil {
		t.Fatal(err)
	}
	for range 2 { // which are not merged
		ctx := singleflight.ContextWithLeads(patient(t), leads)
		if _, err := singleflight.Do(ctx, here, "B", inner); err != nil {
			t.Fatal(err)
		}
		within := wait(t, "the join", k.joins).GetJoin().Within
		if len(within) != 1 || within[0].Group != "g" || string(within[0].Key) != "A" ||
			within[0].Token != 7 {
			t.Errorf("%v", within)
		}
	}
	if leads := singleflight.LeadsFromContext(context.Background()); len(leads) != 0 {
		t.Errorf("%v", leads)
	}
}

func TestAFreshCallSharesNothingThatMayHaveBeenLed(t *testing.T) {
	k := newKeeper(leased(time.Minute), renewed)
	client := serveFake(t, &k.fakeServer)
	gate := newGate()
	load := func(ctx context.Context) (string, error) { return "v", gate.pass(ctx) }
	var all []<-chan outcome[string]
	for i := range 3 {
		all = append(all, inBackground(patient(t), client, "k", load, singleflight.WithFresh()))
		if join := wait(t, "a join", k.joins).GetJoin(); !join.Fresh {
			t.Errorf("call %d: %v", i, join)
		}
		wait(t, "the function", gate.begun)
	}
	close(gate.opened)
	for _, ended := range all {
		if got := wait(t, "a caller", ended); got.err != nil || got.result.Callers != 1 {
			t.Errorf("%+v", got)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/singleflightd/singleflightd/client/go"
)

// No call waits for itself.

func inner(context.Context) (string, error) { return "inner", nil }

func checkWouldWait(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, singleflight.ErrFailedPrecondition) ||
		!strings.Contains(err.Error(), "wait for itself") {
		t.Errorf("%v", err)
	}
}

func TestACallInsideItsOwnKeyIsRefused(t *testing.T) {
	daemon, client := daemonAndClient(t)
	other := clientOf(t, daemon) // of the same server
	calls := map[string]func(ctx context.Context) error{
		"Do": func(ctx context.Context) error {
			_, err := singleflight.Do(ctx, client, "k", inner)
			return err
		},
		"a Group": func(ctx context.Context) error {
			_, err := singleflight.Do(ctx, &singleflight.Group{Client: client}, "k", inner)
			return err
		},
		"named group": func(ctx context.Context) error {
			_, err := singleflight.Do(ctx, client, "k", inner, singleflight.WithGroup("default"))
			return err
		},
		"Start": func(ctx context.Context) error {
			_, err := client.Start(ctx, "k", write("inner")).Result()
			return err
		},
		"LeadOnly": func(ctx context.Context) error {
			_, err := singleflight.Do(ctx, client, "k", inner,
				singleflight.WithRole(singleflight.LeadOnly))
			return err
		},
		"another client": func(ctx context.Context) error {
			_, err := singleflight.Do(ctx, other, "k", inner)
			return err
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			result, err := singleflight.Do(ctx, client, "k", func(ctx context.Context) (string, error) {
				bounded, cancel := context.WithTimeout(ctx, patience/3)
				defer cancel()
				checkWouldWait(t, call(bounded))
				return "outer", nil
			})
			if err != nil || result.Value != "outer" {
				t.Errorf("%+v, %v", result, err)
			}
		})
	}
}

func TestACallInsideItsOwnKeyIsRefusedOverOthers(t *testing.T) {
	_, client := daemonAndClient(t)
	result, err := singleflight.Do(patient(t), client, "A", func(ctx context.Context) (string, error) {
		b, err := singleflight.Do(ctx, client, "B", func(ctx context.Context) (string, error) {
			bounded, cancel := context.WithTimeout(ctx, patience/3)
			defer cancel()
			_, err := singleflight.Do(bounded, client, "A", inner)
			checkWouldWait(t, err)
			return "b", nil
		})
		return "a" + b.Value, err
	}, singleflight.WithLease(time.Minute))
	if err != nil || result.Value != "ab" {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestACallInsideAForgottenFlightOfItsKeyLeadsTheNext(t *testing.T) {
	_, client := daemonAndClient(t)
	result, err := singleflight.Do(patient(t), client, "k", func(ctx context.Context) (string, error) {
		if _, err := client.Forget(ctx, "", "k", false); err != nil {
			return "", err
		}
		next, err := singleflight.Do(ctx, client, "k", inner)
		return next.Value, err
	})
	if err != nil || result.Value != "inner" {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestAContextThatOutlivesItsFunctionRefusesNothing(t *testing.T) {
	_, client := daemonAndClient(t)
	var late context.Context
	_, err := singleflight.Do(patient(t), client, "k", func(ctx context.Context) (string, error) {
		late = context.WithoutCancel(ctx)
		return "outer", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if result, err := singleflight.Do(late, client, "k", inner); err != nil || result.Value != "inner" {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestTwoFunctionsThatWaitForEachOtherDoNot(t *testing.T) {
	_, client := daemonAndClient(t)
	begun := newGate()
	ask := func(key, other string) <-chan outcome[string] {
		return inBackground(patient(t), client, key, func(ctx context.Context) (string, error) {
			if err := begun.pass(ctx); err != nil {
				return "", err
			}
			got, err := singleflight.Do(ctx, client, other, inner)
			return key + got.Value, err
		})
	}
	a, b := ask("A", "B"), ask("B", "A")
	wait(t, "one", begun.begun)
	wait(t, "the other", begun.begun)
	began := time.Now()
	close(begun.opened)
	gotA, gotB := wait(t, "A", a), wait(t, "B", b)
	// One of them is refused; the other one gets its error.
	for _, got := range []outcome[string]{gotA, gotB} {
		if got.err == nil || !strings.Contains(got.err.Error(), "wait for itself") {
			t.Errorf("%+v", got)
		}
	}
	if !errors.Is(gotA.err, singleflight.ErrFailedPrecondition) &&
		!errors.Is(gotB.err, singleflight.ErrFailedPrecondition) {
		t.Errorf("%v, %v", gotA.err, gotB.err)
	}
	inTime(t, "both", began)
}

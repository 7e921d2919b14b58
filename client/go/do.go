// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// Result is what a call ended with. When the call has an error of the function, a value may stand
// beside it, and the facts hold. When it has a [StatusError], all of it is zero.
type Result[T any] struct {
	Value T
	Kind  Kind
	Facts
}

// Target is what Do asks: a [*Client] or a [*Group].
type Target interface {
	// resolve returns the client, and the options that come before the call's own.
	resolve() (*Client, []Option, error)
}

func (c *Client) resolve() (*Client, []Option, error) {
	if c != nil {
		return c, nil, nil
	}
	client, err := Default()
	return client, nil, err
}

// Do asks for the work: fn runs here if this caller is told to lead; otherwise Do waits for who
// leads. A nil target is the default client.
//
// fn runs in a goroutine of its own. Its context has the values of ctx, but not its deadline and
// cancellation: it is cancelled when nobody waits for the outcome any more, here or elsewhere, or
// when the lead is lost; context.Cause tells which. [TokenFromContext] and [LeaderFromContext] take
// the lead out of it.
//
// When ctx is done only this caller leaves, at once, with a [StatusError]; fn goes on for as long as
// others wait. So fn should not touch variables that the caller uses after Do has returned.
//
// Every caller gets a value of its own, through the codec. The leader and the merged callers of its
// process get the very error that fn returned, callers elsewhere a [*FunctionError]. A panic of fn
// is an error, too: a *FunctionError of KindPanic with its stack. What the codec cannot carry is a
// [*CodecError]; a retained value that cannot be decoded is as if it were not retained, once.
//
// A Do inside fn, with fn's context, for the key that fn itself leads ends at once with
// FAILED_PRECONDITION: it would wait for itself.
func Do[T any](ctx context.Context, target Target, key string,
	fn func(ctx context.Context) (T, error), opts ...Option) (Result[T], error) {
	client, options, err := resolve(target, key, opts)
	if err != nil {
		return Result[T]{}, err
	}
	ctx, observed := client.begin(ctx, options, fn != nil)
	defer observed.wait()
	run := func(ctx context.Context, _ *Leader) (any, error) { return fn(ctx) }
	first := &call{
		options:     options,
		hasFunction: fn != nil,
		lead:        leadInBackground(ctx, options.codec.Marshal, run),
		observed:    observed,
	}
	again := *first
	result, err := do[T](ctx, client, first)
	if isUndecodable(err) && result.Retained && !result.Led {
		again.options = options.withoutRetained()
		letAge(ctx)
		return do[T](ctx, client, &again)
	}
	return result, err
}

func do[T any](ctx context.Context, client *Client, call *call) (Result[T], error) {
	client.start(ctx, call)
	return resultOf[T](call.wait(ctx), call.options.codec, false)
}

func isUndecodable(err error) bool {
	var codec *CodecError
	return errors.As(err, &codec) && codec.Op == Decode
}

// withoutRetained takes nothing that was retained more than an instant ago, and replaces it.
func (o *options) withoutRetained() *options {
	without := *o
	without.maxAgeMs, without.staleMs = 1, 0
	return &without
}

// letAge lets what is retained become older than that instant.
func letAge(ctx context.Context) {
	select {
	case <-time.After(3 * time.Millisecond):
	case <-ctx.Done():
	}
}

// Do is like the function Do, with bytes: fn makes the value by writing it to its leader.
func (c *Client) Do(
	ctx context.Context,
	key string,
	fn func(ctx context.Context, leader *Leader) error,
	opts ...Option,
) (Result[[]byte], error) {
	client, options, err := resolve(c, key, opts)
	if err != nil {
		return Result[[]byte]{}, err
	}
	ctx, observed := client.begin(ctx, options, fn != nil)
	defer observed.wait()
	call := &call{
		options:     options,
		hasFunction: fn != nil,
		lead:        leadByWriting(ctx, fn),
		observed:    observed,
	}
	client.start(ctx, call)
	return bytesOf(call.wait(ctx))
}

func resolve(target Target, key string, opts []Option) (*Client, *options, error) {
	if target == nil {
		target = (*Client)(nil)
	}
	client, before, err := target.resolve()
	if err != nil {
		return nil, nil, err
	}
	if len(before) > 0 {
		opts = append(before[:len(before):len(before)], opts...)
	}
	return client, client.newOptions(key, opts), nil
}

// leadInBackground starts the function in a goroutine, with a context that the leader cancels.
func leadInBackground(ctx context.Context, encode encoder,
	fn func(ctx context.Context, leader *Leader) (any, error)) func(*Leader) {
	return func(leader *Leader) {
		inner := context.WithValue(context.WithoutCancel(ctx), leaderKey{}, leader)
		inner, leader.cancel = context.WithCancelCause(inner)
		asked := leaderContext{inner, leader}
		go leader.run(func() (any, error) { return fn(asked, leader) }, encode)
	}
}

func leadByWriting(ctx context.Context, fn func(context.Context, *Leader) error) func(*Leader) {
	return leadInBackground(ctx, nil, func(ctx context.Context, leader *Leader) (any, error) {
		return nil, fn(ctx, leader)
	})
}

// resultOf decodes the value; `native` hands out what the function returned, if it ran here.
func resultOf[T any](end *ending, codec Codec, native bool) (Result[T], error) {
	if end.status != nil {
		return Result[T]{}, end.status
	}
	outcome := end.outcome
	value, err := valueOf[T](outcome, codec, native)
	if outcome.err != nil {
		err = outcome.err
	}
	return Result[T]{Value: value, Kind: outcome.kind, Facts: end.facts}, err
}

func bytesOf(end *ending) (Result[[]byte], error) {
	if end.status != nil {
		return Result[[]byte]{}, end.status
	}
	outcome := end.outcome
	return Result[[]byte]{Value: outcome.bytes(), Kind: outcome.kind, Facts: end.facts}, outcome.err
}

func valueOf[T any](outcome *outcome, codec Codec, native bool) (value T, err error) {
	if native && outcome.hasNative {
		value, _ = outcome.native.(T) // nil is none
		return value, nil
	}
	bytes := outcome.bytes()
	if len(bytes) == 0 && outcome.err != nil {
		return value, nil
	}
	if err := codec.Unmarshal(bytes, &value); err != nil {
		var zero T
		return zero, &CodecError{Op: Decode, Err: err}
	}
	return value, nil
}

func isZero(value any) bool { return value == nil || reflect.ValueOf(value).IsZero() }

func panicToError(how *ended) *FunctionError {
	return &FunctionError{
		Kind:      KindPanic,
		Message:   fmt.Sprint(how.recovered),
		Type:      fmt.Sprintf("%T", how.recovered),
		Stack:     how.stack,
		Recovered: how.recovered,
	}
}

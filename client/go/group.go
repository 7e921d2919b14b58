// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// Group is the interface of golang.org/x/sync/singleflight. The zero Group is ready to use: it is
// the group "default" of the default client ([SetDefault]). Unlike there, groups of the same name
// are the same, in all processes.
//
// In the process of the leader everything is as in x/sync: its callers get the very value and
// error, and panics and runtime.Goexit reach all of them. Callers in other processes get the value
// through the codec, and a [*FunctionError] instead of an error, a panic or an exit.
//
// Its functions get no context. So a Do inside of one, for the same key, waits for itself, as in
// x/sync; the function [Do] with a Group as its target finds that out.
//
// A Group must not be copied or changed once it is used.
type Group struct {
	// Name of the group; "" is "default".
	Name string
	// Client to use; nil: the default client.
	Client *Client
	// Options of every call, such as WithRetain or WithCodec.
	Options []Option
}

// GroupResult is what comes through the channel of [Group.DoChan].
type GroupResult struct {
	Val    any
	Err    error
	Shared bool
}

// errGoexit is what the callers in the leader's process see of a function that ended its goroutine.
var errGoexit = &FunctionError{Kind: KindAbandoned, Message: "the function called runtime.Goexit"}

// panicError is what the callers in the leader's process panic with.
type panicError struct {
	value any
	stack string
}

// Error returns the value of the panic and the stack of the function.
func (p *panicError) Error() string { return fmt.Sprintf("%v\n\n%s", p.value, p.stack) }

// Unwrap returns the value of the panic if it is an error.
func (p *panicError) Unwrap() error {
	err, _ := p.value.(error)
	return err
}

func (g *Group) resolve() (*Client, []Option, error) {
	if g == nil {
		g = &Group{}
	}
	client, _, err := g.Client.resolve()
	return client, append([]Option{WithGroup(g.Name)}, g.Options...), err
}

// Do runs fn, on this goroutine, or waits for the outcome of whoever runs it for this key, in
// whatever process. shared tells whether the outcome went to more than one caller.
func (g *Group) Do(key string, fn func() (any, error)) (v any, err error, shared bool) {
	call, err := g.start(key, fn)
	if err != nil {
		return nil, err, false
	}
	return call.run()
}

// DoChan is like Do, but returns a channel that will receive the result. It is not closed. A panic
// of fn ends the program, and after runtime.Goexit nothing is received.
func (g *Group) DoChan(key string, fn func() (any, error)) <-chan GroupResult {
	ch := make(chan GroupResult, 1)
	call, err := g.start(key, fn)
	if err != nil {
		ch <- GroupResult{Err: err}
		return ch
	}
	go func() {
		v, err, shared := call.run()
		ch <- GroupResult{v, err, shared}
	}()
	return ch
}

// Forget lets future calls of Do for the key, in every process, run their function rather than wait
// for a call that began before. It waits for the server as long as the client's ConnectTimeout, and
// tells no error; [Client.Forget] does.
func (g *Group) Forget(key string) {
	client, opts, err := g.resolve()
	if err != nil {
		return
	}
	options := client.newOptions(wireKey(key), opts)
	_, _ = client.forget(context.Background(), options, &pb.ForgetRequest{})
}

// wireKey is the key as the service knows it, which has no empty ones. A key of zero bytes only
// gets one more, so that all stay different.
func wireKey(key string) string {
	if strings.Trim(key, "\x00") == "" {
		return key + "\x00"
	}
	return key
}

// groupCall is a call whose function is to run on the goroutine that waits.
type groupCall struct {
	call
	fn    func() (any, error)
	leads chan *Leader
	again bool // the second time: what was retained could not be decoded
}

func (g *Group) start(key string, fn func() (any, error)) (*groupCall, error) {
	client, opts, err := g.resolve()
	if err != nil {
		return nil, err
	}
	options := client.newOptions(wireKey(key), opts)
	call := newGroupCall(options, fn)
	_, call.observed = client.begin(context.Background(), options, true)
	client.start(context.Background(), &call.call)
	return call, nil
}

func newGroupCall(options *options, fn func() (any, error)) *groupCall {
	call := &groupCall{fn: fn, leads: make(chan *Leader, 1)}
	call.hasFunction = true // if not it panics, as any call of nil does
	call.options = options
	call.lead = func(leader *Leader) { call.leads <- leader }
	inBackground := func(context.Context, *Leader) (any, error) { return fn() }
	call.refresh = leadInBackground(context.Background(), options.codec.Marshal, inBackground)
	return call
}

func (c *groupCall) run() (v any, err error, shared bool) {
	defer c.observed.wait()
	select {
	case leader := <-c.leads:
		how := leader.run(c.fn, c.options.codec.Marshal)
		<-c.done
		if how.panicked { // whatever has become of the flight
			panic(&panicError{value: how.recovered, stack: how.stack})
		}
	case <-c.done:
	}
	result, err := resultOf[any](c.end, c.options.codec, true)
	if isUndecodable(err) && result.Retained && !c.again {
		again := newGroupCall(c.options.withoutRetained(), c.fn)
		again.again = true
		again.observed = c.observed
		letAge(context.Background())
		c.client.start(context.Background(), &again.call)
		return again.run()
	}
	if err == errGoexit {
		runtime.Goexit()
	}
	if failure, ok := err.(*FunctionError); ok && failure.Recovered != nil {
		panic(&panicError{value: failure.Recovered, stack: failure.Stack})
	}
	return result.Value, err, result.Shared
}

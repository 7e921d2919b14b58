// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"log/slog"
	"strings"
	"time"
)

// observation is one call as the observer, the log and the server's traces see it. A nil one sees
// nothing. What is not guarded by the client's lock never changes.
type observation struct {
	client      *Client
	ctx         context.Context
	began       time.Time
	group, key  string
	traceparent string
	isTold      bool // somebody is told of events

	// The client's lock guards these.
	lead        leadID // the last one that the call had to do with
	hasFollowed bool
	hasLed      bool
	isAlone     bool
	end         *ending // what the call has ended with
	isOver      bool    // no event comes any more
	over        chan struct{}
}

// leadID is one lead as far as known: the token of one elsewhere is not.
type leadID struct {
	attempt int
	token   uint64
}

// told is an event on its way to the observer.
type told struct {
	of    *observation
	event Event
}

// begin observes a call that is about to start. What it returns is the call's context.
func (c *Client) begin(ctx context.Context, options *options, hasFunction bool) (context.Context,
	*observation) {
	observer, traceparent := c.settings.observer, c.settings.traceparent
	isTold := observer != nil || c.logger().Enabled(ctx, slog.LevelDebug)
	if !isTold && traceparent == nil { // the usual case, which costs nothing
		return ctx, nil
	}
	if (&call{options: options, hasFunction: hasFunction}).problem() != nil {
		return ctx, nil
	}
	o := &observation{
		client: c,
		began:  time.Now(),
		group:  groupName(options.group),
		key:    options.key,
		isTold: isTold,
		over:   make(chan struct{}),
	}
	if tracer, ok := observer.(Tracer); ok {
		c.shield(func() {
			if inner := tracer.Begin(ctx, o.group); inner != nil {
				ctx = inner
			}
		})
		if traceparent == nil {
			traceparent = tracer.Traceparent
		}
	}
	if traceparent != nil {
		c.shield(func() { o.traceparent = checkTraceparent(traceparent(ctx)) })
	}
	o.ctx = ctx
	return ctx, o
}

// checkTraceparent returns one that can travel; "": it is none.
func checkTraceparent(text string) string {
	const length = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if len(text) < length || len(text) > 4*length || strings.Trim(text, "0123456789abcdef-") != "" {
		return ""
	}
	return text
}

func (o *observation) trace() string {
	if o == nil {
		return ""
	}
	return o.traceparent
}

func (c *Client) logger() *slog.Logger {
	if c.settings.logger != nil {
		return c.settings.logger
	}
	return slog.Default()
}

// shield calls code of the program, whose panics change nothing.
func (c *Client) shield(fn func()) {
	defer func() {
		if recovered := recover(); recovered != nil {
			c.logger().Error("singleflight: the observer panicked", "panic", recovered)
		}
	}()
	fn()
}

// ---- what happens; under the client's lock ----

func (o *observation) tell(event Event) {
	if o == nil || o.isOver || !o.isTold {
		return
	}
	event.Group, event.Key = o.group, o.key
	event.Attempt, event.Token = o.lead.attempt, o.lead.token
	c := o.client
	c.untold = append(c.untold, told{o, event})
	if !c.isTelling {
		c.isTelling = true
		if c.closing { // who closes does not wait for what comes later
			go c.tellAll()
			return
		}
		c.goroutines.Add(1)
		go func() {
			defer c.goroutines.Done()
			c.tellAll()
		}()
	}
}

func (o *observation) onLed(leader *Leader) {
	if o == nil {
		return
	}
	o.lead = leadID{int(leader.attempt), leader.token}
	if leader.isAlone {
		o.onFailedOpen()
		return
	}
	if o.hasFollowed {
		o.tell(Event{Kind: EventTakeover})
	}
	o.hasLed = true
	o.tell(Event{Kind: EventLed})
}

func (o *observation) onFollowed(lead leadID) {
	if o == nil || lead.attempt == 0 || (o.hasFollowed && o.lead == lead) {
		return
	}
	o.lead = lead
	o.hasFollowed = true
	o.tell(Event{Kind: EventFollowed})
}

func (o *observation) onFailedOpen() {
	if o != nil {
		o.isAlone = true
		o.tell(Event{Kind: EventFailedOpen})
	}
}

// onLost: the call has not left by itself.
func (o *observation) onLost() {
	if o != nil && o.end == nil {
		o.tell(Event{Kind: EventLost})
	}
}

func (o *observation) onStarted() {
	if o != nil {
		o.end = nil // of a first try, whose retained value could not be decoded
	}
}

// onEnded: it ends when the caller says so, unless nobody waits for it.
func (o *observation) onEnded(end *ending, isStarted bool) {
	if o == nil {
		return
	}
	o.end = end
	if isStarted {
		o.tellEnded()
	}
}

func (o *observation) tellEnded() {
	end := o.end
	if end == nil || o.isOver {
		return
	}
	event := Event{Kind: EventEnded, Duration: time.Since(o.began), Role: o.role(), Status: "OK"}
	if end.status != nil {
		event.Status, event.Err = end.status.CodeName(), end.status
	} else {
		event.Outcome = strings.ToLower(end.outcome.kind.String())
		event.Callers = end.facts.Callers
		event.Err = end.outcome.err
		o.lead = leadID{end.facts.Attempt, end.facts.Token}
	}
	o.tell(event)
	o.isOver = true
	if !o.isTold {
		close(o.over)
	}
}

func (o *observation) role() string {
	switch facts := o.end.facts; {
	case facts.Retained && !facts.Led:
		return "retained"
	case facts.FailedOpen || o.isAlone:
		return "alone"
	case o.hasLed:
		return "leader"
	}
	return "follower"
}

// ---- without the lock ----

// wait tells the end of a call that its caller has waited for, and waits until that is told.
func (o *observation) wait() {
	if o == nil {
		return
	}
	o.client.mu.Lock()
	o.tellEnded()
	isOver := o.isOver
	o.client.mu.Unlock()
	if isOver {
		<-o.over
	}
}

// tellAll tells what there is to tell, in a goroutine that ends with it.
func (c *Client) tellAll() {
	for {
		c.mu.Lock()
		events := c.untold
		c.untold = nil
		c.isTelling = len(events) > 0
		c.mu.Unlock()
		if len(events) == 0 {
			return
		}
		for _, told := range events {
			c.tellOne(told.of, told.event)
		}
	}
}

func (c *Client) tellOne(of *observation, event Event) {
	if c.settings.observer != nil {
		c.shield(func() { c.settings.observer.Observe(of.ctx, event) })
	}
	c.shield(func() { c.log(of.ctx, &event) })
	if event.Kind == EventEnded {
		close(of.over)
	}
}

func (c *Client) log(ctx context.Context, event *Event) {
	logger := c.logger()
	if !logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attributes := []slog.Attr{
		slog.String("group", event.Group),
		slog.String("key", event.Key),
		slog.Int("attempt", event.Attempt),
		slog.Uint64("token", event.Token),
	}
	if event.Kind == EventEnded {
		attributes = append(attributes,
			slog.Duration("duration", event.Duration),
			slog.String("role", event.Role),
			slog.String("status", event.Status),
			slog.String("outcome", event.Outcome))
	}
	logger.LogAttrs(ctx, slog.LevelDebug, "singleflight: "+string(event.Kind), attributes...)
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/singleflightd/singleflightd/client/go"
)

// action is one step of a function; one field is set.
type action struct {
	Write        []byte     `json:"write_b64"`
	Fill         *fill      `json:"fill"`
	Wait         string     `json:"wait"`
	WaitLost     bool       `json:"wait_lost"`
	WaitAudience int        `json:"wait_audience"`
	OK           bool       `json:"ok"`
	Retain       *millis    `json:"retain_ms"`
	Error        *failure   `json:"error"`
	Panic        string     `json:"panic"`
	Abandon      *abandoned `json:"abandon"`
}

type fill struct {
	Bytes int `json:"bytes"`
	Seed  int `json:"seed"`
}

type failure struct {
	Message string `json:"message"`
	Type    string `json:"type"`
	Code    int32  `json:"code"`
	Details []byte `json:"details_b64"`
	PassOn  bool   `json:"pass_on"`
}

type abandoned struct {
	PassOn bool `json:"pass_on"`
}

// call is one call of the driver.
type call struct {
	driver  *driver
	name    string
	actions []action
	isLive  bool
	handle  *singleflight.Call

	mu       sync.Mutex
	isRun    bool // the function has begun
	isDone   bool // its end has been told, and nothing is told after that
	ended    chan struct{}
	chunks   []byte
	lostOnce sync.Once
}

var errGivesUp = &singleflight.FunctionError{
	Kind:    singleflight.KindAbandoned,
	Message: "the function gives up",
}

// run is the function.
func (c *call) run(ctx context.Context, leader *singleflight.Leader) error {
	defer close(c.ended)
	c.mu.Lock()
	c.isRun = true
	if !c.isDone {
		c.driver.tell(event{"event": "lead", "call": c.name,
			"token": strconv.FormatUint(leader.Token(), 10), "attempt": leader.Attempt()})
	}
	c.mu.Unlock()
	for i := range c.actions {
		if err, isLast := c.act(ctx, leader, &c.actions[i]); isLast || err != nil {
			return err
		}
	}
	return nil
}

func (c *call) act(
	ctx context.Context,
	leader *singleflight.Leader,
	a *action,
) (err error, isLast bool) {
	switch {
	case a.Write != nil:
		_, err := leader.Write(a.Write)
		return err, false
	case a.Fill != nil:
		return a.Fill.write(leader), false
	case a.Wait != "":
		return c.wait(ctx, c.driver.signal(a.Wait)), false
	case a.WaitLost:
		_ = c.wait(ctx, nil)
		return nil, false
	case a.WaitAudience > 0:
		return c.waitAudience(ctx, leader, a.WaitAudience), false
	case a.OK:
		if a.Retain != nil {
			leader.SetRetain(a.Retain.duration())
		}
		return nil, true
	case a.Error != nil:
		if a.Error.PassOn {
			leader.PassOn()
		}
		return &singleflight.FunctionError{Message: a.Error.Message, Type: a.Error.Type,
			Code: a.Error.Code, Details: a.Error.Details}, true
	case a.Panic != "":
		panic(a.Panic)
	case a.Abandon != nil:
		if a.Abandon.PassOn {
			leader.PassOn()
		}
		return errGivesUp, true
	}
	return errors.New("there is no such action"), true
}

// wait waits for a signal, or until the lead is lost.
func (c *call) wait(ctx context.Context, signal <-chan struct{}) error {
	select {
	case <-signal:
		return nil
	case <-ctx.Done():
		c.lostOnce.Do(func() { c.driver.tell(event{"event": "lost", "call": c.name}) })
		return errGivesUp
	}
}

func (c *call) waitAudience(ctx context.Context, leader *singleflight.Leader, followers int) error {
	for {
		audience, _, changed := leader.Audience()
		if audience.Followers >= followers {
			return nil
		}
		if err := c.wait(ctx, changed); err != nil {
			return err
		}
	}
}

func (f *fill) write(leader *singleflight.Leader) error {
	piece := make([]byte, 0, 64*1024)
	for i := 0; i < f.Bytes; i++ {
		piece = append(piece, byte(f.Seed+i*31+(i>>8)*17))
		if len(piece) == cap(piece) || i == f.Bytes-1 {
			if _, err := leader.Write(piece); err != nil {
				return err
			}
			piece = piece[:0]
		}
	}
	return nil
}

// watch tells what happens to the call, until its end.
func (c *call) watch() {
	for chunk, err := range c.handle.Chunks() {
		switch {
		case err != nil:
		case chunk.Restart:
			c.chunks = nil
			c.driver.tell(event{"event": "restart", "call": c.name, "attempt": chunk.Attempt})
		default:
			c.chunks = append(c.chunks, chunk.Data...)
			c.driver.tell(event{"event": "chunk", "call": c.name, "bytes": len(chunk.Data)})
		}
	}
	result, err := c.handle.Result()
	c.mu.Lock()
	isRun := c.isRun
	c.mu.Unlock()
	if isRun { // what it has to tell comes before the end
		select {
		case <-c.ended:
		case <-time.After(10 * time.Second):
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isDone = true
	c.driver.tell(c.done(result, err))
}

func (c *call) done(result singleflight.Result[[]byte], err error) event {
	e := event{"event": "done", "call": c.name, "status": "OK", "outcome": result.Kind.String(),
		"value_bytes": len(result.Value), "value_sha256": hash(result.Value),
		"led": result.Led, "shared": result.Shared, "callers": result.Callers,
		"attempt": result.Attempt, "token": strconv.FormatUint(result.Token, 10),
		"retained": result.Retained, "retain_refused": result.RetainRefused,
		"failed_open": result.FailedOpen}
	if c.isLive {
		e["chunks_bytes"], e["chunks_sha256"] = len(c.chunks), hash(c.chunks)
	}
	var status *singleflight.StatusError
	var function *singleflight.FunctionError
	switch {
	case err == nil:
	case result.Kind == singleflight.KindNone && errors.As(err, &status):
		e["status"], e["message"] = status.CodeName(), status.Message
	case errors.As(err, &function):
		e["message"], e["code"], e["type"] = function.Message, function.Code, function.Type
		e["has_stack"], e["details_b64"] = function.Stack != "", function.Details
	default:
		e["message"] = err.Error()
	}
	return e
}

func hash(bytes []byte) string {
	sum := sha256.Sum256(bytes)
	return hex.EncodeToString(sum[:])
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/singleflightd/singleflightd/client/go"
)

// action is one step of a function; one field is set.
type action struct {
	Write        *[]byte    `json:"write_b64"`
	Fill         *fill      `json:"fill"`
	Wait         string     `json:"wait"`
	WaitLost     bool       `json:"wait_lost"`
	WaitAudience int        `json:"wait_audience"`
	Block        millis     `json:"block_ms"`
	AskLost      bool       `json:"ask_lost"`
	DoInside     *doCommand `json:"do_inside"`
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
	Cause   string `json:"cause"`
}

type abandoned struct {
	PassOn bool `json:"pass_on"`
}

// call is one call of the driver.
type call struct {
	driver  *driver
	client  *singleflight.Client
	name    string
	actions []action
	isLive  bool
	cancel  context.CancelFunc
	handle  *singleflight.Call // nil for a typed one
	told    chan struct{}      // closed when its end has been told

	mu       sync.Mutex
	isRun    bool // the function has begun
	isDone   bool // its end has been told, and nothing is told after that
	ended    chan struct{}
	chunks   []byte
	lostOnce sync.Once
}

const stackBytesMax = 16 * 1024

var errGivesUp = &singleflight.FunctionError{
	Kind:    singleflight.KindAbandoned,
	Message: "the function gives up",
}

// run is the function; what it writes goes to `out`.
func (c *call) run(ctx context.Context, leader *singleflight.Leader, out io.Writer) error {
	defer close(c.ended)
	c.mu.Lock()
	c.isRun = true
	if !c.isDone {
		c.driver.tell(event{"event": "lead", "call": c.name,
			"token": strconv.FormatUint(leader.Token(), 10), "attempt": leader.Attempt()})
	}
	c.mu.Unlock()
	for i := range c.actions {
		if err, isLast := c.act(ctx, leader, out, &c.actions[i]); isLast || err != nil {
			return err
		}
	}
	return nil
}

func (c *call) act(
	ctx context.Context,
	leader *singleflight.Leader,
	out io.Writer,
	a *action,
) (err error, isLast bool) {
	switch {
	case a.Write != nil:
		_, err := out.Write(*a.Write)
		return err, false
	case a.Fill != nil:
		return a.Fill.write(out), false
	case a.Block > 0:
		time.Sleep(a.Block.duration()) // what is blocked does not look at anything
		return nil, false
	case a.AskLost:
		lost := leader.Err() != nil
		if c.hasEnded() {
			<-c.told // that came first
		}
		c.driver.tell(event{"event": "asked", "call": c.name, "lost": lost})
		return nil, false
	case a.DoInside != nil:
		if inside := c.driver.begin(ctx, c.client, a.DoInside); inside != nil {
			<-inside.told
		}
		return nil, false
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
		failed := &singleflight.FunctionError{Message: a.Error.Message, Type: a.Error.Type,
			Code: a.Error.Code, Details: a.Error.Details}
		if a.Error.Cause != "" {
			failed.Cause = errors.New(a.Error.Cause)
		}
		return failed, true
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

// hasEnded: its end is known, and told or about to be.
func (c *call) hasEnded() bool {
	if c.handle == nil {
		return false
	}
	select {
	case <-c.handle.Done():
		return true
	default:
		return false
	}
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

func (f *fill) write(out io.Writer) error {
	piece := make([]byte, 0, 64*1024)
	for i := 0; i < f.Bytes; i++ {
		piece = append(piece, byte(f.Seed+i*31+(i>>8)*17))
		if len(piece) == cap(piece) || i == f.Bytes-1 {
			if _, err := out.Write(piece); err != nil {
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
	c.tellDone(c.handle.Result())
}

func (c *call) tellDone(result singleflight.Result[[]byte], err error) {
	defer close(c.told)
	c.mu.Lock()
	isRun := c.isRun
	c.mu.Unlock()
	if isRun && result.Led { // what it has to tell comes before the end
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
		"error_class": "",
		"value_bytes": len(result.Value), "value_sha256": hash(result.Value),
		"led": result.Led, "shared": result.Shared, "callers": result.Callers,
		"attempt": result.Attempt, "token": strconv.FormatUint(result.Token, 10),
		"retained": result.Retained, "retain_refused": result.RetainRefused,
		"failed_open": result.FailedOpen, "stale": result.Stale}
	if result.Retained {
		e["age_ms"] = result.Age.Milliseconds()
	}
	if c.isLive {
		e["chunks_bytes"], e["chunks_sha256"] = len(c.chunks), hash(c.chunks)
	}
	if err != nil {
		e.addError(result.Kind, err)
	}
	return e
}

// addError tells of what class the error is, and what it says.
func (e event) addError(kind singleflight.Kind, err error) {
	e["message"] = err.Error()
	var status *singleflight.StatusError
	var function *singleflight.FunctionError
	var codec *singleflight.CodecError
	switch {
	case errors.As(err, &codec):
		e["error_class"] = string(codec.Op)
		if codec.Op == singleflight.Encode {
			e["type"] = "singleflight.EncodeError"
		}
	case kind == singleflight.KindNone && errors.As(err, &status):
		e["error_class"], e["status"], e["message"] = "status", status.CodeName(), status.Message
		if errors.Is(err, singleflight.ErrInvalidArgument) {
			e["error_class"] = "misuse"
		}
	case errors.As(err, &function):
		e["error_class"], e["message"] = "function", function.Message
		e["code"], e["type"] = function.Code, function.Type
		e["has_stack"], e["details_b64"] = function.Stack != "", function.Details
		stack := function.Stack
		for cause := function.Unwrap(); cause != nil; cause = errors.Unwrap(cause) {
			stack += "\ncaused by: " + cause.Error()
		}
		e["stack"] = stack[:min(len(stack), stackBytesMax)]
	default:
		e["error_class"] = "function"
	}
}

func hash(bytes []byte) string {
	sum := sha256.Sum256(bytes)
	return hex.EncodeToString(sum[:])
}

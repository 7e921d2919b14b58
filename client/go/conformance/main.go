// SPDX-License-Identifier: Apache-2.0

// The driver of the conformance matrix: tests/conformance/README.md tells what it reads and writes.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/singleflightd/singleflightd/client/go"
)

// command is one line of the input, whatever its op is.
type command struct {
	Op         string   `json:"op"`
	Client     string   `json:"client"`
	Name       string   `json:"name"`
	Addresses  []string `json:"addresses"`
	Group      string   `json:"group"`
	Key        []byte   `json:"key_b64"`
	IfUnshared bool     `json:"if_unshared"`
	End        bool     `json:"end"`
	Caller     string   `json:"caller"`
	doCommand
}

// doCommand is a call, or one that is made inside a function.
type doCommand struct {
	Call     string          `json:"call"`
	Options  json.RawMessage `json:"options"`
	Function json.RawMessage `json:"function"`
}

type clientOptions struct {
	Caller         string  `json:"caller"`
	FailOpen       bool    `json:"fail_open"`
	ConnectTimeout *millis `json:"connect_timeout_ms"`
	BackoffMin     millis  `json:"backoff_min_ms"`
	BackoffMax     millis  `json:"backoff_max_ms"`
	ResultLimit    int     `json:"result_limit"`
}

type callOptions struct {
	Group          string  `json:"group"`
	Key            []byte  `json:"key_b64"`
	Timeout        *millis `json:"timeout_ms"`
	Retain         millis  `json:"retain_ms"`
	RetainError    millis  `json:"retain_error_ms"`
	MaxAge         millis  `json:"max_age_ms"`
	Lease          millis  `json:"lease_ms"`
	RunLimit       millis  `json:"run_limit_ms"`
	OnLeaderLoss   string  `json:"on_leader_loss"`
	MaxAttempts    uint32  `json:"max_attempts"`
	Role           string  `json:"role"`
	Live           bool    `json:"live"`
	Audience       bool    `json:"audience"`
	Fingerprint    []byte  `json:"fingerprint_b64"`
	Caller         string  `json:"caller"`
	ResumeToken    token   `json:"resume_token"`
	ConnectTimeout *millis `json:"connect_timeout_ms"`
	FailOpen       *bool   `json:"fail_open"`
	LocalMerge     *bool   `json:"local_merge"`
	Fresh          bool    `json:"fresh"`
	RetainFromLead bool    `json:"retain_from_lead"`
	Stale          millis  `json:"stale_ms"`
	Decode         string  `json:"decode"`
	Encode         string  `json:"encode"`
}

type millis int64

func (m millis) duration() time.Duration { return time.Duration(m) * time.Millisecond }

// token is a number, or a text with one, which no reader of JSON rounds.
type token uint64

func (t *token) UnmarshalJSON(text []byte) error {
	if unquoted, err := strconv.Unquote(string(text)); err == nil {
		text = []byte(unquoted)
	}
	number, err := strconv.ParseUint(string(text), 10, 64)
	*t = token(number)
	return err
}

// driver is the state of this process.
type driver struct {
	clients map[string]*singleflight.Client
	calls   map[string]*call

	mu      sync.Mutex
	out     *json.Encoder
	signals map[string]chan struct{}
}

func main() {
	d := &driver{
		clients: map[string]*singleflight.Client{},
		calls:   map[string]*call{},
		out:     json.NewEncoder(os.Stdout), // one write for each line
		signals: map[string]chan struct{}{},
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 256*1024*1024)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			fmt.Fprintln(os.Stderr, "a line cannot be read:", err)
			os.Exit(2)
		}
		if err := d.take(&c); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", c.Op, err)
			os.Exit(2)
		}
	}
	for _, client := range d.clients {
		client.Close()
	}
}

type event map[string]any

func (d *driver) tell(e event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = d.out.Encode(e) // a reader that has gone needs no answer
}

func (d *driver) signal(name string) chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.signals[name] == nil {
		d.signals[name] = make(chan struct{})
	}
	return d.signals[name]
}

func (d *driver) take(c *command) error {
	switch c.Op {
	case "hello":
		d.tell(event{"event": "hello", "language": "go", "version": singleflight.Version})
	case "client":
		return d.makeClient(c)
	case "do":
		d.begin(context.Background(), d.clients[c.Client], &c.doCommand)
	case "signal":
		signal := d.signal(c.Name)
		select {
		case <-signal: // a second time
		default:
			close(signal)
		}
	case "cancel":
		d.callOf(c.Call).cancel()
	case "forget":
		d.forget(c)
	case "close":
		d.clients[c.Client].Close()
		d.tell(event{"event": "closed", "client": c.Client})
	default:
		d.tell(event{"event": "error", "call": c.Call, "client": c.Client,
			"message": "unknown op: " + c.Op})
	}
	return nil
}

func (d *driver) makeClient(c *command) error {
	var o clientOptions
	if problem := readKnown(c.Options, &o); problem != nil {
		d.tellError(c, problem)
		return nil
	}
	given := singleflight.ClientOptions{
		Addresses:   c.Addresses,
		Caller:      o.Caller,
		FailOpen:    o.FailOpen,
		BackoffMin:  o.BackoffMin.duration(),
		BackoffMax:  o.BackoffMax.duration(),
		ResultLimit: o.ResultLimit,
	}
	if o.ConnectTimeout != nil {
		given.ConnectTimeout = o.ConnectTimeout.duration()
		if given.ConnectTimeout == 0 {
			given.ConnectTimeout = singleflight.DoNotWait
		}
	}
	client, err := singleflight.NewClient(given)
	if err != nil {
		d.tellError(c, err)
		return nil
	}
	d.clients[c.Client] = client
	d.tell(event{"event": "client", "client": c.Client})
	return nil
}

func (d *driver) tellError(c *command, err error) {
	e := event{"event": "error", "client": c.Client, "message": err.Error()}
	var status *singleflight.StatusError
	if errors.As(err, &status) {
		e["code"], e["message"] = status.CodeName(), status.Message
	}
	d.tell(e)
}

func (d *driver) forget(c *command) {
	client := d.clients[c.Client]
	var forgotten singleflight.Forgotten
	var err error
	if c.End {
		forgotten, err = client.End(context.Background(), c.Group, string(c.Key), c.Caller)
	} else {
		forgotten, err = client.Forget(context.Background(), c.Group, string(c.Key), c.IfUnshared)
	}
	if err != nil {
		d.tellError(c, err)
		return
	}
	d.tell(event{"event": "forgot", "client": c.Client, "flight": forgotten.Flight,
		"retained": forgotten.Retained, "ended": forgotten.Ended})
}

// readKnown reads JSON that may be absent, and refuses what it does not know.
func readKnown(text json.RawMessage, into any) error {
	if len(text) == 0 {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("unknown: %w", err)
	}
	return nil
}

// begin starts a call; nil: there is none, and that has been told.
func (d *driver) begin(ctx context.Context, client *singleflight.Client, c *doCommand) *call {
	var o callOptions
	started := &call{
		driver: d,
		client: client,
		name:   c.Call,
		told:   make(chan struct{}),
		ended:  make(chan struct{}),
	}
	err := errors.Join(readKnown(c.Options, &o), readKnown(c.Function, &started.actions))
	options, unknown := o.toOptions()
	if err = errors.Join(err, unknown); err != nil {
		d.tell(event{"event": "error", "call": c.Call, "message": err.Error()})
		return nil
	}
	started.isLive = o.Live
	ctx, started.cancel = context.WithCancel(ctx)
	if o.Timeout != nil {
		ctx, started.cancel = context.WithTimeout(ctx, o.Timeout.duration())
	}
	d.remember(started)
	hasFunction := string(c.Function) != "null"
	if o.Decode != "" || o.Encode != "" {
		options = append(options, singleflight.WithCodec(failing{o.Decode != "", o.Encode != ""}))
		go started.doTyped(ctx, string(o.Key), options)
		return started
	}
	var fn func(context.Context, *singleflight.Leader) error
	if hasFunction {
		fn = func(ctx context.Context, leader *singleflight.Leader) error {
			return started.run(ctx, leader, leader)
		}
	}
	started.handle = client.Start(ctx, string(o.Key), fn, options...)
	go started.watch()
	return started
}

func (d *driver) remember(started *call) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls[started.name] = started
}

func (d *driver) callOf(name string) *call {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls[name]
}

// doTyped lets the value go through a codec.
func (c *call) doTyped(ctx context.Context, key string, options []singleflight.Option) {
	fn := func(ctx context.Context) ([]byte, error) {
		var value bytes.Buffer
		err := c.run(ctx, singleflight.LeaderFromContext(ctx), &value)
		return value.Bytes(), err
	}
	c.tellDone(singleflight.Do(ctx, c.client, key, fn, options...))
}

// failing is a codec that cannot decode, or cannot encode.
type failing struct{ decode, encode bool }

func (f failing) Marshal(value any) ([]byte, error) {
	if f.encode {
		return nil, errors.New("told to fail")
	}
	return singleflight.Raw.Marshal(value)
}

func (f failing) Unmarshal(data []byte, into any) error {
	if f.decode {
		return errors.New("told to fail")
	}
	return singleflight.Raw.Unmarshal(data, into)
}

func (o *callOptions) toOptions() ([]singleflight.Option, error) {
	roles := map[string]singleflight.Role{"": singleflight.Any, "ANY": singleflight.Any,
		"LEAD_ONLY": singleflight.LeadOnly, "FOLLOW_ONLY": singleflight.FollowOnly}
	losses := map[string]singleflight.LeaderLoss{"": singleflight.Promote,
		"PROMOTE": singleflight.Promote, "FAIL": singleflight.Fail, "HOLD": singleflight.Hold}
	role, knowsRole := roles[o.Role]
	loss, knowsLoss := losses[o.OnLeaderLoss]
	if !knowsRole || !knowsLoss {
		return nil, errors.New("unknown role or leader loss")
	}
	options := []singleflight.Option{
		singleflight.WithGroup(o.Group),
		singleflight.WithRetain(o.Retain.duration()),
		singleflight.WithRetainError(o.RetainError.duration()),
		singleflight.WithMaxAge(o.MaxAge.duration()),
		singleflight.WithLease(o.Lease.duration()),
		singleflight.WithRunLimit(o.RunLimit.duration()),
		singleflight.WithLeaderLoss(loss),
		singleflight.WithMaxAttempts(o.MaxAttempts),
		singleflight.WithRole(role),
		singleflight.WithFingerprint(o.Fingerprint),
		singleflight.WithResumeToken(uint64(o.ResumeToken)),
	}
	if o.Live {
		options = append(options, singleflight.WithLive())
	}
	if o.Audience {
		options = append(options, singleflight.WithAudience())
	}
	if o.Caller != "" {
		options = append(options, singleflight.WithCaller(o.Caller))
	}
	if o.Fresh {
		options = append(options, singleflight.WithFresh())
	}
	if o.RetainFromLead {
		options = append(options, singleflight.WithRetainFromLead())
	}
	if o.Stale != 0 {
		options = append(options, singleflight.WithStale(o.Stale.duration()))
	}
	if o.ConnectTimeout != nil {
		options = append(options, singleflight.WithConnectTimeout(o.ConnectTimeout.duration()))
	}
	if o.FailOpen != nil {
		options = append(options, singleflight.WithFailOpen(*o.FailOpen))
	}
	if o.LocalMerge != nil {
		options = append(options, singleflight.WithLocalMerge(*o.LocalMerge))
	}
	return options, nil
}

// SPDX-License-Identifier: Apache-2.0

// The driver of the conformance matrix: tests/conformance/README.md tells what it reads and writes.
package main

import (
	"bufio"
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
	Op         string          `json:"op"`
	Client     string          `json:"client"`
	Call       string          `json:"call"`
	Name       string          `json:"name"`
	Addresses  []string        `json:"addresses"`
	Options    json.RawMessage `json:"options"`
	Function   []action        `json:"function"`
	Group      string          `json:"group"`
	Key        []byte          `json:"key_b64"`
	IfUnshared bool            `json:"if_unshared"`
}

type clientOptions struct {
	Caller         string `json:"caller"`
	FailOpen       bool   `json:"fail_open"`
	ConnectTimeout millis `json:"connect_timeout_ms"`
	BackoffMin     millis `json:"backoff_min_ms"`
	BackoffMax     millis `json:"backoff_max_ms"`
	ResultLimit    int    `json:"result_limit"`
}

type callOptions struct {
	Group          string `json:"group"`
	Key            []byte `json:"key_b64"`
	Timeout        millis `json:"timeout_ms"`
	Retain         millis `json:"retain_ms"`
	RetainError    millis `json:"retain_error_ms"`
	MaxAge         millis `json:"max_age_ms"`
	Lease          millis `json:"lease_ms"`
	RunLimit       millis `json:"run_limit_ms"`
	OnLeaderLoss   string `json:"on_leader_loss"`
	MaxAttempts    uint32 `json:"max_attempts"`
	Role           string `json:"role"`
	Live           bool   `json:"live"`
	Audience       bool   `json:"audience"`
	Fingerprint    []byte `json:"fingerprint_b64"`
	Caller         string `json:"caller"`
	ResumeToken    token  `json:"resume_token"`
	ConnectTimeout millis `json:"connect_timeout_ms"`
	FailOpen       *bool  `json:"fail_open"`
	LocalMerge     *bool  `json:"local_merge"`
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
		return d.do(c)
	case "signal":
		signal := d.signal(c.Name)
		select {
		case <-signal: // a second time
		default:
			close(signal)
		}
	case "cancel":
		d.calls[c.Call].handle.Cancel()
	case "forget":
		d.forget(c)
	case "close":
		d.clients[c.Client].Close()
		d.tell(event{"event": "closed", "client": c.Client})
	default:
		return errors.New("there is no such op")
	}
	return nil
}

func (d *driver) makeClient(c *command) error {
	var o clientOptions
	if c.Options != nil {
		if err := json.Unmarshal(c.Options, &o); err != nil {
			return err
		}
	}
	client, err := singleflight.NewClient(singleflight.ClientOptions{
		Addresses:      c.Addresses,
		Caller:         o.Caller,
		FailOpen:       o.FailOpen,
		ConnectTimeout: o.ConnectTimeout.duration(),
		BackoffMin:     o.BackoffMin.duration(),
		BackoffMax:     o.BackoffMax.duration(),
		ResultLimit:    o.ResultLimit,
	})
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
	forgotten, err := client.Forget(context.Background(), c.Group, string(c.Key), c.IfUnshared)
	if err != nil {
		d.tellError(c, err)
		return
	}
	d.tell(event{"event": "forgot", "client": c.Client, "flight": forgotten.Flight,
		"retained": forgotten.Retained})
}

func (d *driver) do(c *command) error {
	var o callOptions
	if err := json.Unmarshal(c.Options, &o); err != nil {
		return err
	}
	options, err := o.toOptions()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	if o.Timeout > 0 {
		ctx, cancel = context.WithTimeout(context.Background(), o.Timeout.duration())
	}
	call := &call{
		driver:  d,
		name:    c.Call,
		actions: c.Function,
		isLive:  o.Live,
		ended:   make(chan struct{}),
	}
	call.handle = d.clients[c.Client].Start(ctx, string(o.Key), call.run, options...)
	d.calls[c.Call] = call
	go func() {
		defer cancel()
		call.watch()
	}()
	return nil
}

func (o *callOptions) toOptions() ([]singleflight.Option, error) {
	roles := map[string]singleflight.Role{"": singleflight.Any, "ANY": singleflight.Any,
		"LEAD_ONLY": singleflight.LeadOnly, "FOLLOW_ONLY": singleflight.FollowOnly}
	losses := map[string]singleflight.LeaderLoss{"": singleflight.Promote,
		"PROMOTE": singleflight.Promote, "FAIL": singleflight.Fail}
	role, knowsRole := roles[o.Role]
	loss, knowsLoss := losses[o.OnLeaderLoss]
	if !knowsRole || !knowsLoss {
		return nil, errors.New("there is no such role or leader loss")
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
	if o.ConnectTimeout > 0 {
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

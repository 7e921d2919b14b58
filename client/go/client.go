// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
)

// How long Close waits for outcomes and leaves that are on their way.
const closeTime = 500 * time.Millisecond

// Client talks to the servers: over one stream for each, however many calls there are. One client
// per process is the usual number: equal calls are merged inside of one client only. Its methods
// may be called from any goroutine.
//
// Who is who inside: a call is one caller; a seat is one or more equal calls that share a place on
// a session; a session is a stream to a server; a leader is the lead of a flight in the hands of
// its function. One lock guards all of them, and no code of the program runs under it.
type Client struct {
	settings settings
	ctx      context.Context // done: everything ends at once
	cancel   context.CancelFunc

	mu         sync.Mutex
	servers    []*server
	seats      map[*seat]struct{}
	merging    map[flightKey][]*seat // those that more calls may come to
	refreshing map[flightKey]bool    // what is stale is made anew
	parked     []*seat               // those that wait for any server
	leads      []*seat               // those that hold a lead, in any order
	looked     instant               // at the clock
	lookAlarm  alarm                 // the next look, while any lead is held
	closing    bool
	untold     []told // to the observer
	isTelling  bool
	goroutines sync.WaitGroup
}

type flightKey struct{ group, key string }

// NewClient makes a client, which connects when the first call needs it. It is to be closed.
func NewClient(options ClientOptions) (*Client, error) {
	settings, err := readSettings(options)
	if err != nil {
		return nil, err
	}
	c := &Client{
		settings:   settings,
		seats:      map[*seat]struct{}{},
		merging:    map[flightKey][]*seat{},
		refreshing: map[flightKey]bool{},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for _, address := range settings.addresses {
		conn, err := settings.dial(address)
		if err != nil {
			c.cancel()
			return nil, statusErrorf(codes.InvalidArgument,
				"ClientOptions.Addresses: the address %q cannot be read: %v", address, err)
		}
		_ = conn.Close() // it has not connected
		c.servers = append(c.servers, newServer(c, address))
	}
	return c, nil
}

// Close ends every call that is left with CANCELLED (leaders are told that they lost the lead, and
// their followers elsewhere go on without them), waits half a second at most for outcomes that are
// on their way, and ends all goroutines of the client. Closing again does nothing.
func (c *Client) Close() error {
	c.mu.Lock()
	if !c.closing {
		for seat := range c.seats {
			seat.close()
		}
		c.closing = true
		for _, server := range c.servers {
			server.close()
		}
	}
	c.mu.Unlock()
	timer := time.AfterFunc(closeTime, c.cancel)
	c.goroutines.Wait()
	timer.Stop()
	c.cancel()
	return nil
}

// order returns the places of the servers in the order of a key, its home first.
func (c *Client) order(join *join) []int {
	if len(c.servers) == 1 {
		return []int{0}
	}
	return rendezvousOrder(c.settings.addresses, join.group, join.key)
}

// newOptions are the options of a call: those given on top of the client's.
func (c *Client) newOptions(key string, given []Option) *options {
	o := &options{connectTimeout: c.settings.connectTimeout, codec: JSON}
	o.key = key
	o.caller = c.settings.caller
	o.failOpen = c.settings.failOpen
	for _, option := range given {
		option(o)
	}
	if o.codec == nil {
		o.codec = JSON
	}
	if o.role == FollowOnly || o.resumeToken != 0 {
		o.failOpen = false
	}
	return o
}

// ---- the default client ----

var (
	defaultLock   sync.Mutex
	defaultClient *Client
)

// SetDefault makes this the client of a zero Group, and of nil as a target of Do. What was the
// default before is not closed.
func SetDefault(client *Client) {
	defaultLock.Lock()
	defer defaultLock.Unlock()
	defaultClient = client
}

// Default returns the client of SetDefault; without one it makes it, from SINGLEFLIGHT_ADDRESS.
func Default() (*Client, error) {
	defaultLock.Lock()
	defer defaultLock.Unlock()
	if defaultClient == nil {
		client, err := NewClient(ClientOptions{})
		if err != nil {
			return nil, err
		}
		defaultClient = client
	}
	return defaultClient, nil
}

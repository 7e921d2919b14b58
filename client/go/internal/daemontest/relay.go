// SPDX-License-Identifier: Apache-2.0

package daemontest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Relay stands between a client and a daemon, so that a test can break their connections.
type Relay struct {
	Address string

	mu       sync.Mutex
	conns    []net.Conn
	accepted chan struct{} // one for each connection

	swallows  atomic.Bool
	swallowed atomic.Int64 // bytes
}

// StartRelay starts a relay to an address; it ends with the test.
func StartRelay(t testing.TB, to string) *Relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{Address: listener.Addr().String(), accepted: make(chan struct{}, 1000)}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			r.serve(conn, to)
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		r.Cut()
	})
	return r
}

func (r *Relay) serve(conn net.Conn, to string) {
	other, err := net.Dial("tcp", to)
	if err != nil {
		conn.Close()
		return
	}
	r.mu.Lock()
	r.conns = append(r.conns, conn, other)
	r.mu.Unlock()
	r.accepted <- struct{}{}
	pass := func(from net.Conn, through io.Writer, to net.Conn) {
		_, _ = io.Copy(through, from) // until one of them is closed
		from.Close()
		to.Close()
	}
	go pass(conn, &throat{r, other}, other)
	go pass(other, conn, conn)
}

// throat is the way from the client to the daemon.
type throat struct {
	relay *Relay
	to    net.Conn
}

func (t *throat) Write(p []byte) (int, error) {
	if t.relay.swallows.Load() {
		t.relay.swallowed.Add(int64(len(p)))
		return len(p), nil
	}
	return t.to.Write(p)
}

// Swallow lets nothing through any more that a client sends, until Cut.
func (r *Relay) Swallow() { r.swallows.Store(true) }

// Swallowed tells how many bytes have been lost so.
func (r *Relay) Swallowed() int64 { return r.swallowed.Load() }

// Accepted receives once for each connection.
func (r *Relay) Accepted() <-chan struct{} { return r.accepted }

// Cut breaks all connections that there are.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.swallows.Store(false)
	for _, conn := range r.conns {
		conn.Close()
	}
	r.conns = nil
}

// SPDX-License-Identifier: Apache-2.0

package daemontest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Relay stands between a client and a daemon, so that a test can break their connections.
type Relay struct {
	Address string

	mu       sync.Mutex
	conns    []net.Conn
	accepted chan struct{} // one for each connection
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
	pass := func(from, to net.Conn) {
		_, _ = io.Copy(to, from) // until one of them is closed
		from.Close()
		to.Close()
	}
	go pass(conn, other)
	go pass(other, conn)
}

// Accepted receives once for each connection.
func (r *Relay) Accepted() <-chan struct{} { return r.accepted }

// Cut breaks all connections that there are.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range r.conns {
		conn.Close()
	}
	r.conns = nil
}

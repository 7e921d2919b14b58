// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// server is one address. It is reachable as far as known; or failing (since when); or down: failing
// for the connect timeout. A server that is down gets health checks instead of sessions, until it
// answers one. The client's lock guards it.
type server struct {
	client     *Client
	address    string
	sessions   map[*session]struct{} // those that retire included
	current    *session              // the one that new seats go to; nil: none
	queue      []*seat               // those that wait for the next session
	backoff    backoff
	retryAlarm alarm // armed: nothing is tried before
	downAlarm  alarm // armed while failing
	failing    bool
	down       bool
	probing    bool
	lastError  string           // why it could not be reached
	unaryConn  *grpc.ClientConn // for Forget; nil before the first one
}

func newServer(client *Client, address string) *server {
	return &server{
		client:   client,
		address:  address,
		sessions: map[*session]struct{}{},
		backoff:  backoff{min: client.settings.backoffMin, max: client.settings.backoffMax},
	}
}

// dial makes a connection, which connects when it is used. Needs no lock. Each try has its own, so
// that gRPC's idea of when to try again does not get in the way of ours.
func (v *server) dial() (*grpc.ClientConn, error) {
	return grpc.NewClient(v.address, v.client.settings.dialOptions...)
}

// ---- reachable or not ----

func (v *server) setFailing() {
	if v.failing {
		return
	}
	v.failing = true
	v.downAlarm.arm(v.client, v.client.settings.connectTimeout, v.onDownAlarm)
}

func (v *server) setReachable() {
	v.failing = false
	v.down = false
	v.lastError = ""
	v.downAlarm.disarm()
	v.backoff.reset()
}

// backOff lets the next try come after a random while.
func (v *server) backOff() {
	if !v.client.closing && !v.retryAlarm.armed {
		v.retryAlarm.arm(v.client, v.backoff.next(), v.onRetryAlarm)
	}
}

// setDown gives up a session that has not answered yet; one that works may be all right but slow,
// and what runs on it goes on.
func (v *server) setDown() {
	v.down = true
	if v.current != nil && !v.current.up {
		v.current.cut() // its seats look elsewhere once it is over
	}
	v.backOff()
	queue := v.queue
	v.queue = nil // those that stay come back to its end
	for _, seat := range queue {
		seat.waiting = false
	}
	for _, seat := range queue {
		if !seat.over {
			seat.onServerDown()
		}
	}
}

func (v *server) onDownAlarm() {
	isWanted := len(v.queue) > 0 || (v.current != nil && v.current.isWanted())
	if isWanted {
		v.setDown()
		return
	}
	v.failing = false // nobody has asked long enough to know
	if v.current != nil {
		v.current.cut()
	}
}

// onSilence: a join has not been answered for so long.
func (v *server) onSilence(waited time.Duration) {
	if v.down || waited < v.client.settings.connectTimeout {
		return
	}
	if v.lastError == "" {
		v.lastError = "the server does not answer"
	}
	v.setDown()
}

// ---- sessions ----

// seat puts a seat that is to join on the current session, or lets it wait for the next one.
func (v *server) seat(seat *seat) {
	if v.current != nil {
		v.current.add(seat)
		return
	}
	seat.waiting = true
	v.queue = append(v.queue, seat)
	if !v.down && !v.retryAlarm.armed {
		v.openSession()
	}
}

func (v *server) stopWaiting(gone *seat) {
	gone.waiting = false
	v.queue = slices.DeleteFunc(v.queue, func(seat *seat) bool { return seat == gone })
}

// openSession opens one for all that wait.
func (v *server) openSession() {
	session := newSession(v)
	v.sessions[session] = struct{}{}
	v.current = session
	v.setFailing() // until it answers
	queue := v.queue
	v.queue = nil
	for _, seat := range queue {
		seat.waiting = false
		session.add(seat)
	}
}

// onSessionUp: it works.
func (v *server) onSessionUp(session *session) {
	if session.up || session.retired {
		return
	}
	session.up = true
	v.setReachable()
}

// onSessionRefuses: it turned a join away with UNAVAILABLE.
func (v *server) onSessionRefuses(session *session, text string) {
	session.retire()
	v.lastError = text
	v.setFailing()
	v.backOff()
}

func (v *server) onSessionOver(session *session, text string) {
	delete(v.sessions, session)
	wasCurrent := v.current == session
	if wasCurrent {
		v.current = nil
	}
	if v.client.closing || (!wasCurrent && session.up) {
		return
	}
	if !session.up {
		if !session.wasCut {
			v.lastError = text
		}
		v.setFailing()
	}
	v.backOff() // also after a good one: many clients may have lost the same server
}

// ---- probes ----

func (v *server) onRetryAlarm() {
	switch {
	case v.down && !v.probing:
		v.probing = true
		v.client.goroutines.Add(1)
		go v.probe()
	case !v.down && v.current == nil && len(v.queue) > 0:
		v.openSession()
	}
}

func (v *server) probe() {
	defer v.client.goroutines.Done()
	problem := v.checkHealth()
	v.client.mu.Lock()
	defer v.client.mu.Unlock()
	v.probing = false
	if v.client.closing {
		return
	}
	if problem != "" {
		v.lastError = problem
		v.backOff()
		return
	}
	v.setReachable()
	if len(v.queue) > 0 {
		v.openSession()
	}
}

// checkHealth returns why the server does not serve; "": it does.
func (v *server) checkHealth() string {
	conn, err := v.dial()
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(v.client.ctx, v.client.settings.connectTimeout)
	defer cancel()
	response, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	switch {
	case status.Code(err) == codes.Unimplemented: // it is there, but has no health checks
		return ""
	case err != nil:
		return status.Convert(err).Message()
	case response.Status != healthpb.HealthCheckResponse_SERVING:
		return "the server is there, but not ready to serve"
	}
	return ""
}

// ---- the end ----

// close ends what runs by itself, and lets the sessions end after the server's last words.
func (v *server) close() {
	v.retryAlarm.disarm()
	v.downAlarm.disarm()
	for session := range v.sessions {
		session.retire()
	}
	if v.unaryConn != nil {
		_ = v.unaryConn.Close() // fails only when it is closed
	}
}

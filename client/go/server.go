// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// Within what is left of a lead, at least so many tries are made to resume it.
const triesToResume = 8

// trouble is why a server takes no joins.
type trouble int

const (
	noTrouble trouble = iota
	refuses           // the connection: nobody listens there, or the address cannot be found
	drains            // it is there, and takes no joins for now
)

// server is one address. It is usable as far as known; or in trouble, until a health check succeeds;
// or down: without an answer for the answer timeout. A server that is in trouble or down gets health
// checks instead of sessions. The client's lock guards it.
type server struct {
	client     *Client
	address    string
	sessions   map[*session]struct{} // those that retire included
	current    *session              // the one that new seats go to; nil: none
	queue      []*seat               // those that wait for the next session
	backoff    backoff
	retryAlarm alarm // armed: nothing is tried before
	retryAt    time.Time
	downAlarm  alarm // armed while failing
	failing    bool
	trouble    trouble
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
	return v.client.settings.dial(v.address)
}

// ---- usable or not ----

func (v *server) isUsable() bool { return v.trouble == noTrouble && !v.down }

func (v *server) setFailing() {
	if v.failing {
		return
	}
	v.failing = true
	v.downAlarm.arm(v.client, v.client.settings.answerTimeout, v.onDownAlarm)
}

func (v *server) setAnswering() {
	v.failing = false
	v.downAlarm.disarm()
}

// setUsable: those that wait for any server look again.
func (v *server) setUsable() {
	wasUsable := v.isUsable()
	v.setAnswering()
	v.down = false
	v.trouble = noTrouble
	v.lastError = ""
	if wasUsable {
		return
	}
	parked := v.client.parked
	v.client.parked = nil
	for _, seat := range parked {
		seat.isParked = false
	}
	for _, seat := range parked {
		if !seat.over {
			seat.findPlace()
		}
	}
}

// setTrouble: it takes no joins; those that wait for it look elsewhere.
func (v *server) setTrouble(what trouble, text string) {
	v.trouble = what
	v.lastError = text
	if what == drains {
		v.setAnswering()
		v.down = false
	} else {
		v.setFailing()
	}
	v.backOff()
	v.emptyQueue()
}

// emptyQueue lets those that wait here look elsewhere.
func (v *server) emptyQueue() {
	queue := v.queue
	v.queue = nil // those that stay come back to its end
	for _, seat := range queue {
		seat.waiting = false
	}
	for _, seat := range queue {
		if !seat.over {
			seat.onServerTrouble()
		}
	}
}

// backOff lets the next try come after a random while.
func (v *server) backOff() {
	if v.client.closing || v.retryAlarm.armed {
		return
	}
	v.retryIn(v.backoff.next())
	for _, seat := range v.queue {
		v.hurry(seat)
	}
}

func (v *server) backOffBriefly() {
	v.backoff.reset()
	v.backOff()
}

func (v *server) retryIn(wait time.Duration) {
	v.retryAt = time.Now().Add(wait)
	v.retryAlarm.arm(v.client, wait, v.onRetryAlarm)
}

// hurry lets a leader that is to resume try several times before its lead is over.
func (v *server) hurry(seat *seat) {
	if seat.leader == nil || !v.retryAlarm.armed {
		return
	}
	left := seat.leader.hold.left()
	wait := rand.N(max(left/triesToResume, time.Millisecond)) + time.Millisecond
	if time.Until(v.retryAt) > wait {
		v.retryIn(wait)
	}
}

// setDown gives up a session that has not answered yet; one that worked may be all right but slow, so
// what runs on it goes on, and what comes takes another.
func (v *server) setDown() {
	v.down = true
	switch {
	case v.current == nil:
	case v.current.up:
		v.current.retire()
	default:
		v.current.cut() // its seats look elsewhere once it is over
	}
	v.backOff()
	v.emptyQueue()
	for _, seat := range slices.Clone(v.client.parked) {
		if seat.isParked && !seat.mayWait() {
			seat.unpark()
			seat.giveUp(v)
		}
	}
}

func (v *server) onDownAlarm() {
	isWanted := len(v.queue) > 0 || len(v.client.parked) > 0 ||
		(v.current != nil && v.current.isWanted())
	if isWanted {
		v.setDown()
		return
	}
	v.failing = false // nobody has asked long enough to know
	if v.current != nil && !v.current.isConnected {
		v.current.cut()
	}
}

// onSilence: a join has not been answered for so long.
func (v *server) onSilence(waited time.Duration) {
	if v.down || v.trouble == drains || waited < v.client.settings.answerTimeout {
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
	v.retireOldToken()
	if v.current != nil {
		v.current.add(seat)
		return
	}
	seat.waiting = true
	v.queue = append(v.queue, seat)
	v.hurry(seat)
	v.connect()
}

// retireOldToken: who asks is what the stream was opened with, and the token is another by now.
func (v *server) retireOldToken() {
	if token := v.client.settings.security.token; token != nil && v.current != nil {
		if _, version := token.current(); version != v.current.tokenVersion {
			v.current.retire()
		}
	}
}

// connect opens a session if there is none, and if it is time to try. Only leaders wait for a server
// that is in trouble or down: their leads are there, and one that drains resumes them.
func (v *server) connect() {
	isWorthIt := v.isUsable() || len(v.queue) > 0
	if v.current == nil && isWorthIt && !v.retryAlarm.armed && !v.client.closing {
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
	v.backoff.reset()
	v.setUsable()
}

// onSessionRefuses: it turned a call away with UNAVAILABLE.
func (v *server) onSessionRefuses(session *session, text string) {
	session.retire()
	v.setTrouble(drains, text)
}

// onSessionStrange: the server does not know who has opened it. The next one says it anew.
func (v *server) onSessionStrange(session *session) {
	session.retire()
	v.backOffBriefly()
}

// onSessionOver: the stream has ended, with this status, or was never there.
func (v *server) onSessionOver(session *session, code codes.Code, text string) {
	delete(v.sessions, session)
	wasCurrent := v.current == session
	if wasCurrent {
		v.current = nil
	}
	if v.client.closing || !wasCurrent { // it had retired
		return
	}
	switch {
	case session.up:
		v.backOff() // many clients may have lost the same server
	case isDenied(code):
		v.setUsable() // it is there
		v.backOffBriefly()
	case !session.isConnected:
		v.setTrouble(refuses, text)
	case code == codes.Unavailable:
		v.setTrouble(drains, text)
	default:
		v.lastError = text
		v.setFailing()
		v.backOff()
	}
}

// ---- probes ----

func (v *server) onRetryAlarm() {
	switch {
	case len(v.queue) > 0:
		v.connect()
	case !v.isUsable() && !v.probing:
		v.probing = true
		v.client.goroutines.Add(1)
		go v.probe()
	}
}

func (v *server) probe() {
	defer v.client.goroutines.Done()
	found, problem := v.checkHealth()
	v.client.mu.Lock()
	defer v.client.mu.Unlock()
	v.probing = false
	switch {
	case v.client.closing:
	case problem == "":
		v.setUsable()
		if len(v.queue) > 0 {
			v.connect()
		}
	case found == noTrouble: // it does not answer
		v.lastError = problem
		v.backOff()
	default:
		v.setTrouble(found, problem)
	}
}

// checkHealth returns why the server does not serve; "": it does.
func (v *server) checkHealth() (found trouble, problem string) {
	conn, err := v.dial()
	if err != nil {
		return refuses, err.Error()
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(v.client.ctx, v.client.settings.answerTimeout)
	defer cancel()
	response, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	switch status.Code(err) {
	case codes.OK:
		if response.Status != healthpb.HealthCheckResponse_SERVING {
			return drains, "the server is there, but not ready to serve"
		}
		return noTrouble, ""
	case codes.Unimplemented, codes.Unauthenticated, codes.PermissionDenied:
		return noTrouble, "" // it is there, but has no health checks, or none for us
	case codes.Unavailable:
		return refuses, status.Convert(err).Message()
	}
	return noTrouble, status.Convert(err).Message()
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

// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"io"
	"runtime"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// No more frames are put into a message that has so many bytes.
const messageIsFullBytes = 512 * 1024

// session is one Session stream, over a connection of its own. One goroutine opens it and reads,
// another writes what is ready. The client's lock guards the fields.
type session struct {
	client *Client
	server *server
	cancel context.CancelFunc

	places map[uint64]*place
	queue  []*place // those with something to send
	lastID uint64
	wake   chan struct{} // the writer has something to look at

	tokenVersion int // of the token that it was opened with, or one before it

	isConnected bool // the connection is there
	up          bool // the server has answered something
	retired     bool // takes no new seats
	wasCut      bool // this side has ended it

	// The writer's own: whose renewals are in the message that is being sent, to an old server.
	sentRenewals []*seat
}

// place is one call on a session: a seat's, or one that its seat has left. It stays until the
// server's last word for it, a result or an end: a lead may be on its way to one that has left.
type place struct {
	session *session
	id      uint64
	seat    *seat // nil: it has left
	queued  bool
	leaving leaving
	isTold  bool   // the server has been told that it leaves
	join    *join  // of the seat that has left
	token   uint64 // givesBack: of the lead
}

type leaving int

const (
	stays leaving = iota
	cancels
	abandons  // gives a lease back: a plain cancel would leave the flight orphaned until its end
	givesBack // takes a lead up again, which has crossed a cancel, and abandons it
)

func newSession(server *server) *session {
	ctx, cancel := context.WithCancel(server.client.ctx)
	s := &session{
		client: server.client,
		server: server,
		cancel: cancel,
		places: map[uint64]*place{},
		wake:   make(chan struct{}, 1),
	}
	if token := s.client.settings.security.token; token != nil {
		_, s.tokenVersion = token.current()
	}
	s.client.goroutines.Add(1)
	go s.run(ctx)
	return s
}

// ---- places ----

func (s *session) add(seat *seat) {
	s.lastID++
	place := &place{session: s, id: s.lastID, seat: seat}
	s.places[place.id] = place
	seat.place = place
	seat.server = s.server
	s.ready(place)
}

// remove takes a place off at once: the server has ended the call, or was never told of it.
func (s *session) remove(place *place) {
	place.seat = nil
	place.leaving = stays
	delete(s.places, place.id)
	s.wakeIfIdle()
}

// leave lets the server know that the seat has left its place.
func (s *session) leave(place *place, how leaving) {
	place.join = &place.seat.options.join
	place.seat = nil
	place.leaving = how
	s.ready(place)
}

// giveBack gives back a lead with a lease that has crossed the cancel of its call.
func (s *session) giveBack(join *join, token uint64) {
	s.lastID++
	place := &place{session: s, id: s.lastID, leaving: givesBack, join: join, token: token}
	s.places[place.id] = place
	s.ready(place)
}

// isWanted: somebody sits here.
func (s *session) isWanted() bool {
	for _, place := range s.places {
		if place.seat != nil {
			return true
		}
	}
	return false
}

func (s *session) ready(place *place) {
	if place.queued {
		return
	}
	place.queued = true
	s.queue = append(s.queue, place)
	s.wakeWriter()
}

// unready lets what is made ready next travel before the frames of this place.
func (s *session) unready(gone *place) {
	if !gone.queued {
		return
	}
	gone.queued = false
	s.queue = slices.DeleteFunc(s.queue, func(p *place) bool { return p == gone })
}

func (s *session) wakeWriter() {
	select {
	case s.wake <- struct{}{}:
	default: // it has not slept since
	}
}

// A session that retires half-closes after its last place.
func (s *session) wakeIfIdle() {
	if s.retired && len(s.places) == 0 {
		s.wakeWriter()
	}
}

// retire keeps new seats off; what sits here goes on.
func (s *session) retire() {
	s.retired = true
	if s.server.current == s {
		s.server.current = nil
	}
	s.wakeIfIdle()
}

// cut ends it as if the stream had broken.
func (s *session) cut() {
	s.retire()
	s.wasCut = true
	s.cancel()
}

// ---- the stream ----

func (s *session) run(ctx context.Context) {
	defer s.client.goroutines.Done()
	defer s.cancel()
	err := s.talk(ctx)
	code, text := codes.OK, "the server ended the session"
	if err != io.EOF {
		code, text = status.Code(err), status.Convert(err).Message()
	}
	if code == codes.Unimplemented {
		text = "the server does not know singleflight.v1: it is older than this client, or is no " +
			"singleflightd (" + text + ")"
	}
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.onOver(code, text)
}

// talk opens the stream and reads it to its end.
func (s *session) talk(ctx context.Context) error {
	conn, err := s.server.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := pb.NewSingleFlightClient(conn).Session(ctx)
	if err != nil {
		return err
	}
	s.setConnected()
	writerEnded := make(chan struct{})
	defer func() {
		s.cancel()
		<-writerEnded
	}()
	go func() {
		defer close(writerEnded)
		s.write(ctx, stream)
	}()
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		s.onMessage(message)
	}
}

func (s *session) setConnected() {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.isConnected = true
}

func (s *session) write(ctx context.Context, stream pb.SingleFlight_SessionClient) {
	for {
		message, isDone := s.gather()
		switch {
		case message != nil:
			if stream.Send(message) != nil {
				return // the reader learns why
			}
			if len(s.sentRenewals) > 0 {
				s.onSent()
			}
		case isDone:
			_ = stream.CloseSend() // never fails
			return
		default:
			select {
			case <-s.wake:
				// Who is about to have something to send goes first, and it travels in one message.
				runtime.Gosched()
			case <-ctx.Done():
				return
			}
		}
	}
}

// gather takes frames of those that are ready, one of each in turn, until the message is full. nil:
// there are none; then `isDone` tells that none will come.
func (s *session) gather() (message *pb.SessionRequest, isDone bool) {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	var frames []*pb.CallRequest
	taken, bytes := 0, 0
	for ; taken < len(s.queue) && bytes < messageIsFullBytes; taken++ {
		place := s.queue[taken]
		place.queued = false
		frame, size, more := place.nextFrame()
		if frame != nil {
			frames = append(frames, frame)
			bytes += size + 64
		}
		if more {
			place.queued = true
			s.queue = append(s.queue, place)
		}
	}
	s.queue = append(s.queue[:0], s.queue[taken:]...)
	if len(frames) > 0 {
		return &pb.SessionRequest{Calls: frames}, false
	}
	return nil, s.retired && len(s.places) == 0
}

// onSent: an old server answers no renewals, so those count that were really sent.
func (s *session) onSent() {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	for _, seat := range s.sentRenewals {
		seat.onRenewed(0, 0)
	}
	s.sentRenewals = s.sentRenewals[:0]
}

func (p *place) nextFrame() (frame *pb.CallRequest, bytes int, more bool) {
	if p.seat != nil {
		return p.seat.nextFrame()
	}
	if p.isTold {
		return nil, 0, false
	}
	switch p.leaving {
	case cancels:
		frame = &pb.CallRequest{Id: p.id, Step: &pb.CallRequest_Cancel{Cancel: &pb.Cancel{}}}
	case abandons:
		frame = &pb.CallRequest{Id: p.id, Step: &pb.CallRequest_Finish{Finish: p.abandon()}}
	case givesBack:
		p.leaving = abandons
		wire := (&join{group: p.join.group, key: p.join.key}).toWire(p.token)
		frame = &pb.CallRequest{Id: p.id, Step: &pb.CallRequest_Join{Join: wire}}
		return frame, len(wire.Key) + len(wire.Group), true
	case stays: // the call is over
		return nil, 0, false
	}
	p.isTold = true
	return frame, 0, false
}

// abandon gives a lead back. That is no outcome of the work, so it is not kept, unless the loss is
// what the callers have asked to keep.
func (p *place) abandon() *pb.Finish {
	finish := &pb.Finish{
		Outcome: &pb.Outcome{
			Kind:    pb.OutcomeKind_OUTCOME_KIND_ABANDONED,
			Message: "the leader left",
		},
		PassOn: true,
	}
	if p.join.leaderLoss != Hold {
		finish.Retention = &pb.Retention{}
	}
	return finish
}

// onLateFrame reads what the server says to a call that has left.
func (p *place) onLateFrame(frame *pb.CallResponse) {
	switch step := frame.Step.(type) {
	case *pb.CallResponse_Lead:
		if p.leaving == cancels && step.Lead.LeaseMs > 0 {
			p.session.giveBack(p.join, step.Lead.Token)
		}
	case *pb.CallResponse_Result, *pb.CallResponse_End:
		p.session.remove(p)
	default:
	}
}

func (s *session) onMessage(message *pb.SessionResponse) {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if len(s.client.leads) > 0 {
		s.client.look()
	}
	for _, frame := range message.Calls {
		place := s.places[frame.Id]
		if place != nil && place.seat != nil {
			place.seat.onFrame(frame)
			continue
		}
		if codes.Code(frame.GetEnd().GetCode()) != codes.Unavailable {
			s.server.onSessionUp(s)
		}
		if place != nil {
			place.onLateFrame(frame)
		}
	}
}

// onOver: the stream has ended. What happens to one seat may end or move others.
func (s *session) onOver(code codes.Code, text string) {
	if len(s.client.leads) > 0 {
		s.client.look()
	}
	s.retired = true
	s.server.onSessionOver(s, code, text)
	ids := make([]uint64, 0, len(s.places))
	for id := range s.places {
		ids = append(ids, id)
	}
	slices.Sort(ids) // the oldest first, as they joined
	for _, id := range ids {
		place := s.places[id]
		if place == nil || place.seat == nil {
			continue
		}
		seat := place.seat
		delete(s.places, id)
		seat.place = nil
		seat.onSessionOver(code, text)
	}
}

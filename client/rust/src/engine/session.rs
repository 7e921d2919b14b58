// SPDX-License-Identifier: Apache-2.0
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::ids::IdMap;
use super::seat::{abandonment, wire_join};
use super::servers::Unreachable;
use super::{connect, Inner, SeatId, ServerId, SessionId, State};
use crate::constants;
use crate::options::Join;
use crate::pb::singleflight as pb;
use pb::call_request::Step;
use pb::call_response::Step as Answer;
use pb::single_flight_client::SingleFlightClient;

// What one message gathers at most, beside one large frame.
const FRAMES_MAX: usize = 512;
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// A call on a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub session: SessionId,
    pub id: u64,
}

pub(super) struct Session {
    pub server: ServerId,
    pub up: bool,           // it has answered
    pub retired: bool,      // it takes no new seats
    pub token_version: u64, // of the token that it is opened with, or of one before it
    pub seats: IdMap<SeatId>,
    pub leaving: IdMap<Arc<Join>>, // have sent `cancel`, and not heard the end
    next_id: u64,
    frames: Option<mpsc::UnboundedSender<Frame>>, // None: half-closed
    cut: CancellationToken,
}

/// One call's step, and how many bytes of a leader's value it carries.
struct Frame {
    request: pb::CallRequest,
    sent: Sent,
}

/// What has left this process.
pub(super) struct Sent {
    pub seat: SeatId,
    pub value_bytes: usize,
    pub renewal_at: Option<Duration>, // it is a renewal, of then
}

impl State {
    pub(super) fn open_session(&mut self, server: ServerId) -> SessionId {
        let id = self.new_id();
        let (sender, receiver) = mpsc::unbounded_channel();
        let cut = CancellationToken::new();
        self.sessions.insert(
            id,
            Session {
                server,
                up: false,
                retired: false,
                token_version: self.inner().settings.token_version(),
                seats: IdMap::default(),
                leaving: IdMap::default(),
                next_id: 0,
                frames: Some(sender),
                cut: cut.clone(),
            },
        );
        let inner = self.inner();
        self.spawn(async move {
            let address = inner.settings.addresses[server].clone();
            let over = tokio::select! {
                over = run(&inner, id, &address, receiver) => over,
                () = cut.cancelled() => Status::cancelled("the client ends the session").into(),
            };
            inner.state().on_session_over(id, &over);
            inner.ended.notify_waiters();
        });
        id
    }

    /// Puts a seat on a session.
    pub(super) fn seat_on(&mut self, id: SessionId, seat: SeatId) -> Place {
        let session = self.sessions.get_mut(&id).expect("the session is there");
        session.next_id += 1;
        session.seats.insert(session.next_id, seat);
        Place { session: id, id: session.next_id }
    }

    pub(super) fn unseat(&mut self, place: Place) {
        if let Some(session) = self.sessions.get_mut(&place.session) {
            session.seats.remove(&place.id);
            session.half_close_if_idle();
        }
    }

    pub(super) fn send(
        &self,
        place: Place,
        seat: SeatId,
        step: Step,
        timeout_ms: u64,
        value_bytes: usize,
    ) {
        let request = pb::CallRequest { id: place.id, timeout_ms, step: Some(step) };
        self.send_frame(
            place,
            Frame { request, sent: Sent { seat, value_bytes, renewal_at: None } },
        );
    }

    /// Sends a renewal; `id` above 0 asks for an answer.
    pub(super) fn send_renewal(&self, place: Place, seat: SeatId, id: u64, now: Duration) {
        let step = Some(Step::Renew(pb::Renew { id }));
        let request = pb::CallRequest { id: place.id, timeout_ms: 0, step };
        let sent = Sent { seat, value_bytes: 0, renewal_at: Some(now) };
        self.send_frame(place, Frame { request, sent });
    }

    fn send_frame(&self, place: Place, frame: Frame) {
        let session = self.sessions.get(&place.session);
        if let Some(frames) = session.and_then(|session| session.frames.as_ref()) {
            // Where nobody takes it, the session's end is on its way.
            let _ = frames.send(frame);
        }
    }

    /// It takes no new seats, and ends with the last one.
    pub(super) fn retire(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.retired = true;
        session.half_close_if_idle();
        let server = session.server;
        if self.servers[server].current == Some(id) {
            self.servers[server].current = None;
        }
    }

    pub(super) fn cut(&mut self, id: SessionId) {
        self.retire(id);
        if let Some(session) = self.sessions.get(&id) {
            session.cut.cancel();
        }
    }

    fn on_message(&mut self, id: SessionId, message: pb::SessionResponse) {
        for answer in message.calls {
            let Some(session) = self.sessions.get(&id) else { return };
            match (session.seats.get(&answer.id).copied(), answer.step) {
                (Some(seat), Some(step)) => self.on_step(seat, step),
                (None, Some(step)) => self.on_step_for_nobody(id, answer.id, &step),
                (_, None) => {} // a step of a later server
            }
        }
    }

    // To a call that has left. A lead with a lease that crossed the `cancel` would hold the flight
    // until the lease is over: it is taken back under a new id, and given up.
    fn on_step_for_nobody(&mut self, id: SessionId, wire_id: u64, step: &Answer) {
        if !refuses(step) {
            self.on_session_up(id);
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match step {
            Answer::Result(_) | Answer::End(_) => {
                session.leaving.remove(&wire_id);
                session.half_close_if_idle();
            }
            Answer::Lead(lead) if lead.lease_ms > 0 => {
                let Some(join) = session.leaving.get(&wire_id).cloned() else { return };
                session.next_id += 1;
                let place = Place { session: id, id: session.next_id };
                self.send(place, 0, Step::Join(wire_join(&join, Some(lead.token))), 0, 0);
                self.send(place, 0, abandonment(&join), 0, 0);
            }
            _ => {}
        }
    }

    fn on_session_over(&mut self, id: SessionId, over: &Unreachable) {
        let Some(session) = self.sessions.remove(&id) else { return };
        self.server_lost_session(session.server, id, session.up, over);
        for seat in session.seats.into_values() {
            self.on_seat_cut_off(seat, &over.status);
        }
    }
}

impl Session {
    fn half_close_if_idle(&mut self) {
        if self.retired && self.seats.is_empty() && self.leaving.is_empty() {
            self.frames = None; // what is in there still goes out
        }
    }
}

fn refuses(step: &Answer) -> bool {
    matches!(step, Answer::End(end) if end.code == Code::Unavailable as i32)
}

// Connects, and carries frames until the stream ends.
async fn run(
    inner: &Arc<Inner>,
    id: SessionId,
    address: &str,
    frames: mpsc::UnboundedReceiver<Frame>,
) -> Unreachable {
    let channel = match connect(&inner.settings, address).await {
        Ok(channel) => channel,
        Err(why) => return why,
    };
    let (sender, receiver) = mpsc::channel(1);
    let writer = tokio::spawn(write(inner.clone(), id, frames, sender));
    let mut stub =
        SingleFlightClient::new(channel).max_decoding_message_size(constants::MESSAGE_BYTES_MAX);
    let status = match stub.session(inner.settings.request(ReceiverStream::new(receiver))).await {
        Err(status) => status,
        Ok(response) => read(inner, id, response.into_inner()).await,
    };
    writer.abort();
    status.into()
}

async fn read(
    inner: &Arc<Inner>,
    id: SessionId,
    mut stream: tonic::Streaming<pb::SessionResponse>,
) -> Status {
    loop {
        match stream.message().await {
            Ok(Some(message)) => inner.state().on_message(id, message),
            Ok(None) => return Status::unavailable("the server ended the session"),
            Err(status) => return status,
        }
    }
}

// Frames that are ready together travel in one message.
async fn write(
    inner: Arc<Inner>,
    id: SessionId,
    mut frames: mpsc::UnboundedReceiver<Frame>,
    sender: mpsc::Sender<pb::SessionRequest>,
) {
    let mut gathered = Vec::new();
    while frames.recv_many(&mut gathered, FRAMES_MAX).await > 0 {
        let mut rest = gathered.drain(..).peekable();
        while rest.peek().is_some() {
            let mut calls = Vec::new();
            let mut sent = Vec::new();
            let mut bytes = 0;
            while let Some(frame) =
                rest.next_if(|f| bytes == 0 || bytes + f.sent.value_bytes <= MESSAGE_BYTES_MAX)
            {
                bytes += frame.sent.value_bytes + 1;
                if frame.sent.value_bytes > 0 || frame.sent.renewal_at.is_some() {
                    sent.push(frame.sent);
                }
                calls.push(frame.request);
            }
            if sender.send(pb::SessionRequest { calls }).await.is_err() {
                return;
            }
            if !sent.is_empty() {
                inner.on_sent(id, &sent);
            }
        }
    }
}

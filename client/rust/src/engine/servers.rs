// SPDX-License-Identifier: Apache-2.0
use std::time::Duration;

use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::backoff::Backoff;
use super::seat::Seat;
use super::timers::{Armed, Timer};
use super::{SeatId, SessionId, State};
use crate::options::Settings;
use crate::pb::health::health_check_response::ServingStatus;
use crate::pb::health::health_client::HealthClient;
use crate::pb::health::HealthCheckRequest;

const RESUME_TRIES: u32 = 8;

pub(crate) type ServerId = usize;

/// What is known of one address. *Failing*: it has not answered since then. *Down*: it has been
/// silent for so long that it is none. *Refused*: the last try to connect was, by whoever has the address.
/// *Broken*: the last connection ended before an answer. *Draining*: it is there, and takes no
/// calls. Calls pass those four by, if they can, until a try or health check succeeds.
/// *Proven*: it has answered, and the connection has not failed since.
pub(super) struct Server {
    pub address: String,
    pub current: Option<SessionId>, // the session that takes new seats
    pub waiting: Vec<SeatId>,
    pub down: bool,
    pub refused: bool,
    pub draining: bool,
    broken: bool,
    pub last_error: String,
    proven: bool,
    failing: bool,
    probing: bool,
    backoff: Backoff,
    retry_timer: Option<Armed>,
    down_timer: Option<Armed>,
}

impl Server {
    pub fn new(address: &str, backoff_min: Duration, backoff_max: Duration) -> Self {
        Server {
            address: address.to_owned(),
            current: None,
            waiting: Vec::new(),
            down: false,
            refused: false,
            draining: false,
            broken: false,
            last_error: String::new(),
            proven: false,
            failing: false,
            probing: false,
            backoff: Backoff::new(backoff_min, backoff_max),
            retry_timer: None,
            down_timer: None,
        }
    }

    pub fn is_up(&self) -> bool {
        !self.down && !self.refused && !self.draining && !self.broken
    }

    pub fn is_proven(&self) -> bool {
        self.proven && self.is_up()
    }

    /// As far as is known, there is none.
    pub fn is_absent(&self) -> bool {
        self.down || self.refused
    }
}

/// How a connection failed.
pub(crate) struct Unreachable {
    pub status: Status,
    pub refused: bool, // an answer, at once: nobody is there
}

impl From<Status> for Unreachable {
    fn from(status: Status) -> Self {
        Unreachable { status, refused: false }
    }
}

impl Unreachable {
    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut errors = std::iter::successors(Some(error), |error| error.source());
        let refused = errors
            .find_map(|error| error.downcast_ref::<std::io::Error>())
            .is_some_and(|error| error.kind() != std::io::ErrorKind::TimedOut);
        Unreachable { status: Status::unavailable(whole(error)), refused }
    }
}

impl State {
    fn set_failing(&mut self, id: ServerId) {
        if self.servers[id].failing {
            return;
        }
        self.servers[id].failing = true;
        let patience = self.inner().settings.attempt_timeout();
        self.servers[id].down_timer = Some(self.arm(patience, Timer::Down(id)));
    }

    fn set_reachable(&mut self, id: ServerId) {
        let server = &mut self.servers[id];
        server.down = false;
        server.refused = false;
        server.draining = false;
        server.broken = false;
        server.proven = true;
        server.last_error.clear();
        server.backoff.reset();
        self.set_answering(id);
    }

    // It is not silent.
    fn set_answering(&mut self, id: ServerId) {
        let server = &mut self.servers[id];
        server.failing = false;
        let mut timer = server.down_timer.take();
        self.disarm(&mut timer);
    }

    // The last try was an answer: nobody is there.
    fn set_refused(&mut self, id: ServerId) {
        self.set_answering(id);
        let server = &mut self.servers[id];
        (server.refused, server.draining, server.broken) = (true, false, false);
    }

    // The next try comes after a random while.
    fn back_off(&mut self, id: ServerId) {
        if self.over.is_some() || self.servers[id].retry_timer.is_some() {
            return;
        }
        let wait = self.servers[id].backoff.next();
        self.servers[id].retry_timer = Some(self.arm(wait, Timer::Retry(id)));
    }

    // A session that has not answered yet is given up; one that works goes on.
    fn set_down(&mut self, id: ServerId) {
        self.servers[id].down = true;
        if let Some(current) = self.servers[id].current {
            if !self.sessions[&current].up {
                self.cut(current); // its seats look elsewhere once it is over
            }
        }
        self.back_off(id);
        for seat in std::mem::take(&mut self.servers[id].waiting) {
            self.on_server_down(seat);
        }
    }

    pub(super) fn on_down(&mut self, id: ServerId) {
        self.servers[id].down_timer = None;
        let current = self.servers[id].current;
        let is_wanted = !self.servers[id].waiting.is_empty()
            || current.is_some_and(|session| !self.sessions[&session].seats.is_empty());
        if is_wanted {
            self.set_down(id);
            return;
        }
        self.servers[id].failing = false; // nobody has asked long enough to know
        if let Some(current) = current {
            self.cut(current);
        }
    }

    /// A call has waited so long for an answer, and got none.
    pub(super) fn on_silence(&mut self, id: ServerId, waited: Duration) {
        let patience = self.inner().settings.attempt_timeout();
        let server = &self.servers[id];
        if server.is_absent() || server.draining || waited < patience {
            return;
        }
        if self.servers[id].last_error.is_empty() {
            self.servers[id].last_error = "the server does not answer".to_owned();
        }
        self.set_down(id);
    }

    /// Gives a seat a session of the server, or lets it wait for one.
    pub(super) fn seat_at(&mut self, id: ServerId, seat: SeatId) {
        self.retire_old_token(id);
        if let Some(current) = self.servers[id].current {
            self.join_session(seat, current);
            return;
        }
        self.servers[id].waiting.push(seat);
        if !self.servers[id].down && self.servers[id].retry_timer.is_none() {
            self.open_for_waiting(id);
        } else {
            self.hurry(id, seat);
        }
    }

    // Who asks is what the stream was opened with, and the token is another by now.
    fn retire_old_token(&mut self, id: ServerId) {
        let Some(current) = self.servers[id].current else { return };
        if self.sessions[&current].token_version != self.inner().settings.token_version() {
            self.retire(current);
        }
    }

    /// The server does not know who has opened the session. The next one says it anew.
    pub(super) fn on_session_strange(&mut self, id: SessionId) {
        let Some(server) = self.sessions.get(&id).map(|session| session.server) else { return };
        self.retire(id);
        self.back_off(server);
    }

    // A leader that is to resume has several tries before its lead is over.
    fn hurry(&mut self, id: ServerId, seat: SeatId) {
        let Some(left) = self.seats.get(&seat).and_then(Seat::holds_for) else { return };
        let wait = left.mul_f64(fastrand::f64()) / RESUME_TRIES;
        let soon = Instant::now() + wait;
        if self.servers[id].retry_timer.is_some_and(|(due, _)| due > soon) {
            let mut timer = self.servers[id].retry_timer.take();
            self.disarm(&mut timer);
            self.servers[id].retry_timer = Some(self.arm(wait, Timer::Retry(id)));
        }
    }

    fn open_for_waiting(&mut self, id: ServerId) {
        let session = self.open_session(id);
        self.servers[id].current = Some(session);
        self.set_failing(id); // until it answers
        for seat in std::mem::take(&mut self.servers[id].waiting) {
            self.join_session(seat, session);
        }
    }

    pub(super) fn on_session_up(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.up || session.retired {
            return;
        }
        session.up = true;
        let server = session.server;
        self.set_reachable(server);
    }

    /// The server takes no joins any more: it drains.
    pub(super) fn on_session_refuses(&mut self, id: SessionId, text: &str) {
        let Some(server) = self.sessions.get(&id).map(|session| session.server) else { return };
        self.retire(id);
        text.clone_into(&mut self.servers[server].last_error);
        self.set_answering(server);
        self.servers[server].refused = false;
        self.servers[server].draining = true;
        self.back_off(server);
    }

    pub(super) fn server_lost_session(
        &mut self,
        id: ServerId,
        session: SessionId,
        was_up: bool,
        over: &Unreachable,
    ) {
        let was_current = self.servers[id].current == Some(session);
        if was_current {
            self.servers[id].current = None;
            self.servers[id].proven = false;
        }
        if self.over.is_some() || (!was_current && was_up) {
            return;
        }
        if is_denied(over.status.code()) {
            self.set_reachable(id); // it is there, and who asks is not welcome
        } else if !was_up {
            over.status.message().clone_into(&mut self.servers[id].last_error);
            if over.refused {
                self.set_refused(id);
            } else {
                (self.servers[id].refused, self.servers[id].broken) = (false, true);
                self.set_failing(id);
            }
        }
        self.back_off(id); // also after a good one: many clients may have lost the same server
    }

    pub(super) fn on_retry(&mut self, id: ServerId) {
        self.servers[id].retry_timer = None;
        let server = &self.servers[id];
        let is_wanted = !server.waiting.is_empty();
        if server.down || (!server.is_up() && !is_wanted) {
            self.probe(id);
        } else if server.current.is_none() && is_wanted {
            self.open_for_waiting(id);
        }
    }

    /// Looks whether it is there, unless that is going on already.
    pub(super) fn probe_soon(&mut self, id: ServerId) {
        if self.servers[id].retry_timer.is_none() {
            self.probe(id);
        }
    }

    fn probe(&mut self, id: ServerId) {
        if std::mem::replace(&mut self.servers[id].probing, true) {
            return;
        }
        let inner = self.inner();
        self.spawn(async move {
            let patience = inner.settings.attempt_timeout();
            let found = tokio::time::timeout(patience, probe(&inner.settings, id)).await;
            let found = found.unwrap_or_else(|_| {
                Err(Status::unavailable("the health check took too long").into())
            });
            inner.state().on_probed(id, found);
        });
    }

    fn on_probed(&mut self, id: ServerId, found: Result<(), Unreachable>) {
        self.servers[id].probing = false;
        if self.over.is_some() {
            return;
        }
        if let Err(why) = found {
            why.status.message().clone_into(&mut self.servers[id].last_error);
            if why.refused {
                self.set_refused(id);
            }
            self.back_off(id);
            return;
        }
        self.set_reachable(id);
        if !self.servers[id].waiting.is_empty() && self.servers[id].current.is_none() {
            self.open_for_waiting(id);
        }
        self.place_those_who_wait();
    }

    // A server has come back: who waits for another that has not, may have this one.
    fn place_those_who_wait(&mut self) {
        for id in 0..self.servers.len() {
            if self.servers[id].is_up() {
                continue;
            }
            for seat in std::mem::take(&mut self.servers[id].waiting) {
                if let Some(seat) = self.seats.get_mut(&seat) {
                    seat.rank = 0;
                }
                self.place(seat);
            }
        }
    }
}

/// The server knows who asks, or does not, and says no. That is an answer.
pub(super) fn is_denied(code: Code) -> bool {
    matches!(code, Code::Unauthenticated | Code::PermissionDenied)
}

// Ok: the server is there and serves.
async fn probe(settings: &Settings, id: ServerId) -> Result<(), Unreachable> {
    let channel = connect(settings, &settings.addresses[id]).await?;
    match HealthClient::new(channel).check(settings.request(HealthCheckRequest::default())).await {
        Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => Ok(()),
        Ok(_) => Err(Status::unavailable("the server is there, but not ready to serve").into()),
        // A server that has none, or none for us, and says so is there.
        Err(status) if status.code() == Code::Unimplemented || is_denied(status.code()) => Ok(()),
        Err(status) => Err(status.into()),
    }
}

/// One connection to an address.
pub(crate) async fn connect(settings: &Settings, address: &str) -> Result<Channel, Unreachable> {
    #[cfg(feature = "tls")]
    let tls = settings.tls_for(address);
    #[cfg(feature = "tls")]
    let scheme = if tls.is_some() { "https" } else { "http" };
    #[cfg(not(feature = "tls"))]
    let scheme = "http";
    let socket = address.strip_prefix("unix:").map(str::to_owned);
    let target = if socket.is_some() { "localhost" } else { address };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{target}"))
        .map_err(|error| Unreachable::of(&error))?
        .connect_timeout(settings.attempt_timeout())
        .http2_keep_alive_interval(settings.keepalive_time)
        .keep_alive_timeout(settings.keepalive_timeout)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .initial_stream_window_size(4 * 1024 * 1024)
        .initial_connection_window_size(16 * 1024 * 1024);
    #[cfg(feature = "tls")]
    let endpoint = match tls {
        Some(tls) => endpoint.tls_config(tls).map_err(|error| Unreachable::of(&error))?,
        None => endpoint,
    };
    #[cfg(feature = "test")]
    if let Some(dialer) = settings.dialer.clone() {
        let connector = tower::service_fn(move |_| {
            let dialed = dialer().map(hyper_util::rt::TokioIo::new);
            async { dialed }
        });
        let connected = endpoint.connect_with_connector(connector).await;
        return connected.map_err(|error| Unreachable::of(&error));
    }
    let connected = match socket {
        None => endpoint.connect().await,
        Some(path) => {
            let connector = tower::service_fn(move |_| {
                let path = path.clone();
                async move {
                    let stream = tokio::net::UnixStream::connect(path).await?;
                    Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(stream))
                }
            });
            endpoint.connect_with_connector(connector).await
        }
    };
    connected.map_err(|error| Unreachable::of(&error))
}

// An error with what caused it; tonic's own text says no more than "transport error".
pub(crate) fn whole(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

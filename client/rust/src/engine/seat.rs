// SPDX-License-Identifier: Apache-2.0
//! Seats: who shares one, and which server it goes to.

use std::collections::hash_map::Entry;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::observed::LeadId;
use super::seat_lead::Lead;
use super::session::Place;
use super::timers::{Armed, Timer};
use super::{CallId, SeatId, ServerId, SessionId, State};
use crate::clock;
use crate::constants::{ANSWER_TIMEOUT, WIRE_SLACK_DIVISOR, WIRE_SLACK_MIN};
use crate::error::StatusError;
use crate::options::{Join, LeaderLoss, Role};
use crate::pb::singleflight as pb;
use pb::call_request::Step;
use pb::LeadRef;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SeatState {
    Joining,
    Following,
    Leading,
    Finishing, // the function has ended; the server has not confirmed it
    Alone,     // no server could be reached: the function runs here
}

pub(super) struct Seat {
    pub join: Arc<Join>,
    within: Arc<[LeadRef]>, // the leads that its first call is made inside of
    pub state: SeatState,
    pub calls: Vec<CallId>, // those that wait here, the oldest first
    pub server: ServerId,
    pub place: Option<Place>,
    pub answered: bool,        // the server has answered the join on this session
    pub rank: usize,           // place of its server in the key's order
    pub joined_at: Duration,   // by the clock of leads: when its join was sent on this session
    is_merging: bool,          // equal calls that come may share it
    deadline: Option<Instant>, // what the server is told
    connect_timeout: Option<Duration>,
    look_timer: Option<Armed>,   // armed while it looks for a server
    look_time: Duration,         // what it was armed with
    look_until: Option<Instant>, // None: it has not begun to look
    look_is_over: bool,
    // As a follower.
    pub value: Vec<Bytes>,
    pub value_bytes: usize,
    pub next_sequence: u64,
    pub has_told: bool, // live: a chunk has been handed out since the last restart
    pub followed: LeadId, // the lead, here or elsewhere, that calls follow; zero: none is known
    pub is_void: bool,  // live: what was handed out is void, and nobody has been told yet
    // As a leader.
    pub lead: Option<Lead>,
}

impl State {
    fn new_seat(
        &mut self,
        id: SeatId,
        join: &Arc<Join>,
        deadline: Option<Instant>,
        connect_timeout: Option<Duration>,
        within: Arc<[LeadRef]>,
    ) {
        self.seats.insert(
            id,
            Seat {
                join: join.clone(),
                within,
                state: SeatState::Joining,
                calls: Vec::new(),
                server: 0,
                place: None,
                answered: false,
                rank: 0,
                joined_at: Duration::ZERO,
                is_merging: join.merges(),
                deadline,
                connect_timeout,
                look_timer: None,
                look_time: Duration::ZERO,
                look_until: None,
                look_is_over: false,
                value: Vec::new(),
                value_bytes: 0,
                next_sequence: 0,
                has_told: false,
                followed: LeadId::default(),
                is_void: false,
                lead: None,
            },
        );
    }

    fn add_call(&mut self, seat: SeatId, call: CallId) {
        self.calls.get_mut(&call).expect("the call waits").seat = Some(seat);
        let seat = self.seats.get_mut(&seat).expect("the seat is there");
        seat.calls.push(call);
        let followed = seat.followed;
        self.tell_follows(call, followed);
    }

    // -------------------------------------------------------------------------------- merging

    /// Puts a call that begins on an equal seat, or on one of its own.
    pub(super) fn take_seat(&mut self, call: CallId, join: &Arc<Join>) {
        let (deadline, timeout) = (self.calls[&call].deadline, self.calls[&call].timeout);
        let slack = wire_slack(timeout.unwrap_or_default());
        let own = self.new_id();
        if join.merges() {
            let equal = self.merging.entry(join.clone()).or_default();
            let mut seats = equal.iter().copied();
            let in_time = |id: &_| {
                let seat = &self.seats[id];
                seat.is_detached() || is_in_time(deadline, slack, seat.deadline)
            };
            if let Some(seat) = seats.find(in_time) {
                self.add_call(seat, call);
                self.tell_audience(seat);
                return;
            }
            equal.push(own);
        }
        let wire_deadline = deadline.and_then(|deadline| deadline.checked_add(slack));
        let connect_timeout = self.calls[&call].connect_timeout;
        let within = self.refs_of(&self.calls[&call].inside);
        self.new_seat(own, join, wire_deadline, connect_timeout, within);
        self.add_call(own, call);
        self.place(own);
    }

    /// No more calls merge into the seat.
    pub(super) fn stop_merging(&mut self, id: SeatId) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        if !std::mem::take(&mut seat.is_merging) {
            return;
        }
        if let Entry::Occupied(mut equal) = self.merging.entry(seat.join.clone()) {
            equal.get_mut().retain(|seat| *seat != id);
            if equal.get().is_empty() {
                equal.remove();
            }
        }
    }

    /// The key was forgotten: calls that come do not merge into its flights.
    pub(super) fn forgot(&mut self, group: &str, key: &[u8]) {
        for seat in self.seats.values().filter(|seat| seat.join.is_for(group, key)) {
            if let Some(lead) = &seat.lead {
                lead.leader.forgotten.store(true, Ordering::Release);
            }
        }
        self.merging.retain(|join, _| !join.is_for(group, key));
    }

    /// Gives all calls but `stays` a seat of their own, which joins anew.
    pub(super) fn split(&mut self, id: SeatId, stays: Option<CallId>) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let (stay, go): (Vec<_>, Vec<_>) = seat.calls.drain(..).partition(|c| Some(*c) == stays);
        seat.calls = stay;
        if go.is_empty() {
            return;
        }
        let (join, within, patience) =
            (seat.join.clone(), seat.within.clone(), seat.connect_timeout);
        let deadline = self.latest_deadline(&go);
        let other = self.new_id();
        self.new_seat(other, &join, deadline, patience, within);
        for call in go {
            self.add_call(other, call);
        }
        self.place(other);
    }

    // What the server is told for these calls together; None: one of them has none.
    fn latest_deadline(&self, calls: &[CallId]) -> Option<Instant> {
        let mut latest = None;
        for call in calls.iter().filter_map(|call| self.calls.get(call)) {
            let slack = wire_slack(call.timeout.unwrap_or_default());
            latest = latest.max(Some(call.deadline?.checked_add(slack)?));
        }
        latest
    }

    // ---------------------------------------------------------------------- looking for a server

    pub(super) fn place(&mut self, id: SeatId) {
        let seat = &self.seats[&id];
        let order = self.inner().order(&seat.join.group, &seat.join.key);
        if seat.lead.is_some() {
            self.place_leader(id, &order);
            return;
        }
        let rank = seat.rank;
        let at_once = self.patience(seat).is_zero();
        let good = |rank: &usize| {
            let server = &self.servers[order[*rank]];
            if at_once {
                server.is_proven()
            } else {
                server.is_up()
            }
        };
        if let Some(rank) = (rank..order.len()).find(good) {
            self.seats.get_mut(&id).expect("it was there").rank = rank;
            self.enter(id, order[rank]);
            return;
        }
        if at_once {
            order.iter().for_each(|server| self.probe_soon(*server)); // for the next call
        }
        match self.who_is_tried_again(id, &order) {
            Some(server) if !at_once => {
                self.seats.get_mut(&id).expect("it was there").rank = order.len();
                self.enter(id, server);
            }
            _ => self.give_up(id, order[0]),
        }
    }

    // No server of the key takes a call now; None: it is not waited for.
    fn who_is_tried_again(&self, id: SeatId, order: &[ServerId]) -> Option<ServerId> {
        let seat = &self.seats[&id];
        if seat.look_is_over || (seat.join.fail_open && self.is_nobody_there(order)) {
            return None;
        }
        let is_there = order.iter().copied().find(|server| !self.servers[*server].down);
        Some(is_there.unwrap_or(order[0]))
    }

    // A server that is shutting down is somebody.
    fn is_nobody_there(&self, order: &[ServerId]) -> bool {
        order.iter().all(|server| self.servers[*server].is_absent())
    }

    // A lead is known to the server that granted it, and where servers share their flights to all.
    fn place_leader(&mut self, id: SeatId, order: &[ServerId]) {
        let seat = self.seats.get_mut(&id).expect("it was there");
        let granted_by = seat.lead.as_ref().expect("it leads").granted_by;
        let own = &self.servers[granted_by];
        let others = own.down || own.refused;
        let other = (seat.rank..order.len()).find(|rank| {
            others && order[*rank] != granted_by && self.servers[order[*rank]].is_up()
        });
        seat.rank = other.unwrap_or(order.len());
        self.enter(id, other.map_or(granted_by, |rank| order[rank]));
    }

    fn patience(&self, seat: &Seat) -> Duration {
        seat.connect_timeout.unwrap_or_else(|| self.inner().settings.connect_timeout)
    }

    fn enter(&mut self, id: SeatId, server: ServerId) {
        let seat = &self.seats[&id];
        let looks = seat.lead.is_none() && !seat.look_is_over && seat.look_timer.is_none();
        if looks {
            self.look(id);
        }
        let seat = self.seats.get_mut(&id).expect("it was there");
        seat.server = server;
        seat.answered = false;
        self.seat_at(server, id);
    }

    // One server has so long to answer; the next one has a time of its own.
    fn look(&mut self, id: SeatId) {
        let seat = &self.seats[&id];
        let whole = self.patience(seat);
        let now = Instant::now();
        let until = seat.look_until.or_else(|| now.checked_add(whole)).unwrap_or(now);
        let turn = whole.min(ANSWER_TIMEOUT);
        let time = match until.saturating_duration_since(now) {
            _ if whole.is_zero() => self.inner().settings.attempt_timeout(), // for the answer
            Duration::ZERO => turn,
            left => turn.min(left),
        };
        let timer = self.arm(time, Timer::Look(id));
        let seat = self.seats.get_mut(&id).expect("it was there");
        (seat.look_timer, seat.look_time, seat.look_until) = (Some(timer), time, Some(until));
    }

    pub(super) fn join_session(&mut self, id: SeatId, session: SessionId) {
        let place = self.seat_on(session, id);
        let seat = self.seats.get_mut(&id).expect("a seat that waits is there");
        seat.place = Some(place);
        seat.joined_at = clock::now();
        let token = seat.lead.as_ref().map(|lead| lead.leader.token);
        let timeout_ms = match (token, seat.deadline) {
            (None, Some(deadline)) => {
                let left = deadline.saturating_duration_since(Instant::now());
                u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1)
            }
            _ => 0,
        };
        let first = seat.calls.first().and_then(|call| self.calls.get(call));
        let observed = first.and_then(|call| call.observed.as_ref());
        let step = Step::Join(pb::Join {
            within: seat.within.to_vec(),
            traceparent: observed.map(|of| of.traceparent.clone()).unwrap_or_default(),
            ..wire_join(&seat.join, token)
        });
        self.send(place, id, step, timeout_ms, 0);
    }

    fn give_up(&mut self, id: SeatId, tried: ServerId) {
        let seat = self.seats.get_mut(&id).expect("it was there");
        let mut timer = seat.look_timer.take();
        let join = seat.join.clone();
        self.disarm(&mut timer);
        let order = self.inner().order(&join.group, &join.key);
        let drains = order.iter().any(|server| self.servers[*server].draining);
        if join.fail_open && !drains {
            self.lead_alone(id);
            return;
        }
        let others = match self.servers.len() {
            1 => String::new(),
            count => format!(" (and {} other servers)", count - 1),
        };
        let server = &self.servers[tried];
        let why = match server.last_error.as_str() {
            "" if self.patience(&self.seats[&id]).is_zero() => "there is no connection yet",
            "" => "it does not answer",
            text => text,
        };
        let address = &server.address;
        let text = if drains {
            format!("the server at {address}{others} takes no call now: {why}. Try again later")
        } else {
            format!(
                "no server can be reached at {address}{others}: {why}. Start singleflightd there, \
                 or name its address in SINGLEFLIGHT_ADDRESS; or let calls fail open"
            )
        };
        self.end_seat(id, &StatusError::new(Code::Unavailable, text));
    }

    pub(super) fn on_look_over(&mut self, id: SeatId) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        seat.look_timer = None;
        let (server, waited) = (seat.server, seat.look_time);
        self.leave_place(id);
        self.on_silence(server, waited);
        let Some(seat) = self.seats.get_mut(&id) else { return };
        seat.rank += 1;
        if seat.rank >= self.servers.len() {
            seat.rank = 0; // one may be back
            seat.look_is_over = seat.look_until.is_none_or(|until| Instant::now() >= until);
        }
        if seat.look_is_over {
            self.give_up(id, server);
        } else {
            self.place(id);
        }
    }

    pub(super) fn on_server_down(&mut self, id: SeatId) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        if seat.lead.is_none() {
            let mut timer = seat.look_timer.take(); // the next one has a time of its own
            self.disarm(&mut timer);
        }
        self.place(id);
    }

    /// The server has taken the seat.
    pub(super) fn set_answered(&mut self, id: SeatId) {
        let seat = self.seats.get_mut(&id).expect("it was there");
        if seat.answered {
            return;
        }
        seat.answered = true;
        seat.look_is_over = false;
        seat.look_until = None;
        seat.rank = 0;
        let session = seat.place.map(|place| place.session);
        let mut timer = seat.look_timer.take();
        self.disarm(&mut timer);
        if let Some(session) = session {
            self.on_session_up(session);
        }
    }

    /// The session of a seat is over, or it refuses the seat.
    pub(super) fn on_seat_cut_off(&mut self, id: SeatId, status: &Status) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        seat.place = None;
        if is_final(status.code()) {
            self.end_seat(id, &StatusError::new(status.code(), final_text(status)));
            return;
        }
        if seat.lead.is_some() {
            self.resume(id);
            return;
        }
        seat.state = SeatState::Joining;
        seat.followed = LeadId::default();
        seat.is_void |= seat.has_told;
        seat.clear_value();
        self.place(id);
    }

    // --------------------------------------------------------------------------------- ends

    // Takes the seat off its server, which is told.
    pub(super) fn leave_place(&mut self, id: SeatId) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let (server, join) = (seat.server, seat.join.clone());
        let place = seat.place.take();
        // To give a lease back at once, since a plain leave would leave the flight orphaned.
        let abandons = seat.answered && seat.lead.as_ref().is_some_and(|l| l.leader.lease_ms > 0);
        if let Some(server) = self.servers.get_mut(server) {
            server.waiting.retain(|seat| *seat != id);
        }
        let Some(place) = place else { return };
        let step = if abandons {
            abandonment(&join)
        } else {
            if let Some(session) = self.sessions.get_mut(&place.session) {
                session.leaving.insert(place.id, join);
            }
            Step::Cancel(pb::Cancel {})
        };
        self.send(place, id, step, 0, 0);
        self.unseat(place);
    }

    /// Takes it off its session, which has told its end.
    pub(super) fn take_off(&mut self, id: SeatId) {
        let place = self.seats.get_mut(&id).and_then(|seat| seat.place.take());
        if let Some(place) = place {
            self.unseat(place);
        }
    }

    pub(super) fn remove_seat(&mut self, id: SeatId) -> Option<Seat> {
        self.leave_place(id);
        self.stop_merging(id);
        let mut seat = self.seats.remove(&id)?;
        self.disarm(&mut seat.look_timer);
        if let Some(lead) = &mut seat.lead {
            lead.leader.over.store(true, Ordering::Release);
            self.disarm(&mut lead.lease_timer);
        }
        self.on_seat_gone();
        Some(seat)
    }

    /// Ends the seat and its calls.
    pub(super) fn end_seat(&mut self, id: SeatId, why: &StatusError) {
        let Some(seat) = self.remove_seat(id) else { return };
        if let Some(lead) = &seat.lead {
            lead.leader.lose(why);
        }
        self.tell_lost(&seat);
        self.end_calls(seat.calls, why);
    }

    pub(super) fn on_call_left(&mut self, id: SeatId, call: CallId, why: &StatusError) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        seat.calls.retain(|other| *other != call);
        if seat.is_wanted() {
            self.tell_audience(id);
        } else {
            self.end_seat(id, why);
        }
    }
}

impl Seat {
    /// Whether anybody waits for it, here or elsewhere. Who waits for an outcome that is on its
    /// way is not asked any more.
    pub fn is_wanted(&self) -> bool {
        let elsewhere = self.lead.as_ref().is_some_and(|lead| lead.has_begun && lead.followers > 0);
        let is_alone = self.state == SeatState::Alone;
        !self.calls.is_empty() || self.state == SeatState::Finishing || (elsewhere && !is_alone)
    }

    /// As a leader that is to resume: how long its lead holds.
    pub fn holds_for(&self) -> Option<Duration> {
        let hold = &self.lead.as_ref()?.hold;
        (!hold.is_endless()).then(|| hold.end().saturating_sub(clock::now()))
    }

    // No deadline that the server knows ends it.
    fn is_detached(&self) -> bool {
        self.lead.as_ref().is_some_and(|lead| !lead.hold.is_unanswered())
    }

    pub fn clear_value(&mut self) {
        self.value.clear();
        self.value_bytes = 0;
        self.next_sequence = 0;
        self.has_told = false;
    }
}

fn wire_slack(timeout: Duration) -> Duration {
    (timeout / WIRE_SLACK_DIVISOR).max(WIRE_SLACK_MIN)
}

/// Whether the server's patience with a seat is enough for one more call.
fn is_in_time(deadline: Option<Instant>, slack: Duration, seat: Option<Instant>) -> bool {
    match (deadline, seat) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(deadline), Some(seat)) => {
            deadline.checked_add(slack / 2).is_some_and(|latest| latest <= seat)
        }
    }
}

// Statuses of a stream that no second try mends.
fn is_final(code: Code) -> bool {
    matches!(code, Code::PermissionDenied | Code::Unimplemented | Code::Unauthenticated)
}

fn final_text(status: &Status) -> String {
    match status.code() {
        Code::Unimplemented => format!(
            "the server does not know Session: is a singleflightd of this version there? ({})",
            status.message()
        ),
        _ => status.message().to_owned(),
    }
}

/// Gives a lead back at once: the next caller leads. That is no outcome of the work, and is not
/// retained, unless a loss is what the callers asked to keep.
pub(super) fn abandonment(join: &Join) -> Step {
    let outcome = pb::Outcome {
        kind: pb::OutcomeKind::Abandoned.into(),
        message: "the leader left".to_owned(),
        ..Default::default()
    };
    let is_kept = join.on_leader_loss == LeaderLoss::Hold;
    let retention = (!is_kept).then_some(pb::Retention { retain_ms: 0 });
    Step::Finish(pb::Finish { outcome: Some(outcome), retention, pass_on: true })
}

pub(super) fn wire_join(join: &Join, token: Option<u64>) -> pb::Join {
    let role = match join.role {
        Role::Any => pb::Role::Any,
        Role::LeadOnly => pb::Role::LeadOnly,
        Role::FollowOnly => pb::Role::FollowOnly,
    };
    let on_leader_loss = match join.on_leader_loss {
        LeaderLoss::Promote => pb::LeaderLoss::Promote,
        LeaderLoss::Fail => pb::LeaderLoss::Fail,
        LeaderLoss::Hold => pb::LeaderLoss::Hold,
    };
    pb::Join {
        group: join.group.clone(),
        key: join.key.clone(),
        role: role.into(),
        live: join.live,
        audience: true, // whether to go on when nobody is left here
        retain_ms: join.retain_ms,
        retain_error_ms: join.retain_error_ms,
        max_age_ms: join.max_age_ms,
        lease_ms: join.lease_ms,
        run_limit_ms: join.run_limit_ms,
        on_leader_loss: on_leader_loss.into(),
        max_attempts: join.max_attempts,
        fingerprint: join.fingerprint.clone(),
        resume_token: token.unwrap_or(join.resume_token),
        caller: join.caller.to_string(),
        detach: true, // the time is kept here
        retain_from_lead: join.retain_from_lead,
        fresh: join.fresh,
        within: Vec::new(),
        traceparent: String::new(),
    }
}

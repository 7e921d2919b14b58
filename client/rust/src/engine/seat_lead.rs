// SPDX-License-Identifier: Apache-2.0
//! The leader's side of a seat: the lead comes, is renewed, resumed, lost, or ends with an outcome.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::hold::{Due, Hold};
use super::observed::LeadId;
use super::seat::SeatState;
use super::session::Sent;
use super::timers::{Armed, Timer};
use super::{lock, CallId, FunctionEnd, Inner, SeatId, ServerId, SessionId, State};
use crate::clock;
use crate::constants::CHUNK_BYTES_MAX;
use crate::error::{Failure, StatusError};
use crate::leader::{Audience, LeaderShared, LeaderState};
use crate::options::LeaderLoss;
use crate::outcome::{wire, Facts, Outcome};
use crate::pb::singleflight as pb;
use pb::call_request::Step;

// So many bytes of one value may wait in frames, so that large values take turns.
const FRAMES_BYTES_MAX: usize = 1024 * 1024;

pub(super) struct Lead {
    pub leader: Arc<LeaderShared>,
    pub call: CallId,               // whose function runs
    pub lease_timer: Option<Armed>, // the next renewal, or the end of what it holds for
    pub granted_by: ServerId,
    pub hold: Hold,
    pub followers: u32,  // elsewhere
    pub has_begun: bool, // the function runs, or has run
    first_sequence: u64, // above 0: chunks of another process came before
    chunk_count: u64,
    chunk_ends: Vec<usize>, // with a lease: where in the value each chunk ends
    in_frames: usize,       // bytes of the value in frames that are not sent yet
    finish: Option<Finish>, // the function has ended
    finish_is_sent: bool,
    has_audience: bool,
    latest_deadline_ms: u64,
}

struct Finish {
    error: Option<Failure>,
    retain_ms: Option<u64>,
}

impl Finish {
    fn passes_on(&self) -> bool {
        matches!(&self.error, Some(Failure::Function(error)) if error.pass_on)
    }
}

impl Inner {
    pub fn on_written(&self, seat: SeatId) {
        self.state().push_value(seat);
    }

    pub(super) fn on_sent(&self, session: SessionId, parts: &[Sent]) {
        let mut state = self.state();
        for part in parts {
            state.on_part_sent(session, part);
        }
    }
}

impl State {
    // ------------------------------------------------------------------------ the lead comes

    pub(super) fn lead(&mut self, id: SeatId, lead: &pb::Lead) {
        let inner = self.inner();
        let seat = self.seats.get_mut(&id).expect("it was there");
        let leader = Arc::new(LeaderShared {
            token: lead.token,
            attempt: lead.attempt,
            lease_ms: lead.lease_ms,
            run_limit_ms: lead.run_limit_ms,
            seat: id,
            join: seat.join.clone(),
            result_limit: inner.settings.result_limit,
            server_limit: lead.result_limit,
            inner: self.me.clone(),
            addresses: inner.addresses.clone(),
            holds_until: AtomicU64::new(u64::MAX),
            over: AtomicBool::new(false),
            forgotten: AtomicBool::new(false),
            lost: CancellationToken::new(),
            room: Notify::new(),
            audience_changed: Notify::new(),
            state: Mutex::new(LeaderState::default()),
        });
        // An old server does not say when its answer was asked for last.
        let sent = if lead.silence_ms > 0 { seat.joined_at } else { clock::now() };
        if seat.state == SeatState::Alone {
            leader.go_alone();
        } else {
            seat.state = SeatState::Leading;
        }
        seat.is_void |= seat.has_told;
        seat.clear_value();
        seat.lead = Some(Lead {
            leader: leader.clone(),
            call: seat.calls.first().copied().unwrap_or_default(),
            lease_timer: None,
            granted_by: seat.server,
            hold: Hold::new(lead.lease_ms, lead.silence_ms, sent),
            followers: 0,
            has_begun: false,
            first_sequence: lead.next_sequence,
            chunk_count: 0,
            chunk_ends: Vec::new(),
            in_frames: 0,
            finish: None,
            finish_is_sent: false,
            has_audience: false,
            latest_deadline_ms: 0,
        });
        self.tell_restart(id, lead.attempt, &leader.join.caller);
        self.tell_audience(id);
        self.begin_or_ask(id);
    }

    // A follower may have waited for longer than a lead holds: then the server is asked first
    // whether it still does, for nobody knows how long `lead` was on its way.
    fn begin_or_ask(&mut self, id: SeatId) {
        let Some(lead) = self.seats.get_mut(&id).and_then(|seat| seat.lead.as_mut()) else {
            return;
        };
        let now = clock::now();
        if !lead.hold.is_renewal_due(now) {
            self.keep(id);
            self.begin(id);
        } else {
            let due = lead.hold.ask(now);
            self.renew(id, &due, now);
            self.keep(id);
        }
    }

    fn begin(&mut self, id: SeatId) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let (Some(lead), Some(call)) = (seat.lead.as_mut(), seat.calls.first()) else { return };
        if !std::mem::replace(&mut lead.has_begun, true) {
            lead.call = *call; // the one that was the first may have left
            let (call, leader) = (lead.call, lead.leader.clone());
            let is_alone = seat.state == SeatState::Alone;
            let led = LeadId { attempt: leader.attempt, token: leader.token };
            self.tell_led(id, call, led, is_alone);
            self.run_function(call, &leader);
        }
    }

    pub(super) fn lead_alone(&mut self, id: SeatId) {
        self.seats.get_mut(&id).expect("it was there").state = SeatState::Alone;
        self.lead(id, &pb::Lead { attempt: 1, ..Default::default() });
    }

    // --------------------------------------------------------------------- how long it holds

    // Tells those who ask how long it holds, and arms the timer for what is due next.
    fn keep(&mut self, id: SeatId) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let connected = seat.place.is_some() && seat.answered;
        let Some(lead) = seat.lead.as_mut().filter(|_| seat.state != SeatState::Alone) else {
            return;
        };
        lead.leader.hold_until(lead.hold.end());
        if lead.hold.is_endless() {
            return;
        }
        let wait = lead.hold.next_timer(connected).saturating_sub(clock::now());
        let mut before = lead.lease_timer.take();
        self.disarm(&mut before);
        let timer = self.arm(wait, Timer::Lease(id));
        if let Some(lead) = self.seats.get_mut(&id).and_then(|seat| seat.lead.as_mut()) {
            lead.lease_timer = Some(timer);
        }
    }

    pub(super) fn on_lease_timer(&mut self, id: SeatId) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let connected = seat.place.is_some() && seat.answered;
        let Some(lead) = seat.lead.as_mut() else { return };
        lead.lease_timer = None;
        // An outcome that is on its way is waited for as long as the connection holds: a server
        // whose disk is slow confirms it late, and answers no renewal after it.
        if lead.finish_is_sent && connected {
            return;
        }
        let now = clock::now();
        match lead.hold.on_timer(now, connected) {
            Due::Over => self.on_hold_over(id, connected),
            due => {
                self.renew(id, &due, now);
                self.keep(id);
            }
        }
    }

    fn renew(&mut self, id: SeatId, due: &Due, now: Duration) {
        let (Due::Renew(renewal), Some(place)) = (due, self.seats[&id].place) else { return };
        self.send_renewal(place, id, *renewal, now);
    }

    pub(super) fn on_renewed(&mut self, id: SeatId, renewed: &pb::Renewed) {
        let Some(lead) = self.seats.get_mut(&id).and_then(|seat| seat.lead.as_mut()) else {
            return;
        };
        lead.hold.on_renewed(renewed.id, renewed.silence_ms);
        let holds = lead.hold.end() > clock::now();
        self.keep(id);
        if holds {
            self.begin(id);
        }
    }

    fn on_hold_over(&mut self, id: SeatId, connected: bool) {
        let seat = &self.seats[&id];
        let lead = seat.lead.as_ref().expect("it leads");
        let silence = lead.hold.silence();
        let address = &self.servers[seat.server].address;
        let why = if connected {
            format!("the lead is lost: {address} has not answered for {silence:?}")
        } else {
            format!("the lead is lost: its {silence:?} ran out before {address} was back")
        };
        // A connection that was silent for so long takes nothing new.
        if let Some(place) = seat.place.filter(|_| connected) {
            self.retire(place.session);
        }
        self.lose_server(id, &StatusError::new(Code::Aborted, why));
    }

    // ------------------------------------------------------------------------ broken streams

    pub(super) fn resume(&mut self, id: SeatId) {
        let seat = self.seats.get_mut(&id).expect("it was there");
        let lead = seat.lead.as_mut().expect("a leader resumes");
        lead.hold.on_cut_off();
        if lead.leader.lease_ms == 0 {
            let why = if seat.state == SeatState::Finishing {
                "the connection broke before the server confirmed the outcome: it may or may not \
                 have reached the followers"
            } else {
                "the lead is lost: the connection to the server broke, and there is no lease that \
                 would outlive it"
            };
            self.lose_server(id, &StatusError::new(Code::Aborted, why));
            return;
        }
        if lead.finish_is_sent {
            lead.hold.begin_again(clock::now()); // it is offered for as long as a lead holds
        }
        lead.in_frames = 0;
        seat.answered = false;
        seat.rank = 0;
        self.keep(id);
        self.place(id);
    }

    pub(super) fn resumed(&mut self, id: SeatId, answer: &pb::Lead) {
        self.set_answered(id);
        let seat = self.seats.get_mut(&id).expect("it was there");
        let (sent_at, server) = (seat.joined_at, seat.server);
        let lead = seat.lead.as_mut().expect("a leader resumes");
        let next_sequence = answer.next_sequence;
        let sent = lead.first_sequence + lead.chunk_count;
        if next_sequence < lead.first_sequence || next_sequence > sent {
            let why = "the server resumed the lead at a chunk that was never posted";
            self.end_seat(id, &StatusError::new(Code::Internal, why));
            return;
        }
        lead.granted_by = server;
        lead.chunk_count = next_sequence - lead.first_sequence;
        lead.chunk_ends.truncate(usize::try_from(lead.chunk_count).unwrap_or(usize::MAX));
        lead.leader.rewind(lead.chunk_ends.last().copied().unwrap_or(0));
        lead.finish_is_sent = false;
        lead.hold.on_resumed(answer.lease_ms, answer.silence_ms, sent_at);
        if lead.has_begun {
            self.keep(id);
        } else {
            self.begin_or_ask(id);
        }
        self.push_value(id);
    }

    /// A server that is not the one which granted the lead does not know it: while it holds, the
    /// one that does may come back.
    pub(super) fn is_refused_elsewhere(&self, id: SeatId) -> bool {
        let seat = &self.seats[&id];
        let Some(lead) = &seat.lead else { return false };
        !seat.answered && seat.server != lead.granted_by && lead.hold.end() > clock::now()
    }

    // The server is out of reach, and the lead with it. Who fails open goes on all the same.
    fn lose_server(&mut self, id: SeatId, why: &StatusError) {
        let seat = &self.seats[&id];
        if !seat.join.fail_open {
            self.lose(id, why);
            return;
        }
        if self.has_not_begun(id) {
            return;
        }
        self.leave_place(id);
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let Some(lead) = seat.lead.as_mut() else { return };
        seat.state = SeatState::Alone;
        lead.leader.go_alone();
        let (has_ended, call) = (lead.finish.is_some(), lead.call);
        let mut timer = lead.lease_timer.take();
        self.disarm(&mut timer);
        self.tell_alone(call);
        if has_ended {
            self.finish_alone(id);
        } else if !self.seats[&id].is_wanted() {
            self.end_seat(id, why);
        }
    }

    // A lead that was lost before its function began costs nobody anything: its calls join anew.
    fn has_not_begun(&mut self, id: SeatId) -> bool {
        let Some(seat) = self.seats.get_mut(&id) else { return true };
        if seat.lead.as_ref().is_none_or(|lead| lead.has_begun) {
            return false;
        }
        self.leave_place(id);
        let Some(seat) = self.seats.get_mut(&id) else { return true };
        let mut timer = seat.lead.take().and_then(|lead| lead.lease_timer);
        seat.state = SeatState::Joining;
        seat.followed = LeadId::default();
        seat.rank = 0;
        self.disarm(&mut timer);
        self.place(id);
        true
    }

    /// The lead is lost. Merged calls join anew when somebody else took it.
    pub(super) fn lose(&mut self, id: SeatId, why: &StatusError) {
        if self.has_not_begun(id) {
            return;
        }
        let leading = self.seats.get(&id).and_then(|seat| seat.lead.as_ref()).map(|l| l.call);
        if why.code == Code::Aborted {
            self.stop_merging(id);
            self.split(id, leading);
        }
        self.end_seat(id, why);
    }

    // ----------------------------------------------------------------------------- the value

    // Sends what is written, as far as there is room, and the outcome after it.
    fn push_value(&mut self, id: SeatId) {
        loop {
            let Some(seat) = self.seats.get_mut(&id) else { return };
            let (Some(place), Some(lead)) = (seat.place, seat.lead.as_mut()) else { return };
            if !seat.answered || lead.finish_is_sent || lead.in_frames >= FRAMES_BYTES_MAX {
                return;
            }
            let (data, is_last) = lead.leader.take(CHUNK_BYTES_MAX);
            let bytes = data.len();
            let step = match &lead.finish {
                Some(finish) if is_last => {
                    lead.finish_is_sent = true;
                    let retention = finish.retain_ms.map(|retain_ms| pb::Retention { retain_ms });
                    let outcome = wire::write(finish.error.as_ref(), data);
                    let pass_on = finish.passes_on();
                    Step::Finish(pb::Finish { outcome: Some(outcome), retention, pass_on })
                }
                _ if bytes == 0 => return,
                _ => {
                    let sequence = lead.first_sequence + lead.chunk_count;
                    lead.chunk_count += 1;
                    if lead.leader.lease_ms > 0 {
                        lead.chunk_ends.push(lead.chunk_ends.last().unwrap_or(&0) + bytes);
                    }
                    Step::Chunk(pb::Chunk { data, sequence, attempt: 0 })
                }
            };
            lead.in_frames += bytes;
            self.send(place, id, step, 0, bytes);
        }
    }

    fn on_part_sent(&mut self, session: SessionId, part: &Sent) {
        let (id, bytes) = (part.seat, part.value_bytes);
        let Some(seat) = self.seats.get_mut(&id) else { return };
        if seat.place.is_none_or(|place| place.session != session) {
            return; // of a session that is over
        }
        let Some(lead) = seat.lead.as_mut() else { return };
        if let Some(at) = part.renewal_at {
            lead.hold.on_sent(at);
            self.keep(id);
            return;
        }
        lead.in_frames = lead.in_frames.saturating_sub(bytes);
        lead.leader.on_sent(bytes);
        self.push_value(id);
    }

    // ------------------------------------------------------------------------------- the end

    pub(super) fn on_leader_finished(&mut self, leader: &Arc<LeaderShared>, end: FunctionEnd) {
        let id = leader.seat;
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let Some(lead) = seat.lead.as_mut() else { return };
        let mut error = end.err();
        let state = lock(&leader.state);
        if let Some(overflow) = &state.overflow {
            error = Some(wire::over_limit(overflow.message.clone()).into());
        }
        let replaces = error.is_none() || !seat.join.is_refresh;
        let retain_ms = state.retain_ms.filter(|_| replaces);
        drop(state);
        let finish = Finish { error, retain_ms };
        let fails_all = seat.join.on_leader_loss == LeaderLoss::Fail;
        let passes_on = finish.passes_on() && !fails_all;
        let (leading, is_alone) = (lead.call, seat.state == SeatState::Alone);
        lead.finish = Some(finish);
        if !is_alone {
            seat.state = SeatState::Finishing;
        }
        // Who calls now was not there while the work was done.
        self.stop_merging(id);
        if passes_on {
            self.split(id, Some(leading)); // their join travels before the `finish`
        }
        if is_alone {
            self.finish_alone(id);
        } else {
            self.push_value(id);
        }
    }

    fn own_outcome(&self, id: SeatId) -> Outcome {
        let lead = self.seats[&id].lead.as_ref().expect("a leader ends");
        let error = lead.finish.as_ref().and_then(|finish| finish.error.clone());
        Outcome { value: lead.leader.value(), error }
    }

    fn finish_alone(&mut self, id: SeatId) {
        let outcome = self.own_outcome(id);
        let Some(seat) = self.remove_seat(id) else { return };
        let callers = u32::try_from(seat.calls.len()).unwrap_or(u32::MAX);
        let facts = Facts {
            attempt: seat.lead.as_ref().map_or(1, |lead| lead.leader.attempt),
            token: seat.lead.as_ref().map_or(0, |lead| lead.leader.token),
            callers,
            shared: callers > 1,
            failed_open: true,
            ..Facts::default()
        };
        let leading = seat.lead.as_ref().map(|lead| lead.call);
        self.settle_calls(&seat, &outcome, &facts, leading);
    }

    /// The server does not send a leader's own value back. None: the flight has ended with another
    /// outcome than this leader's.
    pub(super) fn outcome_of_leader(&self, id: SeatId, ended: &pb::Outcome) -> Option<Outcome> {
        if self.seats[&id].state != SeatState::Finishing {
            return None;
        }
        let own = self.own_outcome(id);
        let posted = wire::write(own.error.as_ref(), Bytes::new());
        let is_same = posted.kind == ended.kind && posted.r#type == ended.r#type;
        is_same.then_some(own)
    }

    // ------------------------------------------------------------------------------ audience

    pub(super) fn on_audience(&mut self, id: SeatId, audience: &pb::Audience) {
        let Some(lead) = self.seats.get_mut(&id).and_then(|seat| seat.lead.as_mut()) else {
            return;
        };
        lead.has_audience = true;
        lead.followers = audience.followers;
        lead.latest_deadline_ms = audience.latest_deadline_ms;
        if self.seats[&id].is_wanted() {
            self.tell_audience(id);
        } else {
            let why = StatusError::new(Code::Cancelled, "nobody waits for it any more");
            self.end_seat(id, &why);
        }
    }

    // Those who wait elsewhere, and the merged callers beside the leader's own.
    pub(super) fn tell_audience(&mut self, id: SeatId) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let Some(lead) = seat.lead.as_mut().filter(|_| seat.join.audience) else { return };
        let merged: Vec<_> = seat.calls.iter().filter(|call| **call != lead.call).collect();
        lead.has_audience |= !merged.is_empty();
        if !lead.has_audience {
            return;
        }
        let now = Instant::now();
        let elsewhere = (lead.followers > 0).then(|| match lead.latest_deadline_ms {
            0 => None,
            ms => Some(Duration::from_millis(ms)),
        });
        let here = merged.iter().map(|call| {
            let deadline = self.calls.get(*call).and_then(|call| call.deadline);
            deadline.map(|deadline| deadline.saturating_duration_since(now))
        });
        let deadlines: Vec<Option<Duration>> = here.chain(elsewhere).collect();
        let endless = deadlines.iter().any(Option::is_none);
        let latest = deadlines.into_iter().flatten().max().filter(|_| !endless);
        let merged = u32::try_from(merged.len()).unwrap_or(u32::MAX);
        let mut state = lock(&lead.leader.state);
        state.audience = Some(Audience {
            followers: lead.followers.saturating_add(merged),
            latest_deadline: latest,
        });
        drop(state);
        lead.leader.audience_changed.notify_one();
    }
}

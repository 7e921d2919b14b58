// SPDX-License-Identifier: Apache-2.0
//! The leader's side of a seat: the lead comes, is renewed, resumed, lost, or ends with an outcome.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::placing::SeatState;
use super::timers::{Armed, Timer};
use super::{lock, CallId, FunctionEnd, Inner, SeatId, SessionId, State};
use crate::error::{FunctionError, StatusError};
use crate::leader::{Audience, LeaderShared, LeaderState};
use crate::options::LeaderLoss;
use crate::outcome::{wire, Facts, Outcome};
use crate::pb::singleflight as pb;
use pb::call_request::Step;

const RENEWALS_PER_LEASE: u32 = 3;
const CHUNK_BYTES_MAX: usize = 256 * 1024;
// So many bytes of one value may wait in frames, so that large values take turns.
const FRAMES_BYTES_MAX: usize = 1024 * 1024;

pub(super) struct Lead {
    pub leader: Arc<LeaderShared>,
    pub call: CallId,               // whose function runs
    pub lease_timer: Option<Armed>, // the next renewal; while resuming, the lease's end
    renewed: Instant,
    first_sequence: u64, // above 0: chunks of another process came before
    chunk_count: u64,
    chunk_ends: Vec<usize>, // with a lease: where in the value each chunk ends
    in_frames: usize,       // bytes of the value in frames that are not sent yet
    finish: Option<Finish>, // the function has ended
    finish_is_sent: bool,
    has_audience: bool,
    followers: u32, // elsewhere
    latest_deadline_ms: u64,
}

struct Finish {
    error: Option<FunctionError>,
    retain_ms: Option<u64>,
}

impl Finish {
    fn passes_on(&self) -> bool {
        self.error.as_ref().is_some_and(|error| error.pass_on)
    }
}

impl Inner {
    pub fn on_written(&self, seat: SeatId) {
        self.state().push_value(seat);
    }

    pub(super) fn on_sent(&self, session: SessionId, parts: &[(SeatId, usize)]) {
        let mut state = self.state();
        for (seat, bytes) in parts {
            state.on_part_sent(session, *seat, *bytes);
        }
    }
}

impl State {
    // ------------------------------------------------------------------------ the lead comes

    pub(super) fn lead(&mut self, id: SeatId, lead: &pb::Lead) {
        let settings = self.inner();
        let seat = self.seats.get_mut(&id).expect("it was there");
        let call = seat.calls[0];
        let leader = Arc::new(LeaderShared {
            token: lead.token,
            attempt: lead.attempt,
            lease_ms: lead.lease_ms,
            run_limit_ms: lead.run_limit_ms,
            seat: id,
            join: seat.join.clone(),
            result_limit: settings.settings.result_limit,
            inner: self.me.clone(),
            lost: CancellationToken::new(),
            room: Notify::new(),
            audience_changed: Notify::new(),
            state: Mutex::new(LeaderState::default()),
        });
        if seat.state != SeatState::Alone {
            seat.state = SeatState::Leading;
        }
        seat.is_void |= seat.has_told;
        seat.clear_value();
        seat.lead = Some(Lead {
            leader: leader.clone(),
            call,
            lease_timer: None,
            renewed: Instant::now(),
            first_sequence: lead.next_sequence,
            chunk_count: 0,
            chunk_ends: Vec::new(),
            in_frames: 0,
            finish: None,
            finish_is_sent: false,
            has_audience: false,
            followers: 0,
            latest_deadline_ms: 0,
        });
        self.arm_lease(id, RENEWALS_PER_LEASE);
        self.tell_restart(id, lead.attempt, &leader.join.caller);
        self.tell_audience(id);
        self.run_function(call, &leader);
    }

    pub(super) fn lead_alone(&mut self, id: SeatId) {
        self.seats.get_mut(&id).expect("it was there").state = SeatState::Alone;
        self.lead(id, &pb::Lead { attempt: 1, ..Default::default() });
    }

    // -------------------------------------------------------------------------------- leases

    // The timer comes after a part of the lease, counted from its last renewal.
    fn arm_lease(&mut self, id: SeatId, parts: u32) {
        let Some(lead) = self.seats.get_mut(&id).and_then(|seat| seat.lead.as_mut()) else {
            return;
        };
        let lease = Duration::from_millis(lead.leader.lease_ms);
        if lease.is_zero() {
            return;
        }
        let mut before = lead.lease_timer.take();
        let wait = (lead.renewed + lease / parts).saturating_duration_since(Instant::now());
        self.disarm(&mut before);
        let timer = self.arm(wait, Timer::Lease(id));
        if let Some(lead) = self.seats.get_mut(&id).and_then(|seat| seat.lead.as_mut()) {
            lead.lease_timer = Some(timer);
        }
    }

    pub(super) fn on_lease_timer(&mut self, id: SeatId) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let Some(lead) = seat.lead.as_mut() else { return };
        lead.lease_timer = None;
        match seat.place {
            Some(place) if seat.answered => {
                lead.renewed = Instant::now();
                self.send(place, id, Step::Renew(pb::Renew::default()), 0, 0);
                self.arm_lease(id, RENEWALS_PER_LEASE);
            }
            _ => {
                let why = format!(
                    "the lease of {} ms ran out before the connection to {} was back",
                    lead.leader.lease_ms, self.servers[seat.server].address
                );
                self.lose(id, &StatusError::new(Code::Aborted, why));
            }
        }
    }

    // ------------------------------------------------------------------------ broken streams

    pub(super) fn resume(&mut self, id: SeatId) {
        let seat = self.seats.get_mut(&id).expect("it was there");
        let lead = seat.lead.as_mut().expect("a leader resumes");
        if lead.leader.lease_ms == 0 {
            let why = if seat.state == SeatState::Finishing {
                "the connection broke before the server confirmed the outcome: it may or may not \
                 have reached the followers"
            } else {
                "the lead is lost: the connection to the server broke, and there is no lease that \
                 would outlive it"
            };
            self.lose(id, &StatusError::new(Code::Aborted, why));
            return;
        }
        lead.in_frames = 0;
        seat.answered = false;
        seat.rank = 0;
        self.arm_lease(id, 1);
        self.place(id);
    }

    pub(super) fn resumed(&mut self, id: SeatId, next_sequence: u64) {
        self.set_answered(id);
        let lead = self.seats.get_mut(&id).and_then(|seat| seat.lead.as_mut());
        let lead = lead.expect("a leader resumes");
        let sent = lead.first_sequence + lead.chunk_count;
        if next_sequence < lead.first_sequence || next_sequence > sent {
            let why = "the server resumed the lead at a chunk that was never posted";
            self.end_seat(id, &StatusError::new(Code::Internal, why));
            return;
        }
        lead.chunk_count = next_sequence - lead.first_sequence;
        lead.chunk_ends.truncate(usize::try_from(lead.chunk_count).unwrap_or(usize::MAX));
        lead.leader.rewind(lead.chunk_ends.last().copied().unwrap_or(0));
        lead.finish_is_sent = false;
        lead.renewed = Instant::now();
        self.arm_lease(id, RENEWALS_PER_LEASE);
        self.push_value(id);
    }

    /// The lead is lost. Merged calls join anew when somebody else took it.
    pub(super) fn lose(&mut self, id: SeatId, why: &StatusError) {
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

    fn on_part_sent(&mut self, session: SessionId, id: SeatId, bytes: usize) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        if seat.place.is_none_or(|place| place.session != session) {
            return; // of a session that is over
        }
        let Some(lead) = seat.lead.as_mut() else { return };
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
            error = Some(FunctionError::new(overflow.message.clone()));
        }
        let retain_ms = state.retain_ms;
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
            attempt: 1,
            callers,
            shared: callers > 1,
            failed_open: true,
            ..Facts::default()
        };
        let leading = seat.lead.as_ref().map(|lead| lead.call);
        self.settle_calls(&seat, &outcome, &facts, leading);
    }

    /// The server does not send a leader's own value back.
    pub(super) fn outcome_of_leader(&self, id: SeatId) -> Option<Outcome> {
        (self.seats[&id].state == SeatState::Finishing).then(|| self.own_outcome(id))
    }

    // ------------------------------------------------------------------------------ audience

    pub(super) fn on_audience(&mut self, id: SeatId, audience: &pb::Audience) {
        let Some(lead) = self.seats.get_mut(&id).and_then(|seat| seat.lead.as_mut()) else {
            return;
        };
        lead.has_audience = true;
        lead.followers = audience.followers;
        lead.latest_deadline_ms = audience.latest_deadline_ms;
        self.tell_audience(id);
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

// SPDX-License-Identifier: Apache-2.0
//! What the server says to a seat.

use std::time::Duration;

use bytes::Bytes;
use tonic::{Code, Status};

use super::observed::LeadId;
use super::seat::SeatState;
use super::{SeatId, State};
use crate::error::StatusError;
use crate::options::Role;
use crate::outcome::{join_pieces, wire, Facts, Outcome};
use crate::pb::singleflight as pb;
use crate::waiting::Event;
use pb::call_response::Step;

impl State {
    pub(super) fn on_step(&mut self, id: SeatId, step: Step) {
        match step {
            Step::Lead(lead) => self.on_lead(id, &lead),
            Step::Follow(follow) => self.on_follow(id, &follow),
            Step::Chunk(chunk) => self.on_chunk(id, chunk),
            Step::Restart(restart) => self.on_restart(id, &restart),
            Step::Audience(audience) => self.on_audience(id, &audience),
            Step::Result(result) => {
                if let Some(place) = self.seats[&id].place {
                    self.on_session_up(place.session);
                }
                self.on_result(id, result);
            }
            Step::End(end) => self.on_end(id, &end),
            Step::Renewed(renewed) => self.on_renewed(id, &renewed),
        }
    }

    fn broken(&mut self, id: SeatId, what: &str) {
        self.end_seat(id, &StatusError::new(Code::Internal, what));
    }

    fn on_lead(&mut self, id: SeatId, lead: &pb::Lead) {
        let seat = &self.seats[&id];
        if seat.join.role == Role::FollowOnly {
            self.broken(id, "the server told one to lead that only follows");
            return;
        }
        match &seat.lead {
            None => {
                self.set_answered(id);
                self.lead(id, lead);
            }
            Some(_) if seat.answered => {} // it leads already
            Some(own) if own.leader.token == lead.token => self.resumed(id, lead),
            Some(_) => self.broken(id, "the server resumed another lead"),
        }
    }

    fn on_follow(&mut self, id: SeatId, follow: &pb::Follow) {
        // A fresh caller hears it twice: while it waits for its flight, and when that is led.
        if !matches!(self.seats[&id].state, SeatState::Joining | SeatState::Following) {
            return;
        }
        self.set_answered(id);
        self.seats.get_mut(&id).expect("it was there").state = SeatState::Following;
        self.tell_followed(id, LeadId { attempt: follow.attempt, token: 0 }, None);
        self.tell_restart(id, follow.attempt, &follow.leader);
        self.tell(id, || Event::Follow {
            attempt: follow.attempt,
            leader: follow.leader.clone(),
            running: Duration::from_millis(follow.running_ms),
        });
    }

    fn on_chunk(&mut self, id: SeatId, chunk: pb::Chunk) {
        if self.seats[&id].lead.is_some() {
            return;
        }
        self.set_answered(id);
        self.tell_restart(id, chunk.attempt, "");
        let seat = self.seats.get_mut(&id).expect("it was there");
        if chunk.sequence != seat.next_sequence {
            self.broken(id, "a chunk of the value is missing");
            return;
        }
        seat.next_sequence += 1;
        self.take_bytes(id, chunk.data);
    }

    fn on_restart(&mut self, id: SeatId, restart: &pb::Restart) {
        let seat = self.seats.get_mut(&id).expect("it was there");
        if seat.lead.is_some() {
            return;
        }
        seat.clear_value();
        seat.is_void = seat.join.live;
        self.tell_followed(id, LeadId { attempt: restart.attempt, token: 0 }, None);
        self.tell_restart(id, restart.attempt, &restart.leader);
    }

    // False: the seat is gone.
    fn take_bytes(&mut self, id: SeatId, data: Bytes) -> bool {
        if data.is_empty() {
            return true;
        }
        let limit = self.inner().settings.result_limit;
        let seat = self.seats.get_mut(&id).expect("it was there");
        if data.len() > limit - seat.value_bytes {
            let why = format!("the value is larger than result_limit, which is {limit}");
            self.end_seat(id, &StatusError::new(Code::ResourceExhausted, why));
            return false;
        }
        seat.value_bytes += data.len();
        seat.value.push(data.clone());
        if seat.join.live {
            seat.has_told = true;
            self.tell(id, || Event::Chunk(data));
        }
        true
    }

    fn on_result(&mut self, id: SeatId, mut result: pb::Result) {
        self.take_off(id);
        let Some(wire) = result.outcome.take() else {
            self.broken(id, "the server sent a result without an outcome");
            return;
        };
        let own = result.led.then(|| self.outcome_of_leader(id, &wire)).flatten();
        let outcome = match own {
            Some(own) => own,
            None => match self.outcome_of_server(id, &result, wire) {
                Some(outcome) => outcome,
                None => return,
            },
        };
        let Some(seat) = self.remove_seat(id) else { return };
        if let Some(lead) = seat.lead.as_ref().filter(|_| seat.state != SeatState::Finishing) {
            let why = "the flight has ended without this leader";
            lead.leader.lose(&StatusError::new(Code::Aborted, why));
        }
        if !result.led {
            self.tell_lost(&seat);
        }
        let leading = match &seat.lead {
            _ if !result.led => None,
            Some(lead) => Some(lead.call),
            None => seat.calls.first().copied(),
        };
        self.settle_calls(&seat, &outcome, &facts_of(&result, seat.calls.len()), leading);
    }

    // The outcome with all of its bytes; None: the seat is gone.
    fn outcome_of_server(
        &mut self,
        id: SeatId,
        result: &pb::Result,
        mut wire: pb::Outcome,
    ) -> Option<Outcome> {
        self.tell_restart(id, result.attempt, "");
        if !self.take_bytes(id, std::mem::take(&mut wire.value)) {
            return None;
        }
        let seat = self.seats.get_mut(&id)?;
        if !result.led && seat.value_bytes as u64 != result.value_bytes {
            let came = seat.value_bytes;
            let what = format!("{came} bytes of a value of {} have come", result.value_bytes);
            self.broken(id, &what);
            return None;
        }
        let value = join_pieces(&std::mem::take(&mut seat.value));
        Some(wire::read(wire, value))
    }

    fn on_end(&mut self, id: SeatId, end: &pb::End) {
        let code = Code::from_i32(end.code);
        let seat = &self.seats[&id];
        let (was_answered, leads) = (seat.answered, seat.lead.is_some());
        let session = seat.place.map(|place| place.session);
        self.take_off(id);
        let Some(session) = session else { return };
        // Nobody here has cancelled: the server goes, or its coordinator is away.
        if matches!(code, Code::Unavailable | Code::Cancelled) {
            if was_answered {
                self.retire(session);
            } else {
                self.on_session_refuses(session, &end.message);
            }
            self.on_seat_cut_off(id, &Status::unavailable(end.message.clone()));
            return;
        }
        self.on_session_up(session);
        if code == Code::Unauthenticated {
            self.on_session_strange(session);
        }
        if code == Code::Aborted && self.is_refused_elsewhere(id) {
            self.seats.get_mut(&id).expect("it was there").rank += 1;
            self.place(id);
            return;
        }
        let code = if code == Code::Ok { Code::Internal } else { code };
        let why = StatusError::new(code, end.message.clone());
        if leads {
            self.lose(id, &why);
        } else {
            self.end_seat(id, &why);
        }
    }

    // -------------------------------------------------------------------------------- telling

    fn tell(&self, id: SeatId, event: impl FnOnce() -> Event) {
        let call = self.seats[&id].calls.first(); // live calls sit alone
        let call = call.and_then(|call| self.calls.get(call));
        if let Some(events) = call.and_then(|call| call.events.as_ref()) {
            let _ = events.send(event()); // nobody listens any more
        }
    }

    pub(super) fn tell_restart(&mut self, id: SeatId, attempt: u32, leader: &str) {
        let seat = self.seats.get_mut(&id).expect("it was there");
        if std::mem::take(&mut seat.is_void) {
            self.tell(id, || Event::Restart { attempt, leader: leader.to_owned() });
        }
    }
}

// `here`: the calls of this process, which the server takes for one.
fn facts_of(result: &pb::Result, here: usize) -> Facts {
    let merged = match result.retained {
        true => 0,
        false => u32::try_from(here.saturating_sub(1)).unwrap_or(u32::MAX),
    };
    Facts {
        led: result.led,
        shared: result.shared || merged > 0,
        callers: result.callers.saturating_add(merged),
        attempt: result.attempt,
        token: result.token,
        retained: result.retained,
        age: Duration::from_millis(result.age_ms),
        retain: Duration::from_millis(result.retain_ms),
        retain_refused: result.retain_refused,
        stale: false,
        failed_open: false,
    }
}

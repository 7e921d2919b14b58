// SPDX-License-Identifier: Apache-2.0
//! One call as the observer, the log and the server's traces see it. What happens under the lock is
//! put down there and told outside of it, in order.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::seat::Seat;
use super::{lock, CallEnd, CallId, Inner, SeatId, State};
use crate::error::{code_name, Code, Error, Kind};
use crate::observer::{CallEvent, CallEventKind, Trace};
use crate::options::Join;
use crate::outcome::Facts;

/// One lead as far as known: the token of one elsewhere is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LeadId {
    pub attempt: u32,
    pub token: u64,
}

pub(crate) struct Observation {
    group: String,
    key: Bytes,
    began: Instant,
    is_told: bool, // somebody is told of events
    pub trace: Option<Arc<dyn Trace>>,
    pub traceparent: String,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    lead: LeadId, // the last one that the call had to do with
    has_followed: bool,
    has_led: bool,
    is_alone: bool,
    end: Option<End>,
    is_over: bool,
}

struct End {
    status: &'static str,
    outcome: &'static str,
    facts: Facts,
}

/// Events on their way to the observer.
#[derive(Default)]
pub(super) struct Untold {
    events: Vec<Told>,
    is_telling: bool,
    is_scheduled: bool,
}

struct Told {
    of: Arc<Observation>,
    event: CallEvent,
    told: Option<oneshot::Sender<()>>, // dropped afterwards
}

/// The end of a call is told when it is: by who waited for it, or when nobody does any more.
pub(crate) struct Watch {
    inner: Arc<Inner>,
    of: Option<Arc<Observation>>,
}

impl Watch {
    pub fn observation(&self) -> Option<Arc<Observation>> {
        self.of.clone()
    }

    /// Tells the end, and waits until that is told.
    pub async fn over(mut self) {
        let told = self.of.take().and_then(|of| self.inner.tell_ended(&of));
        if let Some(told) = told {
            let _ = told.await; // told or dropped, it is over
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(of) = self.of.take() {
            self.inner.tell_ended(&of);
        }
    }
}

impl Inner {
    /// Observes a call that is about to start, unless nobody looks or it is misuse.
    pub fn watch(self: &Arc<Self>, join: &Join) -> Watch {
        Watch { inner: self.clone(), of: self.observe(join).map(Arc::new) }
    }

    fn observe(&self, join: &Join) -> Option<Observation> {
        let settings = &self.settings;
        let is_told = settings.observer.is_some() || is_logged();
        if (!is_told && settings.traceparent.is_none()) || join.check().is_err() {
            return None;
        }
        let group = join.group_or_default();
        let observer = settings.observer.as_deref();
        let trace = shielded(|| observer.and_then(|observer| observer.begin(group))).flatten();
        let traceparent = shielded(|| match (&settings.traceparent, &trace) {
            (Some(given), _) => given(),
            (None, Some(trace)) => trace.traceparent(),
            (None, None) => None,
        });
        Some(Observation {
            group: group.to_owned(),
            key: join.key.clone(),
            began: Instant::now(),
            is_told,
            trace,
            traceparent: traceparent.flatten().filter(|text| can_travel(text)).unwrap_or_default(),
            seen: Mutex::default(),
        })
    }

    // None: it has not ended, or is told already, or need not be.
    fn tell_ended(&self, of: &Arc<Observation>) -> Option<oneshot::Receiver<()>> {
        let (sender, told) = oneshot::channel();
        self.state().untold.push_ended(of, sender)?;
        self.tell_all();
        Some(told)
    }

    /// Tells what there is to tell, unless somebody does.
    fn tell_all(&self) {
        loop {
            let mut state = self.state();
            let untold = &mut state.untold;
            untold.is_scheduled &= untold.is_telling;
            if untold.is_telling || untold.events.is_empty() {
                return;
            }
            untold.is_telling = true;
            let events = std::mem::take(&mut untold.events);
            drop(state);
            for Told { of, event, told } in events {
                self.tell_one(&of, &event);
                drop(told);
            }
            self.state().untold.is_telling = false;
        }
    }

    fn tell_one(&self, of: &Observation, event: &CallEvent) {
        if let Some(trace) = &of.trace {
            shielded(|| trace.observe(event));
        }
        if let Some(observer) = &self.settings.observer {
            shielded(|| observer.observe(event));
        }
        log(event);
    }
}

/// Calls code of the program, whose panics change nothing; the panic hook has told of them.
pub(super) fn shielded<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

fn can_travel(traceparent: &str) -> bool {
    const LENGTH: usize = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".len();
    let is_good = |c: u8| c == b'-' || c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    (LENGTH..=4 * LENGTH).contains(&traceparent.len()) && traceparent.bytes().all(is_good)
}

#[cfg(feature = "tracing")]
fn is_logged() -> bool {
    tracing::enabled!(target: "singleflightd", tracing::Level::DEBUG)
}

#[cfg(not(feature = "tracing"))]
fn is_logged() -> bool {
    false
}

#[cfg(feature = "tracing")]
fn log(event: &CallEvent) {
    let (name, group, key) = (event.kind.name(), &*event.group, event.key.escape_ascii());
    let (attempt, token) = (event.attempt, event.token);
    if event.kind == CallEventKind::Ended {
        let CallEvent { duration, role, status, outcome, .. } = event;
        tracing::debug!(
            target: "singleflightd",
            group, %key, attempt, token, ?duration, role, status, outcome, "{name}"
        );
    } else {
        tracing::debug!(target: "singleflightd", group, %key, attempt, token, "{name}");
    }
}

#[cfg(not(feature = "tracing"))]
fn log(_: &CallEvent) {}

// ------------------------------------------------------------------------------ under the lock

impl State {
    fn tell_observer(&mut self, call: CallId, see: impl FnOnce(&mut Seen) -> Vec<CallEventKind>) {
        let Some(of) = self.calls.get(&call).and_then(|call| call.observed.clone()) else { return };
        let kinds = see(&mut lock(&of.seen));
        for kind in kinds {
            self.untold.push(&of, kind);
        }
        if !self.untold.events.is_empty() && !self.untold.is_scheduled {
            self.untold.is_scheduled = true;
            let inner = self.inner();
            self.spawn(async move { inner.tell_all() });
        }
    }

    /// The function of a call begins.
    pub(super) fn tell_led(&mut self, seat: SeatId, call: CallId, lead: LeadId, is_alone: bool) {
        self.tell_observer(call, |seen| {
            seen.lead = lead;
            seen.is_alone = is_alone;
            seen.has_led |= !is_alone;
            match (is_alone, seen.has_followed) {
                (true, _) => vec![CallEventKind::FailedOpen],
                (false, true) => vec![CallEventKind::Takeover, CallEventKind::Led],
                (false, false) => vec![CallEventKind::Led],
            }
        });
        self.tell_followed(seat, lead, Some(call));
    }

    /// The calls of a seat, but the one that leads, follow this lead.
    pub(super) fn tell_followed(&mut self, id: SeatId, lead: LeadId, leading: Option<CallId>) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        seat.followed = lead;
        let calls: Vec<_> = seat.calls.iter().copied().filter(|c| Some(*c) != leading).collect();
        for call in calls {
            self.tell_follows(call, lead);
        }
    }

    pub(super) fn tell_follows(&mut self, call: CallId, lead: LeadId) {
        self.tell_observer(call, |seen| {
            if lead.attempt == 0 || (seen.has_followed && seen.lead == lead) {
                return Vec::new();
            }
            seen.lead = lead;
            seen.has_followed = true;
            vec![CallEventKind::Followed]
        });
    }

    pub(super) fn tell_alone(&mut self, call: CallId) {
        self.tell_observer(call, |seen| {
            seen.is_alone = true;
            vec![CallEventKind::FailedOpen]
        });
    }

    /// A seat that led ends without that, if its function has begun.
    pub(super) fn tell_lost(&mut self, seat: &Seat) {
        let lead = seat.lead.as_ref().filter(|lead| lead.has_begun);
        if let Some(lead) = lead.filter(|_| seat.state != super::seat::SeatState::Alone) {
            self.tell_observer(lead.call, |_| vec![CallEventKind::Lost]);
        }
    }
}

impl Untold {
    fn push(&mut self, of: &Arc<Observation>, kind: CallEventKind) {
        let seen = lock(&of.seen);
        if !of.is_told || seen.is_over {
            return;
        }
        let event = of.event(kind, seen.lead);
        self.events.push(Told { of: of.clone(), event, told: None });
    }

    fn push_ended(&mut self, of: &Arc<Observation>, told: oneshot::Sender<()>) -> Option<()> {
        let mut seen = lock(&of.seen);
        if std::mem::replace(&mut seen.is_over, true) || !of.is_told {
            return None;
        }
        let role = seen.role();
        let end = seen.end.take()?;
        let ended = LeadId { attempt: end.facts.attempt, token: end.facts.token };
        let lead = if ended.attempt > 0 { ended } else { seen.lead };
        let event = CallEvent {
            duration: of.began.elapsed(),
            role,
            status: end.status,
            outcome: end.outcome,
            callers: end.facts.callers,
            ..of.event(CallEventKind::Ended, lead)
        };
        self.events.push(Told { of: of.clone(), event, told: Some(told) });
        Some(())
    }
}

impl Observation {
    fn event(&self, kind: CallEventKind, lead: LeadId) -> CallEvent {
        CallEvent {
            kind,
            group: self.group.clone(),
            key: self.key.clone(),
            attempt: lead.attempt,
            token: lead.token,
            duration: Duration::ZERO,
            role: "",
            status: "",
            outcome: "",
            callers: 0,
        }
    }

    /// What the call has ended with.
    pub fn end(&self, end: &CallEnd) {
        let outcome = |facts: &Facts, outcome| End {
            status: code_name(Code::Ok),
            outcome,
            facts: facts.clone(),
        };
        let end = match end {
            Ok(flight) => outcome(&flight.facts, "ok"),
            Err(Error::Function(error)) => outcome(
                &error.facts,
                match error.kind {
                    Kind::Error => "error",
                    Kind::Panic => "panic",
                    Kind::Abandoned => "abandoned",
                },
            ),
            Err(Error::Codec(_)) => outcome(&Facts::default(), "error"),
            Err(Error::Status(status)) => {
                End { status: code_name(status.code), outcome: "", facts: Facts::default() }
            }
        };
        lock(&self.seen).end = Some(end);
    }
}

impl Seen {
    fn role(&self) -> &'static str {
        let facts = self.end.as_ref().map(|end| &end.facts);
        match facts {
            Some(facts) if facts.retained && !facts.led => "retained",
            Some(facts) if facts.failed_open || self.is_alone => "alone",
            _ if self.has_led => "leader",
            _ => "follower",
        }
    }
}

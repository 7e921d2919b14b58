// SPDX-License-Identifier: Apache-2.0
use std::future::{poll_fn, Future};
use std::pin::{pin, Pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::observed::shielded;
use super::seat::Seat;
use super::timers::{Armed, Timer};
use super::{Inner, Observation, SeatId, State};
use crate::error::{Code, Error, Failure, StatusError};
use crate::leader::{Leader, LeaderShared};
use crate::nesting::Leads;
use crate::observer::Trace;
use crate::options::Join;
use crate::outcome::{Facts, Flight, Outcome};
use crate::panics::caught;
use crate::waiting::Event;
use bytes::Bytes;

pub(crate) type CallId = u64;
pub(crate) type CallEnd = Result<Flight<Bytes>, Error>;
/// A call's end, and its function if nobody has run it: it is dropped by the program, for what it
/// holds may call into the client.
pub(crate) type Done = (CallEnd, Option<Function>);
pub(crate) type FunctionEnd = Result<(), Failure>;
pub(crate) type Function =
    Box<dyn FnOnce(Leader) -> Pin<Box<dyn Future<Output = FunctionEnd> + Send>> + Send>;

/// What a call begins with.
pub(crate) struct CallStart {
    pub join: Join,
    pub inside: Leads,
    pub timeout: Option<Duration>,
    pub connect_timeout: Option<Duration>,
    pub function: Option<Function>,
    pub done: oneshot::Sender<Done>,
    pub events: Option<mpsc::UnboundedSender<Event>>,
    pub observed: Option<Arc<Observation>>,
}

pub(super) struct Call {
    pub deadline: Option<Instant>,
    pub timeout: Option<Duration>,
    pub connect_timeout: Option<Duration>,
    pub function: Option<Function>,
    pub events: Option<mpsc::UnboundedSender<Event>>,
    pub seat: Option<SeatId>,
    pub observed: Option<Arc<Observation>>,
    join: Arc<Join>,
    pub inside: Leads,
    deadline_timer: Option<Armed>,
    done: Option<oneshot::Sender<Done>>,
    runs: bool,               // its function runs
    pending: Option<CallEnd>, // what it ends with once its function has ended
}

impl Inner {
    pub fn start_call(&self, start: CallStart) -> CallId {
        self.state().start_call(start)
    }

    /// The program does not wait any more.
    pub fn cancel_call(&self, id: CallId) {
        let why = StatusError::new(Code::Cancelled, "the call was cancelled by its own program");
        self.state().leave(id, &why);
    }
}

impl State {
    fn start_call(&mut self, mut start: CallStart) -> CallId {
        let id = self.new_id();
        if let Err(why) = self.check(&start) {
            let end = Err(why.into());
            if let Some(observed) = &start.observed {
                observed.end(&end);
            }
            let _ = start.done.send((end, start.function));
            return id;
        }
        start.join.local_merge &= !self.is_for_outer(&start.join, &start.inside);
        let deadline = start.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let join = Arc::new(start.join);
        if !start.inside.is_empty() {
            self.waits.add(&join, id);
        }
        let deadline_timer = start.timeout.map(|wait| self.arm(wait, Timer::Deadline(id)));
        let call = Call {
            deadline,
            timeout: start.timeout,
            connect_timeout: start.connect_timeout,
            function: start.function,
            events: start.events,
            seat: None,
            observed: start.observed,
            join: join.clone(),
            inside: start.inside,
            deadline_timer,
            done: Some(start.done),
            runs: false,
            pending: None,
        };
        self.calls.insert(id, call);
        self.take_seat(id, &join);
        id
    }

    // What is refused before the network.
    fn check(&self, start: &CallStart) -> Result<(), StatusError> {
        if let Some(why) = &self.over {
            return Err(why.clone());
        }
        start.join.check()?;
        if start.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(StatusError::new(Code::DeadlineExceeded, "the timeout is zero"));
        }
        if self.closes_ring(&start.join, &start.inside) {
            let text = "this call would wait for itself: the function that it is made inside of \
                        leads this key, or the one that leads it waits for that function";
            return Err(StatusError::new(Code::FailedPrecondition, text));
        }
        Ok(())
    }

    /// Ends a call, or keeps its end until its function has ended.
    pub(super) fn end_call(&mut self, id: CallId, end: CallEnd) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.seat = None;
        if call.runs {
            call.pending.get_or_insert(end);
            return;
        }
        let mut call = self.calls.remove(&id).expect("it was there");
        if !call.inside.is_empty() {
            self.waits.remove(&call.join, id);
        }
        self.disarm(&mut call.deadline_timer);
        call.deliver(end);
    }

    // Ends at once, whatever its function does.
    fn leave(&mut self, id: CallId, why: &StatusError) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.runs = false;
        let seat = call.seat;
        let end = call.pending.take().unwrap_or_else(|| Err(why.clone().into()));
        self.end_call(id, end);
        if let Some(seat) = seat {
            self.on_call_left(seat, id, why);
        }
    }

    pub(super) fn on_deadline(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.deadline_timer = None;
        let why = format!("the timeout of {:?} is over", call.timeout.unwrap_or_default());
        self.leave(id, &StatusError::new(Code::DeadlineExceeded, why));
    }

    /// Ends all of a seat's calls with one status.
    pub(super) fn end_calls(&mut self, calls: Vec<CallId>, why: &StatusError) {
        for call in calls {
            self.end_call(call, Err(why.clone().into()));
        }
    }

    /// Ends all of a seat's calls with one outcome; `leading` is the one that led.
    pub(super) fn settle_calls(
        &mut self,
        seat: &Seat,
        outcome: &Outcome,
        facts: &Facts,
        leading: Option<CallId>,
    ) {
        for call in &seat.calls {
            let facts = Facts { led: Some(*call) == leading, ..facts.clone() };
            self.end_call(*call, outcome.clone().into_result(facts));
        }
    }

    pub(super) fn end_all_calls(&mut self, why: &StatusError) {
        for seat in self.seats.keys().copied().collect::<Vec<_>>() {
            self.end_seat(seat, why);
        }
    }

    /// The functions that run were dropped: nobody waits for their ends.
    pub(super) fn forget_functions(&mut self) {
        for id in self.calls.keys().copied().collect::<Vec<_>>() {
            let Some(call) = self.calls.get_mut(&id) else { continue };
            call.runs = false;
            if let Some(end) = call.pending.take() {
                self.end_call(id, end);
            }
        }
    }

    /// Starts the function of a call in a task of its own.
    pub(super) fn run_function(&mut self, id: CallId, shared: &Arc<LeaderShared>) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(function) = call.function.take() else { return };
        call.runs = true;
        let inside = call.inside.with(shared.clone());
        let trace = call.observed.as_ref().and_then(|observed| observed.trace.clone());
        let inner = self.me.clone();
        let leader = Leader::new(shared.clone());
        let shared = shared.clone();
        self.spawn(inside.scope(async move {
            let end = run_while_led(function, leader, &shared.lost, trace).await;
            if let Some(inner) = inner.upgrade() {
                inner.state().on_function_ended(id, &shared, end);
            }
        }));
    }

    fn on_function_ended(
        &mut self,
        id: CallId,
        shared: &Arc<LeaderShared>,
        end: Option<FunctionEnd>,
    ) {
        if let Some(end) = end {
            self.on_leader_finished(shared, end);
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.runs = false;
        if let Some(end) = call.pending.take() {
            self.end_call(id, end);
        }
    }
}

impl Call {
    fn deliver(&mut self, end: CallEnd) {
        if let Some(observed) = &self.observed {
            observed.end(&end);
        }
        if let Some(done) = self.done.take() {
            let _ = done.send((end, self.function.take())); // who is gone does not mind
        }
    }
}

// None: the lead was lost, and the function dropped. It is not polled without a lead; to be told
// costs something, so only what does not end at once waits for that.
async fn run_while_led(
    function: Function,
    leader: Leader,
    lost: &CancellationToken,
    trace: Option<Arc<dyn Trace>>,
) -> Option<FunctionEnd> {
    let mut ending = pin!(caught(|| function(leader)));
    let mut losing = pin!(lost.cancelled());
    poll_fn(|context| {
        if lost.is_cancelled() {
            return Poll::Ready(None);
        }
        let entered = trace.as_deref().and_then(|trace| shielded(|| trace.enter()));
        let polled = ending.as_mut().poll(context);
        drop(entered);
        match polled {
            Poll::Ready(Ok(end)) => Poll::Ready(Some(end)),
            Poll::Ready(Err(panic)) => Poll::Ready(Some(Err(panic.into()))),
            Poll::Pending => losing.as_mut().poll(context).map(|()| None),
        }
    })
    .await
}

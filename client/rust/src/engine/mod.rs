// SPDX-License-Identifier: Apache-2.0
//! The client's state and what happens to it. Everything is done under one lock and never waits
//! there: tasks read the streams, write them, keep the time and run the functions.
//!
//! A *call* is what a program asked for; a *seat* is one call on a session, which equal calls
//! share; a *session* is one stream to a *server*.

mod backoff;
mod calls;
mod hold;
mod ids;
mod observed;
mod rendezvous;
mod seat;
mod seat_frames;
mod seat_lead;
mod servers;
mod session;
mod timers;
mod waits;

#[cfg(test)]
mod fake;
#[cfg(all(test, feature = "tls"))]
mod secure_tests;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::Notify;

pub(crate) use observed::{Observation, Watch};

pub(crate) use calls::{CallEnd, CallId, CallStart, Done, Function, FunctionEnd};
#[cfg(feature = "tls")]
pub(crate) use servers::whole;
pub(crate) use servers::{connect, ServerId};

use crate::constants::CLOSE;
use crate::error::{Code, StatusError};
use crate::nesting::lead_of_environment;
use crate::options::{Join, Settings};
use crate::pb::singleflight::LeadRef;
use ids::IdMap;

pub(crate) type SeatId = u64;
pub(crate) type SessionId = u64;

pub(crate) struct Inner {
    pub settings: Settings,
    pub addresses: Arc<[String]>,
    outermost: Option<LeadRef>, // the lead that this whole program runs in
    runtime: Handle,
    timers_changed: Notify,
    ended: Notify, // a task of a session has ended
    state: Mutex<State>,
}

pub(crate) struct State {
    me: Weak<Inner>,
    over: Option<StatusError>, // why it takes no more calls
    unowned: bool,             // the program has dropped it
    next_id: u64,
    calls: IdMap<calls::Call>,
    seats: IdMap<seat::Seat>,
    merging: HashMap<Arc<Join>, Vec<SeatId>>,
    servers: Vec<servers::Server>,
    sessions: IdMap<session::Session>,
    timers: timers::Timers,
    waits: waits::Waits,
    untold: observed::Untold,
}

impl Inner {
    pub fn start(settings: Settings, runtime: Handle) -> Arc<Inner> {
        let inner = Arc::new_cyclic(|me| {
            let servers = settings.addresses.iter().map(|address| {
                servers::Server::new(address, settings.backoff_min, settings.backoff_max)
            });
            Inner {
                addresses: settings.addresses.as_slice().into(),
                outermost: lead_of_environment(),
                runtime: runtime.clone(),
                timers_changed: Notify::new(),
                ended: Notify::new(),
                state: Mutex::new(State {
                    me: me.clone(),
                    over: None,
                    unowned: false,
                    next_id: 0,
                    calls: IdMap::default(),
                    seats: IdMap::default(),
                    merging: HashMap::new(),
                    servers: servers.collect(),
                    sessions: IdMap::default(),
                    timers: timers::Timers::default(),
                    waits: waits::Waits::default(),
                    untold: observed::Untold::default(),
                }),
                settings,
            }
        });
        // Not before it is made: the task may begin at once, on another thread.
        runtime.spawn(timers::run(Arc::downgrade(&inner)));
        inner
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Ends every call; leaders are told, and followers elsewhere go on. What is to be said goes
    /// out; `closed` waits for that.
    pub fn close(&self) {
        let mut state = self.state();
        if state.over.is_some() {
            return;
        }
        let why = StatusError::new(Code::Cancelled, "the client was closed");
        state.over = Some(why.clone());
        state.end_all_calls(&why);
        for id in state.sessions.keys().copied().collect::<Vec<_>>() {
            state.retire(id);
        }
        drop(state);
        self.timers_changed.notify_one();
    }

    /// The runtime drops the client's tasks: nothing would end a call any more.
    fn on_runtime_over(&self) {
        let mut state = self.state();
        let why = StatusError::new(
            Code::Cancelled,
            "the runtime in which the client was made has ended, or it keeps no time (enable_time)",
        );
        state.over.get_or_insert_with(|| why.clone());
        state.forget_functions();
        state.end_all_calls(&why);
        state.sessions.clear();
        drop(state);
        self.ended.notify_waiters();
    }

    /// The program has dropped the client. It is closed, but not before the functions have ended
    /// that somebody elsewhere waits for.
    pub fn on_unowned(&self) {
        let mut state = self.state();
        state.unowned = true;
        state.on_seat_gone();
    }

    /// Waits until what is to be said has gone out, for a while, and the connections are closed.
    pub async fn end(&self) {
        if tokio::time::timeout(CLOSE, self.closed()).await.is_err() {
            self.cut();
            self.closed().await;
        }
    }

    /// Waits until no session is left.
    async fn closed(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.state().sessions.is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// Cuts what is left of the sessions.
    fn cut(&self) {
        let mut state = self.state();
        for id in state.sessions.keys().copied().collect::<Vec<_>>() {
            state.cut(id);
        }
    }

    /// The servers of a key, its home first.
    pub fn order(&self, group: &str, key: &[u8]) -> Vec<ServerId> {
        rendezvous::order(&self.settings.addresses, group, key)
    }

    /// The server that a question about the key goes to: its home, or who stands in for it.
    pub fn home(&self, group: &str, key: &[u8]) -> ServerId {
        let order = self.order(group, key);
        let state = self.state();
        order.iter().copied().find(|server| !state.servers[*server].down).unwrap_or(order[0])
    }

    /// Calls that come do not merge into flights of this key.
    pub fn forgot(&self, group: &str, key: &[u8]) {
        self.state().forgot(group, key);
    }

    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

/// Locks. A panic under the lock, which is a bug of ours, ends what it was about and no more.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn on_seat_gone(&self) {
        if self.unowned && self.seats.is_empty() && self.over.is_none() {
            let inner = self.inner();
            self.spawn(async move {
                inner.close();
                inner.end().await;
            });
        }
    }

    // Upgrading works: somebody holds it while the state is locked.
    fn inner(&self) -> Arc<Inner> {
        self.me.upgrade().expect("the state is locked through its owner")
    }

    fn spawn(&self, task: impl std::future::Future<Output = ()> + Send + 'static) {
        self.inner().runtime.spawn(task);
    }
}

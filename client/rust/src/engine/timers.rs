// SPDX-License-Identifier: Apache-2.0
use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;

use tokio::time::Instant;

use super::{CallId, Inner, SeatId, ServerId, State};

#[derive(Debug, Clone, Copy)]
pub(super) enum Timer {
    Deadline(CallId),
    Look(SeatId),
    Lease(SeatId),
    Retry(ServerId),
    Down(ServerId),
}

/// A timer that is armed, to be disarmed.
pub(super) type Armed = (Instant, u64);

#[derive(Default)]
pub(super) struct Timers {
    due: BTreeMap<Armed, Timer>,
    count: u64,
    wakes_at: Option<Instant>, // when the task looks next; None: when it is told to
}

impl State {
    pub(super) fn arm(&mut self, wait: Duration, timer: Timer) -> Armed {
        self.timers.count += 1;
        // Further than a century is never.
        let wait = wait.min(Duration::from_secs(3_000_000_000));
        let armed = (Instant::now() + wait, self.timers.count);
        self.timers.due.insert(armed, timer);
        // Most timers are disarmed before they are due, and cost the task nothing.
        if self.timers.wakes_at.is_none_or(|at| armed.0 < at) {
            self.timers.wakes_at = Some(armed.0);
            self.inner().timers_changed.notify_one();
        }
        armed
    }

    pub(super) fn disarm(&mut self, armed: &mut Option<Armed>) {
        if let Some(armed) = armed.take() {
            self.timers.due.remove(&armed);
        }
    }

    fn fire_due(&mut self) -> Option<Instant> {
        loop {
            let (armed, timer) = self.timers.due.first_key_value().map(|(a, t)| (*a, *t))?;
            if armed.0 > Instant::now() {
                return Some(armed.0);
            }
            self.timers.due.remove(&armed);
            match timer {
                Timer::Deadline(call) => self.on_deadline(call),
                Timer::Look(seat) => self.on_look_over(seat),
                Timer::Lease(seat) => self.on_lease_timer(seat),
                Timer::Retry(server) => self.on_retry(server),
                Timer::Down(server) => self.on_down(server),
            }
        }
    }
}

/// Tells the client when its runtime drops the task that keeps its time.
struct Pulse(Weak<Inner>);

impl Drop for Pulse {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.on_runtime_over();
        }
    }
}

/// Fires what is due, until the client is closed or gone.
pub(super) async fn run(client: Weak<Inner>) {
    let _pulse = Pulse(client.clone());
    loop {
        let Some(inner) = client.upgrade() else { return };
        let next = {
            let mut state = inner.state();
            if state.over.is_some() {
                return;
            }
            let next = state.fire_due();
            state.timers.wakes_at = next;
            next
        };
        let changed = inner.timers_changed.notified();
        match next {
            Some(at) => drop(tokio::time::timeout_at(at, changed).await),
            None => changed.await,
        }
    }
}

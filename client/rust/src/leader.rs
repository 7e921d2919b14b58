// SPDX-License-Identifier: Apache-2.0
use std::ffi::OsString;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::engine::{lock, Inner, SeatId};
use crate::error::{Code, StatusError};
use crate::nesting::{environment_of, Leads};
use crate::options::{millis, Join};
use crate::outcome::join_pieces;

// A writer waits while more than this is not sent yet.
const UNSENT_BYTES_MAX: usize = 1024 * 1024;

/// Who waits for the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audience {
    /// How many followers.
    pub followers: u32,
    /// The latest of their deadlines, from when it was learnt; `None`: somebody waits without one.
    pub latest_deadline: Option<Duration>,
}

/// The lead of one flight, in the hands of the function that runs. Cheap to clone.
#[derive(Clone)]
pub struct Leader {
    shared: Arc<LeaderShared>,
}

pub(crate) struct LeaderShared {
    pub token: u64,
    pub attempt: u32,
    pub lease_ms: u64,
    pub run_limit_ms: u64,
    pub seat: SeatId,
    pub join: Arc<Join>,
    pub result_limit: usize,
    pub server_limit: u64, // 0: it does not say
    pub inner: Weak<Inner>,
    pub addresses: Arc<[String]>,
    pub holds_until: AtomicU64, // of the clock, in nanoseconds
    pub over: AtomicBool,       // the flight has ended for it
    pub forgotten: AtomicBool,  // by this client: calls for its key do not join it
    pub lost: CancellationToken,
    pub room: Notify,
    pub audience_changed: Notify,
    pub state: Mutex<LeaderState>,
}

#[derive(Default)]
pub(crate) struct LeaderState {
    pub written: Vec<Bytes>, // the whole value so far
    pub written_bytes: usize,
    pub taken: usize,                  // pieces of it that frames carry already
    pub taken_part: usize,             // and so many bytes of the one after them
    pub on_the_way: usize,             // bytes that are not taken, or in frames that are not sent
    pub overflow: Option<StatusError>, // the value grew too large: the flight cannot end OK
    pub is_alone: bool,                // nothing is sent
    pub why_lost: Option<StatusError>,
    pub audience: Option<Audience>,
    pub retain_ms: Option<u64>,
}

impl LeaderShared {
    pub fn lose(&self, why: &StatusError) {
        let mut state = lock(&self.state);
        if state.why_lost.is_none() {
            state.why_lost = Some(why.clone());
        }
        drop(state);
        self.lost.cancel();
        self.room.notify_waiters();
    }

    pub fn hold_until(&self, end: Duration) {
        let nanos = u64::try_from(end.as_nanos()).unwrap_or(u64::MAX);
        self.holds_until.store(nanos, Ordering::Release);
    }

    fn is_overdue(&self) -> bool {
        clock::now().as_nanos() >= self.holds_until.load(Ordering::Acquire).into()
    }

    /// A call for the key would wait for this very lead.
    pub fn would_be_joined(&self) -> bool {
        let has_ended = self.over.load(Ordering::Acquire);
        !has_ended && !self.forgotten.load(Ordering::Acquire)
    }

    /// It goes on here alone: nothing is sent any more, and no clock ends it.
    pub fn go_alone(&self) {
        self.hold_until(Duration::MAX);
        let mut state = lock(&self.state);
        state.is_alone = true;
        state.on_the_way = 0;
        drop(state);
        self.room.notify_waiters();
    }

    // Bytes have left this process.
    pub fn on_sent(&self, bytes: usize) {
        let mut state = lock(&self.state);
        state.on_the_way = state.on_the_way.saturating_sub(bytes);
        if state.on_the_way <= UNSENT_BYTES_MAX / 2 {
            drop(state);
            self.room.notify_waiters();
        }
    }

    pub fn take(&self, most: usize) -> (Bytes, bool) {
        lock(&self.state).take(most)
    }

    pub fn rewind(&self, arrived: usize) {
        lock(&self.state).rewind(arrived);
    }

    pub fn value(&self) -> Bytes {
        join_pieces(&lock(&self.state).written)
    }
}

impl LeaderState {
    // The next part of the value that no frame carries, at most `most` bytes; and whether it is
    // the last one.
    fn take(&mut self, most: usize) -> (Bytes, bool) {
        let first = self.take_piece(most).unwrap_or_default();
        if first.len() == most || self.is_taken() {
            return (first, self.is_taken()); // as a rule, and without a list of pieces
        }
        let mut room = most - first.len();
        let mut pieces = vec![first];
        while room > 0 {
            let Some(piece) = self.take_piece(room) else { break };
            room -= piece.len();
            pieces.push(piece);
        }
        (join_pieces(&pieces), self.is_taken())
    }

    // What comes after the first `arrived` bytes is to be sent again.
    fn rewind(&mut self, arrived: usize) {
        (self.taken, self.taken_part) = (0, 0);
        let mut skip = arrived;
        while skip > 0 {
            let Some(piece) = self.take_piece(skip) else { break };
            skip -= piece.len();
        }
        self.on_the_way = self.written_bytes - (arrived - skip);
    }

    fn take_piece(&mut self, most: usize) -> Option<Bytes> {
        let rest = self.written.get(self.taken)?.slice(self.taken_part..);
        if rest.len() > most {
            self.taken_part += most;
            return Some(rest.slice(..most));
        }
        self.taken += 1;
        self.taken_part = 0;
        Some(rest)
    }

    fn is_taken(&self) -> bool {
        self.taken == self.written.len()
    }
}

impl Leader {
    pub(crate) fn new(shared: Arc<LeaderShared>) -> Self {
        Leader { shared }
    }

    /// The group that was asked for.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.shared.join.group
    }

    /// The key that was asked for.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.shared.join.key
    }

    /// The fencing token; 0 when the function runs here because no server could be reached.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.shared.token
    }

    /// The how-many-eth leader of the flight this is, from 1. Above 1, somebody else has begun the
    /// work and was lost.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.shared.attempt
    }

    /// The lease that holds; `None`: the lead lives as long as the connection.
    #[must_use]
    pub fn lease(&self) -> Option<Duration> {
        Some(self.shared.lease_ms).filter(|ms| *ms > 0).map(Duration::from_millis)
    }

    /// The run limit that holds.
    #[must_use]
    pub fn run_limit(&self) -> Option<Duration> {
        Some(self.shared.run_limit_ms).filter(|ms| *ms > 0).map(Duration::from_millis)
    }

    /// Appends bytes to the value, before what the function returns. They go out at once to
    /// followers that are live. Waits while much is not sent yet.
    ///
    /// # Errors
    /// The status of the lost lead: stop, nobody takes the rest. `ResourceExhausted`: the value is
    /// larger than `result_limit`; the flight ends with an error then, whatever the function says.
    pub async fn write(&self, data: impl Into<Bytes>) -> Result<(), StatusError> {
        let data = data.into();
        loop {
            let room = self.shared.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if self.has_room()? {
                break;
            }
            room.await;
        }
        self.append(data)?;
        if let Some(inner) = self.shared.inner.upgrade() {
            inner.on_written(self.shared.seat);
        }
        Ok(())
    }

    fn has_room(&self) -> Result<bool, StatusError> {
        let state = lock(&self.shared.state);
        match &state.why_lost {
            Some(why) => Err(why.clone()),
            None => Ok(state.on_the_way <= UNSENT_BYTES_MAX),
        }
    }

    // Without waiting, and without sending: what a function returns goes out with its outcome.
    pub(crate) fn append(&self, data: Bytes) -> Result<(), StatusError> {
        if data.is_empty() {
            return Ok(());
        }
        let shared = &self.shared;
        let mut state = lock(&shared.state);
        if let Some(why) = state.why_lost.as_ref().or(state.overflow.as_ref()) {
            return Err(why.clone());
        }
        if data.len() > shared.result_limit - state.written_bytes {
            let why = StatusError::new(
                Code::ResourceExhausted,
                format!("the value is larger than result_limit, which is {}", shared.result_limit),
            );
            state.overflow = Some(why.clone());
            return Err(why);
        }
        state.written_bytes += data.len();
        if !state.is_alone {
            state.on_the_way += data.len();
        }
        state.written.push(data);
        Ok(())
    }

    // What the function has returned. It is not sent when the server would not take it.
    pub(crate) fn append_last(&self, data: Bytes) {
        let limit = self.shared.server_limit;
        if limit > 0 && data.len() as u64 > limit {
            let text = format!("the value is larger than the server's limit of {limit} bytes");
            let why = StatusError::new(Code::ResourceExhausted, text);
            lock(&self.shared.state).overflow.get_or_insert(why);
            return;
        }
        // What is too large is told by the outcome; who lost the lead is not asked.
        let _ = self.append(data);
    }

    /// Keep the outcome for so long instead of what the options say; zero: do not keep it.
    pub fn set_retain(&self, retain: Duration) {
        lock(&self.shared.state).retain_ms = Some(millis(retain));
    }

    /// Who waits, as far as known; `None` when the call did not ask for it or nobody has waited.
    #[must_use]
    pub fn audience(&self) -> Option<Audience> {
        lock(&self.shared.state).audience
    }

    /// Waits until [`Leader::audience`] tells something new.
    pub async fn audience_changed(&self) {
        self.shared.audience_changed.notified().await;
    }

    /// [`write`](Leader::write) for a function that blocks its thread
    /// ([`Call::run_blocking`](crate::Call::run_blocking)).
    ///
    /// # Errors
    /// As `write`.
    ///
    /// # Panics
    /// In asynchronous code.
    pub fn write_blocking(&self, data: impl Into<Bytes>) -> Result<(), StatusError> {
        let Some(inner) = self.shared.inner.upgrade() else {
            return Err(StatusError::new(Code::Cancelled, "the client is gone"));
        };
        inner.runtime().block_on(self.write(data))
    }

    /// Why the lead is lost; `None` while this is the leader. The clock is asked in this moment, so
    /// it is true in the first instant after a pause of the process or machine, before anybody
    /// could be told. A lead that the server confirms after that holds again. It may be too late
    /// for what was begun before: only what checks the token is safe from a late leader.
    #[must_use]
    pub fn why_lost(&self) -> Option<StatusError> {
        let told = lock(&self.shared.state).why_lost.clone();
        told.or_else(|| self.shared.is_overdue().then(|| self.overdue()))
    }

    fn overdue(&self) -> StatusError {
        let text = match self.shared.lease_ms {
            0 => "the server has not answered for as long as the lead holds without it".to_owned(),
            ms => format!("the lease of {ms} ms ran out before it was renewed"),
        };
        StatusError::new(Code::Aborted, text)
    }

    /// Whether the lead is lost: [`why_lost`](Leader::why_lost) without the reason.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.why_lost().is_some()
    }

    /// Waits until this leader is told that the lead is lost. The future borrows nothing, so that
    /// it can go to another task.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + 'static {
        self.shared.lost.clone().cancelled_owned()
    }

    /// Variables that tell another program in which lead it runs, for
    /// [`Command::envs`](std::process::Command::envs): those that the tool gives to its command. A
    /// call for this key in that program would wait for itself, and is refused by the server. A key
    /// with a zero byte is not told.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        environment_of(&self.shared)
    }

    /// Runs a future as a part of this leader's function, as in
    /// `tokio::spawn(leader.inside(async { … }))`. A call for a key that the calling function leads
    /// is refused, since it would wait for itself; a task that the function spawns is not known to
    /// belong to it without this.
    pub fn inside<F: Future>(&self, future: F) -> impl Future<Output = F::Output> {
        Leads::current().with(self.shared.clone()).scope(future)
    }
}

impl std::fmt::Debug for Leader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leader")
            .field("token", &self.shared.token)
            .field("attempt", &self.shared.attempt)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state_of(pieces: &[&'static str]) -> LeaderState {
        let bytes = |piece: &&'static str| Bytes::from_static(piece.as_bytes());
        let written: Vec<_> = pieces.iter().map(bytes).collect();
        let written_bytes = written.iter().map(Bytes::len).sum();
        LeaderState { written, written_bytes, ..LeaderState::default() }
    }

    #[test]
    fn a_value_is_taken_in_parts_that_mind_no_pieces() {
        let mut state = state_of(&["abc", "d", "efgh"]);
        assert_eq!(state.take(2), ("ab".into(), false));
        assert_eq!(state.take(3), ("cde".into(), false));
        assert_eq!(state.take(3), ("fgh".into(), true));
        assert_eq!(state.take(3), ("".into(), true));
    }

    #[test]
    fn what_has_not_arrived_is_taken_again() {
        let pieces = ["abc", "d", "efgh"];
        let whole = Bytes::from(pieces.concat());
        let mut state = state_of(&pieces);
        for arrived in 0..=whole.len() {
            state.take(usize::MAX);
            state.rewind(arrived);
            assert_eq!(state.on_the_way, whole.len() - arrived);
            assert_eq!(state.take(usize::MAX), (whole.slice(arrived..), true));
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

/// Is told what happens to the calls of a client: [`ClientBuilder::observer`]. It runs on threads
/// of the client's runtime and on those of callers, one event after the other, so it must not block
/// or call the client. A panic of it changes nothing. Every `Fn(&CallEvent)` is one.
///
/// [`ClientBuilder::observer`]: crate::ClientBuilder::observer
pub trait Observer: Send + Sync + 'static {
    /// Something has happened.
    fn observe(&self, event: &CallEvent);

    /// A call begins, in the task that makes it. What is returned goes along with it.
    fn begin(&self, group: &str) -> Option<Arc<dyn Trace>> {
        let _ = group;
        None
    }
}

impl<F: Fn(&CallEvent) + Send + Sync + 'static> Observer for F {
    fn observe(&self, event: &CallEvent) {
        self(event);
    }
}

/// What goes along with one call, such as a span.
pub trait Trace: Send + Sync + 'static {
    /// The W3C trace context that the call belongs to, for the server.
    fn traceparent(&self) -> Option<String>;

    /// The function is polled, in its task, until what is returned is dropped.
    fn enter(&self) -> Box<dyn Any> {
        Box::new(())
    }

    /// Something has happened to the call; the observer is told, too.
    fn observe(&self, event: &CallEvent) {
        let _ = event;
    }
}

/// What has happened to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallEventKind {
    /// Its function starts as the leader's.
    Led,
    /// Somebody else leads, here or elsewhere; once for each lead that is followed, as far as the
    /// server tells.
    Followed,
    /// It followed, and was made the leader. `Led` is next.
    Takeover,
    /// Its function starts, or goes on, for this process alone.
    FailedOpen,
    /// The lead is gone while the function runs, or before its outcome was confirmed.
    Lost,
    /// The call has ended: every call that was well formed, once, last. What `stale` makes anew in
    /// the background is no call.
    Ended,
}

impl CallEventKind {
    /// Its name in every language, such as `failed_open`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            CallEventKind::Led => "led",
            CallEventKind::Followed => "followed",
            CallEventKind::Takeover => "takeover",
            CallEventKind::FailedOpen => "failed_open",
            CallEventKind::Lost => "lost",
            CallEventKind::Ended => "ended",
        }
    }
}

/// Something that happened to a call. What comes after `token` is that of `Ended`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CallEvent {
    /// What it was.
    pub kind: CallEventKind,
    /// The call's group.
    pub group: String,
    /// The call's key.
    pub key: Bytes,
    /// The how-many-eth attempt the lead is that it is about; 0: not known.
    pub attempt: u32,
    /// The token of that lead; 0: not known.
    pub token: u64,
    /// How long the call took.
    pub duration: Duration,
    /// `leader`, `follower`, `retained` (nobody ran anything for it), `alone` (it failed open).
    pub role: &'static str,
    /// The name of a gRPC code, such as `UNAVAILABLE`; `OK` for a call that has an outcome.
    pub status: &'static str,
    /// `ok`, `error`, `panic`, `abandoned`; empty without one.
    pub outcome: &'static str,
    /// How many got that outcome; 0 without one.
    pub callers: u32,
}

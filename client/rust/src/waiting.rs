// SPDX-License-Identifier: Apache-2.0
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use tokio::sync::{mpsc, oneshot};

use crate::client::Handle;
use crate::engine::{CallEnd, CallId, Done, Inner, Watch};
use crate::error::{Code, Error, StatusError};
use crate::outcome::Flight;

/// What happens to a call before its end.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// Somebody else leads.
    Follow {
        /// The how-many-eth attempt.
        attempt: u32,
        /// The leader's caller name.
        leader: String,
        /// How long it has run.
        running: Duration,
    },
    /// The next bytes of the value.
    Chunk(Bytes),
    /// The chunks so far are void; what comes is of this attempt.
    Restart {
        /// The how-many-eth attempt.
        attempt: u32,
        /// The new leader's caller name.
        leader: String,
    },
}

// The end of a call. Dropped before it has come, it leaves the flight.
pub(crate) struct Waiting {
    pub inner: Arc<Inner>,
    pub id: Option<CallId>,
    pub end: oneshot::Receiver<Done>,
    pub _client: Arc<Handle>, // open as long as somebody waits
}

impl Future for Waiting {
    type Output = CallEnd;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<CallEnd> {
        Pin::new(&mut self.end).poll(context).map(|end| {
            self.id = None;
            match end {
                Ok((end, _function)) => end,
                Err(_) => Err(StatusError::new(Code::Cancelled, "the runtime has ended").into()),
            }
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.inner.cancel_call(id);
        }
    }
}

/// A live call: a stream of what happens, which ends with the flight, and then its result.
/// Dropping it leaves the flight.
#[must_use = "a live call is a stream, and then a result"]
pub struct Chunks {
    pub(crate) waiting: Waiting,
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    pub(crate) watch: Watch, // dropped after `waiting`
}

impl Chunks {
    /// The next event; `None` when the flight has ended.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Waits for the end; the value is whole, whatever was read from the stream.
    ///
    /// # Errors
    /// As [`Call::run_bytes`](crate::Call::run_bytes).
    pub async fn result(self) -> Result<Flight<Bytes>, Error> {
        let end = self.waiting.await;
        self.watch.over().await;
        end
    }
}

impl Stream for Chunks {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.poll_recv(context)
    }
}

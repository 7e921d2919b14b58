// SPDX-License-Identifier: Apache-2.0
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use serde::de::DeserializeOwned;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::engine::{connect, CallEnd, CallId, CallStart, Function, Inner};
use crate::error::{Code, Error, FunctionError, StatusError};
use crate::leader::Leader;
use crate::options::{millis, ClientBuilder, Join, LeaderLoss, Role, Settings};
use crate::outcome::Flight;
use crate::pb::singleflight as pb;

// What is to be said at the end has so long to go out.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection to one or more servers. Cheap to clone; equal calls are merged inside of one
/// client, so one per process is the usual number. When the last clone is dropped, it is closed.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

struct Handle {
    inner: Arc<Inner>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let inner = self.inner.clone();
        inner.close();
        self.inner.runtime().spawn(end(inner));
    }
}

async fn end(inner: Arc<Inner>) {
    if tokio::time::timeout(CLOSE_TIMEOUT, inner.closed()).await.is_err() {
        inner.cut();
        inner.closed().await;
    }
}

/// What a [`Client::forget`] has dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forgotten {
    /// A flight that new callers would have joined.
    pub flight: bool,
    /// A retained outcome.
    pub retained: bool,
}

impl Client {
    /// Settings to make a client with.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    pub(crate) fn start(settings: Settings, runtime: tokio::runtime::Handle) -> Self {
        Client { handle: Arc::new(Handle { inner: Inner::start(settings, runtime) }) }
    }

    /// Asks for the work that `key` stands for: 1 to 1,024 bytes, any bytes. Set options, then
    /// [`run`](Call::run) it.
    pub fn call(&self, key: impl AsRef<[u8]>) -> Call {
        let settings = &self.handle.inner.settings;
        Call {
            client: self.clone(),
            timeout: None,
            connect_timeout: None,
            join: Join {
                group: String::new(),
                key: Bytes::copy_from_slice(key.as_ref()),
                role: Role::Any,
                live: false,
                audience: false,
                retain_ms: 0,
                retain_error_ms: 0,
                max_age_ms: 0,
                lease_ms: 0,
                run_limit_ms: 0,
                on_leader_loss: LeaderLoss::Promote,
                max_attempts: 0,
                fingerprint: Bytes::new(),
                resume_token: 0,
                caller: settings.caller.clone(),
                fail_open: settings.fail_open,
                local_merge: true,
            },
        }
    }

    /// Makes the next caller of the key start anew. `if_unshared`: only if its flight has no
    /// followers. The group "" is "default".
    ///
    /// # Errors
    /// `Unavailable`: the key's server cannot be reached within connect_timeout.
    pub async fn forget(
        &self,
        group: &str,
        key: impl AsRef<[u8]>,
        if_unshared: bool,
    ) -> Result<Forgotten, StatusError> {
        let inner = &self.handle.inner;
        let key = Bytes::copy_from_slice(key.as_ref());
        let address = &inner.settings.addresses[inner.home(group, &key)];
        let group = group.to_owned();
        let request =
            pb::ForgetRequest { group, key: key.clone(), if_unshared, ..Default::default() };
        let asked = async {
            let channel = connect(&inner.settings, address).await?;
            pb::single_flight_client::SingleFlightClient::new(channel).forget(request).await
        };
        let answer = tokio::time::timeout(inner.settings.connect_timeout, asked).await;
        let answer = answer
            .unwrap_or_else(|_| Err(tonic::Status::unavailable("no answer in time")))
            .map_err(|status| {
                let text = format!("forget at {address}: {}", status.message());
                StatusError::new(status.code(), text)
            })?
            .into_inner();
        if answer.flight {
            inner.forgot(group, &key);
        }
        Ok(Forgotten { flight: answer.flight, retained: answer.retained })
    }

    /// Ends every call that is left with `Cancelled` (leaders are told that they lost the lead, and
    /// their followers elsewhere go on without them), and waits until the connections are closed.
    /// May be called again.
    pub async fn close(&self) {
        self.handle.inner.close();
        end(self.handle.inner.clone()).await;
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let addresses = &self.handle.inner.settings.addresses;
        f.debug_struct("Client").field("addresses", addresses).finish_non_exhaustive()
    }
}

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

/// One call, with its options. Those marked (opener) hold for the flight as its first caller gave
/// them; the others are each caller's own. Calls of one client with equal options, but for their
/// timeouts, are merged before they go to the network.
#[derive(Debug, Clone)]
#[must_use = "a call does nothing until it is run"]
pub struct Call {
    client: Client,
    join: Join,
    timeout: Option<Duration>,
    connect_timeout: Option<Duration>,
}

impl Call {
    /// The namespace of the key: at most 128 bytes of `[A-Za-z0-9._-]` ("default").
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.join.group = group.into();
        self
    }

    /// Ends the call with `DeadlineExceeded` after that (never).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// (opener) Keep an OK outcome for so long, at most 7 days (not).
    pub fn retain(mut self, retain: Duration) -> Self {
        self.join.retain_ms = millis(retain);
        self
    }

    /// (opener) The same for every other outcome (not).
    pub fn retain_error(mut self, retain: Duration) -> Self {
        self.join.retain_error_ms = millis(retain);
        self
    }

    /// Take a retained outcome only if it is not older (any age).
    pub fn max_age(mut self, age: Duration) -> Self {
        self.join.max_age_ms = millis(age);
        self
    }

    /// (opener) 1 s to 10 min: who leads does so as long as this client renews the lease in time,
    /// which it does by itself, also over a broken connection. Without: as long as the connection
    /// holds.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.join.lease_ms = millis(lease);
        self
    }

    /// (opener) A leader that runs longer is replaced (24 h).
    pub fn run_limit(mut self, limit: Duration) -> Self {
        self.join.run_limit_ms = millis(limit);
        self
    }

    /// (opener) What happens to followers when the leader is lost (promote).
    pub fn on_leader_loss(mut self, loss: LeaderLoss) -> Self {
        self.join.on_leader_loss = loss;
        self
    }

    /// (opener) Leaders in all; 0: no limit.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.join.max_attempts = attempts;
        self
    }

    /// May it lead, must it?
    pub fn role(mut self, role: Role) -> Self {
        self.join.role = role;
        self
    }

    /// While leading, learn who waits: [`Leader::audience`].
    pub fn audience(mut self, audience: bool) -> Self {
        self.join.audience = audience;
        self
    }

    /// (opener) A hash of the function's arguments, at most 64 bytes: the same key with another one
    /// is refused with `FailedPrecondition`.
    pub fn fingerprint(mut self, fingerprint: impl AsRef<[u8]>) -> Self {
        self.join.fingerprint = Bytes::copy_from_slice(fingerprint.as_ref());
        self
    }

    /// The name in listings, instead of the client's.
    pub fn caller(mut self, caller: impl Into<String>) -> Self {
        self.join.caller = caller.into().into();
        self
    }

    /// Take back the lead that this token was granted, with a lease, to a process that has ended
    /// since. What it had written stays; this call's own value is only what is written now.
    pub fn resume_token(mut self, token: u64) -> Self {
        self.join.resume_token = token;
        self
    }

    /// How long to look for a server, instead of the client's; also while all are known to be down.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Run the function here when no server can be reached, instead of the client's setting.
    pub fn fail_open(mut self, fail_open: bool) -> Self {
        self.join.fail_open = fail_open;
        self
    }

    /// Merge with equal calls of this client (true). A merged call knows nothing of a forget by
    /// another process: it may get the outcome of a flight that was forgotten before it began.
    pub fn local_merge(mut self, merge: bool) -> Self {
        self.join.local_merge = merge;
        self
    }

    /// Runs `function` if this call is told to lead, or else waits for who leads. The value travels
    /// as JSON, so callers in other languages can read it. Dropping the future leaves the flight.
    ///
    /// # Errors
    /// [`Error::Function`]: what the leader's function failed with. [`Error::Status`]: the call
    /// failed. [`Error::Codec`]: the value is no JSON of this type.
    pub async fn run<T, E, F, Fut>(self, function: F) -> Result<Flight<T>, Error>
    where
        T: Serialize + DeserializeOwned + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: FnOnce(Leader) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let function = boxed(function, |value: T| match serde_json::to_vec(&value) {
            Ok(json) => Ok(json.into()),
            Err(error) => Err(FunctionError::new(format!("the value is no JSON: {error}"))),
        });
        let Flight { value, facts } = self.start(Some(function), None).await?;
        let value = serde_json::from_slice(&value).map_err(|error| {
            Error::Codec(format!("the leader's value cannot be read as JSON: {error}"))
        })?;
        Ok(Flight { value, facts })
    }

    /// [`run`](Call::run) for a value of bytes, which travels as it is.
    ///
    /// # Errors
    /// As `run`, but for the codec.
    pub async fn run_bytes<B, E, F, Fut>(self, function: F) -> Result<Flight<Bytes>, Error>
    where
        B: Into<Bytes> + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: FnOnce(Leader) -> Fut + Send + 'static,
        Fut: Future<Output = Result<B, E>> + Send + 'static,
    {
        self.start(Some(boxed(function, |value: B| Ok(value.into()))), None).await
    }

    /// Waits for who leads, and never leads (`Role::FollowOnly`).
    ///
    /// # Errors
    /// `NotFound`: there is nothing to follow.
    pub async fn follow(mut self) -> Result<Flight<Bytes>, Error> {
        self.join.role = Role::FollowOnly;
        self.start(None, None).await
    }

    /// Like [`run_bytes`](Call::run_bytes), and hands out the bytes of the value while the leader
    /// still writes them, unless this call leads.
    pub fn live<B, E, F, Fut>(mut self, function: F) -> Chunks
    where
        B: Into<Bytes> + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: FnOnce(Leader) -> Fut + Send + 'static,
        Fut: Future<Output = Result<B, E>> + Send + 'static,
    {
        self.join.live = true;
        let (sender, events) = mpsc::unbounded_channel();
        let function = boxed(function, |value: B| Ok(value.into()));
        Chunks { waiting: self.start(Some(function), Some(sender)), events }
    }

    fn start(
        mut self,
        function: Option<Function>,
        events: Option<mpsc::UnboundedSender<Event>>,
    ) -> Waiting {
        let (done, end) = oneshot::channel();
        let inner = self.client.handle.inner.clone();
        let join = &mut self.join;
        // What only follows, or takes a lead back, cannot be done alone.
        join.fail_open &= join.role != Role::FollowOnly && join.resume_token == 0;
        let start = CallStart {
            join: self.join,
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            function,
            done,
            events,
        };
        let id = if start.join.key.is_empty() {
            let why = "key is missing: a key has 1 to 1,024 bytes";
            let _ = start.done.send(Err(StatusError::new(Code::InvalidArgument, why).into()));
            None
        } else {
            Some(inner.start_call(start))
        };
        Waiting { inner, id, end, _client: self.client }
    }
}

fn boxed<T, E, F, Fut>(function: F, encode: fn(T) -> Result<Bytes, FunctionError>) -> Function
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
    F: FnOnce(Leader) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: 'static,
{
    Box::new(move |leader: Leader| {
        let future = function(leader.clone());
        Box::pin(async move {
            let value = future.await.map_err(FunctionError::of)?;
            // What is too large is told by the outcome; who lost the lead is not asked.
            let _ = leader.append(encode(value)?);
            Ok(())
        })
    })
}

// The end of a call. Dropped before it has come, it leaves the flight.
struct Waiting {
    inner: Arc<Inner>,
    id: Option<CallId>,
    end: oneshot::Receiver<CallEnd>,
    _client: Client, // open as long as somebody waits
}

impl Future for Waiting {
    type Output = CallEnd;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<CallEnd> {
        Pin::new(&mut self.end).poll(context).map(|end| {
            self.id = None;
            end.unwrap_or_else(|_| {
                Err(StatusError::new(Code::Cancelled, "the runtime has ended").into())
            })
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
    waiting: Waiting,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Chunks {
    /// The next event; `None` when the flight has ended.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Waits for the end; the value is whole, whatever was read from the stream.
    ///
    /// # Errors
    /// As [`Call::run_bytes`].
    pub async fn result(self) -> Result<Flight<Bytes>, Error> {
        self.waiting.await
    }
}

impl Stream for Chunks {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.poll_recv(context)
    }
}

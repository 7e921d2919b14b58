// SPDX-License-Identifier: Apache-2.0
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::client::Handle;
use crate::codec::{Codec, Json};
use crate::engine::{lock, CallStart, Function, Observation, Watch};
use crate::error::{CodecError, CodecStep, Error, Failure, FunctionError};
use crate::leader::Leader;
use crate::nesting::Leads;
use crate::options::{millis, Join, LeaderLoss, Role};
use crate::outcome::Flight;
use crate::panics::watched;
use crate::waiting::{Chunks, Event, Waiting};

// The least max_age: zero is any age.
const MAX_AGE_LEAST: Duration = Duration::from_millis(1);

/// One call, with its options. Those marked (opener) hold for the flight as its first caller gave
/// them; the others are each caller's own. Calls of one client with equal options, but for their
/// timeouts, are merged before they go to the network.
#[derive(Clone)]
#[must_use = "a call does nothing until it is run"]
pub struct Call<C = Json> {
    pub(crate) client: Arc<Handle>,
    pub(crate) codec: C,
    pub(crate) join: Join,
    pub(crate) timeout: Option<Duration>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) stale: Option<Duration>,
}

impl<C: Codec> Call<C> {
    pub(crate) fn new(client: Arc<Handle>, codec: C, key: &[u8]) -> Self {
        let settings = &client.inner.settings;
        let join = Join {
            key: Bytes::copy_from_slice(key),
            caller: settings.caller.clone(),
            fail_open: settings.fail_open,
            local_merge: true,
            ..Join::default()
        };
        Call { client, codec, join, timeout: None, connect_timeout: None, stale: None }
    }

    /// How the value becomes bytes, instead of the client's.
    pub fn codec<D: Codec>(self, codec: D) -> Call<D> {
        let Call { client, join, timeout, connect_timeout, stale, .. } = self;
        Call { client, codec, join, timeout, connect_timeout, stale }
    }

    /// The namespace of the key: at most 128 bytes of `[A-Za-z0-9._-]` ("default").
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.join.group = group.into();
        self
    }

    /// Ends the call with `DeadlineExceeded` after that (never), whatever its function does; zero:
    /// at once. The function goes on as long as others wait for it.
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

    /// Join no flight that was led before this call came, and take no retained outcome: when one
    /// runs, wait for the next, which all fresh calls share. For whoever has just written.
    pub fn fresh(mut self, fresh: bool) -> Self {
        self.join.fresh = fresh;
        self
    }

    /// (opener) `retain` and `retain_error` count from the `lead` of the winning attempt, not from
    /// the end: a window for "at most once in an hour".
    pub fn retain_from_lead(mut self, from_lead: bool) -> Self {
        self.join.retain_from_lead = from_lead;
        self
    }

    /// Serve a retained outcome up to so old at once, and where it is older than `max_age` make it
    /// anew in the background, once for all; when that fails, the old one goes on being served.
    /// `retain` is to be long enough. Without `max_age`, every retained outcome is made anew.
    pub fn stale(mut self, stale: Duration) -> Self {
        self.stale = Some(stale);
        self
    }

    /// How long to look for a server, instead of the client's; also while all are known to be
    /// silent. Zero: it does not wait; only a connection that is there already will do.
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
    /// as the codec writes it, so callers in other languages can read JSON. Dropping the future
    /// leaves the flight. `function` runs in a task of the client's runtime: what blocks a thread
    /// belongs into [`run_blocking`](Call::run_blocking).
    ///
    /// A retained value that cannot be decoded counts as not retained, once.
    ///
    /// # Errors
    /// [`Error::Function`]: what the leader's function ended with. [`Error::Status`]: what the
    /// service did not do. [`Error::Codec`]: what the codec could not do.
    pub async fn run<T, E, F, Fut>(self, function: F) -> Result<Flight<T>, Error>
    where
        T: Serialize + DeserializeOwned + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: FnOnce(Leader) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (writer, reader) = (self.codec.clone(), self.codec.clone());
        let function = boxed(function, move |value: T| encoded(&writer, &value));
        self.settle(Some(function), move |value| decoded(&reader, value)).await
    }

    /// [`run`](Call::run) for a function that blocks its thread: it runs on a thread of the
    /// runtime's blocking pool. No thread can be ended from outside: when the lead is lost, or
    /// nobody waits any more, the call ends, and the function learns it by [`Leader::is_lost`] or
    /// from [`Leader::write_blocking`].
    ///
    /// # Errors
    /// As `run`.
    pub async fn run_blocking<T, E, F>(self, function: F) -> Result<Flight<T>, Error>
    where
        T: Serialize + DeserializeOwned + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: FnOnce(Leader) -> Result<T, E> + Send + 'static,
    {
        let (writer, reader) = (self.codec.clone(), self.codec.clone());
        let function = blocking(function, move |value: T| encoded(&writer, &value));
        self.settle(Some(function), move |value| decoded(&reader, value)).await
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
        self.settle(Some(boxed(function, |value: B| Ok(value.into()))), Ok).await
    }

    /// Waits for who leads, and never leads (`Role::FollowOnly`).
    ///
    /// # Errors
    /// As [`run`](Call::run), and `NotFound`: there is nothing to follow.
    pub async fn follow<T: DeserializeOwned>(mut self) -> Result<Flight<T>, Error> {
        self.join.role = Role::FollowOnly;
        let reader = self.codec.clone();
        self.settle(None, move |value| decoded(&reader, value)).await
    }

    /// [`follow`](Call::follow) for a value of bytes.
    ///
    /// # Errors
    /// As `follow`, but for the codec.
    pub async fn follow_bytes(mut self) -> Result<Flight<Bytes>, Error> {
        self.join.role = Role::FollowOnly;
        self.settle(None, Ok).await
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
        let watch = self.client.inner.watch(&self.join);
        let observed = watch.observation();
        Chunks { waiting: self.start(Some(function), Some(sender), observed), events, watch }
    }

    async fn settle<T>(
        self,
        function: Option<Function>,
        decode: impl Fn(Bytes) -> Result<T, CodecError>,
    ) -> Result<Flight<T>, Error> {
        let watch = self.client.inner.watch(&self.join);
        let end = self.settle_watched(function, decode, &watch).await;
        watch.over().await;
        end
    }

    async fn settle_watched<T>(
        mut self,
        function: Option<Function>,
        decode: impl Fn(Bytes) -> Result<T, CodecError>,
        watch: &Watch,
    ) -> Result<Flight<T>, Error> {
        let began = Instant::now();
        let function = Reusable::new(function);
        let fresh_ms = self.join.max_age_ms;
        if let Some(stale) = self.stale {
            self.join.max_age_ms = millis(stale).max(fresh_ms).max(millis(MAX_AGE_LEAST));
        }
        let (value, mut facts) =
            match self.clone().start(function.get(), None, watch.observation()).await {
                Ok(flight) => (Ok(flight.value), flight.facts),
                Err(Error::Function(error)) => {
                    let facts = error.facts.clone();
                    (Err(error), facts)
                }
                Err(error) => return Err(error),
            };
        let value = match value.map(&decode) {
            Ok(Err(error)) if !facts.retained || facts.led => return Err(error.into()),
            Ok(Err(_)) => {
                // Of another version of the program: as if it were not retained.
                self.outlive(MAX_AGE_LEAST).await;
                let again = self.anew(began);
                let second = again.start(function.get(), None, watch.observation()).await?;
                return Ok(Flight { value: decode(second.value)?, facts: second.facts });
            }
            Ok(Ok(value)) => Ok(value),
            Err(error) => Err(error),
        };
        let is_old = facts.retained && !facts.led && facts.age > Duration::from_millis(fresh_ms);
        if self.stale.is_some() && is_old {
            facts.stale = true;
            self.refresh(function, fresh_ms, facts.age);
        }
        match value {
            Ok(value) => Ok(Flight { value, facts }),
            Err(error) => Err(Error::Function(Box::new(FunctionError { facts, ..*error }))),
        }
    }

    // Lets what is retained by now become older than that.
    async fn outlive(&self, age: Duration) {
        let slept = self.client.inner.runtime().spawn(tokio::time::sleep(2 * age));
        let _ = slept.await; // a runtime that is over ends the call
    }

    // The same call, which takes nothing that is retained by now.
    fn anew(mut self, began: Instant) -> Self {
        self.join.max_age_ms = millis(MAX_AGE_LEAST);
        self.timeout = self.timeout.map(|timeout| timeout.saturating_sub(began.elapsed()));
        self
    }

    // Makes the outcome anew in the background, unless somebody has since. What fails is not
    // retained, so that the old one goes on being served.
    fn refresh(mut self, function: Reusable, fresh_ms: u64, age: Duration) {
        let Some(function) = function.get() else { return };
        let newer_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX).saturating_sub(1);
        self.join.max_age_ms = if fresh_ms > 0 { fresh_ms } else { newer_ms.max(1) };
        self.join.retain_error_ms = 0;
        self.join.fail_open = false;
        self.join.is_refresh = true;
        self.timeout = None;
        let runtime = self.client.inner.runtime().clone();
        runtime.spawn(async move { drop(self.start(Some(function), None, None).await) });
    }

    fn start(
        mut self,
        function: Option<Function>,
        events: Option<mpsc::UnboundedSender<Event>>,
        observed: Option<Arc<Observation>>,
    ) -> Waiting {
        let (done, end) = oneshot::channel();
        let inner = self.client.inner.clone();
        let join = &mut self.join;
        // What only follows, or takes a lead back, cannot be done alone.
        join.fail_open &= join.role != Role::FollowOnly && join.resume_token == 0;
        let start = CallStart {
            join: self.join,
            inside: Leads::current(),
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            function,
            done,
            events,
            observed,
        };
        let id = Some(inner.start_call(start));
        Waiting { inner, id, end, _client: self.client }
    }
}

impl<C> std::fmt::Debug for Call<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("group", &self.join.group)
            .field("key", &self.join.key)
            .finish_non_exhaustive()
    }
}

fn encoded<C: Codec, T: Serialize>(codec: &C, value: &T) -> Result<Bytes, Failure> {
    codec.encode(value).map_err(|error| Failure::Encode(CodecError::of(CodecStep::Encode, error)))
}

fn decoded<C: Codec, T: DeserializeOwned>(codec: &C, value: Bytes) -> Result<T, CodecError> {
    codec.decode(&value).map_err(|error| CodecError::of(CodecStep::Decode, error))
}

// A function that a second try may take when the first one has not run it.
struct Reusable(Option<Arc<Mutex<Option<Function>>>>);

impl Reusable {
    fn new(function: Option<Function>) -> Self {
        Reusable(function.map(|function| Arc::new(Mutex::new(Some(function)))))
    }

    fn get(&self) -> Option<Function> {
        let kept = self.0.clone()?;
        Some(Box::new(move |leader| {
            let function = lock(&kept).take();
            match function {
                Some(function) => function(leader),
                None => Box::pin(async { Err(FunctionError::abandoned().pass_on().into()) }),
            }
        }))
    }
}

fn boxed<T, E, F, Fut>(
    function: F,
    encode: impl Fn(T) -> Result<Bytes, Failure> + Send + 'static,
) -> Function
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
            leader.append_last(encode(value)?);
            Ok(())
        })
    })
}

fn blocking<T, E, F>(
    function: F,
    encode: impl Fn(T) -> Result<Bytes, Failure> + Send + 'static,
) -> Function
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
    F: FnOnce(Leader) -> Result<T, E> + Send + 'static,
    T: 'static,
{
    Box::new(move |leader: Leader| {
        Box::pin(async move {
            let inside = Leads::current();
            let run = move || {
                inside.sync_scope(|| {
                    let value = function(leader.clone()).map_err(FunctionError::of)?;
                    leader.append_last(encode(value)?);
                    Ok(())
                })
            };
            let running = tokio::task::spawn_blocking(move || watched(run));
            // It fails when the runtime is shut down, and then nobody waits.
            running.await.map_err(|error| FunctionError::new(error.to_string()))??
        })
    })
}

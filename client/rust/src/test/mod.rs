// SPDX-License-Identifier: Apache-2.0
//! For unit tests of programs that use this crate: a real client, and a scripted server beside it in
//! the same process. No daemon is needed, and no network. With the feature `test`.
//!
//! Unless a script says otherwise, whoever asks for a key is told to lead, so the function runs.
//! Nothing is retained: the next call runs it again. A script holds for a key, in every group, until
//! another one is set, for the calls that come after it.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use std::convert::Infallible;
//!
//! let fake = singleflightd::test::Fake::new();
//! fake.outcome("user:123", &"Ann");
//! let call = fake.client().call("user:123");
//! let name = call.run(|_| async { Ok::<_, Infallible>("Bob".to_owned()) }).await.unwrap();
//! assert_eq!(name.value, "Ann");
//! assert_eq!(fake.calls()[0].role, "follower");
//! # }
//! ```

mod service;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::io::{duplex, DuplexStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::engine::lock;
use crate::error::{Code, Error, FunctionError, StatusError};
use crate::leader::Leader;
use crate::observer::{CallEvent, CallEventKind, Observer, Trace};
use crate::options::ClientBuilder;
use crate::outcome::Flight;
use crate::{Client, Codec, Json};

const PIPE_BYTES: usize = 256 * 1024;

/// A scripted server, and a client that talks to it. It ends when it is dropped.
pub struct Fake {
    shared: Arc<Shared>,
    client: Client,
    serving: JoinHandle<()>,
}

/// What the server was asked for, with the options of the call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)] // they are named as the options
pub struct Asked {
    pub group: String,
    pub key: Bytes,
    pub retain: Duration,
    pub retain_error: Duration,
    pub max_age: Duration,
    pub lease: Duration,
    pub run_limit: Duration,
    pub max_attempts: u32,
    pub fingerprint: Bytes,
    pub fresh: bool,
    pub caller: String,
    pub traceparent: String,
}

/// What becomes of the calls for a key.
#[derive(Debug, Clone, Default)]
struct Script {
    step: Step,
    token: u64,   // of a lead; 0: the next one
    attempt: u32, // of a lead; 0: the first
}

#[derive(Debug, Clone, Default)]
enum Step {
    #[default]
    Leads,
    Follows(Bytes),
    Fails(Box<FunctionError>),
    IsRefused(StatusError),
    TakesOver,
    Loses,
}

struct Shared {
    state: Mutex<State>,
    connections: mpsc::UnboundedSender<io::Result<DuplexStream>>,
}

#[derive(Default)]
struct State {
    scripts: HashMap<Bytes, Script>,
    calls: Vec<CallEvent>,
    joins: Vec<Asked>,
    forgets: Vec<(String, Bytes)>,
    is_down: bool,
    broken: CancellationToken, // ends the sessions that are open
    token: u64,                // the last one granted
}

impl Default for Fake {
    fn default() -> Self {
        Fake::new()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Fake {
    /// Makes one, inside of a tokio runtime with time.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[must_use]
    pub fn new() -> Self {
        Fake::with(Client::builder().connect_timeout(Duration::from_secs(2)))
    }

    /// The same with other settings of the client. Addresses, TLS and tokens do not matter.
    ///
    /// # Panics
    /// Outside of a runtime, and with settings that cannot be.
    pub fn with(settings: ClientBuilder) -> Self {
        let (connections, incoming) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { state: Mutex::default(), connections });
        let client = settings.build_for_test(
            |observer| Arc::new(Noting { shared: shared.clone(), then: observer }),
            {
                let shared = shared.clone();
                Arc::new(move || shared.dial())
            },
        );
        let client = client.unwrap_or_else(|error| panic!("singleflightd::test: {error}"));
        let serving = tokio::spawn(service::serve(shared.clone(), incoming));
        Fake { shared, client, serving }
    }

    /// The client. It is real: what it merges, decodes, refuses and tries again is what a program
    /// would see.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Callers of the key follow, and get this value, written as JSON.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn outcome<T: Serialize>(&self, key: impl AsRef<[u8]>, value: &T) {
        let written = Json.encode(value).expect("singleflightd::test: the value is no JSON");
        self.outcome_bytes(key, written);
    }

    /// The same with a value of bytes, as they are.
    pub fn outcome_bytes(&self, key: impl AsRef<[u8]>, value: impl Into<Bytes>) {
        self.set(key, Step::Follows(value.into()));
    }

    /// Callers of the key follow, and get this error of a function elsewhere.
    pub fn failure(&self, key: impl AsRef<[u8]>, error: FunctionError) {
        self.set(key, Step::Fails(Box::new(error)));
    }

    /// The server refuses callers of the key with this status.
    pub fn refusal(&self, key: impl AsRef<[u8]>, code: Code, message: impl Into<String>) {
        self.set(key, Step::IsRefused(StatusError::new(code, message)));
    }

    /// A caller of the key follows, and then leads with attempt 2: the first leader was lost.
    pub fn takeover(&self, key: impl AsRef<[u8]>) {
        self.set(key, Step::TakesOver);
    }

    /// A caller of the key leads, and loses the lead at once: its function is dropped at its next
    /// `.await`, and the call ends with `Aborted`.
    pub fn lose(&self, key: impl AsRef<[u8]>) {
        self.set(key, Step::Loses);
    }

    /// A caller of the key leads, as without a script.
    pub fn lead(&self, key: impl AsRef<[u8]>) {
        self.set(key, Step::Leads);
    }

    /// From now on no server can be reached, and connections are broken. A call that does not fail
    /// open waits for `connect_timeout` (2 s with [`new`](Fake::new)), then ends with `Unavailable`.
    pub fn unavailable(&self) {
        let mut state = lock(&self.shared.state);
        state.is_down = true;
        std::mem::take(&mut state.broken).cancel();
    }

    /// Undoes `unavailable`.
    pub fn available(&self) {
        lock(&self.shared.state).is_down = false;
    }

    /// Every call that has ended, in that order, as an observer is told.
    #[must_use]
    pub fn calls(&self) -> Vec<CallEvent> {
        lock(&self.shared.state).calls.clone()
    }

    /// What the server was asked for, in that order. Equal calls at the same time are one; a call
    /// that reached no server is not among them.
    #[must_use]
    pub fn joins(&self) -> Vec<Asked> {
        lock(&self.shared.state).joins.clone()
    }

    /// Group and key of what was to be forgotten or ended.
    #[must_use]
    pub fn forgets(&self) -> Vec<(String, Bytes)> {
        lock(&self.shared.state).forgets.clone()
    }

    fn set(&self, key: impl AsRef<[u8]>, step: Step) {
        self.shared.set(key.as_ref(), Script { step, ..Script::default() });
    }
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fake").finish_non_exhaustive()
    }
}

impl Shared {
    fn set(&self, key: &[u8], script: Script) {
        lock(&self.state).scripts.insert(Bytes::copy_from_slice(key), script);
    }

    fn dial(&self) -> io::Result<DuplexStream> {
        let refused =
            || io::Error::new(io::ErrorKind::ConnectionRefused, "the fake is unavailable");
        if lock(&self.state).is_down {
            return Err(refused());
        }
        let (here, there) = duplex(PIPE_BYTES);
        self.connections.send(Ok(there)).map_err(|_| refused())?;
        Ok(here)
    }
}

/// Notes the calls, and tells the observer of the program.
struct Noting {
    shared: Arc<Shared>,
    then: Option<Arc<dyn Observer>>,
}

impl Observer for Noting {
    fn observe(&self, event: &CallEvent) {
        if event.kind == CallEventKind::Ended {
            lock(&self.shared.state).calls.push(event.clone());
        }
        if let Some(then) = &self.then {
            then.observe(event);
        }
    }

    fn begin(&self, group: &str) -> Option<Arc<dyn Trace>> {
        self.then.as_ref().and_then(|then| then.begin(group))
    }
}

/// What a leader of [`Lead::new`] holds.
#[derive(Debug, Clone, Default)]
pub struct LeadOptions {
    /// "": "default".
    pub group: String,
    /// "": "key".
    pub key: String,
    /// 0: 1.
    pub token: u64,
    /// 0: 1.
    pub attempt: u32,
}

/// A lead that a test holds, to call the function by itself.
pub struct Lead {
    /// What the function gets.
    pub leader: Leader,
    fake: Fake,
    finish: oneshot::Sender<Result<(), FunctionError>>,
    call: JoinHandle<Result<Flight<Bytes>, Error>>,
}

impl Lead {
    /// Makes a leader, inside of a tokio runtime with time.
    ///
    /// # Panics
    /// With a group that cannot be.
    pub async fn new(options: LeadOptions) -> Self {
        let fake = Fake::new();
        let key = if options.key.is_empty() { "key" } else { &options.key };
        let script = Script { token: options.token, attempt: options.attempt, ..Script::default() };
        fake.shared.set(key.as_bytes(), script);
        let (begins, begun) = oneshot::channel();
        let (finish, gate) = oneshot::channel();
        let call = fake.client.call(key).group(options.group).run_bytes(|leader| async move {
            let _ = begins.send(leader); // the test waits for it
            gate.await.unwrap_or_else(|_| Err(FunctionError::abandoned()))?;
            Ok::<_, FunctionError>(Bytes::new())
        });
        let call = tokio::spawn(call);
        let leader = begun.await.expect("singleflightd::test: the options cannot be");
        Lead { leader, fake, finish, call }
    }

    /// Lets another take the lead, and returns when this one knows.
    pub async fn lose(&self) {
        self.fake.unavailable(); // and there is no lease that would outlive it
        self.leader.lost().await;
    }

    /// Ends the flight, and returns what it ends with: the value is what was written to the leader.
    ///
    /// # Errors
    /// What was given, or `Aborted` when the lead was lost.
    ///
    /// # Panics
    /// When the runtime ends.
    pub async fn finish(self, end: Result<(), FunctionError>) -> Result<Flight<Bytes>, Error> {
        let _ = self.finish.send(end); // unless it was lost
        self.call.await.expect("singleflightd::test: the runtime has ended")
    }
}

impl std::fmt::Debug for Lead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lead").finish_non_exhaustive()
    }
}

// SPDX-License-Identifier: Apache-2.0
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::client::Client;
use crate::codec::{Codec, Json};
use crate::constants as shared;
use crate::error::{Code, StatusError};
use crate::observer::Observer;
use crate::security::{check_token_way, Given, TokenFile};
#[cfg(feature = "tls")]
use crate::tls::TlsFiles;

const FINGERPRINT_BYTES_MAX: usize = 64;

/// May this caller lead, must it?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Role {
    /// It leads or follows.
    #[default]
    Any,
    /// `Aborted` at once when somebody else leads.
    LeadOnly,
    /// `NotFound` at once when there is nothing to follow.
    FollowOnly,
}

/// What happens to the followers when the leader is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum LeaderLoss {
    /// The oldest follower runs the function anew.
    #[default]
    Promote,
    /// Every follower ends with `Aborted`.
    Fail,
    /// The loss is the outcome, for every follower: [`Kind::Abandoned`](crate::Kind::Abandoned),
    /// kept by `retain_error`. For what may not be tried twice.
    Hold,
}

#[cfg(feature = "test")]
pub(crate) type Dialer = dyn Fn() -> std::io::Result<tokio::io::DuplexStream> + Send + Sync;
pub(crate) type Traceparent = dyn Fn() -> Option<String> + Send + Sync;

#[derive(Clone)]
pub(crate) struct Settings {
    pub addresses: Vec<String>,
    pub caller: Arc<str>,
    pub fail_open: bool,
    pub connect_timeout: Duration,
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    pub keepalive_time: Duration,
    pub keepalive_timeout: Duration,
    pub result_limit: usize,
    pub observer: Option<Arc<dyn Observer>>,
    pub traceparent: Option<Arc<Traceparent>>,
    pub given: Given, // about security
    pub token: Option<TokenFile>,
    #[cfg(feature = "test")]
    pub dialer: Option<Arc<Dialer>>,
    #[cfg(feature = "tls")]
    pub tls: Option<tonic::transport::ClientTlsConfig>,
    #[cfg(feature = "tls")]
    pub tls_files: Option<TlsFiles>,
}

impl Settings {
    // Reads the files, and refuses what would be half secure.
    fn secure(&mut self) -> Result<(), StatusError> {
        #[cfg(feature = "tls")]
        let has_own_tls = self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        let has_own_tls = false;
        let given = std::mem::take(&mut self.given).with_environment(has_own_tls);
        given.check()?;
        #[cfg(feature = "tls")]
        {
            self.tls_files = TlsFiles::open(&given)?;
        }
        #[cfg(not(feature = "tls"))]
        if given.tls_ca.is_some() {
            return Err(invalid("tls_ca: this program was built without the feature `tls`"));
        }
        if let Some(path) = &given.token_file {
            if given.tls_ca.is_none() && !has_own_tls {
                check_token_way(&self.addresses)?;
            }
            self.token = Some(TokenFile::open(path)?);
        }
        self.given = given;
        Ok(())
    }

    /// A request, with the token if there is one.
    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Some(token) = &self.token {
            token.sign(&mut request);
        }
        request
    }

    /// What another token changes.
    pub fn token_version(&self) -> u64 {
        self.token.as_ref().map_or(0, TokenFile::version)
    }

    #[cfg(feature = "tls")]
    pub fn tls_for(&self, address: &str) -> Option<tonic::transport::ClientTlsConfig> {
        match (&self.tls, &self.tls_files) {
            (Some(own), _) => Some(own.clone()),
            (None, Some(files)) if !address.starts_with("unix:") => Some(files.current()),
            _ => None,
        }
    }

    /// How long one server may be silent; calls may be less patient.
    pub fn attempt_timeout(&self) -> Duration {
        match self.connect_timeout {
            Duration::ZERO => shared::ANSWER_TIMEOUT,
            timeout => timeout.min(shared::ANSWER_TIMEOUT),
        }
    }
}

/// Settings of a [`Client`]; made by [`Client::builder`].
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder<C = Json> {
    settings: Settings,
    codec: C,
}

impl<C> std::fmt::Debug for ClientBuilder<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let addresses = &self.settings.addresses;
        f.debug_struct("ClientBuilder").field("addresses", addresses).finish_non_exhaustive()
    }
}

impl ClientBuilder {
    pub(crate) fn new() -> Self {
        ClientBuilder {
            codec: Json,
            settings: Settings {
                addresses: Vec::new(),
                caller: "".into(),
                fail_open: false,
                connect_timeout: shared::CONNECT_TIMEOUT,
                backoff_min: shared::BACKOFF_MIN,
                backoff_max: shared::BACKOFF_MAX,
                keepalive_time: shared::KEEPALIVE_TIME,
                keepalive_timeout: shared::KEEPALIVE_TIMEOUT,
                result_limit: shared::RESULT_BYTES_MAX,
                observer: None,
                traceparent: None,
                given: Given::default(),
                token: None,
                #[cfg(feature = "test")]
                dialer: None,
                #[cfg(feature = "tls")]
                tls: None,
                #[cfg(feature = "tls")]
                tls_files: None,
            },
        }
    }
}

impl<C: Codec> ClientBuilder<C> {
    /// Adds a server: `host:port` or `unix:/path`. Without any, `SINGLEFLIGHT_ADDRESS` counts
    /// (comma separated), and without it `127.0.0.1:7433`. With several, each key has one home
    /// among them by rendezvous hashing: all programs must write the addresses in the same way.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.settings.addresses.push(address.into());
        self
    }

    /// The caller's name in listings, at most 128 bytes (`<program>@<host>:<process id>`).
    pub fn caller(mut self, caller: impl Into<String>) -> Self {
        self.settings.caller = caller.into().into();
        self
    }

    /// How the values of its calls become bytes ([`Json`]).
    pub fn codec<D: Codec>(self, codec: D) -> ClientBuilder<D> {
        ClientBuilder { settings: self.settings, codec }
    }

    /// When no server can be reached: run the function here, alone, and say so in the result. Also
    /// in the middle: a function that has begun goes on to its end, for the callers of this
    /// client. A server that is shutting down is not "no server".
    pub fn fail_open(mut self, fail_open: bool) -> Self {
        self.settings.fail_open = fail_open;
        self
    }

    /// How long a call looks for a server that takes it, at first or after the connection broke,
    /// before it ends with `Unavailable`: longer than a server is away that is restarted (30 s). With
    /// `fail_open` it is no longer than it takes to know that none is there: one that leaves a call
    /// without an answer for 5 s (`connect_timeout`, if that is shorter) is none. Zero: it does not
    /// wait; only a connection that is there already will do.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// The wait between two tries to connect is random, between zero and a bound that doubles from
    /// the first figure to the second (50 ms, 2 s).
    pub fn backoff(mut self, min: Duration, max: Duration) -> Self {
        self.settings.backoff_min = min;
        self.settings.backoff_max = max;
        self
    }

    /// A ping goes out after so much silence, and the connection is given up when nothing answers
    /// it in the second time (20 s, 5 s).
    pub fn keepalive(mut self, time: Duration, timeout: Duration) -> Self {
        self.settings.keepalive_time = time;
        self.settings.keepalive_timeout = timeout;
        self
    }

    /// The largest value in bytes that this process makes or takes (64 MiB).
    pub fn result_limit(mut self, bytes: usize) -> Self {
        self.settings.result_limit = bytes;
        self
    }

    /// The CA certificates (a PEM file) that servers' are verified with; "system": the system's
    /// roots. Turns TLS on, for all addresses but `unix:` ones. What is not given here or in the
    /// next four, the environment says: `SINGLEFLIGHT_TLS_CA`, `SINGLEFLIGHT_TLS_CERT`,
    /// `SINGLEFLIGHT_TLS_KEY`, `SINGLEFLIGHT_TLS_SERVER_NAME`, `SINGLEFLIGHT_TOKEN_FILE`.
    ///
    /// The files are read again for each new connection; while they cannot be used, what they held
    /// before counts.
    pub fn tls_ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.given.tls_ca = Some(path.into());
        self
    }

    /// This client's own certificate (a PEM file), for a server that asks for one.
    pub fn tls_cert(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.given.tls_cert = Some(path.into());
        self
    }

    /// The key of `tls_cert` (a PEM file).
    pub fn tls_key(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.given.tls_key = Some(path.into());
        self
    }

    /// The name to verify instead of the address's host.
    pub fn tls_server_name(mut self, name: impl Into<String>) -> Self {
        self.settings.given.tls_server_name = Some(name.into());
        self
    }

    /// A file that holds a token, which says who this client is. It is looked at again when
    /// something is asked, once a second at most, and calls after a change use the new token. A TCP
    /// address that is not the loopback needs TLS for it.
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.given.token_file = Some(path.into());
        self
    }

    /// Speaks TLS with these settings instead of those of files, to every address; certificates are
    /// checked against the host of the address.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: tonic::transport::ClientTlsConfig) -> Self {
        self.settings.tls = Some(tls);
        self
    }

    /// Is told what happens to the calls (nobody). With the feature `tracing`, the same is logged at
    /// debug level, with the target `singleflightd`.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.settings.observer = Some(Arc::new(observer));
        self
    }

    /// The W3C trace context of a call that begins, for the server's traces; it is called in the
    /// task that makes the call, and must not block (that of the observer's [`Trace`](crate::Trace)).
    pub fn traceparent(
        mut self,
        traceparent: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.settings.traceparent = Some(Arc::new(traceparent));
        self
    }

    /// Makes the client, inside of a tokio runtime (with I/O and time: `enable_all`), in which its
    /// tasks and the functions run. It connects when the first call needs it. Calls of a client that
    /// outlives its runtime end with `Cancelled`.
    ///
    /// # Errors
    /// `InvalidArgument`: an address or setting cannot be read. `FailedPrecondition`: there is no
    /// runtime here.
    pub fn build(mut self) -> Result<Client<C>, StatusError> {
        self.check()?;
        self.settings.secure()?;
        self.start()
    }

    /// A client whose connections are those of `dialer`, with an observer around the program's own.
    #[cfg(feature = "test")]
    pub(crate) fn build_for_test(
        mut self,
        observer: impl FnOnce(Option<Arc<dyn Observer>>) -> Arc<dyn Observer>,
        dialer: Arc<Dialer>,
    ) -> Result<Client<C>, StatusError> {
        let settings = &mut self.settings;
        settings.addresses = vec![shared::ADDRESS_DEFAULT.to_owned()];
        settings.observer = Some(observer(settings.observer.take()));
        settings.dialer = Some(dialer);
        self.check()?;
        self.start()
    }

    fn start(self) -> Result<Client<C>, StatusError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| {
            StatusError::new(Code::FailedPrecondition, "a client is made inside of a tokio runtime")
        })?;
        Ok(Client::start(self.settings, self.codec, runtime))
    }

    fn check(&mut self) -> Result<(), StatusError> {
        let settings = &mut self.settings;
        if settings.addresses.is_empty() {
            settings.addresses = default_addresses();
        }
        for address in &mut settings.addresses {
            *address = address.trim().to_owned();
            check_address(address)?;
        }
        if settings.addresses.len() > 64 {
            return Err(invalid("at most 64 addresses"));
        }
        if settings.caller.is_empty() {
            settings.caller = default_caller().into();
        }
        if settings.backoff_min.is_zero() || settings.backoff_min > settings.backoff_max {
            return Err(invalid("backoff: min is above 0, and not above max"));
        }
        if settings.keepalive_time.is_zero() || settings.keepalive_timeout.is_zero() {
            return Err(invalid("keepalive: both times are above 0"));
        }
        Ok(())
    }
}

fn invalid(message: impl Into<String>) -> StatusError {
    StatusError::new(Code::InvalidArgument, message)
}

fn default_addresses() -> Vec<String> {
    let given = std::env::var(shared::ADDRESS_VARIABLE).unwrap_or_default();
    let listed: Vec<String> =
        given.split(',').map(str::trim).filter(|a| !a.is_empty()).map(Into::into).collect();
    if listed.is_empty() {
        vec![shared::ADDRESS_DEFAULT.to_owned()]
    } else {
        listed
    }
}

fn check_address(address: &str) -> Result<(), StatusError> {
    let good = match address.strip_prefix("unix:") {
        Some(path) => !path.is_empty(),
        None => address.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && is_port(port)),
    };
    if good {
        return Ok(());
    }
    Err(invalid(format!(
        "address \"{}\" is none: write host:port, with a port from 1 to 65535 and nothing before \
         the host, or unix:/path",
        address.escape_debug()
    )))
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !host.is_empty() && host.bytes().all(|c| c.is_ascii_alphanumeric() || b".-_".contains(&c))
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|digit| digit.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|n| n > 0)
}

fn default_caller() -> String {
    let program = std::env::current_exe()
        .ok()
        .and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "rust".to_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_else(|_| "localhost".to_owned());
    let mut caller = format!("{program}@{}:{}", host.trim(), std::process::id());
    let mut end = caller.len().min(shared::CALLER_BYTES_MAX);
    while !caller.is_char_boundary(end) {
        end -= 1;
    }
    caller.truncate(end);
    caller
}

// The options of one call. Calls that are equal here are merged; what is each caller's own is not
// in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Join {
    pub group: String,
    pub key: Bytes,
    pub role: Role,
    pub live: bool,
    pub audience: bool,
    pub retain_ms: u64,
    pub retain_error_ms: u64,
    pub max_age_ms: u64,
    pub lease_ms: u64,
    pub run_limit_ms: u64,
    pub on_leader_loss: LeaderLoss,
    pub max_attempts: u32,
    pub fingerprint: Bytes,
    pub resume_token: u64,
    pub fresh: bool,
    pub retain_from_lead: bool,
    pub caller: Arc<str>,
    pub fail_open: bool,
    pub local_merge: bool,
    pub is_refresh: bool, // of a stale outcome, which only a better one may replace
}

// Of the options, those that may well differ between calls of the same key.
impl Hash for Join {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.group.hash(state);
        self.key.hash(state);
        self.fingerprint.hash(state);
        self.caller.hash(state);
    }
}

impl Join {
    /// What no server would take, whatever its settings.
    pub fn check(&self) -> Result<(), StatusError> {
        if self.key.is_empty() {
            return Err(invalid("key is missing: a key has 1 to 1,024 bytes"));
        }
        if self.key.len() > shared::KEY_BYTES_MAX {
            return Err(invalid("key is too long: a key has 1 to 1,024 bytes"));
        }
        if !self.group.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c)) {
            return Err(invalid(
                "group has other characters than A-Z, a-z, 0-9, \".\", \"_\", \"-\"",
            ));
        }
        if self.fingerprint.len() > FINGERPRINT_BYTES_MAX {
            return Err(invalid("fingerprint is longer than 64 bytes: take a hash"));
        }
        if self.caller.len() > shared::CALLER_BYTES_MAX {
            return Err(invalid("caller is longer than 128 bytes"));
        }
        if self.lease_ms > 0 && self.lease_ms < 1000 {
            return Err(invalid("lease is shorter than a second"));
        }
        Ok(())
    }

    pub fn is_for(&self, group: &str, key: &[u8]) -> bool {
        self.group_or_default() == group_or_default(group) && self.key == key
    }

    pub fn group_or_default(&self) -> &str {
        group_or_default(&self.group)
    }

    pub fn merges(&self) -> bool {
        // A fresh one may not join what is under way, here either.
        let is_plain = !self.live && !self.fresh && self.resume_token == 0;
        self.local_merge && is_plain && self.role == Role::Any
    }
}

fn group_or_default(group: &str) -> &str {
    if group.is_empty() {
        "default"
    } else {
        group
    }
}

// What is no whole millisecond is rounded up, so that a short time does not become "none".
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

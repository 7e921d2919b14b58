// SPDX-License-Identifier: Apache-2.0
//! How connections are secured, and how this client says who it is.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::Request;

use crate::constants as shared;
use crate::engine::lock;
use crate::error::{Code, StatusError};

const TOKEN_BYTES_MAX: usize = 4096;

/// What the program has said, or else the environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    pub tls_ca: Option<PathBuf>,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub tls_server_name: Option<String>,
    pub token_file: Option<PathBuf>,
}

impl Given {
    /// Fills in what is not given; of TLS nothing, when the program brings its own.
    pub fn with_environment(self, has_own_tls: bool) -> Self {
        let path = |variable| variable_of(variable).map(PathBuf::from);
        let token_file = self.token_file.or_else(|| path(shared::TOKEN_FILE_VARIABLE));
        if has_own_tls {
            return Given { token_file, ..Given::default() };
        }
        let text = |value: std::ffi::OsString| value.into_string().ok();
        Given {
            tls_ca: self.tls_ca.or_else(|| path(shared::TLS_CA_VARIABLE)),
            tls_cert: self.tls_cert.or_else(|| path(shared::TLS_CERT_VARIABLE)),
            tls_key: self.tls_key.or_else(|| path(shared::TLS_KEY_VARIABLE)),
            tls_server_name: self
                .tls_server_name
                .or_else(|| variable_of(shared::TLS_SERVER_NAME_VARIABLE).and_then(text)),
            token_file,
        }
    }

    /// Half of TLS would be none.
    pub fn check(&self) -> Result<(), StatusError> {
        let has_more =
            self.tls_cert.is_some() || self.tls_key.is_some() || self.tls_server_name.is_some();
        if self.tls_ca.is_none() && has_more {
            return Err(refused(
                "tls_ca (SINGLEFLIGHT_TLS_CA) is missing: with tls_cert, tls_key or \
                 tls_server_name it says whom to trust; \"system\" is the system's roots",
            ));
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err(refused(
                "tls_cert (SINGLEFLIGHT_TLS_CERT) and tls_key (SINGLEFLIGHT_TLS_KEY) need each other",
            ));
        }
        Ok(())
    }
}

fn variable_of(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn refused(message: impl Into<String>) -> StatusError {
    StatusError::new(Code::InvalidArgument, message)
}

/// A unix socket or the loopback: nobody reads on the way.
pub(crate) fn is_local(address: &str) -> bool {
    if address.starts_with("unix:") {
        return true;
    }
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Refuses a token that others could read on its way.
pub(crate) fn check_token_way(addresses: &[String]) -> Result<(), StatusError> {
    match addresses.iter().find(|address| !is_local(address)) {
        None => Ok(()),
        Some(address) => Err(refused(format!(
            "token_file: the token would travel in plain text to {address}: set tls_ca \
             (SINGLEFLIGHT_TLS_CA), too"
        ))),
    }
}

/// The token that a file holds. It is read again when the file has changed; while that cannot be
/// used, the token stays what it was.
#[derive(Clone)]
pub(crate) struct TokenFile {
    path: Arc<Path>,
    held: Arc<Mutex<Held>>,
}

struct Held {
    header: MetadataValue<Ascii>,
    seen: Seen,
    looked: Instant,
    version: u64, // grows with every other token
}

/// What tells that a file has changed.
#[derive(PartialEq, Eq)]
struct Seen(u64, u64, u64, i64, i64);

impl Seen {
    fn of(file: &Metadata) -> Self {
        Seen(file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec())
    }
}

// Never what is in it.
impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenFile").field(&self.path).finish()
    }
}

impl TokenFile {
    pub fn open(path: &Path) -> Result<Self, StatusError> {
        let (header, seen) =
            read_token(path).map_err(|why| refused(format!("token_file: {why}")))?;
        let held = Held { header, seen, looked: Instant::now(), version: 1 };
        Ok(TokenFile { path: path.into(), held: Arc::new(Mutex::new(held)) })
    }

    /// Looks at the file, if it is time to; the number is another with another token.
    pub fn version(&self) -> u64 {
        let mut held = lock(&self.held);
        if held.looked.elapsed() >= shared::FILES_LOOK {
            held.looked = Instant::now();
            self.look(&mut held);
        }
        held.version
    }

    fn look(&self, held: &mut Held) {
        let has_changed =
            std::fs::metadata(&self.path).is_ok_and(|file| Seen::of(&file) != held.seen);
        if !has_changed {
            return;
        }
        let Ok((header, seen)) = read_token(&self.path) else { return };
        if header != held.header {
            held.version += 1;
            held.header = header;
        }
        held.seen = seen;
    }

    /// A request that shows the token.
    pub fn sign<T>(&self, request: &mut Request<T>) {
        self.version();
        let header = lock(&self.held).header.clone();
        request.metadata_mut().insert("authorization", header);
    }
}

fn read_token(path: &Path) -> Result<(MetadataValue<Ascii>, Seen), String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let seen = Seen::of(&std::fs::metadata(path).map_err(told)?);
    let bytes = std::fs::read(path).map_err(told)?;
    let token = bytes.trim_ascii();
    if token.is_empty() {
        return Err(format!("{} is empty", path.display()));
    }
    if token.len() > TOKEN_BYTES_MAX || !token.iter().all(u8::is_ascii_graphic) {
        return Err(format!(
            "{} does not hold one token of at most {TOKEN_BYTES_MAX} printable characters",
            path.display()
        ));
    }
    let text = [b"Bearer ", token].concat();
    let mut header = MetadataValue::try_from(text.as_slice()).map_err(|error| error.to_string())?;
    header.set_sensitive(true);
    Ok((header, seen))
}

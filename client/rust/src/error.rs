// SPDX-License-Identifier: Apache-2.0
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
pub use tonic::Code;

use crate::outcome::Facts;

// A chain may have no end.
const CAUSES_MAX: usize = 32;

type Source = Arc<dyn std::error::Error + Send + Sync>;

/// Why a call has no value.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// The function ended with an error: an outcome that all callers of the flight share.
    Function(Box<FunctionError>),
    /// The call failed, for this caller alone.
    Status(StatusError),
    /// The codec could not turn the value into bytes, or the bytes into a value of this type.
    Codec(CodecError),
}

impl Error {
    /// The status, unless the function or the codec is to blame.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Error::Status(status) => Some(status.code),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Function(error) => error.fmt(f),
            Error::Status(status) => status.fmt(f),
            Error::Codec(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Function(error) => std::error::Error::source(error.as_ref()),
            Error::Codec(error) => std::error::Error::source(error),
            Error::Status(_) => None,
        }
    }
}

/// The code as gRPC's documents write it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

impl From<StatusError> for Error {
    fn from(status: StatusError) -> Self {
        Error::Status(status)
    }
}

impl From<CodecError> for Error {
    fn from(error: CodecError) -> Self {
        Error::Codec(error)
    }
}

/// How a call to the service failed. `Unavailable`: no server could be reached; `Aborted`: the lead
/// was lost ("fenced"), nobody may lead any more, or another leads (`Role::LeadOnly`);
/// `DeadlineExceeded`, `Cancelled`, `NotFound` (`Role::FollowOnly`), `FailedPrecondition` (another
/// fingerprint), `InvalidArgument`, `ResourceExhausted` (the message names the limit);
/// `Unauthenticated` (the server does not know who asks), `PermissionDenied` (it does, and says no).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatusError {
    /// The gRPC status.
    pub code: Code,
    /// What happened, and what to do about it.
    pub message: String,
}

impl StatusError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        StatusError { code, message: message.into() }
    }
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.code, self.message)
    }
}

impl std::error::Error for StatusError {}

/// Which way the codec was asked to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecStep {
    /// The leader's value could not become bytes: an error of every caller of the flight.
    Encode,
    /// This caller could not read the value.
    Decode,
}

/// What the codec could not do, as the leader or as a follower.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CodecError {
    /// To write, or to read.
    pub step: CodecStep,
    /// Why, in words.
    pub message: String,
    source: Option<Source>,
}

impl CodecError {
    pub(crate) fn new(step: CodecStep, message: impl Into<String>) -> Self {
        CodecError { step, message: message.into(), source: None }
    }

    pub(crate) fn of(
        step: CodecStep,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let source: Source = source.into().into();
        CodecError { step, message: source.to_string(), source: Some(source) }
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            CodecStep::Encode => write!(f, "the value cannot be encoded: {}", self.message),
            CodecStep::Decode => write!(f, "the value cannot be decoded: {}", self.message),
        }
    }
}

impl std::error::Error for CodecError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

// Why a leader's function made no value.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    Function(FunctionError),
    Encode(CodecError),
}

impl From<FunctionError> for Failure {
    fn from(error: FunctionError) -> Self {
        Failure::Function(error)
    }
}

/// How a function ended that made no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// It returned an error.
    Error,
    /// It panicked.
    Panic,
    /// It gave up, or ended without saying how.
    Abandoned,
}

/// What a leader's function ended with, if not with a value. A function may return one to say more
/// than its own error type can.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FunctionError {
    /// How it ended.
    pub kind: Kind,
    /// The error in words.
    pub message: String,
    /// The error's type, as the leader's language names it.
    pub type_name: String,
    /// Where it happened, and what caused it: a backtrace or stack trace, and a line for each
    /// cause; may be empty.
    pub stack: String,
    /// The function's own error code; 0 if it has none.
    pub code: i32,
    /// Anything the function added, at most 64 KiB.
    pub details: Bytes,
    /// What it had written before. May stand beside an error.
    pub value: Bytes,
    /// What is known of the flight.
    pub facts: Facts,
    pub(crate) pass_on: bool,
    pub(crate) source: Option<Source>,
}

impl FunctionError {
    /// An error with this text.
    pub fn new(message: impl Into<String>) -> Self {
        FunctionError {
            kind: Kind::Error,
            message: message.into(),
            type_name: String::new(),
            stack: String::new(),
            code: 0,
            details: Bytes::new(),
            value: Bytes::new(),
            facts: Facts::default(),
            pass_on: false,
            source: None,
        }
    }

    /// The function gives up.
    #[must_use]
    pub fn abandoned() -> Self {
        FunctionError { kind: Kind::Abandoned, ..FunctionError::new("the leader gave up") }
    }

    /// Sets the type that followers read.
    #[must_use]
    pub fn with_type(mut self, type_name: impl Into<String>) -> Self {
        self.type_name = type_name.into();
        self
    }

    /// Sets the function's own error code.
    #[must_use]
    pub fn with_code(mut self, code: i32) -> Self {
        self.code = code;
        self
    }

    /// Adds anything; what is beyond 64 KiB is cut off for followers.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<Bytes>) -> Self {
        self.details = details.into();
        self
    }

    /// Sets the error that caused this one. Followers find it and its own causes in `stack`.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into().into());
        self
    }

    /// This failure is this process's own, not that of the work: let the next caller try. The
    /// others get the last failure once nobody is left to try.
    #[must_use]
    pub fn pass_on(mut self) -> Self {
        self.pass_on = true;
        self
    }

    /// The very error that the function returned, when it ran for a call of this process.
    #[must_use]
    pub fn original(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    // What a function returned. One of ours speaks for itself.
    pub(crate) fn of<E>(error: E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match error.into().downcast::<FunctionError>() {
            Ok(own) => {
                let causes =
                    own.source.as_deref().map(|cause| causes_from(cause)).unwrap_or_default();
                own.with_causes(&causes)
            }
            Err(error) => {
                let type_name = match std::any::type_name::<E>() {
                    name if name.contains("dyn ") => String::new(), // tells nothing
                    name => name.to_owned(),
                };
                let causes = error.source().map(causes_from).unwrap_or_default();
                FunctionError::new(error.to_string())
                    .with_type(type_name)
                    .with_source(error)
                    .with_causes(&causes)
            }
        }
    }

    fn with_causes(mut self, causes: &str) -> Self {
        if !causes.is_empty() && !self.stack.is_empty() {
            self.stack.push('\n');
        }
        self.stack.push_str(causes);
        self
    }
}

// A line for an error, and one for each of its causes.
fn causes_from(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |cause| cause.source());
    let lines = causes.take(CAUSES_MAX).map(|cause| format!("caused by: {cause}"));
    lines.collect::<Vec<_>>().join("\n")
}

impl fmt::Display for FunctionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Error => f.write_str(&self.message),
            Kind::Panic => write!(f, "the leader's function panicked: {}", self.message),
            Kind::Abandoned => write!(f, "the leader's function gave up: {}", self.message),
        }
    }
}

impl std::error::Error for FunctionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Singleflight across processes, machines and languages.
//!
//! Many tasks, processes and machines ask for the same piece of work at the same time; one of them
//! does it, and all of them get what it made. Needs a running `singleflightd`.
//!
//! ```no_run
//! # async fn query(id: u64) -> Result<String, std::io::Error> { Ok(id.to_string()) }
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! let client = singleflightd::Client::builder().address("127.0.0.1:7433").build()?;
//! let name = client
//!     .call("user:123")
//!     .retain(Duration::from_secs(5))
//!     .run(|leader| async move {
//!         // Runs in one process. What is written with leader.token() can be fenced.
//!         println!("token {}", leader.token());
//!         query(123).await
//!     })
//!     .await?;
//! println!("{} (shared: {})", name.value, name.shared);
//! # Ok(()) }
//! ```
//!
//! The words are those of the service: a *flight* is one unit of work for a group and key; the one
//! caller that runs the function is its *leader*, the others are *followers*; the *token* of a
//! leader is greater than every token granted before for that key: hand it to what the function
//! writes to, so that a leader that was paused and has been replaced is refused there.
//!
//! # How a function ends
//!
//! `Ok(value)` is the value of everybody. `Err(error)` is an error of everybody: the leader's own
//! caller finds the very error as the [source](std::error::Error::source) of its [`FunctionError`],
//! followers get its message and type. To say more, return a [`FunctionError`]. A panic is caught
//! and becomes [`Kind::Panic`] with message and backtrace; for the backtrace, the first call of a
//! client adds a panic hook before the one that is there, which acts in leaders' functions alone.
//!
//! # Cancellation
//!
//! A call ends at once when its timeout is over or its future is dropped. Its function goes on as
//! long as anybody waits for it, in this process or in another. When nobody does any more, or when
//! the lead is lost, it is dropped at its next `.await`. What it has given to other tasks or threads
//! learns it by [`Leader::lost`] or [`Leader::is_lost`].
//!
//! # Calls inside of calls
//!
//! A call for a key that the calling function leads would wait for itself, and fails with
//! [`Code::FailedPrecondition`]. [`Leader::inside`] takes that knowledge to other tasks.
//!
//! # Features
//!
//! `tls` (default): TLS to the daemon. `tracing`: what happens to calls is logged at debug level.
//! `otel`: OpenTelemetry sees the calls. `test`: a scripted server in the process, for unit tests.
#![doc(html_no_source)]

mod call;
mod client;
mod clock;
mod codec;
mod constants;
mod engine;
mod error;
mod finite;
mod leader;
mod nesting;
mod observer;
mod options;
#[cfg(feature = "otel")]
pub mod otel;
mod outcome;
mod panics;
mod pb;
mod security;
#[cfg(feature = "test")]
pub mod test;
#[cfg(feature = "tls")]
mod tls;
mod waiting;

pub use call::Call;
pub use client::{Client, Forgotten};
pub use codec::{Codec, Json};
pub use error::{Code, CodecError, CodecStep, Error, FunctionError, Kind, StatusError};
pub use leader::{Audience, Leader};
pub use observer::{CallEvent, CallEventKind, Observer, Trace};
pub use options::{ClientBuilder, LeaderLoss, Role};
pub use outcome::{Facts, Flight};
pub use waiting::{Chunks, Event};

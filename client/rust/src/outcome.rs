// SPDX-License-Identifier: Apache-2.0
use std::ops::Deref;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::error::{Error, Failure, FunctionError};

/// What is known of a flight that has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facts {
    /// This very call ran the function whose outcome this is.
    pub led: bool,
    /// The outcome went to more than one caller; true for the leader, too.
    pub shared: bool,
    /// To how many, the leader and the merged callers of this process included.
    pub callers: u32,
    /// The how-many-eth leader of the flight made it, from 1.
    pub attempt: u32,
    /// The fencing token of that leader; 0 when it began without a server.
    pub token: u64,
    /// Served from a retained outcome: nobody ran anything for this call.
    pub retained: bool,
    /// Age of that outcome.
    pub age: Duration,
    /// For how long from now the outcome is retained; zero: it is not.
    pub retain: Duration,
    /// It should have been retained, but the server had no room.
    pub retain_refused: bool,
    /// The retained outcome was older than `max_age`: it is made anew in the background.
    pub stale: bool,
    /// No server could be reached, at the beginning or in the middle, and the function ran in this
    /// process alone.
    pub failed_open: bool,
}

/// A value, and how it came about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Flight<T> {
    /// What the leader's function made.
    pub value: T,
    /// How it came about; its fields are read as if they were the flight's.
    pub facts: Facts,
}

impl<T> Deref for Flight<T> {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.facts
    }
}

// How a flight ended, before it is known for whom: shared by the merged calls.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub value: Bytes,
    pub error: Option<Failure>,
}

impl Outcome {
    pub fn into_result(self, facts: Facts) -> Result<Flight<Bytes>, Error> {
        match self.error {
            None => Ok(Flight { value: self.value, facts }),
            Some(Failure::Function(error)) => {
                Err(Error::Function(Box::new(FunctionError { value: self.value, facts, ..error })))
            }
            Some(Failure::Encode(error)) => Err(Error::Codec(error)),
        }
    }
}

// One piece out of many; a single one is not copied.
pub(crate) fn join_pieces(pieces: &[Bytes]) -> Bytes {
    match pieces {
        [] => Bytes::new(),
        [one] => one.clone(),
        many => {
            let mut whole = BytesMut::with_capacity(many.iter().map(Bytes::len).sum());
            many.iter().for_each(|piece| whole.extend_from_slice(piece));
            whole.freeze()
        }
    }
}

pub(crate) mod wire {
    use super::Outcome;
    use crate::constants::{DETAILS_BYTES_MAX, TYPE_ENCODE_ERROR, TYPE_LIMIT_EXCEEDED};
    use crate::error::{Code, CodecError, CodecStep, Failure, FunctionError, Kind};
    use crate::pb::singleflight as pb;
    use bytes::Bytes;

    // The value is larger than may be.
    pub fn over_limit(message: String) -> FunctionError {
        FunctionError::new(message)
            .with_type(TYPE_LIMIT_EXCEEDED)
            .with_code(Code::ResourceExhausted.into())
    }

    // An outcome whose value has been put together from its pieces.
    pub fn read(outcome: pb::Outcome, value: Bytes) -> Outcome {
        let kind = match outcome.kind() {
            pb::OutcomeKind::Ok => return Outcome { value, error: None },
            pb::OutcomeKind::Panic => Kind::Panic,
            pb::OutcomeKind::Abandoned | pb::OutcomeKind::Unspecified => Kind::Abandoned,
            pb::OutcomeKind::Error => Kind::Error,
        };
        if outcome.r#type == TYPE_ENCODE_ERROR {
            let error = CodecError::new(CodecStep::Encode, outcome.message);
            return Outcome { value, error: Some(Failure::Encode(error)) };
        }
        let error = FunctionError {
            kind,
            type_name: outcome.r#type,
            stack: outcome.stack,
            code: outcome.code,
            details: outcome.details,
            ..FunctionError::new(outcome.message)
        };
        Outcome { value, error: Some(Failure::Function(error)) }
    }

    // `tail`: the part of the value that no chunk has carried.
    pub fn write(error: Option<&Failure>, tail: Bytes) -> pb::Outcome {
        let outcome = match error {
            None => of_kind(pb::OutcomeKind::Ok),
            Some(Failure::Function(error)) => of_function(error),
            Some(Failure::Encode(error)) => pb::Outcome {
                message: error.message.clone(),
                r#type: TYPE_ENCODE_ERROR.to_owned(),
                ..of_kind(pb::OutcomeKind::Error)
            },
        };
        pb::Outcome { value: tail, ..outcome }
    }

    fn of_kind(kind: pb::OutcomeKind) -> pb::Outcome {
        pb::Outcome { kind: kind.into(), ..Default::default() }
    }

    fn of_function(error: &FunctionError) -> pb::Outcome {
        let kind = match error.kind {
            Kind::Error => pb::OutcomeKind::Error,
            Kind::Panic => pb::OutcomeKind::Panic,
            Kind::Abandoned => pb::OutcomeKind::Abandoned,
        };
        pb::Outcome {
            code: error.code,
            message: error.message.clone(),
            r#type: error.type_name.clone(),
            stack: error.stack.clone(),
            // More would end the stream, and the work would be done again.
            details: error.details.slice(..error.details.len().min(DETAILS_BYTES_MAX)),
            ..of_kind(kind)
        }
    }
}

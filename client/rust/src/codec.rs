// SPDX-License-Identifier: Apache-2.0
//! How values become bytes.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::Serialize;

use crate::finite::is_finite;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Turns values into the bytes that travel, and back. One belongs to a client
/// ([`ClientBuilder::codec`](crate::ClientBuilder::codec)) or to one call
/// ([`Call::codec`](crate::Call::codec)). All programs that share a key use the same.
///
/// An error of it becomes a [`CodecError`](crate::CodecError): of `encode` for every caller of the
/// flight, of `decode` for the caller that cannot read the value.
///
/// ```
/// # use bytes::Bytes;
/// # use serde::{de::DeserializeOwned, Serialize};
/// #[derive(Debug, Clone)]
/// struct Pretty;
///
/// impl singleflightd::Codec for Pretty {
///     type Error = serde_json::Error;
///
///     fn encode<T: Serialize>(&self, value: &T) -> Result<Bytes, Self::Error> {
///         serde_json::to_vec_pretty(value).map(Bytes::from)
///     }
///
///     fn decode<T: DeserializeOwned>(&self, value: &[u8]) -> Result<T, Self::Error> {
///         serde_json::from_slice(value)
///     }
/// }
/// ```
pub trait Codec: Clone + Send + Sync + 'static {
    /// What it fails with.
    type Error: Into<Box<dyn std::error::Error + Send + Sync>>;

    /// The bytes of a value. Refuses what `decode` would not give back.
    ///
    /// # Errors
    /// The value cannot be carried.
    fn encode<T: Serialize>(&self, value: &T) -> Result<Bytes, Self::Error>;

    /// The value of these bytes.
    ///
    /// # Errors
    /// They are not those of such a value.
    fn decode<T: DeserializeOwned>(&self, value: &[u8]) -> Result<T, Self::Error>;
}

/// JSON, which callers in every language can read. Refuses NaN and the infinities, which JSON does
/// not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Json;

impl Codec for Json {
    type Error = BoxError;

    fn encode<T: Serialize>(&self, value: &T) -> Result<Bytes, BoxError> {
        let json = serde_json::to_vec(value)?;
        // serde_json writes them as null.
        if json.windows(4).any(|part| part == b"null") && !is_finite(value) {
            return Err("JSON has no NaN and no infinity".into());
        }
        Ok(json.into())
    }

    fn decode<T: DeserializeOwned>(&self, value: &[u8]) -> Result<T, BoxError> {
        Ok(serde_json::from_slice(value)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn is_refused<T: Serialize>(value: T) -> bool {
        Json.encode(&value).is_err()
    }

    #[derive(Serialize)]
    enum Shape {
        One(f64),
        Two(f64, f32),
        Named { side: Option<f64> },
    }

    #[test]
    fn what_json_would_lose_is_refused_wherever_it_hides() {
        assert!(is_refused(f64::NAN) && is_refused(f32::INFINITY));
        assert!(is_refused(Some(f64::NAN)) && is_refused(vec![1.0, f64::NEG_INFINITY]));
        assert!(is_refused((1, "a", f64::NAN)) && is_refused([Some(f32::NAN)]));
        assert!(is_refused(BTreeMap::from([("a", f64::NAN)])));
        assert!(is_refused(Shape::One(f64::NAN)) && is_refused(Shape::Two(0.0, f32::NAN)));
        assert!(is_refused(Shape::Named { side: Some(f64::NAN) }));
    }

    #[test]
    fn every_float_comes_back_as_it_was() {
        let mut bits = 1u64;
        for _ in 0..20_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let value = f64::from_bits(bits);
            if value.is_finite() {
                let back: f64 = Json.decode(&Json.encode(&value).unwrap()).unwrap();
                assert_eq!(back.to_bits(), bits, "{value:e}");
            }
        }
    }

    #[test]
    fn null_and_the_word_null_are_no_nan() {
        assert!(!is_refused(()) && !is_refused(None::<f64>) && !is_refused("null"));
        assert!(!is_refused((1.5, None::<u8>, 'x', b"null", true, -3i64)));
        assert!(!is_refused(Shape::Named { side: None }) && !is_refused(Shape::One(1.0)));
    }
}

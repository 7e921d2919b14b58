// SPDX-License-Identifier: Apache-2.0
//! Looks for NaN and the infinities in a value of any type: serde_json writes them as null, and
//! does not say so.

use std::fmt::{self, Display};

use serde::ser::{self, Serialize, Serializer};

/// Whether every number in the value is finite.
pub(crate) fn is_finite<T: Serialize + ?Sized>(value: &T) -> bool {
    value.serialize(Looking).is_ok()
}

struct Looking;

#[derive(Debug)]
struct Found;

impl Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number that is not finite")
    }
}

impl std::error::Error for Found {}

impl ser::Error for Found {
    fn custom<T: Display>(_: T) -> Self {
        Found
    }
}

type Look = Result<(), Found>;

macro_rules! nothing_in {
    ($($method:ident: $type:ty),* $(,)?) => {
        $(fn $method(self, _: $type) -> Look { Ok(()) })*
    };
}

impl Serializer for Looking {
    type Ok = ();
    type Error = Found;
    type SerializeSeq = Looking;
    type SerializeTuple = Looking;
    type SerializeTupleStruct = Looking;
    type SerializeTupleVariant = Looking;
    type SerializeMap = Looking;
    type SerializeStruct = Looking;
    type SerializeStructVariant = Looking;

    nothing_in! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32,
        serialize_i64: i64, serialize_i128: i128, serialize_u8: u8, serialize_u16: u16,
        serialize_u32: u32, serialize_u64: u64, serialize_u128: u128, serialize_char: char,
        serialize_str: &str, serialize_bytes: &[u8], serialize_unit_struct: &'static str,
    }

    fn serialize_f32(self, value: f32) -> Look {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Look {
        if value.is_finite() {
            Ok(())
        } else {
            Err(Found)
        }
    }

    fn serialize_none(self) -> Look {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Look {
        value.serialize(Looking)
    }

    fn serialize_unit(self) -> Look {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Look {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Look {
        value.serialize(Looking)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Look {
        value.serialize(Looking)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Looking, Found> {
        Ok(Looking)
    }

    fn serialize_tuple(self, _: usize) -> Result<Looking, Found> {
        Ok(Looking)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Looking, Found> {
        Ok(Looking)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Looking, Found> {
        Ok(Looking)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Looking, Found> {
        Ok(Looking)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Looking, Found> {
        Ok(Looking)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Looking, Found> {
        Ok(Looking)
    }
}

macro_rules! looks_at_each {
    ($($trait:ident: $method:ident($($name:ty)?)),* $(,)?) => {
        $(impl ser::$trait for Looking {
            type Ok = ();
            type Error = Found;

            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $name,)? value: &T) -> Look {
                value.serialize(Looking)
            }

            fn end(self) -> Look {
                Ok(())
            }
        })*
    };
}

looks_at_each! {
    SerializeSeq: serialize_element(),
    SerializeTuple: serialize_element(),
    SerializeTupleStruct: serialize_field(),
    SerializeTupleVariant: serialize_field(),
    SerializeStruct: serialize_field(&'static str),
    SerializeStructVariant: serialize_field(&'static str),
}

impl ser::SerializeMap for Looking {
    type Ok = ();
    type Error = Found;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, _: &T) -> Look {
        Ok(()) // serde_json refuses such a key by itself
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Look {
        value.serialize(Looking)
    }

    fn end(self) -> Look {
        Ok(())
    }
}

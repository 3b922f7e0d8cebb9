//! Whole numbers, as JSON means them.
//!
//! JSON has one kind of number, so `2.0` is a whole number like `2` (and JSON Schema's `integer` takes both), while serde
//! takes a number with a point for something else. For fields: `#[serde(deserialize_with = "essaim_http::whole")]`.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// Up to here every whole number is exactly a floating-point number too; beyond it nobody knows which one was meant.
const LARGEST_EXACT: f64 = 9_007_199_254_740_991.0;

struct Whole(i64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(WholeVisitor).map(Self)
    }
}

struct WholeVisitor;

impl Visitor<'_> for WholeVisitor {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In serde's words, which are reworded for strangers.
        f.write_str("i64")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i64, E> {
        Ok(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
        number.try_into().map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<i64, E> {
        if number.fract() == 0.0 && number.abs() <= LARGEST_EXACT {
            Ok(number as i64)
        } else {
            Err(E::invalid_value(Unexpected::Float(number), &self))
        }
    }
}

/// A whole number.
///
/// # Errors
/// If it is none, or does not fit.
pub fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Whole::deserialize(deserializer).map(|whole| whole.0)
}

/// A whole number in a field that may be absent (with `#[serde(default)]`) and must not be `null`.
///
/// # Errors
/// As [`whole`].
pub fn present_whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    whole(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_whole_however_it_is_written() {
        let read = |text: &str| serde_json::from_str::<Whole>(text).ok().map(|w| w.0);
        for (text, number) in [("2", 2), ("2.0", 2), ("-3e2", -300), ("0.5e1", 5), ("-0.0", 0)] {
            assert_eq!(read(text), Some(number), "{text}");
        }
        assert_eq!(read("9223372036854775807"), Some(i64::MAX));
        for text in ["2.5", "1e16", "9223372036854775808", "1e400", "\"2\"", "null", "true", "[2]"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

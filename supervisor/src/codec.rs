//! How message bodies are written on the wire: MessagePack with named fields.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) type EncodeError = rmp_serde::encode::Error;
pub(crate) type DecodeError = rmp_serde::decode::Error;

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, EncodeError> {
    rmp_serde::to_vec_named(value)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    rmp_serde::from_slice(bytes)
}

//! How message bodies are written on the wire: MessagePack with named fields.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) type EncodeError = rmp_serde::encode::Error;
pub(crate) type DecodeError = rmp_serde::decode::Error;

/// Most messages fit, so that their buffers need not grow.
const ORDINARY_BYTES: usize = 512;

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::with_capacity(ORDINARY_BYTES);
    value.serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map())?;
    Ok(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    rmp_serde::from_slice(bytes)
}

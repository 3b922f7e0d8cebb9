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

/// A value in a message is nested so deeply at most, as in JSON by serde's rule: whatever comes is read on the stack of a thread
/// that may be a small one.
pub(crate) const MOST_DEPTH: usize = 128;

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    reader.set_max_depth(MOST_DEPTH);
    T::deserialize(&mut reader)
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    #[test]
    fn what_is_nested_too_deeply_is_refused() {
        let lists = |depth: usize| [vec![0x91; depth], vec![0xc0]].concat();
        assert!(decode::<IgnoredAny>(&lists(MOST_DEPTH - 1)).is_ok());
        for depth in [MOST_DEPTH + 1, 1_000, 1_000_000] {
            assert!(decode::<IgnoredAny>(&lists(depth)).is_err(), "{depth}");
        }
    }
}

//! The encoding of messages on the wire and in the log: MessagePack with named fields.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub type EncodeError = rmp_serde::encode::Error;
pub type DecodeError = rmp_serde::decode::Error;

/// The first size of a message's buffer: most messages fit, so that it need not grow.
const ORDINARY_BYTES: usize = 512;

#[inline]
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::with_capacity(ORDINARY_BYTES);
    value.serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map())?;
    Ok(bytes)
}

/// The deepest nesting of a value in a message, which is also serde's limit for JSON: a message is decoded on the stack of a
/// thread that may have a small one.
pub const MOST_DEPTH: usize = 128;

#[inline]
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
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

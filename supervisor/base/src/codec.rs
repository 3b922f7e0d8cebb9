//! The encoding of messages on the wire and in the log: MessagePack with named fields.

use rmp_serde::Deserializer;
use rmp_serde::decode::ReadSlice;
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

/// The deepest nesting of a value: it may be decoded on a thread that has a small stack.
pub const MOST_DEPTH: usize = 128;

/// A reader that refuses what is nested deeper than [`MOST_DEPTH`].
#[inline]
pub fn bounded<'de, R: ReadSlice<'de>>(mut reader: Deserializer<R>) -> Deserializer<R> {
    // The reader's bound is the first depth that it refuses.
    reader.set_max_depth(MOST_DEPTH + 1);
    reader
}

#[inline]
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    T::deserialize(&mut bounded(Deserializer::from_read_ref(bytes)))
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    #[test]
    fn what_is_nested_too_deeply_is_refused() {
        let lists = |depth: usize| [vec![0x91; depth], vec![0xc0]].concat();
        assert!(decode::<IgnoredAny>(&lists(MOST_DEPTH)).is_ok());
        for depth in [MOST_DEPTH + 1, 1_000, 1_000_000] {
            assert!(decode::<IgnoredAny>(&lists(depth)).is_err(), "{depth}");
        }
    }
}
